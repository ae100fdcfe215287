"""Excursions: how long a quantity was outside a limit, as a proven minimum and a possible maximum.

Proven is the time from the first reading outside to the last one, less the gaps in between: what nobody
read proves nothing. Possible is the time from the last reading inside before it to the first one inside
behind it. An excursion is one as long as no reading inside lies between: a reading ends it, never that the
readings ended. A gap between two readings inside may hide one as long as the gap.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal

from pipeline.shipping.profile import Limit
from pipeline.shipping.series import Gap, Reading, Series


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


class ExcursionFinder:
    """Finds what was outside one limit, reading by reading, ascending in time; `so_far` costs no more."""

    __slots__ = ("_before_us", "_found", "_hiding", "_open", "_proven_us", "_stretch_us", "limit")

    def __init__(self, limit: Limit, from_us: int) -> None:
        self.limit = limit
        self._before_us = from_us
        self._found: list[Excursion] = []
        self._hiding: list[Gap] = []
        self._open = False
        self._stretch_us = self._proven_us = 0

    def take(self, reading: Reading, gap: Gap | None) -> None:
        """Take the next reading, and the gap before it if there is one."""
        if not self.limit.outside(reading.value):
            if self._open:
                excursion = self._found[-1]
                _end(excursion, gap, reading.time_us)
                excursion.ended, self._open = True, False
            elif gap:
                self._hiding.append(gap)
        else:
            self._take_outside(reading, gap)
        self._before_us = reading.time_us

    def _take_outside(self, reading: Reading, gap: Gap | None) -> None:
        if not self._open:
            self._found.append(Excursion(self.limit, self._before_us, reading.time_us, reading.value))
            self._open, self._stretch_us = True, 0
        elif gap is None:
            excursion = self._found[-1]
            step_us = reading.time_us - excursion.last_us
            self._stretch_us += step_us
            excursion.proven_min_us += step_us
            self._proven_us += step_us
            excursion.unbroken_us = max(excursion.unbroken_us, self._stretch_us)
        else:
            self._stretch_us = 0
        excursion = self._found[-1]
        if gap:
            excursion.gaps.append(gap)
        excursion.last_us = reading.time_us
        excursion.peak = self.limit.worse(excursion.peak, reading.value)

    @property
    def latest(self) -> Excursion | None:
        """The last excursion; it lasts unless it has `ended`."""
        return self._found[-1] if self._found else None

    @property
    def proven_us(self) -> int:
        """How long all excursions lasted together, as far as that is proven."""
        return self._proven_us

    def so_far(self, to_us: int, last: Gap | None) -> Outside:
        """Return what there is if nothing else comes up to this time; `last` is the gap at the end."""
        found, hiding = tuple(self._found), tuple(self._hiding)
        if self._open:
            lasting = replace(found[-1], gaps=list(found[-1].gaps))
            _end(lasting, last, to_us)
            return Outside((*found[:-1], lasting), hiding)
        return Outside(found, (*hiding, last) if last else hiding)


def find_excursions(series: Series, limit: Limit) -> Outside:
    """Return what was, or may have been, outside the limit, ascending in time."""
    finder = ExcursionFinder(limit, series.from_us)
    for index, reading in enumerate(series.readings):
        finder.take(reading, series.gaps.get(index))
    return finder.so_far(series.to_us, series.gaps.get(len(series.readings)))


def _end(excursion: Excursion, gap: Gap | None, before_us: int) -> None:
    excursion.before_us = before_us
    if gap:
        excursion.gaps.append(gap)
