"""What a trace is asked: readings, wind, where to look, and the priors, which are the same for all data."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Observations:
    """Readings of one quantity, in rows ascending in time."""

    names: tuple[str, ...]  # (s,)
    sensors_m: Floats  # (s, 3): east, north, above ground
    sensor: Integers  # (r,) index into `names`
    start_s: Floats  # (r,) when each averaging interval begins
    interval_s: Floats  # (r,)
    value_g_m3: Floats  # (r,)


@dataclass(frozen=True, slots=True)
class Wind:
    """The wind, each row holding until the next; the first also before, the last also after."""

    start_s: Floats  # (n,) ascending
    speed_m_s: Floats  # (n,)
    from_deg: Floats  # (n,) compass direction it comes from
    ustar_m_s: Floats  # (n,) nan: not measured
    obukhov_m: Floats  # (n,) nan: not measured
    sigma_v_m_s: Floats  # (n,) nan: not measured
    roughness_m: Floats  # (n,) nan: not measured
    height_m: Floats  # (n,) of the anemometer


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that may be the source; it is where the list says within `radius_m`."""

    name: str
    x_m: float
    y_m: float
    radius_m: float = 5.0  # A piece of equipment leaks somewhere on it.
    prior: float = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Priors and numerics. Log sds after what others find for dispersion models; nothing is fitted."""

    from_s: float
    to_s: float
    bounds_m: tuple[float, float, float, float]  # west, south, east, north
    source_height_m: tuple[float, float] = (1.0, 4.5)
    background_g_m3: float | None = None  # None: fitted
    wind_error_deg: float = 5.0  # sd, over the whole event
    wind_chance_deg: float = 10.0  # sd, in each averaged reading
    sigma_v_m_s: float = 0.2  # AERMOD's least; where it is not measured
    sigma_v_chance_m_s: float = 0.3  # What the wind's direction still varies by in calm air, times speed.
    block_s: float = 900.0  # Readings are averaged over so long: a few turnovers of the boundary layer.
    kept: float = 0.7
    wandering: float = 0.7
    white: float = 0.4
    memory_s: float = 1800.0
    zero_memory_s: float = 10_800.0
    classes: tuple[int, ...] = (1, 3, 4)  # B, D, E: each twice as wide as the next
    direction_nodes: tuple[float, ...] = (-2.0, -1.0, 0.0, 1.0, 2.0)  # In steps of 0.8 sd
    rate_step: float = 0.7  # Of the lattice of ln q
    rate_centre_ln: float = 0.0  # 1 g/s
    rate_sd_ln: float = 3.0
    speed_error_ln: float = 0.2
    probability_of_source: float = 0.5
    probability_of_unlisted: float = 0.1
    coarse_cells: int = 400
    fine_cells: int = 600
    prune: float = 10.0  # Cells whose density is e^-10 of the best are not refined.
