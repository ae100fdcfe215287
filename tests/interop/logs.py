"""Logs for other people's programs: folders of published files, of any size, of synthetic signed blocks."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from pipeline.log.block import sign_block
from pipeline.log.checkpoint import Checkpoint, add_signatures, cosign, sign_checkpoint
from pipeline.log.tiles import TileAppender, TileReader
from tests.support.city import LOG, ORIGIN, WITNESSES, ForgedLog

TIME_S = 1_800_000_100


def make_entries(count: int) -> list[bytes]:
    """A genesis and signed blocks, whose roots are of nothing."""
    forged = ForgedLog()
    manifest = forged.add(1, [])
    roots = (sha256(b"root %d" % height).digest() for height in range(count))
    blocks = [
        sign_block(LOG.signer, ORIGIN, replace(manifest, height=height), root, sha256(root).digest())
        for height, root in enumerate(roots)
    ]
    return [forged.entries[0], *blocks][:count]


def write_log(folder: Path, entries: Sequence[bytes]) -> Checkpoint:
    """Publish a log of these entries, cosigned by all three witnesses; it grew by 1,000 entries at a time."""
    appender = TileAppender()
    files: dict[str, bytes] = {}
    for start in range(0, len(entries), 1000):
        files |= appender.append(entries[start : start + 1000])
    checkpoint = Checkpoint(ORIGIN, appender.size, appender.root())
    note = sign_checkpoint(checkpoint, LOG)
    lines = [cosign(checkpoint, witness, TIME_S) for witness in WITNESSES]
    files["checkpoint"] = add_signatures(note, lines)
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return checkpoint


def reader_of(folder: Path) -> Callable[[str], bytes | None]:
    """Return how `TileReader` reads a folder."""

    def read(path: str) -> bytes | None:
        file = folder / path
        return file.read_bytes() if file.is_file() else None

    return read


def open_log(folder: Path, checkpoint: Checkpoint) -> TileReader:
    """Our own reader over a folder."""
    return TileReader(reader_of(folder), checkpoint)
