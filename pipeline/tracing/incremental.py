"""A trace that goes on: the same question a minute later, without starting again.

Air that was tracked back once is not tracked again, and the posterior is looked for where it was. Now and
then, and where it reaches the edge of that, all cells and directions are gone through again.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.tracing.air import Located, Posterior, block_length, locate, posterior, prepare
from pipeline.tracing.couplings import Kept
from pipeline.tracing.grid import Grid
from pipeline.tracing.problem import Candidate, Floats, Observations, Settings, Wind

AFRESH_EVERY = 30  # Traces
WIDER = 1.2  # As much further cells may be from the best as when a trace stands still.
EDGE_SHARE = 0.01  # Of the posterior, in the outermost cells looked at: it may have gone on beyond them.


class Tracer:
    """One release that lasts, traced again as readings come in."""

    def __init__(self, settings: Settings, candidates: Sequence[Candidate] = ()) -> None:
        """Begin with settings whose `to_s` does not count."""
        self._settings, self._candidates = settings, tuple(candidates)
        self._near: tuple[Grid, NDArray[np.bool_]] | None = None
        self._directions: list[Floats] = []
        self._kept, self._block_s, self._since = Kept(), 0.0, 0

    def trace(self, observations: Observations, wind: Wind, to_s: float) -> Posterior:
        """Return the posterior of the release up to a time.

        Args:
            observations: All readings so far.
            wind: All wind so far.
            to_s: When to stop, not before the last call's.

        Raises:
            ValueError: No reading starts within the release.
        """
        begin = self._settings.from_s
        if self._near is None or self._since >= AFRESH_EVERY:
            length = block_length(wind, replace(self._settings, to_s=to_s))
            if length != self._block_s:
                self._block_s, self._kept = length, Kept()
            self._near, self._since = None, 0
        blocks = max(int(np.ceil((to_s - begin) / self._block_s)), 1)
        settings = replace(self._settings, to_s=begin + blocks * self._block_s)
        likelihood, zeros = prepare(observations, wind, settings, self._kept, self._block_s)
        if self._near is not None:
            likelihood.resume(self._directions)
            where = locate(likelihood, settings, near=self._near)
            likelihood.forget(settings.prune)
            if _at_edge(where, self._near[1]) < EDGE_SHARE:
                self._since += 1
                self._directions = likelihood.directions()
                return posterior(likelihood, where, zeros, settings, self._candidates)
            likelihood, zeros = prepare(observations, wind, settings, self._kept, self._block_s)
        where = locate(likelihood, settings)
        self._directions, self._since = likelihood.directions(), 0
        good = where.log_mass > where.log_mass.max() - WIDER * settings.prune
        self._near = where.grid, _widened(good).ravel()
        return posterior(likelihood, where, zeros, settings, self._candidates)


def _widened(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the cells and those beside them."""
    wide = np.pad(cells, 1)
    wide[1:-1] |= wide[:-2] | wide[2:]
    wide[:, 1:-1] |= wide[:, :-2] | wide[:, 2:]
    return wide[1:-1, 1:-1]


def _at_edge(where: Located, keep: NDArray[np.bool_]) -> float:
    """Return the posterior's part in kept cells that have one beside them that is not kept."""
    inside = keep.reshape(where.log_mass.shape)
    edge = inside & _widened(~np.pad(inside, 1))[1:-1, 1:-1]
    return float(np.exp(where.log_mass[edge]).sum())
