"""The quarters of the city: each has streets that run its own way and turn the wind among its roofs.

Field campaigns find the wind below and just above the roofs turned towards the streets (Balogun et al. 2010,
Boundary-Layer Meteorology 136, London; Nelson et al. 2007, Journal of Applied Meteorology and Climatology 46,
Oklahoma City). The quarters are the same for every seed, as the map is.
"""

from math import pi

import numpy as np
import numpy.typing as npt

from devices.world.air.config import AirConfig
from devices.world.air.grid import CELL_M, Grid

_MAP_SEED = 32473
SIDE_M = 450.0  # Of a quarter, about.
ACROSS, ALONG = (0.2, 0.7), (-0.1, 0.2)  # Share of the wind taken, across and along the streets.

Cells = npt.NDArray[np.float64]


def turning(config: AirConfig, grid: Grid) -> Cells:
    """Return (2, 2, columns, rows): the matrix that gives, from the wind, what the quarter's streets take."""
    draw = np.random.default_rng(_MAP_SEED)
    count = round(config.width_m * config.height_m / SIDE_M**2)
    middles = draw.uniform((0.0, 0.0), (config.width_m, config.height_m), (count, 2))
    course = draw.uniform(0.0, pi, count)
    across, along = draw.uniform(*ACROSS, count), draw.uniform(*ALONG, count)
    x_m, y_m = grid.corners_x_m()[:-1] + CELL_M / 2.0, grid.corners_y_m()[:-1] + CELL_M / 2.0
    nearest_m2 = np.full((grid.columns, grid.rows), np.inf)
    quarter = np.zeros((grid.columns, grid.rows), np.int64)
    for number, middle in enumerate(middles):
        away_m2 = (x_m[:, None] - middle[0]) ** 2 + (y_m[None, :] - middle[1]) ** 2
        quarter[away_m2 < nearest_m2] = number
        np.minimum(nearest_m2, away_m2, out=nearest_m2)
    east, north = np.cos(course), np.sin(course)
    taken = along * np.array([[east * east, east * north], [east * north, north * north]])
    taken += across * np.array([[north * north, -east * north], [-east * north, east * east]])
    return np.asarray(taken[:, :, quarter])
