"""The revocation: an authority's statement that a key counts no more.

It acts from its place in the log on; what came before it stays.
"""

from dataclasses import dataclass

from pipeline.wire import cbor
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import KEY_ID_SIZE
from pipeline.wire.names import is_issuer, is_label
from pipeline.wire.reasons import Reason


@dataclass(frozen=True, slots=True)
class Revocation:
    """Which key counts no more, and why: a short text for people."""

    issuer: str
    kid: bytes
    why: str


def encode_revocation(revocation: Revocation) -> bytes:
    """Return the payload of a revocation's statement."""
    return cbor.encode({1: revocation.issuer, 2: revocation.kid, 3: revocation.why})


def decode_revocation(payload: bytes) -> Revocation:
    """Return the revocation of a statement's payload.

    Raises:
        VerificationError: `cbor_*`, `revocation_shape`.
    """
    match cbor.decode(payload):
        case {1: str() as issuer, 2: bytes() as kid, 3: str() as why, **others} if (
            not others and is_issuer(issuer) and len(kid) == KEY_ID_SIZE and is_label(why)
        ):
            return Revocation(issuer, kid, why)
    raise VerificationError(Reason.REVOCATION_SHAPE)
