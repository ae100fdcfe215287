"""When something was released, with no hours given: found where it was, and nothing where there was none."""

import math

import numpy as np
import pytest

from pipeline.tracing.detection import detect
from pipeline.tracing.events import find
from pipeline.tracing.problem import Candidate, Floats, Observations, Settings, Wind

PLACES = np.array([[40.0, 0.0], [20, 35], [-20, 35], [-40, 0], [-20, -35], [20, -35]])
MINUTES = 12 * 60
BOUNDS = (-60.0, -60.0, 60.0, 60.0)


def winds() -> Wind:
    """Return a wind that goes round in two hours, again and again."""
    none = np.full(MINUTES, math.nan)
    start = 60.0 * np.arange(MINUTES, dtype=np.float64)
    return Wind(start, np.full(MINUTES, 3.0), 0.05 * start % 360.0, none, none, none, none, none + 10.0)


def plume(x: float, y: float, rate: float, first: int, last: int) -> Floats:
    """Return (sensors, minutes) g/m³ of class D by the steady Gaussian plume: not the code under test."""
    towards = np.radians(winds().from_deg + 180.0)
    result = np.zeros((len(PLACES), MINUTES))
    for j, (sx, sy) in enumerate(PLACES):
        along = (sx - x) * np.sin(towards) + (sy - y) * np.cos(towards)
        across = (sx - x) * np.cos(towards) - (sy - y) * np.sin(towards)
        down = np.maximum(along, 1.0)
        side, up = 0.08 * down, 0.06 * down / np.sqrt(1 + 1.5e-3 * down)
        value = rate / (math.pi * 3.0 * side * up) * np.exp(-0.5 * (across / side) ** 2)
        result[j] = np.where(along > 1.0, value, 0.0)
    result[:, :first] = result[:, last:] = 0.0
    return result


def observe(values: Floats, seed: int = 5) -> Observations:
    """Return readings over a background, with noise and a zero that drifts by the hour."""
    chance = np.random.default_rng(seed)
    drift = 5e-5 * np.cumsum(chance.standard_normal((len(PLACES), MINUTES)) / 60.0, axis=1)
    noisy = values + 1.3e-3 + drift + 3e-5 * chance.standard_normal(values.shape)
    sensors = np.column_stack((PLACES, np.full(len(PLACES), 2.0)))
    start = np.asarray(np.repeat(60.0 * np.arange(MINUTES), len(PLACES)), np.float64)
    sensor = np.tile(np.arange(len(PLACES)), MINUTES)
    names = tuple(f"s{j}" for j in range(len(PLACES)))
    return Observations(names, sensors, sensor, start, np.full(start.size, 60.0), noisy.T.ravel())


def settings() -> Settings:
    """Return half a day and 120 m by 120 m."""
    return Settings(0.0, 60.0 * MINUTES, BOUNDS, source_height_m=(2.0, 2.0))


def test_two_releases_are_found_in_their_hours() -> None:
    """Each onset and end within the time that the wind takes to bring the plume past the next sensor."""
    values = plume(12.0, -8.0, 0.5, 120, 270) + plume(-15.0, 10.0, 0.5, 480, 640)
    found = detect(observe(values), winds(), settings()).found
    assert len(found) == 2
    for one, (first, last) in zip(found, ((120, 270), (480, 640)), strict=True):
        assert one.onset.median / 60.0 == pytest.approx(first, abs=20.0)
        assert one.end.median / 60.0 == pytest.approx(last, abs=20.0)
        assert one.onset.low <= one.onset.median <= one.onset.high
        assert one.log_e > 10.0


@pytest.mark.parametrize("seed", range(4))
def test_clean_air_alarms_nobody(seed: int) -> None:
    """Noise and drift alone: no event, and the evidence that is left is less than what would be needed."""
    found = detect(observe(np.zeros((len(PLACES), MINUTES)), seed), winds(), settings())
    assert found.found == ()
    assert found.log_e_rest < found.log_e_needed


def test_an_event_is_traced_within_the_hours_that_were_found() -> None:
    """Onset, place, rate and candidate come out of one call; P(K) sums to one and favours one source."""
    listed = (Candidate("here", 12.0, -8.0), Candidate("there", -25.0, 10.0))
    found = find(
        observe(plume(12.0, -8.0, 0.5, 200, 400)), winds(), settings(), listed, release=None, max_sources=2
    )
    (event,) = found.events
    assert math.dist((event.sources[0].x_m, event.sources[0].y_m), (12.0, -8.0)) < 10.0
    assert event.candidates[0] > 0.8
    assert sum(event.p_count) == pytest.approx(1.0)
    assert event.p_count[1] > 0.5
    assert (event.suspects < 0.5).all()


def test_two_sources_at_once_are_told_apart() -> None:
    """The number is two, and each is found within 12 m."""
    values = plume(-22.0, 12.0, 0.5, 0, MINUTES) + plume(20.0, -15.0, 0.4, 0, MINUTES)
    found = find(observe(values), winds(), settings(), (), release=(0.0, 7200.0), max_sources=3)
    (event,) = found.events
    assert int(np.argmax(event.p_count)) == 2
    places = [(source.x_m, source.y_m) for source in event.sources]
    for place in ((-22.0, 12.0), (20.0, -15.0)):
        assert min(math.dist(place, one) for one in places) < 12.0


def test_a_sensor_that_reads_what_no_source_explains_is_suspected() -> None:
    """One sensor of six reads a plume's worth of gas from the side where there is none."""
    values = plume(12.0, -8.0, 0.5, 0, MINUTES)
    values[3] = np.roll(values[3] + values[0], 61) * 3.0
    found = find(observe(values), winds(), settings(), (), release=(0.0, 14_400.0), max_sources=1)
    (event,) = found.events
    assert int(np.argmax(event.suspects)) == 3
