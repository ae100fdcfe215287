"""Where a statement stands: its block, the block's entry, the log under a checkpoint. Step by step."""

from pipeline.log.block import SignedBlock, parse_signed_block
from pipeline.log.checkpoint import OpenedCheckpoint
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.log.merkle import check_inclusion, hash_leaf
from pipeline.verify.signer import Path
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason


def check_entry(signed_block: bytes, path: Path, opened: OpenedCheckpoint) -> None:
    """Check that the log has an entry. Its signature says less than that.

    Raises:
        VerificationError: SIZE_ORDER, HASH_SIZE, INDEX_OUTSIDE, PATH_LONG, PATH_SHORT, ROOT_MISMATCH.
    """
    if path.size != opened.checkpoint.size:
        raise VerificationError(Reason.SIZE_ORDER, "the path in the log is for another size")
    check_inclusion(hash_leaf(signed_block), path.index, path.size, path.hashes, opened.checkpoint.root)


def check_manifest(
    manifest: bytes, signed_block: bytes, opened: OpenedCheckpoint
) -> tuple[SignedBlock, Manifest]:
    """Return entry and manifest of one block.

    Raises:
        VerificationError: As `parse_signed_block` and `decode_manifest`; CHECKPOINT_ORIGIN,
            MANIFEST_MISMATCH, BLOCK_HEIGHT.
    """
    block = parse_signed_block(signed_block)
    if block.origin != opened.checkpoint.origin:
        raise VerificationError(Reason.CHECKPOINT_ORIGIN, block.origin)
    if hash_leaf(manifest) != block.manifest_hash:
        raise VerificationError(Reason.MANIFEST_MISMATCH)
    decoded = decode_manifest(manifest)
    if (decoded.shard, decoded.height) != (block.shard, block.height):
        raise VerificationError(Reason.BLOCK_HEIGHT, "manifest and entry name different blocks")
    return block, decoded


def check_leaf(statement: bytes, path: Path, block: SignedBlock, manifest: Manifest) -> None:
    """Check that a block has a statement.

    Raises:
        VerificationError: BLOCK_COUNTS, HASH_SIZE, INDEX_OUTSIDE, PATH_LONG, PATH_SHORT, ROOT_MISMATCH.
    """
    if path.size != manifest.accepted + 1:
        raise VerificationError(Reason.BLOCK_COUNTS, "the path in the block is for another size")
    check_inclusion(hash_leaf(statement), path.index, path.size, path.hashes, block.root)
