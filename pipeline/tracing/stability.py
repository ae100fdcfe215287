"""Pasquill's classes out of what was measured or written down: A: 0 ... F: 5.

Source: EPA (2000), Meteorological Monitoring Guidance for Regulatory Modeling Applications, EPA-454/R-99-005,
tables 6-9a and 6-9b: classes by the sd of the wind's elevation angle, which a σw stands for, and limits by
speed beyond which air is neutral.
"""

import math

import numpy as np

from pipeline.tracing.problem import Floats
from pipeline.wire.errors import InputError

_ELEVATION_DEG = np.array([2.4, 5.0, 7.8, 10.0, 11.5])  # Up to which it is F, E, D, C, B.
# By speed below 2, 3, 4, 6 m/s and above: neither less stable than the first, nor more than the second.
_SPEEDS_M_S = np.array([2.0, 3.0, 4.0, 6.0])
_LEAST, _MOST = np.array([0, 0, 1, 2, 3]), np.array([5, 5, 4, 3, 3])


def class_of_letter(letter: str, place: str) -> float:
    """Return the class that a letter names, nan for none.

    Raises:
        InputError: It is no letter from A to F; G counts as F.
    """
    if not letter:
        return math.nan
    index = "ABCDEFG".find(letter.strip().upper()[:1])
    if index < 0:
        raise InputError(place, f"stability is {letter!r}", "Write Pasquill's class, A to F, or nothing.")
    return float(min(index, 5))


def class_of_turbulence(sigma_w_m_s: Floats, speed_m_s: Floats) -> Floats:
    """Return classes by the sd of the vertical wind; nan where that is not known."""
    known = np.isfinite(sigma_w_m_s)
    elevation = np.degrees(np.nan_to_num(sigma_w_m_s) / np.maximum(speed_m_s, 0.3))
    found = 5 - np.searchsorted(_ELEVATION_DEG, elevation, side="right")
    band = np.searchsorted(_SPEEDS_M_S, speed_m_s, side="right")
    return np.where(known, np.clip(found, _LEAST[band], _MOST[band]), math.nan)
