"""A trace of a release: found where it was let in, ranked, silent when there is none."""

import csv
import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from pipeline.tracing.air import trace
from pipeline.tracing.problem import Candidate, Floats, Observations, Settings, Wind
from pipeline.tracing.units import grams_per_cubic_metre

PLACES = np.array([[40.0, 0.0], [20, 35], [-20, 35], [-40, 0], [-20, -35], [20, -35]])
MINUTES = 120


def winds(minutes: int) -> Wind:
    """Return a wind that veers through a whole turn."""
    none = np.full(minutes, math.nan)
    start = 60.0 * np.arange(minutes, dtype=np.float64)
    turning = 6.0 / minutes * start
    return Wind(start, np.full(minutes, 3.0), turning, none, none, none, none, np.full(minutes, 10.0))


def plume(x: float, y: float, rate: float, wind: Wind) -> Floats:
    """Return (sensors, minutes) g/m³ by the steady Gaussian plume of class D: not the code under test."""
    result = np.zeros((len(PLACES), MINUTES))
    towards = np.radians(wind.from_deg + 180.0)
    for j, (sx, sy) in enumerate(PLACES):
        along = (sx - x) * np.sin(towards) + (sy - y) * np.cos(towards)
        across = (sx - x) * np.cos(towards) - (sy - y) * np.sin(towards)
        down = np.maximum(along, 1.0)
        side, up = 0.08 * down, 0.06 * down / np.sqrt(1 + 1.5e-3 * down)
        value = rate / (math.pi * 3.0 * side * up) * np.exp(-0.5 * (across / side) ** 2)
        result[j] = np.where(along > 1.0, value, 0.0)
    return result


def observe(values: Floats) -> Observations:
    """Return readings at 2 m, with a background of 1.3 mg/m³ and noise."""
    noisy = values + 1.3e-3 + 3e-5 * np.random.default_rng(5).standard_normal(values.shape)
    sensors = np.column_stack((PLACES, np.full(len(PLACES), 2.0)))
    names = tuple(f"s{j}" for j in range(len(PLACES)))
    sensor = np.tile(np.arange(len(PLACES)), MINUTES)
    start = np.asarray(np.repeat(60.0 * np.arange(MINUTES), len(PLACES)), np.float64)
    return Observations(names, sensors, sensor, start, np.full(start.size, 60.0), noisy.T.ravel())


def settings() -> Settings:
    """Return the whole time and 120 m by 120 m."""
    return Settings(0.0, 60.0 * MINUTES, (-60.0, -60.0, 60.0, 60.0), source_height_m=(2.0, 2.0))


def test_a_plume_by_another_formula_is_traced_to_its_source() -> None:
    """Within 10 m, the rate within a factor of two, the listed source first, the zero found."""
    wind = winds(MINUTES)
    listed = (Candidate("here", 12.0, -8.0), Candidate("there", -25.0, 10.0))
    found = trace(observe(plume(12.0, -8.0, 0.5, wind)), wind, settings(), listed)
    assert math.dist(found.point_m, (12.0, -8.0)) < 10.0
    assert 0.25 < found.rate_quantile(0.5) < 1.0
    assert found.log_bayes_factor > 5.0
    assert found.candidates[0] > 0.8
    assert found.zeros_g_m3 == pytest.approx(1.3e-3, abs=1e-4)
    assert sum(found.candidates) + found.unknown_location == pytest.approx(1.0)
    assert np.exp(found.log_mass).sum() + found.outside == pytest.approx(1.0)


def test_an_unlisted_source_is_no_listed_one() -> None:
    """Where no candidate is near, the place is unknown rather than the nearest candidate."""
    wind = winds(MINUTES)
    listed = (Candidate("a", -40.0, 40.0), Candidate("b", 40.0, 40.0))
    found = trace(observe(plume(5.0, -20.0, 0.5, wind)), wind, settings(), listed)
    assert found.unknown_location > 0.9


def test_clean_air_has_no_source() -> None:
    """Noise alone speaks against a source."""
    found = trace(observe(np.zeros((len(PLACES), MINUTES))), winds(MINUTES), settings())
    assert found.log_bayes_factor < 0.0


def test_the_same_question_has_the_same_answer() -> None:
    """Nothing is drawn by chance."""
    wind = winds(MINUTES)
    observations = observe(plume(0.0, 0.0, 0.5, wind))
    first, second = (trace(observations, wind, settings()) for _ in range(2))
    assert np.array_equal(first.log_mass, second.log_mass)


def rows(path: Path) -> list[dict[str, str]]:
    """Return a CSV file's rows."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


def metres(lon: str, lat: str) -> tuple[float, float]:
    """Return metres from the tank."""
    lon0, lat0 = -105.13986, 40.59579
    return (float(lon) - lon0) * 111_320 * math.cos(math.radians(lat0)), (float(lat) - lat0) * 111_035


def first_releases(folder: Path) -> list[tuple[str, str]]:
    """Trace each equipment's first release of the week, window given: (nearest candidate, first ranked)."""
    table = rows(folder / "aded2022_obs_wind_1min.csv")
    places = {row["name"]: row for row in rows(folder / "sensor_locations.csv")}
    names = tuple(places)
    start = np.array([datetime.fromisoformat(row["time_utc"]).timestamp() for row in table])
    values = np.array([[float(row[name] or "nan") for name in names] for row in table])
    t, j = np.nonzero(np.isfinite(values))
    sensors = np.array([[*metres(p["lon"], p["lat"]), float(p["height"])] for p in places.values()])
    factor = grams_per_cubic_metre("ppm", "ch4", pressure_pa=84_000.0)
    seen = Observations(names, sensors, j, start[t], np.full(t.size, 60.0), values[t, j] * factor)
    none, height = np.full(start.size, math.nan), np.full(start.size, 2.4)
    speed, from_deg = (np.array([float(row[key]) for row in table]) for key in ("ws_m_s", "wd_from_deg"))
    wind = Wind(start, speed, from_deg, none, none, none, none, height)
    listed = tuple(
        Candidate(p["name"], *metres(p["lon"], p["lat"])) for p in rows(folder / "source_locations.csv")
    )
    answers: dict[str, str] = {}
    for release in rows(folder / "releases_in_sample_week.csv"):
        place = metres(release["tc_Longitude"], release["tc_Latitude"])
        nearest = min(listed, key=lambda candidate: math.dist((candidate.x_m, candidate.y_m), place)).name
        if nearest in answers:
            continue
        first, last = (
            datetime.fromisoformat(release[key]).timestamp()
            for key in ("tc_ExpStartDatetime", "tc_ExpEndDatetime")
        )
        found = trace(seen, wind, Settings(first, last, (-90.0, -70.0, 90.0, 70.0)), listed)
        answers[nearest] = listed[int(np.argmax(found.candidates))].name
    return list(answers.items())


@pytest.mark.timeout(180)
def test_real_releases_are_traced_to_their_equipment(shared: Path) -> None:
    """ADED 2022, one release at each of five pieces of equipment: the true one ranks first of the listed."""
    answers = first_releases(shared / "tracing-data" / "aded2022")
    assert len(answers) == 5
    assert [nearest for nearest, _ in answers] == [ranked for _, ranked in answers]
