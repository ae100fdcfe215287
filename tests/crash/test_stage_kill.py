"""Bridge, aggregator, log and publisher killed at every call of a block's cycle that leaves the process.

On Kafka and Mosquitto: the stage under test is a process, which strace kills right before its nth fsync,
rename, write or send; the others run here. What was sent before the kill has to come out at the other end all
the same, once, with the same signature.
"""

import asyncio
import os
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

import pytest

from pipeline.edges.kafka import KafkaBus
from pipeline.edges.mqtt import MqttPublisher
from pipeline.folder import AUTHORITY, ORIGIN, SHARDS, CityFolder, CityKeys, open_city
from pipeline.identity.authorities import parse_authorities
from pipeline.log.block import decode_body, sign_block
from pipeline.log.manifest import decode_manifest
from pipeline.log.merkle import hash_leaves, root_of
from pipeline.log.policy import parse_policy
from pipeline.ports import Append, BusReader, Message
from pipeline.services import run_services
from pipeline.stages.envelopes import unwrap_positions, wrap_arrival
from pipeline.verify.fsck import LogCheck
from pipeline.wire.statement import shard_of
from pipeline.wire.topics import BLOCKS, LOG, STATEMENTS, registry_topic, statements_topic
from tests.crash.stage_child import SHARD, StageProcess, Where
from tests.crash.witness_child import Place, Strace
from tests.support.city import Device, enrol
from tests.support.city_on_servers import checkpoint_size
from tests.support.own_servers import OwnServers
from tests.support.servers import servers

pytestmark = [
    pytest.mark.needs("servers", "mosquitto", "strace"),
    pytest.mark.serial,
    pytest.mark.timeout(600),
]
CALLS = ("fsync", "rename", "write", "sendto")
SOON_S = 30.0
LOOK_S = 0.05
_CALL = re.compile(r"^(?:\d+ +)?([a-z_0-9]+)\(", re.MULTILINE)


def a_device() -> Device:
    """One of the shard whose aggregator is killed."""
    found = (Device(number) for number in range(1000))
    return next(device for device in found if shard_of(device.issuer, SHARDS) == SHARD)


@dataclass
class City:
    """All stages but the one under test, and one device that speaks."""

    where: Where
    bus: KafkaBus
    keys: CityKeys
    stage: str
    publish: Callable[[str, bytes], Awaitable[None]]
    stack: AsyncExitStack
    device: Device = field(default_factory=a_device)
    sent: list[bytes] = field(default_factory=list[bytes])
    _readers: dict[tuple[str, int], tuple[BusReader, list[Message]]] = field(default_factory=dict)

    async def messages(self, topic: str, partition: int) -> list[Message]:
        """All messages of a partition."""
        place = topic, partition
        if place not in self._readers:
            opened: BusReader = await self.stack.enter_async_context(self.bus.reader(topic, [partition]))
            self._readers[place] = opened, []
        reader, found = self._readers[place]
        while more := await reader.read(1000, 0):
            found += more
        return found

    async def came_out(self) -> bool:
        """Tell whether all that was sent is where the stage under test puts it."""
        if self.stage == "bridge":
            there = {message.value[1:] for message in await self.messages(STATEMENTS, SHARD)}
            return there >= set(self.sent)
        if self.stage == "aggregator":
            return await self.leaves() >= Counter(self.sent)
        if not await self.leaves() >= Counter(self.sent):
            return False
        return await self.is_placed() and (self.stage == "log" or await self.is_shown())

    async def is_placed(self) -> bool:
        """Tell whether every block of the shard has its place."""
        heights = await self.heights()
        return heights[SHARD] == len(await self.messages(BLOCKS, SHARD))

    async def heights(self) -> list[int]:
        """How many blocks of each shard are in the log."""
        entries = await self.messages(LOG, 0)
        return [p.height for p in unwrap_positions(entries[-1].key)] if entries else [0] * SHARDS

    async def is_shown(self) -> bool:
        """Tell whether the published checkpoint is over the whole log."""
        return checkpoint_size(self.where.folder) == 1 + sum(await self.heights())

    async def leaves(self) -> Counter[bytes]:
        """Every statement of the shard's blocks."""
        return Counter(
            raw for message in await self.messages(BLOCKS, SHARD) for raw in decode_body(message.value)[1:]
        )

    def fsck(self) -> None:
        """The published log is right."""
        folder = CityFolder(self.where.folder)
        policy = parse_policy(folder.policy.read_bytes())
        authorities = parse_authorities(folder.authorities.read_bytes())

        def read(path: str) -> bytes | None:
            file = folder.log / path
            return file.read_bytes() if file.exists() else None

        assert list(LogCheck(read, policy, authorities).run()) == []

    async def settle(self) -> None:
        """Wait until all is there."""
        deadline_s = time.monotonic() + SOON_S
        while not await self.came_out():
            assert time.monotonic() < deadline_s, "what was sent does not come out"
            await asyncio.sleep(LOOK_S)

    async def speak(self) -> None:
        """Send one more statement."""
        raw = self.device.read()
        self.sent.append(raw)
        await self.publish(statements_topic(self.device.issuer), raw)

    async def judge(self) -> None:
        """All that was sent is a leaf, once; every entry has the bytes that it gets again; fsck is clean."""
        deadline_s = time.monotonic() + SOON_S
        while await self.leaves() != Counter(self.sent) or not await self.is_shown():
            assert time.monotonic() < deadline_s, "what was sent is not published"
            await asyncio.sleep(LOOK_S)
        blocks = {
            (manifest.shard, manifest.height): leaves
            for shard in range(SHARDS)
            for leaves in [decode_body(message.value) for message in await self.messages(BLOCKS, shard)]
            for manifest in [decode_manifest(leaves[0])]
        }
        expected = set[bytes]()
        for leaves in blocks.values():
            hashes = hash_leaves(leaves)
            manifest = decode_manifest(leaves[0])
            expected.add(sign_block(self.keys.log.signer, ORIGIN, manifest, root_of(hashes), hashes[0]))
        entries = [message.value for message in await self.messages(LOG, 0)][1:]
        assert len(entries) == len(blocks), "each block has one place"
        assert set(entries) == expected
        self.fsck()


