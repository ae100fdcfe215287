"""Where a delivery truck is at what time: one plan a truck and local day, drawn when the day begins.

A day is a list of legs that follow each other without gaps: parked at the depot, then drives along the
streets and stops at customers in turn, then parked again. The doors open only at stops.
"""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from math import hypot

import numpy as np

from devices.world import district
from devices.world.draw import stream

DAY_S = 86_400.0
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Leg:
    """A drive along `path`, or a stay at its only point; UTC. `openings` are (from, to) of the doors."""

    start_s: float
    end_s: float
    path: tuple[Point, ...]
    openings: tuple[tuple[float, float], ...] = ()
    parked: bool = False

    @property
    def driving(self) -> bool:
        """Whether the truck moves."""
        return len(self.path) > 1

    def place(self, time_s: float) -> Point:
        """Return the position at a time within the leg, in local metres."""
        if not self.driving:
            return self.path[0]
        steps = [hypot(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(self.path)]
        left_m = sum(steps) * min(1.0, (time_s - self.start_s) / (self.end_s - self.start_s))
        for (a, b), step_m in zip(pairwise(self.path), steps, strict=True):
            if left_m <= step_m:
                share = left_m / step_m if step_m else 0.0
                return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])
            left_m -= step_m
        return self.path[-1]

    def door_open(self, time_s: float) -> bool:
        """Tell whether the doors are open."""
        return any(start_s <= time_s < end_s for start_s, end_s in self.openings)


def street_path(start: Point, end: Point) -> tuple[Point, ...]:
    """Return the way between two points on west-east streets: along, across on a crossing street, along."""
    crossing_m = min(district.ROADS_NORTH_M, key=lambda x_m: abs(x_m - (start[0] + end[0]) / 2.0))
    corners = (start, (crossing_m, start[1]), (crossing_m, end[1]), end)
    return tuple(p for i, p in enumerate(corners) if i == 0 or p != corners[i - 1])


def plan_day(seed: int, truck: int, day: int) -> list[Leg]:
    """Return the legs of a local day (days since 1970 in local time), which cover it whole."""
    draw = stream(seed, "route", truck, day)
    midnight_s = day * DAY_S - district.UTC_OFFSET_S
    now_s = midnight_s + draw.uniform(5.0, 7.5) * 3600.0
    here: Point = district.DEPOT
    legs = [Leg(midnight_s, now_s, (here,), parked=True)]
    for _ in range(int(draw.integers(8, 15))):
        there = (draw.uniform(150.0, district.WIDTH_M - 150.0), float(draw.choice(district.ROADS_EAST_M)))
        legs.append(_drive(draw, now_s, here, there))
        legs.append(_stop(draw, legs[-1].end_s, there))
        now_s, here = legs[-1].end_s, there
    legs.append(_drive(draw, now_s, here, district.DEPOT))
    legs.append(Leg(legs[-1].end_s, midnight_s + DAY_S, (district.DEPOT,), parked=True))
    assert legs[-1].start_s < legs[-1].end_s, "a day's work ends after midnight"
    return legs


def _drive(draw: np.random.Generator, start_s: float, here: Point, there: Point) -> Leg:
    path = street_path(here, there)
    length_m = sum(hypot(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(path))
    return Leg(start_s, start_s + 60.0 + length_m / draw.uniform(5.0, 9.0), path)


def _stop(draw: np.random.Generator, start_s: float, there: Point) -> Leg:
    """Return a stop of 5 to 30 minutes with up to three openings of one to three minutes."""
    openings = []
    now_s = start_s
    for _ in range(int(draw.integers(1, 4))):
        now_s += draw.uniform(90.0, 240.0)
        openings.append((now_s, now_s + draw.uniform(45.0, 200.0)))
        now_s = openings[-1][1]
    return Leg(start_s, now_s + draw.uniform(180.0, 480.0), (there,), tuple(openings))


class Routes:
    """The present leg of one truck; asks for a new day when it is over. Time must not run backwards."""

    def __init__(self, seed: int, truck: int) -> None:
        self._seed = seed
        self._truck = truck
        self._day = -1
        self._legs: list[Leg] = []
        self._starts: list[float] = []

    def leg(self, time_s: float) -> Leg:
        """Return the leg under way at a time."""
        day = int((time_s + district.UTC_OFFSET_S) // DAY_S)
        if day != self._day:
            self._day = day
            self._legs = plan_day(self._seed, self._truck, day)
            self._starts = [leg.start_s for leg in self._legs]
        return self._legs[bisect_right(self._starts, time_s) - 1]
