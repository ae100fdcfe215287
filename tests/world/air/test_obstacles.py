"""Streets, quarters and buildings: they turn, shelter and send back the wind, and make no air."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from devices.world.air import grid
from devices.world.air.buildings import Building, lay_out
from devices.world.air.config import AirConfig, Street, Surface
from devices.world.air.obstacles import LAYER_M, Obstacles, disturbance
from devices.world.air.quarters import turning

SMALL = AirConfig(width_m=1200.0, height_m=800.0, surface=Surface(large_buildings=0))
GRID = grid.over(1200.0, 800.0)
OPEN = np.zeros((2, 2, GRID.columns, GRID.rows))
HALL = Building(600.0, 400.0, 75.0, 75.0, 30.0)


def divergence(faces: np.ndarray) -> np.ndarray:
    """Return what flows out of each cell, 1/s; nothing may cross the ground and the lid."""
    west, south, lower = np.moveaxis(faces.astype(float), 3, 0)
    upper = np.concatenate([lower[:, :, 1:], np.zeros_like(lower[:, :, :1])], axis=2)
    assert np.all(lower[:, :, 0] == 0.0)
    sides = (np.roll(west, -1, 0) - west + np.roll(south, -1, 1) - south) / grid.CELL_M
    return np.asarray(sides + (upper - lower) / LAYER_M)


@pytest.mark.parametrize("towards", [0.0, 0.6, 2.0, 4.5])
def test_no_air_is_made(towards: Any) -> None:
    """Around a hall, a street and quarters, each cell gets as much air as it gives."""
    config = replace(SMALL, streets=(Street(0.0, 600.0, 1200.0, 600.0),))
    faces = disturbance(config, [HALL], turning(config, GRID), GRID, towards)
    assert np.abs(faces).max() > 0.3
    assert np.abs(divergence(faces)).max() < 1e-6


def test_the_mean_profile_is_kept() -> None:
    """What is taken in one place is given back in others: no layer is slower as a whole."""
    faces = disturbance(SMALL, [HALL], turning(SMALL, GRID), GRID, 1.0)
    assert np.abs(faces.mean(axis=(0, 1))).max() < 1e-6


def test_behind_a_building_the_air_stands_still() -> None:
    """Eastward wind: in the lee hardly any is left, farther on it is still slower than ahead."""
    faces = disturbance(SMALL, [HALL], OPEN, GRID, 0.0)
    ground = faces[:, :, 0, 0]
    row = int((HALL.y_m - GRID.y0_m) / grid.CELL_M)

    def added(x_m: float) -> float:
        return float(ground[int((x_m - GRID.x0_m) / grid.CELL_M), row])

    profile_m_s = 0.49  # Of a wind of 1 m/s at 10 m, in the lowest layer's middle.
    assert profile_m_s + added(665.0) < 0.2 * profile_m_s
    assert added(760.0) < -0.05
    assert abs(added(100.0)) < 0.05


def test_streets_turn_the_wind_along_them() -> None:
    """A wind across a street is weaker in it, a wind along it is not."""
    config = replace(SMALL, streets=(Street(0.0, 412.0, 1200.0, 412.0, width_m=40.0),))
    row = int((412.0 - GRID.y0_m) / grid.CELL_M)
    middle = slice(GRID.columns // 2 - 5, GRID.columns // 2 + 5)
    across = disturbance(config, [], OPEN, GRID, np.pi / 2.0)[middle, row : row + 2, 0, 1]
    along = disturbance(config, [], OPEN, GRID, 0.0)[middle, row, 0, 0]
    assert across.mean() < -0.05
    assert abs(along.mean()) < 0.02


def test_a_wind_between_two_prepared_ones_is_their_mixture() -> None:
    """Streets act linearly: for any direction the mixture equals the field prepared for it."""
    config = replace(SMALL, streets=(Street(0.0, 412.0, 1200.0, 412.0),))
    mixed = Obstacles(config, [], GRID).at((3.0 * np.cos(0.5), 3.0 * np.sin(0.5)))
    direct = 3.0 * disturbance(config, [], turning(config, GRID), GRID, 0.5)
    assert np.abs(mixed - direct).max() < 3.0 * 1e-3
    assert np.abs(divergence(mixed)).max() < 3.0 * 3e-4


def test_buildings_keep_off() -> None:
    """No building stands in a street, on another, or near what is to be kept clear."""
    config = AirConfig(streets=(Street(0.0, 2000.0, 6000.0, 2000.0), Street(900.0, 0.0, 900.0, 4000.0)))
    clear = [(3000.0, 1000.0, 300.0), (5000.0, 3000.0, 10.0)]
    buildings = lay_out(config, clear)
    assert len(buildings) > 200
    assert buildings == lay_out(config, clear)
    for i, one in enumerate(buildings):
        assert abs(one.y_m - 2000.0) > one.north_m / 2.0 + 20.0
        assert abs(one.x_m - 900.0) > one.east_m / 2.0 + 20.0
        for x_m, y_m, away_m in clear:
            gaps = abs(one.x_m - x_m) - one.east_m / 2.0, abs(one.y_m - y_m) - one.north_m / 2.0
            assert max(gaps) >= away_m
        for other in buildings[:i]:
            gap_x = abs(one.x_m - other.x_m) - (one.east_m + other.east_m) / 2.0
            gap_y = abs(one.y_m - other.y_m) - (one.north_m + other.north_m) / 2.0
            assert max(gap_x, gap_y) > 0.0
