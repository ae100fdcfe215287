"""What can be checked of a block without its neighbours: its body, and every statement in it.

Blocks are examined side by side, in any order and in several processes. What they are to one another, links,
counts and sequences, is checked afterwards, in the log's order, from what is returned here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from pipeline.identity.records import KeyRecord
from pipeline.identity.registry import Registry
from pipeline.log.archive import read_block
from pipeline.log.block import SignedBlock
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.log.tiles import ReadFile
from pipeline.wire.errors import MissingError, VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.roles import check_content
from pipeline.wire.senml import decode_pack
from pipeline.wire.statement import CONTENT_SENML, Statement, StatementParser, shard_of, verify_statement

T = TypeVar("T")


class Fault(NamedTuple):
    """Why something is wrong: the published reason, and what exactly."""

    reason: Reason
    detail: str


class Identity(NamedTuple):
    """Which statement it is: one signer's, at one place of its sequence."""

    issuer: str
    epoch: int
    sequence: int


class RegistryUpdate(NamedTuple):
    """What a block of shard 0 adds to the registry: its leaves but those to skip."""

    leaves: Sequence[bytes]
    skip: frozenset[int]


@dataclass(frozen=True, slots=True)
class BlockTask:
    """A block of readings to examine, and what is known where it stands in the log.

    Attributes:
        block: The signed block, its signature verified.
        shards: How many shards there are; None where the genesis could not be read.
        registry_lost: Whether enrolments may be unknown, so that a key that is not known is not missed.
    """

    block: SignedBlock
    shards: int | None
    registry_lost: bool


@dataclass(slots=True)
class Examined:
    """What was found in a block.

    Attributes:
        fault: Why its body is of no use, in which case there is nothing else.
        manifest: Leaf 0.
        identities: Of leaf 1 and all behind it; None where a statement does not parse.
        hashes: Their leaf hashes, 32 bytes each, joined.
        faults: Leaf -> the first thing that is wrong with its statement alone.
        newest_s: Where it was asked for, the time of each reading's newest record; 0 where there is none.
    """

    fault: Fault | None = None
    manifest: Manifest | None = None
    identities: list[Identity | None] = field(default_factory=list[Identity | None])
    hashes: bytes = b""
    faults: dict[int, Fault] = field(default_factory=dict[int, Fault])
    newest_s: list[float] = field(default_factory=list[float])


class Examiner:
    """Examines blocks of readings under a registry that grows as the log does.

    Args:
        read: Path -> the file's bytes, or None where it is missing.
        registry: The keys; someone else's to change, or a copy that `update` keeps up to date.
        with_times: Whether to say how new the readings are.
    """

    def __init__(self, read: ReadFile, registry: Registry, *, with_times: bool = False) -> None:
        self._with_times = with_times
        self._read = read
        self._registry = registry
        self._parse = StatementParser().parse

    def update(self, update: RegistryUpdate) -> None:
        """Take over what a registry block adds; whoever sends it has checked it."""
        self._registry.load_block(update.leaves, update.skip)

    def examine(self, task: BlockTask) -> Examined:
        """Check a block's body and statements.

        Raises:
            UnavailableError: The files do not answer; a file that is missing is a fault instead.
        """
        try:
            leaves, tree = reread(lambda: read_block(self._read, task.block))
            manifest = decode_manifest(leaves[0])
        except (VerificationError, MissingError) as error:
            return Examined(fault=fault_of(error))
        statements, faults = self._parse_all(leaves)
        self._check_all(task, manifest, statements, faults)
        return Examined(
            manifest=manifest,
            identities=[s and Identity(s.issuer, s.epoch, s.sequence) for s in statements],
            hashes=b"".join(tree.levels[0][1:]),
            faults=faults,
            newest_s=[_newest_s(s) for s in statements] if self._with_times else [],
        )

    def _parse_all(self, leaves: Sequence[bytes]) -> tuple[list[Statement | None], dict[int, Fault]]:
        statements: list[Statement | None] = []
        faults: dict[int, Fault] = {}
        for leaf in range(1, len(leaves)):
            try:
                statements.append(self._parse(leaves[leaf]))
            except VerificationError as error:
                statements.append(None)
                faults[leaf] = fault_of(error)
        return statements, faults

    def _check_all(
        self,
        task: BlockTask,
        manifest: Manifest,
        statements: Sequence[Statement | None],
        faults: dict[int, Fault],
    ) -> None:
        """Check keys and contents, then signatures one behind the other, which is faster than in turn."""
        signed: list[tuple[int, Statement, bytes]] = []
        for leaf, statement in enumerate(statements, 1):
            if statement is None:
                continue
            try:
                record = self._find_key(task, statement, manifest)
                if record is not None:
                    check_content(statement, record.kind)
                    signed.append((leaf, statement, record.public_key))
            except VerificationError as error:
                faults[leaf] = fault_of(error)
        for leaf, statement, public_key in signed:
            try:
                verify_statement(statement, public_key)
            except VerificationError as error:
                faults[leaf] = fault_of(error)

    def _find_key(self, task: BlockTask, statement: Statement, manifest: Manifest) -> KeyRecord | None:
        """Return the key that must have signed; None where it may be among registry blocks that were lost.

        After such a loss nothing but the signature is asked: what the state that a block names was is then
        not known; nor is it of a state that never was, which is said of the block.
        """
        if task.shards and shard_of(statement.issuer, task.shards) != task.block.shard:
            raise VerificationError(Reason.SHARD_WRONG, statement.issuer)
        known = self._registry.has_state(manifest.registry_blocks, manifest.registry_root)
        if task.registry_lost or not known:
            return self._registry.find(statement.issuer, statement.kid)
        return self._registry.check_key(statement, manifest.arrival_last_ms, manifest.registry_blocks)


def _newest_s(statement: Statement | None) -> float:
    """Return the time of a reading's newest record, POSIX seconds; 0 where it is none, or a broken one."""
    if statement is None or statement.content_type != CONTENT_SENML:
        return 0.0
    try:
        return max(record.time_s for record in decode_pack(statement.payload, statement.issuer))
    except VerificationError:
        return 0.0


def reread(load: Callable[[], T]) -> T:
    """Return what `load` does, at its second try where the first one found its file wrong.

    What a line or a cache has garbled is not so twice; what is evidence is there the second time as well.
    """
    try:
        return load()
    except (VerificationError, MissingError):
        return load()


def fault_of(error: VerificationError | MissingError) -> Fault:
    """Return what an error says about its file or statement."""
    if isinstance(error, VerificationError):
        return Fault(error.reason, error.detail)
    return Fault(Reason.FILE_MISSING, error.action)
