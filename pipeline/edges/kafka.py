"""The bus on Kafka. Correctness rests on what transactions and fencing give, and on nothing else of it.

One transactional id a writer; what is read is committed; offsets that a stage resumes from are its group's,
committed by no rebalance. A commit that is not answered in time leaves open whether the batch is there: the
writer is of no use any more, its process ends, and the next one reads back what was committed.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerEpoch,
    KafkaError,
    OffsetOutOfRangeError,
    ProducerFenced,
    TransactionalIdAuthorizationFailed,
)
from aiokafka.producer.message_accumulator import BatchBuilder

from pipeline.edges.kafka_topics import MESSAGE_BYTES_MAX, ensure_topics
from pipeline.ports import Append, Message
from pipeline.wire.errors import FencedError, UnavailableError

COMMIT_TIMEOUT_S = 5.0
TRANSACTION_TIMEOUT_MS = 10_000  # How long a zombie's open transaction may hold readers up.
REQUEST_TIMEOUT_MS = 10_000
FETCH_BYTES_MAX = 4 * 1024 * 1024
FENCED = (ProducerFenced, InvalidProducerEpoch, TransactionalIdAuthorizationFailed)
LOOK_BACK = 4  # Offsets; behind the last message stands at least the mark of its commit.
CATCH_UP_S = 0.05

Ends = Callable[[Collection[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]]
Record: TypeAlias = "ConsumerRecord[bytes, bytes]"


class KafkaBus:
    """`ports.Bus` on a Kafka cluster."""

    def __init__(
        self,
        servers: str,
        prefix: str,
        client_id: str,
        topic_ids: Mapping[str, bytes],
        ends: AIOKafkaConsumer,
        stack: AsyncExitStack,
    ) -> None:
        self._servers = servers
        self._prefix = prefix
        self._client_id = client_id
        self._topic_ids = topic_ids
        self._ends = ends  # Sees what is not committed yet.
        self._stack = stack
        self._groups: dict[str, _Group] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        servers: str,
        partitions: Mapping[str, int],
        *,
        compacted: Collection[str] = (),
        synced: Collection[str] = (),
        prefix: str = "",
        replicas: int | None = None,
        client_id: str = "cityproof",
    ) -> "AsyncGenerator[KafkaBus]":
        """Connect; topics that are missing are made.

        Args:
            servers: `host:port`, several with commas between them.
            partitions: How many partitions each topic has.
            compacted: The topics that keep the last value of each key only.
            prefix: Stands before every name in Kafka, so that cities can share a cluster.
            synced: The topics of which a power cut takes nothing that was acknowledged.
            replicas: On how many brokers a topic that is made lies; None: three, or as many as there are.
            client_id: What the brokers call this process in their logs and quotas, behind the prefix.

        Raises:
            InputError: A topic has another number of partitions.
            UnavailableError: Kafka does not answer.
        """
        client_id = prefix + client_id
        admin = AIOKafkaAdminClient(
            bootstrap_servers=servers, client_id=client_id, request_timeout_ms=REQUEST_TIMEOUT_MS
        )
        try:
            await _answered("connecting", admin.start())
            named = {prefix + topic: count for topic, count in partitions.items()}
            kept, flushed = ({prefix + topic for topic in topics} for topics in (compacted, synced))
            ids = await _answered("topics", ensure_topics(admin, named, kept, flushed, replicas))
        finally:
            await admin.close()
        async with AsyncExitStack() as stack:
            ends = AIOKafkaConsumer(
                bootstrap_servers=servers, client_id=client_id, request_timeout_ms=REQUEST_TIMEOUT_MS
            )
            await _start(ends)
            stack.push_async_callback(ends.stop)
            yield cls(servers, prefix, client_id, ids, ends, stack)

    async def topic_id(self, topic: str) -> bytes:
        """Return the 16-byte id the topic was created with."""
        return self._topic_ids[self._prefix + topic]

    @asynccontextmanager
    async def reader(self, topic: str, partitions: Sequence[int]) -> "AsyncGenerator[KafkaReader]":
        """Open a reader that begins at offset 0 of each partition."""
        places = {partition: self._place(topic, partition) for partition in partitions}
        async with self._consumer(places.values()) as consumer:
            yield KafkaReader(consumer, topic, places, self.ends)

    async def ends(self, places: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return where each partition ends now, transactions that are still open included.

        Kafka answers a commit before readers see it; who reads as far as here sees all that was answered.
        """
        ends: dict[TopicPartition, int] = await _answered(
            "the ends of partitions", self._ends.end_offsets(list(places))
        )
        return ends

    @asynccontextmanager
    async def writer(self, name: str) -> "AsyncGenerator[KafkaWriter]":
        """Open the writer of this name and fence every earlier one of it."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            client_id=self._client_id,
            transactional_id=self._prefix + name,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            max_request_size=MESSAGE_BYTES_MAX,
            max_batch_size=MESSAGE_BYTES_MAX // 2,
            acks="all",
        )
        await _start_producer(producer, f"opening the writer {name}")
        writer = KafkaWriter(producer, self._prefix, name)
        try:
            yield writer
        finally:
            await writer.settle()
            await producer.stop()

    @asynccontextmanager
    async def sender(self, name: str) -> "AsyncGenerator[KafkaSender]":
        """Open a sender; it fences nobody. The name is for people."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            client_id=self._prefix + name,
            enable_idempotence=True,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            max_request_size=MESSAGE_BYTES_MAX,
            max_batch_size=MESSAGE_BYTES_MAX // 2,
            acks="all",
        )
        await _start_producer(producer, f"opening the sender {name}")
        try:
            yield KafkaSender(producer, self._prefix)
        finally:
            await producer.stop()

    async def last(self, topic: str, partition: int) -> Message | None:
        """Return the partition's last committed message, if it has any."""
        place = self._place(topic, partition)
        async with self._consumer([place]) as consumer:
            end, back = (await self.ends([place]))[place], LOOK_BACK
            while True:
                start = max(0, end - back)
                consumer.seek(place, start)
                records = [record async for record in _until(consumer, place, end)]
                if records or start == 0:
                    return _message(records[-1], topic) if records else None
                back *= 8

    async def compacted(self, topic: str, partition: int) -> Mapping[bytes, bytes]:
        """Return the last value of each key of a compacted partition."""
        place = self._place(topic, partition)
        async with self._consumer([place]) as consumer:
            records = _until(consumer, place, (await self.ends([place]))[place])
            return {record.key or b"": record.value or b"" async for record in records}

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Remember durably that `group` resumes this partition at `offset`."""
        member = await self._group(group)
        # A crash before this commit repeats what the group did since the last one.
        await member.commit(self._place(topic, partition), offset)

    async def committed(self, group: str, topic: str, partition: int) -> int:
        """Return where `group` resumes this partition; 0 where it never committed."""
        member = await self._group(group)
        return await member.committed(self._place(topic, partition))

    def _place(self, topic: str, partition: int) -> TopicPartition:
        return TopicPartition(self._prefix + topic, partition)

    async def _group(self, name: str) -> "_Group":
        if name not in self._groups:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._servers,
                client_id=self._client_id,
                group_id=self._prefix + name,
                enable_auto_commit=False,
                request_timeout_ms=REQUEST_TIMEOUT_MS,
            )
            await _start(consumer)
            self._stack.push_async_callback(consumer.stop)
            self._groups[name] = _Group(consumer)
        return self._groups[name]

    @asynccontextmanager
    async def _consumer(self, places: Collection[TopicPartition]) -> AsyncGenerator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            client_id=self._client_id,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
        )
        consumer.assign(list(places))
        await _start(consumer)
        try:
            for place in places:
                consumer.seek(place, 0)
            yield consumer
        finally:
            await consumer.stop()


class KafkaReader:
    """`ports.BusReader`."""

    def __init__(
        self, consumer: AIOKafkaConsumer, topic: str, places: Mapping[int, TopicPartition], find_ends: Ends
    ) -> None:
        self._consumer = consumer
        self._find_ends = find_ends
        self._topic = topic
        self._places = places
        self._positions = dict.fromkeys(places, 0)
        self._moved = True  # The consumer stands elsewhere than we do: after a seek, or a cancelled read.

    def seek(self, partition: int, offset: int) -> None:
        """Let the next read of this partition begin at `offset`."""
        self._positions[partition] = offset
        self._moved = True

    async def read(self, limit: int, wait_s: float) -> Sequence[Message]:
        """Return up to `limit` messages, in order within a partition; empty after `wait_s` without any.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_s
        if self._moved:
            for partition, offset in self._positions.items():
                self._consumer.seek(self._places[partition], offset)
        self._moved = True  # Until this read has ended well: what a cancelled one took is read again.
        messages: list[Message] = []
        while not messages:
            messages = await _answered("reading", self._fetch(max(deadline_s - loop.time(), 0), limit))
            if not messages and loop.time() >= deadline_s:
                if await self._is_at_the_end():
                    break
                messages = await _answered("reading", self._fetch(CATCH_UP_S, limit))
        for message in messages:
            self._positions[message.partition] = message.offset + 1
        self._moved = False
        return messages

    async def _fetch(self, timeout_s: float, limit: int) -> list[Message]:
        try:
            fetched = await self._consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=limit)
        except OffsetOutOfRangeError:  # Sent behind the end: what is to come is not there yet.
            await asyncio.sleep(timeout_s)
            return []
        return [_message(record, self._topic) for records in fetched.values() for record in records]

    async def _is_at_the_end(self) -> bool:
        ends = await self._find_ends(self._places.values())
        return all([await self._consumer.position(place) >= end for place, end in ends.items()])


