"""Aggregators share the shards, and take over from one another: each message is in one block, once."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from secrets import token_hex

import pytest

from pipeline.edges.kafka import KafkaBus
from pipeline.edges.kafka_group import share_partitions
from pipeline.log.block import decode_body
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.ports import Append, Bus
from pipeline.wire.errors import UnavailableError, VerificationError
from pipeline.wire.reasons import Reason
from tests.support.own_kafka import own_kafka
from tests.support.servers import servers

CHECKOUT = Path(__file__).resolve().parents[2]
SHARDS = 5
TOPICS = {"statements": SHARDS, "blocks": SHARDS, "refused": SHARDS, "state": SHARDS, "log": 1}
SOON_S = 60.0

pytestmark = pytest.mark.needs("servers")


@pytest.fixture
def prefix() -> str:
    return f"test-{token_hex(6)}."


@asynccontextmanager
async def bus_of(prefix: str) -> AsyncGenerator[Bus]:
    async with KafkaBus.open(servers()["kafka"], TOPICS, compacted={"state"}, prefix=prefix) as bus:
        yield bus


async def until(holds: Callable[[], Awaitable[bool] | bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while True:
            answer = holds()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.1)


# The group, with members in this process.


class Floor:
    """Who works on which partition now; two at once on one are a failure."""

    def __init__(self) -> None:
        self.at_work: dict[int, str] = {}
        self.begun: Counter[str] = Counter()
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, prefix: str, name: str, *, member: str | None = None, rest_s: float = 0.0) -> None:
        async def work(partition: int) -> None:
            assert partition not in self.at_work, f"{name} found {self.at_work[partition]} at work"
            self.at_work[partition] = name
            self.begun[name] += 1
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(rest_s)  # What it has begun it ends.
                del self.at_work[partition]

        at, group, topic = servers()["kafka"], prefix + "group", prefix + "statements"
        sharing = share_partitions(at, group, topic, work, client_id=name, member=member)
        self.tasks[name] = asyncio.create_task(sharing)

    def shares(self) -> Counter[str]:
        for task in self.tasks.values():
            if task.done():
                task.result()
        return Counter(self.at_work.values())

    async def stop(self, *names: str) -> None:
        for name in names or list(self.tasks):
            task = self.tasks.pop(name)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_members_share_and_no_two_work_on_one_partition(prefix: str) -> None:
    """One has all; two have some each; who leaves has finished, and the other has all again."""
    floor = Floor()
    async with bus_of(prefix):
        floor.start(prefix, "one", rest_s=0.3)
        await until(lambda: floor.shares() == {"one": 5})
        floor.start(prefix, "two", rest_s=0.3)
        await until(lambda: sorted(floor.shares().values()) == [2, 3])
        await floor.stop("one")
        await until(lambda: floor.shares() == {"two": 5})
        await floor.stop()
        assert not floor.at_work


async def test_a_member_with_a_name_has_its_share_back_and_others_go_on(prefix: str) -> None:
    """Started again within the session's time, it disturbs nobody."""
    floor = Floor()
    async with bus_of(prefix):
        floor.start(prefix, "one", member="one")
        await until(lambda: floor.shares() == {"one": 5})
        floor.start(prefix, "two", member="two")
        await until(lambda: sorted(floor.shares().values()) == [2, 3])
        before, begun = dict(floor.at_work), floor.begun["one"]
        await floor.stop("two")
        floor.start(prefix, "two", member="two")
        await until(lambda: floor.at_work == before)
        assert floor.begun["one"] == begun
        await floor.stop()


async def test_what_ends_the_work_ends_the_member(prefix: str) -> None:
    """An error is the process's, which is to be started again; the other partitions are at rest by then."""
    at_rest: list[int] = []

    async def work(partition: int) -> None:
        if partition == 3:
            raise VerificationError(Reason.BLOCK_ROOT, "a bug")
        try:
            await asyncio.Event().wait()
        finally:
            at_rest.append(partition)

    async with bus_of(prefix):
        with pytest.raises(ExceptionGroup) as caught:
            await share_partitions(
                servers()["kafka"], prefix + "group", prefix + "statements", work, client_id="one"
            )
    assert caught.group_contains(VerificationError, match="a bug")
    assert sorted(at_rest) == [0, 1, 2, 4]


