"""Stability budget: what part of the time that a product tolerates out of its range a trip has used.

Each band has a time in which it would use the budget up; time in several bands adds up. Between two readings
without a gap at least the milder one's band is proven and the harsher one's possible, in a gap nothing is
proven and the harshest band possible. With one band these are the durations of excursions.
"""

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from pipeline.shipping.profile import Band
from pipeline.shipping.series import Series


class Used(NamedTuple):
    """Parts of the budget, 1 being all of it."""

    proven_min: Fraction
    possible_max: Fraction


def budget_used(series: Series, bands: Sequence[Band]) -> Used:
    """Return what was used of the budget; bands ascend, and harsher ones have shorter times."""
    harshest = len(bands)
    proven_us, possible_us = [0] * (harshest + 1), [0] * (harshest + 1)
    starts = [band.from_cel for band in bands]
    levels = [bisect_right(starts, reading.value) for reading in series.readings]
    for index in range(len(levels) + 1):
        step_us = series.edge_us(index) - series.edge_us(index - 1)
        if index in series.gaps:
            possible_us[harshest] += step_us
            continue
        before = levels[index - 1] if index else None
        after = levels[index] if index < len(levels) else None
        ends = [level for level in (before, after) if level is not None]
        possible_us[max(ends, default=harshest)] += step_us
        if len(ends) == 2:
            proven_us[min(ends)] += step_us
    return Used(_part(proven_us, bands), _part(possible_us, bands))


def _part(times_us: Sequence[int], bands: Sequence[Band]) -> Fraction:
    """Return the sum of each band's part; the first time is that below all bands."""
    parts = (
        Fraction(time_us, band.budget_s * 1_000_000)
        for time_us, band in zip(times_us[1:], bands, strict=True)
    )
    return sum(parts, Fraction(0))
