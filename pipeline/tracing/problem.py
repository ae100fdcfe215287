"""What a trace is made of: readings, wind, places that may be the source."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.tracing.settings import Settings

__all__ = ["Candidate", "Floats", "Integers", "Observations", "Settings", "Wind"]

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
