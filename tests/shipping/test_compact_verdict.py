"""A verdict in a QR code: verified from its text and an authorities file alone, and any change refused."""

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.log.merkle import hash_leaf
from pipeline.shipping import base45
from pipeline.shipping.compact_verdict import CODE_SIZE_MAX, INSIDE_SIZE_MAX, PREFIX, make_code, read_code
from pipeline.wire import cbor
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.shipment import Accepted, encode_shipment
from tests.shipping.accounts import account, leaf_hash
from tests.shipping.codes import CLINIC, judge_key, signed_verdict
from tests.support.city import AUTHORITIES, Device, enrol, enrolment

STATEMENT, ENROLMENT = signed_verdict(account()), judge_key()
CODE = make_code(STATEMENT, ENROLMENT)


def refusal(code: str) -> Reason:
    with pytest.raises(VerificationError) as refused:
        read_code(code, AUTHORITIES)
    return refused.value.reason


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"AB", "BB8"),
        (b"Hello!!", "%69 VD92EX0"),
        (b"base-45", "UJCLQE7W581"),
        (b"ietf!", "QED8WEX0"),
        (b"", ""),
    ],
)
def test_base45_of_the_rfc(data: bytes, text: str) -> None:
    """RFC 9285, 4.3 and 4.4."""
    assert base45.encode(data) == text
    assert base45.decode(text) == data


@given(st.binary(max_size=200))
def test_base45_there_and_back(data: bytes) -> None:
    """Every input comes back."""
    assert base45.decode(base45.encode(data)) == data


@pytest.mark.parametrize("text", ["A", "AAAA", "GGX", ":::", "::", "ab8", "BB8é", "BB8\n"])
def test_base45_that_is_none(text: str) -> None:
    """RFC 9285, 6: lengths, numbers above what two bytes or one hold, other characters."""
    with pytest.raises(VerificationError) as refused:
        base45.decode(text)
    assert refused.value.reason is Reason.VERDICT_CODE


def test_what_a_code_says() -> None:
    """The statement as it is in the log: shipment, verdict, who judged, and what to ask the log for."""
    made = account()
    found = read_code(CODE, AUTHORITIES)

    assert found.shipment == made.shipment.name
    assert found.judged.verdict == "breach"
    assert found.judged.profile_hash.hex() == made.profile.digest
    assert found.signer.record.issuer == CLINIC.issuer
    assert found.leaf_hash == hash_leaf(STATEMENT)
    assert set(CODE) <= set(base45.ALPHABET)
    assert len(CODE) < 1600


def test_no_change_passes() -> None:
    """A character changed anywhere, a hundred times; one left out; one more."""
    chance = random.Random(1)
    for _ in range(100):
        place = chance.randrange(len(PREFIX), len(CODE))
        other = chance.choice([c for c in base45.ALPHABET if c != CODE[place]])
        refusal(CODE[:place] + other + CODE[place + 1 :])
    refusal(CODE[:-1])
    refusal(CODE + "0")


def wrapped(*parts: object) -> str:
    return PREFIX + base45.encode(zlib.compress(cbor.encode(list(parts))))


def other_key() -> bytes:
    device = Device(5)
    return enrol(device, 1, about=enrolment(device))


ACCEPTED = encode_shipment(Accepted(after=leaf_hash(1), time_us=1))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("HC1:" + CODE[5:], Reason.VERDICT_CODE),
        (PREFIX, Reason.VERDICT_CODE),
        (PREFIX + base45.encode(b"not zlib"), Reason.VERDICT_CODE),
        (PREFIX + base45.encode(zlib.compress(b"\x80") + b"x"), Reason.VERDICT_CODE),
        (PREFIX + base45.encode(zlib.compress(bytes(INSIDE_SIZE_MAX + 1))), Reason.VERDICT_CODE),
        (PREFIX + (CODE_SIZE_MAX - 4) * "0", Reason.OVERSIZE),
        (wrapped(STATEMENT), Reason.VERDICT_CODE),
        (wrapped(STATEMENT, 5), Reason.VERDICT_CODE),
        (wrapped(STATEMENT, ENROLMENT, "more"), Reason.VERDICT_CODE),
        (wrapped(STATEMENT, other_key()), Reason.KEY_UNKNOWN),
        (wrapped(STATEMENT, STATEMENT), Reason.AUTHORITY_UNKNOWN),
        (wrapped(STATEMENT, judge_key("auditor")), Reason.STATEMENT_CONTENT_TYPE),
        (wrapped(STATEMENT, judge_key(valid_from_s=1_800_000_000)), Reason.KEY_NOT_YET_VALID),
        (wrapped(signed_verdict(account(), payload=ACCEPTED), ENROLMENT), Reason.VERDICT_CODE),
        (wrapped(signed_verdict(account(), content_type=112), ENROLMENT), Reason.STATEMENT_ISSUER),
        (wrapped(STATEMENT[:-1] + bytes([STATEMENT[-1] ^ 1]), ENROLMENT), Reason.SIGNATURE_INVALID),
    ],
)  # fmt: skip
def test_what_is_refused(code: str, reason: Reason) -> None:
    """By the check that it fails."""
    assert refusal(code) is reason


def test_too_much_for_a_code() -> None:
    """What no QR code holds is not written."""
    with pytest.raises(VerificationError) as refused:
        make_code(random.Random(2).randbytes(3000), ENROLMENT)
    assert refused.value.reason is Reason.OVERSIZE
