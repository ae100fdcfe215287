"""Receipts (RFC 9942): the block's signature with the root left out, and the path from one statement to it.

One signature serves every statement of the block: whoever holds a statement computes the root and checks the
signature over that. A receipt promises durability and a place; that the log only ever grows is another proof.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from pipeline.log.block import parse_block_header
from pipeline.log.merkle import HASH_SIZE, root_from_path
from pipeline.log.signing import verify_as_log
from pipeline.wire import cbor, cose, keys
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

LABEL_PROOFS = 396  # RFC 9942: verifiable data structure proofs.
PROOF_INCLUSION = -1

# The end of a signed block: empty unprotected map, payload of 32 bytes, signature of 64.
_ROOT = b"\xa0\x58\x20"
_ROOT_SIZE = len(_ROOT) + HASH_SIZE
_SIGNATURE_SIZE = 2 + keys.SIGNATURE_SIZE  # With its head.
_PROOFS = cbor.encode({LABEL_PROOFS: {PROOF_INCLUSION: [b""]}})[:-1]  # Up to the one proof.
_HASH = b"\x58\x20"


@dataclass(frozen=True, slots=True)
class Receipt:
    """Verified: where a statement stands, in the block at `height` of `shard`, leaf `index` of `size`."""

    shard: int
    height: int
    index: int
    size: int


@dataclass(frozen=True, slots=True)
class ReceiptClaim:
    """What a receipt says, nothing of it verified."""

    protected: bytes
    kid: bytes
    origin: str
    shard: int
    height: int
    index: int
    size: int
    path: list[bytes]
    signature: bytes


def make_receipt(signed_block_raw: bytes, size: int, index: int, path: Sequence[bytes]) -> bytes:
    """Return the receipt of leaf `index` in a signed block of `size` leaves.

    Args:
        signed_block_raw: A signed block that parses.
        size: Number of leaves, at least 2: RFC 9942 has no receipt for a tree of one leaf.
        index: The leaf.
        path: Its inclusion path.
    """
    root_at, signature_at = len(signed_block_raw) - _SIGNATURE_SIZE - _ROOT_SIZE, -_SIGNATURE_SIZE
    assert signed_block_raw.startswith(_ROOT, root_at), "not a signed block"
    assert path, "a tree of one leaf has no receipts"
    # Written out: a block's receipts are made a thousand at a time.
    proof = b"".join(
        (
            b"\x83",
            cbor.encode_head(0, size),
            cbor.encode_head(0, index),
            cbor.encode_head(4, len(path)),
            *(_HASH + sibling for sibling in path),
        )
    )
    return b"".join(
        (
            signed_block_raw[:root_at],
            _PROOFS,
            cbor.encode_head(2, len(proof)),
            proof,
            b"\xf6",
            signed_block_raw[signature_at:],
        )
    )


def check_receipt(receipt: bytes, leaf_hash: bytes, *, origin: str, public_key: bytes) -> Receipt:
    """Check that a receipt of this log is that of the statement with this leaf hash.

    Raises:
        VerificationError: OVERSIZE, CBOR_*, COSE_*, BLOCK_SHAPE, RECEIPT_SHAPE, RECEIPT_ORIGIN, RECEIPT_SIZE,
            HASH_SIZE, INDEX_OUTSIDE, PATH_LONG, PATH_SHORT, KEY_UNKNOWN, KEY_INVALID, and SIGNATURE_INVALID
            where it is another statement's.
    """
    claim = parse_receipt(receipt)
    if claim.origin != origin:
        raise VerificationError(Reason.RECEIPT_ORIGIN, f"{claim.origin} where {origin} was expected")
    root = root_from_path(leaf_hash, claim.index, claim.size, claim.path)
    verify_as_log(claim.kid, claim.protected, root, claim.signature, public_key)
    return Receipt(claim.shard, claim.height, claim.index, claim.size)


def parse_receipt(receipt: bytes) -> ReceiptClaim:
    """Return what a receipt says; without the statement none of it can be verified.

    Raises:
        VerificationError: OVERSIZE, CBOR_*, COSE_*, BLOCK_SHAPE, RECEIPT_SHAPE, RECEIPT_SIZE.
    """
    sign1 = cose.parse_sign1(receipt, detached=True)
    header = parse_block_header(sign1.protected)
    size, index, path = _parse_proof(sign1.unprotected)
    if size != header.size:
        raise VerificationError(Reason.RECEIPT_SIZE, f"{size} where the block has {header.size}")
    return ReceiptClaim(
        protected=sign1.protected,
        kid=header.kid,
        origin=header.origin,
        shard=header.shard,
        height=header.height,
        index=index,
        size=size,
        path=path,
        signature=sign1.signature,
    )


def _parse_proof(unprotected: dict[object, object]) -> tuple[int, int, list[bytes]]:
    """Return size, index and path out of {396: {-1: [bstr .cbor [size, index, [+ bstr]]]}}."""
    match unprotected:
        case {396: {-1: [bytes() as encoded], **other_proofs}, **others} if not other_proofs and not others:
            pass
        case _:
            raise VerificationError(Reason.COSE_UNPROTECTED, "not exactly one inclusion proof")
    match cbor.decode(encoded):
        case [size, index, [*path]] if (
            type(size) is int and type(index) is int and path and all(isinstance(h, bytes) for h in path)
        ):
            return size, index, cast("list[bytes]", path)
    raise VerificationError(Reason.RECEIPT_SHAPE, "not [size, index, path]")
