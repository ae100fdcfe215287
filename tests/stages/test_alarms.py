"""Alarms on the stream: nothing lost and nothing twice, whatever falls down, and ended by readings only."""

import asyncio
import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pipeline.commands.shipment_files import profile_file
from pipeline.edges.sqlite_alarms import SqliteAlarms
from pipeline.log.merkle import hash_leaf
from pipeline.ports import AlarmMemory, KeptStatement, WaitingAlarm
from pipeline.stages import alarms
from pipeline.stages.alarms import ShipmentWatch
from pipeline.wire.errors import UnavailableError
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.shipment import (
    Accepted,
    Delivered,
    Judged,
    Limits,
    Loaded,
    Offered,
    Released,
    ShipmentStatement,
    encode_shipment,
)
from pipeline.wire.statement import CONTENT_SHIPMENT, parse_statement
from tests.shipping.shipments import CLINIC, CONSIGNEE, NAME, SHIPPER, created, verdict
from tests.support.city import SHARDS, Device
from tests.support.memory_bus import MemoryBus, city_topics
from tests.support.placed import PlacedLog
from tests.support.virtual_time import run

START_S = 1_800_000_000
LOGGER = "urn:dev:ops:32473-truck-1"
HOUR_S = 3600.0
PROFILE = profile_file("eu-gdp-2-8")


class MemoryAlarms:
    """`ports.AlarmStore`."""

    def __init__(self) -> None:
        self.offset = 0
        self.kept: dict[tuple[str, int, int], KeptStatement] = {}
        self.alarms: dict[str, list[Any]] = {}

    async def load(self) -> AlarmMemory:
        return AlarmMemory(self.offset, sorted(self.kept.values(), key=lambda one: (one.entry, one.leaf)))

    async def take(
        self,
        log_offset: int,
        kept: Sequence[KeptStatement],
        alarms: Sequence[tuple[str, bytes]],
        over: Sequence[str],
    ) -> None:
        await asyncio.sleep(0)
        self.offset = log_offset
        self.kept |= {(one.shipment, one.entry, one.leaf): one for one in kept}
        for name, body in alarms:
            self.alarms.setdefault(name, [body, 0, 0.0, False])
        self.kept = {place: one for place, one in self.kept.items() if one.shipment not in over}

    async def due(self, now_s: float, limit: int) -> Sequence[WaitingAlarm]:
        waiting = [(name, row) for name, row in self.alarms.items() if not row[3] and row[2] <= now_s]
        return [WaitingAlarm(name, row[0], row[1]) for name, row in waiting[:limit]]

    async def next_due_s(self) -> float | None:
        return min((row[2] for row in self.alarms.values() if not row[3]), default=None)

    async def told(self, alarm_id: str) -> None:
        await asyncio.sleep(0)
        self.alarms[alarm_id][3] = True

    async def postpone(self, alarm_id: str, due_s: float) -> None:
        await asyncio.sleep(0)
        self.alarms[alarm_id][1:3] = self.alarms[alarm_id][1] + 1, due_s


class Receiver:
    """`ports.AlarmReceiver` that is down until some time."""

    def __init__(self, up_s: float = 0.0) -> None:
        self.up_s = up_s
        self.tried = 0
        self.taken: list[tuple[str, dict[str, Any]]] = []

    async def post(self, message_id: str, body: bytes, time_s: float) -> None:
        await asyncio.sleep(0.1)
        assert time_s <= asyncio.get_running_loop().time()
        self.tried += 1
        if asyncio.get_running_loop().time() < self.up_s:
            raise UnavailableError("the webhook", "down")
        self.taken.append((message_id, json.loads(body)))


class LoopClock:
    """`ports.Clock` of the loop's time."""

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()


