"""The statement: the COSE_Sign1 profile that devices, authorities and people sign.

The protected header holds exactly five labels: algorithm -19, content type, key id, CWT claims {1: issuer,
2: subject} and the chain [epoch, sequence, previous] (private label -70001). As the chain sorts last, all
that stands before it is constant for a device and its subject; `StatementParser` remembers those prefixes.
"""

import hashlib
import re
from typing import NamedTuple

from pipeline.wire import cbor, cose
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import KEY_ID_SIZE, Signer, key_id, verify
from pipeline.wire.names import is_device, is_issuer, is_label
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import decode_pack

CONTENT_SENML = 112  # application/senml+cbor, by its CoAP number (RFC 8428, 12.3)
CONTENT_ENROLMENT = "application/vnd.cityproof.enrolment+cbor"
CONTENT_GENESIS = "application/vnd.cityproof.genesis+cbor"

CONTENT_TYPE_SIZE_MAX = 128  # Characters.
COUNTER_MAX = 2**53 - 1  # Of epoch and sequence: what a float-based language counts exactly.
HASH_SIZE = 32
NO_PREVIOUS = bytes(HASH_SIZE)

LABEL_CHAIN = -70001
_LABELS = frozenset(
    {cose.LABEL_ALGORITHM, cose.LABEL_CONTENT_TYPE, cose.LABEL_KEY_ID, cose.LABEL_CWT_CLAIMS, LABEL_CHAIN}
)

_CONTENT_TYPE = re.compile(r"application/vnd\.cityproof\.[a-z0-9]+(?:[.-][a-z0-9]+)*\+cbor")


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


class _Prefix(NamedTuple):
    """What the protected header says before the chain."""

    issuer: str
    subject: str
    kid: bytes
    content_type: int | str


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
    prefix = _parse_prefix(header)
    epoch, sequence, previous = _parse_chain(header[LABEL_CHAIN])
    return Statement(raw, *prefix, epoch, sequence, previous, sign1.payload, sign1.signature, sign1.protected)


class StatementParser:
    """Parses like `parse_statement`, and fast where it has seen a header with the same beginning before."""

    def parse(self, raw: bytes) -> Statement:
        """Return what `parse_statement` returns, or raise what it raises."""
        return parse_statement(raw)


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
    """Return the bytes of a signed statement. Right arguments are the caller's duty; a wrong one is a bug."""
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
        statement = parse_statement(raw)
        if statement.content_type != CONTENT_SENML:
            return 1
        return len(decode_pack(statement.payload, statement.issuer))
    except VerificationError:
        return 1


def _parse_prefix(header: dict[int, object]) -> _Prefix:
    kid = header[cose.LABEL_KEY_ID]
    if not isinstance(kid, bytes) or len(kid) != KEY_ID_SIZE:
        raise VerificationError(Reason.COSE_HEADER, "the key id is not 8 bytes")
    content_type = header[cose.LABEL_CONTENT_TYPE]
    if isinstance(content_type, str):
        if len(content_type) > CONTENT_TYPE_SIZE_MAX or not _CONTENT_TYPE.fullmatch(content_type):
            raise VerificationError(Reason.STATEMENT_CONTENT_TYPE)
    elif type(content_type) is not int or content_type != CONTENT_SENML:
        raise VerificationError(Reason.STATEMENT_CONTENT_TYPE)
    claims = header[cose.LABEL_CWT_CLAIMS]
    if not isinstance(claims, dict) or claims.keys() != {cose.CLAIM_ISSUER, cose.CLAIM_SUBJECT}:
        raise VerificationError(Reason.COSE_HEADER, "the claims are not issuer and subject")
    issuer, subject = claims[cose.CLAIM_ISSUER], claims[cose.CLAIM_SUBJECT]
    if not (is_device(issuer) if content_type == CONTENT_SENML else is_issuer(issuer)):
        raise VerificationError(Reason.STATEMENT_ISSUER)
    if not is_label(subject):
        raise VerificationError(Reason.STATEMENT_SUBJECT)
    return _Prefix(issuer, subject, kid, content_type)


def _parse_chain(chain: object) -> tuple[int, int, bytes]:
    match chain:
        case [int() as epoch, int() as sequence, bytes() as previous] if (
            type(epoch) is int
            and type(sequence) is int
            and 0 <= epoch <= COUNTER_MAX
            and 0 <= sequence <= COUNTER_MAX
            and len(previous) == HASH_SIZE
        ):
            return epoch, sequence, previous
    raise VerificationError(Reason.STATEMENT_CHAIN)
