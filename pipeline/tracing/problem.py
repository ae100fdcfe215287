"""What a trace is asked: readings, wind, where to look, and the priors, which are the same for all data."""

from dataclasses import dataclass, replace

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
    ends_m: Floats | None = None  # (s, 3) where a beam ends, nan: a point; None: all are points
    sd_g_m3: Floats | None = None  # (r,) of each reading's own noise
    limit_g_m3: Floats | None = (
        None  # (r,) the reading is below this, or says no more than this; nan: it is not
    )
    gain_sd: Floats | None = None  # (r,) ln sd of what multiplies the reading, beside the model's error
    above_zero: tuple[bool, ...] | None = None  # (s,) its readings have no background in them

    def select(self, rows: NDArray[np.bool_]) -> "Observations":
        """Return some of the readings, of the same sensors."""
        return replace(
            self,
            sensor=self.sensor[rows],
            start_s=self.start_s[rows],
            interval_s=self.interval_s[rows],
            value_g_m3=self.value_g_m3[rows],
            sd_g_m3=None if self.sd_g_m3 is None else self.sd_g_m3[rows],
            limit_g_m3=None if self.limit_g_m3 is None else self.limit_g_m3[rows],
            gain_sd=None if self.gain_sd is None else self.gain_sd[rows],
        )


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
    stability: Floats | None = None  # (n,) Pasquill's class, A: 0 ... F: 5; nan: not known


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
    """Priors and numerics. Log sds after what others find for dispersion models.

    The blocks' length and the zeros' sd were chosen on ADED 2022; Prairie Grass has not been used for either.
    """

    from_s: float
    to_s: float
    bounds_m: tuple[float, float, float, float]  # west, south, east, north
    source_height_m: tuple[float, float] = (1.0, 4.5)
    background_g_m3: float | None = None  # None: fitted
    wind_error_deg: float = 10.0  # sd, over the whole event: a vane set by eye, or by a compass (declination)
    wind_chance_deg: float = 5.0  # sd, in each averaged reading
    wind_local_deg: float = 1.0  # sd, from sensor to sensor, where there is one reading of each
    axis_deg: float = 2.0
    axis_memory_ln: float = 1.0
    width_nodes: int = 2
    width_step_ln: float = 0.3
    width_error_ln: float = 0.35
    width_wander_ln: float = 0.2
    width_memory_ln: float = 1.0
    sigma_v_m_s: float = 0.3  # In light wind, where it is not measured
    sigma_v_chance_m_s: float = 0.3  # What the wind's direction still varies by in calm air, times speed.
    block_s: float = 1200.0  # Readings are averaged over so long: a few turnovers of the boundary layer.
    block_turn_deg: float = 45.0  # Nor over more than the wind turns by so much in
    kept: float = 0.7
    wandering: float = 0.7
    white: float = 0.4
    tail: float = 4.0  # Degrees of freedom of the errors' Student-t: a gust that misses a sensor is no proof.
    zero_sd: float = 0.7  # Of the zero's drift, in sds of what readings in clean air vary by
    noise_sd: float = 0.3  # The same, of noise
    memory_s: float = 1800.0
    memory_ln: float = 0.7  # In ln distance, where there is one reading of each sensor: a factor of two
    zero_memory_s: float = 10_800.0
    direction_step: float = 1.0  # From node to node, in sds of what the direction varies by chance
    swing_deg: float = 10.0  # Over which dM/dθ is taken
    ring_ln: float = 0.1
    spoke_deg: float = 2.0
    puff_step: float = 1.5  # In spreads; Gaussians so close in a row sum to a constant within 3e-4.
    rate_step: float = 0.7  # Of the lattice of ln q
    rate_centre_ln: float = 0.0  # 1 g/s
    rate_sd_ln: float = 3.0
    speed_error_ln: float = 0.2
    probability_of_source: float = 0.5
    probability_of_unlisted: float = 0.1
    coarse_cells: int = 400
    fine_cells: int = 600
    finest_m: float = 3.0  # Where refinement stops
    prune: float = 10.0  # Cells whose density is e^-10 of the best are not refined.
