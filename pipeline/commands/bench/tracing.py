"""`cityproof bench tracing`: field trials traced, and scored beside what others reach."""

import json
import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pipeline.commands.bench.hours import lines, score_hours
from pipeline.commands.bench.trials import Trial, aded, prairie_grass
from pipeline.tracing.air import Posterior, trace
from pipeline.tracing.grid import smallest_region
from pipeline.wire.errors import InputError

DRAWS, DRAWS_FULL = 1, 3
FAR_M = 200.0
# What others reach on the same data: median error, share of rates within a factor of two.
ANCHORS = (
    "ADED, pyELQ 17.2 m, rate x2 65 %; plain grid Bayes 8.4 m, 71 %; lognormal errors 5.5 m, log score -6.80",
    "Prairie Grass, plain grid Bayes 11 m on all arcs, 60 m on arcs from 200 m",
)


@dataclass(frozen=True, slots=True)
class Score:
    """How one trial went."""

    name: str
    error_m: float
    log_density: float  # Per m², at the release
    covered: bool
    area_m2: float
    rate_ratio: float
    first: bool  # The candidate nearest to the release ranks first
    seconds: float  # Of the processor


def run(data: Path, *, full: bool, as_json: bool) -> int:
    """Trace every trial, and print one table."""
    if not (data / "aded2022").is_dir():
        raise InputError(
            str(data), "no field trials there", "Name the folder that holds aded2022 with --data."
        )
    draws, grass = DRAWS_FULL if full else DRAWS, data / "prairie-grass"
    sets = {
        "ADED 2022": aded(data / "aded2022"),
        "Prairie Grass": prairie_grass(grass, 0.0, draws),
        "Prairie Grass >= 200 m": prairie_grass(grass, FAR_M, draws),
    }
    found = {name: [score(trial) for trial in trials] for name, trials in sets.items()}
    week = score_hours(list(aded(data / "aded2022")))
    if as_json:
        scored = {name: [asdict(one) for one in scores] for name, scores in found.items()}
        print(json.dumps(scored | {"ADED 2022, no hours given": asdict(week)}))
        return 0
    print(
        f"{'data':24}{'n':>4}{'median':>8}{'p90':>8}{'first':>7}{'x2':>6}{'covered':>20}{'area':>9}{'log':>8}{'s':>6}"
    )
    for name, scores in found.items():
        print(row(name, scores))
    print(*lines(week), sep="\n")
    print(*ANCHORS, sep="\n")
    return 0


def score(trial: Trial) -> Score:
    """Trace one trial, and compare with the truth."""
    began = time.process_time()
    found = trace(trial.observations, trial.wind, trial.settings, trial.candidates)
    seconds = time.process_time() - began
    region = smallest_region(np.exp(found.log_mass), 0.9)
    return Score(
        trial.name,
        math.dist(found.point_m, (trial.x_m, trial.y_m)),
        found.log_density(trial.x_m, trial.y_m),
        _covers(found, region, trial),
        float(region.sum()) * found.grid.step_m**2,
        found.rate_quantile(0.5) / trial.rate_g_s,
        bool(trial.candidates) and _nearest(trial) == int(np.argmax(found.candidates)),
        seconds,
    )


def _nearest(trial: Trial) -> int:
    away = [math.dist((one.x_m, one.y_m), (trial.x_m, trial.y_m)) for one in trial.candidates]
    return int(np.argmin(away))


def _covers(found: Posterior, region: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], trial: Trial) -> bool:
    grid = found.grid
    i = math.floor((trial.x_m - grid.x0_m) / grid.step_m)
    k = math.floor((trial.y_m - grid.y0_m) / grid.step_m)
    return 0 <= i < grid.nx and 0 <= k < grid.ny and bool(region[k, i])


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    z2 = 1.959964**2
    middle = (hits + 0.5 * z2) / (count + z2)
    half = math.sqrt(z2 * (hits * (count - hits) / count + 0.25 * z2)) / (count + z2)
    return middle - half, middle + half


def row(name: str, scores: Iterable[Score]) -> str:
    """Return one line of the table; trials whose release lies outside all cells count in no log score."""
    table = list(scores)
    count, errors = len(table), [one.error_m for one in table]
    covered, first = sum(one.covered for one in table), sum(one.first for one in table)
    low, high = wilson(covered, count)
    doubled = sum(0.5 <= one.rate_ratio <= 2.0 for one in table)
    logs = [one.log_density for one in table if math.isfinite(one.log_density)]
    lost = f" ({count - len(logs)} lost)" if len(logs) < count else ""
    return (
        f"{name:24}{count:4}{np.median(errors):8.1f}{np.quantile(errors, 0.9):8.1f}{first:7}{doubled:6}"
        f"{f'{covered} ({low:.2f}-{high:.2f})':>20}{np.median([one.area_m2 for one in table]):9.0f}"
        f"{np.mean(logs):8.2f}{np.mean([one.seconds for one in table]):6.2f}{lost}"
    )
