"""Regions are posterior mass, drawn as GeoJSON."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.tracing.grid import Grid, multipolygon, smallest_region


def ring_area(ring: list[list[float]]) -> float:
    """Return the signed area by the shoelace formula."""
    return 0.5 * sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))


def polygons(cells: NDArray[np.bool_], grid: Grid) -> list[list[list[list[float]]]]:
    """Return the coordinates of the outline."""
    coordinates = multipolygon(cells, grid)["coordinates"]
    assert isinstance(coordinates, list)
    return coordinates


@given(st.integers(0, 2**20 - 1))
def test_outer_rings_less_holes_are_the_cells(bits: int) -> None:
    """Whatever the cells, areas agree, outer rings run left, holes right, all closed."""
    cells = np.array([bits >> n & 1 for n in range(20)], bool).reshape(4, 5)
    total = 0.0
    for outer, *holes in polygons(cells, Grid(10.0, 20.0, 2.0, 5, 4)):
        assert ring_area(outer) > 0
        assert all(ring_area(hole) < 0 for hole in holes)
        assert all(ring[0] == ring[-1] for ring in (outer, *holes))
        total += ring_area(outer) + sum(map(ring_area, holes))
    assert total == pytest.approx(4.0 * int(cells.sum()))


def test_a_hole_belongs_to_the_ring_around_it() -> None:
    """A frame of cells is one polygon of two rings."""
    cells = np.ones((3, 3), bool)
    cells[1, 1] = False
    (polygon,) = polygons(cells, Grid(0.0, 0.0, 1.0, 3, 3))
    assert [ring_area(ring) for ring in polygon] == [9.0, -1.0]


def test_the_region_is_the_smallest_that_holds_the_share() -> None:
    """Cells join by density until the share is held, and no longer."""
    mass = np.array([[0.5, 0.3], [0.15, 0.05]])
    assert smallest_region(mass, 0.5).tolist() == [[True, False], [False, False]]
    assert smallest_region(mass, 0.9).tolist() == [[True, True], [True, False]]
