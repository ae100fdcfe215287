"""The air's resolved motion over one minute: mean wind, gusts and obstacles, at any point."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from devices.world.air.compiled import inlined
from devices.world.air.grid import CELL_M
from devices.world.air.obstacles import LAYER_M, LAYERS, LID_M
from devices.world.air.turbulence import GUST, LEVEL_M, WIND_EAST, WIND_NORTH

Floats = npt.NDArray[np.float32]


class Flow(NamedTuple):
    """Everything that moves air, constant for a minute."""

    x0_m: float  # South-west corner of the grid.
    y0_m: float
    table: Floats  # See `turbulence.table`.
    mixing_height_m: float
    gust_m_s: float  # Standard deviation of the gusts.
    gusts: Floats  # (columns, rows, 4), see `gusts`.
    obstacles: Floats  # (columns, rows, layers, 3), see `obstacles`.


@inlined
def inside(flow: Flow, x_m: float, y_m: float) -> bool:
    """Return whether a place lies over the grid."""
    x, y = (x_m - flow.x0_m) / CELL_M, (y_m - flow.y0_m) / CELL_M
    return bool(0.0 <= x < flow.gusts.shape[0] and 0.0 <= y < flow.gusts.shape[1])


@inlined
def motion(flow: Flow, x_m: float, y_m: float, z_m: float) -> tuple[float, float, float]:
    """Return the velocity (m/s, towards east, north and up) at a point over the grid.

    Between the faces of a cell velocities are linear: there is no divergence anywhere.
    """
    level = int(z_m / LEVEL_M)
    part = z_m / LEVEL_M - level
    x, y = (x_m - flow.x0_m) / CELL_M, (y_m - flow.y0_m) / CELL_M
    column, row = int(x), int(y)
    east, north = x - column, y - row
    gust = flow.gust_m_s * flow.table[level, GUST]
    u = (1.0 - part) * flow.table[level, WIND_EAST] + part * flow.table[level + 1, WIND_EAST]
    v = (1.0 - part) * flow.table[level, WIND_NORTH] + part * flow.table[level + 1, WIND_NORTH]
    u += gust * (flow.gusts[column, row, 0] * (1.0 - east) + flow.gusts[column, row, 1] * east)
    v += gust * (flow.gusts[column, row, 2] * (1.0 - north) + flow.gusts[column, row, 3] * north)
    w = 0.0
    if z_m < LID_M:
        layer = int(z_m / LAYER_M)
        up = z_m / LAYER_M - layer
        beside, behind = (
            min(column + 1, flow.obstacles.shape[0] - 1),
            min(row + 1, flow.obstacles.shape[1] - 1),
        )
        u += (
            flow.obstacles[column, row, layer, 0] * (1.0 - east)
            + flow.obstacles[beside, row, layer, 0] * east
        )
        v += (
            flow.obstacles[column, row, layer, 1] * (1.0 - north)
            + flow.obstacles[column, behind, layer, 1] * north
        )
        w += flow.obstacles[column, row, layer, 2] * (1.0 - up)
        if layer + 1 < LAYERS:
            w += flow.obstacles[column, row, layer + 1, 2] * up
    return u, v, w
