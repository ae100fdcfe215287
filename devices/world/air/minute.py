"""What one minute of the air holds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Weather:
    """Means over the minute at one place; `rain_mm` is the minute's sum, `wind_from_deg` in [0, 360)."""

    wind_speed_m_s: float
    wind_from_deg: float
    temperature_c: float
    pressure_hpa: float
    humidity_pct: float
    rain_mm: float


@dataclass(frozen=True, slots=True)
class MeanField:
    """The state of the whole district: what an oracle would be told, and no sensor is."""

    wind_m_s: tuple[float, float]  # Towards east and north, at 10 m.
    friction_velocity_m_s: float
    obukhov_m: float  # Negative: unstable.
    heat_flux_w_m2: float
    mixing_height_m: float


@dataclass(frozen=True, slots=True)
class AirMinute:
    """One minute, from `time_s` (Unix seconds) on.

    `species` maps receptor to species to the mean over the minute (ug/m3; ch4: ppm), `weather` weather
    receptor to `Weather`, `rates_g_s` source to what it emitted. `by_source` is (receptors that are not
    weather, sources, `EMITTED`): what each source adds, ug/m3, before chemistry, in the order given.
    """

    time_s: float
    species: Mapping[str, Mapping[str, float]]
    weather: Mapping[str, Weather]
    rates_g_s: Mapping[str, Mapping[str, float]]
    field: MeanField
    by_source: npt.NDArray[np.float64]
