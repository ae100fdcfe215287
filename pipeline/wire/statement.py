"""The statement: the COSE_Sign1 profile that devices, authorities and people sign.

The protected header holds exactly five labels: algorithm -19, content type, key id, CWT claims {1: issuer, 2:
subject} and the chain [epoch, sequence, previous] (private label -70001). As the chain sorts last, all that
stands before the sequence is constant while a device lives; `StatementParser` remembers it.
"""

import hashlib
import re
from typing import NamedTuple, TypeGuard

from pipeline.wire import cbor, cose
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import KEY_ID_SIZE, SIGNATURE_SIZE, Signer, key_id, verify
from pipeline.wire.names import is_device, is_issuer, is_label
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import decode_pack

CONTENT_SENML = 112  # application/senml+cbor, by its CoAP number (RFC 8428, 12.3)
CONTENT_ENROLMENT = "application/vnd.cityproof.enrolment+cbor"
CONTENT_ROTATION = "application/vnd.cityproof.rotation+cbor"
CONTENT_REVOCATION = "application/vnd.cityproof.revocation+cbor"
CONTENT_ADMISSION = "application/vnd.cityproof.admission+cbor"
CONTENT_FINDING = "application/vnd.cityproof.finding+cbor"
CONTENT_SHIPMENT = "application/vnd.cityproof.shipment+cbor"
CONTENT_EPCIS = "application/vnd.cityproof.epcis+cbor"
CONTENT_GENESIS = "application/vnd.cityproof.genesis+cbor"

LABEL_CHAIN = -70001
COUNTER_MAX = 2**53 - 1  # Of epoch and sequence: what a float-based language counts exactly.
HASH_SIZE = 32
CONTENT_TYPE_SIZE_MAX = 128  # Characters.

_CONTENT_TYPE = re.compile(r"application/vnd\.cityproof\.[a-z0-9]+(?:[.-][a-z0-9]+)*\+cbor")
_LABELS = frozenset(
    {cose.LABEL_ALGORITHM, cose.LABEL_CONTENT_TYPE, cose.LABEL_KEY_ID, cose.LABEL_CWT_CLAIMS, LABEL_CHAIN}
)


class Statement(NamedTuple):
    """A statement's parts. `raw` are the exact bytes, the only thing that is hashed and kept."""

    raw: bytes
    issuer: str
    subject: str
    kid: bytes
    content_type: int | str
    epoch: int
    sequence: int
    previous: bytes
    payload: bytes
    signature: bytes
    protected: bytes


def parse_statement(raw: bytes) -> Statement:
    """Check everything about a statement but its signature and the inside of its payload.

    Raises:
        VerificationError: `oversize`, `cbor_*`, `cose_*`, `statement_*`.
    """
    sign1 = cose.parse_sign1(raw)
    if sign1.unprotected:
        raise VerificationError(Reason.COSE_UNPROTECTED)
    assert sign1.payload is not None, "parse_sign1 admits no detached payload here"
    header = cose.decode_header(sign1.protected, _LABELS)
    content_type = _parse_content_type(header[cose.LABEL_CONTENT_TYPE])
    kid = header[cose.LABEL_KEY_ID]
    if not isinstance(kid, bytes) or len(kid) != KEY_ID_SIZE:
        raise VerificationError(Reason.COSE_HEADER, "the key id is not 8 bytes")
    issuer, subject = _parse_claims(header[cose.LABEL_CWT_CLAIMS], reading=content_type == CONTENT_SENML)
    epoch, sequence, previous = _parse_chain(header[LABEL_CHAIN])
    return Statement(
        raw=raw,
        issuer=issuer,
        subject=subject,
        kid=kid,
        content_type=content_type,
        epoch=epoch,
        sequence=sequence,
        previous=previous,
        payload=sign1.payload,
        signature=sign1.signature,
        protected=sign1.protected,
    )


def verify_statement(statement: Statement, public_key: bytes) -> None:
    """Check a statement's signature under a key that the caller has looked up by issuer and key id.

    Raises:
        VerificationError: `key_invalid`, `signature_invalid`.
    """
    verify(public_key, cose.signing_input(statement.protected, statement.payload), statement.signature)


