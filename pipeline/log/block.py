"""Blocks: what an aggregator seals and the log signs.

A block's leaves are its manifest and then its statements. Its body, on the bus and in the archive, is these
leaves, each behind its length. The log signs the root: one signature for every statement in the block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pipeline.log.fields import is_hash, is_uint
from pipeline.log.manifest import Manifest, encode_manifest
from pipeline.log.merkle import HASH_SIZE, BlockTree, hash_leaf, hash_leaves
from pipeline.log.signing import parse_log_header, sign_as_log, verify_as_log
from pipeline.wire import cbor, cose, keys
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

BODY_SIZE_MAX = 1 << 20
LEAVES_MAX = 2048  # A point's `ref` is entry * 2048 + leaf.

LABEL_VDS = 395  # RFC 9942: which verifiable data structure.
VDS_RFC9162_SHA256 = 1
LABEL_BLOCK = -70002  # [shard, height, leaf hash of the manifest, number of leaves]

_FRAME_SIZE = 4
_head = lru_cache(maxsize=4096)(
    cbor.encode_head
)  # Of shards, sizes and lengths: the same few again and again.
_HASH_HEAD = cbor.encode_head(2, HASH_SIZE)
_SIGNATURE_HEAD = cbor.encode_head(2, keys.SIGNATURE_SIZE)
_STRUCTURE_AND_LABEL = (
    cbor.encode(LABEL_VDS)
    + cbor.encode(VDS_RFC9162_SHA256)
    + cbor.encode(LABEL_BLOCK)
    + cbor.encode_head(4, 4)
)


@dataclass(frozen=True, slots=True)
class SealedBlock:
    """A block as it leaves the aggregator: body, and the tree over its leaves."""

    body: bytes
    tree: BlockTree

    @property
    def root(self) -> bytes:
        """Root over the leaves, 32 bytes."""
        return self.tree.root

    @property
    def manifest_hash(self) -> bytes:
        """Leaf hash of the manifest."""
        return self.tree.levels[0][0]


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """Protected header of a signed block, and of every receipt taken from it.

    `size`, the number of leaves, is signed here because RFC 9942 leaves a proof's size unsigned, and a path
    leads to the same root at other sizes too, some of them with another index.
    """

    kid: bytes
    origin: str
    shard: int
    height: int
    manifest_hash: bytes
    size: int


@dataclass(frozen=True, slots=True)
class SignedBlock:
    """A signed block: an entry of the log."""

    raw: bytes
    protected: bytes
    kid: bytes
    origin: str
    shard: int
    height: int
    manifest_hash: bytes
    size: int
    root: bytes
    signature: bytes


def encode_body(leaves: Sequence[bytes]) -> bytes:
    """Return the body: each leaf after its length as four bytes, big-endian."""
    return b"".join(part for leaf in leaves for part in (len(leaf).to_bytes(_FRAME_SIZE, "big"), leaf))


def decode_body(body: bytes) -> list[bytes]:
    """Return the leaves of a body: the manifest, then the statements.

    Raises:
        VerificationError: OVERSIZE, BLOCK_SHAPE.
    """
    if len(body) > BODY_SIZE_MAX:
        raise VerificationError(Reason.OVERSIZE, f"a body of {len(body)} bytes")
    leaves: list[bytes] = []
    at, end = 0, len(body)
    while at < end and len(leaves) < LEAVES_MAX:
        start = at + _FRAME_SIZE
        at = start + int.from_bytes(body[at:start], "big")
        leaves.append(body[start:at])
    if at != end or not leaves:
        raise VerificationError(Reason.BLOCK_SHAPE, f"the framing breaks at leaf {len(leaves)}")
    return leaves


def seal(
    manifest: Manifest, statements: Sequence[bytes], leaf_hashes: Sequence[bytes] | None = None
) -> SealedBlock:
    """Seal statements into a block behind their manifest; `leaf_hashes` spares hashing them again."""
    leaves = [encode_manifest(manifest), *statements]
    assert len(leaves) <= LEAVES_MAX, "more leaves than a point's ref can name"
    body = encode_body(leaves)
    assert len(body) <= BODY_SIZE_MAX, "a body larger than the bus carries"
    if leaf_hashes is None:
        leaf_hashes = hash_leaves(statements)
    return SealedBlock(body, BlockTree([hash_leaf(leaves[0]), *leaf_hashes]))


def sign_block(
    signer: keys.Signer, origin: str, manifest: Manifest, root: bytes, manifest_leaf_hash: bytes
) -> bytes:
    """Return the signed block: the log's word that its shard has this root at this height.

    Deterministic: the same block gives the same bytes, so a repeat after a crash changes nothing.
    """
    fields = {
        LABEL_VDS: VDS_RFC9162_SHA256,
        LABEL_BLOCK: [manifest.shard, manifest.height, manifest_leaf_hash, manifest.accepted + 1],
    }
    return sign_as_log(signer, origin, _block_subject(manifest.shard, manifest.height), fields, root)


class EntryForm:
    """Writes a log's signed blocks from what they say: an entry has one encoding only.

    Args:
        kid: Key id of the log's key.
        origin: The log's name.
    """

    __slots__ = ("_beginning", "_fixed_size")

    def __init__(self, kid: bytes, origin: str) -> None:
        # Labels 1 to 15, up to the subject; it is the last of the claims.
        claims = {cose.CLAIM_ISSUER: origin, cose.CLAIM_SUBJECT: ""}
        common = {cose.LABEL_ALGORITHM: cose.ALGORITHM_ED25519, cose.LABEL_KEY_ID: kid}
        header = cbor.encode(common | {cose.LABEL_CWT_CLAIMS: claims})
        self._beginning = cbor.encode_head(5, 5) + header[1:-1]
        self._fixed_size = len(self._beginning + _STRUCTURE_AND_LABEL + _HASH_HEAD) + HASH_SIZE

    def encode(
        self, shard: int, height: int, manifest_hash: bytes, size: int, root: bytes, signature: bytes
    ) -> bytes:
        """Return the entry of a block; whether the log has signed it, its place in the log says."""
        subject = _block_subject(shard, height).encode()
        heads = _head(3, len(subject)), _head(0, shard), cbor.encode_head(0, height), _head(0, size)
        length = self._fixed_size + len(subject) + sum(map(len, heads))
        return b"".join(
            (
                b"\xd2\x84", _head(2, length), self._beginning, heads[0], subject, _STRUCTURE_AND_LABEL,
                heads[1], heads[2], _HASH_HEAD, manifest_hash, heads[3], b"\xa0", _HASH_HEAD, root,
                _SIGNATURE_HEAD, signature,
            )
        )  # fmt: skip


def parse_signed_block(raw: bytes) -> SignedBlock:
    """Parse a signed block; the signature is not verified.

    Raises:
        VerificationError: OVERSIZE, CBOR_*, COSE_*, BLOCK_SHAPE.
    """
    sign1 = cose.parse_sign1(raw)
    if sign1.unprotected:
        raise VerificationError(Reason.COSE_UNPROTECTED, "a signed block's is empty")
    header = parse_block_header(sign1.protected)
    if sign1.payload is None or len(sign1.payload) != HASH_SIZE:
        raise VerificationError(Reason.BLOCK_SHAPE, "the payload is not a root")
    return SignedBlock(
        raw=raw,
        protected=sign1.protected,
        kid=header.kid,
        origin=header.origin,
        shard=header.shard,
        height=header.height,
        manifest_hash=header.manifest_hash,
        size=header.size,
        root=sign1.payload,
        signature=sign1.signature,
    )


def parse_block_header(protected: bytes) -> BlockHeader:
    """Parse the protected header of a signed block or of a receipt.

    Raises:
        VerificationError: CBOR_*, COSE_ALGORITHM, COSE_HEADER, BLOCK_SHAPE.
    """
    signer, header = parse_log_header(protected, frozenset({LABEL_VDS, LABEL_BLOCK}))
    vds = header[LABEL_VDS]
    if type(vds) is not int or vds != VDS_RFC9162_SHA256:
        raise VerificationError(Reason.COSE_HEADER, "the data structure is not RFC9162_SHA256")
    match header[LABEL_BLOCK]:
        case [shard, height, manifest_hash, size] if (
            is_uint(shard) and is_uint(height) and is_hash(manifest_hash) and is_uint(size)
        ):
            pass
        case _:
            raise VerificationError(Reason.COSE_HEADER, "not [shard, height, hash of the manifest, size]")
    if signer.subject != _block_subject(shard, height) or not 0 < size <= LEAVES_MAX:
        raise VerificationError(Reason.BLOCK_SHAPE, f"subject {signer.subject[:80]!r}, size {size}")
    return BlockHeader(signer.kid, signer.origin, shard, height, manifest_hash, size)


def verify_signed_block(block: SignedBlock, public_key: bytes) -> None:
    """Check the log's signature; whose log it is (`origin`) the caller compares.

    Raises:
        VerificationError: KEY_UNKNOWN, KEY_INVALID, SIGNATURE_INVALID.
    """
    verify_as_log(block.kid, block.protected, block.root, block.signature, public_key)


def open_body(block: SignedBlock, body: bytes) -> tuple[list[bytes], BlockTree]:
    """Return the leaves of a block and the tree over them, which are those that the log signed.

    Raises:
        VerificationError: OVERSIZE, BLOCK_SHAPE, MANIFEST_MISMATCH, BLOCK_ROOT, BLOCK_COUNTS.
    """
    leaves = decode_body(body)
    tree = BlockTree(hash_leaves(leaves))
    place = _block_subject(block.shard, block.height)
    if tree.levels[0][0] != block.manifest_hash:
        raise VerificationError(Reason.MANIFEST_MISMATCH, place)
    if tree.root != block.root:
        raise VerificationError(Reason.BLOCK_ROOT, place)
    if tree.size != block.size:
        raise VerificationError(
            Reason.BLOCK_COUNTS, f"{place}: {tree.size} leaves where {block.size} are signed"
        )
    return leaves, tree


def _block_subject(shard: int, height: int) -> str:
    return f"shard/{shard}/{height}"
