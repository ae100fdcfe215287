"""Counting particles: each counts as one, wherever it is, and a beam is the mean of its points."""

from typing import Any

import numpy as np
import pytest

from devices.world.air import grid
from devices.world.air.counting import KERNEL_H_M, LENGTH, kernel, watch
from devices.world.air.places import Receptor

GRID = grid.over(6000.0, 4000.0)


def row(receptor: Receptor) -> np.ndarray:
    return np.asarray(watch([receptor], GRID).receptors[0])


@pytest.mark.parametrize("z_m", [0.5, 5.0, 30.0])
@pytest.mark.parametrize(("h_m", "v_m"), [(12.0, 3.0), (80.0, 20.0)])
def test_a_particle_counts_once(z_m: Any, h_m: Any, v_m: Any) -> None:
    """Summed over all places a particle may be in above the ground, its weights times volume are 1."""
    receptor = row(Receptor("r", 1000.0, 1000.0, z_m))
    steps = 40
    offsets = (np.arange(steps) + 0.5) / steps * 2.0 - 1.0
    heights = (np.arange(4 * steps) + 0.5) / (4 * steps) * (z_m + v_m)
    volume = (2.0 * h_m / steps) ** 2 * (z_m + v_m) / (4 * steps)
    total = sum(
        kernel(receptor, (1000.0 + h_m * x, 1000.0 + h_m * y, z), h_m, v_m)
        for x in offsets
        for y in offsets
        for z in heights
    )
    assert total * volume == pytest.approx(1.0, rel=0.01)


def test_nothing_counts_from_outside() -> None:
    """Beyond its half-widths a particle does not count."""
    receptor = row(Receptor("r", 1000.0, 1000.0, 10.0))
    assert kernel(receptor, (1049.0, 1000.0, 10.0), 50.0, 5.0) > 0.0
    assert kernel(receptor, (1050.1, 1000.0, 10.0), 50.0, 5.0) == 0.0
    assert kernel(receptor, (1000.0, 1000.0, 15.1), 50.0, 5.0) == 0.0


@pytest.mark.parametrize("place_m", [(1100.0, 1030.0, 4.0), (995.0, 1005.0, 5.0), (1340.0, 1180.0, 6.0)])
def test_a_beam_is_the_mean_of_its_points(place_m: Any) -> None:
    """Along the beam the closed form equals the mean of four hundred points on it."""
    start, end = (1000.0, 1000.0, 4.0), (1300.0, 1200.0, 6.0)
    beam = row(Receptor("b", *start, end_m=end))
    assert beam[LENGTH] == pytest.approx(np.hypot(300.0, 200.0))
    shares = (np.arange(400) + 0.5) / 400
    points = [row(Receptor("p", start[0] + s * 300.0, start[1] + s * 200.0, 5.0)) for s in shares]
    mean = np.mean([kernel(point, place_m, 60.0, 10.0) for point in points])
    assert kernel(beam, place_m, 60.0, 10.0) == pytest.approx(mean, rel=0.01, abs=1e-9)


def test_every_cell_knows_the_receptors_it_can_reach() -> None:
    """A particle with the largest volume anywhere near a receptor is in a cell that is watched for it."""
    receptors = [
        Receptor("r", 1510.0, 1490.0, 3.0),
        Receptor("b", 3000.0, 2000.0, 4.0, end_m=(3400.0, 2300.0, 4.0)),
    ]
    watched = watch(receptors, GRID)
    draw = np.random.default_rng(3)
    for x_m, y_m in draw.uniform((1300.0, 1300.0), (3700.0, 2600.0), (3000, 2)):
        cell = int((x_m - GRID.x0_m) / grid.CELL_M) * GRID.rows + int((y_m - GRID.y0_m) / grid.CELL_M)
        near = set(watched.near[watched.first[cell] : watched.first[cell + 1]])
        for index in range(2):
            if kernel(watched.receptors[index], (x_m, y_m, 4.0), KERNEL_H_M[1], 10.0) > 0.0:
                assert index in near