def sign_statement(
    signer: Signer,
    *,
    issuer: str,
    subject: str,
    content_type: int | str,
    epoch: int,
    sequence: int,
    previous: bytes,
    payload: bytes,
) -> bytes:
    """Return the bytes of a signed statement. Right arguments are the caller's duty."""
    protected = cbor.encode(
        {
            cose.LABEL_ALGORITHM: cose.ALGORITHM_ED25519,
            cose.LABEL_CONTENT_TYPE: content_type,
            cose.LABEL_KEY_ID: key_id(signer.public_key),
            cose.LABEL_CWT_CLAIMS: {cose.CLAIM_ISSUER: issuer, cose.CLAIM_SUBJECT: subject},
            LABEL_CHAIN: [epoch, sequence, previous],
        }
    )
    signature = signer.sign(cose.signing_input(protected, payload))
    return cose.encode_sign1(cose.Sign1(protected, {}, payload, signature))


def shard_of(issuer: str, shards: int) -> int:
    """Return the issuer's shard, 1 to shards - 1; shard 0 is the registry's.

    1 + SHA-256(issuer), read as a big-endian integer, modulo (shards - 1).
    """
    assert shards >= 2, "one shard for the registry and one for readings at least"
    return 1 + int.from_bytes(hashlib.sha256(issuer.encode()).digest()) % (shards - 1)


def record_count(raw: bytes) -> int:
    """Return how many records these bytes count for: those of a reading that decodes, else 1."""
    try:
        return records_in(parse_statement(raw))
    except VerificationError:
        return 1


def records_in(statement: Statement) -> int:
    """Return what `record_count` returns for a statement that is parsed already."""
    if statement.content_type != CONTENT_SENML:
        return 1
    try:
        return len(decode_pack(statement.payload, statement.issuer))
    except VerificationError:
        return 1


def _parse_content_type(content_type: object) -> int | str:
    if isinstance(content_type, str):
        if len(content_type) <= CONTENT_TYPE_SIZE_MAX and _CONTENT_TYPE.fullmatch(content_type):
            return content_type
    elif type(content_type) is int and content_type == CONTENT_SENML:
        return content_type
    raise VerificationError(Reason.STATEMENT_CONTENT_TYPE)


def _parse_claims(claims: object, *, reading: bool) -> tuple[str, str]:
    """Return issuer and subject; readings are issued by devices only."""
    if not isinstance(claims, dict) or claims.keys() != {cose.CLAIM_ISSUER, cose.CLAIM_SUBJECT}:
        raise VerificationError(Reason.COSE_HEADER, "the claims are not issuer and subject")
    issuer, subject = claims[cose.CLAIM_ISSUER], claims[cose.CLAIM_SUBJECT]
    if not (is_device(issuer) if reading else is_issuer(issuer)):
        raise VerificationError(Reason.STATEMENT_ISSUER)
    if not is_label(subject):
        raise VerificationError(Reason.STATEMENT_SUBJECT)
    return issuer, subject


def _parse_chain(chain: object) -> tuple[int, int, bytes]:
    match chain:
        case [epoch, sequence, bytes() as previous] if (
            is_counter(epoch) and is_counter(sequence) and len(previous) == HASH_SIZE
        ):
            return epoch, sequence, previous
    raise VerificationError(Reason.STATEMENT_CHAIN)


def is_counter(value: object) -> TypeGuard[int]:
    """Tell whether this is an integer from 0 to 2^53 - 1."""
    return type(value) is int and 0 <= value <= COUNTER_MAX


# The fast way.

_BEGINNINGS_MAX = 16384  # About 10 MB.
_BEGINNING_SIZE_MAX = 512  # Bytes; no valid header puts the chain behind.
_CHAIN_START = b"\x3a\x00\x01\x11\x70\x83"  # The label -70001 and the head of the array of three.
_PREVIOUS_HEAD = b"\x58\x20"
_SIGNATURE_HEAD = b"\x58\x40"
_TAIL_SIZE = len(_SIGNATURE_HEAD) + SIGNATURE_SIZE
# By its first byte: the size of an unsigned integer, and the smallest value that needs this form.
_COUNTER_SIZES = dict.fromkeys(range(24), 1) | {0x18: 2, 0x19: 3, 0x1A: 5, 0x1B: 9}
_COUNTER_LEASTS = {0x18: 24, 0x19: 1 << 8, 0x1A: 1 << 16, 0x1B: 1 << 32}


