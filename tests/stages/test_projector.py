"""The projector and the follower under it: every record a point, evidence none, and going on where it was."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pipeline.log.block import parse_signed_block
from pipeline.log.genesis import parse_genesis
from pipeline.ports import Point
from pipeline.stages import projector
from pipeline.stages.follow import LogEntry, open_follower
from pipeline.stages.projector import Projection
from pipeline.wire.errors import UnavailableError
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.topics import BLOCKS, LOG
from tests.support.city import AUTHORITIES, ORIGIN, SHARDS, Device, device_in, enrol, enrolment
from tests.support.memory_bus import MemoryBus, city_topics
from tests.support.memory_edges import MemoryPoints
from tests.support.placed import PlacedLog, grown
from tests.support.virtual_time import run


class City:
    """A bus with a log on it, and a point store."""

    def __init__(self) -> None:
        self.bus = MemoryBus(city_topics(SHARDS), marked=frozenset({BLOCKS, LOG}))
        self.store = MemoryPoints()

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(projector.run(self.bus, SHARDS, AUTHORITIES, self.store))


def with_city(test: Callable[[City], Coroutine[Any, Any, None]]) -> None:
    """Run a test on a city of its own, on a clock that jumps."""

    async def main() -> None:
        await test(City())

    run(main())


def test_every_record_is_a_point() -> None:
    """Kind as enrolled, the rest as signed, time in microseconds, ref = entry * 2048 + leaf."""

    async def test(city: City) -> None:
        log = PlacedLog(city.bus)
        device = Device(3)
        log.place(
            log.forged.enrol(raw := enrol(device, 0, about=enrolment(device, kind="water", accuracy={}))),
            [raw],
        )
        records = [
            Record("ph", "pH", 7.5, 1.8e9 + 0.25),
            Record("ph", "pH", 7.25, 1.8e9 + 60),
            Record("turbidity", "NTU", -1.0, 1.8e9),
        ]
        payload = encode_pack(device.issuer, records)
        log.read(device.shard, [device.read(), device.read(subject="node 7", payload=payload)])
        task = city.start()
        await asyncio.sleep(1)
        place = ("water", device.issuer)
        ref = 2 * 2048
        assert sorted(city.store.points.values(), key=lambda point: point.ref) == [
            Point(*place, "station-1", "no2", 1_800_000_000_000_000, 20.25, ref + 1),
            Point(*place, "node 7", "ph", 1_800_000_000_250_000, 7.5, ref + 2),
            Point(*place, "node 7", "ph", 1_800_000_060_000_000, 7.25, ref + 2),
            Point(*place, "node 7", "turbidity", 1_800_000_000_000_000, -1.0, ref + 2),
        ]
        task.cancel()

    with_city(test)


def test_an_equivocation_gives_no_points() -> None:
    """It is evidence against the signer; the first in log order is what is stored."""

    async def test(city: City) -> None:
        log = PlacedLog(city.bus)
        device = device_in(1)
        log.enrol(device)
        first = device.read()
        second = device.read(
            sequence=0, payload=encode_pack(device.issuer, [Record("no2", "ug/m3", 99.0, 1.8e9)])
        )
        log.read(1, [first, second], equivocations=(2,))
        task = city.start()
        await asyncio.sleep(1)
        assert [point.value for point in city.store.points.values()] == [20.25]
        task.cancel()

    with_city(test)


def test_what_stands_later_in_the_log_wins_its_place() -> None:
    """Another statement about the same time and quantity supersedes the one before it."""

    async def test(city: City) -> None:
        log = PlacedLog(city.bus)
        device = device_in(1)
        log.enrol(device)
        for value in (1.0, 3.0, 2.0):
            payload = encode_pack(device.issuer, [Record("no2", "ug/m3", value, 1.8e9)])
            log.read(1, [device.read(payload=payload)])
        task = city.start()
        await asyncio.sleep(1)
        (point,) = city.store.points.values()
        assert (point.value, point.ref) == (2.0, 4 * 2048 + 1)
        task.cancel()

    with_city(test)


def test_genesis_and_enrolments_give_no_points() -> None:
    """Nothing in them was measured; an entry without points is written as nothing."""
    bus = MemoryBus(city_topics(SHARDS))
    PlacedLog(bus).enrol(device_in(1))

    async def entries() -> list[LogEntry]:
        async with open_follower(bus, SHARDS) as follower:
            return await follower.read(10, 0)

    projection = Projection(AUTHORITIES)
    assert [projection.step(entry) for entry in run(entries())] == [[], []]
    assert projection.registry.blocks == 1


def test_a_start_goes_on_where_it_was() -> None:
    """Stopped at any moment and started again, the store says the same; the registry is there too."""

    async def test(city: City) -> None:
        log = grown(city.bus, 10)
        late = device_in(1, 3)
        task = city.start()
        await asyncio.sleep(1)
        task.cancel()
        expected = dict(city.store.points)
        city.store.points.clear()
        city.bus.commits.clear()
        for rounds in [*range(1, 120), 10**4]:
            if rounds % 20 == 0:  # And again from the beginning.
                city.store.points.clear()
                city.bus.commits.clear()
            task = city.start()
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert city.store.points == expected
        log.enrol(late)
        log.read(1, [late.read()])
        task = city.start()
        await asyncio.sleep(1)
        assert len(city.store.points) == len(expected) + 1
        task.cancel()

    with_city(test)


def test_the_offset_follows_the_store() -> None:
    """What was not written is not committed: a store that fails ends the projector, nothing is missing."""

    async def test(city: City) -> None:
        grown(city.bus, 5)
        city.store.fails = True
        task = city.start()
        await asyncio.sleep(1)
        assert isinstance(task.exception(), UnavailableError)
        assert city.bus.commits == {}
        city.store.fails = False
        task = city.start()
        await asyncio.sleep(1)
        assert len(city.store.points) == 18
        task.cancel()

    with_city(test)


# The follower


@pytest.mark.parametrize("marked", [frozenset[str](), frozenset({BLOCKS, LOG})])
def test_entries_come_in_order_each_with_its_block(marked: frozenset[str]) -> None:
    """Index from 0, the genesis without a block, bodies and offsets as on the bus."""

    async def test() -> None:
        bus = MemoryBus(city_topics(SHARDS), marked=marked)
        log = grown(bus, 9)
        async with open_follower(bus, SHARDS) as follower:
            entries = [*await follower.read(4, 0), *await follower.read(100, 0)]
            assert await follower.read(100, 0) == []
            assert [follower.height(shard) for shard in range(SHARDS)] == [1, 5, 4]
        assert [entry.index for entry in entries] == list(range(11))
        assert [entry.raw for entry in entries] == log.entries
        assert parse_genesis(entries[0].raw).origin == ORIGIN
        assert entries[0].placed is None
        for entry, statements in zip(entries[1:], log.leaves[1:], strict=True):
            placed, block = entry.placed, parse_signed_block(entry.raw)
            assert placed is not None
            assert placed.block == block
            assert placed.body == log.bodies[block.shard, block.height]
            assert placed.leaves[1:] == statements
            assert (placed.manifest.shard, placed.manifest.height) == (block.shard, block.height)
            assert bus.partitions[BLOCKS, block.shard][block.height].offset == placed.block_offset
            assert bus.partitions[LOG, 0][entry.index].offset == entry.log_offset

    run(test())


@pytest.mark.parametrize("marked", [frozenset[str](), frozenset({BLOCKS, LOG})])
def test_it_resumes_behind_any_entry(marked: frozenset[str]) -> None:
    """One message of the log says where every shard stands: the rest comes as if read from the beginning."""

    async def test() -> None:
        bus = MemoryBus(city_topics(SHARDS), marked=marked)
        grown(bus, 9)
        async with open_follower(bus, SHARDS) as follower:
            everything = await follower.read(100, 0)
        for entry in everything[1:]:
            async with open_follower(bus, SHARDS) as follower:
                await follower.resume(entry.log_offset)
                assert await follower.read(100, 0) == everything[entry.index + 1 :]
        async with open_follower(bus, SHARDS) as follower:
            await follower.resume(0)  # As good as never started: the genesis comes again.
            assert await follower.read(100, 0) == everything

    run(test())


def test_it_waits_for_a_block_that_is_not_read_yet() -> None:
    """A block is on the bus before its entry is in the log; readers may see the two the other way round."""

    async def test() -> None:
        whole = MemoryBus(city_topics(SHARDS))
        grown(whole, 1)
        bus = MemoryBus(city_topics(SHARDS))
        bus.partitions[LOG, 0] += whole.partitions[LOG, 0]
        async with open_follower(bus, SHARDS) as follower:
            task = asyncio.create_task(follower.read(100, 0))
            await asyncio.sleep(30)
            assert not task.done()
            for partition in range(SHARDS):
                bus.partitions[BLOCKS, partition] += whole.partitions[BLOCKS, partition]
            await asyncio.sleep(30)
            assert [entry.index for entry in task.result()] == [0, 1, 2]

    run(test())
