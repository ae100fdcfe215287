"""`cityproof bench hostile`: bad messages of every class, mixed one to one with good ones, on real servers.

Every good one must be stored; every bad one must be kept with its reason, or counted as a duplicate; and good
ones must come through at a good part of the rate that they have alone.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from hashlib import sha256
from random import Random
from time import monotonic

from pipeline.commands.bench.pipeline.city import BenchCity, await_true, enrol, run_city
from pipeline.commands.bench.pipeline.load import RECORDS, Outgoing, Statements, to_packets
from pipeline.commands.bench.pipeline.malice import CLASSES, DEVICES, REPLAY
from pipeline.commands.bench.pipeline.measure import WAITING_MAX, Stored
from pipeline.commands.bench.pipeline.run import say
from pipeline.commands.bench.pipeline.sender import Sender
from pipeline.commands.bench.pipeline.stack import InfluxMeter, Stack, find_stack
from pipeline.servers import open_site
from pipeline.settings import load_settings
from pipeline.stages.envelopes import unwrap_outcomes
from pipeline.wire.topics import REFUSED

SEED = 20261121
GOAL = 0.4
READ_MAX = 256
IDLE_S = 2.0
STORED_S = 60.0
WARM_UP_MESSAGES = 4000


@dataclass(frozen=True, slots=True)
class Withstood:
    """What became of one class's messages.

    Attributes:
        sent: Bad messages, and as many good ones.
        kept: How many of the bad ones were kept with a right reason, or counted as duplicates.
        of_normal: How fast the good ones came through, as a part of their rate alone.
    """

    sent: int
    kept: int
    of_normal: float


@dataclass(frozen=True, slots=True)
class Siege:
    """The whole run: how many good messages were sent and stored, and each class."""

    good: int
    stored: int
    normal_records_per_s: float
    classes: Mapping[str, Withstood]

    @property
    def is_held(self) -> bool:
        """Tell whether nothing good was lost and nothing bad forgotten, and the rate held."""
        return self.good == self.stored and all(
            found.kept == found.sent and found.of_normal >= GOAL for found in self.classes.values()
        )


async def besiege(stack: Stack, influx: InfluxMeter, messages: int) -> Siege:
    """Send every class's messages, one class after the other, between good ones alone."""
    statements, random = Statements(DEVICES), Random(SEED)  # noqa: S311 - no secret
    bad: dict[bytes, str] = {}  # By the hashes that refusals name.
    rates: dict[str, float] = {}
    sent_bad: dict[str, int] = {}
    async with run_city(stack, influx) as city:
        await enrol(stack, city, DEVICES)
        async with Sender.open(stack.mosquitto, "bench-devices") as sender:
            stored = Stored(influx)
            await _send(sender, stored, statements.sign(WARM_UP_MESSAGES), 1)
            alone = [await _send(sender, stored, statements.sign(messages), 1)]
            for name, malice in CLASSES.items():
                say(f"{name}: {messages} messages")
                good = statements.sign(messages)
                made = [malice.make(message, n, random) for n, message in enumerate(good)]
                bad |= {sha256(message.payload).digest(): name for message in made}
                sent_bad[name] = len(made)
                mixed = [message for pair in zip(good, made, strict=True) for message in pair]
                rates[name] = await _send(sender, stored, mixed, 2)
            alone.append(await _send(sender, stored, statements.sign(messages), 1))
            sent_good = sender.sent - sum(sent_bad.values())
            sent = sender.sent
        await_true("the last block", lambda: city.outcomes().total() >= sent)
        kept = await _kept(city, bad)
        found = await _count(influx, city.prefix, sent_good * RECORDS)
    normal = sum(alone) / len(alone)
    classes = {name: Withstood(sent_bad[name], kept[name], rates[name] / normal) for name in CLASSES}
    return Siege(sent_good, found // RECORDS, normal, classes)


async def _send(sender: Sender, stored: Stored, messages: Sequence[Outgoing], a_good_one: int) -> float:
    """Send messages, one in so many good; return the good records a second until all of these are stored."""
    packets, before, start_s = to_packets(messages, sender.sent), await stored.look(), monotonic()
    good = len(packets) // a_good_one
    sending = asyncio.create_task(
        sender.send_while(
            packets, lambda: True, lambda: (stored.messages - before) * a_good_one + WAITING_MAX
        )
    )
    await stored.drain(before + good)
    await sending
    return good * RECORDS / (monotonic() - start_s)


async def _count(influx: InfluxMeter, bucket: str, expected: int) -> int:
    """Return how many points a bucket holds, once these are what is expected, or time is up."""
    deadline_s = monotonic() + STORED_S
    while (found := await asyncio.to_thread(influx.count_points, bucket)) < expected:
        if monotonic() > deadline_s:
            break
        await asyncio.sleep(IDLE_S)
    return found


async def _kept(city: BenchCity, classes: Mapping[bytes, str]) -> Mapping[str, int]:
    """Return how many of each class's messages are on the topic of refusals as they should be."""
    kept: Counter[str] = Counter()
    async with (
        open_site(load_settings(city.config).settings, "bench") as site,
        site.bus.reader(REFUSED, range(site.shards)) as reader,
    ):
        while messages := await reader.read(READ_MAX, IDLE_S):
            for message in messages:
                refused, duplicates = unwrap_outcomes(message.value)
                kept[REPLAY] += len(duplicates)
                for item in refused:
                    name = classes.get(item.sha256)
                    if name and item.reason in CLASSES[name].reasons:
                        kept[name] += 1
    return kept


async def run(messages: int, *, as_json: bool) -> int:
    """Print what became of every class. Exit 0: all was stored, kept and fast enough; 1: not all."""
    stack = find_stack()
    with closing(InfluxMeter(stack)) as influx:
        siege = await besiege(stack, influx, messages)
    if as_json:
        print(json.dumps({**asdict(siege), "goal": GOAL, "seed": SEED}, indent=1))
    else:
        print(f"good: {siege.stored:,} stored of {siege.good:,}")
        print(f"alone {siege.normal_records_per_s:,.0f} records/s; beside bad ones, of that:")
        for name, found in siege.classes.items():
            print(f"{name:<16}{found.of_normal:6.2f}; {found.kept:,} kept of {found.sent:,}")
    return 0 if siege.is_held else 1
