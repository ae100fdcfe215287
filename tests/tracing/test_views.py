"""Views beside an answer: each shows what one would expect of a wind that one knows."""

import math

import numpy as np
import pytest

from pipeline.commands.air_limits import exceedances
from pipeline.tracing.problem import Floats, Observations, Settings, Wind
from pipeline.tracing.views import blind_area, conditional_probability, footprint, polar_plot

NOON_2025, NOON_2026 = 1_751_371_200.0, 1_782_907_200.0  # 1 July, 12:00 UTC


def winds(from_deg: Floats) -> Wind:
    """Return a wind of 3 m/s by the minute."""
    none = np.full(from_deg.size, math.nan)
    start = 60.0 * np.arange(from_deg.size, dtype=np.float64)
    return Wind(
        start, np.full(from_deg.size, 3.0), from_deg, none, none, none, none, np.full(from_deg.size, 10.0)
    )


def readings(values: Floats, places: tuple[tuple[float, float], ...], start_s: float = 0.0) -> Observations:
    """Return readings by the minute, (minutes, sensors)."""
    minutes, sensors = values.shape
    return Observations(
        tuple(f"s{j}" for j in range(sensors)),
        np.array([[x, y, 2.0] for x, y in places]),
        np.tile(np.arange(sensors), minutes),
        start_s + np.asarray(np.repeat(60.0 * np.arange(minutes), sensors), np.float64),
        np.full(minutes * sensors, 60.0),
        values.ravel(),
    )


SETTINGS = Settings(0.0, 3600.0, (-100.0, -100.0, 100.0, 100.0), source_height_m=(1.0, 2.0))


def test_a_footprint_lies_upwind() -> None:
    """In a west wind the air of a reading was west of it, nearer by more than farther."""
    wind = winds(np.full(60, 270.0))
    found = footprint(readings(np.zeros((60, 1)), ((0.0, 0.0),)), wind, SETTINGS, 0, 1800.0, 600.0)
    x, y = np.meshgrid(found.grid.x_m, found.grid.y_m)
    west = found.values[(np.abs(y) < 6) & (x < -10)].mean()
    assert west > 50.0 * found.values[(np.abs(y) < 6) & (x > 10)].mean()
    assert found.values[(np.abs(y) < 6) & (x < -10) & (x > -40)].mean() > west


def test_what_no_sensor_is_downwind_of_is_blind() -> None:
    """Two sensors in the east notice a source in the west by far less than one behind them."""
    wind = winds(np.full(60, 270.0))
    values = 2e-3 + 1e-5 * np.sin(np.arange(120.0).reshape(60, 2) * 7.0)
    seen = readings(values, ((40.0, -5.0), (40.0, 5.0)))
    found = blind_area(seen, wind, SETTINGS)
    x, y = np.meshgrid(found.grid.x_m, found.grid.y_m)
    front = float(np.median(found.values[(np.abs(y) < 5) & (x < 20) & (x > -20)]))
    behind = float(np.median(found.values[(np.abs(y) < 5) & (x > 60)]))
    assert behind > 30.0 * front
    one_is_silent = blind_area(seen.select(seen.sensor == 0), wind, SETTINGS)
    assert np.isinf(one_is_silent.values).all()  # One sensor alone is no two.


def test_polar_plot_and_cpf_point_to_where_high_readings_come_from() -> None:
    """Readings that are high in south-west wind are high there, and nowhere else."""
    bearing = np.asarray((7.0 * np.arange(1000)) % 360.0, np.float64)
    value = 1e-4 + 1e-3 * np.exp(-0.5 * ((bearing - 225.0) / 12.0) ** 2)
    seen, wind = readings(value[:, None], ((0.0, 0.0),)), winds(bearing)
    polar = polar_plot(seen, wind, 0)
    _, best = np.unravel_index(int(np.nanargmax(polar.values)), polar.values.shape)
    assert polar.from_deg[best] <= 225.0 <= polar.from_deg[best + 1]
    sectors = conditional_probability(seen, wind, 0)
    assert abs(float(sectors.from_deg[int(np.nanargmax(sectors.share))]) - 225.0) <= 15.0
    assert float(sectors.share[9]) == 0.0


@pytest.mark.parametrize(
    ("start_s", "edition", "limit"), [(NOON_2025, "GB 3095-2012", 75.0), (NOON_2026, "GB 3095-2026", 60.0)]
)
def test_limits_are_those_in_force_at_the_time(start_s: float, edition: str, limit: float) -> None:
    """PM2.5 of 65 µg/m³ over a day: below the limit of 2012, above that of 2026's first stage."""
    seen = readings(np.full((1440, 1), 65e-6), ((0.0, 0.0),), start_s)
    (found,) = exceedances(seen, "pm2_5")
    assert found.edition.startswith(edition)
    assert (found.hours, found.limit_ug_m3) == (24, limit)
    assert found.ug_m3 == pytest.approx(65.0)
    assert found.exceeded is (limit == 60.0)


def test_the_index_is_linear_between_breakpoints_and_rounded_up() -> None:
    """NO2 of 150 µg/m³ in an hour: 50 + (150 - 100) / (200 - 100) · 50 = 75 (HJ 633-2012)."""
    (found,) = [
        one
        for one in exceedances(readings(np.full((60, 1), 150e-6), ((0.0, 0.0),), NOON_2025), "no2")
        if one.hours == 1
    ]
    assert found.index == 75.0


def test_an_hour_that_was_hardly_read_is_no_hour() -> None:
    """Forty minutes are less than the three quarters that the standard asks for."""
    assert not exceedances(readings(np.full((40, 1), 150e-6), ((0.0, 0.0),), NOON_2025), "no2")
