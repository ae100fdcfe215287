"""Spells: things that happen now and then, last a while and are drawn day by day (fronts, calms, rain)."""

from dataclasses import dataclass
from functools import lru_cache

from devices.world.air.config import Range
from devices.world.draw import stream

DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Spell:
    """One of them. `draws` holds one value from each range that its kind was given."""

    start_s: float
    end_s: float
    draws: tuple[float, ...]

    def progress(self, time_s: float) -> float:
        """Return how much of it lies behind, from 0 to 1, beginning and ending gently."""
        x = min(max((time_s - self.start_s) / (self.end_s - self.start_s), 0.0), 1.0)
        return x * x * (3.0 - 2.0 * x)

    def presence(self, time_s: float, ramp_s: float) -> float:
        """Return how much of it there is, from 0 to 1, rising from its start and falling to its end."""
        return min(max(min(time_s - self.start_s, self.end_s - time_s) / ramp_s, 0.0), 1.0)


class Calendar:
    """The spells of one kind: each UTC day draws a mean number, and that many of them, by itself."""

    def __init__(self, seed: int, kind: str, per_day: Range, duration_s: Range, *ranges: Range) -> None:
        self._seed, self._kind, self._per_day, self._ranges = seed, kind, per_day, (duration_s, *ranges)
        self._days = lru_cache(maxsize=8)(self._draw)

    def near(self, time_s: float) -> tuple[Spell, ...]:
        """Return the spells that began on the day of a time or on the day before."""
        today = int(time_s // DAY_S)
        return self._days(today - 1) + self._days(today)

    def _draw(self, day: int) -> tuple[Spell, ...]:
        draw = stream(self._seed, "air", self._kind, day)
        spells = []
        for _ in range(draw.poisson(draw.uniform(*self._per_day))):
            start_s = (day + draw.uniform()) * DAY_S
            duration_s, *others = (float(draw.uniform(*between)) for between in self._ranges)
            spells.append(Spell(start_s, start_s + duration_s, tuple(others)))
        return tuple(sorted(spells, key=lambda spell: spell.start_s))
