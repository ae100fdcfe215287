"""Junctions of the street grid: vehicles arrive, queue, pass on green, and drive on to the next junction.

Every vehicle is counted: what has entered is in a queue, on a street, or has left. Arrays run over junctions,
the four sides vehicles come from (n, e, s, w), and two lane groups: two lanes through and right, one left.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import dist, exp, pi, sin

import numpy as np
from numpy.typing import NDArray

from devices.world import district
from devices.world.draw import stream
from devices.world.model import TICK_S

STEP_S = 5.0
CYCLE_S = 90.0
CLEARANCE_S = 5.0  # Yellow and all red after each of the four phases.
LEFT_GREEN_S = 10.0
THROUGH_GREEN_S = CYCLE_S - 4 * CLEARANCE_S - 2 * LEFT_GREEN_S  # Shared between north-south and east-west.
LANES = np.array([2.0, 1.0])
SATURATION_LANE_S = 0.5  # Vehicles a lane and second of green.
VEHICLE_M = 7.0  # Of queue, gap included.
LOOP_M = 6.5  # Length of a vehicle plus that of a detector.
DETECTOR_M = 40.0  # Upstream of the stop line.
FREE_M_S, QUEUED_M_S = 13.0, 4.5
RIGHT_SHARE = 0.18  # Of the through-and-right group.
DELAYS = (1.0, 1.1, 1.25)  # Slower drivers fall behind: times of the free travel time,
DELAY_SHARES = (0.45, 0.35)  # and the shares of the first two.
ENTRY_S = (0.19, 0.11)  # Vehicles a second at the peak: streets west to east, and south to north.
NORTH, EAST, SOUTH, WEST = range(4)
SIDES = tuple(district.SIDES)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Street:
    """A stretch between two junctions or from one to the edge; `approaches` are (junction, side)."""

    start_m: tuple[float, float]
    end_m: tuple[float, float]
    approaches: tuple[tuple[int, int], ...]


class Traffic:
    """The grid; `advance` steps it a minute. `demand` scales the vehicles that want to enter."""

    def __init__(self, seed: int, start_s: float, demand: float) -> None:
        self._draw = stream(seed, "traffic")
        self._demand = demand
        self._places = np.array(list(district.JUNCTIONS.values()))
        self._next = _neighbours()
        self.streets = _streets(self._places, self._next)
        self.street_m = np.array([dist(street.start_m, street.end_m) for street in self.streets])
        self._street_of = np.zeros((len(self._places), 4), dtype=np.int64)
        for i, street in enumerate(self.streets):
            for approach in street.approaches:
                self._street_of[approach] = i
        shape = self._street_of.shape
        base = np.array([ENTRY_S[1], ENTRY_S[0], ENTRY_S[1], ENTRY_S[0]])
        entries = np.where(self._next < 0, base * self._draw.lognormal(0.0, 0.15, shape), 0.0)
        self._entries_s = entries
        self._left_share = self._draw.uniform(0.12, 0.2, shape)
        travel_s = self.street_m[self._street_of] / FREE_M_S
        self._delays = [np.maximum(1, np.rint(travel_s * d / STEP_S)).astype(np.int64) for d in DELAYS]
        self._coming = np.zeros((int(self._delays[-1].max()) + 1, *shape), dtype=np.int64)
        self._queue = np.zeros((*shape, 2), dtype=np.int64)
        self._credit = np.zeros(self._queue.shape)
        self._offset_s = self._draw.integers(0, int(CYCLE_S / STEP_S), len(self._places)) * STEP_S
        self._green_s = np.full(len(self._places), THROUGH_GREEN_S / 2)  # North and south.
        self._pressure = np.ones(shape)  # Arrivals lately, which the split of green follows.
        self._onward = np.nonzero(self._next >= 0)  # (junction, side) behind which another junction lies.
        self._places_of = np.indices(shape)
        self._step = 0
        self.entered = 0
        self.left = 0
        for minute in range(-30, 0):
            self._minute(start_s + minute * TICK_S)

    def advance(self, time_s: float) -> tuple[Iterator[tuple[str, dict[str, float]]], FloatArray, FloatArray]:
        """Step over the minute that begins at `time_s`.

        Returns:
            (station name, values) of every detector; (streets,) vehicle-kilometres driven; (streets,)
            vehicle-minutes stood in queues.
        """
        queue_m = (self._queue / LANES).max(axis=-1) * VEHICLE_M
        phase = self._phases(time_s)[0]
        passed, green_s, occupancy, speed, driven_km, stood_min = self._minute(time_s)
        rows = self._rows(queue_m, phase, passed, green_s, occupancy, speed)
        return rows, driven_km, stood_min

    def vehicles_inside(self) -> int:
        """Return how many vehicles are on streets and in queues."""
        return int(self._coming.sum() + self._queue.sum())

    def _rows(
        self,
        queue_m: FloatArray,
        phase: IntArray,
        passed: IntArray,
        green_s: FloatArray,
        occupancy: FloatArray,
        speed: FloatArray,
    ) -> Iterator[tuple[str, dict[str, float]]]:
        names = list(district.JUNCTIONS)
        for junction in district.JUNCTIONS_DETECTED:
            j = names.index(junction)
            for s, side in enumerate(SIDES):
                values = {
                    "vehicles": float(passed[j, s]),
                    "occupancy": 100.0 * float(occupancy[j, s]),
                    "queue": float(queue_m[j, s]),
                    "signal_phase": float(phase[j]),
                    "green_time": float(green_s[j, s]),
                }
                if passed[j, s]:  # Nobody passed: there is no speed to tell.
                    values["speed"] = float(speed[j, s])
                yield f"{junction}-{side}", values

    def _minute(
        self, time_s: float
    ) -> tuple[IntArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        shape = self._street_of.shape
        passed = np.zeros(shape, dtype=np.int64)
        green_s, occupied, metres = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        begun, stood = np.zeros(shape), np.zeros(shape)
        steps = int(TICK_S / STEP_S)
        for step in range(steps):
            now_s = time_s + step * STEP_S
            green = self._signals(now_s)
            arrived = self._arrive()
            served = self._serve(green)
            begun += self._drive_on(served, self._enter(now_s))
            departed = served.sum(axis=-1)
            filled = np.minimum(1.0, self._queue[..., 0] * VEHICLE_M / LANES[0] / DETECTOR_M)
            speed = FREE_M_S - (FREE_M_S - QUEUED_M_S) * filled
            moving = np.minimum(1.0, (arrived + departed) / 2 * LOOP_M / speed / STEP_S / LANES.sum())
            occupied += np.where((filled == 1.0) & ~green[..., 0], 0.95, moving)
            metres += departed * speed
            passed += departed
            green_s += green[..., 0] * STEP_S
            stood += self._queue.sum(axis=-1)
        speed = metres / np.maximum(passed, 1)
        driven_km = self._by_street(begun) * self.street_m / 1000.0
        return passed, green_s, occupied / steps, speed, driven_km, self._by_street(stood) * STEP_S / 60.0

    def _by_street(self, of_approach: FloatArray) -> FloatArray:
        found = np.bincount(self._street_of.ravel(), of_approach.ravel(), len(self.streets))
        return found.astype(np.float64)

    def _phases(self, now_s: float) -> tuple[IntArray, FloatArray]:
        """Return each junction's phase (1 north-south, 2 its left, 3 east-west, 4 its left) and time."""
        cycle_s = np.mod(now_s + self._offset_s, CYCLE_S, dtype=np.float64)
        first = self._green_s
        ends = np.stack(
            [
                first,
                first + CLEARANCE_S + LEFT_GREEN_S,
                THROUGH_GREEN_S + 2 * CLEARANCE_S + LEFT_GREEN_S + 0.0 * first,
                THROUGH_GREEN_S + 3 * CLEARANCE_S + 2 * LEFT_GREEN_S + 0.0 * first,
            ]
        )
        starts = np.stack([0.0 * first, *(end + CLEARANCE_S for end in ends[:-1])])
        on = (cycle_s >= starts) & (cycle_s < ends)
        return np.where(on.any(axis=0), on.argmax(axis=0) + 1, 0).astype(np.int64), cycle_s

    def _signals(self, now_s: float) -> NDArray[np.bool_]:
        """Return which lane groups have green; a new cycle splits its green by the arrivals of late."""
        phase, cycle_s = self._phases(now_s)
        begins = cycle_s < STEP_S
        if begins.any():
            north_south = self._pressure[:, (NORTH, SOUTH)].max(axis=1)
            share = north_south / (north_south + self._pressure[:, (EAST, WEST)].max(axis=1))
            wanted = np.rint(share.clip(0.3, 0.7) * THROUGH_GREEN_S / STEP_S) * STEP_S
            self._green_s = np.where(begins, wanted, self._green_s)
            phase, _ = self._phases(now_s)
        green = np.zeros(self._queue.shape, dtype=bool)
        for group, (north_south_phase, east_west_phase) in enumerate(((1, 3), (2, 4))):
            green[:, (NORTH, SOUTH), group] = (phase == north_south_phase)[:, None]
            green[:, (EAST, WEST), group] = (phase == east_west_phase)[:, None]
        return green

    def _enter(self, now_s: float) -> IntArray:
        """Draw the vehicles that enter at the edges."""
        rate = self._demand * demand_curve(now_s) * STEP_S
        entering = np.asarray(self._draw.poisson(self._entries_s * rate))
        self.entered += int(entering.sum())
        return entering

    def _arrive(self) -> IntArray:
        """Let vehicles on the streets reach their queues."""
        slot = self._step % len(self._coming)
        arrived = self._coming[slot].copy()
        self._coming[slot] = 0
        self._step += 1
        to_left = self._draw.binomial(arrived, self._left_share)
        self._queue[..., 0] += arrived - to_left
        self._queue[..., 1] += to_left
        keep = exp(-STEP_S / (3.0 * CYCLE_S))
        pressing = arrived + 0.02 * self._queue.sum(axis=-1) + 1e-3
        self._pressure = keep * self._pressure + (1.0 - keep) * pressing
        return np.asarray(arrived)

    def _serve(self, green: NDArray[np.bool_]) -> IntArray:
        """Let queues discharge at the saturation flow; a lane's first vehicle after red starts late."""
        started = green & (self._credit == 0.0)
        capacity = LANES * SATURATION_LANE_S * STEP_S
        self._credit = np.where(green, self._credit + capacity * np.where(started, 0.6, 1.0), 0.0)
        served = np.minimum(self._queue, self._credit.astype(np.int64))
        self._credit = np.where(green, np.clip(self._credit - served, 1e-9, LANES), 0.0)
        self._queue -= served
        return served

    def _drive_on(self, served: IntArray, entering: IntArray) -> IntArray:
        """Send those that passed or entered to their next street, or out; returns (junction, side) driven."""
        right = self._draw.binomial(served[..., 0], RIGHT_SHARE)
        out = np.zeros(self._next.shape, dtype=np.int64)  # (junction, side left by)
        for side in range(4):
            out[:, (side + 2) % 4] += served[:, side, 0] - right[:, side]
            out[:, (side + 3) % 4] += right[:, side]
            out[:, (side + 1) % 4] += served[:, side, 1]
        junctions, sides = self._onward
        onward = entering.copy()
        onward[self._next[junctions, sides], (sides + 2) % 4] = out[junctions, sides]
        self._send(onward)
        self.left += int(out.sum()) - int(out[junctions, sides].sum())
        return out + entering

    def _send(self, vehicles: IntArray) -> None:
        """Put vehicles on the streets that lead to (junction, side)."""
        quick = self._draw.binomial(vehicles, DELAY_SHARES[0])
        middle = self._draw.binomial(vehicles - quick, DELAY_SHARES[1] / (1.0 - DELAY_SHARES[0]))
        junction, side = self._places_of
        for count, delay in zip((quick, middle, vehicles - quick - middle), self._delays, strict=True):
            self._coming[(self._step + delay) % len(self._coming), junction, side] += count


