"""The embedded city: every service in one process, on a loopback broker, a SQLite bus and local files."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from pipeline.edges.broker import embedded_broker
from pipeline.edges.mqtt import MqttInbox, MqttPublisher
from pipeline.edges.sqlite_bus import SqliteBus
from pipeline.edges.sqlite_points import SqlitePoints
from pipeline.folder import CityFolder
from pipeline.ports import Bus, Inbox
from pipeline.ports import Publisher as MqttSender
from pipeline.services import COMPACTED, INBOX_TOPICS, PARTITIONS, Site, run_services
from pipeline.wire.errors import InputError


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
    folder: CityFolder, inbox: Inbox, outgoing: MqttSender, on_published: Callable[[int], None]
) -> AsyncGenerator[RunningStages]:
    """Run every stage on local stores, between an inbox and a sender, until the context ends.

    Raises:
        InputError: Another city is using the folder.
        UnavailableError: A store cannot be opened.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        bus = await enter(SqliteBus.open(folder.state / "bus.db", PARTITIONS, compacted=COMPACTED))
        points = await enter(SqlitePoints.open(folder.points))
        site = Site(
            folder,
            bus,
            lambda: nullcontext(inbox),
            lambda: nullcontext(outgoing),
            lambda: nullcontext(points),
            on_published=on_published,
        )
        task = asyncio.create_task(run_services(site))
        try:
            yield RunningStages(bus, points, task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def open_stopped_site(folder: CityFolder) -> AsyncGenerator[Site]:
    """Open a city that is not running, for services that need no MQTT.

    Raises:
        InputError: It is running.
    """

    def nowhere() -> AbstractAsyncContextManager[Any]:
        raise InputError("MQTT", "this city is stopped", "Start it: cityproof run all.")

    async with SqliteBus.open(folder.state / "bus.db", PARTITIONS, compacted=COMPACTED) as bus:
        yield Site(folder, bus, nowhere, nowhere, lambda: SqlitePoints.open(folder.points))


@asynccontextmanager
async def embedded_city(
    folder: CityFolder, port: int, on_published: Callable[[int], None]
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
        stages = await enter(run_stages(folder, inbox, outgoing, on_published))
        yield RunningCity(host, port, stages)
