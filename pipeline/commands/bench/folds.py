"""Settings learnt on one field trial and tested on another; and bagging, which calibrates without a model."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.commands.bench.scores import LOWEST, Score
from pipeline.commands.bench.trials import Trial
from pipeline.tracing.air import trace
from pipeline.tracing.grid import Grid, smallest_region
from pipeline.tracing.settings import LEARNABLE

Values = dict[str, float]

# What scored best, one setting changed at a time, by the data it was learnt on; `--learn` chooses again.
LEARNT: dict[str, Values] = {
    "ADED": {"white": 0.6},
    "Prairie Grass": {},
}

BAGS, BAG_BLOCK_S, BAG_STEP_M, SEED = 24, 1800.0, 2.0, 1956


def learn(trials: Sequence[Trial], say: Callable[[str], None]) -> Values:
    """Return the settings with the best mean log score, changed one at a time, as `LEARNABLE` has them."""
    chosen: Values = {}
    best = _mean_log(trials, chosen)
    say(f"as they are: {best:.3f}")
    for name, values in LEARNABLE.items():
        for value in values:
            if value == getattr(trials[0].settings, name):
                continue
            got = _mean_log(trials, chosen | {name: value})
            say(f"{name} {value}: {got:.3f}")
            if got > best:
                best, chosen = got, chosen | {name: value}
    return chosen


def _mean_log(trials: Iterable[Trial], values: Values) -> float:
    logs = []
    for trial in retold(trials, values):
        found = trace(trial.observations, trial.wind, trial.settings)
        logs.append(max(found.log_density(trial.x_m, trial.y_m), LOWEST))
    return float(np.mean(logs))


def retold(trials: Iterable[Trial], values: Values) -> list[Trial]:
    """Return the trials with other settings."""
    changed: dict[str, Any] = dict(values)
    return [replace(trial, settings=replace(trial.settings, **changed)) for trial in trials]


def fingerprint(folds: dict[str, Values]) -> str:
    """Return twelve hex digits of SHA-256 over the folds and what was learnt in each."""
    return hashlib.sha256(json.dumps(folds, sort_keys=True).encode()).hexdigest()[:12]


def bagged(trial: Trial, number: int) -> Score:
    """Score the mean of posteriors, each given half of all sensor x 30-minute blocks, errors independent.

    Half of the blocks without replacement vary as much as all of them with (Bühlmann, Yu 2002, Annals of
    Statistics 30(4)).
    """
    chance = np.random.default_rng([SEED, number])
    seen = trial.observations
    block = (seen.start_s // BAG_BLOCK_S).astype(np.int64)
    _, part = np.unique(np.stack((seen.sensor, block)), axis=1, return_inverse=True)
    alone = replace(trial.settings, kept=0.0, wandering=0.0)
    west, south, east, north = trial.settings.bounds_m
    grid = Grid.over(trial.settings.bounds_m, math.ceil((east - west) * (north - south) / BAG_STEP_M**2))
    mass, rates = np.zeros((grid.ny, grid.nx)), []
    for _ in range(BAGS):
        half = chance.permutation(int(part.max()) + 1) % 2 == 0
        found = trace(seen.select(half[part]), trial.wind, alone)
        i = np.floor((grid.x_m - found.grid.x0_m) / found.grid.step_m).astype(int)
        k = np.floor((grid.y_m - found.grid.y0_m) / found.grid.step_m).astype(int)
        inside = ((k >= 0) & (k < found.grid.ny))[:, None] & ((i >= 0) & (i < found.grid.nx))[None, :]
        there = np.exp(found.log_mass)[
            np.ix_(np.clip(k, 0, found.grid.ny - 1), np.clip(i, 0, found.grid.nx - 1))
        ]
        here = np.where(inside, there, 0.0) + 1e-12
        mass += here / here.sum() / BAGS
        rates.append(found.rate_quantile(0.5))
    x, y = float(mass.sum(0) @ grid.x_m), float(mass.sum(1) @ grid.y_m)
    region = smallest_region(mass, 0.9)
    at = int((trial.y_m - grid.y0_m) // grid.step_m), int((trial.x_m - grid.x0_m) // grid.step_m)
    return Score(
        trial.name, math.dist((x, y), (trial.x_m, trial.y_m)), math.nan, math.nan,
        math.log(mass[at] / grid.step_m**2), bool(region[at]), float(region.sum()) * grid.step_m**2,
        float(np.median(rates)) / trial.rate_g_s, first=False, seconds=math.nan,
    )  # fmt: skip
