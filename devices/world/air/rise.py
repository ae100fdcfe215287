"""Plume rise: the integral equations of a bent-over buoyant jet, followed until the air's turbulence rules.

Volume, momentum and buoyancy fluxes of a round top-hat jet, entraining by its shear along and across itself
(Morton, Taylor and Turner 1956, Proceedings of the Royal Society A 234; Hoult, Fay and Forney 1969, Journal
of the Air Pollution Control Association 19) and by the turbulence around it (Slawson and Csanady 1971,
Journal of Fluid Mechanics 47).
"""

from math import hypot, sqrt

from devices.world.air.boundary import GRAVITY_M_S2, INVERSION_K_M, KARMAN, REFERENCE_K, Layer
from devices.world.air.compiled import compiled
from devices.world.air.places import Stack
from devices.world.air.turbulence import (
    KOLMOGOROV_C0,
    LEVEL_M,
    SIGMA_W,
    TIME_W,
    TOP_M,
    WIND_EAST,
    WIND_NORTH,
    Table,
)

ALONG, ACROSS, AMBIENT = 0.11, 0.6, 0.3  # Entrainment coefficients.
ENDS_BELOW = 0.5  # Of the turbulence's vertical velocity: from here on the jet is carried, not carrying.
STEPS_MAX = 2000


def follow(
    stack: Stack, outlet_m: float, temperature_c: float, layer: Layer, table: Table
) -> tuple[float, float, float, float]:
    """Return where a stack's jet has become part of the air.

    Returns:
        Distance downwind (m), height above ground (m), radius (m), and the seconds it took.
    """
    outlet_k, air_k = stack.temperature_c + 273.15, temperature_c + 273.15
    density = min(air_k / outlet_k, 1.0)  # Of the jet over that of the air.
    radius_m = stack.diameter_m / 2.0
    volume = density * stack.velocity_m_s * radius_m**2
    buoyancy = GRAVITY_M_S2 * (1.0 - density) * stack.velocity_m_s * radius_m**2
    return _integrate(
        outlet_m,
        volume,
        volume * stack.velocity_m_s,
        buoyancy,
        _stratification(layer, outlet_m),
        GRAVITY_M_S2 / REFERENCE_K * INVERSION_K_M,
        layer.mixing_height_m,
        table,
    )


def _stratification(layer: Layer, z_m: float) -> float:
    """Return the square of the buoyancy frequency near a height inside the layer, 1/s2, by similarity."""
    if layer.obukhov_m <= 0.0:
        return 0.0
    at_m = max(z_m, 20.0)
    scale = layer.friction_velocity_m_s**2 / (KARMAN * layer.obukhov_m)
    return scale / (KARMAN * at_m) * (1.0 + 5.0 * min(at_m / layer.obukhov_m, 1.0))


@compiled
def _integrate(
    outlet_m: float,
    volume: float,
    momentum: float,
    buoyancy: float,
    inside: float,
    above: float,
    mixing_height_m: float,
    table: Table,
) -> tuple[float, float, float, float]:
    """March the fluxes (divided by pi and the air's density) along the jet."""
    x_m, z_m, time_s, downwind = 0.0, outlet_m, 0.0, 0.0
    radius_m = volume / sqrt(momentum)
    for _ in range(STEPS_MAX):
        row = table[min(int(z_m / LEVEL_M), table.shape[0] - 1)]
        wind, sigma_w = hypot(row[WIND_EAST], row[WIND_NORTH]), float(row[SIGMA_W])
        u, w = downwind / volume, momentum / volume
        if w < ENDS_BELOW * sigma_w or z_m > TOP_M - LEVEL_M:
            break
        speed = hypot(u, w)
        radius_m = sqrt(volume / speed)
        dissipation = 2.0 * sigma_w**2 / (KOLMOGOROV_C0 * float(row[TIME_W]))
        entrained = (
            ALONG * abs(speed - wind * u / speed)
            + ACROSS * wind * w / speed
            + AMBIENT * (dissipation * radius_m) ** (1.0 / 3.0)
        )
        step_m = max(0.1 * radius_m, 0.2)
        gained = 2.0 * radius_m * entrained * step_m
        stratification = above if z_m > mixing_height_m else inside
        momentum += buoyancy / speed * step_m
        buoyancy -= stratification * volume * w / speed * step_m
        downwind += wind * gained
        volume += gained
        x_m += u / speed * step_m
        z_m += w / speed * step_m
        time_s += step_m / speed
    return x_m, z_m, radius_m, time_s
