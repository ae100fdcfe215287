"""The grid on which gusts and obstacles are kept: cells of 25 m that reach a margin beyond the map."""

from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

CELL_M = 25.0
MARGIN_M = 400.0  # A particle this far outside is gone.


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells from `x0_m`, `y0_m` on, `columns` to the east and `rows` to the north."""

    x0_m: float
    y0_m: float
    columns: int
    rows: int

    def corners_x_m(self) -> npt.NDArray[np.float64]:
        """Return the x of the corners, one more than there are columns."""
        return self.x0_m + CELL_M * np.arange(self.columns + 1.0)

    def corners_y_m(self) -> npt.NDArray[np.float64]:
        """Return the y of the corners, one more than there are rows."""
        return self.y0_m + CELL_M * np.arange(self.rows + 1.0)


def over(width_m: float, height_m: float) -> Grid:
    """Return the grid over a map whose south-west corner is (0, 0)."""
    columns, rows = (ceil((length + 2.0 * MARGIN_M) / CELL_M) for length in (width_m, height_m))
    return Grid(-MARGIN_M, -MARGIN_M, columns, rows)
