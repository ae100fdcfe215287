"""Values that each day draws anew, gliding from noon to noon."""

from functools import lru_cache

from devices.world.air.config import Range
from devices.world.air.spells import DAY_S
from devices.world.draw import stream


class Daily:
    """One such value; the day is the local one."""

    def __init__(self, seed: int, name: str, between: Range, utc_offset_s: float) -> None:
        self._seed, self._name, self._between, self._utc_offset_s = seed, name, between, utc_offset_s
        self._noons = lru_cache(maxsize=4)(self._draw)

    def at(self, time_s: float) -> float:
        """Return the value at a time."""
        noon, past = divmod((time_s + self._utc_offset_s) / DAY_S - 0.5, 1.0)
        return (1.0 - past) * self._noons(int(noon)) + past * self._noons(int(noon) + 1)

    def _draw(self, day: int) -> float:
        return float(stream(self._seed, "air", self._name, day).uniform(*self._between))