def demand_curve(time_s: float) -> float:
    """Return the share of the peak's demand: two peaks on working days, one broad one at weekends."""
    local_s = time_s + district.UTC_OFFSET_S
    hour = local_s / 3600.0 % 24.0
    weekday = int(local_s // 86400.0 + 3) % 7  # 1 January 1970 was a Thursday.
    night = 0.10 + 0.05 * sin(2.0 * pi * (hour - 9.0) / 24.0)
    if weekday >= 5:
        return night + 0.5 * exp(-(((hour - 14.5) / 4.5) ** 2))
    peaks = 0.75 * exp(-(((hour - 8.0) / 1.3) ** 2)) + 0.72 * exp(-(((hour - 17.8) / 1.5) ** 2))
    return night + peaks + 0.42 * exp(-(((hour - 13.0) / 4.0) ** 2))


def _neighbours() -> IntArray:
    """Return (junctions, 4): the junction one comes to when leaving by a side, or -1 at the edge."""
    rows, columns = len(district.ROADS_EAST_M), len(district.ROADS_NORTH_M)
    found = np.full((rows * columns, 4), -1, dtype=np.int64)
    for j in range(rows * columns):
        row, column = divmod(j, columns)
        if row + 1 < rows:
            found[j, NORTH] = j + columns
        if column + 1 < columns:
            found[j, EAST] = j + 1
        if row > 0:
            found[j, SOUTH] = j - columns
        if column > 0:
            found[j, WEST] = j - 1
    return found


def _streets(places: FloatArray, following: IntArray) -> list[Street]:
    found = []
    for j, (x_m, y_m) in enumerate(places.tolist()):
        edges = {
            NORTH: (x_m, district.HEIGHT_M),
            EAST: (district.WIDTH_M, y_m),
            SOUTH: (x_m, 0.0),
            WEST: (0.0, y_m),
        }
        for side in range(4):
            k = int(following[j, side])
            if k < 0:
                found.append(Street((x_m, y_m), edges[side], ((j, side),)))
            elif k > j:
                end = (float(places[k, 0]), float(places[k, 1]))
                found.append(Street((x_m, y_m), end, ((j, side), (k, (side + 2) % 4))))
    return found
