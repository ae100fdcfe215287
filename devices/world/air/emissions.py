"""What the sources emit from minute to minute: spells on and off, rates that wander."""

from math import exp

from devices.world.air.places import Schedule, SourceSpec
from devices.world.air.wandering import Wandering
from devices.world.draw import stream


class Emission:
    """One source's course in time; every source draws for itself, whatever the others do."""

    def __init__(self, source: SourceSpec, seed: int, start_s: float) -> None:
        self._schedule: Schedule = source.schedule
        self._draw = stream(seed, "air", "source", source.name)
        self._wandering = Wandering(self._draw, self._schedule.rate_time_s)
        both_s = self._schedule.on_s + self._schedule.off_s
        self._on = self._schedule.off_s == 0.0 or float(self._draw.uniform()) < self._schedule.on_s / both_s
        self._until_s = start_s + self._spell_s()
        self._time_s = start_s

    def advance(self, time_s: float, duration_s: float) -> float:
        """Return the mean of the rate over `duration_s` from a time on, relative to its mean while on."""
        wandered = self._wandering.advance(time_s - self._time_s)
        self._time_s = time_s
        sd = self._schedule.rate_sd
        return (
            exp(sd * float(wandered[0]) - 0.5 * sd**2)
            * self._open_s(time_s, time_s + duration_s)
            / duration_s
        )

    def _open_s(self, start_s: float, end_s: float) -> float:
        """Return for how many seconds it emits between two times."""
        open_s = 0.0
        while start_s < end_s:
            until_s = min(self._until_s, end_s)
            if self._on:
                open_s += self._inside_s(start_s, until_s)
            start_s = until_s
            if start_s == self._until_s:
                self._on = not self._on or self._schedule.off_s == 0.0
                self._until_s += self._spell_s()
        return open_s

    def _inside_s(self, start_s: float, end_s: float) -> float:
        """Return how much of an interval lies inside the schedule's windows."""
        windows = self._schedule.windows_s
        if not windows:
            return end_s - start_s
        return sum(max(min(end_s, last_s) - max(start_s, first_s), 0.0) for first_s, last_s in windows)

    def _spell_s(self) -> float:
        mean_s = self._schedule.on_s if self._on else self._schedule.off_s
        return float(self._draw.exponential(mean_s)) if self._schedule.off_s > 0.0 else 1e9
