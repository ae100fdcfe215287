"""The coupling: where the air came from, and that what flows out is what was let in."""

import math

import numpy as np
import pytest

from pipeline.tracing.problem import Floats
from pipeline.tracing.puffs import COLUMNS, MEASURED, briggs_rural, couple, look_up, meander_share, rline

SENSOR = np.array([[0.0, 0.0, 2.0]])
RINGS = np.exp(0.05 * np.arange(120))  # To 380 m
SPOKES = 360
PUFF_STEP = 1.0


def weather(speed: float, stability: float = 3.0, sigma_v: float = 0.0) -> Floats:
    """Return one row of weather."""
    row = np.zeros((1, COLUMNS))
    row[0] = [speed, stability, math.nan, math.nan, sigma_v, 0.1, 10.0, 1.0]
    return row


def coupling(
    from_deg: float,
    x: Floats,
    y: Floats,
    row: Floats,
    heights: tuple[float, ...] = (2.0,),
    sensor: Floats = SENSOR,
) -> Floats:
    """Return (ny, nx) couplings with one reading in a steady wind."""
    towards = math.radians(from_deg + 180.0)
    wind = (np.array([-1e6]), np.array([math.sin(towards)]), np.array([math.cos(towards)]))
    return traced(np.zeros(1), wind, row, heights, sensor, x, y)


def traced(
    arrival: Floats,
    wind: tuple[Floats, Floats, Floats],
    row: Floats,
    heights: tuple[float, ...],
    sensor: Floats,
    x: Floats,
    y: Floats,
    turned: float = 0.0,
) -> Floats:
    """Return (ny, nx) couplings of one reading; wind: starts, east, north."""
    one = np.zeros(1, np.int64)
    field = couple(
        arrival, np.array([0, 1]), one, one, np.ones(1), sensor[:, 2].copy(), *wind, row, np.array(heights),
        RINGS, SPOKES, PUFF_STEP, 1,
    )  # fmt: skip
    east, north = (part.ravel() for part in np.meshgrid(x, y))
    result = np.empty((1, east.size), np.float32)
    look_up(field, one, sensor, east, north, RINGS, turned, result)
    return np.asarray(result.reshape(y.size, x.size), float)


@pytest.mark.parametrize(
    ("from_deg", "east", "north"), [(0, 0, 1), (90, 1, 0), (180, 0, -1), (270, -1, 0), (45, 0.707, 0.707)]
)
def test_a_source_lies_where_the_wind_comes_from(from_deg: float, east: float, north: float) -> None:
    """Compass, from: wind of 90 comes from the east, so what it brings comes from x > 0."""
    axis = np.arange(-100.0, 101.0, 4.0)
    found = coupling(from_deg, axis, axis, weather(3.0))
    x, y = np.meshgrid(axis, axis)
    total = found.sum()
    bearing = math.degrees(math.atan2((found * x).sum() / total, (found * y).sum() / total))
    off = (bearing - math.degrees(math.atan2(east, north)) + 180.0) % 360.0 - 180.0
    assert off == pytest.approx(0.0, abs=1.0)


@pytest.mark.parametrize("stability", [1.0, 3.0, 4.0])
@pytest.mark.parametrize("speed", [1.0, 5.0])
def test_the_flux_through_a_plane_is_the_rate(stability: float, speed: float) -> None:
    """Speed times concentration, summed over a plane across the wind, is the rate that was let in.

    By reciprocity the plane may be one of sources: every height of source, every place across the wind, at
    one distance upwind.
    """
    heights = np.arange(0.125, 60.0, 0.25)
    across = np.arange(-90.0, 90.1, 1.5)
    found = coupling(
        270.0, np.array([-61.5, -60.0, -58.5]), across, weather(speed, stability), tuple(heights)
    )
    flux = speed * found[:, 1].sum() * 1.5 * (heights.size * 0.25)
    assert flux == pytest.approx(1.0, abs=0.05)


def test_low_wind_spreads_part_of_the_plume_over_all_directions() -> None:
    """AERMOD: the share is 2σv²/(2σv² + U²), and a source downwind is felt only through it."""
    assert meander_share(0.3, 0.3) == pytest.approx(2 / 3)
    assert meander_share(0.0, 1.0) == 0.0
    axis = np.arange(-60.0, 61.0, 4.0)
    still = coupling(270.0, axis, axis, weather(0.5, 3.0, 0.3))
    steady = coupling(270.0, axis, axis, weather(0.5, 3.0, 0.0))
    downwind = (15, 25)
    assert still[downwind] > 0.0
    assert steady[downwind] < 1e-6 * steady.max()


def test_the_wind_of_the_past_bends_the_track() -> None:
    """Air that arrives from the west but came from the south before is traced to the south-west."""
    axis = np.arange(-200.0, 201.0, 5.0)
    row = np.repeat(weather(2.0), 2, axis=0)
    wind = (np.array([-1e6, 0.0]), np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    bent = traced(np.array([30.0]), wind, row, (2.0,), SENSOR, axis, axis)
    k, i = np.argwhere(axis == -100.0)[0, 0], np.argwhere(axis == -60.0)[0, 0]
    assert bent[k, i] > 100 * bent[axis.size // 2, np.argwhere(axis == -150.0)[0, 0]]


def test_turning_the_wind_is_turning_the_field() -> None:
    """Looked up with the wind turned by 30°, a field is that of a wind from 30° further clockwise."""
    axis = np.arange(-100.0, 101.0, 4.0)
    still = (np.array([-1e6]), np.array([0.0]), np.array([-1.0]))
    turned = traced(np.zeros(1), still, weather(3.0), (2.0,), SENSOR, axis, axis, math.radians(30.0))
    assert turned == pytest.approx(coupling(30.0, axis, axis, weather(3.0)), abs=1e-3 * turned.max())


def test_briggs_at_a_hundred_metres() -> None:
    """Class D: σy = 8/√1.01 m, σz = 6/√1.15 m."""
    assert briggs_rural(100.0, 3) == pytest.approx((8.0 / math.sqrt(1.01), 6.0 / math.sqrt(1.15)))


def test_rline_is_wider_in_convection_and_flatter_in_stability() -> None:
    """At one u*, σz grows with -1/L; near neutral it tends to 0.57 u*/Ue x."""
    unstable = rline(100.0, 0.3, -10.0, 0.6, 4.0, 0.01, 2.0)
    stable = rline(100.0, 0.3, 20.0, 0.6, 4.0, 0.01, 2.0)
    neutral = rline(100.0, 0.3, -1e9, 0.6, 4.0, 0.01, 2.0)
    assert stable[1] < neutral[1] < unstable[1]
    assert neutral[1] == pytest.approx(0.57 * 0.3 / neutral[2] * 100.0, rel=0.02)
    assert MEASURED == -1.0
