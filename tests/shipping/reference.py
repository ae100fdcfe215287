"""A slow judge written from the definition: it paints a trip minute by minute, and shares no code with ours.

Readings are (minute, value, sequence), ascending. The minute m is the time from m to m + 1.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

Reading = tuple[int, float, int]


@dataclass(frozen=True)
class Painted:
    """What is known of every minute, and of the instants between them."""

    proven: list[bool]
    possible: list[bool]
    inside_at: set[int]
    outside_at: set[int]


def around(readings: list[Reading], minute: int) -> list[Reading]:
    """Return the reading at the minute's begin or before, and the one behind, where there are any."""
    at = bisect_right(readings, minute, key=lambda reading: reading[0])
    return readings[max(at - 1, 0) : at + 1]


def unknown(readings: list[Reading], begin: int, end: int, interval: int) -> list[bool]:
    """Say for each minute whether it lies in a gap."""
    answer = []
    for minute in range(begin, end):
        ends = around(readings, minute)
        first = max([r[0] for r in ends if r[0] <= minute], default=begin)
        length = min([r[0] for r in ends if r[0] > minute], default=end) - first
        lost = len(ends) == 2 and ends[1][2] != ends[0][2] + 1
        answer.append(lost or length > interval)
    return answer


def paint(
    readings: list[Reading], begin: int, end: int, gaps: list[bool], outside: Callable[[float], bool]
) -> Painted:
    """Say for each minute whether it was outside for certain, and whether it can have been."""
    proven, possible = [], []
    for minute in range(begin, end):
        if gaps[minute - begin]:
            proven.append(False)
            possible.append(True)
            continue
        ends = around(readings, minute)
        states = [outside(value) for _, value, _ in ends]
        proven.append(len(states) == 2 and all(states))
        possible.append(any(states))
    inside_at = {minute for minute, value, _ in readings if not outside(value)}
    return Painted(proven, possible, inside_at, {r[0] for r in readings} - inside_at)


def longest(marks: list[bool], begin: int, ends_at: set[int]) -> int:
    """Return the longest run of marked minutes that passes through none of these instants."""
    best = run = 0
    for offset, marked in enumerate(marks):
        if begin + offset in ends_at:
            run = 0
        run = run + 1 if marked else 0
        best = max(best, run)
    return best


def bounds(painted: Painted, begin: int) -> dict[str, tuple[int, int]]:
    """Return proven and possible minutes, of the longest excursion and of all."""
    proven, possible = painted.proven, painted.possible
    return {
        "single": (longest(proven, begin, painted.inside_at), longest(possible, begin, painted.inside_at)),
        "cumulative": (sum(proven), sum(possible)),
    }


def verdict(painted: Painted, proven: int, possible: int, limit: int) -> str:
    """Return what the definition says of one limit in minutes."""
    if painted.outside_at and proven >= limit:
        return "breach"
    nothing = not painted.outside_at and not any(painted.possible)
    return "in_limits" if nothing or possible < limit else "undetermined"


def budget(
    readings: list[Reading], begin: int, end: int, gaps: list[bool], bands: list[tuple[float, int]]
) -> tuple[Fraction, Fraction]:
    """Return what was used of bands (from, minutes), at least and at most."""

    def rate(value: float) -> Fraction:
        return max([Fraction(1, budget) for edge, budget in bands if value >= edge], default=Fraction(0))

    harshest = max(Fraction(1, budget) for _, budget in bands)
    low = high = Fraction(0)
    for minute in range(begin, end):
        if gaps[minute - begin]:
            high += harshest
            continue
        ends = around(readings, minute)
        rates = [rate(value) for _, value, _ in ends]
        low += min(rates) if len(rates) == 2 else 0
        high += max(rates)
    return low, high


def cycles(readings: list[Reading], frozen: float, thawed: float) -> int:
    """Return how often a thawed reading follows a frozen one."""
    letters = "".join("F" if v <= frozen else "T" if v >= thawed else "-" for _, v, _ in readings)
    return len(re.findall("F[^T]*T", letters))
