"""Counting particles near receptors: the concentration as a density estimate.

Each particle counts in a volume around itself with a parabolic weight (Epanechnikov kernel; for its use in
particle models de Haan 1999, Atmospheric Environment 33). The volume grows with what turbulence has spread
the particle's cloud by, and stays within it; the ground reflects it.
"""

from collections.abc import Sequence
from math import hypot, pi, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from devices.world.air.compiled import compiled, inlined
from devices.world.air.grid import CELL_M, Grid
from devices.world.air.places import EMITTED, Receptor

KERNEL_H, KERNEL_V = 1.0, 0.8  # Half-widths over the cloud's standard deviations.
KERNEL_H_M = (12.0, 150.0)
KERNEL_V_M = (3.0, 80.0)
NO = EMITTED.index("no")

# Columns of a receptor: place, direction towards the end of its beam, the beam's length (0: a point).
X, Y, Z, EAST, NORTH, LENGTH = range(6)

Floats = npt.NDArray[np.float32]
Sums = npt.NDArray[np.float64]


class Watch(NamedTuple):
    """Which receptors a particle may count at: those near cell c are `near[first[c]:first[c + 1]]`."""

    receptors: Sums  # (receptors, 6)
    first: npt.NDArray[np.int32]
    near: npt.NDArray[np.int32]
    top_m: float  # The highest of them.


class Count(NamedTuple):
    """What has been counted: (receptors, sources, `EMITTED`) in g/m3, and NO times its age in g s/m3."""

    sums: Sums
    ageing: Sums  # (receptors, sources)


def watch(receptors: Sequence[Receptor], grid: Grid) -> Watch:
    """Prepare to count at receptors on a grid."""
    rows = np.array([_row(receptor) for receptor in receptors]).reshape(-1, 6)
    x_m = (grid.corners_x_m()[:-1] + CELL_M / 2.0)[:, None]
    y_m = (grid.corners_y_m()[:-1] + CELL_M / 2.0)[None, :]
    cells = [np.flatnonzero(_away_m(row, x_m, y_m) < KERNEL_H_M[1] + CELL_M) for row in rows]
    cell = np.concatenate([np.zeros(0, np.int64), *cells])
    receptor = np.repeat(np.arange(len(rows)), [len(of_one) for of_one in cells])
    order = np.argsort(cell, kind="stable")
    first = np.searchsorted(cell[order], np.arange(grid.columns * grid.rows + 1))
    return Watch(
        rows, first.astype(np.int32), receptor[order].astype(np.int32), float(rows[:, Z].max(initial=0.0))
    )


def _away_m(row: Sums, x_m: Sums, y_m: Sums) -> Sums:
    """Return how far places are from a receptor."""
    east_m, north_m = x_m - row[X], y_m - row[Y]
    along_m = east_m * row[EAST] + north_m * row[NORTH]
    along_m -= np.clip(along_m, 0.0, row[LENGTH])
    away_m: Sums = np.hypot(along_m, east_m * row[NORTH] - north_m * row[EAST])
    return away_m


def _row(receptor: Receptor) -> tuple[float, ...]:
    if receptor.end_m is None:
        return receptor.x_m, receptor.y_m, receptor.z_m, 1.0, 0.0, 0.0
    x_m, y_m, z_m = receptor.end_m
    east_m, north_m = x_m - receptor.x_m, y_m - receptor.y_m
    length_m = hypot(east_m, north_m)
    # Beams are level enough to count at the mean of their heights.
    return (
        receptor.x_m,
        receptor.y_m,
        (receptor.z_m + z_m) / 2.0,
        east_m / length_m,
        north_m / length_m,
        length_m,
    )


@inlined
def count(
    counted: Count,
    watched: Watch,
    cell: int,
    place_m: tuple[float, float, float],
    variances_m2: tuple[float, float],
    weight_s: float,
    age_s: float,
    source: int,
    rates: Floats,
) -> None:
    """Add what a particle contributes to the receptors near its cell.

    `weight_s` is for how many seconds of emission it stands, times the share of the minute it is here;
    `rates` are those of its source, g/s; `variances_m2` those of its cloud, horizontal and vertical.
    """
    v_m = min(max(KERNEL_V * sqrt(variances_m2[1]), KERNEL_V_M[0]), KERNEL_V_M[1])
    if place_m[2] > watched.top_m + v_m or watched.first[cell] == watched.first[cell + 1]:
        return
    h_m = min(max(KERNEL_H * sqrt(variances_m2[0]), KERNEL_H_M[0]), KERNEL_H_M[1])
    for place in range(watched.first[cell], watched.first[cell + 1]):
        receptor = watched.near[place]
        share = weight_s * kernel(watched.receptors[receptor], place_m, h_m, v_m)
        if share > 0.0:
            for species in range(rates.size):
                counted.sums[receptor, source, species] += share * rates[species]
            counted.ageing[receptor, source] += share * rates[NO] * age_s


@compiled
def kernel(receptor: Sums, place_m: tuple[float, float, float], h_m: float, v_m: float) -> float:
    """Return the weight (1/m3) with which a particle counts at a receptor; along a beam, its mean."""
    away, mirrored = (place_m[2] - receptor[Z]) / v_m, (place_m[2] + receptor[Z]) / v_m
    upright = max(1.0 - away**2, 0.0) + max(1.0 - mirrored**2, 0.0)
    east_m, north_m = place_m[0] - receptor[X], place_m[1] - receptor[Y]
    along_m = east_m * receptor[EAST] + north_m * receptor[NORTH]
    across = (east_m * receptor[NORTH] - north_m * receptor[EAST]) / h_m
    level = 1.0 - across**2
    if upright == 0.0 or level <= 0.0:
        return 0.0
    if receptor[LENGTH] == 0.0:
        flat = max(level - (along_m / h_m) ** 2, 0.0)
    else:
        # From where the beam enters the particle's volume to where it leaves it.
        reach_m = h_m * sqrt(level)
        first, last = max(-reach_m, -along_m), min(reach_m, receptor[LENGTH] - along_m)
        if last <= first:
            return 0.0
        flat = (level * (last - first) - (last**3 - first**3) / (3.0 * h_m**2)) / receptor[LENGTH]
    return float(0.75 / v_m * upright * 2.0 / (pi * h_m**2) * flat)
