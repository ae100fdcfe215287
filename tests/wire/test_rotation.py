"""Rotations, revocations and admissions: each field and its bounds; what the two keys of a rotation sign."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import pytest

from pipeline.wire.admission import Admission, decode_admission, encode_admission
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import SeedSigner, verify
from pipeline.wire.possession import check_possession, sign_possession
from pipeline.wire.reasons import Reason
from pipeline.wire.revocation import Revocation, decode_revocation, encode_revocation
from pipeline.wire.rotation import (
    Rotation,
    check_rotation_signatures,
    decode_rotation,
    encode_rotation,
    make_rotation,
)
from tests.wire import build, reference

Fields = Mapping[object, object]

AUTHORITY = "https://city.example/ecology"
ISSUER = "urn:dev:ops:32473-air-7"
LOW, HIGH = bytes(32), b"\x01" + bytes(31)
OLD, NEW = SeedSigner(sha256(b"old").digest()), SeedSigner(sha256(b"new").digest())
LEFT_OUT = object()

ROTATION: Fields = {
    1: ISSUER,
    2: bytes(range(8)),
    3: build.PUBLIC_KEY,
    4: [1700000000, 24],
    5: bytes(range(64)),
    6: bytes(range(64, 128)),
    7: 1700000000,
}
REVOCATION: Fields = {1: ISSUER, 2: bytes(range(8)), 3: "gestohlen 被盗"}
ADMISSION: Fields = {1: ISSUER, 2: [LOW, HIGH], 3: "in the device's own receipts"}

WRONG_ISSUERS = ("no uri", ISSUER.encode(), 7)
WRONG_LABELS = ("", "a" * 129, "\x00", 7, b"a")
Changes = list[tuple[object, object, Reason | None]]
ROTATION_CHANGES: Changes = [
    *[(label, LEFT_OUT, Reason.ROTATION_SHAPE) for label in ROTATION],
    (0, 0, Reason.ROTATION_SHAPE),
    (8, 0, Reason.ROTATION_SHAPE),
    *[(1, wrong, Reason.ROTATION_SHAPE) for wrong in WRONG_ISSUERS],
    *[(2, wrong, Reason.ROTATION_SHAPE) for wrong in (bytes(7), bytes(9), "a" * 8, 0)],
    (3, "a" * 32, Reason.ROTATION_SHAPE),
    *[(3, wrong, Reason.KEY_INVALID) for wrong in (bytes(32), build.PUBLIC_KEY[:31], b"\x01" + bytes(31))],
    *[
        (4, wrong, Reason.ROTATION_SHAPE)
        for wrong in ([], [1], [1, 2, 3], [-1, 0], [0, -1], [2**53, 0], [0, 2**53], [0, True], [0, 1.0], 0)
    ],
    (4, [0, 0], None),
    (4, [2**53 - 1, 2**53 - 1], None),
    *[
        (label, wrong, Reason.ROTATION_SHAPE)
        for label in (5, 6)
        for wrong in (bytes(63), bytes(65), "a" * 64)
    ],
    *[(7, wrong, Reason.ROTATION_SHAPE) for wrong in (-1, 2**33, 1.5, True, "0")],
    *[(7, good, None) for good in (0, 2**33 - 1)],
]
REVOCATION_CHANGES: Changes = [
    *[(label, LEFT_OUT, Reason.REVOCATION_SHAPE) for label in REVOCATION],
    (4, 0, Reason.REVOCATION_SHAPE),
    *[(1, wrong, Reason.REVOCATION_SHAPE) for wrong in WRONG_ISSUERS],
    *[(2, wrong, Reason.REVOCATION_SHAPE) for wrong in (bytes(7), bytes(9), "a" * 8, 0)],
    *[(3, wrong, Reason.REVOCATION_SHAPE) for wrong in WRONG_LABELS],
    (3, "a" * 128, None),
]
ADMISSION_CHANGES: Changes = [
    *[(label, LEFT_OUT, Reason.ADMISSION_SHAPE) for label in ADMISSION],
    (4, 0, Reason.ADMISSION_SHAPE),
    *[(1, wrong, Reason.ADMISSION_SHAPE) for wrong in WRONG_ISSUERS],
    *[
        (2, wrong, Reason.ADMISSION_SHAPE)
        for wrong in ([], [HIGH, LOW], [LOW, LOW], [bytes(31)], [LOW, bytes(33)], ["a" * 32], LOW, {0: LOW})
    ],
    (2, [HIGH], None),
    *[(3, wrong, Reason.ADMISSION_SHAPE) for wrong in WRONG_LABELS],
]
CASES = [
    (decode_rotation, ROTATION, ROTATION_CHANGES),
    (decode_revocation, REVOCATION, REVOCATION_CHANGES),
    (decode_admission, ADMISSION, ADMISSION_CHANGES),
]


def changed(good: Fields, label: object, value: object) -> bytes:
    """The payload with one field changed, added or left out."""
    return reference.dumps(
        {key: item for key, item in {**good, label: value}.items() if item is not LEFT_OUT}
    )


def refusal(act: Callable[..., object], *arguments: object) -> Reason | None:
    """Why something is refused, or None."""
    try:
        act(*arguments)
    except VerificationError as refused:
        return refused.reason
    return None


def test_each_is_this_map() -> None:
    """The key of every field, both directions."""
    rotation = Rotation(
        issuer=ISSUER,
        old_kid=bytes(range(8)),
        public_key=build.PUBLIC_KEY,
        starts=(1700000000, 24),
        old_signature=bytes(range(64)),
        possession=bytes(range(64, 128)),
        valid_from_s=1700000000,
    )
    assert decode_rotation(reference.dumps(ROTATION)) == rotation
    assert encode_rotation(rotation) == reference.dumps(ROTATION)
    revocation = Revocation(ISSUER, bytes(range(8)), "gestohlen 被盗")
    assert decode_revocation(reference.dumps(REVOCATION)) == revocation
    assert encode_revocation(revocation) == reference.dumps(REVOCATION)
    admission = Admission(ISSUER, [LOW, HIGH], "in the device's own receipts")
    assert decode_admission(reference.dumps(ADMISSION)) == admission
    assert encode_admission(admission) == reference.dumps(ADMISSION)


@pytest.mark.parametrize(
    ("decode", "good", "label", "value", "reason"),
    [(decode, good, *change) for decode, good, changes in CASES for change in changes],
)
def test_each_field_has_its_bounds(
    decode: Callable[[bytes], object], good: Fields, label: object, value: object, reason: Reason | None
) -> None:
    """Every field is required, none may be added, and each value out of bounds is refused."""
    assert refusal(decode, changed(good, label, value)) is reason


@pytest.mark.parametrize(
    ("decode", "reason"),
    [
        (decode_rotation, Reason.ROTATION_SHAPE),
        (decode_revocation, Reason.REVOCATION_SHAPE),
        (decode_admission, Reason.ADMISSION_SHAPE),
    ],
)
def test_what_is_no_map_is_none(decode: Callable[[bytes], object], reason: Reason) -> None:
    """Other types are refused, and so is what is no CBOR of the profile."""
    assert refusal(decode, b"\x80") is reason
    assert refusal(decode, b"\xa0") is reason
    assert refusal(decode, b"") is Reason.CBOR_TRUNCATED


def test_an_admission_of_many_fits_into_a_statement() -> None:
    """As its docstring says: 450 leaf hashes stay below the limit of a statement."""
    many = [n.to_bytes(32, "big") for n in range(450)]
    assert len(encode_admission(Admission(ISSUER, many, "w" * 128))) < 16_384 - 600


def test_possession_is_signed_over_the_authority_the_issuer_and_the_key() -> None:
    """The bytes, written out; whoever else is named in any of the three gets nothing from it."""
    message = (
        b"cityproof/possession/v1\nhttps://city.example/ecology\nurn:dev:ops:32473-air-7\n" + NEW.public_key
    )
    signature = sign_possession(NEW, AUTHORITY, ISSUER)
    verify(NEW.public_key, message, signature)
    check_possession(signature, AUTHORITY, ISSUER, NEW.public_key)
    for others in (
        (signature, AUTHORITY + "/", ISSUER, NEW.public_key),
        (signature, AUTHORITY, ISSUER + "7", NEW.public_key),
        (signature, AUTHORITY, ISSUER, OLD.public_key),
        (sign_possession(OLD, AUTHORITY, ISSUER), AUTHORITY, ISSUER, NEW.public_key),
        (bytes(64), AUTHORITY, ISSUER, NEW.public_key),
        (signature, AUTHORITY, ISSUER, bytes(32)),
        (signature, f"{AUTHORITY}\n{ISSUER}", ISSUER, NEW.public_key),
    ):
        assert refusal(check_possession, *others) is Reason.POSSESSION_INVALID


def test_both_keys_sign_a_rotation() -> None:
    """The bytes that the old key signs, written out; the new key's possession is as in an enrolment."""
    rotation = make_rotation(
        OLD, NEW, authority=AUTHORITY, issuer=ISSUER, starts=(5, 2**40 + 1), valid_from_s=7
    )
    message = (
        b"cityproof/rotation/v1\nhttps://city.example/ecology\nurn:dev:ops:32473-air-7\n"
        + NEW.public_key
        + bytes.fromhex("0000000000000005" + "0000010000000001")
    )
    verify(OLD.public_key, message, rotation.old_signature)
    assert rotation.possession == sign_possession(NEW, AUTHORITY, ISSUER)
    assert rotation.old_kid == sha256(OLD.public_key).digest()[:8]
    assert (rotation.public_key, rotation.starts, rotation.valid_from_s) == (
        NEW.public_key,
        (5, 2**40 + 1),
        7,
    )
    check_rotation_signatures(rotation, AUTHORITY, OLD.public_key)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"starts": (5, 1)}, Reason.ROTATION_SIGNATURE),
        ({"starts": (6, 0)}, Reason.ROTATION_SIGNATURE),
        ({"issuer": ISSUER + "7"}, Reason.ROTATION_SIGNATURE),
        ({"public_key": OLD.public_key}, Reason.ROTATION_SIGNATURE),
        ({"old_signature": bytes(64)}, Reason.ROTATION_SIGNATURE),
        ({"possession": bytes(64)}, Reason.POSSESSION_INVALID),
        ({"possession": sign_possession(OLD, AUTHORITY, ISSUER)}, Reason.POSSESSION_INVALID),
        ({"valid_from_s": 8, "old_kid": bytes(8)}, None),  # The authority's to say, and found by it.
    ],
)
def test_a_rotation_that_was_changed_is_not_what_the_keys_signed(
    changes: dict[str, Any], reason: Reason | None
) -> None:
    """Neither key's holder is held to what it has not signed; nor is another authority asked."""
    made = make_rotation(OLD, NEW, authority=AUTHORITY, issuer=ISSUER, starts=(5, 0), valid_from_s=7)
    fields: dict[str, Any] = {name: getattr(made, name) for name in Rotation.__dataclass_fields__}
    other = Rotation(**fields | changes)
    assert refusal(check_rotation_signatures, other, AUTHORITY, OLD.public_key) is reason
    elsewhere = refusal(check_rotation_signatures, made, "https://other.example/", OLD.public_key)
    assert elsewhere is Reason.ROTATION_SIGNATURE
