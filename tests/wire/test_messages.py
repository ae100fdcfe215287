"""Receipts and refusals as devices get them."""

import pytest

from pipeline.wire.errors import VerificationError
from pipeline.wire.messages import decode_receipts, decode_refusal, encode_receipts, encode_refusal
from pipeline.wire.reasons import Reason
from tests.wire import reference

HASH = bytes(range(32))


def test_receipts_survive() -> None:
    """[+ [epoch, sequence, receipt]]"""
    receipts = [(1700000000, 0, b"\xd2\x84"), (1700000000, 2**53 - 1, b"")]
    message = encode_receipts(receipts)
    assert message == reference.dumps([list(receipt) for receipt in receipts])
    assert decode_receipts(message) == receipts
    assert decode_receipts(message)[0].sequence == 0


def test_a_refusal_survives() -> None:
    """[SHA-256 of the bytes received, reason]"""
    for reason in Reason:
        message = encode_refusal(HASH, reason)
        assert message == reference.dumps([HASH, str(reason.value)])
        refusal = decode_refusal(message)
        assert (refusal.received_hash, refusal.reason) == (HASH, reason)


NO_RECEIPTS: list[object] = [
    [],
    {},
    0,
    7,
    b"",
    [[]],
    [[1, 2]],
    [[1, 2, b"", 0]],
    [[1, 2, "receipt"]],
    [[-1, 2, b""]],
    [[1, -1, b""]],
    [[2**53, 2, b""]],
    [[1, 2**53, b""]],
    [[1.0, 2, b""]],
    [[True, 2, b""]],
    [[1, False, b""]],
    [{0: 1, 1: 2, 2: b""}],
    [[1, 2, b""], 0],
]


@pytest.mark.parametrize("message", NO_RECEIPTS)
def test_other_messages_are_no_receipts(message: object) -> None:
    """At least one receipt, each with its two counters."""
    with pytest.raises(VerificationError) as refused:
        decode_receipts(reference.dumps(message))
    assert refused.value.reason is Reason.MESSAGE_SHAPE


NO_REFUSAL: list[object] = [
    [],
    {},
    0,
    [HASH],
    [HASH, "oversize", 0],
    [HASH[:31], "oversize"],
    [HASH + b"\x00", "oversize"],
    ["a" * 32, "oversize"],
    [HASH, "too_bad"],
    [HASH, "OVERSIZE"],
    [HASH, b"oversize"],
    [HASH, 0],
    {0: HASH, 1: "oversize"},
]


@pytest.mark.parametrize("message", NO_REFUSAL)
def test_other_messages_are_no_refusal(message: object) -> None:
    """A hash of 32 bytes and a published reason."""
    with pytest.raises(VerificationError) as refused:
        decode_refusal(reference.dumps(message))
    assert refused.value.reason is Reason.MESSAGE_SHAPE


def test_messages_are_bounded_and_of_the_profile() -> None:
    """A megabyte of receipts, 16 KiB of refusal, and nothing that is no CBOR of ours."""
    for decode, limit in ((decode_receipts, 1 << 20), (decode_refusal, 16384)):
        for message, reason in [(bytes(limit + 1), Reason.OVERSIZE), (b"\x9f", Reason.CBOR_INDEFINITE)]:
            with pytest.raises(VerificationError) as refused:
                decode(message)
            assert refused.value.reason is reason
    room = (1 << 20) - len(encode_receipts([(0, 0, bytes(70000))])) + 70000
    assert len(encode_receipts([(0, 0, bytes(room))])) == 1 << 20
    with pytest.raises(AssertionError):
        encode_receipts([(0, 0, bytes(room + 1))])


def test_wrong_messages_are_bugs() -> None:
    """Nobody sends an empty message, or a hash that is none."""
    with pytest.raises(AssertionError):
        encode_receipts([])
    with pytest.raises(AssertionError):
        encode_refusal(HASH[:31], Reason.OVERSIZE)
