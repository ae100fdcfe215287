"""A published log under one checkpoint: what provers and collectors begin with."""

from typing import NamedTuple

from pipeline.log.checkpoint import OpenedCheckpoint, open_checkpoint
from pipeline.log.policy import Policy
from pipeline.log.tiles import CHECKPOINT_PATH, ReadFile, TileReader
from pipeline.wire.errors import UnavailableError


class OpenedLog(NamedTuple):
    """The checkpoint that stood when the log was opened, as read and as opened, and the tiles under it."""

    note: bytes
    opened: OpenedCheckpoint
    tiles: TileReader


def open_published(read: ReadFile, policy: Policy) -> OpenedLog:
    """Open a log's files under the checkpoint that stands now.

    Args:
        read: Path -> the file's bytes, or None where it is missing.
        policy: What the checkpoint must satisfy.

    Raises:
        UnavailableError: No checkpoint is published yet.
        VerificationError: The checkpoint is wrong.
    """
    note = read(CHECKPOINT_PATH)
    if note is None:
        raise UnavailableError("log files", "no checkpoint is published yet")
    opened = open_checkpoint(note, policy)
    return OpenedLog(note, opened, TileReader(read, opened.checkpoint))
