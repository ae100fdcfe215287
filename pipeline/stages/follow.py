"""Following the log: its entries in their order, each with the block it stands for.

Publisher, courier and projector all read the topics `log` and `blocks` this way. The key of every log message
says where each shard stands, so that one message is enough to resume from.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from pipeline.log.block import SignedBlock, decode_body, parse_signed_block
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.ports import Bus, BusReader, Message
from pipeline.stages.envelopes import ShardPosition, unwrap_positions
from pipeline.wire.errors import InputError
from pipeline.wire.topics import BLOCKS, LOG

LOG_PARTITION = 0
WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class PlacedBlock:
    """A block and its place in the log. `leaves` begins with the manifest."""

    block: SignedBlock
    manifest: Manifest
    body: bytes
    leaves: list[bytes]
    block_offset: int


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of the log; `placed` is None for the genesis."""

    index: int
    raw: bytes
    log_offset: int
    placed: PlacedBlock | None


class LogFollower:
    """Reads entries in order, from the beginning or behind the one last dealt with."""

    def __init__(self, log: BusReader, blocks: Sequence[BusReader]) -> None:
        self._log = log
        self._blocks = blocks
        self._positions = [ShardPosition()] * len(blocks)

    async def resume(self, log_offset: int) -> None:
        """Go on behind the log message at this offset; at offset 0, the genesis, from the beginning."""
        if log_offset == 0:
            return
        self._log.seek(LOG_PARTITION, log_offset)
        messages: Sequence[Message] = ()
        while not messages:
            messages = await self._log.read(1, WAIT_S)
        self._positions = unwrap_positions(messages[0].key)
        for shard, position in enumerate(self._positions):
            if position.height > 0:
                self._blocks[shard].seek(shard, position.block_offset)
                await _next_block(self._blocks[shard])

    def height(self, shard: int) -> int:
        """Return how many blocks of a shard have been read, or were dealt with before resuming."""
        return self._positions[shard].height

    async def read(self, limit: int, wait_s: float) -> list[LogEntry]:
        """Return up to `limit` entries; none after `wait_s` without any."""
        return [await self._entry(message) for message in await self._log.read(limit, wait_s)]

    async def _entry(self, message: Message) -> LogEntry:
        before, self._positions = self._positions, unwrap_positions(message.key)
        index = _index(message)
        changed = [s for s, (old, new) in enumerate(zip(before, self._positions, strict=True)) if old != new]
        if not changed:
            assert index == 0, "only the genesis moves no shard"
            return LogEntry(index, message.value, message.offset, None)
        (shard,) = changed
        body = await _next_block(self._blocks[shard])
        leaves = decode_body(body.value)
        placed = PlacedBlock(
            parse_signed_block(message.value), decode_manifest(leaves[0]), body.value, leaves, body.offset
        )
        return LogEntry(index, message.value, message.offset, placed)


async def offset_of(bus: Bus, entry: int) -> int:
    """Return the log offset of an entry, in O(log n) reads; where the bus keeps marks, offsets have gaps.

    Raises:
        InputError: The log has no such entry.
    """
    size, high = await log_end(bus)
    if entry >= size:
        raise InputError("--from", f"the log has {size} entries", "Name one of them, counted from 0.")
    low = entry
    async with bus.reader(LOG, [LOG_PARTITION]) as reader:
        while True:
            guess = (low + high) // 2
            reader.seek(LOG_PARTITION, guess)
            (message,) = await reader.read(1, WAIT_S)
            index = _index(message)
            if index == entry:
                return message.offset
            if index < entry:
                low = message.offset + 1
            else:
                high = guess - 1


async def log_end(bus: Bus) -> tuple[int, int]:
    """Return the log's size, and the offset of its last entry."""
    last = await bus.last(LOG, LOG_PARTITION)
    return (_index(last) + 1, last.offset) if last else (0, 0)


def _index(message: Message) -> int:
    """Return which entry of the log a message is: as many as there are blocks up to it."""
    return sum(position.height for position in unwrap_positions(message.key))


async def _next_block(reader: BusReader) -> Message:
    """Return a shard's next block, which is on the bus before its entry is in the log."""
    while True:
        for message in await reader.read(1, WAIT_S):
            return message


@asynccontextmanager
async def open_follower(bus: Bus, shards: int) -> AsyncGenerator[LogFollower]:
    """Open a follower that begins at the genesis."""
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(bus.reader(LOG, [LOG_PARTITION]))
        blocks = [await stack.enter_async_context(bus.reader(BLOCKS, [shard])) for shard in range(shards)]
        yield LogFollower(log, blocks)
