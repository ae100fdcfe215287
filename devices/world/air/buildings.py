"""The large buildings whose wakes are drawn one by one; the same for every seed, as the map is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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

    def gap_m(self, x_m: float, y_m: float) -> float:
        """Return the distance from its walls along the farther axis; negative inside."""
        return max(abs(x_m - self.x_m) - self.east_m / 2.0, abs(y_m - self.y_m) - self.north_m / 2.0)


def lay_out(config: AirConfig, clear: Sequence[tuple[float, float, float]]) -> list[Building]:
    """Return buildings off the streets and apart; `clear` holds points: x, y, how far they keep off, m."""
    draw = np.random.default_rng(_MAP_SEED)
    buildings: list[Building] = []
    for _ in range(config.surface.large_buildings):
        middle = draw.uniform((0.0, 0.0), (config.width_m, config.height_m))
        new = Building(*map(float, (*middle, *draw.uniform(*SIDE_M, 2), draw.uniform(*HEIGHT_M))))
        if not (
            any(_on_street(new, street) for street in config.streets)
            or any(new.gap_m(x_m, y_m) < away_m for x_m, y_m, away_m in clear)
            or any(_touch(new, other) for other in buildings)
        ):
            buildings.append(new)
    return buildings


def _touch(one: Building, other: Building) -> bool:
    apart_x = abs(one.x_m - other.x_m) - (one.east_m + other.east_m) / 2.0
    apart_y = abs(one.y_m - other.y_m) - (one.north_m + other.north_m) / 2.0
    return max(apart_x, apart_y) < APART_M


def _on_street(building: Building, street: Street) -> bool:
    """Say whether a building's circumference reaches into a street."""
    radius_m = float(np.hypot(building.east_m, building.north_m)) / 2.0
    return distance_m(street, building.x_m, building.y_m) < radius_m + street.width_m / 2.0


def distance_m(street: Street, x_m: float, y_m: float) -> float:
    """Return the distance of a point from a street's axis."""
    along = np.array([street.x2_m - street.x1_m, street.y2_m - street.y1_m])
    to_point = np.array([x_m - street.x1_m, y_m - street.y1_m])
    share = np.clip(to_point @ along / (along @ along), 0.0, 1.0)
    return float(np.hypot(*(to_point - share * along)))
