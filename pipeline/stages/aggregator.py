"""Aggregator: checks statements and seals them into blocks. It holds no key; the block is its commit.

A block names the offsets that it consumed. Taking a shard over means: open the shard's writer (which fences
the one before), read the shard's last committed block, and go on behind its offsets. Nothing else is
committed anywhere, so a crash at any moment leaves a whole block or none, and the next start reads on from
it.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.counts import Counts
from pipeline.identity.authorities import Authorities
from pipeline.identity.registry import Registry
from pipeline.log.block import decode_body
from pipeline.log.chain import ChainTip
from pipeline.log.manifest import decode_manifest
from pipeline.log.merkle import hash_leaves, root_of
from pipeline.log.sequences import SignerSequences
from pipeline.ports import Bus, BusReader, BusWriter, Message
from pipeline.stages.admission import Admission, ReadingAdmission, RegistryAdmission
from pipeline.stages.sealing import REGISTRY_SHARD, Sealer
from pipeline.stages.snapshots import Snapshot, read_registry, read_snapshot
from pipeline.wire.statement import (
    parse_statement,
)
from pipeline.wire.topics import BLOCKS, STATEMENTS

CLOSE_AFTER_S = 0.5
READ_MAX = 256
IDLE_S = 5.0


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
