"""Aggregator: checks statements and seals them into blocks. It holds no key; the block is its commit.

A block names the offsets that it consumed. Taking a shard over means: open the shard's writer (which fences
the one before), read the shard's last committed block, and go on behind its offsets. Nothing else is
committed anywhere, so a crash at any moment leaves a whole block or none, and the next start reads on from
it.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.counts import Counts
from pipeline.identity.authorities import Authorities
from pipeline.identity.changes import check_change, decode_change
from pipeline.identity.records import KeyRecord
from pipeline.identity.registry import Registry
from pipeline.log.block import decode_body, seal
from pipeline.log.chain import ChainTip
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.log.merkle import hash_leaf, hash_leaves, root_of
from pipeline.log.sequences import Place, SignerSequences
from pipeline.ports import Append, Bus, BusReader, BusWriter, Message
from pipeline.stages.envelopes import Duplicate, Refused, refusal_of, unwrap_arrival, wrap_outcomes
from pipeline.stages.snapshots import SNAPSHOT_EVERY, Snapshot, read_registry, read_snapshot, wrap_snapshot
from pipeline.wire.cbor import STATEMENT_SIZE_MAX
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.roles import check_content
from pipeline.wire.statement import (
    Statement,
    StatementParser,
    parse_statement,
    records_in,
    shard_of,
    verify_statement,
)
from pipeline.wire.topics import BLOCKS, REFUSED, STATEMENTS

CLOSE_AFTER_S = 0.5
STATEMENTS_MAX = 1024
BODY_BYTES_MAX = 900_000
REFUSED_MAX = 4096
REFUSED_BYTES_MAX = 4_000_000
READ_MAX = 256
IDLE_S = 5.0
REGISTRY_SHARD = 0
REFUSED_BUT_KNOWN = (None, Reason.KEY_REVOKED, Reason.KEY_SPAN)  # Of what may be in the log in spite of it.


class Admission(Protocol):
    """Who may write into a shard, and what."""

    @property
    def state(self) -> tuple[int, bytes]:
        """Return the registry state that statements are checked against: blocks applied and root."""
        ...

    def admit(self, arrivals: Sequence[tuple[Statement, int]]) -> list[Reason | None]:
        """Check the key, signature and content of statements, each with its arrival (POSIX ms).

        Returns why each is refused, or None.
        """
        ...

    def accept(self, statement: Statement, leaf_hash: bytes) -> None:
        """Act on an admitted statement that has become a leaf."""
        ...

    def close_block(self) -> None:
        """Learn that the admitted statements are in a block."""
        ...


@dataclass(slots=True)
class ReadingAdmission:
    """Shards 1 and up: readings and whatever else enrolled keys may sign."""

    registry: Registry

    @property
    def state(self) -> tuple[int, bytes]:
        """Return the followed registry's state."""
        return self.registry.blocks, self.registry.root

    def admit(self, arrivals: Sequence[tuple[Statement, int]]) -> list[Reason | None]:
        """Check that the keys may sign, that they signed, and that the content is theirs to sign.

        One kind of check after the other for all statements: signatures one behind the other cost less than
        with other work between them, which drives their tables out of the processor's cache.
        """
        outcomes = [self._find_key(statement, arrival_ms) for statement, arrival_ms in arrivals]
        for index, (statement, _) in enumerate(arrivals):
            outcome = outcomes[index]
            if isinstance(outcome, KeyRecord):
                try:
                    verify_statement(statement, outcome.public_key)
                except VerificationError as error:
                    outcomes[index] = error.reason
        refusals: list[Reason | None] = []
        for outcome, (statement, _) in zip(outcomes, arrivals, strict=True):
            if isinstance(outcome, Reason):
                refusals.append(outcome)
                continue
            try:
                check_content(statement, outcome.kind)
            except VerificationError as error:
                refusals.append(error.reason)
            else:
                refusals.append(None)
        return refusals

    def _find_key(self, statement: Statement, arrival_ms: int) -> KeyRecord | Reason:
        try:
            return self.registry.check_key(statement, arrival_ms)
        except VerificationError as error:
            return error.reason

    def accept(self, statement: Statement, leaf_hash: bytes) -> None:
        """Do nothing: a reading changes nobody's rights."""

    def close_block(self) -> None:
        """Do nothing: the registry moves when shard 0 does."""


