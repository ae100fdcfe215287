"""Trace a contamination in a network of pipes: from flows and samples to the posterior over nodes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.tracing.water.hydraulics import Hydraulics, Integers
from pipeline.tracing.water.inversion import Binary, Fit, Graded, fit_binary, fit_graded
from pipeline.tracing.water.next_sample import NextSample, next_samples
from pipeline.tracing.water.posterior import NetworkPosterior, combine
from pipeline.tracing.water.transport import Singles, Transport, make_transport, trace_back, upstream_of

CELLS_MOST = 300_000  # Nodes times bins: what one sample is traced back through
BIN_LEAST_S, BIN_MOST_S = 60.0, 300.0
STEP_S = 900.0  # How finely an onset is told
LOOK_AHEAD_S = 4 * 3600.0  # How long a next sample may be waited for


@dataclass(frozen=True, slots=True)
class NetworkTrace:
    """A posterior, and what its indices mean: steps of `step_s` since the simulation's start, all nodes."""

    posterior: NetworkPosterior
    step_s: float
    candidates: Integers  # Nodes whose water reaches a sample; the others have no probability.
    next_samples: tuple[NextSample, ...]
    bin_s: float


def bin_length_s(nodes: int, duration_s: float) -> float:
    """Return how finely to cut time: as fine as memory and time allow, from one minute to five."""
    wanted = nodes * duration_s / CELLS_MOST
    return next((size for size in (60.0, 100.0, 150.0, 180.0) if size >= wanted), BIN_MOST_S)


def trace_network(
    draws: Sequence[Hydraulics], graded: Graded | None, binary: Binary | None, decay_per_day: float = 0.0
) -> NetworkTrace:
    """Trace one injection by either kind of samples, or both; times are seconds since the simulation's start.

    The first of `draws` is the network as its file describes it, by which classes and next samples are told.
    """
    bin_s = bin_length_s(len(draws[0].nodes), draws[0].end_s)
    bins_a_step = round(STEP_S / bin_s)
    transports = [make_transport(draw, bin_s, decay_per_day) for draw in draws]
    kinds = [samples for samples in (graded, binary) if samples is not None]
    candidates = upstream_of(transports, np.concatenate([samples.node for samples in kinds]))
    bins = [_bins_of(samples, transports[0]) for samples in kinds]
    steps = (
        max(int(one.max()) for one in bins) // bins_a_step + 1
    )  # What comes after the last sample is in none.
    fits: list[list[Fit]] = []
    shapes: list[tuple[Singles, bool]] = []
    for transport in transports:
        fits.append([])
        for samples, at in zip(kinds, bins, strict=True):
            diluted = isinstance(samples, Graded)
            counts = trace_back(transport, candidates, samples.node, at, bins_a_step, steps, diluted=diluted)
            fits[-1].append(
                fit_graded(counts, samples) if isinstance(samples, Graded) else fit_binary(counts, samples)
            )
            if transport is transports[0]:
                shapes.append((counts, diluted))
    posterior = combine(fits, candidates, len(draws[0].nodes), shapes)
    last_s = max(float(samples.time_s.max()) for samples in kinds)
    ahead_s = np.arange(last_s + STEP_S, min(last_s + LOOK_AHEAD_S, draws[0].end_s - bin_s) + 1, STEP_S)
    following = next_samples(
        transports[0], posterior.hypotheses, bins_a_step, (ahead_s / bin_s).astype(np.int64)
    )
    return NetworkTrace(posterior, bins_a_step * bin_s, candidates, following, bin_s)


def _bins_of(samples: Graded | Binary, transport: Transport) -> Integers:
    """Return in which bin of time each sample was taken."""
    return np.minimum((samples.time_s / transport.bin_s).astype(np.int64), transport.bins - 1)
