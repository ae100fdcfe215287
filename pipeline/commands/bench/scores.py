"""How a traced trial is scored, and how many of them are summed up: medians, coverage, areas, log scores."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.commands.bench.trials import Trial
from pipeline.tracing.air import Posterior, trace
from pipeline.tracing.grid import smallest_region

RESAMPLED = 1000
SEED = 20221956
LOWEST = -30.0  # ln of a density per m² that a release outside all cells is counted with

HEADER = (
    f"{'data':34}{'n':>4}{'median':>7}{'':>14}{'p90':>5}{'first':>6}{'x2':>5}{'covered':>8}{'':>13}{'area':>8}{'log':>8}"
    f"{'along':>7}{'across':>7}{'s':>6}{'most':>6}"
)


@dataclass(frozen=True, slots=True)
class Score:
    """How one trial went."""

    name: str
    error_m: float
    along_m: float  # Downwind of the release, by the event's mean wind
    across_m: float  # To the right of that
    log_density: float  # Per m², at the release
    covered: bool
    area_m2: float
    rate_ratio: float
    first: bool  # The candidate nearest to the release ranks first
    seconds: float  # Of the processor


def score(trial: Trial) -> Score:
    """Trace one trial, and compare with the truth."""
    began = time.process_time()
    found = trace(trial.observations, trial.wind, trial.settings, trial.candidates)
    seconds = time.process_time() - began
    region = smallest_region(np.exp(found.log_mass), 0.9)
    x, y = found.point_m
    along, across = _by_wind(x - trial.x_m, y - trial.y_m, trial)
    return Score(
        trial.name,
        math.dist(found.point_m, (trial.x_m, trial.y_m)),
        along,
        across,
        max(found.log_density(trial.x_m, trial.y_m), LOWEST),
        covers(found, region, trial),
        float(region.sum()) * found.grid.step_m**2,
        found.rate_quantile(0.5) / trial.rate_g_s,
        bool(trial.candidates) and _nearest(trial) == int(np.argmax(found.candidates)),
        seconds,
    )


def _by_wind(east_m: float, north_m: float, trial: Trial) -> tuple[float, float]:
    wind, settings = trial.wind, trial.settings
    inside = (wind.start_s >= settings.from_s) & (wind.start_s < settings.to_s)
    towards = np.radians(wind.from_deg[inside] + 180.0)
    east, north = np.sin(towards).mean(), np.cos(towards).mean()
    length = math.hypot(east, north) or 1.0
    return (
        float(east_m * east + north_m * north) / length,
        float(east_m * north - north_m * east) / length,
    )


def _nearest(trial: Trial) -> int:
    away = [math.dist((one.x_m, one.y_m), (trial.x_m, trial.y_m)) for one in trial.candidates]
    return int(np.argmin(away))


def covers(found: Posterior, region: NDArray[np.bool_], trial: Trial) -> bool:
    """Return whether a region of the posterior's cells holds the release."""
    grid = found.grid
    i = math.floor((trial.x_m - grid.x0_m) / grid.step_m)
    k = math.floor((trial.y_m - grid.y0_m) / grid.step_m)
    return 0 <= i < grid.nx and 0 <= k < grid.ny and bool(region[k, i])


def interval(scores: Sequence[Score], summary: str) -> tuple[float, float]:
    """Return the 95 % interval of the median error or of coverage, by resampling whole trials.

    Draws of one run are kept together: they share its weather.
    """
    by_name: dict[str, list[Score]] = {}
    for one in scores:
        by_name.setdefault(one.name, []).append(one)
    groups, chance = list(by_name.values()), np.random.default_rng(SEED)
    found = []
    for _ in range(RESAMPLED):
        drawn = [one for n in chance.integers(len(groups), size=len(groups)) for one in groups[n]]
        if summary == "error":
            found.append(float(np.median([one.error_m for one in drawn])))
        else:
            found.append(float(np.mean([one.covered for one in drawn])))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def row(name: str, scores: Sequence[Score]) -> str:
    """Return one line of the table."""
    count, errors = len(scores), [one.error_m for one in scores]
    doubled = sum(0.5 <= one.rate_ratio <= 2.0 for one in scores)
    low, high = interval(scores, "error")
    least, most = interval(scores, "covered")
    lost = sum(one.log_density <= LOWEST for one in scores)
    median, far = np.quantile(errors, [0.5, 0.9])
    covered, area = np.mean([one.covered for one in scores]), np.median([one.area_m2 for one in scores])
    along, across = (np.median([getattr(one, side) for one in scores]) for side in ("along_m", "across_m"))
    seconds = [one.seconds for one in scores]
    return (
        f"{name:34}{count:4}{median:7.1f}{f' ({low:.1f}-{high:.1f})':14}{far:5.0f}"
        f"{sum(one.first for one in scores):6}{doubled:5}{covered:8.2f}{f' ({least:.2f}-{most:.2f})':13}"
        f"{area:8.0f}{np.mean([one.log_density for one in scores]):8.2f}{along:7.1f}{across:7.1f}"
        f"{np.mean(seconds):6.2f}{max(seconds):6.2f}{f' ({lost} outside all cells)' if lost else ''}"
    )
