"""What streets and buildings do to the mean wind: channelling, cavities and wakes, made free of divergence.

Empirical shapes say where the air is slowed or turned (Roeckle 1990, as in Kaplan and Dinar 1996, Atmospheric
Environment 30, 4197): along a street its fronts turn away the wind across it; behind a building a cavity in
which the air stands nearly still, then a wake that fills up. A projection then adds what flows around and
over, so that the field conserves mass in every cell: particles that were spread evenly stay so. Buildings
slow the air inside them and are no walls to particles; above the lid their effect is neglected.
"""

from collections.abc import Sequence
from math import atan2, cos, hypot, pi, sin

import numpy as np
import numpy.typing as npt

from devices.world.air.boundary import speed_at
from devices.world.air.buildings import Building
from devices.world.air.compiled import compiled
from devices.world.air.config import AirConfig, Street
from devices.world.air.grid import CELL_M, Grid
from devices.world.air.quarters import turning

LAYER_M = 6.0
LAYERS = 6
LID_M = LAYERS * LAYER_M
DIRECTIONS = 8  # For which the field is prepared; others are mixed from the two beside them.
OPENING = 2.0 * pi / DIRECTIONS
UNIT_M_S = 1.0 / 4096.0  # Of the prepared fields: 16 bits hold 8 m/s; rounding leaves 1e-5 /s as divergence.
SHELTERED = 1.5  # Canopy heights up to which streets turn the wind.
AGAIN = 1.5
NEUTRAL_M = -1e5  # Obukhov length.

Field = npt.NDArray[np.float32]
Prepared = npt.NDArray[np.int16]
Cells = npt.NDArray[np.float64]


class Obstacles:
    """The disturbance of the wind near the ground, for any mean wind."""

    def __init__(self, config: AirConfig, buildings: Sequence[Building], grid: Grid) -> None:
        self._prepared = np.empty((DIRECTIONS, grid.columns, grid.rows, LAYERS, 3), np.int16)
        quarters = turning(config, grid)
        for sector in range(DIRECTIONS):
            disturbed = disturbance(config, buildings, quarters, grid, sector * OPENING)
            np.rint(disturbed / UNIT_M_S, out=disturbed)
            self._prepared[sector] = disturbed

    def at(self, wind_m_s: tuple[float, float]) -> Field:
        """Return (columns, rows, layers, 3): velocity added at the west, south and lower faces, m/s."""
        towards = atan2(wind_m_s[1], wind_m_s[0]) % (2.0 * pi)
        sector = int(towards / OPENING)
        past = towards - sector * OPENING
        # The two parts add up to the wind itself, so what is linear in it (streets) is exact.
        scale = hypot(*wind_m_s) / sin(OPENING) * UNIT_M_S
        first, second = (self._prepared[which % DIRECTIONS] for which in (sector, sector + 1))
        return mix(first, np.float32(scale * sin(OPENING - past)), second, np.float32(scale * sin(past)))


@compiled
def mix(first: Prepared, of_first: np.float32, second: Prepared, of_second: np.float32) -> Field:
    """Return the sum of two prepared fields, each times its factor."""
    mixed = np.empty(first.shape, np.float32)
    for place, (one, two) in enumerate(zip(first.flat, second.flat)):  # noqa: B905 (numba has no strict)
        mixed.flat[place] = one * of_first + two * of_second
    return mixed


def disturbance(
    config: AirConfig, buildings: Sequence[Building], quarters: Cells, grid: Grid, towards: float
) -> Field:
    """Return what is added to a wind of 1 m/s at 10 m that blows towards an angle (radians from east).

    `quarters` is what `quarters.turning` gives.
    """
    heights_m = LAYER_M * np.arange(0.5, LAYERS)
    profile = np.array([speed_at(config.surface, NEUTRAL_M, z) for z in heights_m])
    profile /= speed_at(config.surface, NEUTRAL_M, 10.0)
    along = np.array([cos(towards), sin(towards)])
    wind = np.zeros((2, grid.columns, grid.rows, LAYERS))
    wind += along[:, None, None, None] * profile
    undisturbed = wind.copy()
    sheltered = np.maximum(1.0 - heights_m / (SHELTERED * config.surface.canopy_m), 0.0)
    wind -= np.tensordot(along, quarters, axes=(0, 1))[:, :, :, None] * (profile * sheltered)
    in_street = [_in_street(street, grid) for street in config.streets]
    crowded = np.sum(in_street, axis=0) if in_street else np.zeros((grid.columns, grid.rows))
    for street, cells in zip(config.streets, in_street, strict=True):
        # Where streets cross, nothing is in the way.
        blocking = np.where(cells & (crowded == 1), config.surface.street_blocking, 0.0)
        _channel(wind, street, blocking[:, :, None] * sheltered)
    share = np.ones((grid.columns, grid.rows, LAYERS))
    for building in buildings:
        _shade(share, building, grid, along, heights_m)
    added = wind * share - undisturbed
    # What flows around buildings weakens what their shapes ask for: ask again for the rest.
    rest = added - np.moveaxis(project(added)[..., :2], 3, 0)
    added += AGAIN * rest * (share < 1.0)
    # The mean profile is that of the whole city already: taken from it in one place, given back in others.
    return project(added - added.mean(axis=(1, 2), keepdims=True))


