"""The answer: which nodes, since when, how much, which of them no sample could tell apart, and how sure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.tracing.water.hydraulics import Floats, Integers
from pipeline.tracing.water.inversion import DETECTABLE, Fit, lengths_of, predict
from pipeline.tracing.water.transport import Singles

SAME = 0.02  # Of the highest sample: predictions as near as this are one.
HYPOTHESES = 2000  # Of the most probable ones, from which onset and rate are told
PRIOR_NOTHING = 0.5


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """An injection: node and steps as indices."""

    node: int
    start: int
    length: int
    rate_mg_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class Interval:
    """Of a quantity's posterior: its median, and what holds nine tenths of it."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class NetworkPosterior:
    """The posterior over all injections; probabilities of nodes are given that there was one."""

    nodes: Floats  # (n,)
    nothing: float  # Probability that nothing was injected
    hypotheses: tuple[Hypothesis, ...]  # The most probable ones, the best first
    classes: tuple[
        tuple[int, ...], ...
    ]  # Nodes that these samples cannot tell apart, the likeliest class first
    onset_step: Interval
    end_step: Interval
    rate_mg_s: Interval


def combine(
    fits: Sequence[Sequence[Fit]], candidates: Integers, nodes: int, responses: Sequence[tuple[Singles, bool]]
) -> NetworkPosterior:
    """Average over draws of the flows; each draw's fits, graded and binary, are of one injection.

    Fits are over `candidates`, of `nodes` in all. `responses` (c, m, steps) are the first draw's, each with
    whether it is of graded samples: they say what candidates cannot be told apart.
    """
    draws = [_joint(draw) for draw in fits]
    logs = np.stack([draw.log_likelihood for draw in draws]).astype(np.float64)
    most = logs.max()
    if not np.isfinite(most):
        # No injection anywhere would have been seen where something was, or nothing was seen at all.
        logs = np.zeros_like(logs)
        most = 0.0
    steps = logs.shape[2]
    lengths = lengths_of(steps)
    weight = np.exp(logs - most).mean(axis=0)
    prior = _prior(steps, lengths)
    weight *= prior
    total = weight.sum(axis=(1, 2)).mean()
    nothing = np.mean([np.exp(min(draw.nothing - most, 700.0)) for draw in draws])
    weight /= weight.sum()
    rate, spread = _rates(draws, logs)
    flat = np.argsort(weight, axis=None)[::-1][:HYPOTHESES]
    at = np.unravel_index(flat, weight.shape)
    p = weight[at]
    start = at[1].astype(float)
    end = np.minimum(start + lengths[at[2]], steps)
    hypotheses = tuple(
        Hypothesis(int(candidates[n]), int(s), int(e - s), float(rate[n, s, k]), float(q))
        for n, s, k, e, q in zip(*at, end.astype(int), p, strict=True)
        if q > 0.0
    )
    probability = np.zeros(nodes)
    probability[candidates] = weight.sum(axis=(1, 2))
    return NetworkPosterior(
        nodes=probability,
        nothing=float(PRIOR_NOTHING * nothing / (PRIOR_NOTHING * nothing + (1 - PRIOR_NOTHING) * total)),
        hypotheses=hypotheses,
        classes=_classes(hypotheses, probability, candidates, responses),
        onset_step=_interval(start, p),
        end_step=_interval(end, p),
        rate_mg_s=_rate(rate[at], spread[at], p),
    )


def credible_set(probability: Floats, mass: float) -> NDArray[np.int64]:
    """Return the fewest nodes that hold `mass`; those as probable as the last one are all in."""
    order = np.argsort(-probability, kind="stable")
    needed = int(np.searchsorted(np.cumsum(probability[order]), mass)) + 1
    last = probability[order[min(needed, len(order)) - 1]]
    return np.flatnonzero(probability >= last * (1 - 1e-6)).astype(np.int64)


def _rates(draws: Sequence[Fit], logs: Floats) -> tuple[Floats, Floats]:
    """Return each hypothesis's rate and its spread, draws weighted by what they make of the samples."""
    share = np.exp(logs - np.maximum(logs.max(axis=0), -1e300))
    share /= np.maximum(share.sum(axis=0), 1e-300)
    ln = np.log(np.maximum(np.stack([draw.rate_mg_s for draw in draws]), 1e-30))
    mean = (share * ln).sum(axis=0)
    within = (share * np.stack([draw.rate_sd_ln for draw in draws]) ** 2).sum(axis=0)
    return np.exp(mean), np.sqrt(within + (share * (ln - mean) ** 2).sum(axis=0))


def _joint(fits: Sequence[Fit]) -> Fit:
    """Add up what independent samples say of the same hypotheses."""
    graded = next((fit for fit in fits if not np.isnan(fit.rate_mg_s).all()), fits[0])
    logs = np.sum([fit.log_likelihood for fit in fits], axis=0)
    return Fit(logs, graded.rate_mg_s, graded.rate_sd_ln, sum(fit.nothing for fit in fits))


def _prior(steps: int, lengths: NDArray[np.int64]) -> Floats:
    """Return the prior of (start, length): any start, any length that the time has room for, as likely."""
    starts = np.arange(steps)[:, None]
    before = np.concatenate([[0], lengths[:-1]])
    fits = starts + before[None, :] < steps
    return np.asarray(fits / fits.sum(axis=1, keepdims=True) / steps)


def _interval(values: Floats, weights: Floats) -> Interval:
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    low, median, high = (float(values[order][np.searchsorted(share, q)]) for q in (0.05, 0.5, 0.95))
    return Interval(median, low, high)


def _rate(rate: Floats, spread: Floats, weights: Floats) -> Interval:
    """Return the rate's interval, out of a mixture of lognormals; nan where no sample was graded."""
    known = np.isfinite(rate) & (rate > 0.0)
    if not known.any():
        return Interval(np.nan, np.nan, np.nan)
    normal = np.array([-1.64, -1.04, -0.67, -0.39, -0.13, 0.13, 0.39, 0.67, 1.04, 1.64])
    ln = np.log(rate[known])[:, None] + spread[known][:, None] * normal[None, :]
    found = _interval(ln.ravel(), np.repeat(weights[known], len(normal)))
    return Interval(*(float(np.exp(value)) for value in (found.median, found.low, found.high)))


def _classes(
    hypotheses: Sequence[Hypothesis],
    nodes: Floats,
    candidates: Integers,
    responses: Sequence[tuple[Singles, bool]],
) -> tuple[tuple[int, ...], ...]:
    """Put nodes together whose best hypotheses predict the same for every sample, up to their rate."""
    best: dict[int, Hypothesis] = {}
    for found in hypotheses:
        best.setdefault(found.node, found)
    classes: list[tuple[Floats, list[int]]] = []
    for node, found in best.items():
        row = int(np.searchsorted(candidates, node))
        shape = np.concatenate(
            [
                _shape(predict(counts, row, found.start, found.length), graded=graded)
                for counts, graded in responses
            ]
        )
        for known, members in classes:
            if np.abs(known - shape).max() <= SAME:
                members.append(node)
                break
        else:
            classes.append((shape, [node]))
    ranked = sorted(classes, key=lambda pair: -sum(nodes[node] for node in pair[1]))
    return tuple(tuple(members) for _, members in ranked)


def _shape(predicted: Floats, *, graded: bool) -> Floats:
    """Return what a sample would tell of a hypothesis: values up to a factor, or yes and no."""
    if not graded:
        return np.asarray(predicted >= DETECTABLE, dtype=np.float64)
    most = predicted.max(initial=0.0)
    return predicted / most if most > 0.0 else predicted
