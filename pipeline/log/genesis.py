"""The genesis: entry 0, with which a log begins."""

from dataclasses import dataclass

from pipeline.log.fields import is_hash, is_uint
from pipeline.log.signing import parse_log_header, sign_as_log, verify_as_log
from pipeline.wire import cbor, cose, keys
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import CONTENT_GENESIS

FORMATS_VERSION = 1

_SUBJECT = "genesis"


@dataclass(frozen=True, slots=True)
class Genesis:
    """Entry 0: the log's name, number of shards, version of the formats, SHA-256 of the authorities file."""

    raw: bytes
    protected: bytes
    kid: bytes
    origin: str
    shards: int
    version: int
    authorities_hash: bytes
    payload: bytes
    signature: bytes


def sign_genesis(signer: keys.Signer, origin: str, shards: int, authorities_hash: bytes) -> bytes:
    """Return entry 0 of a new log. `authorities_hash` is the SHA-256 of the authorities file."""
    payload = cbor.encode({1: origin, 2: shards, 3: FORMATS_VERSION, 4: authorities_hash})
    return sign_as_log(signer, origin, _SUBJECT, {cose.LABEL_CONTENT_TYPE: CONTENT_GENESIS}, payload)


def parse_genesis(raw: bytes) -> Genesis:
    """Parse entry 0; the signature is not verified.

    Raises:
        VerificationError: OVERSIZE, CBOR_*, COSE_*, GENESIS_SHAPE.
    """
    sign1 = cose.parse_sign1(raw)
    if sign1.unprotected:
        raise VerificationError(Reason.COSE_UNPROTECTED, "a genesis' is empty")
    signer, header = parse_log_header(sign1.protected, frozenset({cose.LABEL_CONTENT_TYPE}))
    if header[cose.LABEL_CONTENT_TYPE] != CONTENT_GENESIS or signer.subject != _SUBJECT:
        raise VerificationError(Reason.GENESIS_SHAPE, "another content type or subject")
    assert sign1.payload is not None, "parse_sign1 admits no detached payload here"
    match cbor.decode(sign1.payload):
        case {1: str() as name, 2: shards, 3: version, 4: authorities_hash, **rest} if (
            not rest
            and name == signer.origin
            and is_uint(shards)
            and shards >= 2
            and is_uint(version)
            and version == FORMATS_VERSION
            and is_hash(authorities_hash)
        ):
            return Genesis(
                raw=raw,
                protected=sign1.protected,
                kid=signer.kid,
                origin=signer.origin,
                shards=shards,
                version=version,
                authorities_hash=authorities_hash,
                payload=sign1.payload,
                signature=sign1.signature,
            )
    raise VerificationError(Reason.GENESIS_SHAPE)


def verify_genesis(genesis: Genesis, public_key: bytes) -> None:
    """Check the log's signature; whose log it is (`origin`) the caller compares.

    Raises:
        VerificationError: KEY_UNKNOWN, KEY_INVALID, SIGNATURE_INVALID.
    """
    verify_as_log(genesis.kid, genesis.protected, genesis.payload, genesis.signature, public_key)
