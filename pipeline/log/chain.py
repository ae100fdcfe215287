"""The chain of blocks in a shard: what each next block must follow on from."""

from collections.abc import Sized
from dataclasses import dataclass

from pipeline.log.manifest import Manifest
from pipeline.log.merkle import HASH_SIZE
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason


@dataclass(frozen=True, slots=True)
class ChainTip:
    """Where a shard stands after its last block: what the next block's manifest must name."""

    height: int = 0
    root: bytes = bytes(HASH_SIZE)
    offset: int = 0
    arrival_ms: int = 0

    def after(self, manifest: Manifest, root: bytes) -> "ChainTip":
        """Return the tip after a block with this manifest and root."""
        return ChainTip(manifest.height + 1, root, manifest.offset_last + 1, manifest.arrival_last_ms)


def check_follows(tip: ChainTip, manifest: Manifest, shard: int, topic_id: bytes, leaves: Sized) -> None:
    """Check that a block continues its shard: height, link, offsets, times, counts.

    Raises:
        VerificationError: BLOCK_HEIGHT, BLOCK_LINK, BLOCK_OFFSETS, BLOCK_TIMES or BLOCK_COUNTS.
    """
    place = f"shard {shard}, height {manifest.height}"
    if (manifest.shard, manifest.height) != (shard, tip.height):
        raise VerificationError(Reason.BLOCK_HEIGHT, place)
    if manifest.previous != tip.root:
        raise VerificationError(Reason.BLOCK_LINK, place)
    if manifest.topic_id != topic_id or manifest.offset_first != tip.offset:
        raise VerificationError(Reason.BLOCK_OFFSETS, place)
    if not tip.arrival_ms <= manifest.arrival_first_ms <= manifest.arrival_last_ms:
        raise VerificationError(Reason.BLOCK_TIMES, place)
    counted = manifest.accepted + manifest.duplicates + sum(manifest.refused.values())
    consumed = manifest.offset_last - manifest.offset_first + 1
    if manifest.accepted != len(leaves) - 1 or counted != consumed:
        raise VerificationError(Reason.BLOCK_COUNTS, place)
