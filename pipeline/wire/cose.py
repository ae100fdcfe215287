"""COSE_Sign1 (RFC 9052, 4.2) as far as the formats use it: Ed25519 only, tag 18, strict CBOR.

Which labels a header must hold is each object's business; envelope and algorithm are checked here.
"""

from dataclasses import dataclass
from functools import lru_cache

import cbor2

from pipeline.wire import cbor
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import SIGNATURE_SIZE
from pipeline.wire.reasons import Reason

ALGORITHM_ED25519 = -19  # RFC 9864; EdDSA (-8) names no curve and is refused.
LABEL_ALGORITHM = 1
LABEL_CONTENT_TYPE = 3
LABEL_KEY_ID = 4
LABEL_CWT_CLAIMS = 15  # RFC 9597
CLAIM_ISSUER = 1
CLAIM_SUBJECT = 2

_CONTEXT = b"\x84\x6aSignature1"
_NO_EXTERNAL_DATA = b"\x40"


@dataclass(frozen=True, slots=True)
class Sign1:
    """A COSE_Sign1, its parts as they stand in the bytes. `payload` is None where it is detached."""

    protected: bytes
    unprotected: dict[object, object]
    payload: bytes | None
    signature: bytes


def parse_sign1(raw: bytes, *, size_max: int = cbor.STATEMENT_SIZE_MAX, detached: bool = False) -> Sign1:
    """Return the parts of a tagged COSE_Sign1.

    Args:
        raw: The bytes of one COSE_Sign1.
        size_max: Longer input is refused unread.
        detached: Whether the payload must be detached (nil) or must be there.

    Raises:
        VerificationError: `oversize`, `cbor_*`, `cose_shape`, `cose_payload`.
    """
    tagged = cbor.decode(raw, size_max=size_max, null_payload=True)
    match tagged:
        case cbor2.CBORTag(
            tag=cbor.TAG_COSE_SIGN1,
            value=[
                bytes() as protected,
                dict() as unprotected,
                bytes() | None as payload,
                bytes() as signature,
            ],
        ) if len(signature) == SIGNATURE_SIZE:
            pass
        case _:
            raise VerificationError(Reason.COSE_SHAPE)
    if (payload is None) != detached:
        raise VerificationError(Reason.COSE_PAYLOAD)
    return Sign1(protected, unprotected, payload, signature)


def encode_sign1(sign1: Sign1) -> bytes:
    """Return the bytes of a COSE_Sign1."""
    parts = [sign1.protected, sign1.unprotected, sign1.payload, sign1.signature]
    return cbor.encode(cbor2.CBORTag(cbor.TAG_COSE_SIGN1, parts))


def decode_header(protected: bytes, labels: frozenset[int]) -> dict[int, object]:
    """Return a protected header that holds exactly these labels, the algorithm among them.

    Raises:
        VerificationError: `cbor_*`, `cose_header`, `cose_algorithm`.
    """
    header = cbor.decode(protected)
    if not isinstance(header, dict):
        raise VerificationError(Reason.COSE_HEADER, "not a map")
    algorithm = header.get(LABEL_ALGORITHM)
    if LABEL_ALGORITHM in header and (type(algorithm) is not int or algorithm != ALGORITHM_ED25519):
        raise VerificationError(Reason.COSE_ALGORITHM, f"algorithm {algorithm!r}"[:80])
    if header.keys() != labels:
        raise VerificationError(Reason.COSE_HEADER, "not exactly the labels of this object")
    return header


def signing_input(protected: bytes, payload: bytes) -> bytes:
    """Return the Sig_structure that is signed (RFC 9052, 4.4), without external data."""
    return b"".join(
        (
            _CONTEXT,
            _bytes_head(len(protected)),
            protected,
            _NO_EXTERNAL_DATA,
            _bytes_head(len(payload)),
            payload,
        )
    )


@lru_cache(maxsize=4096)  # A fleet's statements have few sizes.
def _bytes_head(size: int) -> bytes:
    return cbor.encode_head(2, size)
