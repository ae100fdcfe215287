"""Where and when a grab sample would say most about the node: expected information, in bits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.tracing.water.hydraulics import Floats, Integers
from pipeline.tracing.water.inversion import DETECTABLE
from pipeline.tracing.water.posterior import Hypothesis
from pipeline.tracing.water.transport import Transport, spread

LOOKED_AT = 60  # Hypotheses, each carried forwards through the network
A_NODE = 3


@dataclass(frozen=True, slots=True)
class NextSample:
    """A place and a time to sample, and what it tells of the node, on average."""

    node: int
    bin: int
    bits: float
    p_positive: float


def next_samples(
    transport: Transport,
    hypotheses: Sequence[Hypothesis],
    bins_a_step: int,
    bins: Integers,
    error: float = 0.05,
    most: int = 5,
) -> tuple[NextSample, ...]:
    """Rank all nodes and the given bins by the mutual information of a sample there and the source's node."""
    chosen = _spread_over_nodes(hypotheses)
    if not chosen:
        return ()
    weight = np.array([one.probability for one in chosen])
    weight /= weight.sum()
    node = np.array([one.node for one in chosen])
    positive = np.stack(
        [
            spread(transport, one.node, one.start * bins_a_step, (one.start + one.length) * bins_a_step)[1][
                bins
            ]
            >= DETECTABLE
            for one in chosen
        ]
    )
    p = np.where(positive, 1.0 - error, error)
    overall = np.tensordot(weight, p, 1)
    told = _entropy(overall)
    for one in np.unique(node):
        mine = node == one
        share = weight[mine].sum()
        told -= share * _entropy(np.tensordot(weight[mine] / share, p[mine], 1))
    order = np.argsort(told, axis=None)[::-1]
    found, places = [], set()
    for flat in order:
        at, place = np.unravel_index(flat, told.shape)
        if place in places:
            continue  # The same place a few minutes later says hardly more.
        places.add(place)
        found.append(NextSample(int(place), int(bins[at]), float(told[at, place]), float(overall[at, place])))
        if len(found) == most:
            break
    return tuple(found)


def _spread_over_nodes(hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
    """Return the best hypotheses of the best nodes."""
    taken: dict[int, int] = {}
    chosen = []
    for one in hypotheses:
        if taken.get(one.node, 0) < A_NODE:
            taken[one.node] = taken.get(one.node, 0) + 1
            chosen.append(one)
        if len(chosen) == LOOKED_AT:
            break
    return chosen


def _entropy(p: Floats) -> Floats:
    """Return the entropy of a yes or no, in bits."""
    q = np.clip(p, 1e-12, 1 - 1e-12)
    found: Floats = -(q * np.log2(q) + (1 - q) * np.log2(1 - q))
    return found