class KafkaWriter:
    """`ports.BusWriter`."""

    def __init__(self, producer: AIOKafkaProducer, prefix: str, name: str) -> None:
        self._producer = producer
        self._prefix = prefix
        self._name = name
        self._lock = asyncio.Lock()
        self._running: asyncio.Task[list[int]] | None = None
        self._over: FencedError | UnavailableError | None = None

    async def append(self, batch: Sequence[Append]) -> Sequence[int]:
        """Append and return the offsets once the batch is durable.

        Raises:
            FencedError: A writer of the same name was opened after this one; nothing was appended.
            UnavailableError: Kafka did not answer; whether the batch is there must be read back, by a
                writer opened anew.
        """
        async with self._lock:
            if self._over is not None:
                raise self._over
            self._running = asyncio.create_task(self._transact(batch))
            # Whoever is cancelled meanwhile leaves the transaction to end: a producer stopped inside hangs.
            return await asyncio.shield(self._running)

    async def settle(self) -> None:
        """Wait for the transaction under way, if there is one."""
        if self._running is not None:
            await asyncio.wait([self._running])

    async def _transact(self, batch: Sequence[Append]) -> list[int]:
        sent: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                # A crash from here to the end of the commit leaves nothing that readers see, or the whole
                # batch; the next writer of this name finds out which.
                await self._producer.begin_transaction()
                for item in batch:
                    topic = self._prefix + item.topic
                    sent.append(await self._producer.send(topic, item.value, item.key, item.partition))
                records = [await future for future in sent]
                await self._producer.commit_transaction()
        except (KafkaError, IllegalOperation, TimeoutError) as error:
            self._over = self._explain(error)
            raise self._over from error
        except asyncio.CancelledError as error:
            self._over = _given_up(f"a commit of {self._name}")
            raise self._over from error
        return [record.offset for record in records]

    def _explain(self, error: Exception) -> FencedError | UnavailableError:
        """Find out whether we were fenced: what ended the transaction may not be what its victim was told."""
        transactions: Any = self._producer._txn_manager  # noqa: SLF001 - it has no public way in
        ended = transactions.wait_for_transaction_end()
        cause = ended.exception() if ended.done() else None
        if isinstance(error, FENCED) or isinstance(cause, FENCED):
            return FencedError(f"another {self._name} has taken over")
        return UnavailableError("Kafka", f"a commit of {self._name}: {error!r}")


