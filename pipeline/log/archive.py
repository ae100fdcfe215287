"""The archive: bodies of blocks as files beside the tiles, for auditors, as they hold every reading."""

from pipeline.log.block import SignedBlock, open_body
from pipeline.log.merkle import BlockTree
from pipeline.log.tiles import ReadFile, block_path
from pipeline.wire.errors import MissingError


def read_block(read: ReadFile, block: SignedBlock) -> tuple[list[bytes], BlockTree]:
    """Return the archived leaves of a block and the tree over them, which are those that the log signed.

    Raises:
        MissingError: The file is missing.
        VerificationError: OVERSIZE, BLOCK_SHAPE, MANIFEST_MISMATCH, BLOCK_ROOT, BLOCK_COUNTS.
    """
    path = block_path(block.shard, block.height)
    body = read(path)
    if body is None:
        raise MissingError(path)
    return open_body(block, body)