@dataclass(slots=True)
class RegistryAdmission:
    """Shard 0: what authorities state; each statement acts on the next one at once."""

    registry: Registry
    authorities: Authorities

    @property
    def state(self) -> tuple[int, bytes]:
        """Return the state before the open block."""
        return self.registry.blocks, self.registry.root

    def admit(self, arrivals: Sequence[tuple[Statement, int]]) -> list[Reason | None]:
        """Check authorities' statements, also against those before them."""
        return [self._refusal(statement) for statement, _ in arrivals]

    def _refusal(self, statement: Statement) -> Reason | None:
        try:
            authority, change = check_change(statement, self.authorities)
            self.registry.check(change, authority)
        except VerificationError as error:
            return error.reason
        return None

    def accept(self, statement: Statement, leaf_hash: bytes) -> None:
        """Do what the authority states."""
        self.registry.apply(decode_change(statement), leaf_hash)

    def close_block(self) -> None:
        """Make what the open block's statements did part of the named state."""
        self.registry.close_block()
        self.registry.forget()


@dataclass(slots=True)
class Checked:
    """A message and what is known of it alone: its statement and leaf hash, or why it is refused."""

    message: Message
    statement: Statement | None
    leaf_hash: bytes
    refusal: Reason | None


@dataclass(slots=True)
class _OpenBlock:
    first: Message
    last: Message
    leaves: list[bytes] = field(default_factory=list[bytes])
    hashes: list[bytes] = field(default_factory=list[bytes])
    body_bytes: int = 0
    equivocations: list[int] = field(default_factory=list[int])
    refused: list[Refused] = field(default_factory=list[Refused])
    refused_bytes: int = 0
    duplicates: list[Duplicate] = field(default_factory=list[Duplicate])


