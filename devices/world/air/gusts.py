"""Gusts: deviations of the wind that have a place, a size and a life.

A stream function made of Fourier modes that stand still while their amplitudes wander (Ornstein-Uhlenbeck):
air in one place shares its gusts for minutes, neighbours share them over their length. Energy per octave
grows with the two-thirds power of the length, as in the inertial range. From differences of a stream
function at the corners of cells, the velocity through their faces is free of divergence to the last bit
that float32 keeps.
"""

from math import pi

import numpy as np
import numpy.typing as npt

from devices.world.air.compiled import compiled
from devices.world.air.config import Gusts
from devices.world.air.grid import CELL_M, Grid
from devices.world.air.wandering import Wandering
from devices.world.draw import stream

MODES = 48
WAVENUMBER_LENGTH = 1.75  # Where the correlation of isotropic modes, J0(k r), has fallen to 1/e.

Faces = npt.NDArray[np.float32]


class GustField:
    """Velocities through the faces of the grid's cells, one standard deviation strong; advanced by steps."""

    def __init__(self, config: Gusts, grid: Grid, seed: int) -> None:
        draw = stream(seed, "air", "gusts")
        shortest, longest = np.log(config.length_m)
        log_length = np.linspace(shortest, longest, MODES)
        log_time = np.interp(log_length, np.log(config.length_m), np.log(config.time_s))
        wavenumber = WAVENUMBER_LENGTH / np.exp(log_length)
        # Directions in the order of the golden ratio, so that every band of lengths blows every way.
        angle = pi * ((np.arange(MODES) * 0.6180339887 + draw.uniform()) % 1.0)
        energy = np.exp(log_length) ** (2.0 / 3.0)
        # One component of the velocity of a mode has the variance k^2 A^2 / 2, over all directions.
        self._amplitude = np.sqrt(2.0 * energy / energy.sum()) / wavenumber
        self._lives = Wandering(draw, np.tile(np.exp(log_time), 2), 2 * MODES)
        x_m, y_m = grid.corners_x_m(), grid.corners_y_m()
        along_x, along_y = (
            np.outer(x_m, wavenumber * np.cos(angle)),
            np.outer(wavenumber * np.sin(angle), y_m),
        )
        self._cos_x, self._sin_x = np.cos(along_x), np.sin(along_x)
        self._cos_y, self._sin_y = np.cos(along_y), np.sin(along_y)

    def advance(self, step_s: float) -> Faces:
        """Return (columns, rows, 4): velocity through each cell's west, east, south and north face, sd 1."""
        even, odd = self._lives.advance(step_s).reshape(2, MODES) * self._amplitude
        left = np.concatenate([self._cos_x, self._sin_x], axis=1).astype(np.float32)
        right = np.concatenate(
            [
                even[:, None] * self._cos_y + odd[:, None] * self._sin_y,
                odd[:, None] * self._cos_y - even[:, None] * self._sin_y,
            ]
        ).astype(np.float32)
        psi = multiply(left, right)
        east, north = np.diff(psi, axis=1) / np.float32(CELL_M), -np.diff(psi, axis=0) / np.float32(CELL_M)
        return np.stack([east[:-1], east[1:], north[:, :-1], north[:, 1:]], axis=2)


@compiled
def multiply(left: Faces, right: Faces) -> Faces:
    """Return the matrix product, summed in one order on every machine."""
    product = np.zeros((left.shape[0], right.shape[1]), np.float32)
    for i in range(left.shape[0]):
        for k in range(left.shape[1]):
            factor = left[i, k]
            for j in range(right.shape[1]):
                product[i, j] += factor * right[k, j]
    return product
