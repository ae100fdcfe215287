"""From samples back to where and when something entered a network, and how much: a posterior over all nodes.

A hypothesis is a node, a step in which a constant injection begins, and how many steps it lasts. What it
would have caused in every sample is linear in its rate and comes from `transport.trace_back`. Graded
samples err by an additive part and by a factor: on the scale asinh(f·y/s)/f both are one unit wide, and a
Student-t bears what no model explains. Errors of one sensor last for an hour, so that samples taken
more often count for less. The rate is integrated out, its prior even over ln rate; flows that are not
known are averaged over, one likelihood for each of their draws.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from pipeline.tracing.water.hydraulics import Floats, Integers
from pipeline.tracing.water.transport import Singles

PROPORTIONAL = (
    0.25  # What a modelled concentration errs by beside an exact one, log sd: mixing, pipes' true widths
)
TAIL = 4.0
MEMORY_S = 3600.0  # The hour in which demands go their own way
SMEARED = 0.02  # Of the highest reading at a sensor: what mixing brings early or late, and no model tells
DETECTABLE = 0.01  # A grab sample is positive where at least this part of it passed the source meanwhile.
RATE_SPAN_LN = math.log(1e6)  # Of the rate's prior
_RATE_LN = np.array([-1.2, -0.7, -0.35, 0.0, 0.35, 0.7, 1.2])  # Around the rate that fits best
_SCREEN = 20.0  # Hypotheses this far below the best, in ln likelihood, are left out.


@dataclass(frozen=True, slots=True)
class Graded:
    """Concentrations above what the water always holds, in mg/m³; m of them, in any order."""

    node: Integers  # (m,)
    time_s: Floats  # (m,)
    value_mg_m3: Floats  # (m,)
    noise_mg_m3: Floats  # (m,) sd where nothing is


@dataclass(frozen=True, slots=True)
class Binary:
    """Samples that were positive or not."""

    node: Integers  # (m,)
    time_s: Floats  # (m,)
    positive: NDArray[np.bool_]  # (m,)
    false_positive: float = 0.05  # How often a clean sample reads positive
    false_negative: float = 0.05


@dataclass(frozen=True, slots=True)
class Fit:
    """ln likelihoods of all hypotheses under one draw of the flows; arrays of (nodes, starts, lengths)."""

    log_likelihood: Singles
    rate_mg_s: Singles  # The one that fits best; nan where only binary samples speak
    rate_sd_ln: Singles
    nothing: float  # ln likelihood of no injection at all


def lengths_of(steps: int) -> Integers:
    """Return how many steps an injection may last: powers of two, and to the end."""
    powers = 2 ** np.arange(max(1, math.ceil(math.log2(max(2, steps)))))
    return np.append(powers[powers < steps], steps).astype(np.int64)


def fit_graded(response: Singles, samples: Graded) -> Fit:
    """Score every hypothesis by graded samples; `response` as `trace_back` gives it: (n, m, steps)."""
    noise = _floor(samples)
    seen = np.arcsinh(PROPORTIONAL * samples.value_mg_m3 / noise) / PROPORTIONAL
    weight = _weights(samples.node, samples.time_s)
    lengths = lengths_of(response.shape[2])
    logs, rate, spread, nothing = _score_graded(
        response, samples.value_mg_m3, noise, seen, weight, lengths, _RATE_LN, PROPORTIONAL, TAIL, _SCREEN
    )
    return Fit(logs - np.float32(math.log(RATE_SPAN_LN)), rate, spread, float(nothing))


def fit_binary(passed: Singles, samples: Binary) -> Fit:
    """Score every hypothesis by samples that were positive or not; `passed` as `trace_back` gives it."""
    lengths = lengths_of(passed.shape[2])
    positive = samples.positive
    if_present = np.log(np.where(positive, 1.0 - samples.false_negative, samples.false_negative))
    if_absent = np.log(np.where(positive, samples.false_positive, 1.0 - samples.false_positive))
    logs = _score_binary(passed, if_present, if_absent, lengths, DETECTABLE)
    unknown = np.full_like(logs, np.nan)
    return Fit(logs, unknown, unknown, float(if_absent.sum()))


def predict(response: Singles, node: int, start: int, length: int) -> Floats:
    """Return what a hypothesis gives in every sample, for 1 mg/s, or the part that passed it: (m,)."""
    found: Floats = response[node, :, start : start + length].sum(axis=1, dtype=np.float64)
    return found


def _floor(samples: Graded) -> Floats:
    """Return below what a sample tells nothing: its noise, and what is smeared from the sensor's highest."""
    noise = samples.noise_mg_m3.copy()
    for one in np.unique(samples.node):
        mine = samples.node == one
        noise[mine] = np.hypot(noise[mine], SMEARED * samples.value_mg_m3[mine].max())
    return noise


def _weights(node: Integers, time_s: Floats) -> Floats:
    """Return how much each sample counts: one for all of a sensor's within the memory of its errors."""
    weight = np.ones(len(node))
    for one in np.unique(node):
        mine = np.flatnonzero(node == one)
        if len(mine) > 1:
            apart_s = np.median(np.diff(np.sort(time_s[mine])))
            weight[mine] = min(1.0, max(float(apart_s), 1.0) / MEMORY_S)
    return weight


