"""The same judgement on the stream: readings come in one by one, and at any time it is that of the whole.

What comes in order costs the same however long the trip is. What comes late, between others, or makes the
trip long enough for another recording interval, is judged anew together with all before it.
"""

from bisect import insort
from collections.abc import Callable, Iterable

from pipeline.shipping.excursions import ExcursionFinder
from pipeline.shipping.profile import Profile
from pipeline.shipping.series import Gap, Reading, Series, StatementPlace, gap_between, reading_order
from pipeline.shipping.verdict import Judgement, allowed_interval, judge_known


class _Stream:
    """One quantity: its readings and gaps so far, and what was outside each of its limits."""

    __slots__ = ("finders", "gaps", "readings")

    def __init__(self, finders: list[ExcursionFinder]) -> None:
        self.readings: list[Reading] = []
        self.gaps: dict[int, Gap] = {}
        self.finders = finders


class LiveTrip:
    """A trip that has begun and may go on: what one place among the goods has recorded up to now."""

    def __init__(self, profile: Profile, from_us: int) -> None:
        self.profile = profile
        self.from_us = self.to_us = from_us
        self._all: dict[str, list[Reading]] = {quantity: [] for quantity in profile.quantities}
        self._sequences: list[StatementPlace] = []
        self._known: set[StatementPlace] = set()
        self._interval_s = 0
        self._allowed: dict[str, Callable[[Reading | None, Reading | None], int]] = {}
        self._streams: dict[str, _Stream] = {}
        self._begin()

    def take(self, readings: Iterable[tuple[str, Reading]]) -> None:
        """Take readings, each with its quantity, in any order; those before the trip are not of it."""
        anew = False
        fresh: list[tuple[str, Reading]] = []
        for quantity, reading in readings:
            if reading.sequence is not None:
                anew |= self._note((reading.logger, reading.epoch, reading.sequence))
            if reading.time_us >= self.from_us:
                self.to_us = max(self.to_us, reading.time_us)
                if quantity in self._all:
                    fresh.append((quantity, reading))
        fresh.sort(key=lambda item: reading_order(item[1]))
        for quantity, reading in fresh:
            held = self._all[quantity]
            if held and reading_order(reading) < reading_order(held[-1]):
                insort(held, reading, key=reading_order)
                anew = True
            else:
                held.append(reading)
        if anew or self._interval_s != self.profile.recording.interval_s(self.to_us - self.from_us):
            self._begin()
            return
        for quantity, reading in fresh:
            self._append(quantity, reading)

    def finder(self, index: int) -> ExcursionFinder:
        """Return what finds excursions beyond the profile's limit of this number."""
        limit = self.profile.limit[index]
        finders = self._streams[limit.quantity].finders
        return next(finder for finder in finders if finder.limit == limit)

    def latest(self, quantity: str, since_us: int) -> list[Reading]:
        """Return the readings of a quantity since a time, ascending."""
        held = self._streams[quantity].readings
        at = len(held)
        while at and held[at - 1].time_us >= since_us:
            at -= 1
        return held[at:]

    def judgement(self, to_us: int | None = None) -> Judgement:
        """Return the judgement of the trip up to its last reading, or to a time that is not before it."""
        end_us = self.to_us if to_us is None else to_us
        if self.profile.recording.interval_s(end_us - self.from_us) != self._interval_s:
            self._begin(end_us)
        span_us = self.from_us, end_us
        known: dict[str, Series] = {}
        last: dict[str, Gap | None] = {}
        for quantity, stream in self._streams.items():
            readings, gaps = stream.readings, dict(stream.gaps)
            before = readings[-1] if readings else None
            last[quantity] = gap = gap_between(
                before, None, span_us, self._sequences, self._allowed[quantity]
            )
            if gap:
                gaps[len(readings)] = gap
            known[quantity] = Series(tuple(readings), *span_us, gaps)
        outsides = [
            self.finder(index).so_far(end_us, last[limit.quantity])
            for index, limit in enumerate(self.profile.limit)
        ]
        return judge_known(known, outsides, span_us, self.profile)

    def _note(self, place: StatementPlace) -> bool:
        """Note that a statement is there; tell whether it lies before another one: it may fill a gap."""
        if place in self._known:
            return False
        self._known.add(place)
        late = bool(self._sequences) and place < self._sequences[-1]
        if late:
            insort(self._sequences, place)
        else:
            self._sequences.append(place)
        return late

    def _begin(self, to_us: int | None = None) -> None:
        """Judge all readings anew, as those of a trip up to this time."""
        trip_us = (self.to_us if to_us is None else to_us) - self.from_us
        self._interval_s = self.profile.recording.interval_s(trip_us)
        self._allowed = {
            quantity: allowed_interval(self.profile, quantity, trip_us)
            for quantity in self.profile.quantities
        }
        self._streams = {
            quantity: _Stream(
                [
                    ExcursionFinder(limit, self.from_us)
                    for limit in self.profile.limit
                    if limit.quantity == quantity
                ]
            )
            for quantity in self.profile.quantities
        }
        for quantity, readings in self._all.items():
            for reading in readings:
                self._append(quantity, reading)

    def _append(self, quantity: str, reading: Reading) -> None:
        stream = self._streams[quantity]
        before = stream.readings[-1] if stream.readings else None
        span_us = self.from_us, self.to_us
        gap = gap_between(before, reading, span_us, self._sequences, self._allowed[quantity])
        if gap:
            stream.gaps[len(stream.readings)] = gap
        stream.readings.append(reading)
        for finder in stream.finders:
            finder.take(reading, gap)