class _Beginning(NamedTuple):
    """What the bytes up to the epoch say, and where the protected header ends."""

    issuer: str
    subject: str
    kid: bytes
    content_type: int | str
    epoch: int
    start: int
    end: int


class StatementParser:
    """Parses like `parse_statement`, and fast where a statement begins as an earlier one did.

    The beginning reaches from the tag to the epoch. It is remembered only from statements that passed whole,
    so equal bytes need no second look; `_parse_rest` checks everything behind it.
    """

    __slots__ = ("_beginnings",)

    def __init__(self) -> None:
        self._beginnings: dict[bytes, _Beginning] = {}

    def parse(self, raw: bytes) -> Statement:
        """Return what `parse_statement` returns, or raise what it raises."""
        epoch_at = raw.find(_CHAIN_START, 0, _BEGINNING_SIZE_MAX) + len(_CHAIN_START)
        head = raw[epoch_at] if epoch_at < len(raw) else 0
        sequence_at = epoch_at + _COUNTER_SIZES.get(head, 1)
        beginning = self._beginnings.get(raw[:sequence_at])
        if beginning is None:
            statement = parse_statement(raw)
            self._remember(statement)
            return statement
        return _parse_rest(raw, sequence_at, beginning) or parse_statement(raw)

    def _remember(self, statement: Statement) -> None:
        start = 2 + len(cbor.encode_head(2, len(statement.protected)))
        end = start + len(statement.protected)
        sequence_at = end - len(_PREVIOUS_HEAD) - HASH_SIZE - len(cbor.encode_head(0, statement.sequence))
        if len(self._beginnings) == _BEGINNINGS_MAX:
            del self._beginnings[next(iter(self._beginnings))]  # The oldest.
        self._beginnings[statement.raw[:sequence_at]] = _Beginning(*statement[1:6], start, end)


def _parse_rest(raw: bytes, sequence_at: int, beginning: _Beginning) -> Statement | None:
    """Parse a statement from its sequence on; None where something is not as it must be."""
    issuer, subject, kid, content_type, epoch, start, end = beginning
    previous_at = end - HASH_SIZE
    sequence = _decode_counter(raw[sequence_at : previous_at - 2])
    payload_end = len(raw) - _TAIL_SIZE
    payload_at = _payload_start(raw, end + 1, payload_end)
    if (
        sequence is None
        or payload_at is None
        or len(raw) > cbor.STATEMENT_SIZE_MAX
        or raw[previous_at - 2 : previous_at] != _PREVIOUS_HEAD
        or raw[end] != 0xA0  # The empty unprotected map.
        or raw[payload_end : payload_end + 2] != _SIGNATURE_HEAD
    ):
        return None
    return Statement(
        raw,
        issuer,
        subject,
        kid,
        content_type,
        epoch,
        sequence,
        raw[previous_at:end],
        raw[payload_at:payload_end],
        raw[payload_end + 2 :],
        raw[start:end],
    )


def _decode_counter(raw: bytes) -> int | None:
    """Return the one unsigned integer in its shortest form that these bytes are, else None."""
    if len(raw) == 1:
        return raw[0] if raw[0] < 24 else None
    if not raw or _COUNTER_SIZES.get(raw[0]) != len(raw):
        return None
    value = int.from_bytes(raw[1:])
    return value if _COUNTER_LEASTS[raw[0]] <= value <= COUNTER_MAX else None


def _payload_start(raw: bytes, at: int, end: int) -> int | None:
    """Return where the content of the byte string at `at` starts if it ends at `end`, else None."""
    if at >= end:
        return None
    head = raw[at]
    if head == 0x58:
        return at + 2 if raw[at + 1] == end - at - 2 >= 24 else None
    if head == 0x59:
        return at + 3 if int.from_bytes(raw[at + 1 : at + 3]) == end - at - 3 >= 256 else None
    return at + 1 if head - 0x40 == end - at - 1 < 24 else None
