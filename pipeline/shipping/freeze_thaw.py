"""Freeze-thaw cycles: how often the product thawed after it was frozen.

Two thresholds, so that noise at one of them counts nothing: a cycle is a reading at or below `frozen_cel`
and the next one at or above `thawed_cel`. A gap may hide as many more as fit into it.
"""

from typing import NamedTuple

from pipeline.shipping.profile import FreezeThaw
from pipeline.shipping.series import Series


class Cycles(NamedTuple):
    """How many there were at least, and can have been at most."""

    proven_min: int
    possible_max: int


def count_cycles(series: Series, rule: FreezeThaw) -> Cycles:
    """Return the number of cycles, as bounds."""
    frozen, proven = False, 0
    for reading in series.readings:
        if reading.value <= rule.frozen_cel:
            frozen = True
        elif frozen and reading.value >= rule.thawed_cel:
            frozen, proven = False, proven + 1
    shortest_us = rule.shortest_s * 1_000_000
    return Cycles(proven, proven + sum(gap.length_us // shortest_us for gap in series.gaps.values()))
