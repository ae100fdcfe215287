"""Devices as enemies: what one does costs the others nothing, is counted, and leaves evidence."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from pipeline.log.block import decode_body
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.ports import Message
from pipeline.stages import aggregator, bridge
from pipeline.stages.bridge import Quota
from pipeline.stages.envelopes import unwrap_outcomes
from pipeline.verify.equivocation import encode_equivocation, make_equivocation, verify_equivocation
from pipeline.verify.fsck import LogCheck
from pipeline.verify.monitor import Monitor, Patience
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.topics import BLOCKS, REFUSED, STATEMENTS, statements_topic
from tests.support.city import AUTHORITIES, NOW_MS, POLICY, SHARDS, Device, ForgedLog, device_in, enrol
from tests.support.memory_bus import MemoryBus, MemoryReader, city_topics
from tests.support.placed import PlacedLog
from tests.support.simulation import Inbox
from tests.support.virtual_time import run

NOW_S = NOW_MS // 1000
DAY_S = 86_400
CHECK_S = 0.001  # What one statement costs an aggregator here, and what one that is refused unread.
UNREAD_S = 0.00002


class SlowBus(MemoryBus):
    """A bus on which taking statements in costs time: that of one processor's signature checks."""

    @asynccontextmanager
    async def reader(self, topic: str, partitions: Sequence[int]) -> AsyncGenerator[MemoryReader]:
        async with super().reader(topic, partitions) as reader:
            yield SlowReader(reader) if topic == STATEMENTS else reader


class SlowReader(MemoryReader):
    """Hands messages out as fast as they can be checked."""

    def __init__(self, inner: MemoryReader) -> None:
        self._inner = inner

    def seek(self, partition: int, offset: int) -> None:
        self._inner.seek(partition, offset)

    async def read(self, limit: int, wait_s: float) -> Sequence[Message]:
        messages = await self._inner.read(limit, wait_s)
        await asyncio.sleep(sum(UNREAD_S if message.value[0] else CHECK_S for message in messages))
        return messages


@dataclass
class City:
    """A bridge and an aggregator of shard 1 on a slow bus, and the devices that it knows."""

    devices: Sequence[Device]
    quota: Quota | None = None
    bus: MemoryBus = field(init=False)
    inbox: Inbox = field(init=False)

    def send(self, device: Device, raw: bytes) -> None:
        self.inbox.deliver(statements_topic(device.issuer), raw)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        loop = asyncio.get_running_loop()
        self.bus = SlowBus(city_topics(SHARDS), now_s=lambda: NOW_S + loop.time())
        self.inbox = Inbox()
        PlacedLog(self.bus).enrol(*self.devices)
        tasks = [
            asyncio.create_task(bridge.run(self.bus, self.inbox, SHARDS, quota=self.quota)),
            asyncio.create_task(aggregator.run(self.bus, 1, SHARDS, AUTHORITIES)),
        ]
        yield
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended)

    async def taken_in(self, messages: int) -> None:
        """Wait until so many messages are in blocks, as leaves, duplicates or refused."""
        async with self.bus.reader(BLOCKS, [1]) as blocks:
            while messages:
                for block in await blocks.read(100, 1):
                    manifest = decode_manifest(decode_body(block.value)[0])
                    messages -= manifest.offset_last + 1 - manifest.offset_first

    def manifests(self) -> list[Manifest]:
        return [decode_manifest(decode_body(body)[0]) for body in self.bus.values(BLOCKS, 1)]

    def leaves(self) -> dict[bytes, int]:
        """Every leaf, and when its block was there, POSIX milliseconds."""
        blocks = self.bus.partitions[BLOCKS, 1]
        return {raw: block.timestamp_ms for block in blocks for raw in decode_body(block.value)[1:]}


def test_two_simulators_with_one_key_convict_it() -> None:
    """Cloned key: both statements are kept, no reading of the second counts, and the two convict offline."""
    original, clone = Device(1), Device(1)
    shard = original.shard
    log = ForgedLog()
    enrolment = enrol(original, 0)
    log.enrol(enrolment)
    mine, others = original.read(), clone.read(records=2)
    log.add(shard, [mine])
    log.add(shard, [others], equivocations=(1,))
    log.publish(time_s=NOW_S)

    assert list(LogCheck(log.files.get, POLICY, AUTHORITIES).run()) == []
    assert _followed(log) == [("equivocation", f"block/{shard}/001 leaf 1")]
    evidence = encode_equivocation(make_equivocation(mine, others, enrolment=enrolment))
    shown = verify_equivocation(evidence, POLICY, AUTHORITIES)
    assert {statement.raw for statement in shown.statements} == {mine, others}
    assert {statement.issuer for statement in shown.statements} == {original.issuer}


