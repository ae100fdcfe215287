"""The measurements: what is sustained, what it takes, and how long after its sending a record is provable."""

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.commands.bench.pipeline.load import RECORDS, number_of
from pipeline.commands.bench.pipeline.meter import Meter
from pipeline.commands.bench.pipeline.sender import Sender
from pipeline.commands.bench.pipeline.stack import InfluxMeter
from pipeline.log.block import decode_body, parse_signed_block
from pipeline.log.checkpoint import parse_checkpoint
from pipeline.log.tiles import CHECKPOINT_PATH, TileReader, block_path
from pipeline.wire.errors import UnavailableError
from pipeline.wire.statement import StatementParser

WAITING_MAX = 16_384  # Messages sent and not stored: some two seconds of them.
LOOK_S = 0.1
RAMP_S = 2.0
POLL_S = 0.005
DRAIN_S = 60.0
REGISTRY_SHARD = 0


@dataclass(frozen=True, slots=True)
class Throughput:
    """What was stored, from when the first were through to the end.

    Attributes:
        records_per_s: Stored in InfluxDB.
        seconds: How long that was.
        cpu_s_per_million: Processor seconds that each process took for a million records.
        rss_bytes: The most memory that each had.
    """

    records_per_s: float
    seconds: float
    cpu_s_per_million: Mapping[str, float]
    rss_bytes: Mapping[str, int]


class Stored:
    """How many messages InfluxDB has stored since this began."""

    def __init__(self, influx: InfluxMeter) -> None:
        self._influx = influx
        self._before = influx.stored()
        self.messages = 0

    async def look(self) -> int:
        """Look now."""
        points = await asyncio.to_thread(self._influx.stored)
        self.messages = (points - self._before) // RECORDS
        return self.messages

    async def drain(self, messages: int) -> None:
        """Wait until so many are stored.

        Raises:
            UnavailableError: They are not, within a minute.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + DRAIN_S
        while await self.look() < messages:
            if loop.time() > deadline_s:
                raise UnavailableError("the bench", f"of {messages} messages {self.messages} are stored")
            await asyncio.sleep(LOOK_S)


async def measure_throughput(
    sender: Sender, packets: Sequence[bytes], stored: Stored, meter: Meter, seconds: float
) -> Throughput:
    """Send as fast as it is stored, for so long once the first are, and wait until all are.

    Raises:
        UnavailableError: Nothing was stored.
    """
    loop = asyncio.get_running_loop()
    start_s, before = loop.time(), sender.sent
    end_s = start_s + DRAIN_S  # Until the first are through, and it is known when the time begins.
    sending = asyncio.create_task(
        sender.send_while(
            packets, lambda: loop.time() < end_s, lambda: stored.messages + WAITING_MAX - before
        )
    )
    looks: list[tuple[float, int, Mapping[str, float]]] = []
    while not sending.done():
        await asyncio.sleep(LOOK_S)
        messages, now_s = await stored.look(), loop.time()
        if not looks and (messages <= before or now_s < start_s + RAMP_S):
            continue
        if not looks:
            end_s = now_s + seconds
        looks.append((now_s, messages, meter.cpu()))
        meter.look()
    await sending
    await stored.drain(sender.sent)
    if not looks or looks[0][1] == looks[-1][1]:
        raise UnavailableError("the bench", "nothing was stored in all this time: let it take more --seconds")
    (first_s, first, cpu_first), (last_s, last, cpu_last) = looks[0], looks[-1]
    records = (last - first) * RECORDS
    return Throughput(
        records_per_s=records / (last_s - first_s),
        seconds=last_s - first_s,
        cpu_s_per_million={name: (cpu_last[name] - cpu_first[name]) / records * 1e6 for name in cpu_last},
        rss_bytes={name: max(sizes) for name, sizes in meter.rss.items()},
    )


async def measure_latency(
    sender: Sender, packets: Sequence[bytes], stored: Stored, log: Path, per_s: float, devices: int
) -> Sequence[float]:
    """Send at a rate; return, in order, how many seconds after its sending each message was provable.

    Provable: its block's body is published, and a cosigned checkpoint that covers it.
    """
    loop = asyncio.get_running_loop()
    start_s, first = loop.time(), sender.sent
    sending = asyncio.create_task(
        sender.send_while(packets, lambda: True, lambda: int((loop.time() - start_s) * per_s))
    )
    sizes: list[int] = [_checkpoint_size(log)]
    seen_s: list[float] = [start_s]
    done_s = float("inf")
    while loop.time() < done_s:
        await asyncio.sleep(POLL_S)
        if (size := _checkpoint_size(log)) > sizes[-1]:
            sizes.append(size)
            seen_s.append(loop.time())
        if sending.done() and done_s == float("inf"):
            await stored.drain(sender.sent)
            done_s = loop.time() + 2.0
    await sending
    latencies: list[float] = []
    for index, number in _numbers(log, sizes[0], sizes[-1], devices):
        if number >= first:
            at = bisect_right(sizes, index)
            latencies.append(seen_s[at] - sender.sent_at_s[number])
    assert len(latencies) == len(packets), "every message is provable once"
    return sorted(latencies)


def _checkpoint_size(log: Path) -> int:
    return int((log / CHECKPOINT_PATH).read_bytes().split(b"\n", 2)[1])


def _numbers(log: Path, start: int, end: int, devices: int) -> "Sequence[tuple[int, int]]":
    """Return entry and message number of each statement in the log's entries from `start` to `end`."""

    def read(path: str) -> bytes | None:
        file = log / path
        return file.read_bytes() if file.exists() else None

    text = (log / CHECKPOINT_PATH).read_text(encoding="utf-8").partition("\n\n")[0] + "\n"
    reader, parse = TileReader(read, parse_checkpoint(text)), StatementParser().parse
    found: list[tuple[int, int]] = []
    for index in range(start, end):
        block = parse_signed_block(reader.read_entry(index))
        if block.shard == REGISTRY_SHARD:
            continue
        body = (log / block_path(block.shard, block.height)).read_bytes()
        found += [(index, number_of(parse(raw), devices)) for raw in decode_body(body)[1:]]
    return found
