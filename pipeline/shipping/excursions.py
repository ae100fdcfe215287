"""Excursions: how long a quantity was outside a limit, as a proven minimum and a possible maximum.

Proven is the time from the first reading outside to the last one, less the gaps in between: what nobody
read proves nothing. Possible is the time from the last reading inside before it to the first one inside
behind it. An excursion is one as long as no reading inside lies between: a reading ends it, never that the
readings ended. A gap between two readings inside may hide one as long as the gap.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from pipeline.shipping.profile import Limit
from pipeline.shipping.series import Gap, Series


@dataclass(slots=True)
class Excursion:
    """One time outside a limit; times in µs.

    `first_us` and `last_us` are of the first and last reading outside, `after_us` and `before_us` of their
    neighbours inside: it began after the one and ended before the other. `unbroken_us` is the longest proven
    stretch without a gap, `proven_min_us` the sum of all. `ended`: a reading shows that it did.
    """

    limit: Limit
    after_us: int
    first_us: int
    peak: Decimal
    last_us: int = 0
    before_us: int = 0
    proven_min_us: int = 0
    unbroken_us: int = 0
    ended: bool = False
    gaps: list[Gap] = field(default_factory=list[Gap])

    @property
    def possible_max_us(self) -> int:
        """How long it can have been at most."""
        return self.before_us - self.after_us


@dataclass(frozen=True, slots=True)
class Outside:
    """All excursions beyond one limit, and the gaps that may hide others."""

    excursions: tuple[Excursion, ...]
    hiding: tuple[Gap, ...]

    @property
    def single_us(self) -> tuple[int, int]:
        """The longest one: proven without a break, and possible."""
        proven = max((excursion.unbroken_us for excursion in self.excursions), default=0)
        possible = [excursion.possible_max_us for excursion in self.excursions]
        return proven, max(possible + [gap.length_us for gap in self.hiding], default=0)

    @property
    def cumulative_us(self) -> tuple[int, int]:
        """All of them together: proven and possible."""
        possible = sum(excursion.possible_max_us for excursion in self.excursions)
        proven = sum(excursion.proven_min_us for excursion in self.excursions)
        return proven, possible + sum(gap.length_us for gap in self.hiding)


def find_excursions(series: Series, limit: Limit) -> Outside:
    """Return what was, or may have been, outside the limit, ascending in time."""
    found: list[Excursion] = []
    hiding: list[Gap] = []
    current: Excursion | None = None
    stretch_us = 0
    for index, reading in enumerate(series.readings):
        gap = series.gaps.get(index)
        if not limit.outside(reading.value):
            if current:
                _end(current, gap, reading.time_us)
                current.ended, current = True, None
            elif gap:
                hiding.append(gap)
            continue
        if current is None:
            current = Excursion(limit, series.edge_us(index - 1), reading.time_us, reading.value)
            found.append(current)
            stretch_us = 0
        elif gap is None:
            step_us = reading.time_us - current.last_us
            stretch_us += step_us
            current.proven_min_us += step_us
            current.unbroken_us = max(current.unbroken_us, stretch_us)
        else:
            stretch_us = 0
        if gap:
            current.gaps.append(gap)
        current.last_us = reading.time_us
        current.peak = limit.worse(current.peak, reading.value)
    last = series.gaps.get(len(series.readings))
    if current:
        _end(current, last, series.to_us)
    elif last:
        hiding.append(last)
    return Outside(tuple(found), tuple(hiding))


def _end(excursion: Excursion, gap: Gap | None, before_us: int) -> None:
    excursion.before_us = before_us
    if gap:
        excursion.gaps.append(gap)
