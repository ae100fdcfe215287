"""Making evidence from a log's published files and block bodies.

The whole log is read, twice: to find which statements answer the query and which stand at the ends of its
span, and to write them. What is made here is checked by whoever verifies it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from pipeline.identity.records import KeyRecord
from pipeline.log.block import SignedBlock, open_body, parse_signed_block
from pipeline.log.genesis import parse_genesis
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.log.merkle import BlockTree, hash_leaf, inclusion_path_at
from pipeline.log.multiproof import gap_hashes, prove_leaves
from pipeline.log.policy import Policy
from pipeline.log.tiles import TILE_WIDTH, ReadFile, block_path
from pipeline.verify.equivocation import Equivocation, LogPlace, make_equivocation
from pipeline.verify.evidence import (
    ADMISSION,
    BLOCK,
    END,
    HEAD,
    KEY,
    AdmissionFrame,
    BlockFrame,
    EvidenceHead,
    KeyFrame,
    encode_admission,
    encode_block,
    encode_head,
    encode_key,
    remember,
)
from pipeline.verify.frames import FrameWriter, Write
from pipeline.verify.opened_log import open_published
from pipeline.verify.query import Query
from pipeline.verify.registry_reader import RegistryReader
from pipeline.verify.signer import KeyStatus, Path
from pipeline.wire.errors import MissingError
from pipeline.wire.senml import decode_pack, pack_times_us, time_us
from pipeline.wire.statement import CONTENT_SENML, CONTENT_SHIPMENT, Statement, StatementParser, shard_of

SEARCHED_MAX = 16  # Names that a body is searched for before it is taken apart.

Identity = tuple[str, int, int]  # (issuer, epoch, sequence)
Position = tuple[int, int]  # (epoch, sequence), ordered as a signer's life runs.
Progress = Callable[[int, int], None]

_NOWHERE: tuple[Position, Position] = ((1, 0), (0, 0))


@dataclass(slots=True)
class _Runs:
    """Sequences that are in the log, as [first, last] without gaps, ascending."""

    runs: list[list[int]] = field(default_factory=list[list[int]])

    def add(self, sequence: int) -> None:
        runs = self.runs
        if runs and sequence == runs[-1][1] + 1:  # The usual case.
            runs[-1][1] = sequence
            return
        at = bisect_right(runs, sequence, key=itemgetter(0))
        if at and sequence <= runs[at - 1][1]:
            return
        joins_before = at > 0 and runs[at - 1][1] + 1 == sequence
        joins_behind = at < len(runs) and runs[at][0] == sequence + 1
        if joins_before and joins_behind:
            runs[at - 1][1] = runs[at][1]
            del runs[at]
        elif joins_before:
            runs[at - 1][1] = sequence
        elif joins_behind:
            runs[at][0] = sequence
        else:
            runs.insert(at, [sequence, sequence])

    def before(self, sequence: int) -> int | None:
        """Return the greatest that is smaller."""
        at = bisect_left(self.runs, sequence, key=itemgetter(0)) - 1
        return min(self.runs[at][1], sequence - 1) if at >= 0 else None

    def behind(self, sequence: int) -> int | None:
        """Return the smallest that is greater."""
        at = bisect_right(self.runs, sequence, key=itemgetter(1))
        return max(self.runs[at][0], sequence + 1) if at < len(self.runs) else None


@dataclass(slots=True)
class _Life:
    """One signer's statements in the log: which there are, and where the span lies among them.

    Attributes:
        epochs: The sequences of each epoch.
        low: The first position that answers the query.
        high: The last one.
        before: The last position whose records all lie before the span.
        behind: The first one whose records all lie behind it.
    """

    epochs: dict[int, _Runs] = field(default_factory=dict[int, _Runs])
    low: Position | None = None
    high: Position | None = None
    before: Position | None = None
    behind: Position | None = None

    def add(self, position: Position) -> None:
        """Note a statement."""
        self.epochs.setdefault(position[0], _Runs()).add(position[1])

    def note_wanted(self, position: Position) -> None:
        """Note that a statement answers the query."""
        self.low = position if self.low is None else min(self.low, position)
        self.high = position if self.high is None else max(self.high, position)

    def bounds(self, *, named: bool) -> tuple[Position, Position] | None:
        """Return the first and last position that evidence needs: one on either side of what is wanted.

        Of a signer that is `named` in the query also where it has said nothing in the span.
        """
        if self.low is not None and self.high is not None:
            return self._before(self.low) or self.low, self._behind(self.high) or self.high
        ends = [end for end in (self.before, self.behind) if end is not None]
        return (ends[0], max(ends[0], ends[-1])) if named and ends else None

    def _before(self, position: Position) -> Position | None:
        epoch, sequence = position
        found = self.epochs[epoch].before(sequence)
        if found is not None:
            return epoch, found
        earlier = max((number for number in self.epochs if number < epoch), default=None)
        return None if earlier is None else (earlier, self.epochs[earlier].runs[-1][1])

    def _behind(self, position: Position) -> Position | None:
        epoch, sequence = position
        found = self.epochs[epoch].behind(sequence)
        if found is not None:
            return epoch, found
        later = min((number for number in self.epochs if number > epoch), default=None)
        return None if later is None else (later, self.epochs[later].runs[0][0])


class _Block(NamedTuple):
    """A block whose statements may be wanted."""

    entry: int
    block: SignedBlock
    manifest: Manifest
    leaves: list[bytes]
    tree: BlockTree


class Collector:
    """Makes evidence under the checkpoint that stood when it was opened.

    Args:
        read: Path -> the file's bytes, or None where it is missing.
        policy: What the checkpoint must satisfy.

    Raises:
        UnavailableError: No checkpoint is published yet.
        VerificationError: The checkpoint or a tile is wrong.
    """

    def __init__(self, read: ReadFile, policy: Policy) -> None:
        self._read = read
        self._note, opened, self._tiles = open_published(read, policy)
        self.size = opened.checkpoint.size
        self._genesis = self._tiles.read_entry(0)
        self._shards = parse_genesis(self._genesis).shards
        self._parser = StatementParser()

    def collect(self, query: Query, write: Write, progress: Progress = lambda _done, _size: None) -> None:
        """Write the evidence for a query; `progress` hears how many entries of how many are read.

        Raises:
            MissingError: A body is missing.
            VerificationError: A file is damaged, or a statement's key is in no registry.
        """
        lives = self._find(query, lambda done, size: progress(done, 2 * size))
        wanted = {
            issuer: bounds
            for issuer, life in lives.items()
            if (bounds := life.bounds(named=issuer in query.devices))
        }
        writer = FrameWriter(write)
        writer.add(HEAD, encode_head(EvidenceHead(query, self._note, self._genesis)))
        after = self._write_blocks(
            writer, wanted, query.shipments, lambda done, size: progress(size + done, 2 * size)
        )
        writer.add(END, b"".join(gap_hashes(after, self.size, self.size, self._tiles.read_hash)))
        writer.close()

    def find_equivocations(
        self, query: Query, progress: Progress = lambda _done, _size: None
    ) -> Iterator[Equivocation]:
        """Yield evidence for each place where the log keeps a second statement of a signer asked for.

        Raises:
            MissingError: A body is missing.
            VerificationError: A file is damaged, or a statement's key is in no registry.
        """
        twice = self._find_twice(query, lambda done, size: progress(done, 2 * size))
        first: dict[Identity, tuple[_Block, int]] = {}
        issuers = {issuer for issuer, *_ in twice}
        later = self._blocks(issuers, lambda done, size: progress(size + done, 2 * size)) if twice else ()
        keys = _Keys(self._read, self._shards)
        for block in later:
            for leaf, raw in enumerate(block.leaves[1:], 1):
                statement = self._parser.parse(raw)
                identity = statement.issuer, statement.epoch, statement.sequence
                if identity in twice and identity not in first:
                    first[identity] = block, leaf
                elif identity in twice:
                    enrolment, rotations = keys.history(block.manifest, statement)
                    earlier, earlier_leaf = first[identity]
                    yield make_equivocation(
                        earlier.leaves[earlier_leaf],
                        raw,
                        places=(self._place(earlier, earlier_leaf), self._place(block, leaf)),
                        enrolment=enrolment,
                        rotations=rotations,
                        checkpoint=self._note,
                    )

    def _find_twice(self, query: Query, progress: Progress) -> set[Identity]:
        """Return the identities with more than one statement, of signers that the query asks for."""
        found: set[Identity] = set()
        keys = _Keys(self._read, self._shards)
        for block in self._blocks(query.devices, progress):
            for leaf in block.manifest.equivocations:
                statement = self._parser.parse(block.leaves[leaf])
                if query.wants_signer(statement.issuer, keys.find(block.manifest, statement).area):
                    found.add((statement.issuer, statement.epoch, statement.sequence))
        return found

    def _place(self, block: _Block, leaf: int) -> LogPlace:
        in_log = inclusion_path_at(block.entry, self.size, self._tiles.read_hash)
        return LogPlace(
            Path(leaf, block.tree.size, block.tree.path(leaf)),
            block.leaves[0],
            block.block.raw,
            Path(block.entry, self.size, in_log),
        )

    # What is wanted

    def _find(self, query: Query, progress: Progress) -> dict[str, _Life]:
        """Return the signers that the query asks for, and where the span lies in each one's life."""
        lives: dict[str, _Life] = {}
        keys = _Keys(self._read, self._shards)
        for block in self._blocks(query.devices, progress) if query.wants_readings else ():
            for raw in block.leaves[1:]:
                statement = self._parser.parse(raw)
                if query.devices and statement.issuer not in query.devices:
                    continue
                if query.areas and keys.find(block.manifest, statement).area not in query.areas:
                    continue
                if statement.content_type == CONTENT_SENML:
                    _note(lives.setdefault(statement.issuer, _Life()), statement, query)
        return lives

    def _blocks(
        self, issuers: Collection[str], progress: Progress, shipments: Collection[str] = ()
    ) -> Iterator[_Block]:
        """Yield the blocks with readings of these signers, of all where none is named; some others, too.

        And those with statements about these shipments, whoever signed them.
        """
        shards = {shard_of(issuer, self._shards) for issuer in issuers}
        if shipments or not issuers:
            shards = set(range(1, self._shards))
        named = {*issuers, *shipments}
        names = [name.encode() for name in named] if len(named) <= SEARCHED_MAX else []
        for bundle in range(-(-self.size // TILE_WIDTH)):
            for entry, raw in enumerate(self._tiles.read_entries(bundle), bundle * TILE_WIDTH):
                block = parse_signed_block(raw) if entry else None
                if block is None or block.shard not in shards or block.size == 1:
                    continue
                path = block_path(block.shard, block.height)
                body = self._read(path)
                if body is None:
                    raise MissingError(path)
                if not names or any(name in body for name in names):
                    leaves, tree = open_body(block, body)
                    yield _Block(entry, block, decode_manifest(leaves[0]), leaves, tree)
            progress(min((bundle + 1) * TILE_WIDTH, self.size), self.size)

    # What is written

    def _write_blocks(
        self,
        writer: FrameWriter,
        wanted: Mapping[str, tuple[Position, Position]],
        shipments: Collection[str],
        progress: Progress,
    ) -> int:
        """Write the blocks with wanted statements, each behind the keys that it needs.

        Returns the entry behind the last one.
        """
        keys = _KeyWriter(self._read, self._shards, writer)
        after = 1
        for block in self._blocks(wanted, progress, shipments) if wanted or shipments else ():
            chosen: list[tuple[int, Statement]] = []
            for leaf, raw in enumerate(block.leaves[1:], 1):
                statement = self._parser.parse(raw)
                low, high = wanted.get(statement.issuer, _NOWHERE)
                about = statement.content_type == CONTENT_SHIPMENT and statement.subject in shipments
                if about or low <= (statement.epoch, statement.sequence) <= high:
                    chosen.append((leaf, statement))
            if not chosen:
                continue
            leaves = block.leaves
            keys.show(block.manifest, [statement for _, statement in chosen])
            places = [leaf for leaf, _ in chosen]
            hashes = gap_hashes(after, block.entry, self.size, self._tiles.read_hash)
            hashes += prove_leaves(block.tree, [0, *places])
            frame = BlockFrame(
                block.entry, block.block.signature, leaves[0], [(at, leaves[at]) for at in places], hashes
            )
            writer.add(BLOCK, encode_block(frame))
            after = block.entry + 1
        return after


class _Keys:
    """Looks keys up in the registry states that blocks name; each shard names them in their order."""

    def __init__(self, read: ReadFile, shards: int) -> None:
        self._registries = [RegistryReader(read) for _ in range(shards)]

    def at(self, manifest: Manifest) -> RegistryReader:
        """Return the registry in the state that a block names."""
        registry = self._registries[manifest.shard]
        registry.go_to(manifest)
        return registry

    def find(self, manifest: Manifest, statement: Statement) -> KeyRecord:
        """Return the key that a statement in such a block names."""
        return self.at(manifest).find(statement)

    def history(self, manifest: Manifest, statement: Statement) -> tuple[bytes, Sequence[bytes]]:
        """Return how the signer of a statement in such a block came by its key."""
        registry = self.at(manifest)
        return registry.history(registry.find(statement))


class _KeyWriter:
    """Writes the keys that statements need, unless the verifier still remembers them."""

    def __init__(self, read: ReadFile, shards: int, writer: FrameWriter) -> None:
        self._writer = writer
        self._keys = _Keys(read, shards)
        self._shown: dict[tuple[bytes, str, bytes], None] = {}

    def show(self, manifest: Manifest, statements: Sequence[Statement]) -> None:
        """Write the keys of a block's statements, and what lets one in where its key alone does not."""
        registry, root = self._keys.at(manifest), manifest.registry_root
        found = [registry.find(statement) for statement in statements]
        needed = {key.place: key for key in found}
        # What is shown may push out what was shown long before, and is needed as well.
        while missing := [key for key in needed.values() if (root, *key.place) not in self._shown]:
            for key in missing:
                self._show_key(registry, root, key)
        for statement, key in zip(statements, found, strict=True):
            admission = registry.admission(statement, key)
            if admission is not None:
                frame = AdmissionFrame(root, hash_leaf(statement.raw), *admission)
                self._writer.add(ADMISSION, encode_admission(frame))

    def _show_key(self, registry: RegistryReader, root: bytes, key: KeyRecord) -> None:
        enrolment, rotations = registry.history(key)
        status = KeyStatus(key.ends, key.revocation)
        frame = KeyFrame(root, enrolment, registry.path(key), tuple(rotations), status)
        self._writer.add(KEY, encode_key(frame))
        remember(self._shown, (root, *key.place), None)


def _note(life: _Life, statement: Statement, query: Query) -> None:
    """Note one of a signer's statements, and whether it answers the query."""
    position = statement.epoch, statement.sequence
    life.add(position)
    first_us, last_us = pack_times_us(statement.payload, statement.issuer)
    span = query.span
    if span.first_us is not None and last_us < span.first_us:
        life.before = position if life.before is None else max(life.before, position)
    elif span.end_us is not None and first_us >= span.end_us:
        life.behind = position if life.behind is None else min(life.behind, position)
    elif query.wants_subject(statement.subject) and any(
        query.wants_record(record.quantity, time_us(record))
        for record in decode_pack(statement.payload, statement.issuer)
    ):
        life.note_wanted(position)
