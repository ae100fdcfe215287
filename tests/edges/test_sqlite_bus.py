"""What only the embedded bus promises: gapless offsets, bounded reads, a view for other processes."""

import asyncio
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.edges import sqlite_bus
from pipeline.edges.sqlite_bus import BusView, SqliteBus
from pipeline.ports import Append
from pipeline.wire.errors import FencedError, InputError

OWNER = """
import asyncio, sys
from pathlib import Path
from pipeline.edges.sqlite_bus import SqliteBus
from pipeline.ports import Append
async def own():
    async with SqliteBus.open(Path(sys.argv[1]), {"log": 1}) as bus, bus.writer("log") as writer:
        print("open", flush=True)
        for line in sys.stdin:
            await writer.append([Append("log", 0, line.strip().encode())])
asyncio.run(own())
"""


async def test_offsets_have_no_gaps(tmp_path: Path) -> None:
    """Offsets count from 0 in each partition, over fenced appends and reopenings."""
    seen: list[int] = []
    for _ in range(3):
        opened = SqliteBus.open(tmp_path / "bus.db", {"a": 2, "b": 1})
        async with opened as bus, bus.writer("w") as old, bus.writer("w") as writer:
            with pytest.raises(FencedError):
                await old.append([Append("a", 0, b"x")])
            seen += await writer.append([Append(topic, 0, b"x") for topic in "aba"])
    assert seen == [0, 0, 1, 2, 1, 3, 4, 2, 5]


async def test_a_writer_of_an_earlier_life_is_fenced(tmp_path: Path) -> None:
    """Epochs are kept on disk: the same name opened again is newer, also after a restart."""
    async with SqliteBus.open(tmp_path / "bus.db", {"a": 1}) as bus, bus.writer("w") as first:
        await first.append([Append("a", 0, b"1")])
    async with SqliteBus.open(tmp_path / "bus.db", {"a": 1}) as bus, bus.writer("w") as second:
        revived = sqlite_bus.Writer(bus, "w", 1)
        with pytest.raises(FencedError):
            await revived.append([Append("a", 0, b"zombie")])
        await second.append([Append("a", 0, b"2")])


async def test_the_number_of_partitions_stays(tmp_path: Path) -> None:
    """A bus begun with other partitions is refused by name; further topics may be added."""
    async with SqliteBus.open(tmp_path / "bus.db", {"a": 2}) as bus, bus.writer("w") as writer:
        await writer.append([Append("a", 1, b"kept")])
    with pytest.raises(InputError, match="topic a has 2 partitions, not 3"):
        async with SqliteBus.open(tmp_path / "bus.db", {"a": 3}):
            pass
    async with SqliteBus.open(tmp_path / "bus.db", {"b": 1, "a": 2}) as bus, bus.writer("w") as writer:
        await writer.append([Append("b", 0, b"new")])
        last = await bus.last("a", 1)
        assert last is not None
        assert last.value == b"kept"


async def test_what_is_replaced_leaves_the_file(tmp_path: Path) -> None:
    """A compacted topic does not grow with what newer values have replaced."""
    path = tmp_path / "bus.db"
    async with SqliteBus.open(path, {"state": 1}, compacted={"state"}) as bus, bus.writer("w") as writer:
        for number in range(100):
            await writer.append([Append("state", 0, b"%d" % number * 50_000, b"key")])
        async with bus.reader("state", [0]) as reader:
            (message,) = await reader.read(100, 0)
        assert (message.offset, message.value[:2]) == (99, b"99")
    assert path.stat().st_size < 1_000_000


