"""The admission: an authority lets named statements in in spite of a revocation or a rotation.

A thief's and an honest device's statements under a revoked key look alike. Someone who knows which is which,
because a receipt or a device's own memory says so, names the honest ones by their leaf hashes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.wire import cbor
from pipeline.wire.errors import VerificationError
from pipeline.wire.names import is_issuer, is_label
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import HASH_SIZE


@dataclass(frozen=True, slots=True)
class Admission:
    """Whose statements are let in, by leaf hash in ascending order, and why: a short text for people."""

    issuer: str
    leaf_hashes: Sequence[bytes]
    why: str


def encode_admission(admission: Admission) -> bytes:
    """Return the payload of an admission's statement; it holds about 450 leaf hashes at most."""
    return cbor.encode({1: admission.issuer, 2: list(admission.leaf_hashes), 3: admission.why})


def decode_admission(payload: bytes) -> Admission:
    """Return the admission of a statement's payload.

    Raises:
        VerificationError: `cbor_*`, `admission_shape`.
    """
    match cbor.decode(payload):
        case {1: str() as issuer, 2: list() as leaf_hashes, 3: str() as why, **others} if (
            not others and is_issuer(issuer) and _are_ascending_hashes(leaf_hashes) and is_label(why)
        ):
            return Admission(issuer, leaf_hashes, why)
    raise VerificationError(Reason.ADMISSION_SHAPE)


def _are_ascending_hashes(items: Sequence[object]) -> bool:
    hashes = [item for item in items if isinstance(item, bytes) and len(item) == HASH_SIZE]
    return 0 < len(hashes) == len(items) and all(before < after for before, after in pairwise(hashes))
