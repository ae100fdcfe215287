"""What a scenario sets of the air. A `Range` is (low, high): the seed draws from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Wind:
    """The mean wind at 10 m over the district, and what disturbs it.

    Each day draws its speed and prevailing direction; direction and logarithm of the speed wander as
    Ornstein-Uhlenbeck processes; fronts veer the wind for good, calms end.
    """

    speed_m_s: Range = (2.0, 4.0)
    speed_diurnal: float = 0.25  # Amplitude over the day, relative; strongest at 15 h local time.
    speed_sd: float = 0.2  # Of the logarithm.
    speed_time_s: float = 2400.0
    from_deg: Range = (0.0, 360.0)
    wander_sd_deg: float = 18.0
    wander_time_s: float = 3600.0
    fronts_per_day: Range = (0.0, 0.6)
    front_s: Range = (900.0, 3600.0)
    front_veer_deg: Range = (40.0, 110.0)  # Clockwise.
    front_speed: Range = (1.1, 1.6)  # Factor, fading over three hours.
    front_cooling_k: Range = (1.0, 5.0)
    calms_per_day: Range = (0.0, 0.5)
    calm_s: Range = (1800.0, 5400.0)
    calm_speed_m_s: Range = (0.3, 0.6)


@dataclass(frozen=True, slots=True)
class Gusts:
    """Deviations from the mean wind that have a place and a life: all air there shares them."""

    share: float = 0.65  # Of the variance of the horizontal wind; the rest is turbulence.
    floor_m_s: float = 0.4  # Standard deviation that remains in a calm (meander).
    length_m: Range = (50.0, 500.0)
    time_s: Range = (60.0, 1800.0)  # The life of the shortest and of the longest.


@dataclass(frozen=True, slots=True)
class Surface:
    """Ground, buildings and what the sun does to them."""

    roughness_m: float = 0.6
    displacement_m: float = 5.0
    canopy_m: float = 12.0  # Mean height of the ordinary buildings.
    heat_flux_day_w_m2: float = 220.0  # Sensible, at noon under a clear sky.
    heat_flux_night_w_m2: float = -18.0
    cloud: Range = (0.0, 0.7)
    mixing_height_min_m: float = 150.0
    mixing_height_max_m: float = 1600.0
    large_buildings: int = 600  # How many are tried whose wakes are drawn one by one; some find no room.
    street_blocking: float = 0.7  # Share of the wind across a street that its fronts turn away at the ground.


@dataclass(frozen=True, slots=True)
class Climate:
    """Temperature, humidity, pressure and rain."""

    temperature_c: Range = (12.0, 20.0)  # Of the day's mean.
    temperature_diurnal_k: float = 4.5
    dew_point_c: Range = (6.0, 11.0)
    pressure_hpa: Range = (1006.0, 1022.0)
    rains_per_day: Range = (0.0, 0.5)
    rain_s: Range = (1800.0, 10800.0)
    rain_mm_h: Range = (0.5, 5.0)


@dataclass(frozen=True, slots=True)
class Haze:
    """A regional episode; times count from the start."""

    onset_s: Range = (7200.0, 18000.0)
    ramp_s: Range = (7200.0, 21600.0)
    duration_s: Range = (43200.0, 86400.0)
    pm2_5_ug_m3: Range = (80.0, 160.0)  # On top of the ordinary.


def _ordinary_background() -> dict[str, float]:
    return {
        "pm2_5": 24.0,
        "pm10": 42.0,
        "so2": 4.0,
        "no": 1.0,
        "no2": 12.0,
        "o3": 62.0,
        "co": 380.0,
        "ch4": 1.98,
    }


@dataclass(frozen=True, slots=True)
class Background:
    """What the region brings in, ug/m3 (ch4: ppm), its trend and its wandering."""

    mean: Mapping[str, float] = field(default_factory=_ordinary_background)
    sd: float = 0.15  # Of the logarithm; ch4: a tenth of it.
    time_s: float = 14400.0
    trend_per_day: Range = (-0.1, 0.1)  # Relative.
    haze: Haze | None = None


@dataclass(frozen=True, slots=True)
class Street:
    """A straight street between two points, lined with buildings."""

    x1_m: float
    y1_m: float
    x2_m: float
    y2_m: float
    width_m: float = 40.0


@dataclass(frozen=True, slots=True)
class AirConfig:
    """The air of one scenario over one map.

    The map (`width_m`, `height_m`, `streets`, `latitude_deg`, `utc_offset_s`) is the city's to fill in;
    `particles` bounds work and memory: how many are in flight at most.
    """

    wind: Wind = Wind()
    gusts: Gusts = Gusts()
    surface: Surface = Surface()
    climate: Climate = Climate()
    background: Background = field(default_factory=Background)
    width_m: float = 6000.0
    height_m: float = 4000.0
    streets: tuple[Street, ...] = ()
    latitude_deg: float = 31.5
    utc_offset_s: float = 28800.0
    particles: int = 30_000
