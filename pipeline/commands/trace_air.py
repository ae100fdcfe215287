"""`cityproof trace air`: where a release came from, out of files."""

import json
import math
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipeline.commands.air_files import (
    CANDIDATE_COLUMNS,
    OBSERVATION_COLUMNS,
    WIND_COLUMNS,
    parse_time,
    read_candidates,
    read_observations,
    read_wind,
    unused_columns,
)
from pipeline.tracing.air import Posterior, trace
from pipeline.tracing.grid import multipolygon, smallest_region
from pipeline.tracing.problem import Candidate, Observations, Settings, Wind
from pipeline.wire.errors import InputError

SCHEMA = "cityproof-trace-air-1"
INTERVAL = 0.9
AROUND = 0.5  # Of the sensors' extent: how far beyond them to look when no bounds are given.
LEAST_AROUND_M = 50.0


@dataclass(frozen=True, slots=True)
class Question:
    """What the command line asks."""

    observations: Path
    wind: Path
    candidates: Path | None
    bounds: str | None
    release_from: str | None
    release_to: str | None
    quantity: str | None
    source_height: str
    background: str
    wind_error_deg: float
    out: Path


def run(question: Question) -> int:
    """Trace, and write the answer; the posterior's cells go into a .npy file beside it."""
    began = time.perf_counter()
    observations, quantity = read_observations(question.observations, question.quantity)
    wind = read_wind(question.wind)
    candidates = read_candidates(question.candidates) if question.candidates else ()
    settings = _settings(question, observations)
    if wind.start_s.size > 1 and (
        wind.start_s[0] >= settings.to_s or wind.start_s[-1] < settings.from_s - 3600
    ):
        raise InputError("--wind", "no row within the release", "Give wind of the same hours, in UTC.")
    found = trace(observations, wind, settings, candidates)
    cells = question.out.with_suffix(".npy")
    np.save(cells, found.log_mass)
    answer = _answer(found, observations, settings, candidates, cells, _warnings(question, wind))
    answer["quantity"] = quantity
    answer["seconds"] = round(time.perf_counter() - began, 3)
    question.out.write_text(json.dumps(answer, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    x, y = found.point_m
    low, middle, high = (found.rate_quantile(share) for share in (0.05, 0.5, 0.95))
    print(
        f"source with probability {_p_source(found, settings):.3f}, most likely at x {x:.1f} m, y {y:.1f} m"
    )
    print(f"rate {middle:.3g} g/s ({low:.3g} to {high:.3g})")
    for candidate, p in sorted(zip(candidates, found.candidates, strict=True), key=lambda pair: -pair[1])[:3]:
        print(f"{candidate.name}: {p:.3f}")
    return 0


def _settings(question: Question, observations: Observations) -> Settings:
    first, last = (
        float(observations.start_s[0]),
        float((observations.start_s + observations.interval_s).max()),
    )
    begin = parse_time(question.release_from, "--release-from") if question.release_from else first
    end = parse_time(question.release_to, "--release-to") if question.release_to else last
    inside = (observations.start_s >= begin) & (observations.start_s < end)
    if not inside.any():
        raise InputError(
            "--release-from", "no reading starts within the release", "Choose hours that overlap."
        )
    if question.bounds:
        west, south, east, north = _numbers(question.bounds, "--bounds", 4)
    else:
        (west, south), (east, north) = (
            observations.sensors_m[:, :2].min(0),
            observations.sensors_m[:, :2].max(0),
        )
        margin = max(AROUND * max(east - west, north - south), LEAST_AROUND_M)
        west, south, east, north = west - margin, south - margin, east + margin, north + margin
    if west >= east or south >= north:
        raise InputError("--bounds", "they hold no area", "Write x0,y0,x1,y1 with x0 < x1 and y0 < y1.")
    low, high = _numbers(question.source_height, "--source-height", 2)
    background = None if question.background == "fit" else _numbers(question.background, "--background", 1)[0]
    return Settings(
        begin,
        end,
        (float(west), float(south), float(east), float(north)),
        source_height_m=(low, high),
        background_g_m3=background,
        wind_error_deg=question.wind_error_deg,
    )


def _numbers(text: str, place: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise InputError(
            place, f"{text!r} is not {count} numbers", "Separate them by commas, without spaces."
        )
    return numbers


def _warnings(question: Question, wind: Wind) -> list[str]:
    warnings = [
        "one source is assumed; the search for several is not built yet",
    ]
    if question.release_from is None or question.release_to is None:
        warnings.append(
            "the release is taken to last as long as the readings; onset and end are not searched yet"
        )
    files = (
        (question.observations, OBSERVATION_COLUMNS),
        (question.wind, WIND_COLUMNS),
        (question.candidates, CANDIDATE_COLUMNS),
    )
    warnings += [
        f"{path}: columns that change nothing yet: {', '.join(unused)}"
        for path, columns in files
        if path is not None and (unused := unused_columns(path, columns))
    ]
    if np.all(wind.height_m == 10.0):
        warnings.append("wind is taken to be measured at 10 m and to hold everywhere")
    return warnings


def _p_source(found: Posterior, settings: Settings) -> float:
    odds = found.log_bayes_factor + math.log(
        settings.probability_of_source / (1.0 - settings.probability_of_source)
    )
    return 1.0 / (1.0 + math.exp(-min(max(odds, -700.0), 700.0)))


def _answer(
    found: Posterior,
    observations: Observations,
    settings: Settings,
    candidates: tuple[Candidate, ...],
    cells: Path,
    warnings: list[str],
) -> dict[str, object]:
    probability, (x, y), grid = _p_source(found, settings), found.point_m, found.grid
    rate = dict(zip(("low", "median", "high"), map(found.rate_quantile, (0.05, 0.5, 0.95)), strict=True))
    mass = np.exp(found.log_mass)
    regions = {str(share): multipolygon(smallest_region(mass, share), grid) for share in (0.5, INTERVAL)}
    begin, end = (datetime.fromtimestamp(s, UTC).isoformat() for s in (settings.from_s, settings.to_s))
    return {
        "schema": SCHEMA,
        "interval_level": INTERVAL,
        "crs": "local: x east, y north, metres",
        "events": [
            {
                "p_count": [1.0 - probability, probability],
                "onset": {"median": begin, "low": begin, "high": begin},
                "end": end,
                "sources": [
                    {
                        "x_m": x,
                        "y_m": y,
                        "z_m": sum(settings.source_height_m) / 2.0,
                        "rate_g_s": rate,
                        "probability": probability,
                        "regions": regions,
                    }
                ],
                "candidates": [
                    {"name": candidate.name, "probability": p}
                    for candidate, p in zip(candidates, found.candidates, strict=True)
                ],
                "unknown_location": found.unknown_location,
            }
        ],
        "posterior": {
            "x0": grid.x0_m,
            "y0": grid.y0_m,
            "dx": grid.step_m,
            "dy": grid.step_m,
            "nx": grid.nx,
            "ny": grid.ny,
            "logp": cells.name,
            "outside": found.outside,
        },
        "sensors": [
            {"sensor": name, "offset": float(zero)}
            for name, zero in zip(observations.names, found.zeros_g_m3, strict=True)
        ],
        "warnings": warnings,
        "inputs": {"points": int(observations.start_s.size), "verified": 0},
        "settings": asdict(settings),
    }
