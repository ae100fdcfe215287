"""COSE_Sign1: the cose-wg examples, all of them outside the profile, and their failures made again with
Ed25519."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.wire.cose import Sign1, decode_header, encode_sign1, parse_sign1, signing_input
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import verify
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import parse_statement
from tests.wire import build, reference

# Why each example is no statement. The six failures and three successes of sign1-tests use ES256.
EXAMPLES = {
    "RFC8152/Appendix_C_2_1": Reason.COSE_UNPROTECTED,
    "countersign/signed1-01": Reason.CBOR_KEY_ORDER,  # label 7 before 4, in the unprotected map
    "countersign/signed1-02": Reason.CBOR_KEY_ORDER,
    "countersign1/signed1-01": Reason.CBOR_KEY_ORDER,
    "eddsa-examples/eddsa-01": Reason.CBOR_TAG,  # COSE_Sign, tag 98
    "eddsa-examples/eddsa-02": Reason.CBOR_TAG,  # COSE_Sign, tag 98, Ed448
    "eddsa-examples/eddsa-sig-01": Reason.COSE_UNPROTECTED,
    "eddsa-examples/eddsa-sig-02": Reason.COSE_SHAPE,  # Ed448: a signature of 114 bytes
    "sign1-tests/sign-fail-01": Reason.CBOR_TAG,  # tag 998
    "sign1-tests/sign-fail-02": Reason.COSE_UNPROTECTED,
    "sign1-tests/sign-fail-03": Reason.COSE_UNPROTECTED,
    "sign1-tests/sign-fail-04": Reason.COSE_UNPROTECTED,
    "sign1-tests/sign-fail-06": Reason.COSE_UNPROTECTED,
    "sign1-tests/sign-fail-07": Reason.COSE_UNPROTECTED,
    "sign1-tests/sign-pass-01": Reason.COSE_UNPROTECTED,
    "sign1-tests/sign-pass-02": Reason.COSE_UNPROTECTED,
    "sign1-tests/sign-pass-03": Reason.COSE_SHAPE,  # no tag
}


@pytest.fixture
def examples(shared: Path) -> dict[str, Any]:
    """Every example, by folder and name."""
    folder = shared / "vectors/cose-examples"
    return {
        str(path.relative_to(folder).with_suffix("")): json.loads(path.read_text())
        for path in folder.rglob("*.json")
    }


def refusal(raw: bytes, **options: Any) -> Reason | None:
    """Why `parse_sign1` refuses, or None."""
    try:
        parse_sign1(raw, **options)
    except VerificationError as refused:
        return refused.reason
    return None


def test_no_example_is_a_statement(examples: dict[str, Any]) -> None:
    """Each is refused for its own reason: most carry their key id unprotected, all another algorithm."""
    reasons = {}
    for name, example in examples.items():
        with pytest.raises(VerificationError) as refused:
            parse_statement(bytes.fromhex(example["output"]["cbor"]))
        reasons[name] = refused.value.reason
    assert reasons == EXAMPLES


def test_their_algorithms_are_refused_where_the_envelope_passes(examples: dict[str, Any]) -> None:
    """ES256 (-7), EdDSA (-8), unknown ones, and one that is not protected at all."""
    algorithms = {}
    for name, example in examples.items():
        raw = bytes.fromhex(example["output"]["cbor"])
        if refusal(raw) is not None:
            continue
        protected = parse_sign1(raw).protected
        labels = {label.argument for label in reference.parse_item(protected, 0)[0].items[::2]}
        with pytest.raises(VerificationError) as refused:
            decode_header(protected, frozenset(labels | {1}))
        algorithms[name] = refused.value.reason
    assert len(algorithms) == 9
    assert algorithms.pop("sign1-tests/sign-pass-01") is Reason.COSE_HEADER
    assert set(algorithms.values()) == {Reason.COSE_ALGORITHM}


def test_their_sig_structure_is_ours(examples: dict[str, Any]) -> None:
    """What others signed with Ed25519 is what `signing_input` makes, and their signature verifies over it."""
    example = examples["eddsa-examples/eddsa-sig-01"]
    sign1 = parse_sign1(bytes.fromhex(example["output"]["cbor"]))
    assert sign1.payload == b"This is the content."
    message = signing_input(sign1.protected, sign1.payload)
    assert message.hex().upper() == example["intermediates"]["ToBeSign_hex"]
    public_key = bytes.fromhex(example["input"]["sign0"]["key"]["x_hex"])
    verify(public_key, message, sign1.signature)


CONTENT = b"This is the content."
PROTECTED = reference.dumps({1: -19})
TYPED = reference.dumps({1: -19, 3: 0})


def check(raw: bytes, labels: set[int]) -> None:
    """Envelope, header and signature, as every object of ours is checked."""
    sign1 = parse_sign1(raw)
    assert sign1.payload is not None
    decode_header(sign1.protected, frozenset(labels))
    verify(build.PUBLIC_KEY, signing_input(sign1.protected, sign1.payload), sign1.signature)


def signature_over(protected: bytes) -> bytes:
    """Sign the content under a header."""
    return bytes(build.KEY.sign(build.sig_structure(protected, CONTENT)).signature)


GOOD = build.sign1(PROTECTED, CONTENT)
# The failures of sign1-tests, with Ed25519. Their 05 does not exist.
FAILURES = {
    "01 wrong tag": (b"\xd9\x03\xe6" + GOOD[1:], {1}, Reason.CBOR_TAG),
    "02 another payload": (
        build.sign1(PROTECTED, CONTENT, sent=b"This is the content/"),
        {1},
        Reason.SIGNATURE_INVALID,
    ),
    "03 algorithm -999": (
        build.sign1(reference.dumps({1: -999}), CONTENT, signature=signature_over(PROTECTED)),
        {1},
        Reason.COSE_ALGORITHM,
    ),
    "04 algorithm 'unknown'": (
        build.sign1(reference.dumps({1: "unknown"}), CONTENT, signature=signature_over(PROTECTED)),
        {1},
        Reason.COSE_ALGORITHM,
    ),
    "06 a header added": (
        build.sign1(TYPED, CONTENT, signature=signature_over(PROTECTED)),
        {1, 3},
        Reason.SIGNATURE_INVALID,
    ),
    "07 a header removed": (
        build.sign1(PROTECTED, CONTENT, signature=signature_over(TYPED)),
        {1},
        Reason.SIGNATURE_INVALID,
    ),
    "pass-01 an empty header": (
        build.sign1(b"\xa0", CONTENT, unprotected={1: -19}),
        {1},
        Reason.COSE_HEADER,
    ),
    "pass-02 external data": (
        build.sign1(
            PROTECTED,
            CONTENT,
            signature=build.KEY.sign(build.sig_structure(PROTECTED, CONTENT, b"\x11\xaa")).signature,
        ),
        {1},
        Reason.SIGNATURE_INVALID,
    ),
    "pass-03 no tag": (GOOD[1:], {1}, Reason.COSE_SHAPE),
}


def test_the_example_to_break_is_good() -> None:
    """Unbroken, it passes: the failures below fail for what was done to them."""
    check(GOOD, {1})
    check(build.sign1(TYPED, CONTENT), {1, 3})


@pytest.mark.parametrize("name", FAILURES)
def test_their_failures_made_again_with_ed25519(name: str) -> None:
    """The six failures of sign1-tests, and their three successes that the profile has no room for."""
    raw, labels, reason = FAILURES[name]
    with pytest.raises(VerificationError) as refused:
        check(raw, labels)
    assert refused.value.reason is reason


SIGNATURE = bytes(64)
PARTS: list[tuple[list[object], Reason | None]] = [
    ([b"", {}, b"", SIGNATURE], None),
    ([b"", {1: 2}, b"", SIGNATURE], None),
    ([b"", {}, None, SIGNATURE], Reason.COSE_PAYLOAD),
    ([{}, {}, b"", SIGNATURE], Reason.COSE_SHAPE),
    (["", {}, b"", SIGNATURE], Reason.COSE_SHAPE),
    ([b"", b"", b"", SIGNATURE], Reason.COSE_SHAPE),
    ([b"", [], b"", SIGNATURE], Reason.COSE_SHAPE),
    ([b"", {}, "", SIGNATURE], Reason.COSE_SHAPE),
    ([b"", {}, {}, SIGNATURE], Reason.COSE_SHAPE),
    ([b"", {}, False, SIGNATURE], Reason.COSE_SHAPE),
    ([b"", {}, b"", "a" * 64], Reason.COSE_SHAPE),
    ([b"", {}, b"", bytes(63)], Reason.COSE_SHAPE),
    ([b"", {}, b"", bytes(65)], Reason.COSE_SHAPE),
    ([b"", {}, b"", b""], Reason.COSE_SHAPE),
]
SHAPES = [(b"\xd2" + reference.dumps(parts), reason) for parts, reason in PARTS]
SHAPES += [
    (b"\xd2\x83\x40\xa0\x40", Reason.COSE_SHAPE),
    (b"\xd2\x85\x40\xa0\x40\x58\x40" + SIGNATURE + b"\x40", Reason.COSE_SHAPE),
    (b"\x84\x40\xa0\x40\x58\x40" + SIGNATURE, Reason.COSE_SHAPE),
    (b"\xd2\x40", Reason.COSE_SHAPE),
    (b"\xd2\x00", Reason.COSE_SHAPE),
    (b"\xd2\xa4\x00\x00\x01\x00\x02\x00\x03\x00", Reason.COSE_SHAPE),
    (b"\xa0", Reason.COSE_SHAPE),
    (b"\x00", Reason.COSE_SHAPE),
]


@pytest.mark.parametrize(("raw", "reason"), SHAPES)
def test_the_envelope_has_one_shape(raw: bytes, reason: Reason | None) -> None:
    """Tag 18, four elements of their types, 64 bytes of signature."""
    assert refusal(raw) is reason


def test_a_payload_is_detached_where_it_must_be() -> None:
    """Receipts leave the payload out; there it must not be given twice."""
    left_out = b"\xd2\x84\x40\xa0\xf6\x58\x40" + SIGNATURE
    assert parse_sign1(left_out, detached=True) == Sign1(b"", {}, None, SIGNATURE)
    assert refusal(left_out) is Reason.COSE_PAYLOAD
    assert refusal(left_out.replace(b"\xf6", b"\x40"), detached=True) is Reason.COSE_PAYLOAD
    assert refusal(left_out, detached=True, size_max=len(left_out)) is None
    assert refusal(left_out, detached=True, size_max=len(left_out) - 1) is Reason.OVERSIZE


def test_an_envelope_survives() -> None:
    """What is written is read again, and is what the reference writes."""
    sign1 = Sign1(PROTECTED, {}, CONTENT, signature_over(PROTECTED))
    assert encode_sign1(sign1) == GOOD
    assert parse_sign1(GOOD) == sign1
    detached = Sign1(PROTECTED, {396: {-1: [b"path"]}}, None, SIGNATURE)
    assert parse_sign1(encode_sign1(detached), detached=True) == detached


@pytest.mark.parametrize("size", [0, 1, 23, 24, 255, 256, 16000])
def test_the_signing_input_at_every_length_form(size: int) -> None:
    """Sig_structure of RFC 9052, 4.4, with heads of one, two and three bytes."""
    assert signing_input(PROTECTED, bytes(size)) == build.sig_structure(PROTECTED, bytes(size))
    assert signing_input(bytes(size), CONTENT) == build.sig_structure(bytes(size), CONTENT)


HEADERS = [
    ({1: -19}, {1}, None),
    ({1: -19, 395: 1}, {1, 395}, None),
    ({1: -19}, {1, 3}, Reason.COSE_HEADER),
    ({1: -19, 3: 0}, {1}, Reason.COSE_HEADER),
    ({3: 0}, {1}, Reason.COSE_HEADER),
    ({}, {1}, Reason.COSE_HEADER),
    ([1, -19], {1}, Reason.COSE_HEADER),
    (0, {1}, Reason.COSE_HEADER),
    ({1: -8}, {1}, Reason.COSE_ALGORITHM),
    ({1: -7, 3: 0}, {1}, Reason.COSE_ALGORITHM),
    ({1: "Ed25519"}, {1}, Reason.COSE_ALGORITHM),
    ({1: -19.0}, {1}, Reason.COSE_ALGORITHM),
    ({1: {}}, {1}, Reason.COSE_ALGORITHM),
    ({1: -19, "1": 0}, {1}, Reason.COSE_HEADER),
]


@pytest.mark.parametrize(("header", "labels", "reason"), HEADERS)
def test_a_header_holds_exactly_its_labels(header: object, labels: set[int], reason: Reason | None) -> None:
    """No label more, none fewer, and Ed25519 by its own number."""
    protected = reference.dumps(header)
    if reason is None:
        assert decode_header(protected, frozenset(labels)) == header
        return
    with pytest.raises(VerificationError) as refused:
        decode_header(protected, frozenset(labels))
    assert refused.value.reason is reason


def test_a_header_is_cbor_of_the_profile() -> None:
    """Empty bytes, and other encodings of a good header, are refused inside as outside."""
    for protected, reason in [
        (b"", Reason.CBOR_TRUNCATED),
        (PROTECTED + b"\x00", Reason.CBOR_TRAILING),
        (b"\xa1\x18\x01\x32", Reason.CBOR_NOT_SHORTEST),
        (b"\xa1\x01\xf6", Reason.CBOR_SIMPLE),
        (b"\xa2\x01\x32\x01\x32", Reason.CBOR_KEY_DUPLICATE),
    ]:
        with pytest.raises(VerificationError) as refused:
            decode_header(protected, frozenset({1}))
        assert refused.value.reason is reason