class KafkaSender:
    """`ports.BusSender`: an idempotent producer without transactions."""

    def __init__(self, producer: AIOKafkaProducer, prefix: str) -> None:
        self._producer = producer
        self._prefix = prefix

    async def send(self, messages: Sequence[Append]) -> None:
        """Append, in order within a partition, and return once all are durable.

        Raises:
            UnavailableError: Kafka did not answer; any of them may be there, each once.
        """
        await _answered("sending", self._send(messages))

    async def _send(self, messages: Sequence[Append]) -> None:
        """Send whole batches of our own making: one future each, where `producer.send` has one a message."""
        batches: dict[tuple[str, int], list[BatchBuilder]] = {}
        for item in messages:
            made = batches.setdefault((item.topic, item.partition), [])
            if not made or made[-1].append(timestamp=None, key=item.key, value=item.value) is None:
                made.append(self._producer.create_batch())
                added = made[-1].append(timestamp=None, key=item.key, value=item.value)
                assert added is not None, "an empty batch has room"
        # A crash from here to the last answer leaves any of them; whoever sends them again sends them twice.
        sent = [
            await self._producer.send_batch(batch, self._prefix + topic, partition=partition)
            for (topic, partition), made in batches.items()
            for batch in made
        ]
        for future in sent:
            await future


