"""A trace that goes on gives what one that starts again gives."""

import math

import numpy as np
import pytest

from pipeline.tracing.air import trace
from pipeline.tracing.incremental import Tracer
from pipeline.tracing.problem import Candidate, Floats, Observations, Settings, Wind

PLACES = np.array([[40.0, 0.0], [20, 35], [-20, 35], [-40, 0], [-20, -35], [20, -35]])
MINUTES, BEGIN, BLOCK_S = 63, 56, 1200.0
BOUNDS = (-60.0, -60.0, 60.0, 60.0)
LISTED = (Candidate("here", 12.0, -8.0), Candidate("there", -25.0, 10.0))


def wind(minutes: int) -> Wind:
    """Return a wind that swings to and fro in 20 minutes, so that blocks are as long."""
    none = np.full(minutes, math.nan)
    start = 60.0 * np.arange(minutes, dtype=np.float64)
    height = np.full(minutes, 10.0)
    swinging = 200.0 + 170.0 * np.sin(2.0 * math.pi * start / BLOCK_S)
    return Wind(start, np.full(minutes, 3.0), swinging % 360.0, none, none, none, none, height)


def readings(minutes: int) -> Observations:
    """Return what a source at (12, -8) gives by the steady plume of class D, in a background, with noise."""
    towards = np.radians(wind(MINUTES).from_deg + 180.0)
    value: Floats = np.full((MINUTES, len(PLACES)), 1.3e-3)
    for j, (x, y) in enumerate(PLACES):
        along = (x - 12.0) * np.sin(towards) + (y + 8.0) * np.cos(towards)
        across = (x - 12.0) * np.cos(towards) - (y + 8.0) * np.sin(towards)
        down = np.maximum(along, 1.0)
        side, up = 0.08 * down, 0.06 * down
        plume = 0.5 / (math.pi * 3.0 * side * up) * np.exp(-0.5 * (across / side) ** 2)
        value[:, j] += np.where(along > 1.0, plume, 0.0)
    value += 3e-5 * np.random.default_rng(8).standard_normal(value.shape)
    start: Floats = np.repeat(60.0 * np.arange(minutes, dtype=np.float64), len(PLACES))
    sensors = np.column_stack((PLACES, np.full(len(PLACES), 2.0)))
    names = tuple(f"s{j}" for j in range(len(PLACES)))
    sensor = np.tile(np.arange(len(PLACES)), minutes)
    return Observations(names, sensors, sensor, start, np.full(start.size, 60.0), value[:minutes].ravel())


@pytest.mark.timeout(180)
def test_minute_by_minute_is_as_all_at_once() -> None:
    """Seven minutes on, past the start of a block, place, rate and rank agree with a fresh start."""
    tracer = Tracer(Settings(0.0, 0.0, BOUNDS, source_height_m=(2.0, 2.0)), LISTED)
    for minute in range(BEGIN, MINUTES):
        tracer.trace(readings(minute), wind(minute), 60.0 * minute)
    found = tracer.trace(readings(MINUTES), wind(MINUTES), 60.0 * MINUTES)
    # Blocks as the tracer has them: the last is not yet full.
    end = BLOCK_S * math.ceil(60.0 * MINUTES / BLOCK_S)
    again = trace(
        readings(MINUTES), wind(MINUTES), Settings(0.0, end, BOUNDS, source_height_m=(2.0, 2.0)), LISTED
    )
    assert math.dist(found.point_m, again.point_m) < 0.5
    assert found.rate_quantile(0.5) == pytest.approx(again.rate_quantile(0.5), rel=0.05)
    assert found.candidates == pytest.approx(again.candidates, abs=0.02)
    assert found.log_bayes_factor == pytest.approx(again.log_bayes_factor, abs=1.0)
