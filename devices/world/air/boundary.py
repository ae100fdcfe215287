"""The boundary layer: from the sun's heating and the wind to friction velocity, stability, mixing height.

Sources: Monin-Obukhov similarity with the Businger-Dyer functions (Garratt 1992, The Atmospheric Boundary
Layer, 3.3); canopy wind after Macdonald (2000), Boundary-Layer Meteorology 97; mixing height of the day by
encroachment (Carson 1973; Garratt 6.2), what the wind alone mixes after Vogelezang and Holtslag (1996),
Boundary-Layer Meteorology 81, and in the stable night after Zilitinkevich (Garratt 6.3).
"""

from dataclasses import dataclass
from math import asin, atan, cos, exp, hypot, log, pi, radians, sin, sqrt

from devices.world.air.config import AirConfig, Surface
from devices.world.air.spells import DAY_S

KARMAN = 0.4
GRAVITY_M_S2 = 9.81
AIR_HEAT_J_M3_K = 1.2 * 1005.0  # Density times heat capacity.
REFERENCE_K = 288.0
CANOPY_ATTENUATION = 1.2  # Macdonald's a for low-rise quarters: 9.6 times the frontal density.
ENTRAINMENT = 0.2  # Heat drawn down through the inversion, a share of the surface's.
INVERSION_K_M = 0.006  # Stratification above the mixing height.
MECHANICAL = 10.0  # Height the wind mixes, in friction velocities over the stratification's frequency.
SETTLES_S = 3600.0  # In which the mixing height follows the wind.
OBUKHOV_STABLE_MIN_M = 30.0  # Towns store heat: their nights are never as stable as the country's.
WIND_MIN_M_S = 0.3  # Below, what is left of the friction comes from eddies, not from the mean wind.


@dataclass(frozen=True, slots=True)
class Layer:
    """The state of the boundary layer over the district at one time."""

    wind_m_s: tuple[float, float]  # Towards east and north, at 10 m.
    friction_velocity_m_s: float
    obukhov_m: float
    convective_velocity_m_s: float  # 0 unless heated from below.
    heat_flux_w_m2: float
    mixing_height_m: float

    @property
    def speed_m_s(self) -> float:
        """The wind's speed at 10 m."""
        return hypot(*self.wind_m_s)


def sun_height(time_s: float, latitude_deg: float, utc_offset_s: float) -> float:
    """Return the sine of the sun's elevation, negative at night (declination to half a degree)."""
    year_d = time_s / DAY_S % 365.2425
    declination = asin(0.398 * sin(2.0 * pi * (year_d - 79.5) / 365.2425))
    hour = 2.0 * pi * ((time_s + utc_offset_s) / DAY_S % 1.0 - 0.5)
    latitude = radians(latitude_deg)
    return sin(latitude) * sin(declination) + cos(latitude) * cos(declination) * cos(hour)


def heat_flux(surface: Surface, sun: float, cloud: float) -> float:
    """Return the sensible heat the ground gives to the air, W/m2; negative when it takes."""
    clear = 1.0 - 0.75 * cloud**2
    night_w_m2 = surface.heat_flux_night_w_m2 * (1.0 - 0.7 * cloud)
    return night_w_m2 + (surface.heat_flux_day_w_m2 - night_w_m2) * clear * max(sun - 0.08, 0.0)


def momentum_correction(zeta: float) -> float:
    """Return psi_m of the height over the Obukhov length."""
    if zeta >= 0.0:
        return -5.0 * min(zeta, 1.0)
    x = (1.0 - 16.0 * max(zeta, -5.0)) ** 0.25
    return 2.0 * log((1.0 + x) / 2.0) + log((1.0 + x * x) / 2.0) - 2.0 * atan(x) + pi / 2.0


def speed_at(surface: Surface, obukhov_m: float, z_m: float) -> float:
    """Return the mean wind speed at a height over the friction velocity."""
    above_m = max(z_m, surface.canopy_m) - surface.displacement_m
    log_law = log(above_m / surface.roughness_m) - momentum_correction(above_m / obukhov_m)
    inside = exp(CANOPY_ATTENUATION * (min(z_m / surface.canopy_m, 1.0) - 1.0))
    return inside * max(log_law, 1.0) / KARMAN


