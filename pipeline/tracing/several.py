"""How many sources there are at once: one is added at a time, and all are placed again beside the others.

Source k's place and rate are a map as that of one source, the others' couplings added in a ratio of rates
that is tried on a lattice. With f(x1, x2) the likelihood of two places, all else integrated out, the
evidence is ∬f ≈ ∫f(x1*, x2)dx2 · ∫f(x1, x2*)dx1 / f(x1*, x2*): exact where the places are independent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.tracing.air import Likelihood, Located, locate
from pipeline.tracing.grid import Grid
from pipeline.tracing.problem import Floats, Settings

RATIOS = (0.2, 5.0, 1.0)  # Of the other sources' rate to the new one's.
FURTHER = 0.1  # How likely one source more is beforehand: few places fail in the same hours.
ROUNDS = 2
CELLS = 225
PRUNE = 15.0  # Directions whose evidence is e^-15 of the best are left out after the first scan.
HOPELESS_LN = 1.0  # A source that, as placed at first, makes things worse by so much is not sought on.

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Several:
    """Evidence for each number of sources, and the sources of the best number above one."""

    log_evidence: tuple[float, ...]  # For 0, 1, 2 ... sources: ln p(readings)
    sources: tuple[Located, ...]  # Empty where one or none is best
    beside: tuple[
        tuple[tuple[float, float, float], ...], ...
    ]  # Of each source: the others, as `locate` has them

    def p_count(self) -> tuple[float, ...]:
        """Return the probability of each number: none and one are as likely beforehand."""
        further = np.maximum(np.arange(len(self.log_evidence)) - 1, 0)
        logs = np.array(self.log_evidence) + math.log(FURTHER) * further
        p = np.exp(logs - logs.max())
        return tuple(float(part) for part in p / p.sum())


@dataclass(frozen=True, slots=True)
class _Scan:
    """Coarse cells, with other sources beside."""

    total: float  # ln of the mean over cells, rates and ratios
    peak: float  # ln at the best cell and ratio, rates summed over
    place: Place
    ratio: float


def count_sources(likelihood: Likelihood, settings: Settings, one: Located, most: int) -> Several:
    """Return how many sources there are, up to `most`, given where one is if it is alone.

    Args:
        likelihood: Freshly prepared: no direction of the wind left out.
        settings: Those that `one` was found with.
        one: A single source's place.
        most: How many sources at most.
    """
    evidence = [likelihood.without_source(), one.log_evidence]
    grid = Grid.over(settings.bounds_m, CELLS)
    now = _Placed([_best(one)], [1.0], one.log_evidence, _at(likelihood, grid, _best(one)))
    best: tuple[Located, ...] = ()
    others: tuple[tuple[tuple[float, float, float], ...], ...] = ()
    while len(now.places) < most:
        now = _add(likelihood, grid, now)
        evidence.append(now.log_evidence)
        if now.log_evidence <= evidence[-2]:
            break
        others = tuple(tuple(now.beside(n)) for n in range(len(now.places)))
        best = tuple(locate(likelihood, settings, beside) for beside in others)
    return Several(tuple(evidence), best, others)


@dataclass(frozen=True, slots=True)
class _Placed:
    """Sources found so far, with their rates relative to one another."""

    places: list[Place]
    rates: list[float]
    log_evidence: float
    peak: float  # ln of the likelihood of just these places

    def beside(self, n: int) -> list[tuple[float, float, float]]:
        """Return all places but the n-th, with their rates as parts of its rate."""
        pairs = enumerate(zip(self.places, self.rates, strict=True))
        return [(*place, rate / self.rates[n]) for k, (place, rate) in pairs if k != n]


def _at(likelihood: Likelihood, grid: Grid, place: Place) -> float:
    x, y = np.array([place[0]]), np.array([place[1]])
    return float(np.logaddexp.reduce(likelihood.at(x, y, grid.step_m), axis=None))


def _best(where: Located) -> Place:
    k, i = np.unravel_index(int(np.argmax(where.log_mass)), where.log_mass.shape)
    return float(where.grid.x_m[i]), float(where.grid.y_m[k])


def _add(likelihood: Likelihood, grid: Grid, now: _Placed) -> _Placed:
    """Return one source more than there is now."""
    pairs = list(zip(now.places, now.rates, strict=True))
    scan = _scan(likelihood, grid, [[(*place, r * rate) for place, rate in pairs] for r in RATIOS])
    # The others' places are integrated over as they were without it.
    total = scan.total + now.log_evidence - now.peak
    likelihood.forget(PRUNE)
    places, rates = [*now.places, scan.place], [*(scan.ratio * rate for rate in now.rates), 1.0]
    if len(places) > 2 or total < now.log_evidence - HOPELESS_LN:
        return _Placed(places, rates, total, scan.peak)
    for _ in range(ROUNDS):  # The first again, beside the second; and the second beside the first.
        again = _scan(likelihood, grid, [[(*places[1], r)] for r in RATIOS])
        scan = _scan(likelihood, grid, [[(*again.place, r)] for r in RATIOS])
        places, rates = [again.place, scan.place], [scan.ratio, 1.0]
        total = max(total, again.total + scan.total - scan.peak)
    return _Placed(places, rates, total, scan.peak)


def _scan(
    likelihood: Likelihood, grid: Grid, beside: Sequence[Sequence[tuple[float, float, float]]]
) -> _Scan:
    """Return the best of all cells, for each way in which others are beside."""
    x, y = (part.ravel() for part in np.meshgrid(grid.x_m, grid.y_m))
    maps: list[Floats] = [
        np.asarray(np.logaddexp.reduce(likelihood.at(x, y, grid.step_m, others), axis=1)) for others in beside
    ]
    table = np.array(maps) - math.log(len(maps))
    n, cell = np.unravel_index(int(np.argmax(table)), table.shape)
    peak = float(np.logaddexp.reduce(table[:, cell]))
    return _Scan(
        float(np.logaddexp.reduce(table, axis=None)) - math.log(x.size),
        peak,
        (float(x[cell]), float(y[cell])),
        RATIOS[int(n)],
    )
