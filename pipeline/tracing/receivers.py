"""Where readings are taken: at points, and along beams, which are rows of points that are averaged.

A beam's points stand so close that a plume of the least width that matters falls on some of them; the
coupling of a beam is the mean over its points.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.tracing.problem import Floats, Integers

BEAM_STEP_M = 4.0
BEAM_POINTS = 24  # At most; of a long beam they stand further apart.


@dataclass(frozen=True, slots=True)
class Receivers:
    """Points, and what each averaged reading (target) takes of them: a run of rows, one a point."""

    points_m: Floats  # (p, 3)
    point: Integers  # (rows,) point of each row
    first_row: Integers  # (targets,) where each target's rows begin
    rows: int
    reading_point: Integers
    reading_row: Integers
    reading_weight: Floats
    first_reading: Integers

    @property
    def beams(self) -> bool:
        """Whether some target has several points."""
        return self.rows > self.first_row.size

    def total(self, of_rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (targets, cells) from (rows, cells): points carry their share of weight already."""
        return np.add.reduceat(of_rows, self.first_row, axis=0) if self.beams else of_rows

    def nearest(self, of_points: Floats) -> Floats:
        """Return (targets, cells) the least of each target's points, from (p, cells)."""
        of_rows = of_points[self.point]
        return np.asarray(np.minimum.reduceat(of_rows, self.first_row, axis=0)) if self.beams else of_rows


def receive(
    sensors_m: Floats,
    ends_m: Floats | None,
    target_sensor: Integers,
    first_reading: Integers,
    reading_target: Integers,
    reading_weight: Floats,
) -> Receivers:
    """Return the receivers of averaged readings.

    Args:
        sensors_m: (s, 3) where each sensor stands, or its beam begins.
        ends_m: (s, 3) where its beam ends, nan for points; None: all are points.
        target_sensor: (n,) sensor of each target.
        first_reading: (t + 1,) where each arrival's readings start in the next two.
        reading_target: (r,) target of each reading.
        reading_weight: (r,) its weight there.
    """
    points, first_point = _points(sensors_m, ends_m)
    count = np.diff(first_point)[target_sensor]
    first_row = np.cumsum(count) - count
    within = np.arange(int(count.sum())) - np.repeat(first_row, count)
    point = first_point[np.repeat(target_sensor, count)] + within
    of_reading = count[reading_target]
    place = np.cumsum(of_reading) - of_reading
    nth = np.arange(int(of_reading.sum())) - np.repeat(place, of_reading)
    row = np.repeat(first_row[reading_target], of_reading) + nth
    ends = np.append(place, int(of_reading.sum()))
    return Receivers(
        points_m=points,
        point=point,
        first_row=first_row,
        rows=int(count.sum()),
        reading_point=point[row],
        reading_row=row,
        reading_weight=np.repeat(reading_weight / of_reading, of_reading),
        first_reading=ends[first_reading],
    )


def _points(sensors_m: Floats, ends_m: Floats | None) -> tuple[Floats, Integers]:
    """Return (p, 3) points of all sensors, and (s + 1,) where each sensor's begin."""
    if ends_m is None:
        return sensors_m, np.arange(sensors_m.shape[0] + 1)
    parts: list[Floats] = []
    for place, end in zip(sensors_m, ends_m, strict=True):
        if not np.isfinite(end).all():
            parts.append(place[None, :])
            continue
        count = min(max(math.ceil(float(np.linalg.norm(end - place)) / BEAM_STEP_M), 2), BEAM_POINTS)
        share = (np.arange(count) + 0.5)[:, None] / count
        parts.append(place + share * (end - place))
    first = np.concatenate(([0], np.cumsum([len(part) for part in parts])))
    return np.concatenate(parts), first
