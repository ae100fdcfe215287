"""Log: gives every block its place in one order, and signs nothing that it has not recomputed.

Its entry is the commit. Signatures are deterministic and every time in a block comes from the data, so a
repeat after a crash gives the same bytes.
"""

from collections import deque
from collections.abc import Sequence

from pipeline.counts import Counts
from pipeline.identity.authorities import Authorities
from pipeline.identity.lag import RegistryLag
from pipeline.identity.registry import Registry
from pipeline.log.block import decode_body, sign_block
from pipeline.log.chain import ChainTip, check_follows
from pipeline.log.genesis import sign_genesis
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.log.merkle import hash_leaves, root_of
from pipeline.ports import Append, Bus, BusReader, Message
from pipeline.stages.envelopes import ShardPosition, unwrap_positions, wrap_positions
from pipeline.stages.snapshots import read_registry, registry_snapshot
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import Signer
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import StatementParser, shard_of
from pipeline.wire.topics import BLOCKS, LOG, STATEMENTS

READ_MAX = 100
IDLE_S = 5.0
LOG_PARTITION = 0
REGISTRY_SHARD = 0


class Ledger:
    """The pure part: checks each block against everything before it, and signs its entry."""

    def __init__(
        self, origin: str, shards: int, signer: Signer, topic_id: bytes, authorities: Authorities
    ) -> None:
        self._origin = origin
        self._shards = shards
        self._signer = signer
        self._topic_id = topic_id
        self._authorities = authorities
        self._bound_s = authorities.bounds_s["registry_lag_s"]
        self._tips = [ChainTip()] * shards
        self.block_offsets = [0] * shards
        self._parse = StatementParser().parse
        self.registry = Registry()
        self._lag = RegistryLag(self._bound_s)

    def genesis(self) -> Append:
        """Return entry 0."""
        raw = sign_genesis(self._signer, self._origin, self._shards, self._authorities.file_hash)
        return Append(LOG, LOG_PARTITION, raw, self._key())

    def begin_with(self, registry: Registry) -> None:
        """Take up a snapshot of the registry, in place of the blocks that it includes."""
        self.registry = registry
        self._lag = RegistryLag(self._bound_s, registry.blocks)

    def must_wait(self, message: Message) -> bool:
        """Tell whether a block names a registry state that the log has not reached yet."""
        return _manifest(message).registry_blocks > self.registry.blocks

    def has_forgotten(self, message: Message) -> int | None:
        """Return the registry block that a block does not know, if it is older than what is remembered."""
        named = _manifest(message).registry_blocks
        return named if named < self.registry.first else None

    def step(self, message: Message, unknown: Manifest | None = None) -> Append:
        """Check a block and return its entry. `unknown` is the manifest that `has_forgotten` asks for.

        Raises:
            VerificationError: A BLOCK_* reason, or that of the first statement that may not be in it.
        """
        leaves = decode_body(message.value)
        manifest = decode_manifest(leaves[0])
        shard = message.partition
        check_follows(self._tips[shard], manifest, shard, self._topic_id, leaves)
        self._check_registry(manifest, unknown)
        self._check_shards(manifest, leaves)
        hashes = hash_leaves(leaves)
        root = root_of(hashes)
        self._advance(manifest, leaves, root, message.offset)
        entry = sign_block(self._signer, self._origin, manifest, root, hashes[0])
        return Append(LOG, LOG_PARTITION, entry, self._key())

    def restore(self, message: Message) -> None:
        """Take up a block that is in the log already."""
        leaves = decode_body(message.value)
        self._advance(decode_manifest(leaves[0]), leaves, root_of(hash_leaves(leaves)), message.offset)

    def _check_registry(self, manifest: Manifest, unknown: Manifest | None) -> None:
        named = manifest.registry_blocks, manifest.registry_root
        if manifest.shard == REGISTRY_SHARD:
            known = (self.registry.blocks, self.registry.root) == named
        elif unknown is not None:
            # Registry block n names the state after the n blocks before it: what it was sealed against.
            known = (unknown.registry_blocks, unknown.registry_root) == named
        else:
            known = self.registry.has_state(*named)
        if not known:
            raise VerificationError(
                Reason.BLOCK_REGISTRY, f"shard {manifest.shard}, height {manifest.height}"
            )
        if unknown is None:
            self._lag.check(manifest)
        else:
            self._lag.check_against(manifest, unknown.arrival_last_ms)

    def _check_shards(self, manifest: Manifest, leaves: Sequence[bytes]) -> None:
        if manifest.shard == REGISTRY_SHARD:
            return  # Every statement of it is checked in full when the registry takes it up.
        for raw in leaves[1:]:
            issuer = self._parse(raw).issuer
            if shard_of(issuer, self._shards) != manifest.shard:
                raise VerificationError(Reason.SHARD_WRONG, f"{issuer} in shard {manifest.shard}")

    def _advance(self, manifest: Manifest, leaves: Sequence[bytes], root: bytes, block_offset: int) -> None:
        if manifest.shard == REGISTRY_SHARD and manifest.height >= self.registry.blocks:
            self.registry.apply_block(leaves, manifest.equivocations, self._authorities)
            self._lag.add(manifest)
            self.registry.forget()
            self._lag.forget(self.registry.first)
        self._tips[manifest.shard] = self._tips[manifest.shard].after(manifest, root)
        self.block_offsets[manifest.shard] = block_offset

    def _key(self) -> bytes:
        tips = zip(self._tips, self.block_offsets, strict=True)
        return wrap_positions([ShardPosition(tip.height, block_offset) for tip, block_offset in tips])


