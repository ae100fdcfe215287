"""Gusts: correlated over 50-500 m and 1-30 min, of the strength asked for, conserving mass."""

from typing import Any

import numpy as np
import pytest

from devices.world.air import grid
from devices.world.air.config import Gusts
from devices.world.air.gusts import GustField

GRID = grid.over(6000.0, 4000.0)


@pytest.fixture(scope="module")
def field() -> np.ndarray:
    """Half a day of gusts, every minute: (minutes, columns, rows, 4) of every fourth cell, float32."""
    gusts = GustField(Gusts(), GRID, 11)
    return np.stack([gusts.advance(60.0)[::4, ::4] for _ in range(720)])


def test_no_air_is_made(field: Any) -> None:
    """What flows into a cell flows out of it."""
    gusts = GustField(Gusts(), GRID, 12).advance(60.0)
    west, east, south, north = np.moveaxis(gusts, 2, 0)
    assert np.abs(east - west + north - south).max() < 1e-4
    assert np.array_equal(east[:-1], west[1:])
    assert np.array_equal(north[:, :-1], south[:, 1:])


def test_strength(field: Any) -> None:
    """Either component has mean 0 and standard deviation 1, over place and time."""
    for component in (field[..., 0], field[..., 2]):
        assert component.std() == pytest.approx(1.0, abs=0.06)
        assert abs(component.mean()) < 0.05


def test_neighbours_share_gusts_and_others_do_not(field: Any) -> None:
    """Over 100 m more than half is shared, over 2 km next to nothing."""

    def correlation(cells: int) -> float:
        pairs = [np.mean(u[:, :-cells] * u[:, cells:]) for u in (field[..., 0], field[..., 2])]
        pairs += [np.mean(u[:, :, :-cells] * u[:, :, cells:]) for u in (field[..., 0], field[..., 2])]
        return float(np.mean(pairs) / field.var())

    assert correlation(1) > 0.6
    assert 0.05 < correlation(4) < 0.75
    assert abs(correlation(20)) < 0.15


def test_gusts_last_for_minutes(field: Any) -> None:
    """A minute later most is still there, after ten minutes a quarter, after two hours next to nothing."""

    def correlation(minutes: int) -> float:
        return float(np.mean(field[:-minutes, ..., :3:2] * field[minutes:, ..., :3:2]) / field.var())

    assert correlation(1) > 0.75
    assert 0.15 < correlation(10) < 0.4
    assert abs(correlation(120)) < 0.15


@pytest.mark.parametrize(("length_m", "time_s"), [(50.0, 60.0), (500.0, 1800.0)])
def test_one_length_and_one_life(length_m: Any, time_s: Any) -> None:
    """Gusts of one kind have fallen to 1/e over their own length (mean of all ways) and in their own life."""
    gusts = GustField(Gusts(length_m=(length_m, length_m * 1.001), time_s=(time_s, time_s * 1.001)), GRID, 13)
    steps = 60
    frames = np.stack([gusts.advance(time_s / 4.0) for _ in range(steps)])
    u, v = frames[..., 0], frames[..., 2]
    cells = round(length_m / grid.CELL_M)
    along = [np.mean(u[:, :-cells] * u[:, cells:]), np.mean(v[:, :, :-cells] * v[:, :, cells:])]
    across = [np.mean(u[:, :, :-cells] * u[:, :, cells:]), np.mean(v[:, :-cells] * v[:, cells:])]
    assert np.mean(along + across) / u.var() == pytest.approx(np.exp(-1.0), abs=0.08)
    later = np.mean(u[:-4] * u[4:]) / u.var()
    assert later == pytest.approx(np.exp(-1.0), abs=0.12)


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Gusts follow from the seed."""
    one, same, other = (GustField(Gusts(), GRID, seed).advance(60.0).tobytes() for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_large_gusts_live_longer() -> None:
    """What is left after averaging over 600 m is still there when the rest has long gone."""
    gusts = GustField(Gusts(), GRID, 14)
    frames = np.stack([gusts.advance(60.0)[..., 0] for _ in range(360)])
    blocks = frames[:, :264, :168].reshape(360, 11, 24, 7, 24)
    large = blocks.mean(axis=(2, 4), keepdims=True)
    small = blocks - large

    def correlation(part: Any) -> float:
        return float(np.mean(part[:-10] * part[10:]) / part.var())

    assert correlation(large) > 0.5
    assert correlation(small) < 0.5 * correlation(large)