class Sealer:
    """The pure part: messages in, sealed blocks out. Same messages, same cuts, same bytes."""

    def __init__(
        self,
        shard: int,
        shards: int,
        topic_id: bytes,
        admission: Admission,
        signers: SignerSequences,
        tip: ChainTip,
        block_offset: int = 0,
    ) -> None:
        self.shard = shard
        self.shards = shards
        self.topic_id = topic_id
        self.admission = admission
        self.signers = signers
        self.tip = tip
        self.block_offset = block_offset
        self._parse = StatementParser().parse
        self._latest_ms = tip.arrival_ms
        self._issuers: set[str] = set()  # Of this shard, and admitted before: as many as keys are enrolled.
        self._open: _OpenBlock | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether messages wait for their block."""
        return self._open is not None

    @property
    def is_full(self) -> bool:
        """Tell whether the open block must be sealed before another message."""
        block = self._open
        return block is not None and (
            len(block.leaves) >= STATEMENTS_MAX
            or block.body_bytes >= BODY_BYTES_MAX - STATEMENT_SIZE_MAX
            or len(block.refused) + len(block.duplicates) >= REFUSED_MAX
            or block.refused_bytes >= REFUSED_BYTES_MAX
        )

    def outcomes(self) -> tuple[int, int, Counter[str]]:
        """Return what the open block's messages became: leaves, duplicates, refusals by reason."""
        block = self._open
        assert block is not None, "nothing is open"
        return len(block.leaves), len(block.duplicates), Counter(item.reason for item in block.refused)

    def step(self, message: Message) -> None:
        """Check a message and take it into the open block."""
        for checked in self.check(self.in_time([message])):
            self.take(checked)

    def in_time(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return messages with times that do not run backwards, as those of a block must not.

        Kafka's times do when its clock is set back, or when another broker takes over. Whoever takes the
        shard over has the same times: they follow from the last block and from the messages behind it.
        """
        kept: list[Message] = []
        for message in messages:
            if message.timestamp_ms < self._latest_ms:
                message = message._replace(timestamp_ms=self._latest_ms)  # noqa: PLW2901 - the same message
            self._latest_ms = message.timestamp_ms
            kept.append(message)
        return kept

    def check(self, messages: Sequence[Message]) -> list[Checked]:
        """Check messages as far as that does not depend on those before them.

        In shard 0 it does: an enrolment is checked in full when it is taken.
        """
        parsed = [self._parse_message(message) for message in messages]
        if self.shard != REGISTRY_SHARD:
            self._admit([checked for checked in parsed if checked.refusal is None])
        return parsed

    def take(self, checked: Checked) -> None:
        """Take a checked message into the open block: as a leaf, a duplicate, or a refusal."""
        message = checked.message
        block = self._open
        if block is None:
            block = self._open = _OpenBlock(message, message)
        block.last = message
        place = self._place(checked)
        if place is None:
            assert checked.refusal is not None, "what has no place has a reason"
            refused = _refused(message, checked.statement, checked.refusal)
            block.refused.append(refused)
            block.refused_bytes += len(refused.head)
            return
        assert checked.statement is not None, "what has no statement is refused"
        if place is Place.DUPLICATE:
            block.duplicates.append(_duplicate(message, checked.statement))
            return
        raw = checked.statement.raw
        block.leaves.append(raw)
        block.hashes.append(checked.leaf_hash)
        block.body_bytes += len(raw) + 4
        if place is Place.EQUIVOCATION:
            block.equivocations.append(len(block.leaves))

    def _parse_message(self, message: Message) -> Checked:
        if unread := refusal_of(message.value):
            return Checked(message, None, b"", unread)
        raw = message.value[1:]
        try:
            statement = self._parse(raw)
        except VerificationError as error:
            return Checked(message, None, b"", error.reason)
        issuer = statement.issuer
        if issuer not in self._issuers and self.shard not in (REGISTRY_SHARD, shard_of(issuer, self.shards)):
            return Checked(message, statement, b"", Reason.SHARD_WRONG)
        return Checked(message, statement, hash_leaf(raw), None)

    def _admit(self, due: Sequence[Checked]) -> None:
        arrivals = [(item.statement, item.message.timestamp_ms) for item in due if item.statement is not None]
        for item, refusal in zip(due, self.admission.admit(arrivals), strict=True):
            item.refusal = refusal

    def _place(self, checked: Checked) -> Place | None:
        """Find a statement's place among its signer's others; None, with the reason set, if it is refused."""
        statement = checked.statement
        if statement is None or checked.refusal not in REFUSED_BUT_KNOWN:
            return None
        issuer, epoch, sequence = statement.issuer, statement.epoch, statement.sequence
        if checked.refusal is not None or self.shard == REGISTRY_SHARD:
            # Admission refuses what stands in the log already once its key is known, or is over.
            if self.signers.find(issuer, epoch, sequence) == checked.leaf_hash:
                return Place.DUPLICATE
            if checked.refusal is None:
                self._admit([checked])
            if checked.refusal is not None:
                return None
        try:
            place = self.signers.place(issuer, epoch, sequence, checked.leaf_hash)
        except VerificationError as error:
            checked.refusal = error.reason
            return None
        if place is Place.NEW:
            self.admission.accept(statement, checked.leaf_hash)
            self._issuers.add(issuer)
        return place

    def seal(self) -> list[Append]:
        """Close the open block and return everything that must be appended in one transaction."""
        block = self._open
        assert block is not None, "nothing to seal"
        accepted, duplicates, refused = self.outcomes()
        registry_blocks, registry_root = self.admission.state
        snapshot = self.signers.to_bytes() if (self.tip.height + 1) % SNAPSHOT_EVERY == 0 else None
        manifest = Manifest(
            shard=self.shard,
            height=self.tip.height,
            previous=self.tip.root,
            topic_id=self.topic_id,
            offset_first=block.first.offset,
            offset_last=block.last.offset,
            arrival_first_ms=block.first.timestamp_ms,
            arrival_last_ms=block.last.timestamp_ms,
            accepted=accepted,
            duplicates=duplicates,
            refused=dict(sorted(refused.items())),
            refused_hash=hashlib.sha256(b"".join(item.sha256 for item in block.refused)).digest(),
            registry_blocks=registry_blocks,
            registry_root=registry_root,
            equivocations=tuple(block.equivocations),
            state_hash=None if snapshot is None else hashlib.sha256(snapshot).digest(),
        )
        sealed = seal(manifest, block.leaves, block.hashes)
        appends = [Append(BLOCKS, self.shard, sealed.body)]
        appends += [Append(REFUSED, self.shard, v) for v in wrap_outcomes(block.refused, block.duplicates)]
        if snapshot is not None:
            appends += wrap_snapshot(self.shard, Snapshot(self.tip.height, self.block_offset, snapshot))
        self.admission.close_block()
        self.tip = self.tip.after(manifest, sealed.root)
        self._open = None
        return appends


def _refused(message: Message, statement: Statement | None, reason: Reason) -> Refused:
    arrival = unwrap_arrival(message.value)
    return Refused(
        mqtt_topic=message.key.decode(),
        sha256=arrival.sha256 or hashlib.sha256(arrival.head).digest(),
        reason=reason.value,
        records=records_in(statement) if statement else 1,
        length=arrival.length,
        arrival_ms=message.timestamp_ms,
        head=arrival.head,
    )


def _duplicate(message: Message, statement: Statement) -> Duplicate:
    return Duplicate(
        message.key.decode(),
        statement.issuer,
        statement.epoch,
        statement.sequence,
        records_in(statement),
    )


@dataclass(frozen=True, slots=True)
class _Restored:
    signers: SignerSequences
    tip: ChainTip
    block_offset: int


async def _restore(bus: Bus, shard: int) -> _Restored:
    """Read a shard's memory back: the last snapshot, and the blocks after it."""
    last = await bus.last(BLOCKS, shard)
    if last is None:
        return _Restored(SignerSequences(), ChainTip(), 0)
    snapshot = await read_snapshot(bus, shard)
    signers = SignerSequences.from_bytes(snapshot.data) if snapshot else SignerSequences()
    tip = ChainTip()
    async with bus.reader(BLOCKS, [shard]) as reader:
        if snapshot:
            reader.seek(shard, snapshot.block_offset)
        while True:
            for message in await reader.read(READ_MAX, IDLE_S):
                tip = _replay(message, tip, signers, snapshot)
                if message.offset == last.offset:
                    return _Restored(signers, tip, last.offset)


def _replay(message: Message, tip: ChainTip, signers: SignerSequences, snapshot: Snapshot | None) -> ChainTip:
    leaves = decode_body(message.value)
    manifest = decode_manifest(leaves[0])
    hashes = hash_leaves(leaves)
    if snapshot is None or manifest.height > snapshot.height:
        for raw, leaf_hash in zip(leaves[1:], hashes[1:], strict=True):
            statement = parse_statement(raw)
            signers.place(statement.issuer, statement.epoch, statement.sequence, leaf_hash)
    elif manifest.height == snapshot.height:
        assert manifest.state_hash == hashlib.sha256(snapshot.data).digest(), "a snapshot of another history"
    return tip.after(manifest, root_of(hashes))


class _RegistryFollower:
    """Keeps a registry level with shard 0."""

    def __init__(
        self, blocks: BusReader, statements: BusReader, registry: Registry, authorities: Authorities
    ) -> None:
        self._blocks = blocks
        self._statements = statements
        self._registry = registry
        self._authorities = authorities
        self._bound_ms = authorities.bounds_s["registry_lag_s"] * 1000
        self._consumed = 0
        self._ahead: Message | None = None

    async def pending(self, wait_s: float = 0) -> Sequence[Message]:
        """Return registry blocks that have not been applied."""
        return await self._blocks.read(READ_MAX, wait_s)

    def apply(self, blocks: Sequence[Message]) -> None:
        """Apply registry blocks."""
        for message in blocks:
            leaves = decode_body(message.value)
            manifest = decode_manifest(leaves[0])
            if manifest.height >= self._registry.blocks:  # Else the snapshot includes it.
                self._registry.apply_block(leaves, manifest.equivocations, self._authorities)
                self._registry.forget()
            self._consumed = manifest.offset_last + 1

    async def is_late_for(self, arrival_ms: int) -> bool:
        """Tell whether an authority's message of longer than the bound before this time is not applied yet.

        A block with a statement of this time would then lag the registry: the statement has to wait.
        """
        if self._ahead is None or self._ahead.offset < self._consumed:
            self._statements.seek(REGISTRY_SHARD, self._consumed)
            self._ahead = next(iter(await self._statements.read(1, 0)), None)
        return self._ahead is not None and arrival_ms - self._ahead.timestamp_ms > self._bound_ms


async def run(
    bus: Bus, shard: int, shards: int, authorities: Authorities, counts: Counts | None = None
) -> None:
    """Take a shard over and seal its statements until cancelled.

    Raises:
        FencedError: Another aggregator has taken the shard over.
    """
    async with (
        bus.writer(f"aggregator-{shard}") as writer,
        bus.reader(STATEMENTS, [shard]) as statements,
        bus.reader(BLOCKS, [REGISTRY_SHARD]) as registry_blocks,
        bus.reader(STATEMENTS, [REGISTRY_SHARD]) as registry_statements,
    ):
        restored = await _restore(bus, shard)
        registry, block_offset = await read_registry(bus)
        registry_blocks.seek(REGISTRY_SHARD, block_offset)
        follower = _RegistryFollower(registry_blocks, registry_statements, registry, authorities)
        while blocks := await follower.pending():
            follower.apply(blocks)
        admission: Admission
        if shard == REGISTRY_SHARD:
            admission = RegistryAdmission(registry, authorities)
        else:
            admission = ReadingAdmission(registry)
        topic_id = await bus.topic_id(STATEMENTS)
        sealer = Sealer(
            shard, shards, topic_id, admission, restored.signers, restored.tip, restored.block_offset
        )
        statements.seek(shard, restored.tip.offset)
        committer = _Committer(sealer, writer, counts or Counts())
        await _seal_forever(committer, statements, None if shard == REGISTRY_SHARD else follower)


async def _seal_forever(
    committer: "_Committer", statements: BusReader, follower: _RegistryFollower | None
) -> None:
    sealer, counts = committer.sealer, committer.counts
    loop = asyncio.get_running_loop()
    close_at = loop.time()
    counts.turn()
    while True:
        wait_s = max(0.0, close_at - loop.time()) if sealer.is_open else IDLE_S
        batch = sealer.in_time(await statements.read(READ_MAX, wait_s))
        counts.turn()
        counts.take(len(batch))
        # Read after the statements: a device that has its enrolment's receipt is then known for certain.
        while follower and (blocks := await follower.pending()):
            if sealer.is_open:
                await committer.commit()
            follower.apply(blocks)
        while follower and batch and await follower.is_late_for(batch[-1].timestamp_ms):
            if sealer.is_open:
                await committer.commit()
            follower.apply(await follower.pending(IDLE_S))
        for checked in sealer.check(batch):
            if not sealer.is_open:
                close_at = loop.time() + CLOSE_AFTER_S
            sealer.take(checked)
            if sealer.is_full:
                await committer.commit()
        if sealer.is_open and loop.time() >= close_at:
            await committer.commit()


@dataclass(frozen=True, slots=True)
class _Committer:
    sealer: Sealer
    writer: BusWriter
    counts: Counts

    async def commit(self) -> None:
        """Seal the open block and append it."""
        sealer = self.sealer
        outcomes = sealer.outcomes()
        # A crash before this append leaves no block: the next start reads the same statements again. A crash
        # after it leaves the block: the next start reads it back and goes on behind its offsets.
        offsets = await self.writer.append(sealer.seal())
        sealer.block_offset = offsets[0]
        self.counts.settle(*outcomes)
