"""Water and what it carries in a graph of channels: a kinematic wave and mixing cells, explicit in time.

Cells of about 50 m stand in a row, reach after reach. Flow follows Manning's law in a wide rectangle.
Substances move with the flow (upwind), spread along it, and exchange with dead water at the banks; the
scheme's own numerical dispersion, u dx (1 - C) / 2, is taken off what is asked. Mass changes only through
the ends, through `add` and through whoever changes `concentration`; see Chapra, Surface Water-Quality
Modeling, 1997, lecture 12.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CELL_M = 50.0
STEP_S = 6.0
MANNING = 0.03

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reach:
    """One reach; `start` and `end` name the nodes at which reaches meet."""

    name: str
    start: str
    end: str
    length_m: float
    width_m: float
    slope: float
    dispersion_m2_s: float
    dead_share: float  # Dead water over flowing water.
    exchange_per_s: float


class Channel:
    """The state of all reaches: wetted area A, and mass of each substance in flowing and in dead water."""

    def __init__(self, reaches: list[Reach], heads_m3_s: dict[str, float], concentration: FloatArray) -> None:
        """Begin in steady flow from `heads_m3_s` (node: flow), with one (substances,) concentration."""
        self.reaches = reaches
        counts = [max(3, round(reach.length_m / CELL_M)) for reach in reaches]
        self._counts: IntArray = np.array(counts, dtype=np.int64)
        self._last: IntArray = np.cumsum(self._counts) - 1
        self._first: IntArray = self._last - self._counts + 1
        self._heads = np.array([reach.start in heads_m3_s for reach in reaches])
        self._joins = np.array([[float(up.end == reach.start) for up in reaches] for reach in reaches])
        self._outlets = np.array([all(up.end != reach.start for reach in reaches) for up in reaches])
        self.cell_m = self._spread([reach.length_m / n for reach, n in zip(reaches, counts, strict=True)])
        self._alpha = self._spread(
            [reach.slope**0.5 / MANNING / reach.width_m ** (2 / 3) for reach in reaches]
        )
        self._dispersion = self._spread([reach.dispersion_m2_s for reach in reaches])
        self._exchange = self._spread([reach.exchange_per_s for reach in reaches])
        self._inner = np.ones(len(self.cell_m))
        self._inner[self._last] = 0.0

        flow = np.array([heads_m3_s.get(reach.start, 0.0) for reach in reaches])
        for _ in reaches:
            flow = np.array([heads_m3_s.get(reach.start, 0.0) for reach in reaches]) + self._joins @ flow
        self.area_m2 = (self._spread(list(flow)) / self._alpha) ** 0.6
        self.dead_m3 = self.area_m2 * self.cell_m * self._spread([reach.dead_share for reach in reaches])
        self.concentration = np.tile(concentration, (len(self.cell_m), 1))
        self.dead_concentration = self.concentration.copy()

    def _spread(self, of_reach: list[float]) -> FloatArray:
        return np.repeat(np.array(of_reach), self._counts)

    def cell(self, name: str, share: float) -> int:
        """Return the cell a share of the way down a reach."""
        i = next(i for i, reach in enumerate(self.reaches) if reach.name == name)
        return int(self._first[i] + min(share, 0.999) * self._counts[i])

    def flow_m3_s(self) -> FloatArray:
        """Return the flow out of each cell."""
        return np.asarray(self._alpha * self.area_m2 ** (5 / 3))

    def mass(self) -> FloatArray:
        """Return the mass of each substance in flowing and dead water, (substances,)."""
        flowing = (self.area_m2 * self.cell_m) @ self.concentration
        return np.asarray(flowing + self.dead_m3 @ self.dead_concentration)

    def add(self, cell: int, mass: FloatArray) -> None:
        """Mix a mass of each substance, (substances,), into one cell."""
        self.concentration[cell] += mass / (self.area_m2[cell] * self.cell_m[cell])

    def step(self, heads_m3_s: FloatArray, heads_concentration: FloatArray) -> FloatArray:
        """Advance by STEP_S and return the mass that left through the outlets, (substances,).

        Args:
            heads_m3_s: (heads,) flow into each head reach, in the order of `reaches`.
            heads_concentration: (heads, substances) what it carries.
        """
        flow = self.flow_m3_s()
        carried = flow[:, None] * self.concentration
        flow_in, carried_in = np.empty_like(flow), np.empty_like(carried)
        flow_in[1:], carried_in[1:] = flow[:-1], carried[:-1]
        flow_in[self._first] = self._joins @ flow[self._last]
        carried_in[self._first] = self._joins @ carried[self._last]
        flow_in[self._first[self._heads]] = heads_m3_s
        carried_in[self._first[self._heads]] = heads_m3_s[:, None] * heads_concentration

        gain = carried_in - carried
        speed = flow / self.area_m2
        numerical = 0.5 * speed * (self.cell_m - speed * STEP_S)
        mixing = np.maximum(self._dispersion - numerical, 0.0) * self.area_m2 / self.cell_m * self._inner
        along = mixing[:-1, None] * (self.concentration[:-1] - self.concentration[1:])
        gain[:-1] -= along
        gain[1:] += along
        into_dead = (self._exchange * self.area_m2 * self.cell_m)[:, None] * (
            self.concentration - self.dead_concentration
        )
        mass = self.concentration * (self.area_m2 * self.cell_m)[:, None] + STEP_S * (gain - into_dead)
        self.area_m2 = self.area_m2 + STEP_S * (flow_in - flow) / self.cell_m
        self.concentration = mass / (self.area_m2 * self.cell_m)[:, None]
        self.dead_concentration += STEP_S * into_dead / self.dead_m3[:, None]
        leaving = self._last[self._outlets]
        return np.asarray(STEP_S * carried[leaving].sum(axis=0))
