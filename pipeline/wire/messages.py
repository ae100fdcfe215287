"""What the pipeline tells a device over MQTT: receipts, and refusals. Neither is signed by itself.

A receipt carries the log's signature. A refusal carries none: it names the SHA-256 of the bytes that came,
and a device acts on it only where it holds exactly these bytes.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeGuard

from pipeline.wire import cbor
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import BY_CODE, Reason

RECEIPTS_SIZE_MAX = 1 << 20  # Bytes of a message; receipts for a whole block of one device's statements fit.
COUNTER_MAX = 2**53 - 1
HASH_SIZE = 32


class DeviceReceipt(NamedTuple):
    """One receipt (RFC 9942) and whose it is: the statement's epoch and sequence."""

    epoch: int
    sequence: int
    receipt: bytes


class Refusal(NamedTuple):
    """SHA-256 of the bytes received, and why they were refused."""

    received_hash: bytes
    reason: Reason


def encode_receipts(receipts: Sequence[tuple[int, int, bytes]]) -> bytes:
    """Return a message of receipts: CBOR [+ [epoch, sequence, receipt]]."""
    assert receipts, "a message without receipts"
    message = cbor.encode([list(receipt) for receipt in receipts])
    assert len(message) <= RECEIPTS_SIZE_MAX, "more receipts than a message holds"
    return message


def decode_receipts(message: bytes) -> list[DeviceReceipt]:
    """Return the receipts of a message; the receipts themselves are not checked here.

    Raises:
        VerificationError: `oversize`, `cbor_*`, `message_shape`.
    """
    items = cbor.decode(message, size_max=RECEIPTS_SIZE_MAX)
    if not isinstance(items, list) or not items:
        raise VerificationError(Reason.MESSAGE_SHAPE, "not an array of receipts")
    return [_parse_receipt(item) for item in items]


def encode_refusal(received_hash: bytes, reason: Reason) -> bytes:
    """Return the message that refuses bytes with this SHA-256: CBOR [hash, reason]."""
    assert len(received_hash) == HASH_SIZE, "SHA-256 has 32 bytes"
    return cbor.encode([received_hash, reason.value])


def decode_refusal(message: bytes) -> Refusal:
    """Return hash and reason of a refusal.

    Raises:
        VerificationError: `oversize`, `cbor_*`, `message_shape`.
    """
    match cbor.decode(message):
        case [bytes() as received_hash, str() as code] if len(received_hash) == HASH_SIZE and code in BY_CODE:
            return Refusal(received_hash, BY_CODE[code])
    raise VerificationError(Reason.MESSAGE_SHAPE, "not a hash and a reason")


def _parse_receipt(item: object) -> DeviceReceipt:
    match item:
        case [epoch, sequence, bytes() as receipt] if _is_counter(epoch) and _is_counter(sequence):
            return DeviceReceipt(epoch, sequence, receipt)
    raise VerificationError(Reason.MESSAGE_SHAPE, "not [epoch, sequence, receipt]")


def _is_counter(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= COUNTER_MAX
