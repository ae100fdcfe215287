"""Alarms: a limit is about to be reached, is reached, is over. What begins and ends them are readings alone.

An alarm begins when what is proven reaches the limit, and ends with a reading inside: that a sensor fell
silent ends nothing. A warning comes before: when values are nearer to the boundary than they were for hours,
the straight line through the last of them leads across it, and the time allowed beyond it would be used up
within the horizon. A compressor that switches on and off moves all the time, but not out of its range.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

from pipeline.shipping.excursions import Excursion, ExcursionFinder
from pipeline.shipping.live import LiveTrip
from pipeline.shipping.profile import Limit
from pipeline.shipping.series import Reading

HORIZON_S = 1800  # A warning comes no earlier than this before the limit would be reached,
TREND_S = 900  # and rests on the readings of this time, which span at least
TREND_SPAN_S = 600  # this much, and are at least
TREND_READINGS = 5  # so many.
USUAL_S = 4 * 3600  # What is usual is what was read in this time before those,
USUAL_LEAST_S = 3600  # if it is this much at least; and what is not lies nearer to the boundary by
UNUSUAL = 0.25  # this part of the way that was left.


class Phase(StrEnum):
    """What an alarm says of its limit."""

    WARNING = "warning"
    BEGUN = "begun"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing to be told.

    Attributes:
        phase: What happened.
        shipment: Whose limit it is.
        loggers: Who read it.
        limit: The boundary, in words, and how long beyond it is allowed.
        severity: Of the limit.
        time_us: Of the reading that shows it.
        value: What was read.
        since_us: When the excursion began, by its first reading; of a warning before one, the reading's time.
        reached_us: Of a warning: when the limit would be reached.
        holder: Who holds the goods.
    """

    phase: Phase
    shipment: str
    loggers: tuple[str, ...]
    limit: str
    severity: str
    time_us: int
    value: Decimal
    since_us: int
    reached_us: int | None
    holder: str | None

    @property
    def id(self) -> str:
        """Its name: the same for what is found twice."""
        parts = (self.shipment, *self.loggers, self.limit, self.phase.value, str(self.since_us))
        return "alarm_" + sha256("\n".join(parts).encode()).hexdigest()[:32]


class Trend(NamedTuple):
    """The least-squares line through the last readings: slope a second, and value at the last one, `last`."""

    last: Reading
    first_us: int
    slope: float
    now: float

    def leads_outside(self, limit: Limit) -> bool:
        """Tell whether the line moves towards what is beyond the boundary."""
        return self.slope > 0 if limit.when in (">", ">=") else self.slope < 0

    def crossing_us(self, limit: Limit) -> int | None:
        """Return when the line crosses the boundary; None where it does not."""
        if not self.leads_outside(limit):
            return None
        # From the line, not from the last reading: one reading is noise.
        return self.last.time_us + max(0, int((float(limit.value) - self.now) / self.slope * 1e6))


@dataclass(slots=True)
class _LimitState:
    """What was told of a limit: a warning, or that its alarm began, and since when."""

    warned: bool = False
    begun_us: int | None = None


class AlarmWatch:
    """Watches one trip for alarms; `step` after readings were taken tells what is new."""

    def __init__(self, shipment: str, loggers: Sequence[str], trip: LiveTrip) -> None:
        self.trip = trip
        self._shipment = shipment
        self._loggers = tuple(loggers)
        self._states = [_LimitState() for _ in trip.profile.limit]

    def take(self, readings: Iterable[tuple[str, Reading]], holder: str | None) -> list[Alarm]:
        """Take readings into the trip, one time after the other, and return what they give rise to."""
        moments: dict[int, list[tuple[str, Reading]]] = {}
        for quantity, reading in readings:
            moments.setdefault(reading.time_us, []).append((quantity, reading))
        alarms: list[Alarm] = []
        for _, taken in sorted(moments.items()):
            self.trip.take(taken)
            quantities = {quantity for quantity, _ in taken}
            alarms += self._step(quantities, holder)
        return alarms

    def _step(self, quantities: set[str], holder: str | None) -> list[Alarm]:
        found: list[Alarm] = []
        trends = {quantity: trend_of(self.trip, quantity) for quantity in quantities}
        for index, (limit, state) in enumerate(zip(self.trip.profile.limit, self._states, strict=True)):
            trend = trends.get(limit.quantity)
            told = self._tell(state, self.trip.finder(index), trend) if trend else None
            if trend is not None and told is not None:
                found.append(self._alarm(limit, trend.last, holder, *told))
        return found

    def _tell(
        self, state: _LimitState, finder: ExcursionFinder, trend: Trend
    ) -> tuple[Phase, int, int | None] | None:
        """Return what is new about a limit: its phase, since when, and when it would be reached."""
        latest, limit = finder.latest, finder.limit
        lasting = latest if latest is not None and not latest.ended else None
        if state.begun_us is not None:
            if lasting is not None:
                return None
            begun_us, state.begun_us, state.warned = state.begun_us, None, False
            return Phase.ENDED, begun_us, None
        if lasting is not None and is_reached(limit, lasting, finder.proven_us):
            state.begun_us = lasting.first_us
            return Phase.BEGUN, lasting.first_us, None
        if state.warned:
            state.warned = lasting is not None or trend.leads_outside(limit)
            return None
        reached_us = foresee(limit, trend, lasting, finder.proven_us)
        if reached_us is None or (lasting is None and is_usual(self.trip, limit, trend)):
            return None
        state.warned = True
        return Phase.WARNING, lasting.first_us if lasting else trend.last.time_us, reached_us

    def _alarm(
        self,
        limit: Limit,
        last: Reading,
        holder: str | None,
        phase: Phase,
        since_us: int,
        reached_us: int | None,
    ) -> Alarm:
        return Alarm(
            phase,
            self._shipment,
            self._loggers,
            limit_words(limit),
            limit.severity.value,
            last.time_us,
            last.value,
            since_us,
            reached_us,
            holder,
        )


