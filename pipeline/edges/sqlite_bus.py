"""The embedded bus: Kafka's semantics in one SQLite file.

A message's place in the file is its partition's number and its offset in one integer, so that a partition is
a run of neighbouring rows. All that a batch appends is one transaction, with the check of its writer's epoch.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from secrets import token_bytes
from typing import NamedTuple

from pipeline.durable import step
from pipeline.edges.clock import SYSTEM_CLOCK
from pipeline.edges.sqlite import Connection, Database, Schema, attach_database, open_database
from pipeline.ports import Append, Clock, Message
from pipeline.wire.errors import FencedError, InputError

READ_BYTES_MAX = 4 * 1024 * 1024  # A read ends after this many bytes, and returns one message at least.
POLL_S = 0.2  # How soon another process sees what the owner appended.
OFFSET_BITS = 40
OFFSET_MASK = (1 << OFFSET_BITS) - 1
TOPIC_ID_SIZE = 16

SCHEMA = Schema(
    version=1,
    script="""
    CREATE TABLE topic (name TEXT PRIMARY KEY, id BLOB NOT NULL, partitions INTEGER NOT NULL,
                        first_number INTEGER NOT NULL, compacted INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE message (place INTEGER PRIMARY KEY, timestamp_ms INTEGER NOT NULL, key BLOB NOT NULL,
                          value BLOB NOT NULL);
    CREATE TABLE latest (number INTEGER, key BLOB, place INTEGER NOT NULL, PRIMARY KEY (number, key))
        WITHOUT ROWID;
    CREATE TABLE writer (name TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE resume (consumer TEXT, number INTEGER, next INTEGER NOT NULL, PRIMARY KEY (consumer, number))
        WITHOUT ROWID;
    """,
)


class _Topic(NamedTuple):
    """A row of the table `topic`: its partitions are numbered on from `first_number`."""

    name: str
    id: bytes
    partitions: int
    first_number: int
    compacted: bool

    def number(self, partition: int) -> int:
        """Return the partition's number in the file."""
        assert 0 <= partition < self.partitions, f"{self.name} has no partition {partition}"
        return self.first_number + partition


class _Row(NamedTuple):
    """A row of the table `message`."""

    place: int
    timestamp_ms: int
    key: bytes
    value: bytes

    def message(self, topic: str, partition: int) -> Message:
        return Message(topic, partition, self.place & OFFSET_MASK, self.timestamp_ms, self.value, self.key)


class BusView:
    """The bus as another process sees it beside its owner: everything that is committed, to read only."""

    poll_s = POLL_S

    def __init__(self, database: Database, topics: Sequence[_Topic], next_offsets: dict[int, int]) -> None:
        self._database = database
        self._topics = {topic.name: topic for topic in topics}
        self._next = next_offsets  # By partition number: the offset after the last committed one.
        self._readers: set[Reader] = set()

    @classmethod
    @asynccontextmanager
    async def attach(cls, path: Path) -> "AsyncGenerator[BusView]":
        """Open a bus for reading, beside its owner.

        Raises:
            InputError: There is no bus, or none that this program knows.
        """
        async with attach_database(path, SCHEMA) as database:
            yield cls(database, *await database.read(_select_topics_and_next))

    async def topic_id(self, topic: str) -> bytes:
        """Return the 16-byte id the topic was created with."""
        return self._topic(topic).id

    @asynccontextmanager
    async def reader(self, topic: str, partitions: Sequence[int]) -> "AsyncGenerator[Reader]":
        """Open a reader that begins at offset 0 of each partition."""
        reader = Reader(self, self._database, self._topic(topic), partitions)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.remove(reader)

    async def last(self, topic: str, partition: int) -> Message | None:
        """Return the partition's last committed message, if it has any."""
        row = await self._database.read(partial(_select_last, number=self._topic(topic).number(partition)))
        return row and row.message(topic, partition)

    async def compacted(self, topic: str, partition: int) -> Mapping[bytes, bytes]:
        """Return the last value of each key of a compacted partition."""
        found = self._topic(topic)
        assert found.compacted, f"{topic} is not compacted"
        return await self._database.read(partial(_select_compacted, number=found.number(partition)))

    async def committed(self, group: str, topic: str, partition: int) -> int:
        """Return where `group` resumes this partition; 0 where it never committed."""
        number = self._topic(topic).number(partition)
        return await self._database.read(partial(_select_resume, group=group, number=number))

    async def refresh(self) -> None:
        """Look how far the owner has come."""
        _, self._next = await self._database.read(_select_topics_and_next)

    def next_offset(self, number: int) -> int:
        """Return the offset that a partition's next message will have, as far as is known here."""
        return self._next.get(number, 0)

    def _topic(self, name: str) -> _Topic:
        assert name in self._topics, f"the bus was opened without the topic {name}"
        return self._topics[name]


class SqliteBus(BusView):
    """`ports.Bus` as its one owner has it. Readers are woken by the commit itself."""

    poll_s = math.inf

    def __init__(
        self, database: Database, topics: Sequence[_Topic], next_offsets: dict[int, int], clock: Clock
    ) -> None:
        super().__init__(database, topics, next_offsets)
        self._clock = clock

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        partitions: Mapping[str, int],
        *,
        compacted: Collection[str] = (),
        clock: Clock = SYSTEM_CLOCK,
    ) -> "AsyncGenerator[SqliteBus]":
        """Open the bus as its owner. The file and its topics are made on first use.

        Args:
            path: The bus's file.
            partitions: How many partitions each topic has.
            compacted: The topics that keep the last value of each key only.
            clock: Gives the append times.

        Raises:
            InputError: Another process owns the bus, or it was made with other partitions.
        """
        async with open_database(path, SCHEMA) as database:
            create = partial(_create_topics, partitions=partitions, compacted=compacted)
            # A crash before this commit leaves a bus without these topics, which the next start makes.
            await database.write("bus.topics", create)
            topics, next_offsets = await database.read(_select_topics_and_next)
            for topic in topics:
                if topic.partitions != partitions.get(topic.name, topic.partitions):
                    raise InputError(
                        str(path),
                        f"topic {topic.name} has {topic.partitions} partitions, not {partitions[topic.name]}",
                        "Keep the number of shards that the log was begun with, or name another folder.",
                    )
            yield cls(database, topics, next_offsets, clock)

    @asynccontextmanager
    async def writer(self, name: str) -> "AsyncGenerator[Writer]":
        """Open the writer of this name and fence every earlier one of it."""
        # A crash after this commit leaves the earlier writer fenced and no newer one, until the next start.
        epoch = await self._database.write(f"bus.{name}.open", partial(_raise_epoch, name=name))
        yield Writer(self, name, epoch)

    @asynccontextmanager
    async def sender(self, name: str) -> "AsyncGenerator[Sender]":
        """Open a sender; it fences nobody. The name is for people."""
        yield Sender(self, name)

    async def append(self, writer: str, epoch: int | None, batch: Sequence[Append]) -> list[int]:
        """Append a batch for a writer, or, without an epoch, for a sender; see `Writer.append`."""
        rows = [(self._topic(item.topic), item) for item in batch]
        work = partial(_append, writer=writer, epoch=epoch, rows=rows, clock=self._clock)
        places = await self._database.write(f"bus.{writer}", work, self._announce)
        return [place & OFFSET_MASK for place in places]

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Remember durably that `group` resumes this partition at `offset`."""
        number = self._topic(topic).number(partition)
        # A crash before this commit repeats what the group did since the last one.
        work = partial(_upsert_resume, group=group, number=number, offset=offset)
        await self._database.write(f"bus.{group}.resume", work)

    async def refresh(self) -> None:
        """Do nothing: every commit announces itself."""

    def _announce(self, places: Sequence[int]) -> None:
        numbers = set[int]()
        for place in places:
            number = place >> OFFSET_BITS
            numbers.add(number)
            self._next[number] = (place & OFFSET_MASK) + 1
        for reader in self._readers:
            reader.wake(numbers)


class Writer:
    """`ports.BusWriter`."""

    def __init__(self, bus: SqliteBus, name: str, epoch: int) -> None:
        self._bus = bus
        self._name = name
        self._epoch = epoch

    async def append(self, batch: Sequence[Append]) -> Sequence[int]:
        """Append and return the offsets once the batch is durable.

        Raises:
            FencedError: A writer of the same name was opened after this one; nothing was appended.
            UnavailableError: The disk failed or is full; whether the batch is there must be read back.
        """
        return await self._bus.append(self._name, self._epoch, batch)


class Sender:
    """`ports.BusSender`."""

    def __init__(self, bus: SqliteBus, name: str) -> None:
        self._bus = bus
        self._name = name

    async def send(self, messages: Sequence[Append]) -> None:
        """Append messages, all in one transaction, which leaves no mark here.

        Raises:
            UnavailableError: The disk failed or is full; whether they are there must be read back.
        """
        await self._bus.append(self._name, None, messages)


class Reader:
    """`ports.BusReader`. A busy partition does not starve the others: they take turns at being first."""

    def __init__(self, bus: BusView, database: Database, topic: _Topic, partitions: Sequence[int]) -> None:
        self._bus = bus
        self._database = database
        self._topic = topic
        self._numbers = {partition: topic.number(partition) for partition in partitions}
        self._positions = dict.fromkeys(partitions, 0)
        self._turn = 0
        self._woken = asyncio.Event()

    def seek(self, partition: int, offset: int) -> None:
        """Let the next read of this partition begin at `offset`."""
        assert partition in self._positions, f"this reader does not read partition {partition}"
        assert offset >= 0, "offsets count from 0"
        self._positions[partition] = offset

    async def read(self, limit: int, wait_s: float) -> Sequence[Message]:
        """Return up to `limit` messages, in order within a partition; empty after `wait_s` without any.

        Raises:
            UnavailableError: The file cannot be read.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_s
        while True:
            self._woken.clear()
            await self._bus.refresh()
            due = self._due()
            if due:
                return await self._fetch(due, limit)
            remaining_s = deadline_s - loop.time()
            if remaining_s <= 0:
                return []
            try:
                async with asyncio.timeout(min(remaining_s, self._bus.poll_s)):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def wake(self, numbers: set[int]) -> None:
        """Learn that these partitions have grown."""
        if not numbers.isdisjoint(self._numbers.values()):
            self._woken.set()

    def _due(self) -> list[int]:
        """Return the partitions that have something to read, another one first every time."""
        due = [p for p, number in self._numbers.items() if self._positions[p] < self._bus.next_offset(number)]
        if due:
            self._turn += 1
            first = self._turn % len(due)
            due = due[first:] + due[:first]
        return due

    async def _fetch(self, due: Sequence[int], limit: int) -> list[Message]:
        starts = [self._numbers[p] << OFFSET_BITS | self._positions[p] for p in due]
        runs = await self._database.read(partial(_select_runs, starts=starts, limit=limit))
        messages: list[Message] = []
        for partition, run in zip(due, runs, strict=False):
            if run:
                self._positions[partition] = (run[-1].place & OFFSET_MASK) + 1
                messages += [row.message(self._topic.name, partition) for row in run]
        return messages


def _create_topics(connection: Connection, partitions: Mapping[str, int], compacted: Collection[str]) -> None:
    topics = _select_topics(connection)
    known = {topic.name for topic in topics}
    number = max((topic.first_number + topic.partitions for topic in topics), default=0)
    for name, size in partitions.items():
        if name not in known:
            topic = _Topic(name, token_bytes(TOPIC_ID_SIZE), size, number, name in compacted)
            connection.execute("INSERT INTO topic VALUES (?, ?, ?, ?, ?)", topic)
            number += size


def _select_topics(connection: Connection) -> list[_Topic]:
    rows = connection.execute("SELECT name, id, partitions, first_number, compacted FROM topic").fetchall()
    return [_Topic(*row) for row in rows]


def _raise_epoch(connection: Connection, name: str) -> int:
    (epoch,) = connection.execute(
        "INSERT INTO writer VALUES (?, 1) ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
        (name,),
    ).fetchone()
    return int(epoch)


def _append(
    connection: Connection,
    writer: str,
    epoch: int | None,
    rows: Sequence[tuple[_Topic, Append]],
    clock: Clock,
) -> list[int]:
    """Insert a batch behind what its partitions hold and return the places it got."""
    if epoch is not None:
        (current,) = connection.execute("SELECT epoch FROM writer WHERE name = ?", (writer,)).fetchone()
        if current != epoch:
            raise FencedError(f"another {writer} has taken over")
    now_ms = int(clock.now_s() * 1000)
    heads: dict[int, tuple[int, int]] = {}  # By partition number: next place, append time.
    inserts: list[_Row] = []
    keyed: list[tuple[int, bytes, int]] = []
    for topic, item in rows:
        number = topic.number(item.partition)
        if number not in heads:
            place, timestamp_ms = _select_head(connection, number)
            # Append times never run backwards, whatever the clock does.
            heads[number] = place, max(timestamp_ms, now_ms)
        place, timestamp_ms = heads[number]
        heads[number] = place + 1, timestamp_ms
        inserts.append(_Row(place, timestamp_ms, item.key, item.value))
        if topic.compacted:
            keyed.append((number, item.key, place))
    connection.executemany("INSERT INTO message VALUES (?, ?, ?, ?)", inserts)
    _compact(connection, keyed)
    # A crash here leaves nothing of the batch.
    step(f"bus.{writer}.inserted")
    return [row.place for row in inserts]


def _compact(connection: Connection, keyed: Sequence[tuple[int, bytes, int]]) -> None:
    """Drop what newer messages of the same number and key replace."""
    for number, key, place in keyed:
        connection.execute(
            "DELETE FROM message WHERE place = (SELECT place FROM latest WHERE number = ? AND key = ?)",
            (number, key),
        )
        connection.execute("INSERT OR REPLACE INTO latest VALUES (?, ?, ?)", (number, key, place))


def _select_head(connection: Connection, number: int) -> tuple[int, int]:
    """Return a partition's next place and its last append time, 0 before the first."""
    start = number << OFFSET_BITS
    row = connection.execute(
        "SELECT place, timestamp_ms FROM message WHERE place BETWEEN ? AND ? ORDER BY place DESC LIMIT 1",
        (start, start | OFFSET_MASK),
    ).fetchone()
    return (row[0] + 1, row[1]) if row else (start, 0)


def _select_last(connection: Connection, number: int) -> _Row | None:
    row = connection.execute(
        "SELECT * FROM message WHERE place BETWEEN ? AND ? ORDER BY place DESC LIMIT 1",
        (number << OFFSET_BITS, number << OFFSET_BITS | OFFSET_MASK),
    ).fetchone()
    return row and _Row(*row)


def _select_topics_and_next(connection: Connection) -> tuple[list[_Topic], dict[int, int]]:
    """Return the topics and, by partition number, the offset that the next message will have."""
    topics = _select_topics(connection)
    numbers = chain.from_iterable(range(t.first_number, t.first_number + t.partitions) for t in topics)
    return topics, {number: _select_head(connection, number)[0] & OFFSET_MASK for number in numbers}


def _select_runs(connection: Connection, starts: Sequence[int], limit: int) -> list[list[_Row]]:
    """Return what follows each place in its partition, as far as the limits allow."""
    runs: list[list[_Row]] = []
    size = 0
    for start in starts:
        if limit <= 0 or size >= READ_BYTES_MAX:
            break
        cursor = connection.execute(
            "SELECT * FROM message WHERE place BETWEEN ? AND ? ORDER BY place LIMIT ?",
            (start, start | OFFSET_MASK, limit),
        )
        run: list[_Row] = []
        for row in map(_Row._make, cursor):
            run.append(row)
            size += len(row.value)
            if size >= READ_BYTES_MAX:
                break
        cursor.close()  # An open cursor would keep the WAL from being taken up.
        limit -= len(run)
        runs.append(run)
    return runs


def _select_compacted(connection: Connection, number: int) -> dict[bytes, bytes]:
    return dict(
        connection.execute(
            "SELECT key, value FROM message WHERE place BETWEEN ? AND ? ORDER BY place",
            (number << OFFSET_BITS, number << OFFSET_BITS | OFFSET_MASK),
        )
    )


def _upsert_resume(connection: Connection, group: str, number: int, offset: int) -> None:
    connection.execute("INSERT OR REPLACE INTO resume VALUES (?, ?, ?)", (group, number, offset))


def _select_resume(connection: Connection, group: str, number: int) -> int:
    row = connection.execute(
        "SELECT next FROM resume WHERE consumer = ? AND number = ?", (group, number)
    ).fetchone()
    return row[0] if row else 0