class Scene:
    """A shipment that is loaded, and a logger that reads a minute at a time."""

    def __init__(self) -> None:
        self.bus = MemoryBus(city_topics(SHARDS))
        self.log = PlacedLog(self.bus)
        self.parties = {name: Device(n, name=name) for n, name in enumerate((SHIPPER, CONSIGNEE), 20)}
        self.logger = Device(1, name=LOGGER)
        self.minute = 0
        self.last = bytes(32)
        at = {"time_us": START_S * 1_000_000}
        self.state(SHIPPER, created(**at, loggers=(LOGGER,)))
        self.state(
            SHIPPER, Limits(**at, after=self.last, profile_hash=sha256(PROFILE).digest(), profile=PROFILE)
        )
        self.state(SHIPPER, Loaded(**at, after=self.last))

    def state(self, signer: str, stated: ShipmentStatement) -> bytes:
        """A statement about the shipment, in a block of its own."""
        device = self.parties[signer]
        raw = device.read(content_type=CONTENT_SHIPMENT, subject=NAME, payload=encode_shipment(stated))
        self.log.read(device.shard, [raw])
        if not isinstance(stated, Judged):
            self.last = hash_leaf(raw)
        return hash_leaf(raw)

    def read(self, *values: float) -> None:
        """Readings of one minute each, in one statement and block."""
        records = [
            Record("temperature", "Cel", value, START_S + 60.0 * (self.minute + n))
            for n, value in enumerate(values)
        ]
        self.minute += len(values)
        raw = self.logger.read(payload=encode_pack(LOGGER, records))
        self.log.read(self.logger.shard, [raw])

    def told(self) -> list[tuple[str, str]]:
        """What the whole log gives rise to: (phase, id)."""
        watch, found = ShipmentWatch(), []
        for entry, leaves in enumerate(self.log.leaves):
            for leaf, raw in enumerate(leaves, 1):
                found += watch.take(parse_statement(raw), entry, leaf)[1]
        return [(alarm.phase.value, alarm.id) for alarm in found]


def stage(scene: Scene, store: MemoryAlarms, receiver: Receiver) -> "asyncio.Task[None]":
    work = alarms.run(scene.bus, SHARDS, store, receiver, LoopClock(), Random(7))
    return asyncio.create_task(work)


async def stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def settled(store: MemoryAlarms, count: int) -> None:
    """Wait until so many alarms are told."""
    for _ in range(100_000):  # Of a clock that jumps.
        if sum(row[3] for row in store.alarms.values()) >= count:
            return
        await asyncio.sleep(1.0)
    pytest.fail("alarms are not told")


def test_it_warns_begins_and_ends() -> None:
    """Steady for two hours, rising over the limit, back inside: a warning before, one begin, one end."""

    async def test() -> None:
        scene, store, receiver = Scene(), MemoryAlarms(), Receiver()
        task = stage(scene, store, receiver)
        scene.read(*[round(5.0 + 0.2 * (n % 3), 1) for n in range(120)])
        scene.read(*[round(5.2 + 0.1 * n, 1) for n in range(40)])
        scene.read(7.5, 5.0)
        await settled(store, 3)
        await stop(task)
        types = [body["type"] for _, body in receiver.taken]
        assert types == ["shipment.warning", "shipment.begun", "shipment.ended"]
        warning, begun, ended = (body["data"] for _, body in receiver.taken)
        assert warning["at"] < begun["at"] == begun["since"] == ended["since"] < ended["at"]
        assert warning["at"] < warning["reached"]
        assert begun["shipment"] == NAME
        assert begun["loggers"] == [LOGGER]
        assert begun["holder"] == SHIPPER
        assert (begun["read"], begun["limit"]) == ("8.1", "temperature > 8 °C, 0 s at one time")

    run(test())


def test_an_alarm_does_not_end_because_a_sensor_died() -> None:
    """A day of silence ends nothing; the next reading inside does."""

    async def test() -> None:
        scene, store, receiver = Scene(), MemoryAlarms(), Receiver()
        task = stage(scene, store, receiver)
        scene.read(9.0)
        await settled(store, 1)
        await asyncio.sleep(24 * HOUR_S)
        assert [body["type"] for _, body in receiver.taken] == ["shipment.begun"]
        scene.minute += 24 * 60
        scene.read(5.0)
        await settled(store, 2)
        await stop(task)
        assert [body["type"] for _, body in receiver.taken] == ["shipment.begun", "shipment.ended"]

    run(test())