async def test_a_read_is_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read ends once it holds enough bytes; a message larger than that comes alone."""
    monkeypatch.setattr(sqlite_bus, "READ_BYTES_MAX", 1000)
    sizes = [400, 400, 400, 5000, 10]
    async with SqliteBus.open(tmp_path / "bus.db", {"a": 1}) as bus, bus.writer("w") as writer:
        await writer.append([Append("a", 0, bytes(size)) for size in sizes])
        async with bus.reader("a", [0]) as reader:
            reads = []
            while messages := await reader.read(100, 0):
                reads.append([len(m.value) for m in messages])
    assert reads == [[400, 400, 400], [5000], [10]]


async def test_a_busy_partition_starves_no_other(tmp_path: Path) -> None:
    """With one partition far behind, the others come within as many reads as there are partitions."""
    async with SqliteBus.open(tmp_path / "bus.db", {"a": 3}) as bus, bus.writer("w") as writer:
        await writer.append([Append("a", 0, b"flood")] * 1000)
        await writer.append([Append("a", 1, b"good"), Append("a", 2, b"good")])
        async with bus.reader("a", [0, 1, 2]) as reader:
            seen = [m.value for _ in range(3) for m in await reader.read(10, 0)]
    assert seen.count(b"good") == 2


def test_another_process_follows(tmp_path: Path) -> None:
    """A view in another process sees what the owner appends, in order; it cannot own the bus beside it."""
    path = tmp_path / "bus.db"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    try:
        assert owner.stdout.readline() == "open\n"
        asyncio.run(follow(path, owner))
    finally:
        owner.communicate()


async def follow(path: Path, owner: "subprocess.Popen[str]") -> None:
    assert owner.stdin is not None
    with pytest.raises(InputError, match=f"process {owner.pid} is using it"):
        async with SqliteBus.open(path, {"log": 1}):
            pass
    async with BusView.attach(path) as view, view.reader("log", [0]) as reader:
        assert await view.last("log", 0) is None
        assert list(await reader.read(10, 0)) == []
        for number in range(3):
            reading = asyncio.create_task(reader.read(10, 20))
            await asyncio.sleep(0)
            owner.stdin.write(f"entry {number}\n")
            owner.stdin.flush()
            assert [m.value for m in await reading] == [b"entry %d" % number]
        last = await view.last("log", 0)
        assert last is not None
        assert last.offset == 2


async def test_closing_a_reader_forgets_it(tmp_path: Path) -> None:
    """A bus does not hold on to readers that are closed."""
    async with SqliteBus.open(tmp_path / "bus.db", {"a": 1}) as bus, bus.writer("w") as writer:
        for _ in range(100):
            async with bus.reader("a", [0]) as reader:
                await writer.append([Append("a", 0, b"x")])
                await reader.read(1, 1)
        assert not bus._readers


@pytest.mark.serial
async def test_a_reader_is_woken_at_once(tmp_path: Path) -> None:
    """From the commit to a waiting reader's message: a few milliseconds, without polling."""
    latencies_s = []
    opened = SqliteBus.open(tmp_path / "bus.db", {"a": 1})
    async with opened as bus, bus.writer("w") as writer, bus.reader("a", [0]) as reader:
        for _ in range(100):
            reading = asyncio.create_task(reader.read(10, 5))
            await asyncio.sleep(0)
            await writer.append([Append("a", 0, b"x")])
            start_s = time.perf_counter()
            await reading
            latencies_s.append(time.perf_counter() - start_s)
    assert statistics.median(latencies_s) < 0.005


@pytest.mark.serial
async def test_many_appends_share_their_syncs(tmp_path: Path) -> None:
    """Sixty-four writers at once get through at several times the rate of one alone."""

    async def rate(writers: int) -> float:
        async with SqliteBus.open(tmp_path / f"{writers}.db", {"a": 1}) as bus, bus.writer("w") as writer:

            async def write() -> None:
                for _ in range(512 // writers):
                    await writer.append([Append("a", 0, bytes(300))])

            start_s = time.perf_counter()
            await asyncio.gather(*(write() for _ in range(writers)))
            return 512 / (time.perf_counter() - start_s)

    assert await rate(64) > 3 * await rate(1)
