"""Whether one checkpoint of a log extends another: if not, the two together convict the log.

The evidence is three files in published forms: the smaller checkpoint; the larger one behind a consistency
proof, as a witness is asked (C2SP tlog-witness); and what that proof starts from, the three lines of an
unsigned checkpoint, which say what the larger tree holds at the smaller one's size.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.log.checkpoint import Checkpoint, encode_checkpoint
from pipeline.log.cosigning import AddCheckpoint, encode_add_checkpoint
from pipeline.log.merkle import consistency_path, edge_hash
from pipeline.log.tiles import TileReader


@dataclass(frozen=True, slots=True)
class Shown:
    """A verified checkpoint and the note that says it."""

    checkpoint: Checkpoint
    note: bytes


def conflict_between(smaller: Shown, larger: Shown, tiles: TileReader | None) -> Mapping[str, bytes] | None:
    """Return the files that convict the log, or None where the larger tree extends the smaller one.

    Args:
        smaller: The one of the smaller size, or either of two of one size.
        larger: The other.
        tiles: The larger one's; for two of one size none are needed.

    Raises:
        VerificationError: A tile is wrong.
        UnavailableError: A file is missing, or does not answer: nothing can be said.
    """
    first, second = smaller.checkpoint, larger.checkpoint
    path: list[bytes] = []
    held = second.root
    if first.size < second.size:
        if first.size == 0:
            return None
        assert tiles is not None, "what a larger tree holds is read from its tiles"
        held = edge_hash(0, first.size, tiles.read_hash)
        path = consistency_path(first.size, second.size, tiles.read_hash)
    if held == first.root:
        return None
    return {
        "smaller.checkpoint": smaller.note,
        "larger.request": encode_add_checkpoint(AddCheckpoint(first.size, path, larger.note)),
        "larger.prefix": encode_checkpoint(Checkpoint(first.origin, first.size, held)).encode(),
    }
