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
from pipeline.log.policy import Policy, parse_policy
from pipeline.ports import Bus, Inbox, WitnessClient
from pipeline.ports import Publisher as MqttSender
from pipeline.stages import aggregator, bridge, courier, log, projector
from pipeline.stages.publisher import Publisher
from pipeline.stages.witness import Witness
from pipeline.wire.topics import BLOCKS, LOG, REFUSED, STATE, STATEMENTS

PARTITIONS = {STATEMENTS: SHARDS, BLOCKS: SHARDS, REFUSED: SHARDS, STATE: SHARDS, LOG: 1}
INBOX_TOPICS = ("statements/+", "registry/+")


@dataclass(frozen=True, slots=True)
class RunningStages:
    """Every stage at work; `task` ends, with the error of the stage that failed, only if one does."""

    bus: Bus
    points: SqlitePoints
    task: asyncio.Task[None]


@dataclass(frozen=True, slots=True)
class RunningCity:
    """Stages, and the broker where devices find them."""

    host: str
    port: int
    stages: RunningStages


@asynccontextmanager
async def run_stages(
    folder: CityFolder,
    keys: CityKeys,
    inbox: Inbox,
    outgoing: MqttSender,
    on_published: Callable[[int], None],
) -> AsyncGenerator[RunningStages]:
    """Run every stage on local stores, between an inbox and a sender, until the context ends.

    Raises:
        InputError: Another city is using the folder.
        UnavailableError: A store cannot be opened.
    """
    authorities = parse_authorities(folder.authorities.read_bytes())
    policy = parse_policy(folder.policy.read_bytes())
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        bus = await enter(SqliteBus.open(folder.state / "bus.db", PARTITIONS, compacted={STATE}))
        points = await enter(SqlitePoints.open(folder.points))
        index = await enter(SqliteReceiptIndex.open(folder.state / "receipts.db"))
        publisher = Publisher(
            keys.log,
            policy,
            await _open_witnesses(stack, folder, keys, policy),
            LocalFiles(folder.log),
            LocalFiles(folder.state / "publisher"),
            on_published,
        )

        async def work() -> None:
            async with asyncio.TaskGroup() as group:
                for shard in range(SHARDS):
                    group.create_task(aggregator.run(bus, shard, SHARDS, authorities))
                group.create_task(log.run(bus, keys.log.name, SHARDS, keys.log.signer, authorities))
                group.create_task(publisher.run(bus, SHARDS))
                group.create_task(courier.run(bus, SHARDS, outgoing, index))
                group.create_task(projector.run(bus, SHARDS, authorities, points))
                group.create_task(bridge.run(bus, inbox, SHARDS))

        task = asyncio.create_task(work())
        try:
            yield RunningStages(bus, points, task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _open_witnesses(
    stack: AsyncExitStack, folder: CityFolder, keys: CityKeys, policy: Policy
) -> list[WitnessClient]:
    """Return the policy's witnesses: over HTTP where it names a URL, in this process where ours."""
    logs = {keys.log.name: keys.log.key()}
    witnesses: list[WitnessClient] = []
    remote = [(key.name, url) for key, url in policy.witnesses.values() if url]
    if remote:
        from pipeline.edges.http_client import HttpWitness, open_client

        client = await stack.enter_async_context(open_client())
        witnesses += [HttpWitness(name, url, client) for name, url in remote]
    for short, (_, url) in policy.witnesses.items():
        if not url and short in keys.witnesses:
            own, guard = LocalFiles(folder.witness_state(short)), LocalFiles(folder.witness_guard(short))
            witnesses.append(Witness(keys.witnesses[short], logs, own, guard, SystemClock()))
    return witnesses


@asynccontextmanager
async def embedded_city(
    folder: CityFolder, keys: CityKeys, port: int, on_published: Callable[[int], None]
) -> AsyncGenerator[RunningCity]:
    """Run every stage behind a loopback broker until the context ends.

    Raises:
        InputError: The port is taken, or another city is using the folder.
        UnavailableError: A store cannot be opened.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        host, port = await enter(embedded_broker(port))
        inbox = await enter(MqttInbox.open(host, port, "bridge", INBOX_TOPICS))
        outgoing = await enter(MqttPublisher.open(host, port, "courier"))
        stages = await enter(run_stages(folder, keys, inbox, outgoing, on_published))
        yield RunningCity(host, port, stages)
