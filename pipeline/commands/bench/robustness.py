"""ADED made worse: sensors lost, readings biased, clocks skewed, the wind's direction wrong."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from pipeline.commands.bench.trials import Trial

SEED = 4
LOST, BIASED, BIAS, SKEW_S, WRONG_DEG = 1 / 3, 0.1, 0.2, 120.0, 10.0

Harm = Callable[[Trial, np.random.Generator], Trial]


def harmed(trials: Iterable[Trial], harm: Harm) -> Iterator[Trial]:
    """Yield each trial harmed, by chance that depends on its place in the list alone."""
    for n, trial in enumerate(trials):
        yield harm(trial, np.random.default_rng([SEED, n]))


def sensors_lost(trial: Trial, chance: np.random.Generator) -> Trial:
    """Drop the readings of a third of all sensors."""
    seen = trial.observations
    count = math.ceil(LOST * len(seen.names))
    gone = chance.choice(len(seen.names), count, replace=False)
    kept = np.setdiff1d(np.arange(len(seen.names)), gone)
    part = seen.select(np.isin(seen.sensor, kept))
    fewer = replace(
        part,
        names=tuple(seen.names[j] for j in kept),
        sensors_m=seen.sensors_m[kept],
        sensor=np.searchsorted(kept, part.sensor),
    )
    return replace(trial, observations=fewer)


def sensors_biased(trial: Trial, chance: np.random.Generator) -> Trial:
    """Let a tenth of all sensors read a fifth too much or too little."""
    seen = trial.observations
    wrong = chance.choice(len(seen.names), math.ceil(BIASED * len(seen.names)), replace=False)
    factor = np.ones(len(seen.names))
    factor[wrong] += BIAS * chance.choice([-1.0, 1.0], wrong.size)
    return replace(trial, observations=replace(seen, value_g_m3=seen.value_g_m3 * factor[seen.sensor]))


def clocks_skewed(trial: Trial, chance: np.random.Generator) -> Trial:
    """Let each sensor's clock be two minutes fast or slow."""
    seen = trial.observations
    start = seen.start_s + SKEW_S * chance.choice([-1.0, 1.0], len(seen.names))[seen.sensor]
    order = np.argsort(start, kind="stable")
    moved = replace(
        seen,
        sensor=seen.sensor[order],
        start_s=start[order],
        interval_s=seen.interval_s[order],
        value_g_m3=seen.value_g_m3[order],
    )
    return replace(trial, observations=moved)


def wind_wrong(sign: float) -> Harm:
    """Return what turns all wind clockwise (1) or back (-1) by 10°, said to be sure within 10°."""

    def turn(trial: Trial, chance: np.random.Generator) -> Trial:  # noqa: ARG001 all harms have one form
        turned = replace(trial.wind, from_deg=(trial.wind.from_deg + sign * WRONG_DEG) % 360.0)
        return replace(trial, wind=turned, settings=replace(trial.settings, wind_error_deg=WRONG_DEG))

    return turn


HARMS: dict[str, Harm] = {
    "a third of sensors lost": sensors_lost,
    "a tenth biased by 20 %": sensors_biased,
    "clocks off by 2 min": clocks_skewed,
    "wind 10° too far clockwise": wind_wrong(1.0),
    "wind 10° too far back": wind_wrong(-1.0),
}