async def all_but_one(work: Callable[[int], Awaitable[None]]) -> None:
    """Seal every shard but that of the aggregator under test."""
    async with asyncio.TaskGroup() as group:
        for shard in set(range(SHARDS)) - {SHARD}:
            group.create_task(_seal(work, shard))


async def every(work: Callable[[int], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for shard in range(SHARDS):
            group.create_task(_seal(work, shard))


async def _seal(work: Callable[[int], Awaitable[None]], shard: int) -> None:
    await work(shard)


@asynccontextmanager
async def a_city(stage: str, folder: Path, mosquitto_port: int) -> AsyncGenerator[City]:
    """All stages but one, and an enrolled device."""
    _, keys = open_city(folder)
    where = Where(folder, servers()["kafka"], f"kill-{token_hex(6)}.", mosquitto_port)
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(where.open_bus())
        sender = await stack.enter_async_context(bus.sender("test"))

        async def send(topic: str, raw: bytes) -> None:
            shard = shard_of(topic.partition("/")[2], SHARDS) if topic.startswith("statements") else 0
            await sender.send([Append(STATEMENTS, shard, wrap_arrival(raw), topic.encode())])

        publish: Callable[[str, bytes], Awaitable[None]] = send
        if stage == "bridge":
            client = MqttPublisher.open("127.0.0.1", mosquitto_port, f"{where.prefix}device")
            publish = (await stack.enter_async_context(client)).publish
        site = where.site(bus, all_but_one if stage == "aggregator" else every)
        others = {"aggregator", "log", "publisher"} - {stage}
        if stage == "aggregator":
            others.add("aggregator")
        running = asyncio.create_task(run_services(site, others))
        city = City(where, bus, keys, stage, publish, stack)
        try:
            await send(registry_topic(AUTHORITY), enrol(city.device, 0, by=keys.authority, name=AUTHORITY))
            deadline_s = time.monotonic() + SOON_S
            while not await city.messages(BLOCKS, 0):
                assert not running.done(), running.exception()
                assert time.monotonic() < deadline_s, "the device is not enrolled"
                await asyncio.sleep(LOOK_S)
            yield city
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def count_calls(city: City, process: StageProcess, folder: Path) -> list[Place]:
    """Return every call of one cycle, from a statement that is sent to what comes of it, by thread."""
    threads = process.threads()
    assert len(threads) == 2, "one thread has the loop, one the files"
    traces = [folder / f"trace-{number}" for number in range(2)]
    which = f"trace={','.join(CALLS)}"
    attach = [lambda n=n: Strace(threads[n], "-o", str(traces[n]), "-e", which) for n in range(2)]
    opened = [await asyncio.to_thread(each) for each in attach]
    await city.speak()
    await city.settle()
    for each in opened:
        await asyncio.to_thread(each.__exit__)
    found = []
    for number, trace in enumerate(traces):
        calls = Counter(_CALL.findall(trace.read_text(errors="replace")))
        found += [Place(number, name, nth + 1) for name in CALLS for nth in range(calls[name])]
    return found


async def kill_at(city: City, process: StageProcess, place: Place) -> bool:
    """Kill the process right before a call, or let the cycle end without it; tell whether it died."""
    inject = f"inject={place.syscall}:signal=KILL:when={place.nth}"
    which = f"trace={place.syscall}"
    thread = process.threads()[place.thread]
    strace = await asyncio.to_thread(lambda: Strace(thread, "-o", os.devnull, "-e", which, "-e", inject))
    await city.speak()
    deadline_s = time.monotonic() + SOON_S
    while process.exit_code() is None and not await city.came_out():
        assert time.monotonic() < deadline_s, place
        await asyncio.sleep(LOOK_S)
    await asyncio.to_thread(strace.__exit__)
    return process.exit_code() == -signal.SIGKILL


@pytest.fixture
def mosquitto_port(tmp_path: Path) -> Generator[int]:
    """A broker of our own."""
    own = OwnServers(tmp_path / "servers")
    yield own.start_mosquitto()
    own.end()


REACHED: Mapping[str, Mapping[str, int]] = {
    "bridge": {"sendto": 2},
    "aggregator": {"sendto": 3},
    "log": {"sendto": 3},
    "publisher": {"sendto": 2, "write": 5, "fsync": 5, "rename": 5},
}


@pytest.mark.parametrize("stage", REACHED)
def test_a_stage_killed_at_any_call_goes_on(stage: str, tmp_path: Path, mosquitto_port: int) -> None:
    """What was sent comes out once, whatever call it dies before; what is signed again has the same bytes."""

    async def run() -> Counter[str]:
        died: Counter[str] = Counter()
        async with a_city(stage, tmp_path / "city", mosquitto_port) as city:
            process = await asyncio.to_thread(StageProcess, stage, city.where)
            try:
                places = await count_calls(city, process, tmp_path)
                for place in places:
                    if await kill_at(city, process, place):
                        died[place.syscall] += 1
                        process = await asyncio.to_thread(StageProcess, stage, city.where)
                    await city.settle()
                await city.judge()
            finally:
                process.kill()
        return died

    died = asyncio.run(run())
    assert died.keys() == REACHED[stage].keys()
    assert all(died[name] >= least for name, least in REACHED[stage].items()), died


def test_an_fsync_that_fails_ends_the_process(tmp_path: Path, mosquitto_port: int) -> None:
    """What a disk did not keep is not synced again: the process ends, and the next one makes it anew."""

    async def run() -> None:
        async with a_city("publisher", tmp_path / "city", mosquitto_port) as city:
            process = await asyncio.to_thread(StageProcess, "publisher", city.where)
            await city.speak()
            await city.settle()
            thread = process.threads()[1]
            inject = ["-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1"]
            strace = await asyncio.to_thread(lambda: Strace(thread, "-o", os.devnull, *inject))
            await city.speak()
            deadline_s = time.monotonic() + SOON_S
            while process.exit_code() is None:
                assert time.monotonic() < deadline_s, "it goes on"
                await asyncio.sleep(LOOK_S)
            await asyncio.to_thread(strace.__exit__)
            assert process.exit_code() not in {0, None}
            process = await asyncio.to_thread(StageProcess, "publisher", city.where)
            try:
                await city.settle()
                await city.judge()
            finally:
                process.kill()

    asyncio.run(run())