def _manifest(message: Message) -> Manifest:
    return decode_manifest(message.value[4 : 4 + int.from_bytes(message.value[:4], "big")])


async def _restore(bus: Bus, ledger: Ledger, shards: int, blocks: BusReader) -> bool:
    """Bring the ledger to the log's last entry; tell whether there is one."""
    last = await bus.last(LOG, LOG_PARTITION)
    if last is None:
        return False
    positions = unwrap_positions(last.key)
    assert len(positions) == shards, "the log was begun with another number of shards"
    registry, block_offset = await read_registry(bus)
    ledger.begin_with(registry)
    for shard, position in enumerate(positions):
        if position.height > 0:
            # The registry is made again from its last snapshot on, every other shard from its last block.
            start = block_offset if shard == REGISTRY_SHARD else position.block_offset
            await _restore_shard(bus, ledger, shard, start, position.block_offset)
            blocks.seek(shard, position.block_offset + 1)
    return True


async def _restore_shard(bus: Bus, ledger: Ledger, shard: int, start: int, last: int) -> None:
    async with bus.reader(BLOCKS, [shard]) as reader:
        reader.seek(shard, start)
        while True:
            for message in await reader.read(READ_MAX, IDLE_S):
                ledger.restore(message)
                if message.offset == last:
                    return


async def run(
    bus: Bus,
    origin: str,
    shards: int,
    signer: Signer,
    authorities: Authorities,
    counts: Counts | None = None,
) -> None:
    """Append every block to the log until cancelled.

    Raises:
        FencedError: Another log process has taken over.
        VerificationError: A block is wrong; an aggregator has a bug or is not ours. Nothing of it was signed.
    """
    async with (
        bus.writer("log") as writer,
        bus.reader(BLOCKS, range(shards)) as blocks,
        bus.reader(BLOCKS, [REGISTRY_SHARD]) as history,
    ):
        ledger = Ledger(origin, shards, signer, await bus.topic_id(STATEMENTS), authorities)
        if not await _restore(bus, ledger, shards, blocks):
            await writer.append([ledger.genesis()])
        counts = counts or Counts()
        waiting = [deque[Message]() for _ in range(shards)]
        counts.turn()
        while True:
            read = await blocks.read(READ_MAX, IDLE_S)
            counts.turn()
            counts.take(len(read))
            for message in read:
                waiting[message.partition].append(message)
            entries = await _take(ledger, waiting, history)
            if entries:
                # A crash before this append leaves the blocks without a place: the next start makes the same
                # entries, perhaps in another order. A crash after it leaves them placed.
                await writer.append(entries)
                counts.settle(sum(entry.topic == LOG for entry in entries))


async def _take(ledger: Ledger, waiting: Sequence[deque[Message]], history: BusReader) -> list[Append]:
    """Return the entries of all blocks that can have their place now, the registry's first."""
    entries: list[Append] = []
    for queue in waiting:
        while queue and not ledger.must_wait(queue[0]):
            message = queue.popleft()
            unknown = None
            if (forgotten := ledger.has_forgotten(message)) is not None:
                unknown = await _recall(history, forgotten, ledger.block_offsets[REGISTRY_SHARD])
            entries.append(ledger.step(message, unknown))
            if message.partition == REGISTRY_SHARD:
                entries += registry_snapshot(ledger.registry, message.offset)
    return entries


async def _recall(history: BusReader, height: int, last: int) -> Manifest:
    """Return the manifest of a registry block that is in the log, in O(log n) reads.

    A block's offset on the bus is its height, or more where the bus keeps marks of its own between messages;
    `last` is that of a later one.
    """
    low, high, guess = height, last, height
    while True:
        assert low <= high, "the log holds the block"
        history.seek(REGISTRY_SHARD, guess)
        (message,) = await history.read(1, IDLE_S)
        manifest = _manifest(message)
        if manifest.height == height:
            return manifest
        if manifest.height < height:
            low = message.offset + 1
        else:
            high = guess - 1
        guess = (low + high) // 2
