"""Logs of any size that nobody has to store: their tiles and bus follow from a few entries and a rule.

All entries are one and the same but for the few that matter. A complete subtree without any of those has a
hash that depends on its height alone, so any tile of a log of 10^8 entries is made in a moment, and what
reads it is the code that reads real ones. Reads are counted.
"""

import asyncio
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256

from pipeline.log.merkle import Tree, hash_leaf, hash_node
from pipeline.log.tiles import TILE_HEIGHT, TILE_WIDTH, ReadFile, encode_entries
from pipeline.ports import Append, Message
from pipeline.wire.topics import STATE

HEIGHT_MAX = 40
TIME_MS = 1_800_000_000_000
COMPACTED = frozenset({STATE})

_PATH = re.compile(r"(tile|block)/([0-9]+|entries)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]+))?")


class SparseTree:
    """A tree whose leaves are all one filler, but for some.

    Args:
        size: Number of leaves.
        filler: The entry that stands at every other index.
        entries: Index -> entry.
    """

    def __init__(self, size: int, filler: bytes, entries: Mapping[int, bytes]) -> None:
        self.size = size
        self._filler = filler
        self._entries = dict(entries)
        self._indices = sorted(self._entries)
        self._plain = [hash_leaf(filler)]
        for _ in range(HEIGHT_MAX):
            self._plain.append(hash_node(self._plain[-1], self._plain[-1]))
        self._known: dict[tuple[int, int], bytes] = {}

    def entry(self, index: int) -> bytes:
        """Return an entry."""
        return self._entries.get(index, self._filler)

    def read_hash(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree (a `merkle.ReadHash`)."""
        at = bisect_left(self._indices, index << level)
        if at == len(self._indices) or self._indices[at] >= (index + 1) << level:
            return self._plain[level]
        known = self._known.get((level, index))
        if known is None:
            if level == 0:
                known = hash_leaf(self._entries[index])
            else:
                known = hash_node(
                    self.read_hash(level - 1, 2 * index), self.read_hash(level - 1, 2 * index + 1)
                )
            self._known[level, index] = known
        return known

    def root(self, size: int) -> bytes:
        """Return the root at a size up to the present one."""
        peaks: list[bytes] = []
        start = 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                peaks.append(self.read_hash(level, start >> level))
                start += 1 << level
        return Tree.from_bytes(size.to_bytes(8, "big") + b"".join(peaks)).root()


class SparseFolder:
    """A published log's files, made when they are first asked for and kept.

    Args:
        tree: Whose tiles and bundles there are.
        body: (shard, height) -> the body archived there.
        files: Other files.
    """

    def __init__(
        self, tree: SparseTree, body: Callable[[int, int], bytes], files: Mapping[str, bytes]
    ) -> None:
        self._tree = tree
        self._body = body
        self._files: dict[str, bytes | None] = dict(files)

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or None where it is missing."""
        if path not in self._files:
            self._files[path] = self._make(path)
        return self._files[path]

    def _make(self, path: str) -> bytes | None:
        match = _PATH.fullmatch(path)
        if match is None:
            return None
        number = int(match[3].replace("/", "").replace("x", ""))
        if match[1] == "block":
            return self._body(int(match[2]), number)
        level = 0 if match[2] == "entries" else int(match[2])
        count = self._tree.size >> TILE_HEIGHT * level
        width = min(TILE_WIDTH, count - number * TILE_WIDTH)
        if width != int(match[4] or TILE_WIDTH):
            return None
        places = range(number * TILE_WIDTH, number * TILE_WIDTH + width)
        if match[2] == "entries":
            return encode_entries([self._tree.entry(index) for index in places])
        return b"".join(self._tree.read_hash(TILE_HEIGHT * level, index) for index in places)


class CountedFiles:
    """`ports.Files` over a folder that stays as it is: what is written is kept here, and counted."""

    def __init__(self, read: ReadFile | None = None) -> None:
        self._read = read or (lambda _path: None)
        self._written: dict[str, bytes] = {}
        self.counts: Counter[str] = Counter()

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or None where it is missing."""
        data = self._written.get(path) or self._read(path)
        if data is not None:
            self.counts["reads"] += 1
            self.counts["bytes"] += len(data)
        return data

    async def write(self, path: str, data: bytes) -> None:
        """Write a file."""
        await self.write_many({path: data})

    async def write_many(self, files: Mapping[str, bytes]) -> None:
        """Write several files."""
        self._written |= files
        self.counts["writes"] += len(files)
        self.counts["bytes_written"] += sum(map(len, files.values()))


@dataclass(slots=True)
class Partition:
    """A partition as long as it says; `made` gives (key, value) at an offset, `rows` follow behind."""

    length: int = 0
    made: Callable[[int], tuple[bytes, bytes]] | None = None
    rows: list[Message] = field(default_factory=list[Message])
    known: dict[int, Message] = field(default_factory=dict[int, Message])

    @property
    def next_offset(self) -> int:
        """The offset that the next message will have."""
        return self.length + len(self.rows)


class SparseBus:
    """`ports.Bus` over partitions of any length. `idle` tells when its readers wait for more."""

    def __init__(self, partitions: Mapping[tuple[str, int], Partition]) -> None:
        self._partitions = dict(partitions)
        self._version = 0
        self._compacted: dict[tuple[str, int], dict[bytes, bytes]] = {}
        self._resume: dict[tuple[str, str, int], int] = {}
        self._grown = asyncio.Condition()
        self._waiting: Counter[int] = Counter()  # By the version that was current when they began.
        self.counts: Counter[str] = Counter()

    def put_compacted(self, batch: Sequence[Append]) -> None:
        """Put rows of compacted topics there, as a writer did long ago."""
        for item in batch:
            self._compacted.setdefault((item.topic, item.partition), {})[item.key] = item.value

    def resume_at(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Let a group resume there, as it committed long ago."""
        self._resume[group, topic, partition] = offset

    async def append(self, batch: Sequence[Append]) -> list[int]:
        """Append messages and wake the readers; return their offsets."""
        offsets: list[int] = []
        for item in batch:
            self.counts["writes"] += 1
            self.counts["bytes_written"] += len(item.value)
            partition = self._partition(item.topic, item.partition)
            offset = partition.next_offset
            offsets.append(offset)
            if item.topic in COMPACTED:
                self.put_compacted([item])
                continue
            partition.rows.append(
                Message(item.topic, item.partition, offset, TIME_MS + offset, item.value, item.key)
            )
        async with self._grown:
            self._version += 1
            self._grown.notify_all()
        return offsets

    async def idle(self, readers: int) -> None:
        """Return once so many readers wait for messages that are not there."""
        async with self._grown:
            await self._grown.wait_for(lambda: self._waiting[self._version] >= readers)

    def message(self, topic: str, number: int, offset: int) -> Message:
        """Return a message, made at its first read."""
        partition = self._partition(topic, number)
        if offset >= partition.length:
            message = partition.rows[offset - partition.length]
        elif offset in partition.known:
            message = partition.known[offset]
        else:
            assert partition.made is not None, "what has a length can be made"
            key, value = partition.made(offset)
            message = Message(topic, number, offset, TIME_MS + offset, value, key)
            partition.known[offset] = message
        self.counts["reads"] += 1
        self.counts["bytes"] += len(message.value)
        return message

    def _partition(self, topic: str, number: int) -> Partition:
        return self._partitions.setdefault((topic, number), Partition())

    async def topic_id(self, topic: str) -> bytes:
        """Return the 16-byte id of a topic."""
        return sha256(topic.encode()).digest()[:16]

    @asynccontextmanager
    async def reader(self, topic: str, partitions: Sequence[int]) -> AsyncGenerator["SparseReader"]:
        """Open a reader that begins at offset 0 of each partition."""
        yield SparseReader(self, topic, partitions)

    @asynccontextmanager
    async def writer(self, name: str) -> AsyncGenerator["SparseWriter"]:  # noqa: ARG002 - the port's
        """Open a writer; there is one of each name only."""
        yield SparseWriter(self)

    @asynccontextmanager
    async def sender(self, name: str) -> AsyncGenerator["SparseSender"]:  # noqa: ARG002 - the port's
        """Open a sender."""
        yield SparseSender(self)

    async def last(self, topic: str, partition: int) -> Message | None:
        """Return the partition's last message, if it has any."""
        end = self._partition(topic, partition).next_offset
        return self.message(topic, partition, end - 1) if end else None

    async def compacted(self, topic: str, partition: int) -> Mapping[bytes, bytes]:
        """Return the last value of each key of a compacted partition."""
        rows = self._compacted.get((topic, partition), {})
        self.counts["reads"] += len(rows)
        self.counts["bytes"] += sum(map(len, rows.values()))
        return rows

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Remember that `group` resumes this partition at `offset`."""
        self._resume[group, topic, partition] = offset

    async def committed(self, group: str, topic: str, partition: int) -> int:
        """Return where `group` resumes this partition; 0 where it never committed."""
        return self._resume.get((group, topic, partition), 0)

    async def fetch(self, topic: str, positions: dict[int, int], limit: int, *, wait: bool) -> list[Message]:
        """Return up to `limit` messages from these positions on, and move them."""
        while True:
            version, found = self._version, list[Message]()
            for number, position in positions.items():
                end = min(self._partition(topic, number).next_offset, position + limit - len(found))
                found += [self.message(topic, number, offset) for offset in range(position, end)]
                positions[number] = max(position, end)
            if found or not wait:
                return found
            await self._wait(version)

    async def _wait(self, version: int) -> None:
        """Wait until something is appended after this version, as one of the idle."""
        async with self._grown:
            self._waiting[version] += 1
            self._grown.notify_all()
            try:
                await self._grown.wait_for(lambda: self._version != version)
            finally:
                self._waiting[version] -= 1


class SparseReader:
    """`ports.BusReader`. Where nothing comes it waits for as long as that takes."""

    def __init__(self, bus: SparseBus, topic: str, partitions: Sequence[int]) -> None:
        self._bus = bus
        self._topic = topic
        self._positions = dict.fromkeys(partitions, 0)

    def seek(self, partition: int, offset: int) -> None:
        """Let the next read of this partition begin at `offset`."""
        self._positions[partition] = offset

    async def read(self, limit: int, wait_s: float) -> Sequence[Message]:
        """Return up to `limit` messages, in order within a partition."""
        return await self._bus.fetch(self._topic, self._positions, limit, wait=wait_s > 0)


class SparseSender:
    """`ports.BusSender`."""

    def __init__(self, bus: SparseBus) -> None:
        self._bus = bus

    async def send(self, messages: Sequence[Append]) -> None:
        """Append messages."""
        await self._bus.append(messages)


class SparseWriter:
    """`ports.BusWriter`."""

    def __init__(self, bus: SparseBus) -> None:
        self._bus = bus

    async def append(self, batch: Sequence[Append]) -> Sequence[int]:
        """Append and return the offsets."""
        return await self._bus.append(batch)