def limit_words(limit: Limit) -> str:
    """Return a limit with how long beyond it is allowed."""
    kinds = (("at one time", limit.single_s), ("together", limit.cumulative_s))
    allowed = [f"{seconds} s {kind}" for kind, seconds in kinds if seconds is not None]
    return f"{limit.words}, {' or '.join(allowed)}"


def is_reached(limit: Limit, lasting: Excursion, proven_us: int) -> bool:
    """Tell whether what is proven of a lasting excursion, or of all together, reaches the limit."""
    single = limit.single_s is not None and lasting.unbroken_us >= limit.single_s * 1_000_000
    return single or (limit.cumulative_s is not None and proven_us >= limit.cumulative_s * 1_000_000)


def foresee(limit: Limit, trend: Trend, lasting: Excursion | None, proven_us: int) -> int | None:
    """Return when the limit will be reached by the trend, None where that is not within the horizon.

    Args:
        limit: The limit.
        trend: That of its quantity.
        lasting: The excursion that lasts, if one does.
        proven_us: How long all excursions lasted together, proven.
    """
    now_us = trend.last.time_us
    crossing_us = now_us if lasting else trend.crossing_us(limit)
    if crossing_us is None:
        return None
    single_us = None if limit.single_s is None else limit.single_s * 1_000_000
    together_us = None if limit.cumulative_s is None else limit.cumulative_s * 1_000_000
    left_us = [
        allowed_us - used_us
        for allowed_us, used_us in (
            (single_us, lasting.unbroken_us if lasting else 0),
            (together_us, proven_us),
        )
        if allowed_us is not None
    ]
    reached_us = crossing_us + max(0, min(left_us))
    return reached_us if reached_us - now_us <= HORIZON_S * 1_000_000 else None


def is_usual(trip: LiveTrip, limit: Limit, trend: Trend) -> bool:
    """Tell whether values were about as near to the boundary before, or too little is known to say."""
    until_us = trend.first_us
    before = [
        reading
        for reading in trip.latest(limit.quantity, until_us - USUAL_S * 1_000_000)
        if reading.time_us < until_us
    ]
    if not before or until_us - before[0].time_us < USUAL_LEAST_S * 1_000_000:
        return True
    values = [reading.value for reading in before]
    boundary = float(limit.value)
    nearest = float(max(values) if limit.when in (">", ">=") else min(values))
    return abs(boundary - trend.now) >= abs(boundary - nearest) * (1 - UNUSUAL)


def trend_of(trip: LiveTrip, quantity: str) -> Trend | None:
    """Return the trend of a quantity up to its last reading; None where there is none."""
    recent = trip.latest(quantity, trip.to_us - TREND_S * 1_000_000)
    if not recent:
        return None
    first, last = recent[0], recent[-1]
    if len(recent) < TREND_READINGS or last.time_us - first.time_us < TREND_SPAN_S * 1_000_000:
        return Trend(last, first.time_us, 0.0, float(last.value))
    times = [(reading.time_us - last.time_us) / 1e6 for reading in recent]
    values = [float(reading.value) for reading in recent]
    mean_time, mean_value = sum(times) / len(recent), sum(values) / len(recent)
    spread = sum((time_s - mean_time) ** 2 for time_s in times)
    slope = sum((t - mean_time) * (v - mean_value) for t, v in zip(times, values, strict=True)) / spread
    return Trend(last, first.time_us, slope, mean_value - slope * mean_time)