@pytest.mark.parametrize("seed", range(8))
def test_a_receiver_that_is_down_for_an_hour_hears_all_of_it_once(seed: int) -> None:
    """The stage is killed now and then meanwhile: nothing lost, nothing twice, in the log's order."""

    async def test() -> None:
        draw = Random(seed)
        scene, store, receiver = Scene(), MemoryAlarms(), Receiver(up_s=HOUR_S)
        task = stage(scene, store, receiver)
        while asyncio.get_running_loop().time() < 0.9 * HOUR_S:
            scene.read(*[draw.choice([5.0, 5.5, 9.0, 1.0]) for _ in range(draw.randint(1, 5))])
            await asyncio.sleep(draw.uniform(0, 60))
            if draw.random() < 0.2:
                await stop(task)
                task = stage(scene, store, receiver)
        expected = scene.told()
        assert len(expected) > 20
        assert receiver.taken == []
        await settled(store, len(expected))
        await asyncio.sleep(HOUR_S)
        await stop(task)
        assert sorted(name for name, _ in receiver.taken) == sorted(name for _, name in expected)
        assert len({name for name, _ in receiver.taken}) == len(expected)
        assert receiver.tried < len(expected) + 300  # Back-off: no storm while it was down.
        assert asyncio.get_running_loop().time() < 3 * HOUR_S

    run(test())


def test_what_is_over_is_forgotten() -> None:
    """Once it is released, neither its statements nor its loggers' readings are kept, and none is told of."""

    async def test() -> None:
        scene, store, receiver = Scene(), MemoryAlarms(), Receiver()
        task = stage(scene, store, receiver)
        scene.read(5.0)
        at = {"time_us": (START_S + 600) * 1_000_000}
        for make in (
            lambda: (SHIPPER, Offered(**at, after=scene.last, to=CONSIGNEE, place=CLINIC)),
            lambda: (CONSIGNEE, Accepted(**at, after=scene.last)),
            lambda: (CONSIGNEE, Delivered(**at, after=scene.last)),
        ):
            scene.state(*make())
        grounds = scene.state(CONSIGNEE, verdict(after=scene.last))
        await asyncio.sleep(10)
        assert len(store.kept) == 8
        scene.state(CONSIGNEE, Released(**at, after=scene.last, rests_on=grounds))
        scene.read(9.0)
        await asyncio.sleep(10)
        await stop(task)
        assert (store.kept, store.alarms) == ({}, {})

    run(test())


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_stores_keep_what_they_are_told(kind: str, tmp_path: Path) -> None:
    """Statements in log order, alarms once under their name and when due, how far the log is read."""
    one = KeptStatement("a", b"1", 3, 1)
    two = KeptStatement("b", b"2", 2, 1)

    async def check(store: Any) -> None:
        assert await store.load() == AlarmMemory(0, [])
        assert await store.next_due_s() is None
        await store.take(7, [one, two], [("x", b"X"), ("y", b"Y")], [])
        await store.take(9, [one], [("x", b"other")], ["b"])
        assert await store.load() == AlarmMemory(9, [one])
        assert list(await store.due(0.0, 10)) == [WaitingAlarm("x", b"X", 0), WaitingAlarm("y", b"Y", 0)]
        await store.postpone("x", 50.0)
        await store.told("y")
        assert list(await store.due(49.0, 10)) == []
        assert await store.next_due_s() == 50.0
        assert list(await store.due(50.0, 10)) == [WaitingAlarm("x", b"X", 1)]
        await store.told("x")
        assert await store.next_due_s() is None

    if kind == "memory":
        await check(MemoryAlarms())
        return
    async with SqliteAlarms.open(tmp_path / "alarms.db") as store:
        await check(store)
    async with SqliteAlarms.open(tmp_path / "alarms.db") as again:
        assert await again.load() == AlarmMemory(9, [one])
