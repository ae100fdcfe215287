"""Checking a whole log: everything published and archived is derived again, every wrong place named."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.identity.authorities import Authorities
from pipeline.identity.registry import Registry
from pipeline.log.archive import read_block
from pipeline.log.block import SignedBlock, parse_signed_block, verify_signed_block
from pipeline.log.chain import ChainTip, check_follows
from pipeline.log.checkpoint import open_checkpoint
from pipeline.log.genesis import parse_genesis, verify_genesis
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.log.policy import Policy
from pipeline.log.sequences import Place, SignerSequences
from pipeline.log.tiles import CHECKPOINT_PATH, ReadFile, TileReader, block_path, entries_path
from pipeline.wire.errors import UnavailableError, VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import check_pack
from pipeline.wire.statement import CONTENT_SENML, Statement, parse_statement, shard_of, verify_statement

REGISTRY_SHARD = 0
BUNDLE = 256


@dataclass(frozen=True, slots=True)
class Finding:
    """A wrong place: the file, the published reason, and what exactly."""

    path: str
    reason: str
    detail: str


@dataclass(slots=True)
class Tally:
    """What has been checked so far."""

    size: int = 0
    blocks: int = 0
    statements: int = 0


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
        self._tips: list[ChainTip] = []
        self._signers: list[SignerSequences] = []
        self._topic_id: bytes | None = None
        self.tally = Tally()

    def run(self, progress: Callable[[int, int], None] = lambda _done, _size: None) -> Iterator[Finding]:
        """Yield every finding; `progress` hears how many entries of how many are done."""
        note = self._read(CHECKPOINT_PATH)
        if note is None:
            yield Finding(CHECKPOINT_PATH, "missing", "no checkpoint is published")
            return
        try:
            opened = open_checkpoint(note, self._policy)
            self._tiles = TileReader(self._read, opened.checkpoint)
        except (VerificationError, UnavailableError) as error:
            yield _finding(CHECKPOINT_PATH, error)
            return
        self._origin, self._log_key = opened.checkpoint.origin, opened.log.public_key
        self.tally.size = opened.checkpoint.size
        for bundle in range(-(-self.tally.size // BUNDLE)):
            yield from self._check_bundle(bundle)
            progress(min((bundle + 1) * BUNDLE, self.tally.size), self.tally.size)

    def _check_bundle(self, bundle: int) -> Iterator[Finding]:
        try:
            entries = self._tiles.read_entries(bundle)
        except (VerificationError, UnavailableError) as error:
            yield _finding(entries_path(bundle), error)
            return
        for index, raw in enumerate(entries, bundle * BUNDLE):
            if index == 0:
                yield from self._check_genesis(raw)
            else:
                yield from self._check_entry(index, raw)

    def _check_genesis(self, raw: bytes) -> Iterator[Finding]:
        try:
            genesis = parse_genesis(raw)
            verify_genesis(genesis, self._log_key)
        except VerificationError as error:
            yield _finding("entry 0", error)
            return
        if genesis.origin != self._origin:
            yield Finding("entry 0", Reason.CHECKPOINT_ORIGIN.value, genesis.origin)
        if genesis.authorities_hash != self._authorities.file_hash:
            yield Finding("entry 0", Reason.GENESIS_SHAPE.value, "it names another authorities file")
        self._tips = [ChainTip()] * genesis.shards
        self._signers = [SignerSequences() for _ in range(genesis.shards)]

    def _check_entry(self, index: int, raw: bytes) -> Iterator[Finding]:
        path = f"entry {index}"
        try:
            block = self._open_entry(raw)
            path = block_path(block.shard, block.height)
            leaves, tree = read_block(self._read, block)
            manifest = decode_manifest(leaves[0])
            self._topic_id = self._topic_id or manifest.topic_id
            check_follows(self._tips[block.shard], manifest, block.shard, self._topic_id, leaves)
            self._check_registry(manifest)
        except (VerificationError, UnavailableError) as error:
            yield _finding(path, error)
            return
        yield from self._check_statements(path, manifest, leaves, tree.levels[0])
        self._tips[block.shard] = self._tips[block.shard].after(manifest, block.root)
        self.tally.blocks += 1

    def _open_entry(self, raw: bytes) -> SignedBlock:
        block = parse_signed_block(raw)
        verify_signed_block(block, self._log_key)
        if block.origin != self._origin or block.shard >= len(self._tips):
            raise VerificationError(Reason.BLOCK_SHAPE, "it names another log, or no shard of this one")
        return block

    def _check_registry(self, manifest: Manifest) -> None:
        roots = self._registry.roots
        if (
            manifest.registry_blocks >= len(roots)
            or roots[manifest.registry_blocks] != manifest.registry_root
        ):
            raise VerificationError(Reason.BLOCK_REGISTRY, f"state {manifest.registry_blocks}")

    def _check_statements(
        self, path: str, manifest: Manifest, leaves: Sequence[bytes], hashes: Sequence[bytes]
    ) -> Iterator[Finding]:
        for leaf in range(1, len(leaves)):
            try:
                statement = parse_statement(leaves[leaf])
                self._check_place(statement, hashes[leaf], manifest, leaf)
                if manifest.shard != REGISTRY_SHARD:
                    self._check_reading(statement)
            except VerificationError as error:
                yield Finding(f"{path} leaf {leaf}", error.reason.value, error.detail)
            self.tally.statements += 1
        if manifest.shard == REGISTRY_SHARD:
            try:
                self._registry.apply_block(leaves, manifest.equivocations, self._authorities)
            except VerificationError as error:
                yield _finding(path, error)

    def _check_place(self, statement: Statement, leaf_hash: bytes, manifest: Manifest, leaf: int) -> None:
        shard = manifest.shard
        if shard != REGISTRY_SHARD and shard_of(statement.issuer, len(self._tips)) != shard:
            raise VerificationError(Reason.SHARD_WRONG, statement.issuer)
        identity = statement.issuer, statement.epoch, statement.sequence
        place = self._signers[shard].place(*identity, leaf_hash)
        if place is Place.DUPLICATE:
            raise VerificationError(Reason.BLOCK_LEAF_TWICE, f"{identity}")
        if (place is Place.EQUIVOCATION) != (leaf in manifest.equivocations):
            raise VerificationError(Reason.EQUIVOCATION, "the manifest does not name it as what it is")

    def _check_reading(self, statement: Statement) -> None:
        record = self._registry.find(statement.issuer, statement.kid)
        if record is None:
            raise VerificationError(Reason.KEY_UNKNOWN, statement.issuer)
        verify_statement(statement, record.public_key)
        if statement.content_type != CONTENT_SENML:
            raise VerificationError(Reason.STATEMENT_CONTENT_TYPE, str(statement.content_type))
        check_pack(statement.payload, statement.issuer)


def _finding(path: str, error: VerificationError | UnavailableError) -> Finding:
    if isinstance(error, VerificationError):
        return Finding(path, error.reason.value, error.detail)
    return Finding(path, "missing", error.action)
