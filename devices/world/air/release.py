"""Releasing particles: how many, where, and for how much of a source's emission each stands."""

from collections.abc import Sequence
from math import hypot, pi

import numpy as np
import numpy.typing as npt

from devices.world.air.boundary import Layer
from devices.world.air.particles import (
    AGE,
    AHEAD,
    COLUMNS,
    MINUTE_S,
    VARIANCE_H,
    VARIANCE_V,
    WEIGHT,
    Swarm,
    U,
    W,
    X,
    Y,
    Z,
)
from devices.world.air.places import Receptor, SourceSpec
from devices.world.air.rise import follow
from devices.world.air.turbulence import TOP_M, Table

SHARES = {"stack": 3.0, "small": 2.0, "corridor": 1.0}  # Of the particles; a corridor's is for a kilometre.
CROSSING_M = 3500.0  # A particle's way over the map.
ROAD_HALF_M, VEHICLES_M = 8.0, 3.0  # Where vehicles mix what they emit: across a road, and up.
SMALL_RADIUS_M = 3.0
BIN_M = 20.0
NEAR_M, NEAR_MORE = 60.0, 6.0  # Near receptors a corridor's particles stand closer, and each for less.

Values = npt.NDArray[np.float64]


class Corridor:
    """Draws places along a line, more of them where a receptor is near."""

    def __init__(self, source: SourceSpec, receptors: Sequence[Receptor]) -> None:
        assert source.end_m is not None, f"corridor {source.name} has no end"
        east_m, north_m = source.end_m[0] - source.x_m, source.end_m[1] - source.y_m
        self.length_m = hypot(east_m, north_m)
        self._source, self._east, self._north = source, east_m / self.length_m, north_m / self.length_m
        bins = max(int(self.length_m / BIN_M), 1)
        self._edges_m = np.linspace(0.0, self.length_m, bins + 1)
        middle_m = (self._edges_m[1:] + self._edges_m[:-1]) / 2.0
        density = np.ones(bins)
        for at in receptors:
            away_m = np.hypot(
                source.x_m + middle_m * self._east - at.x_m, source.y_m + middle_m * self._north - at.y_m
            )
            density = np.maximum(density, 1.0 + NEAR_MORE * np.exp(-0.5 * (away_m / NEAR_M) ** 2))
        self._density = density / density.mean()
        self._share = np.concatenate([[0.0], np.cumsum(density) / density.sum()])

    def place(self, draw: np.random.Generator, count: int) -> tuple[Values, Values, Values]:
        """Return x, y (m) and the weight of each place against evenly spread ones."""
        share = (np.arange(count) + draw.uniform(size=count)) / count
        along_m = np.interp(share, self._share, self._edges_m)
        inside = np.clip(np.searchsorted(self._edges_m, along_m, side="right") - 1, 0, self._density.size - 1)
        across_m = draw.uniform(-ROAD_HALF_M, ROAD_HALF_M, count)
        x_m = self._source.x_m + along_m * self._east - across_m * self._north
        y_m = self._source.y_m + along_m * self._north + across_m * self._east
        return x_m, y_m, 1.0 / self._density[inside]


class Releases:
    """Adds the particles of one minute after the other to a swarm."""

    def __init__(
        self,
        sources: Sequence[SourceSpec],
        receptors: Sequence[Receptor],
        capacity: int,
        draw: np.random.Generator,
    ) -> None:
        self._sources, self._capacity, self._draw = sources, capacity, draw
        self._corridors = {
            i: Corridor(source, receptors) for i, source in enumerate(sources) if source.kind == "corridor"
        }
        self._shares = np.array(
            [
                SHARES[source.kind] * (self._corridors[i].length_m / 1000.0 if i in self._corridors else 1.0)
                for i, source in enumerate(sources)
            ]
        )

    def add(
        self,
        swarm: Swarm,
        flying: int,
        slot: int,
        emitting: npt.NDArray[np.bool_],
        air: tuple[Layer, Table, float],
    ) -> int:
        """Add a minute's particles of the sources that emit; return how many are flying then.

        `air` is the boundary layer, its table and the temperature in degrees Celsius.
        """
        for source, count in enumerate(self._counts(flying, emitting, air[0])):
            if count == 0:
                continue
            new = slice(flying, flying + count)
            swarm.sources[new], swarm.slots[new] = source, slot
            swarm.particles[new] = self._particles(source, count, air)
            flying += count
        return flying

    def _counts(self, flying: int, emitting: npt.NDArray[np.bool_], layer: Layer) -> npt.NDArray[np.int64]:
        """Return how many particles each source gets: about so many that as many leave the map."""
        crossing_s = min(max(CROSSING_M / (1.5 * layer.speed_m_s + 0.3), 600.0), 5400.0)
        wanted = min(self._capacity * MINUTE_S / crossing_s, (self._capacity - flying) / 4.0)
        shares = self._shares * emitting
        counts = np.ceil(wanted * shares / max(float(shares.sum()), 1e-9)).astype(np.int64)
        assert flying + counts.sum() <= self._capacity, "more sources than room for particles"
        return counts

    def _particles(self, index: int, count: int, air: tuple[Layer, Table, float]) -> npt.NDArray[np.float32]:
        """Return (count, COLUMNS) particles of one source, released evenly over the minute."""
        source, draw = self._sources[index], self._draw
        new = np.zeros((count, COLUMNS), np.float32)
        new[:, U : W + 1] = draw.standard_normal((count, 3))
        new[:, AHEAD] = (np.arange(count) + draw.uniform(size=count)) * (MINUTE_S / count)
        new[:, WEIGHT] = MINUTE_S / count
        if source.kind == "corridor":
            new[:, X], new[:, Y], weights = self._corridors[index].place(draw, count)
            new[:, Z] = source.z_m + draw.uniform(0.0, VEHICLES_M, count)
            new[:, WEIGHT] *= weights
            new[:, VARIANCE_H], new[:, VARIANCE_V] = ROAD_HALF_M**2 / 3.0, VEHICLES_M**2 / 12.0
        elif source.stack is None:
            _in_disc(new, draw, (source.x_m, source.y_m, source.z_m), SMALL_RADIUS_M, (1.0, 0.0))
        else:
            layer, table, temperature_c = air
            away_m, z_m, radius_m, after_s = follow(source.stack, source.z_m, temperature_c, layer, table)
            east, north = (component / max(layer.speed_m_s, 1e-6) for component in layer.wind_m_s)
            place_m = (source.x_m + away_m * east, source.y_m + away_m * north, z_m)
            _in_disc(new, draw, place_m, radius_m, (east, north))
            new[:, AHEAD] += after_s
            new[:, AGE] = after_s
        new[:, Z] = np.clip(np.abs(new[:, Z]), 0.0, TOP_M)
        return new


def _in_disc(
    new: npt.NDArray[np.float32],
    draw: np.random.Generator,
    place_m: tuple[float, float, float],
    radius_m: float,
    along: tuple[float, float],
) -> None:
    """Place particles evenly in an upright disc across a direction."""
    away_m = radius_m * np.sqrt(draw.uniform(size=len(new)))
    angle = draw.uniform(0.0, 2.0 * pi, len(new))
    across_m = away_m * np.cos(angle)
    new[:, X] = place_m[0] - across_m * along[1]
    new[:, Y] = place_m[1] + across_m * along[0]
    new[:, Z] = place_m[2] + away_m * np.sin(angle)
    new[:, VARIANCE_H] = new[:, VARIANCE_V] = radius_m**2 / 4.0
