"""Mean wind and turbulence by height, as the table that particles look into.

Standard deviations: mechanical and convective parts add as variances (Hanna 1982; Lenschow et al. 1980,
Journal of the Atmospheric Sciences 37). Lagrangian times follow from them and the dissipation rate,
T = 2 sigma^2 / (C0 epsilon) (Thomson 1987, Journal of Fluid Mechanics 180; Rodean 1996, AMS Monograph 48).
"""

from math import radians

import numpy as np
import numpy.typing as npt

from devices.world.air.boundary import KARMAN, Layer, speed_at
from devices.world.air.config import AirConfig

LEVEL_M = 2.0
TOP_M = 2200.0  # Nothing goes higher.
# Columns of the table: mean wind (m/s), standard deviations (m/s), the share of the gusts that is felt,
# Lagrangian times (s); a particle's step (s), its gradient (s/m), how much velocity it forgets and gains.
WIND_EAST, WIND_NORTH, SIGMA_W, SIGMA_H, GUST, TIME_W, TIME_H = range(7)
STEP, LONGER, LOST_W, GAIN_W, LOST_H, GAIN_H = range(7, 13)

KOLMOGOROV_C0 = 4.0  # Published: 2 to 7.
SIGMA_V_MECHANICAL = (
    2.1  # Over the friction velocity; in towns 2.3 along and 1.9 across (Roth 2000, QJRMS 126).
)
SIGMA_W_MECHANICAL = 1.25
SIGMA_V_CONVECTIVE = 0.6  # Over the convective velocity (Caughey and Palmer 1979).
OVERSHOOT_M = 40.0  # Depth over which turbulence dies out above the mixing height.
RESIDUAL_M_S = 0.1  # Turbulence above the mixing height.
EDDY_MIN_M = 3.0  # Between buildings, eddies are no smaller.
TIME_CANOPY = 0.3  # Over canopy height by friction velocity: the least (Raupach 1989, QJRMS 115).
TIME_MAX_S = 600.0
STEP_OF_TIME = 0.2  # A particle's step over the Lagrangian time of its height.
STEP_MAX_S = 8.0

Table = npt.NDArray[np.float32]


def sigma_v_surface(layer: Layer) -> float:
    """Return the standard deviation of the horizontal wind near the ground, all scales together."""
    mechanical = SIGMA_V_MECHANICAL * layer.friction_velocity_m_s
    convective = SIGMA_V_CONVECTIVE * layer.convective_velocity_m_s
    return float(np.hypot(mechanical, convective))


def table(config: AirConfig, layer: Layer) -> Table:
    """Return (levels, 13): one row each `LEVEL_M` from the ground up, with the columns named above.

    `SIGMA_H` is what the gusts leave of the horizontal turbulence.
    """
    z_m = np.arange(0.0, TOP_M + 2.0 * LEVEL_M, LEVEL_M)
    depth = np.minimum(z_m / layer.mixing_height_m, 1.0)
    shelter = _shelter(config, z_m)
    sigma_w, sigma_h = _sigmas(config, layer, z_m, depth, shelter)
    dissipation = _dissipation(config, layer, z_m, depth)
    time_min_s = TIME_CANOPY * config.surface.canopy_m / layer.friction_velocity_m_s
    time_w_s, time_h_s = (
        np.clip(2.0 * sigma**2 / (KOLMOGOROV_C0 * dissipation), time_min_s, TIME_MAX_S)
        for sigma in (sigma_w, sigma_h)
    )
    step_s = np.minimum(STEP_OF_TIME * np.minimum(time_w_s, time_h_s), STEP_MAX_S)
    # Exact for steps of any length: what is forgotten, and what keeps the variance.
    lost_w, lost_h = -np.expm1(-step_s / time_w_s), -np.expm1(-step_s / time_h_s)
    gain_w, gain_h = np.sqrt(lost_w * (2.0 - lost_w)), np.sqrt(lost_h * (2.0 - lost_h))
    longer = np.gradient(step_s, LEVEL_M)
    east, north = _wind(config, layer, z_m)
    motion = (east, north, sigma_w, sigma_h, shelter, time_w_s, time_h_s)
    return np.stack((*motion, step_s, longer, lost_w, gain_w, lost_h, gain_h), axis=1).astype(np.float32)


def _shelter(config: AirConfig, z_m: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how much of the turbulence above the roofs there is: half at the ground."""
    return 0.5 + 0.5 * np.minimum(z_m / config.surface.canopy_m, 1.0)


def _sigmas(
    config: AirConfig,
    layer: Layer,
    z_m: npt.NDArray[np.float64],
    depth: npt.NDArray[np.float64],
    shelter: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    friction, convective = layer.friction_velocity_m_s, layer.convective_velocity_m_s
    fading = (1.0 - depth) ** 1.5
    w2 = (SIGMA_W_MECHANICAL * friction) ** 2 * fading
    w2 += 1.8 * convective**2 * depth ** (2.0 / 3.0) * (1.0 - 0.8 * depth) ** 2
    h2 = (SIGMA_V_MECHANICAL * friction) ** 2 * fading + (SIGMA_V_CONVECTIVE * convective) ** 2
    h2 *= 1.0 - config.gusts.share
    # Without a jump at the mixing height: a jump would be a gradient that throws particles.
    overshoot = np.exp(-np.maximum(z_m - layer.mixing_height_m, 0.0) / OVERSHOOT_M)
    w2, h2 = w2 * overshoot, h2 * overshoot
    return shelter * np.sqrt(w2 + RESIDUAL_M_S**2), shelter * np.sqrt(h2 + RESIDUAL_M_S**2)


def _dissipation(
    config: AirConfig, layer: Layer, z_m: npt.NDArray[np.float64], depth: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the dissipation rate, m2/s3: shear's, with the stable correction, and convection's."""
    above_m = np.maximum(z_m - config.surface.displacement_m, EDDY_MIN_M)
    stable = 1.0 + 4.0 * np.minimum(above_m / layer.obukhov_m, 1.0) if layer.obukhov_m > 0.0 else 1.0
    shear = layer.friction_velocity_m_s**3 / (KARMAN * above_m) * stable * (1.0 - depth)
    convection = 0.4 * layer.convective_velocity_m_s**3 / layer.mixing_height_m * (depth < 1.0)
    return shear + convection + 1e-5


def _wind(
    config: AirConfig, layer: Layer, z_m: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the mean wind: the similarity profile up to where it holds, turning with height (Ekman)."""
    similar_m = max(100.0, 0.3 * layer.mixing_height_m)
    similar = int(similar_m / LEVEL_M)
    ratios = [speed_at(config.surface, layer.obukhov_m, float(z)) for z in z_m[: similar + 1]]
    ratio = np.full(z_m.size, ratios[-1])
    ratio[: similar + 1] = ratios
    ratio /= speed_at(config.surface, layer.obukhov_m, 10.0)
    turn = radians(_turning_deg(layer)) * np.minimum(np.maximum(z_m - 10.0, 0.0) / layer.mixing_height_m, 1.0)
    east, north = layer.wind_m_s
    return ratio * (east * np.cos(turn) + north * np.sin(turn)), ratio * (
        north * np.cos(turn) - east * np.sin(turn)
    )


def _turning_deg(layer: Layer) -> float:
    """Return how far the wind veers from 10 m to the mixing height (north of the equator; Garratt 1992)."""
    stability = layer.mixing_height_m / layer.obukhov_m
    return float(np.interp(stability, [-10.0, 0.0, 4.0], [5.0, 15.0, 28.0]))
