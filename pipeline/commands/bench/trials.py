"""Field trials as questions with known answers: ADED 2022 and Prairie Grass 1956, from their files."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from pipeline.commands.air_files import Row, read_rows
from pipeline.tracing.problem import Candidate, Floats, Observations, Settings, Wind
from pipeline.tracing.units import grams_per_cubic_metre

METEC_PRESSURE_PA = 84_000.0
METRES_PER_DEGREE = (111_320.0, 111_035.0)  # Of longitude at the equator, of latitude at 40.6° north
PRAIRIE_ROUGHNESS_M = 0.006
PRAIRIE_ARCS_M = (50.0, 100.0, 200.0, 400.0, 800.0)
SAMPLERS = 20
LEAST_MARGIN_M = 50.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One release, what was measured of it, and the truth."""

    name: str
    observations: Observations
    wind: Wind
    settings: Settings
    candidates: tuple[Candidate, ...]
    x_m: float
    y_m: float
    rate_g_s: float


def aded(folder: Path) -> Iterator[Trial]:
    """Yield the 17 releases of a week at METEC; metres are counted from the tank."""
    listed = list(read_rows(folder / "source_locations.csv", ("lon", "lat", "height", "name")))
    origin = next(row for row in listed if row.text("name") == "Tank")
    lon0, lat0 = origin.number("lon"), origin.number("lat")

    def metres(lon: float, lat: float) -> tuple[float, float]:
        east, north = METRES_PER_DEGREE
        return (lon - lon0) * east * math.cos(math.radians(lat0)), (lat - lat0) * north

    places = {
        row.text("name"): (*metres(row.number("lon"), row.number("lat")), row.number("height"))
        for row in read_rows(folder / "sensor_locations.csv", ("lon", "lat", "height", "name"))
    }
    seen, wind = _aded_week(folder / "aded2022_obs_wind_1min.csv", places)
    candidates = tuple(
        Candidate(row.text("name"), *metres(row.number("lon"), row.number("lat"))) for row in listed
    )
    for row in read_rows(folder / "releases_in_sample_week.csv", ("tc_EPID", "tc_Longitude", "tc_Latitude")):
        begin, end = (_seconds(row, f"tc_Exp{which}Datetime") for which in ("Start", "End"))
        yield Trial(
            row.text("tc_EPID"), seen, wind, Settings(begin, end, (-90.0, -70.0, 90.0, 70.0)), candidates,
            *metres(row.number("tc_Longitude"), row.number("tc_Latitude")),
            row.number("tc_C1MassFlow") / 3600.0,
        )  # fmt: skip


def _seconds(row: Row, column: str) -> float:
    return datetime.fromisoformat(row.text(column)).timestamp()


def _aded_week(path: Path, places: dict[str, tuple[float, float, float]]) -> tuple[Observations, Wind]:
    names = tuple(places)
    rows = list(read_rows(path, ("time_utc", "ws_m_s", "wd_from_deg", *names)))
    start = np.array([_seconds(row, "time_utc") for row in rows])
    value = np.array([[float(row.fields[name] or "nan") for name in names] for row in rows])
    minute, sensor = np.nonzero(np.isfinite(value))
    factor = grams_per_cubic_metre("ppm", "ch4", pressure_pa=METEC_PRESSURE_PA)
    interval = np.full(minute.size, 60.0)
    seen = Observations(
        names,
        np.array(list(places.values())),
        sensor,
        start[minute],
        interval,
        value[minute, sensor] * factor,
    )
    none = np.full(start.size, math.nan)
    speed, from_deg = (np.array([row.number(key) for row in rows]) for key in ("ws_m_s", "wd_from_deg"))
    return seen, Wind(start, speed, from_deg, none, none, none, none, np.full(start.size, 2.4))


def prairie_grass(folder: Path, least_arc_m: float, draws: int) -> Iterator[Trial]:
    """Yield draws of 20 samplers from every run with meteorology and samples enough on the arcs chosen."""
    weather = {
        row.text("run"): row for row in read_rows(folder / "prairie_grass_met_tidy.csv", ("run", "L_m"))
    }
    kept = evaporation(folder / "PGrassEvapLossTABLE_5_4.txt")
    runs: dict[str, list[Row]] = {}
    for row in read_rows(folder / "prairie_grass_arcs_tidy.csv", ("run", "arc_m", "conc_mg_m3", "q_g_s")):
        measured = all(row.fields[key] for key in ("conc_mg_m3", "q_g_s", "x_m", "y_m"))
        if measured and row.number("arc_m") >= least_arc_m:
            runs.setdefault(row.text("run"), []).append(row)
    for run, rows in runs.items():
        met = weather.get(run)
        if met is None or not met.fields["L_m"] or not met.fields["u2m"] or len(rows) < SAMPLERS:
            continue
        for draw in range(draws):
            chosen = np.random.default_rng([int(run), draw]).choice(len(rows), SAMPLERS, replace=False)
            yield _prairie_trial(run, [rows[n] for n in chosen], met, kept)


def evaporation(path: Path) -> dict[tuple[str, float], float]:
    """Return by (run, arc in metres) what readings are to be multiplied by: the samplers' liquid dried up."""
    factors: dict[tuple[str, float], float] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if len(words) == 1 + len(PRAIRIE_ARCS_M) and words[0].isdigit():
            for arc, word in zip(PRAIRIE_ARCS_M, words[1:], strict=True):
                factors[words[0], arc] = float(word)
    factors["12", 200.0] = 0.9  # Printed as 0.09
    return factors


def _prairie_trial(run: str, rows: list[Row], met: Row, kept: dict[tuple[str, float], float]) -> Trial:
    def one(value: float) -> Floats:
        return np.array([value])

    places = np.array([[row.number(key) for key in ("x_m", "y_m", "zr_m")] for row in rows])
    value = np.array(
        [row.number("conc_mg_m3") * 1e-3 * kept.get((run, row.number("arc_m")), 1.0) for row in rows]
    )
    count, zeros = len(rows), np.zeros(len(rows))
    names = tuple(map(str, range(count)))
    seen = Observations(names, places, np.arange(count), zeros, np.full(count, 600.0), value)
    speed = met.number("u2m")
    sigma_v = math.radians(met.number("sd_azim_deg" if "sd_azim_deg" in met.fields else "sd_azim")) * speed
    wind = Wind(
        one(0.0), one(speed), one(met.number("wdir_from_deg")), one(met.number("ustar")),
        one(met.number("L_m")), one(sigma_v), one(PRAIRIE_ROUGHNESS_M), one(2.0),
    )  # fmt: skip
    low, high = places[:, :2].min(0), places[:, :2].max(0)
    margin = max(0.5 * float((high - low).max()), LEAST_MARGIN_M)
    (west, south), (east, north) = low - margin, high + margin
    bounds = (float(west), float(south), float(east), float(north))
    settings = Settings(0.0, 600.0, bounds, source_height_m=(0.3, 1.5))
    return Trial(run, seen, wind, settings, (), 0.0, 0.0, rows[0].number("q_g_s"))
