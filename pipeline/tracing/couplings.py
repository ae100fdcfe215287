"""Couplings of readings with places around their sensors: all at once, or kept and added to by the minute."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.tracing import puffs
from pipeline.tracing.problem import Floats, Integers, Wind
from pipeline.tracing.receivers import Receivers

UNSETTLED_S = 900.0  # Before the last row of wind: its mean, which gives the stability, will still change.

Field = NDArray[np.float32]  # (rows, rings, spokes)


@dataclass(frozen=True, slots=True)
class Air:
    """What tracks of air depend on."""

    arrivals_s: Floats  # (t,)
    wind: Wind
    weather: Floats  # (n, puffs.COLUMNS)
    heights_m: Floats  # (h,) of the source
    rings_m: Floats
    spokes: int
    puff_step: float

    def couple(
        self,
        receivers: Receivers,
        first: int,
        row: Integers,
        weight: Floats,
        rows: int,
        last: int | None = None,
    ) -> Field:
        """Return (rows, rings, spokes) of the arrivals from `first` to before `last`."""
        stop = self.arrivals_s.size if last is None else last
        readings = receivers.first_reading[first : stop + 1]
        part = slice(readings[0], readings[-1])
        towards = np.radians(self.wind.from_deg + 180.0)
        field: Field = puffs.couple(
            self.arrivals_s[first:stop], readings - readings[0], receivers.reading_point[part], row[part],
            weight[part], receivers.points_m[:, 2].copy(), self.wind.start_s, np.sin(towards),
            np.cos(towards), self.weather, self.heights_m, self.rings_m, self.spokes, self.puff_step, rows,
        )  # fmt: skip
        return field


class Kept:
    """Couplings times seconds, by weather, of arrivals that will not change any more."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, int], Field] = {}  # (blocks · points, rings, spokes), block after block
        self._settled_s: dict[tuple[int, int], float] = {}

    def field(
        self, weather: tuple[int, int], air: Air, receivers: Receivers, block: Integers, held_s: Floats
    ) -> Field:
        """Return (rows, rings, spokes) couplings; only air that has come since is tracked back.

        Args:
            weather: Which.
            air: All of it.
            receivers: Where readings are taken.
            block: (targets,) block of each averaged reading; blocks begin at the same times as before.
            held_s: (targets,) seconds measured in each.
        """
        points = receivers.points_m.shape[0]
        target = np.repeat(np.arange(block.size), np.diff(receivers.first_row, append=receivers.rows))
        place = block[target] * points + receivers.point  # (rows,) where each row is kept
        row = place[receivers.reading_row]
        weight = receivers.reading_weight * held_s[target][receivers.reading_row]
        size = (int(block.max()) + 1) * points

        before = self._settled_s.get(weather, -np.inf)
        first = int(np.searchsorted(air.arrivals_s, before))
        settled = int(np.searchsorted(air.arrivals_s, air.wind.start_s[-1] - UNSETTLED_S))
        sums = self._sums.get(weather)
        if sums is None or sums.shape[0] < size:
            grown = np.zeros((size, air.rings_m.size, air.spokes), np.float32)
            if sums is not None:
                grown[: sums.shape[0]] = sums
            sums = grown
        new = row[receivers.first_reading[first] :]
        low = int(new.min()) // points * points if new.size else size - points
        if settled > first:
            sums[low:] += air.couple(receivers, first, row - low, weight, sums.shape[0] - low, settled)
            self._settled_s[weather] = float(air.arrivals_s[settled - 1]) + 1e-6
        self._sums[weather] = sums
        total = sums[place]
        start = max(settled, first)
        late = air.couple(receivers, start, row - low, weight, size - low)
        open_ = place >= low
        total[open_] += late[place[open_] - low]
        total /= held_s[target][:, None, None].astype(np.float32)
        return np.asarray(total, np.float32)
