"""The large buildings whose wakes are drawn one by one; the same for every seed, as the map is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

import numpy as np
import numpy.typing as npt

from devices.world.air.config import AirConfig, Street

_MAP_SEED = 32473
SIDE_M = (30.0, 110.0)
HEIGHT_M = (14.0, 36.0)
APART_M = 10.0


@dataclass(frozen=True, slots=True)
class Building:
    """A box on the ground: its middle, its sides to the east and north, its height."""

    x_m: float
    y_m: float
    east_m: float
    north_m: float
    height_m: float


def lay_out(config: AirConfig, clear: Sequence[tuple[float, float, float]]) -> list[Building]:
    """Return buildings off the streets and apart; `clear` holds points: x, y, how far they keep off, m."""
    draw = np.random.default_rng(_MAP_SEED)
    count = config.surface.large_buildings
    middles = draw.uniform((0.0, 0.0), (config.width_m, config.height_m), (count, 2))
    halves = draw.uniform(*SIDE_M, (count, 2)) / 2.0
    heights_m = draw.uniform(*HEIGHT_M, count)
    points = np.array(clear).reshape(-1, 3)
    kept: list[int] = []
    for i, (middle, half) in enumerate(zip(middles, halves, strict=True)):
        away_m = np.abs(points[:, :2] - middle) - half
        gaps_m = np.abs(middles[kept] - middle) - halves[kept] - half
        radius_m = float(np.hypot(*half))
        if not (
            np.any(away_m.max(axis=1) < points[:, 2])
            or np.any(gaps_m.max(axis=1) < APART_M)
            or any(_away_m(street, middle) < radius_m + street.width_m / 2.0 for street in config.streets)
        ):
            kept.append(i)
    return [Building(*map(float, (*middles[i], *(2.0 * halves[i]), heights_m[i]))) for i in kept]


def _away_m(street: Street, point: npt.NDArray[np.float64]) -> float:
    """Return the distance of a point from a street's axis."""
    east_m, north_m = street.x2_m - street.x1_m, street.y2_m - street.y1_m
    x_m, y_m = float(point[0]) - street.x1_m, float(point[1]) - street.y1_m
    share = (x_m * east_m + y_m * north_m) / (east_m**2 + north_m**2)
    share = min(max(share, 0.0), 1.0)
    return hypot(x_m - share * east_m, y_m - share * north_m)
