"""Cells, and the smallest set of them that holds a given share of the posterior, as GeoJSON."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.tracing.problem import Floats

Ring = list[list[float]]


@dataclass(frozen=True, slots=True)
class Grid:
    """Square cells in rows from south to north."""

    x0_m: float  # West edge
    y0_m: float  # South edge
    step_m: float
    nx: int
    ny: int

    @classmethod
    def over(cls, bounds_m: tuple[float, float, float, float], cells: int) -> "Grid":
        """Cover bounds (west, south, east, north) with about so many cells."""
        west, south, east, north = bounds_m
        step = math.sqrt((east - west) * (north - south) / cells)
        return cls(
            west,
            south,
            step,
            max(math.ceil((east - west) / step), 2),
            max(math.ceil((north - south) / step), 2),
        )

    @property
    def x_m(self) -> Floats:
        """(nx,) centres."""
        return self.x0_m + (np.arange(self.nx, dtype=np.float64) + 0.5) * self.step_m

    @property
    def y_m(self) -> Floats:
        """(ny,) centres."""
        return self.y0_m + (np.arange(self.ny, dtype=np.float64) + 0.5) * self.step_m


def smallest_region(mass: Floats, share: float) -> NDArray[np.bool_]:
    """Return which cells, taken from the densest down, hold `share` of all mass."""
    order = np.argsort(-mass, axis=None)
    held = np.cumsum(mass.ravel()[order])
    chosen = np.zeros(mass.size, bool)
    chosen[order[: int(np.searchsorted(held, share * held[-1])) + 1]] = True
    return chosen.reshape(mass.shape)


def multipolygon(inside: NDArray[np.bool_], grid: Grid) -> dict[str, object]:
    """Return the outline of the cells as a GeoJSON MultiPolygon (RFC 7946), in the grid's metres.

    Outer rings run counterclockwise, holes clockwise. Cells that meet at a corner only are kept apart.
    """
    rings = _rings(inside)
    outer = [ring for ring in rings if _area(ring) > 0]
    holes = [ring for ring in rings if _area(ring) < 0]
    polygons: list[list[Ring]] = []
    for ring in outer:
        members = [hole for hole in holes if _first_around(hole, outer) is ring]
        polygons.append([_to_metres(part, grid) for part in (ring, *members)])
    return {"type": "MultiPolygon", "coordinates": polygons}


def _rings(inside: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """Return closed rings of cell corners, with the inside to their left."""
    padded = np.pad(inside, 1)
    ahead: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for y, x in zip(*np.nonzero(inside), strict=True):
        k, i = int(y), int(x)
        if not padded[k, i + 1]:
            ahead.setdefault((i, k), []).append((i + 1, k))
        if not padded[k + 1, i + 2]:
            ahead.setdefault((i + 1, k), []).append((i + 1, k + 1))
        if not padded[k + 2, i + 1]:
            ahead.setdefault((i + 1, k + 1), []).append((i, k + 1))
        if not padded[k + 1, i]:
            ahead.setdefault((i, k + 1), []).append((i, k))
    rings = []
    while ahead:
        here = start = next(iter(ahead))
        ring, heading = [start], (0, 0)
        while True:
            # Where two cells meet at a corner, the left turn stays on the same cell.
            ways = ahead[here]
            ways.sort(key=lambda way: heading[0] * (way[1] - here[1]) - heading[1] * (way[0] - here[0]))
            there = ways.pop()
            if not ways:
                del ahead[here]
            heading, here = (there[0] - here[0], there[1] - here[1]), there
            ring.append(here)
            if here == start:
                break
        rings.append(ring)
    return rings


def _area(ring: list[tuple[int, int]]) -> float:
    return 0.5 * sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))


def _first_around(hole: list[tuple[int, int]], outer: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Return the smallest outer ring around a hole."""
    (x0, y0), (x1, y1) = hole[0], hole[1]
    # A point half a step inside the region, which lies to the left of the hole's first edge.
    px, py = 0.5 * (x0 + x1) - 0.5 * (y1 - y0), 0.5 * (y0 + y1) + 0.5 * (x1 - x0)
    return min((ring for ring in outer if _holds(ring, px, py)), key=_area)


def _holds(ring: list[tuple[int, int]], x: float, y: float) -> bool:
    crossings = 0
    for (x0, y0), (_, y1) in pairwise(ring):
        if (y0 > y) != (y1 > y) and x0 > x:
            crossings += 1
    return crossings % 2 == 1


def _to_metres(ring: list[tuple[int, int]], grid: Grid) -> Ring:
    return [[grid.x0_m + i * grid.step_m, grid.y0_m + k * grid.step_m] for i, k in ring]
