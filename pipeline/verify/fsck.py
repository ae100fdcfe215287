"""Checking a whole log: everything published and archived is derived again, every wrong place named.

What one wrong place makes unknown is not reported again at every later one. Behind a body that cannot be
read a shard's next block is checked for its height and link only; behind a bundle that cannot be read, not
even for these; and once an enrolment could not be read, a key that is not known is not missed.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

from pipeline.identity.authorities import Authorities
from pipeline.identity.registry import Registry, check_enrolment
from pipeline.log.archive import read_block
from pipeline.log.block import SignedBlock, parse_signed_block, verify_signed_block
from pipeline.log.chain import ChainTip, check_follows
from pipeline.log.checkpoint import Checkpoint, open_checkpoint
from pipeline.log.genesis import parse_genesis, verify_genesis
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.log.merkle import HASH_SIZE, hash_leaves, root_of
from pipeline.log.policy import Policy
from pipeline.log.sequences import Place, SignerSequences
from pipeline.log.tiles import (
    CHECKPOINT_PATH,
    TILE_HEIGHT,
    TILE_WIDTH,
    ReadFile,
    Tile,
    TileReader,
    block_path,
    edge_tiles,
    entries_path,
    parse_entries,
    tile_path,
)
from pipeline.wire.errors import UnavailableError, VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import check_pack
from pipeline.wire.statement import CONTENT_SENML, Statement, parse_statement, shard_of, verify_statement

REGISTRY_SHARD = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """A wrong place: the file, entry or leaf, the published reason, and what exactly."""

    path: str
    reason: Reason
    detail: str


@dataclass(slots=True)
class Tally:
    """What has been checked so far."""

    size: int = 0
    blocks: int = 0
    statements: int = 0


@dataclass(slots=True)
class _Shard:
    """Where a shard stands; no tip after a bundle was lost.

    Attributes:
        number: Which shard it is.
        tip: What the next block must follow on from.
        body_lost: Whether the tip's offset and time are not known.
        incomplete: Whether statements are missing from what `signers` remembers.
        signers: The statements so far.
    """

    number: int
    tip: ChainTip | None
    body_lost: bool = False
    incomplete: bool = False
    signers: SignerSequences = field(default_factory=SignerSequences)


class LogCheck:
    """Checks a log file by file.

    Args:
        read: Path -> the file's bytes, or None where it is missing.
        policy: What the checkpoint must satisfy.
        authorities: Who may enrol.
    """

    def __init__(self, read: ReadFile, policy: Policy, authorities: Authorities) -> None:
        self._read = read
        self._policy = policy
        self._authorities = authorities
        self._registry = Registry()
        self._registry_lost = False
        self._shard_count: int | None = None
        self._shards: dict[int, _Shard] = {}
        self._bundle_lost = False
        self._wrong_tile = ""
        self._topic_id: bytes | None = None
        self.tally = Tally()

    def run(self, progress: Callable[[int, int], None] = lambda _done, _size: None) -> Iterator[Finding]:
        """Yield every finding; `progress` hears how many entries of how many are done."""
        try:
            opened = open_checkpoint(self._load(CHECKPOINT_PATH), self._policy)
        except (VerificationError, UnavailableError) as error:
            yield _finding(CHECKPOINT_PATH, error)
            return
        self._origin, self._log_key = opened.checkpoint.origin, opened.log.public_key
        size = self.tally.size = opened.checkpoint.size
        tiles = yield from self._open_tiles(opened.checkpoint)
        if tiles is None:
            return
        for bundle in range(-(-size // TILE_WIDTH)):
            yield from self._check_bundle(tiles, bundle)
            progress(min((bundle + 1) * TILE_WIDTH, size), size)

    # Files

    def _open_tiles(self, checkpoint: Checkpoint) -> Generator[Finding, None, TileReader | None]:
        """Open the tiles. A partial one that is wrong is named, and what the files below it say is used."""
        try:
            return TileReader(self._read, checkpoint)
        except (VerificationError, UnavailableError) as error:
            wrong = error
        for tile in edge_tiles(checkpoint.size):
            try:
                tiles = TileReader(_overlaid(self._read, tile.path, self._derive(tile)), checkpoint)
            except (VerificationError, UnavailableError):
                continue
            yield _finding(tile.path, wrong)
            return tiles
        yield _finding(CHECKPOINT_PATH, wrong)
        return None

    def _derive(self, tile: Tile) -> bytes:
        """Return what a partial tile must hold by the files below it."""
        if tile.level == 0:
            return b"".join(hash_leaves(self._load_entries(tile.index, tile.width)))
        first = tile.index * TILE_WIDTH
        below = range(first, first + tile.width)
        return b"".join(root_of(self._load_tile(tile.level - 1, index)) for index in below)

    def _check_bundle(self, tiles: TileReader, bundle: int) -> Iterator[Finding]:
        width = min(TILE_WIDTH, tiles.size - bundle * TILE_WIDTH)
        expected: list[bytes] | None = tiles.edge_hashes(0)
        if width == TILE_WIDTH:
            expected = yield from self._check_tile(tiles, bundle)
        try:
            entries = self._load_entries(bundle, width)
            hashes = hash_leaves(entries)
            _check_equal(hashes if width < TILE_WIDTH else [root_of(hashes)], expected, "an entry")
        except (VerificationError, UnavailableError) as error:
            yield _finding(entries_path(bundle, width), error)
            self._lose_bundle()
            return
        for index, raw in enumerate(entries, bundle * TILE_WIDTH):
            yield from self._check_entry(index, raw) if index else self._check_genesis(raw)

    def _check_tile(self, tiles: TileReader, bundle: int) -> Generator[Finding, None, list[bytes] | None]:
        """Check a full tile of level 0; return its one root, or None where the tile above is wrong."""
        above, path = tile_path(1, bundle // TILE_WIDTH), tile_path(0, bundle)
        try:
            roots = [tiles.read_hash(TILE_HEIGHT, bundle)]
        except (VerificationError, UnavailableError) as error:
            if above != self._wrong_tile:
                self._wrong_tile = above
                yield _finding(above, error)
            return None
        try:
            _check_equal([root_of(self._load_tile(0, bundle))], roots, "a hash")
        except (VerificationError, UnavailableError) as error:
            yield _finding(path, error)
        return roots

    def _load_tile(self, level: int, index: int) -> list[bytes]:
        data = self._load(tile_path(level, index))
        if len(data) != HASH_SIZE * TILE_WIDTH:
            raise VerificationError(Reason.TILE_SHAPE, f"{len(data)} bytes")
        return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]

    def _load_entries(self, bundle: int, width: int) -> list[bytes]:
        data = self._read(
            entries_path(bundle, width)
        )  # A partial one may be gone once there is the full one.
        entries = parse_entries(self._load(entries_path(bundle)) if data is None else data)
        if len(entries) not in {width, TILE_WIDTH}:
            raise VerificationError(Reason.TILE_SHAPE, f"{len(entries)} entries")
        return entries[:width]

    def _load(self, path: str) -> bytes:
        data = self._read(path)
        if data is None:
            raise UnavailableError("log files", f"{path} is missing")
        return data

    def _lose_bundle(self) -> None:
        """Forget where the shards stand: the blocks in this bundle are not known."""
        self._bundle_lost = self._registry_lost = True
        for shard in self._shards.values():
            shard.tip, shard.incomplete = None, True

    # Entries

    def _check_genesis(self, raw: bytes) -> Iterator[Finding]:
        try:
            genesis = parse_genesis(raw)
            verify_genesis(genesis, self._log_key)
        except VerificationError as error:
            yield _finding("entry 0", error)
            return
        self._shard_count = genesis.shards
        if genesis.origin != self._origin:
            yield Finding("entry 0", Reason.CHECKPOINT_ORIGIN, genesis.origin)
        if genesis.authorities_hash != self._authorities.file_hash:
            yield Finding("entry 0", Reason.GENESIS_SHAPE, "it names another authorities file")

    def _check_entry(self, index: int, raw: bytes) -> Iterator[Finding]:
        try:
            block = self._open_entry(raw)
        except VerificationError as error:
            yield _finding(f"entry {index}", error)
            return
        path = block_path(block.shard, block.height)
        tip = None if self._bundle_lost else ChainTip()
        unseen = _Shard(block.shard, tip, incomplete=self._bundle_lost)
        shard = self._shards.setdefault(block.shard, unseen)
        try:
            leaves, tree = read_block(self._read, block)
            manifest = decode_manifest(leaves[0])
        except (VerificationError, UnavailableError) as error:
            yield _finding(path, error)
            shard.tip = ChainTip(block.height + 1, block.root)
            shard.body_lost = shard.incomplete = True
            self._registry_lost |= shard.number == REGISTRY_SHARD
            return
        yield from self._check_manifest(path, shard, manifest, leaves)
        yield from self._check_statements(path, shard, manifest, leaves, tree.levels[0])
        shard.tip, shard.body_lost = ChainTip().after(manifest, block.root), False
        self.tally.blocks += 1

    def _open_entry(self, raw: bytes) -> SignedBlock:
        block = parse_signed_block(raw)
        verify_signed_block(block, self._log_key)
        if block.origin != self._origin or (self._shard_count and block.shard >= self._shard_count):
            raise VerificationError(Reason.BLOCK_SHAPE, "it names another log, or no shard of this one")
        return block

    def _check_manifest(
        self, path: str, shard: _Shard, manifest: Manifest, leaves: Sequence[bytes]
    ) -> Iterator[Finding]:
        tip = shard.tip or ChainTip(manifest.height, manifest.previous)
        if shard.tip is None or shard.body_lost:
            tip = replace(tip, offset=manifest.offset_first, arrival_ms=manifest.arrival_first_ms)
        self._topic_id = self._topic_id or manifest.topic_id
        try:
            check_follows(tip, manifest, shard.number, self._topic_id, leaves)
        except VerificationError as error:
            yield _finding(path, error)
        roots = self._registry.roots
        named = manifest.registry_blocks
        if not self._registry_lost and roots[named : named + 1] != [manifest.registry_root]:
            yield Finding(path, Reason.BLOCK_REGISTRY, f"state {named}")

    # Statements

    def _check_statements(
        self,
        path: str,
        shard: _Shard,
        manifest: Manifest,
        leaves: Sequence[bytes],
        hashes: Sequence[bytes],
    ) -> Iterator[Finding]:
        registry = shard.number == REGISTRY_SHARD
        for leaf in range(1, len(leaves)):
            evidence = leaf in manifest.equivocations
            try:
                statement = parse_statement(leaves[leaf])
                self._check_place(shard, statement, hashes[leaf], evidence=evidence)
                if registry:
                    self._check_enrolment(statement, hashes[leaf], evidence=evidence)
                else:
                    self._check_reading(shard, statement, manifest)
            except VerificationError as error:
                yield _finding(f"{path} leaf {leaf}", error)
                self._registry_lost |= registry
            self.tally.statements += 1
        if registry:
            self._registry.close_block()

    def _check_place(self, shard: _Shard, statement: Statement, leaf_hash: bytes, *, evidence: bool) -> None:
        place = shard.signers.place(statement.issuer, statement.epoch, statement.sequence, leaf_hash)
        if place is Place.DUPLICATE:
            raise VerificationError(Reason.BLOCK_LEAF_TWICE, f"sequence {statement.sequence}")
        if place is Place.NEW and evidence and shard.incomplete:
            return  # What it contradicts may have been lost.
        if (place is Place.EQUIVOCATION) != evidence:
            raise VerificationError(Reason.EQUIVOCATION, "the manifest does not name it as what it is")

    def _check_enrolment(self, statement: Statement, leaf_hash: bytes, *, evidence: bool) -> None:
        enrolment = check_enrolment(statement, self._authorities)
        if not evidence:
            self._registry.enrol(enrolment, leaf_hash)

    def _check_reading(self, shard: _Shard, statement: Statement, manifest: Manifest) -> None:
        if self._shard_count and shard_of(statement.issuer, self._shard_count) != shard.number:
            raise VerificationError(Reason.SHARD_WRONG, statement.issuer)
        if statement.content_type != CONTENT_SENML:
            raise VerificationError(Reason.STATEMENT_CONTENT_TYPE, str(statement.content_type))
        check_pack(statement.payload, statement.issuer)
        record = self._registry.find(statement.issuer, statement.kid)
        if record is None:
            if self._registry_lost:
                return
            raise VerificationError(Reason.KEY_UNKNOWN, statement.issuer)
        if record.valid_from_s * 1000 > manifest.arrival_last_ms:
            raise VerificationError(Reason.KEY_NOT_YET_VALID, statement.issuer)
        verify_statement(statement, record.public_key)


def _overlaid(read: ReadFile, path: str, data: bytes) -> ReadFile:
    """Return a reader for which one file holds something else."""
    return lambda wanted: data if wanted == path else read(wanted)


def _check_equal(hashes: Sequence[bytes], expected: Sequence[bytes] | None, what: str) -> None:
    if expected is not None and hashes != expected:
        raise VerificationError(Reason.ROOT_MISMATCH, f"{what} is not the tree's")


def _finding(path: str, error: VerificationError | UnavailableError) -> Finding:
    if isinstance(error, VerificationError):
        return Finding(path, error.reason, error.detail)
    return Finding(path, Reason.FILE_MISSING, error.action)
