"""`ports.Bus` in memory: Kafka's semantics, fencing, and faults on demand."""

import asyncio
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Literal

from pipeline.ports import Append, Message
from pipeline.wire.errors import FencedError, UnavailableError
from pipeline.wire.topics import BLOCKS, LOG, REFUSED, STATE, STATEMENTS

Fault = Literal["before", "after"] | None

EPOCH_S = 1_800_000_000


def city_topics(shards: int) -> dict[str, int]:
    """Topic -> partitions of a city's bus."""
    return {STATEMENTS: shards, BLOCKS: shards, REFUSED: shards, STATE: shards, LOG: 1}


class MemoryBus:
    """A bus. What a batch appended is there for good; readers and writers may be dropped at any await.

    Args:
        topics: Topic -> number of partitions.
        marked: Topics in which every batch leaves a hole behind, as Kafka's commit markers do.
        now_s: POSIX seconds; append times never run backwards, whatever it says.
    """

    def __init__(
        self,
        topics: Mapping[str, int],
        *,
        marked: frozenset[str] = frozenset(),
        now_s: Callable[[], float] = lambda: EPOCH_S,
    ) -> None:
        self.partitions: dict[tuple[str, int], list[Message]] = {
            (topic, partition): [] for topic, count in topics.items() for partition in range(count)
        }
        self.fault: Callable[[str, Sequence[Append]], Fault] = lambda _writer, _batch: None
        self.now_s = now_s
        self.at_once: dict[str, int] = {}  # Topic: how many messages a read of it returns at most.
        self.commits: dict[tuple[str, str, int], int] = {}
        self._marked = marked
        self._next: Counter[tuple[str, int]] = Counter()
        self._epochs: Counter[str] = Counter()
        self._grown: dict[str, dict[asyncio.Event, None]] = defaultdict(dict)  # In their order.

    def values(self, topic: str, partition: int = 0) -> list[bytes]:
        """What a partition holds."""
        return [message.value for message in self.partitions[topic, partition]]

    def put(self, *batch: Append) -> list[int]:
        """Append without a writer, as an intruder's doing, in a transaction."""
        offsets = self._put(batch)
        for place in {(item.topic, item.partition) for item in batch if item.topic in self._marked}:
            self._next[place] += 1
        return offsets

    def _put(self, batch: Sequence[Append]) -> list[int]:
        now_ms = int(self.now_s() * 1000)
        offsets: list[int] = []
        for item in batch:
            place = item.topic, item.partition
            rows, offset = self.partitions[place], self._next[place]
            timestamp_ms = max(now_ms, rows[-1].timestamp_ms) if rows else now_ms
            rows.append(Message(item.topic, item.partition, offset, timestamp_ms, item.value, item.key))
            offsets.append(offset)
            self._next[place] += 1
        for topic in {item.topic for item in batch}:
            for event in self._grown[topic]:
                event.set()
        return offsets

    async def topic_id(self, topic: str) -> bytes:
        return sha256(topic.encode()).digest()[:16]

    @asynccontextmanager
    async def reader(self, topic: str, partitions: Sequence[int]) -> AsyncGenerator["MemoryReader"]:
        grown = asyncio.Event()
        self._grown[topic][grown] = None
        try:
            yield MemoryReader(self, topic, partitions, grown)
        finally:
            del self._grown[topic][grown]

    @asynccontextmanager
    async def writer(self, name: str) -> AsyncGenerator["MemoryWriter"]:
        self._epochs[name] += 1
        yield MemoryWriter(self, name, self._epochs[name])

    @asynccontextmanager
    async def sender(self, name: str) -> AsyncGenerator["MemorySender"]:
        yield MemorySender(self, name)

    async def last(self, topic: str, partition: int) -> Message | None:
        await asyncio.sleep(0)
        rows = self.partitions[topic, partition]
        return rows[-1] if rows else None

    async def compacted(self, topic: str, partition: int) -> Mapping[bytes, bytes]:
        await asyncio.sleep(0)
        return {message.key: message.value for message in self.partitions[topic, partition]}

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        await asyncio.sleep(0)
        self.commits[group, topic, partition] = offset

    async def committed(self, group: str, topic: str, partition: int) -> int:
        return self.commits.get((group, topic, partition), 0)

    async def send(self, name: str, messages: Sequence[Append]) -> None:
        await asyncio.sleep(0)  # A crash here leaves nothing.
        fault = self.fault(name, messages)
        if fault == "before":
            raise UnavailableError("bus", "send")
        self._put(messages)
        if fault == "after":
            raise UnavailableError("bus", "send")
        await asyncio.sleep(0)  # A crash here leaves all of it.

    async def append(self, name: str, epoch: int, batch: Sequence[Append]) -> list[int]:
        await asyncio.sleep(0)  # A crash here leaves nothing.
        if self._epochs[name] != epoch:
            raise FencedError(name)
        fault = self.fault(name, batch)
        if fault == "before":
            raise UnavailableError("bus", "append")
        offsets = self.put(*batch)
        if fault == "after":
            raise UnavailableError("bus", "append")
        await asyncio.sleep(0)  # A crash here leaves all of it.
        return offsets


class MemorySender:
    def __init__(self, bus: MemoryBus, name: str) -> None:
        self._bus = bus
        self._name = name

    async def send(self, messages: Sequence[Append]) -> None:
        await self._bus.send(self._name, messages)


class MemoryWriter:
    def __init__(self, bus: MemoryBus, name: str, epoch: int) -> None:
        self._bus = bus
        self._name = name
        self._epoch = epoch

    async def append(self, batch: Sequence[Append]) -> Sequence[int]:
        return await self._bus.append(self._name, self._epoch, batch)


class MemoryReader:
    def __init__(self, bus: MemoryBus, topic: str, partitions: Sequence[int], grown: asyncio.Event) -> None:
        self._bus = bus
        self._topic = topic
        self._positions = dict.fromkeys(partitions, 0)
        self._grown = grown

    def seek(self, partition: int, offset: int) -> None:
        assert partition in self._positions
        self._positions[partition] = offset

    async def read(self, limit: int, wait_s: float) -> Sequence[Message]:
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(wait_s):
                while not (found := self._take(limit)):
                    self._grown.clear()
                    await self._grown.wait()
        except TimeoutError:
            return self._take(limit)
        return found

    def _take(self, limit: int) -> list[Message]:
        found: list[Message] = []
        for partition, position in self._positions.items():
            rows = self._bus.partitions[self._topic, partition]
            limit = min(limit, self._bus.at_once.get(self._topic, limit))
            start = bisect_left(rows, position, key=lambda message: message.offset)
            run = rows[start : start + limit - len(found)]
            if run:
                self._positions[partition] = run[-1].offset + 1
                found += run
        return found