class _Group:
    """The offsets of one group, through a consumer that reads nothing."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._places: list[TopicPartition] = []

    def _hold(self, place: TopicPartition) -> None:
        if place not in self._places:
            self._places.append(place)
            self._consumer.assign(self._places)
            self._consumer.pause(*self._places)

    async def commit(self, place: TopicPartition, offset: int) -> None:
        self._hold(place)
        await _answered("committing an offset", self._consumer.commit({place: offset}))

    async def committed(self, place: TopicPartition) -> int:
        self._hold(place)
        return await _answered("a committed offset", self._consumer.committed(place)) or 0


def _message(record: Record, topic: str) -> Message:
    return Message(
        topic, record.partition, record.offset, record.timestamp, record.value or b"", record.key or b""
    )


async def _start(consumer: AIOKafkaConsumer) -> None:
    try:
        await _answered("connecting", consumer.start())
        await asyncio.sleep(0)  # Its tasks must have begun before it can be stopped.
    except BaseException:
        await consumer.stop()  # As with a producer: who gives up while it connects leaves nothing behind.
        raise


async def _start_producer(producer: AIOKafkaProducer, action: str) -> None:
    try:
        await _answered(action, producer.start())
    except BaseException:
        await producer.stop()  # Whoever gives a shard up while it is being taken over leaves nothing behind.
        raise


async def _until(consumer: AIOKafkaConsumer, place: TopicPartition, end: int) -> AsyncGenerator[Record]:
    """Yield what stands between the consumer's position and an end that was there before."""
    while await consumer.position(place) < end:
        fetched = await _answered("reading", consumer.getmany(place, timeout_ms=int(CATCH_UP_S * 1000)))
        for record in fetched.get(place, []):
            yield record


async def _answered(action: str, work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await work
    except KafkaError as error:
        raise UnavailableError("Kafka", f"{action}: {error!r}") from error
    except asyncio.CancelledError as error:
        raise _given_up(action) from error


def _given_up(action: str) -> UnavailableError:
    """Return what it means that a wait was cancelled, by whoever is asked for it; raise it if that was we.

    aiokafka cancels what waits for a connection that it closes. A task that ends by that looks like one that
    was told to end: its group would go on without it, and nobody would hear of it.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    return UnavailableError("Kafka", f"{action}: the client has given it up")
