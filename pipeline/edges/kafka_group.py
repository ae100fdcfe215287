"""Which process works on which partitions: Kafka's consumer group says so, and nothing else is asked of it.

Correctness never rests on it: two processes that both believe a partition to be theirs open the same writer,
and the later one fences the earlier. The group sees to it that this is rare, and that nothing lies idle.

aiokafka's rebalances are eager: at every change all members give everything up and are assigned anew.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError

from pipeline.wire.errors import FencedError, UnavailableError

SESSION_TIMEOUT_S = 6.0  # The least that brokers allow by default: so long a killed member's share lies idle.
HEARTBEAT_S = 1.5
REBALANCE_TIMEOUT_S = 15.0  # The seal in flight may take 5 s to end, and its writer some more to close.
REQUEST_TIMEOUT_S = 10.0
LOOK_S = 0.5
FETCH_BYTES_MAX = 1024  # What comes along is thrown away.

Work = Callable[[int], Awaitable[None]]


async def share_partitions(
    servers: str, group: str, topic: str, work: Work, *, client_id: str, member: str | None = None
) -> None:
    """Work on those partitions of a topic that fall to this process, as long as they do, until cancelled.

    Args:
        servers: `host:port`, several with commas between them.
        group: The group's name; its members share the partitions.
        topic: Whose partitions are shared.
        work: Works on one partition until it is cancelled. What it has begun it ends before it does.
        client_id: What the broker calls this process in its own logs.
        member: Under this name a process that is started again gets its partitions back at once; no two may
            have the same. Without one it is a new member at every start.

    Raises:
        FencedError: This process stood still for so long that the group has given its partitions to others.
        UnavailableError: Kafka does not answer.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        client_id=client_id,
        group_id=group,
        group_instance_id=member,
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        enable_auto_commit=False,
        auto_offset_reset="earliest",  # Never used, but where there is none it has to have one.
        session_timeout_ms=int(SESSION_TIMEOUT_S * 1000),
        heartbeat_interval_ms=int(HEARTBEAT_S * 1000),
        rebalance_timeout_ms=int(REBALANCE_TIMEOUT_S * 1000),
        request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
    )
    share = _Share(consumer, work)
    consumer.subscribe([topic], listener=share)
    try:
        await consumer.start()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_attend(consumer))
            tasks.create_task(_watch_for_pauses())
            tasks.create_task(share.failure())
    except KafkaError as error:
        raise UnavailableError("Kafka", f"sharing {topic}: {error!r}") from error
    finally:
        await share.give_up()
        await consumer.stop()  # Leaves the group, so that others need not wait for the session to end.


async def _attend(consumer: AIOKafkaConsumer) -> None:
    """Show the group that somebody is there, and hear what goes wrong with it; nothing is read."""
    while True:
        try:
            await consumer.getmany(timeout_ms=int(LOOK_S * 1000))
        except KafkaError as error:
            raise UnavailableError("Kafka", f"the group's coordinator: {error!r}") from error


async def _watch_for_pauses() -> None:
    """End a process that was stopped, or starved, for longer than the group waits for a sign of life."""
    while True:
        before_s = time.monotonic()
        await asyncio.sleep(LOOK_S)
        stood_s = time.monotonic() - before_s - LOOK_S
        if stood_s > SESSION_TIMEOUT_S:
            raise FencedError(
                f"this process stood still for {stood_s:.0f} s: others have taken over its share"
            )


class _Share(ConsumerRebalanceListener):  # type: ignore[misc]
    """The partitions of this process, each with its task."""

    def __init__(self, consumer: AIOKafkaConsumer, work: Work) -> None:
        self._consumer = consumer
        self._work = work
        self._tasks: list[asyncio.Task[None]] = []
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def failure(self) -> None:
        """Raise what the work on a partition ended with."""
        await self._failed

    # aiokafka awaits what these return; its annotations do not say so.
    async def on_partitions_revoked(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        revoked: Collection[TopicPartition],  # noqa: ARG002
    ) -> None:
        """Answer the group only once all work is at rest: whoever is assigned a partition finds it free."""
        await self.give_up()

    async def on_partitions_assigned(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, assigned: Collection[TopicPartition]
    ) -> None:
        """Begin to work on what is ours now."""
        await self.give_up()  # Aiokafka tells of revocations once, even where it joins anew in between.
        self._consumer.pause(*assigned)
        for place in sorted(assigned):
            task = asyncio.ensure_future(self._work(place.partition))
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def give_up(self) -> None:
        """Cancel all work, and wait until it is at rest."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error: BaseException | None
        if not task.cancelled():
            error = task.exception()
        else:  # Not by us, unless it was given up before.
            error = UnavailableError("Kafka", "work on a shard was given up") if task in self._tasks else None
        if error is not None and not self._failed.done():
            self._failed.set_exception(error)