def _followed(log: ForgedLog) -> list[tuple[str, str]]:
    """What a monitor says of a log; all its complaints."""
    monitor = Monitor(log.files.get, POLICY, AUTHORITIES, Patience())
    monitor.look(NOW_S)
    while monitor.advance(NOW_S):
        pass
    return [(report.reason.value, report.where) for report in monitor.reports.take()]


def test_ten_thousand_replays_make_no_leaf() -> None:
    """Every one is a duplicate and counted as one; none is a leaf, a refusal, or missing."""
    device = device_in(1)
    city = City([device], Quota(per_s=1e6, burst=10**6))
    heard = [device.read() for _ in range(100)]

    async def main() -> None:
        async with city.running():
            for raw in heard:
                city.send(device, raw)
            await city.taken_in(100)
            for number in range(10_000):
                city.send(device, heard[number * 37 % 100])
            await city.taken_in(10_100)

    run(main())
    manifests = city.manifests()
    assert sum(manifest.accepted for manifest in manifests) == len(city.leaves()) == 100
    assert sum(manifest.duplicates for manifest in manifests) == 10_000
    assert sum(sum(manifest.refused.values()) for manifest in manifests) == 0


@pytest.mark.parametrize("shift_s", [DAY_S, -DAY_S])
def test_a_clock_a_day_off_is_a_finding_about_its_device(shift_s: int) -> None:
    """Ahead or behind: the statement stays, the arrival is the log's own, and that device alone is named."""
    device, other = device_in(1), device_in(1, 1)
    log = ForgedLog()
    log.enrol(enrol(device, 0), enrol(other, 1))
    wrong = encode_pack(device.issuer, [Record("no2", "ug/m3", 20.25, 1.8e9 + shift_s)])
    log.add(1, [device.read(payload=wrong), other.read()])
    log.publish(time_s=NOW_S)

    assert list(LogCheck(log.files.get, POLICY, AUTHORITIES).run()) == []
    assert _followed(log) == [("clock_skew", device.issuer)]


HONEST = [device_in(1, nth) for nth in range(20)]
FLOODER = device_in(1, 20)
SECONDS = 4
FLOOD_PER_S = 2500  # Two and a half times what the aggregator can check.
QUOTA_PER_S, BURST = 200, 200


def _flooded(quota: Quota, flood_per_s: int) -> tuple[float, City]:
    """The 99th percentile of the time from a device to a block, of devices that send once a second."""
    devices = [Device(int(device.issuer.rsplit("-", 1)[1])) for device in HONEST]
    flooder = Device(int(FLOODER.issuer.rsplit("-", 1)[1]))
    city = City([*devices, flooder], quota)
    flood = flooder.read()
    sent: dict[bytes, float] = {}

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with city.running():
            for turn in range(SECONDS * 20):
                for _ in range(flood_per_s // 20):
                    city.send(flooder, flood)
                device = devices[turn % 20]
                raw = device.read()
                sent[raw] = loop.time()
                city.send(device, raw)
                await asyncio.sleep(0.05)
            await city.taken_in(SECONDS * (20 + flood_per_s))

    run(main())
    leaves = city.leaves()
    waits = sorted(leaves[raw] / 1000 - NOW_S - at_s for raw, at_s in sent.items())
    return waits[len(waits) * 99 // 100], city


def test_a_flood_delays_others_by_no_more_than_its_quota() -> None:
    """One device sends two and a half times what can be checked: others wait for its burst at the most, once.

    All is accounted for: what is beyond the quota is refused unread, and the manifests say so. Without a
    quota the others wait for as long as the flood lasts.
    """
    calm_s, _ = _flooded(Quota(QUOTA_PER_S, BURST), 0)
    flooded_s, city = _flooded(Quota(QUOTA_PER_S, BURST), FLOOD_PER_S)
    unbounded_s, _ = _flooded(Quota(1e6, 10**6), FLOOD_PER_S)

    assert flooded_s < calm_s + BURST * CHECK_S
    assert unbounded_s > 5 * flooded_s
    refused = [row for value in city.bus.values(REFUSED, 1) for row in unwrap_outcomes(value)[0]]
    assert {row.reason for row in refused} == {Reason.QUOTA_EXCEEDED}
    assert {row.mqtt_topic for row in refused} == {statements_topic(FLOODER.issuer)}
    admitted = SECONDS * FLOOD_PER_S - len(refused)
    assert BURST < admitted <= BURST + QUOTA_PER_S * SECONDS
    manifests = city.manifests()
    assert sum(manifest.accepted for manifest in manifests) == SECONDS * 20 + 1
    assert sum(manifest.duplicates for manifest in manifests) == admitted - 1
