"""Checking a whole log: everything published and archived is derived again, every wrong place named.

What one wrong place makes unknown is not reported again at every later one. Behind a body that cannot be
read a shard's next block is checked for its height and link only; behind a bundle that cannot be read, not
even for these; and once an enrolment could not be read, a key that is not known is not missed.
"""

from collections.abc import Callable, Generator, Iterator

from pipeline.identity.authorities import Authorities
from pipeline.log.checkpoint import Checkpoint, OpenedCheckpoint, open_checkpoint
from pipeline.log.merkle import HASH_SIZE, hash_leaves, root_of
from pipeline.log.policy import Policy
from pipeline.log.tiles import (
    CHECKPOINT_PATH,
    TILE_HEIGHT,
    TILE_WIDTH,
    ReadFile,
    Tile,
    TileReader,
    edge_tiles,
    entries_path,
    parse_entries,
    tile_path,
)
from pipeline.verify.bounds import check_age
from pipeline.verify.entries import (
    EntryCheck,
    ExamineJobs,
    Finding,
    Job,
    LogIdentity,
    Tally,
    check_equal,
    finding_of,
)
from pipeline.verify.examine import reread
from pipeline.wire.errors import MissingError, VerificationError
from pipeline.wire.reasons import Reason

Progress = Callable[[int, int], None]


