"""Alarms: judges open shipments while their readings come in, and tells a receiver what a limit is in for.

Everything follows from the log: what a crash leaves undone is read again, gives rise to the same alarms under
the same names, and is told once. An alarm is kept until the receiver has taken it, however long that takes.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from pipeline.ports import AlarmReceiver, AlarmStore, Bus, Clock, KeptStatement
from pipeline.shipping.alarms import Alarm, AlarmWatch
from pipeline.shipping.custody import follow
from pipeline.shipping.inputs import Pack, event_of, pack_of
from pipeline.shipping.judged import committed_profile
from pipeline.shipping.live import LiveTrip
from pipeline.shipping.series import Reading
from pipeline.shipping.shipment import Attached, Event, Shipment, State
from pipeline.stages.follow import LogEntry, open_follower
from pipeline.wire.errors import InputError, UnavailableError
from pipeline.wire.statement import CONTENT_SENML, CONTENT_SHIPMENT, Statement, StatementParser

READ_MAX = 64
IDLE_S = 5.0
TOLD_AT_ONCE = 64
RETRY_FIRST_S = 2.0
RETRY_MAX_S = 300.0
OVER = frozenset({State.RELEASED, State.REJECTED})


@dataclass(slots=True)
class _Watched:
    """An open shipment: what was stated, what its loggers have read, and what is watched of it."""

    events: list[Event] = field(default_factory=list[Event])
    packs: list[Pack] = field(default_factory=list[Pack])
    shipment: Shipment | None = None
    watches: dict[int, AlarmWatch] = field(default_factory=dict[int, AlarmWatch])

    @property
    def loggers(self) -> frozenset[str]:
        """Whose readings matter."""
        return frozenset(self.shipment.loggers if self.shipment else ())


class ShipmentWatch:
    """The pure part: statements in log order in, alarms out."""

    def __init__(self) -> None:
        self._open: dict[str, _Watched] = {}
        self._by_logger: dict[str, set[str]] = {}
        self._over: list[str] = []

    def take(self, statement: Statement, entry: int, leaf: int) -> tuple[list[str], list[Alarm]]:
        """Take a statement; return the shipments it matters to, and what it gives rise to."""
        if statement.content_type == CONTENT_SHIPMENT:
            return self._take_event(statement.subject, event_of(statement, entry, leaf))
        if statement.content_type != CONTENT_SENML:
            return [], []
        names = sorted(self._by_logger.get(statement.issuer, ()))
        if not names:
            return [], []
        pack = pack_of(statement, entry, leaf)
        return names, [alarm for name in names for alarm in self._take_pack(self._open[name], pack)]

    def over(self) -> list[str]:
        """Return the shipments that were over since this was asked last; nothing of them is remembered."""
        over, self._over = self._over, []
        return over

    def _take_event(self, name: str, event: Event) -> tuple[list[str], list[Alarm]]:
        watched = self._open.setdefault(name, _Watched())
        before = watched.loggers
        watched.events.append(event)
        watched.shipment = follow(name, watched.events)
        if watched.shipment is not None and watched.shipment.state in OVER:
            self._listen(name, before, frozenset())
            del self._open[name]
            self._over.append(name)
            return [], []
        self._listen(name, before, watched.loggers)
        return [name], self._begin(watched)

    def _listen(self, name: str, before: frozenset[str], after: frozenset[str]) -> None:
        for logger in before - after:
            self._by_logger[logger].discard(name)
            if not self._by_logger[logger]:
                del self._by_logger[logger]
        for logger in after - before:
            self._by_logger.setdefault(logger, set()).add(name)

    def _begin(self, watched: _Watched) -> list[Alarm]:
        """Begin to watch each place among the goods once they are loaded, with what was read before."""
        shipment = watched.shipment
        if shipment is None or shipment.loaded_us is None:
            return []
        try:
            profile = committed_profile(shipment)
        except InputError:
            return []  # The log has only the hash of the profile: whoever has the file may judge.
        alarms: list[Alarm] = []
        for one in shipment.attached:
            if one.track not in watched.watches:
                begin_us = max(shipment.loaded_us, one.from_us or 0)
                trip = LiveTrip(profile, begin_us)
                watched.watches[one.track] = AlarmWatch(shipment.name, (one.logger,), trip)
                for pack in watched.packs:
                    alarms += self._take_into(watched, one.track, pack)
        return alarms

    def _take_pack(self, watched: _Watched, pack: Pack) -> list[Alarm]:
        if watched.shipment is None or watched.shipment.loaded_us is None:
            watched.packs.append(pack)
        return [alarm for track in watched.watches for alarm in self._take_into(watched, track, pack)]

    def _take_into(self, watched: _Watched, track: int, pack: Pack) -> list[Alarm]:
        """Take what a pack holds of the time that its logger was with the goods."""
        shipment = watched.shipment
        assert shipment is not None, "it is watched"
        alarms: list[Alarm] = []
        ours = [one for one in shipment.attached if one.track == track]
        for number, one in enumerate(ours):
            if one.logger != pack.logger:
                continue
            readings = _readings(pack, number, one, shipment.delivered_us)
            holder = shipment.holder_at(readings[-1][1].time_us) if readings else None
            alarms += watched.watches[track].take(readings, holder)
        return alarms


def _readings(
    pack: Pack, number: int, attached: Attached, delivered_us: int | None
) -> list[tuple[str, Reading]]:
    ends = [end for end in (attached.to_us, delivered_us) if end is not None]
    return [
        (quantity, Reading(time_us, value, pack.epoch, pack.sequence, number))
        for quantity, time_us, value in pack.values
        if (attached.from_us is None or time_us >= attached.from_us)
        and all(time_us <= end_us for end_us in ends)
    ]


def body_of(alarm: Alarm) -> bytes:
    """Return what the receiver is told, as JSON."""
    data = {
        "shipment": alarm.shipment,
        "loggers": alarm.loggers,
        "limit": alarm.limit,
        "severity": alarm.severity,
        "read": str(alarm.value),
        "at": _time(alarm.time_us),
        "since": _time(alarm.since_us),
        "reached": None if alarm.reached_us is None else _time(alarm.reached_us),
        "holder": alarm.holder,
    }
    whole = {"type": f"shipment.{alarm.phase.value}", "timestamp": _time(alarm.time_us), "data": data}
    return json.dumps(whole, ensure_ascii=False).encode()


def _time(time_us: int) -> str:
    moment = datetime.fromtimestamp(time_us // 1_000_000, UTC).replace(microsecond=time_us % 1_000_000)
    return moment.isoformat().replace("+00:00", "Z")


class Teller:
    """Tells the receiver, in order, and again until it has taken each."""

    def __init__(self, store: AlarmStore, receiver: AlarmReceiver, clock: Clock, random: Random) -> None:
        self._store = store
        self._receiver = receiver
        self._clock = clock
        self._random = random
        self.news = asyncio.Event()
        self._failures = 0  # One after the other, of whatever was told.
        self._resting_until_s = 0.0

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            self.news.clear()
            await self.tell_due()
            due_s = await self._store.next_due_s()
            next_s = max(due_s or 0.0, self._resting_until_s) - self._clock.now_s()
            wait_s = IDLE_S if due_s is None else min(IDLE_S, max(0.0, next_s))
            try:
                async with asyncio.timeout(wait_s):
                    await self.news.wait()
            except TimeoutError:
                pass

    async def tell_due(self) -> None:
        """Tell what is due; what is not taken becomes due later, and the receiver is left alone meanwhile."""
        if self._clock.now_s() < self._resting_until_s:
            return
        for alarm in await self._store.due(self._clock.now_s(), TOLD_AT_ONCE):
            try:
                await self._receiver.post(alarm.id, alarm.body, self._clock.now_s())
            except UnavailableError:
                self._resting_until_s = self._later_s(self._failures)
                self._failures += 1
                # A crash before this tries again at once.
                await self._store.postpone(alarm.id, self._later_s(alarm.attempts))
                return
            # A crash before this tells it again, under the same id, by which the receiver knows it.
            await self._store.told(alarm.id)
            self._failures = 0

    def _later_s(self, failures: int) -> float:
        """Return when to try again after so many failures: exponential back-off, with jitter."""
        longest_s = min(RETRY_FIRST_S * (1 << min(failures, 16)), RETRY_MAX_S)
        return self._clock.now_s() + longest_s * self._random.uniform(0.5, 1)


async def run(
    bus: Bus, shards: int, store: AlarmStore, receiver: AlarmReceiver, clock: Clock, random: Random
) -> None:
    """Watch open shipments and tell what they give rise to, until cancelled."""
    teller = Teller(store, receiver, clock, random)
    async with asyncio.TaskGroup() as group:
        group.create_task(teller.run())
        group.create_task(_watch(bus, shards, store, teller))


async def _watch(bus: Bus, shards: int, store: AlarmStore, teller: Teller) -> None:
    memory, watch, parse = await store.load(), ShipmentWatch(), StatementParser().parse
    for kept in dict.fromkeys((one.raw, one.entry, one.leaf) for one in memory.statements):
        raw, entry, leaf = kept
        watch.take(parse(raw), entry, leaf)
    async with open_follower(bus, shards) as follower:
        await follower.resume(memory.log_offset)
        while True:
            entries = await follower.read(READ_MAX, IDLE_S)
            if not entries:
                continue
            statements: list[KeptStatement] = []
            alarms: list[Alarm] = []
            for entry_read in entries:
                kept_here, found = _step(watch, entry_read, parse=parse)
                statements += kept_here
                alarms += found
            named = [(alarm.id, body_of(alarm)) for alarm in alarms]
            # A crash before this reads the same entries again; after it, the next start tells the alarms.
            await store.take(entries[-1].log_offset, statements, named, watch.over())
            teller.news.set()


def _step(
    watch: ShipmentWatch, entry: LogEntry, *, parse: Callable[[bytes], Statement]
) -> tuple[list[KeptStatement], list[Alarm]]:
    """Take a log entry; return what of it matters, and what it gives rise to; equivocations count nothing."""
    placed = entry.placed
    if placed is None or placed.manifest.shard == 0:
        return [], []
    kept: list[KeptStatement] = []
    alarms: list[Alarm] = []
    for leaf, raw in enumerate(placed.leaves[1:], 1):
        if leaf in placed.manifest.equivocations:
            continue
        names, found = watch.take(parse(raw), entry.index, leaf)
        kept += [KeptStatement(name, raw, entry.index, leaf) for name in names]
        alarms += found
    return kept, alarms
