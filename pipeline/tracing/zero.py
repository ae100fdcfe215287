"""What each sensor reads in clean air: its own zero, a background that all share, and how sure that is."""

import math
from dataclasses import replace

import numpy as np

from pipeline.tracing.problem import Floats, Integers, Observations

LOWER_SHARE = 0.35  # A plume from one place leaves at least a third of the sensors around it in clean air.
SMOOTH_S = 900.0
LEAST_READINGS = 30  # Of each sensor; with fewer, a mode says nothing.
LEAST_SENSORS = 3  # With fewer, a plume over all of them would pass for background.


def half_sample_mode(values: Floats) -> float:
    """Return the mode by halving the densest sample again and again.

    Source: Bickel, Frühwirth (2006), Computational Statistics & Data Analysis 50(12).
    """
    sample = np.sort(values)
    while sample.size > 3:
        half = (sample.size + 1) // 2
        widths = sample[half - 1 :] - sample[: sample.size - half + 1]
        first = int(np.argmin(widths))
        sample = sample[first : first + half]
    return float(sample.mean())


def subtract_known(observations: Observations, background_g_m3: float | None) -> tuple[Floats, Floats, float]:
    """Return what `subtract_zero` does, leaving alone sensors whose readings have no background in them."""
    known = np.array(observations.above_zero or [False] * len(observations.names))
    if not known.any():
        return subtract_zero(observations, background_g_m3)
    above, zeros = observations.value_g_m3.copy(), np.zeros(known.size)
    fitted = ~known[observations.sensor]
    if not fitted.any():
        return above, zeros, 1e-9
    # The others alone, numbered anew.
    number = np.cumsum(~known) - 1
    part = replace(
        observations.select(fitted),
        names=tuple(name for name, k in zip(observations.names, known, strict=True) if not k),
        sensor=number[observations.sensor[fitted]],
    )
    above[fitted], zeros[~known], spread = subtract_zero(part, background_g_m3)
    return above, zeros, spread


def subtract_zero(observations: Observations, background_g_m3: float | None) -> tuple[Floats, Floats, float]:
    """Return (readings above zero, zero of each sensor, sd of what clean air reads), all g/m³.

    A sensor's zero is the mode of what it reads, where it has read often enough; else what the lowest
    sensor reads stands for the air of all.

    Args:
        observations: Readings.
        background_g_m3: What all read in clean air; None: to be fitted.
    """
    value, sensor, sensors = observations.value_g_m3, observations.sensor, len(observations.names)
    if background_g_m3 is not None:
        zeros = np.full(sensors, background_g_m3)
        above = value - background_g_m3
    elif np.bincount(sensor, minlength=sensors).min() < LEAST_READINGS:
        zeros = np.full(sensors, float(value.min()))
        above = value - zeros[0]
    else:
        zeros = np.array([half_sample_mode(value[sensor == j]) for j in range(sensors)])
        above = value - zeros[sensor]
        if sensors >= LEAST_SENSORS:
            above = above - _common(above, sensor, observations.start_s, sensors)
    below = above[above < 0.0]
    spread = math.sqrt(float(np.mean(below * below))) if below.size else 0.0
    return above, zeros, max(spread, 1e-3 * float(np.max(np.abs(above), initial=1e-9)))


def _common(above: Floats, sensor: Integers, start_s: Floats, sensors: int) -> Floats:
    """Return (r,) the background that all sensors share, smooth in time."""
    times, index = np.unique(start_s, return_inverse=True)
    table = np.full((times.size, sensors), np.nan)
    table[index, sensor] = above
    table.sort(axis=1)  # Missing ones go to the end.
    place = LOWER_SHARE * (np.isfinite(table).sum(axis=1) - 1)
    below, row = place.astype(np.int64), np.arange(times.size)
    after = np.minimum(below + 1, np.ceil(place).astype(np.int64))
    common = table[row, below] + (place - below) * (table[row, after] - table[row, below])
    total = np.concatenate(([0.0], np.cumsum(common)))
    low = np.searchsorted(times, times - SMOOTH_S / 2, side="left")
    high = np.searchsorted(times, times + SMOOTH_S / 2, side="right")
    return np.asarray(((total[high] - total[low]) / (high - low))[index])