@njit(cache=True)
def _log_t(z: float, tail: float) -> float:
    """Return ln of Student's t at z beside its value at 0."""
    return -0.5 * (tail + 1.0) * math.log1p(z * z / tail)


@njit(cache=True, parallel=True)
def _score_graded(  # noqa: C901, PLR0912 - two passes over the same nested hypotheses, for numba to fuse
    response: Any,
    value: Any,
    noise: Any,
    seen: Any,
    weight: Any,
    lengths: Any,
    rate_ln: Any,
    f: float,
    tail: float,
    screen: float,
) -> Any:
    """Score all hypotheses at their best rate, then over all rates those that come near the best."""
    nodes, samples, steps = response.shape
    logs = np.full((nodes, steps, len(lengths)), -np.inf, np.float32)
    rates = np.zeros((nodes, steps, len(lengths)), np.float32)
    spreads = np.zeros((nodes, steps, len(lengths)), np.float32)
    clean = np.array([weight[j] * _log_t(seen[j], tail) for j in range(samples)])
    nothing = clean.sum()
    # What is seen also stands for the errors' size until a rate is known.
    scale = np.array([weight[j] / (noise[j] ** 2 + (f * value[j]) ** 2) for j in range(samples)])
    for n in prange(nodes):
        up_to, reached = _sum_up(response[n])
        r = np.zeros(len(reached))
        for start in range(steps):
            for at in range(len(lengths)):
                if at > 0 and start + lengths[at - 1] >= steps:
                    continue  # The same as the one before
                _take(up_to, reached, start, min(steps, start + lengths[at]), r)
                s1, s2 = 0.0, 0.0
                for i, j in enumerate(reached):
                    s1 += scale[j] * value[j] * r[i]
                    s2 += scale[j] * r[i] * r[i]
                if s1 > 0.0:  # Else nothing that it would reach has seen anything.
                    rates[n, start, at] = s1 / s2
                    logs[n, start, at] = nothing + _beside(
                        reached, r, s1 / s2, noise, seen, clean, weight, f, tail
                    )
    least = max(logs.max(), nothing) - screen
    for n in prange(nodes):
        if logs[n].max() < least:
            logs[n] = -np.inf
            continue
        up_to, reached = _sum_up(response[n])
        r = np.zeros(len(reached))
        near = np.zeros(len(rate_ln))
        for start in range(steps):
            for at in range(len(lengths)):
                if logs[n, start, at] < least:
                    logs[n, start, at] = -np.inf
                    continue
                _take(up_to, reached, start, min(steps, start + lengths[at]), r)
                for g in range(len(rate_ln)):
                    rate = rates[n, start, at] * math.exp(rate_ln[g])
                    near[g] = nothing + _beside(reached, r, rate, noise, seen, clean, weight, f, tail)
                most = near.max()
                total, first, second = 0.0, 0.0, 0.0
                for g in range(len(rate_ln)):
                    width = 0.5 * (rate_ln[min(g + 1, len(rate_ln) - 1)] - rate_ln[max(g - 1, 0)])
                    p = width * math.exp(near[g] - most)
                    total += p
                    first += p * rate_ln[g]
                    second += p * rate_ln[g] ** 2
                logs[n, start, at] = most + math.log(total)
                rates[n, start, at] *= math.exp(first / total)
                spreads[n, start, at] = math.sqrt(max(second / total - (first / total) ** 2, 0.01))
    return logs, rates, spreads, nothing


@njit(cache=True)
def _sum_up(response: Any) -> Any:
    """Return sums over the steps before each, (samples, steps + 1), and which samples are reached."""
    samples, steps = response.shape
    up_to = np.zeros((samples, steps + 1))
    for j in range(samples):
        for k in range(steps):
            up_to[j, k + 1] = up_to[j, k] + response[j, k]
    return up_to, np.flatnonzero(up_to[:, steps] > 0.0)


@njit(cache=True)
def _take(up_to: Any, reached: Any, start: int, end: int, r: Any) -> None:
    """Put into `r` what 1 mg/s from one step to another gives in the samples that are reached."""
    for i, j in enumerate(reached):
        r[i] = up_to[j, end] - up_to[j, start]


@njit(cache=True)
def _beside(
    reached: Any, r: Any, rate: float, noise: Any, seen: Any, clean: Any, weight: Any, f: float, tail: float
) -> float:
    """Return the ln likelihood of a rate beside that of no injection."""
    total = 0.0
    for i, j in enumerate(reached):
        if r[i] > 0.0:
            z = seen[j] - math.asinh(f * rate * r[i] / noise[j]) / f
            total += weight[j] * _log_t(z, tail) - clean[j]
    return total


@njit(cache=True, parallel=True)
def _score_binary(passed: Any, if_present: Any, if_absent: Any, lengths: Any, detectable: float) -> Any:
    nodes, samples, steps = passed.shape
    logs = np.full((nodes, steps, len(lengths)), -np.inf, np.float32)
    for n in prange(nodes):
        up_to, _ = _sum_up(passed[n])
        for start in range(steps):
            for at, length in enumerate(lengths):
                if at > 0 and start + lengths[at - 1] >= steps:
                    continue
                end = min(steps, start + length)
                total = 0.0
                for j in range(samples):
                    there = up_to[j, end] - up_to[j, start] >= detectable
                    total += if_present[j] if there else if_absent[j]
                logs[n, start, at] = total
    return logs