def _in_street(street: Street, grid: Grid) -> npt.NDArray[np.bool_]:
    """Return (columns, rows): the cells whose middle lies in a street or at its edge."""
    east, north, length_m = _course(street)
    x_m = (grid.corners_x_m()[:-1] + CELL_M / 2.0 - street.x1_m)[:, None]
    y_m = (grid.corners_y_m()[:-1] + CELL_M / 2.0 - street.y1_m)[None, :]
    beside_m = np.abs(y_m * east - x_m * north)
    along_m = np.abs(x_m * east + y_m * north - length_m / 2.0)
    return (beside_m < (street.width_m + CELL_M) / 2.0) & (along_m < length_m / 2.0)


def _channel(wind: Cells, street: Street, blocking: Cells) -> None:
    """Take from the wind what blows across a street, a share of it in each cell."""
    east, north, _ = _course(street)
    taken = (wind[1] * east - wind[0] * north) * blocking
    wind[0] += taken * north
    wind[1] -= taken * east


def _course(street: Street) -> tuple[float, float, float]:
    """Return a street's direction (towards east and north) and its length in metres."""
    east_m, north_m = street.x2_m - street.x1_m, street.y2_m - street.y1_m
    length_m = hypot(east_m, north_m)
    return east_m / length_m, north_m / length_m, length_m


def _shade(share: Cells, building: Building, grid: Grid, along: Cells, heights_m: Cells) -> None:
    """Lower `share`, of the wind that is left, inside a building, in its cavity and in its wake."""
    width_m = abs(along[1]) * building.east_m + abs(along[0]) * building.north_m
    depth_m = abs(along[0]) * building.east_m + abs(along[1]) * building.north_m
    cavity_m = (
        1.8 * width_m / ((depth_m / building.height_m) ** 0.3 * (1.0 + 0.24 * width_m / building.height_m))
    )
    reach_m = depth_m / 2.0 + 3.0 * cavity_m + width_m / 2.0
    columns = _cells(building.x_m - grid.x0_m, reach_m, grid.columns)
    rows = _cells(building.y_m - grid.y0_m, reach_m, grid.rows)
    x_m = (grid.corners_x_m()[:-1][columns] + CELL_M / 2.0 - building.x_m)[:, None, None]
    y_m = (grid.corners_y_m()[:-1][rows] + CELL_M / 2.0 - building.y_m)[None, :, None]
    behind_m = x_m * along[0] + y_m * along[1] - depth_m / 2.0
    aside = (y_m * along[0] - x_m * along[1]) / (width_m / 2.0)
    ellipse = np.maximum(1.0 - aside**2, 0.0) * np.maximum(1.0 - (heights_m / building.height_m) ** 2, 0.0)
    cavity_end_m = np.maximum(cavity_m * np.sqrt(ellipse), 1e-3)
    past = np.maximum(behind_m, 0.0) / cavity_end_m
    left = np.where(past < 1.0, -((1.0 - past) ** 2), 1.0 - np.maximum(past, 1.0) ** -1.5)
    left = np.where((behind_m > 0.0) & (past < 3.0) & (ellipse > 0.0), left, 1.0)
    inside = (np.abs(x_m) < building.east_m / 2.0) & (np.abs(y_m) < building.north_m / 2.0)
    left = np.where(inside & (heights_m < building.height_m), 0.0, left)
    view = share[columns, rows]
    np.minimum(view, left, out=view)


def _cells(middle_m: float, reach_m: float, count: int) -> slice:
    first, last = (int((middle_m + sign * reach_m) // CELL_M) for sign in (-1.0, 1.0))
    return slice(max(first, 0), max(min(last + 1, count), 0))


def project(wind: Cells) -> Field:
    """Return velocities through faces, free of divergence, nearest to those given in the middle of cells.

    Takes (2, columns, rows, layers), horizontal; returns (columns, rows, layers, 3) at the west, south and
    lower face of each cell. Periodic at the sides; nothing crosses the ground and the lid. The Poisson
    equation is solved in Fourier space, cosines in the vertical.
    """
    west, south = ((wind[axis] + np.roll(wind[axis], 1, axis)) / 2.0 for axis in (0, 1))
    divergence = (np.roll(west, -1, 0) - west + np.roll(south, -1, 1) - south) / CELL_M
    columns, rows, layers = divergence.shape
    order = np.arange(layers)
    cosines = np.cos(pi * order[:, None] * (order + 0.5) / layers) * np.sqrt(2.0 / layers)
    cosines[0] /= np.sqrt(2.0)

    def curvature(count: int, of_turn: float, size_m: float) -> Cells:
        return np.asarray(2.0 * np.cos(of_turn * np.arange(count)) - 2.0) / size_m**2

    laplacian = (
        curvature(columns, 2.0 * pi / columns, CELL_M)[:, None, None]
        + curvature(rows // 2 + 1, 2.0 * pi / rows, CELL_M)[None, :, None]
        + curvature(layers, pi / layers, LAYER_M)
    )
    laplacian[0, 0, 0] = 1.0  # The mean of the potential is free.
    transformed = np.fft.rfftn(divergence @ cosines.T, axes=(0, 1)) / laplacian
    potential = np.fft.irfftn(transformed, s=(columns, rows), axes=(0, 1)) @ cosines
    down = np.diff(potential, axis=2, prepend=potential[:, :, :1]) / LAYER_M
    west -= (potential - np.roll(potential, 1, 0)) / CELL_M
    south -= (potential - np.roll(potential, 1, 1)) / CELL_M
    return np.stack([west, south, -down], axis=3).astype(np.float32)