def friction(
    surface: Surface, speed_m_s: float, heat_w_m2: float, convective_m_s: float
) -> tuple[float, float]:
    """Return friction velocity (m/s) and Obukhov length (m) for a wind speed at 10 m, by iteration."""
    speed_m_s = max(hypot(speed_m_s, 0.25 * convective_m_s), WIND_MIN_M_S)
    obukhov_m = -1e5
    friction_m_s = 0.0
    for _ in range(20):
        friction_m_s = speed_m_s / speed_at(surface, obukhov_m, 10.0)
        buoyancy = KARMAN * GRAVITY_M_S2 * heat_w_m2 / (AIR_HEAT_J_M3_K * REFERENCE_K)
        next_m = -(friction_m_s**3) / buoyancy if abs(buoyancy) > 1e-9 else -1e5
        next_m = max(next_m, OBUKHOV_STABLE_MIN_M) if next_m > 0.0 else min(next_m, -2.0)
        obukhov_m = 1.0 / (0.5 / obukhov_m + 0.5 / next_m) if obukhov_m * next_m > 0.0 else next_m
    return friction_m_s, obukhov_m


class BoundaryLayer:
    """Advanced by the minute; remembers how high the day has mixed the air."""

    def __init__(self, config: AirConfig, start_s: float, cloud: float, speed_m_s: float) -> None:
        self._config = config
        self._height_m = config.surface.mixing_height_min_m
        # As high as the sun has made it since last midnight, local time.
        midnight_s = start_s - (start_s + config.utc_offset_s) % DAY_S
        for time_s in range(int(midnight_s), int(start_s), 600):
            self.advance(float(time_s), 600.0, (speed_m_s, 0.0), cloud)

    def advance(self, time_s: float, step_s: float, wind_m_s: tuple[float, float], cloud: float) -> Layer:
        """Return the layer at a time, `step_s` after the last one."""
        surface = self._config.surface
        sun = sun_height(time_s, self._config.latitude_deg, self._config.utc_offset_s)
        heat_w_m2 = heat_flux(surface, sun, cloud)
        kinematic = max(heat_w_m2, 0.0) / AIR_HEAT_J_M3_K
        convective_m_s = (GRAVITY_M_S2 / REFERENCE_K * kinematic * self._height_m) ** (1.0 / 3.0)
        friction_m_s, obukhov_m = friction(surface, hypot(*wind_m_s), heat_w_m2, convective_m_s)
        self._height_m = self._grown(step_s, kinematic, friction_m_s, obukhov_m)
        return Layer(wind_m_s, friction_m_s, obukhov_m, convective_m_s, heat_w_m2, self._height_m)

    def _grown(self, step_s: float, kinematic: float, friction_m_s: float, obukhov_m: float) -> float:
        """Return the mixing height after a step: heating raises it, a night forgets it within the hour."""
        surface = self._config.surface
        frequency = sqrt(GRAVITY_M_S2 / REFERENCE_K * INVERSION_K_M)
        aim_m = MECHANICAL * friction_m_s / frequency
        if kinematic > 0.0:
            self._height_m += (
                step_s * (1.0 + 2.0 * ENTRAINMENT) * kinematic / (INVERSION_K_M * self._height_m)
            )
            aim_m = max(aim_m, self._height_m)
        elif obukhov_m > 0.0:
            coriolis = 2.0 * 7.292e-5 * sin(radians(self._config.latitude_deg))
            aim_m = min(aim_m, 0.4 * sqrt(friction_m_s * obukhov_m / coriolis))
        self._height_m += (1.0 - exp(-step_s / SETTLES_S)) * (aim_m - self._height_m)
        self._height_m = min(max(self._height_m, surface.mixing_height_min_m), surface.mixing_height_max_m)
        return self._height_m
