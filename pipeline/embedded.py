"""The embedded city: every stage in one process, on a loopback broker, a SQLite bus and local files.

Here stages meet edges. The same stages run on Mosquitto, Kafka and InfluxDB; only what is opened here
differs.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from pipeline.edges.broker import embedded_broker
from pipeline.edges.clock import SystemClock
from pipeline.edges.files import LocalFiles
from pipeline.edges.mqtt import MqttInbox, MqttPublisher
from pipeline.edges.sqlite_bus import SqliteBus
from pipeline.edges.sqlite_index import SqliteReceiptIndex
from pipeline.edges.sqlite_points import SqlitePoints
from pipeline.folder import SHARDS, CityFolder, CityKeys
from pipeline.identity.authorities import parse_authorities
from pipeline.log.policy import parse_policy
from pipeline.ports import Bus
from pipeline.stages import aggregator, bridge, courier, log, projector
from pipeline.stages.publisher import Publisher
from pipeline.stages.witness import Witness
from pipeline.wire.topics import BLOCKS, LOG, REFUSED, STATE, STATEMENTS

PARTITIONS = {STATEMENTS: SHARDS, BLOCKS: SHARDS, REFUSED: SHARDS, STATE: SHARDS, LOG: 1}
INBOX_TOPICS = ("statements/+", "registry/+")


@dataclass(frozen=True, slots=True)
class RunningCity:
    """What a running city offers to whoever started it."""

    host: str
    port: int
    bus: Bus
    points: SqlitePoints
    stages: asyncio.Task[None]


@asynccontextmanager
async def embedded_city(
    folder: CityFolder, keys: CityKeys, port: int, on_published: Callable[[int], None]
) -> AsyncGenerator[RunningCity]:
    """Run every stage until the context ends; `stages` ends early with the error of the stage that failed.

    Raises:
        UnavailableError: The port is taken, or the folder is in use by another city.
    """
    authorities = parse_authorities(folder.authorities.read_bytes())
    policy = parse_policy(folder.policy.read_bytes())
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        bus = await enter(SqliteBus.open(folder.state / "bus.db", PARTITIONS, compacted={STATE}))
        points = await enter(SqlitePoints.open(folder.points))
        index = await enter(SqliteReceiptIndex.open(folder.state / "receipts.db"))
        host, port = await enter(embedded_broker(port))
        inbox = await enter(MqttInbox.open(host, port, "bridge", INBOX_TOPICS))
        outgoing = await enter(MqttPublisher.open(host, port, "courier"))
        log_key = keys.log.key()
        witnesses = [
            Witness(
                signer,
                {log_key.name: log_key},
                LocalFiles(folder.witness_state(short)),
                clock,
            )
            for short, signer in keys.witnesses.items()
        ]
        publisher = Publisher(
            keys.log,
            policy,
            witnesses,
            LocalFiles(folder.log),
            LocalFiles(folder.state / "publisher"),
            on_published,
        )

        async def stages() -> None:
            async with asyncio.TaskGroup() as group:
                for shard in range(SHARDS):
                    group.create_task(aggregator.run(bus, shard, SHARDS, authorities))
                group.create_task(log.run(bus, keys.log.name, SHARDS, keys.log.signer, authorities))
                group.create_task(publisher.run(bus, SHARDS))
                group.create_task(courier.run(bus, SHARDS, outgoing, index))
                group.create_task(projector.run(bus, SHARDS, authorities, points))
                group.create_task(bridge.run(bus, inbox, SHARDS))

        task = asyncio.create_task(stages())
        try:
            yield RunningCity(host, port, bus, points, task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
