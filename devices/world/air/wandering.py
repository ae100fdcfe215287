"""Ornstein-Uhlenbeck processes: values that wander around zero and forget where they were."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class Wandering:
    """`count` stationary processes of standard deviation 1, with one correlation time (s) or one each."""

    def __init__(self, draw: np.random.Generator, time_s: float | FloatArray, count: int = 1) -> None:
        self._draw = draw
        self._time_s = np.asarray(time_s, dtype=np.float64)
        self.values: FloatArray = draw.standard_normal(count)

    def advance(self, step_s: float) -> FloatArray:
        """Return the values a step later; exact for steps of any length."""
        kept = np.exp(-step_s / self._time_s)
        fresh = self._draw.standard_normal(self.values.size)
        self.values = kept * self.values + np.sqrt(1.0 - kept**2) * fresh
        return self.values