class LogCheck:
    """Checks a log file by file.

    Args:
        read: Path -> the file's bytes, or None where it is missing.
        policy: What the checkpoint must satisfy.
        authorities: Who may enrol.
        examine: How blocks are examined; in turn, in this process, if nothing else is given.
        now_s: POSIX seconds, where the checkpoint must be one of these days: not of files that were kept.
    """

    def __init__(
        self,
        read: ReadFile,
        policy: Policy,
        authorities: Authorities,
        examine: ExamineJobs | None = None,
        now_s: float | None = None,
    ) -> None:
        self._read = read
        self._policy = policy
        self._authorities = authorities
        self._examine = examine
        self._now_s = now_s
        self._wrong_tile = ""
        self.tally = Tally()

    def run(self, progress: Progress = lambda _done, _size: None) -> Iterator[Finding]:
        """Yield every finding; `progress` hears how many entries of how many are done.

        Raises:
            UnavailableError: The files do not answer, so that nothing more can be said.
        """
        try:
            opened = reread(lambda: open_checkpoint(self._load(CHECKPOINT_PATH), self._policy))
        except (VerificationError, MissingError) as error:
            yield finding_of(CHECKPOINT_PATH, error)
            return
        yield from self._check_age(opened)
        tiles = yield from self._open_tiles(opened.checkpoint)
        if tiles is None:
            self.tally.size = opened.checkpoint.size
            return
        log = LogIdentity(opened.checkpoint.origin, opened.log.public_key)
        entries = EntryCheck(self._read, log, self._authorities)
        self.tally = entries.tally
        self.tally.size = tiles.size
        examine = self._examine or entries.examine
        for job in examine(self._jobs(tiles, entries)):
            yield from entries.finish(job)
            if job.done:
                progress(job.done, tiles.size)
        yield from entries.check_snapshot()

    # Files

    def _check_age(self, opened: OpenedCheckpoint) -> Iterator[Finding]:
        if self._now_s is None:
            return
        try:
            check_age(opened, self._authorities.bounds_s["checkpoint_age_s"], self._now_s)
        except VerificationError as error:
            yield finding_of(CHECKPOINT_PATH, error)

    def _open_tiles(self, checkpoint: Checkpoint) -> Generator[Finding, None, TileReader | None]:
        """Open the tiles. A partial one that is wrong is named, and what the files below it say is used."""
        try:
            return reread(lambda: TileReader(self._read, checkpoint))
        except (VerificationError, MissingError) as error:
            wrong = error
        for tile in edge_tiles(checkpoint.size):
            try:
                tiles = TileReader(_overlaid(self._read, tile.path, self._derive(tile)), checkpoint)
            except (VerificationError, MissingError):
                continue
            yield finding_of(tile.path, wrong)
            return tiles
        yield finding_of(CHECKPOINT_PATH, wrong)
        return None

    def _derive(self, tile: Tile) -> bytes:
        """Return what a partial tile must hold by the files below it."""
        if tile.level == 0:
            return b"".join(hash_leaves(self._load_entries(tile.index, tile.width)))
        first = tile.index * TILE_WIDTH
        below = range(first, first + tile.width)
        return b"".join(root_of(self._load_tile(tile.level - 1, index)) for index in below)

    def _jobs(self, tiles: TileReader, entries: EntryCheck) -> Iterator[Job]:
        """Yield what there is to do for each entry, ahead of who does it."""
        for bundle in range(-(-tiles.size // TILE_WIDTH)):
            first = bundle * TILE_WIDTH
            width = min(TILE_WIDTH, tiles.size - first)
            findings: list[Finding] = []
            raw_entries = self._read_bundle(tiles, bundle, width, findings)
            yield Job(findings)
            if raw_entries is None:
                yield entries.lose_bundle()
            else:
                yield from (entries.prepare(index, raw) for index, raw in enumerate(raw_entries, first))
            yield Job(done=first + width)

    def _read_bundle(
        self, tiles: TileReader, bundle: int, width: int, findings: list[Finding]
    ) -> list[bytes] | None:
        """Return a bundle's entries, which are the tree's; None where they are not to be had."""
        expected: list[bytes] | None = tiles.edge_hashes(0)
        if width == TILE_WIDTH:
            expected = self._check_tile(tiles, bundle, findings)
        try:
            return reread(lambda: self._check_entries(bundle, width, expected))
        except (VerificationError, MissingError) as error:
            findings.append(finding_of(entries_path(bundle, width), error))
            return None

    def _check_entries(self, bundle: int, width: int, expected: list[bytes] | None) -> list[bytes]:
        entries = self._load_entries(bundle, width)
        hashes = hash_leaves(entries)
        check_equal(hashes if width < TILE_WIDTH else [root_of(hashes)], expected, "an entry")
        return entries

    def _check_tile(self, tiles: TileReader, bundle: int, findings: list[Finding]) -> list[bytes] | None:
        """Check a full tile of level 0; return its one root, or None where the tile above is wrong."""
        above, path = tile_path(1, bundle // TILE_WIDTH), tile_path(0, bundle)
        try:
            roots = [reread(lambda: tiles.read_hash(TILE_HEIGHT, bundle))]
        except (VerificationError, MissingError) as error:
            if above != self._wrong_tile:
                self._wrong_tile = above
                findings.append(finding_of(above, error))
            return None
        try:
            reread(lambda: check_equal([root_of(self._load_tile(0, bundle))], roots, "a hash"))
        except (VerificationError, MissingError) as error:
            findings.append(finding_of(path, error))
        return roots

    def _load_tile(self, level: int, index: int) -> list[bytes]:
        data = self._load(tile_path(level, index))
        if len(data) != HASH_SIZE * TILE_WIDTH:
            raise VerificationError(Reason.TILE_SHAPE, f"{len(data)} bytes")
        return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]

    def _load_entries(self, bundle: int, width: int) -> list[bytes]:
        # A partial one may be gone once there is the full one.
        data = self._read(entries_path(bundle, width))
        entries = parse_entries(self._load(entries_path(bundle)) if data is None else data)
        if len(entries) not in {width, TILE_WIDTH}:
            raise VerificationError(Reason.TILE_SHAPE, f"{len(entries)} entries")
        return entries[:width]

    def _load(self, path: str) -> bytes:
        data = self._read(path)
        if data is None:
            raise MissingError(path)
        return data


def _overlaid(read: ReadFile, path: str, data: bytes) -> ReadFile:
    """Return a reader for which one file holds something else."""
    return lambda wanted: data if wanted == path else read(wanted)