async def test_a_commit_without_an_answer_is_over_after_five_seconds(tmp_path: Path) -> None:
    """Whether the batch is there is open: the writer takes no more, and its process can only end."""
    with own_kafka(tmp_path) as (at, kafka):
        async with KafkaBus.open(at, TOPICS, compacted={"state"}) as bus:
            async with bus.writer("aggregator-1") as writer:
                await writer.append([Append("blocks", 1, b"before")])
                kafka.send_signal(signal.SIGSTOP)
                begun_s = time.monotonic()
                with pytest.raises(UnavailableError, match="a commit of aggregator-1"):
                    await writer.append([Append("blocks", 1, b"open")])
                took_s = time.monotonic() - begun_s
                kafka.send_signal(signal.SIGCONT)
                with pytest.raises(UnavailableError, match="a commit of aggregator-1"):
                    await writer.append([Append("blocks", 1, b"after")])
            async with bus.writer("aggregator-1") as writer:
                await writer.append([Append("blocks", 1, b"another")])
            async with bus.reader("blocks", [1]) as reader:
                values = [message.value for message in await reader.read(10, 5)]
    assert 5 <= took_s < 10
    assert values in ([b"before", b"another"], [b"before", b"open", b"another"])


# Processes.


@contextmanager
def aggregator(folder: Path, name: str) -> Generator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "pipeline.cli", "run", "aggregator", "--name", name]
    command += ["--config", str(folder / "city.toml")]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"running")  # It heeds signals from here on.
        yield process
    finally:
        process.kill()
        process.communicate()


async def manifests(bus: Bus) -> list[Manifest]:
    async with bus.reader("blocks", range(SHARDS)) as reader:
        found: list[Manifest] = []
        while messages := await reader.read(256, 0):
            found += [decode_manifest(decode_body(message.value)[0]) for message in messages]
        return found


async def send(bus: Bus, number: int) -> None:
    """So many messages into every shard, each of them refused: no device is needed for that."""
    async with bus.sender("bridge") as sender:
        batch = [
            Append("statements", shard, b"\x00no statement", b"statements/nobody") for shard in range(SHARDS)
        ]
        for _ in range(number):
            await sender.send(batch)


async def sealed(bus: Bus, number: int) -> bool:
    return sum(sum(manifest.refused.values()) for manifest in await manifests(bus)) >= number * SHARDS


async def test_a_paused_aggregator_comes_back_fenced(tmp_path: Path, prefix: str) -> None:
    """Another takes its shards over; it appends nothing more, says why, and exits 75.

    Every message is in one block, and every shard's blocks are one chain.
    """
    made = [sys.executable, "-m", "pipeline.cli", "init", "--dir", str(tmp_path / "city")]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    await asyncio.to_thread(subprocess.run, made, check=True, capture_output=True, env=environment)
    (tmp_path / "city.toml").write_text(
        f'folder = "{tmp_path / "city"}"\n[kafka]\nservers = "{servers()["kafka"]}"\nprefix = "{prefix}"\n'
    )
    async with bus_of(prefix) as bus:
        with aggregator(tmp_path, "one") as one:
            await send(bus, 10)
            await until(lambda: sealed(bus, 10))
            with aggregator(tmp_path, "two") as two:
                await send(bus, 10)
                await until(lambda: sealed(bus, 20))
                one.send_signal(signal.SIGSTOP)
                paused_s = time.monotonic()
                await send(bus, 10)
                await until(lambda: sealed(bus, 30))
                await asyncio.sleep(max(0, 8 - (time.monotonic() - paused_s)))
                one.send_signal(signal.SIGCONT)
                _, told = await asyncio.to_thread(one.communicate, timeout=SOON_S)
                assert one.returncode == 75
                assert b"Traceback" not in told
                last = json.loads(told.decode().splitlines()[-1])
                assert last["exit"] == 75
                assert "stood still for" in last["event"] or "has taken over" in last["event"]
                assert last["event"].endswith("To be started again.")
                with aggregator(tmp_path, "one") as again:
                    await send(bus, 10)
                    await until(lambda: sealed(bus, 40))
                    for process in (again, two):
                        process.terminate()
                        assert await asyncio.to_thread(process.wait, SOON_S) == 0
        chains = await manifests(bus)

    assert sum(sum(manifest.refused.values()) for manifest in chains) == 40 * SHARDS
    for shard in range(SHARDS):
        chain = [manifest for manifest in chains if manifest.shard == shard]
        assert [manifest.height for manifest in chain] == list(range(len(chain)))
        assert [m.offset_first for m in chain] == [0, *(m.offset_last + 1 for m in chain[:-1])]
        assert chain[-1].offset_last == 39
