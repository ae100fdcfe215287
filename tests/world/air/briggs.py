"""A steady Gaussian plume with Briggs's urban dispersion: what the world is compared with.

Dispersion: Briggs 1973 (urban), as in Gifford (1976), Nuclear Safety 17; stability classes from the Obukhov
length by Golder (1972), Boundary-Layer Meteorology 3. Wind by height, final plume rise, the spread that
rising brings (a rise over 3.5 either way), images at ground and mixing height, nothing on the ground from
plumes above it: EPA's ISC3 model, urban mode (EPA-454/B-95-003b). Traffic as in EPA's guidance for hot
spots: mixed up to 1.7 times a vehicle's height. Everything is an hour's mean; lines are sums of points.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from devices.world.air.places import SourceSpec

Values = npt.NDArray[np.float64]

GOLDER = {  # 1/L (1/m) is the first and the second times the decadic logarithm of the roughness length in m.
    "A": (-0.096, 0.029),
    "B": (-0.037, 0.029),
    "C": (-0.002, 0.018),
    "D": (0.0, 0.0),
    "E": (0.004, -0.018),
    "F": (0.035, -0.036),
}
ROUGHNESS_M = 0.6
EXPONENT = {"A": 0.15, "B": 0.15, "C": 0.20, "D": 0.25, "E": 0.30, "F": 0.30}
ACROSS = {"A": 0.32, "B": 0.32, "C": 0.22, "D": 0.16, "E": 0.11, "F": 0.11}
STRATIFICATION_K_M = {"E": 0.020, "F": 0.035}
GRAVITY_M_S2 = 9.81
IMAGES = 5

POINTS_EVERY_M = 10.0
VEHICLES_M = 1.7 * 2.0  # Depth of the air that vehicles of 2 m, the mean of a mixed fleet, stir.
ROAD_M = 16.0
EDGE = 2.15  # Where a Gaussian stands for something with edges: width over standard deviation.


@dataclass(frozen=True, slots=True)
class Hour:
    """The true mean state of one hour: wind towards east and north at 10 m, and the air's layer."""

    east_m_s: float
    north_m_s: float
    speed_m_s: float  # The mean of the speed, which is more than that of the mean wind.
    inverse_obukhov_m: float
    mixing_height_m: float
    temperature_k: float


def stability(inverse_obukhov_m: float) -> str:
    """Return the class, A to F, whose Golder line is nearest."""
    return min(GOLDER, key=lambda name: abs(_golder(name) - inverse_obukhov_m))


def _golder(name: str) -> float:
    at_one_m, per_decade = GOLDER[name]
    return float(at_one_m + per_decade * np.log10(ROUGHNESS_M))


def sigmas(downwind_m: Values, name: str) -> tuple[Values, Values]:
    """Return Briggs's urban sigma_y and sigma_z, m."""
    x = np.maximum(downwind_m, 1e-3)
    y = ACROSS[name] * x / np.sqrt(1.0 + 4e-4 * x)
    if name in "AB":
        return y, 0.24 * x * np.sqrt(1.0 + 1e-3 * x)
    if name == "C":
        return y, 0.20 * x
    if name == "D":
        return y, 0.14 * x / np.sqrt(1.0 + 3e-4 * x)
    return y, 0.08 * x / np.sqrt(1.0 + 1.5e-3 * x)


def wind_at(z_m: float, hour: Hour, name: str) -> float:
    """Return the wind speed at a height, m/s."""
    return float(hour.speed_m_s * (max(z_m, 10.0) / 10.0) ** EXPONENT[name])


def rise_m(source: SourceSpec, hour: Hour, name: str) -> float:
    """Return by how much a buoyant plume rises in the end."""
    if source.stack is None:
        return 0.0
    lighter = max(1.0 - hour.temperature_k / (source.stack.temperature_c + 273.15), 0.0)
    flux = GRAVITY_M_S2 * source.stack.velocity_m_s * source.stack.diameter_m**2 / 4.0 * lighter
    wind_m_s = wind_at(source.z_m, hour, name)
    if name in STRATIFICATION_K_M:
        frequency2 = GRAVITY_M_S2 / hour.temperature_k * STRATIFICATION_K_M[name]
        return float(2.6 * (flux / (wind_m_s * frequency2)) ** (1.0 / 3.0))
    return float((21.425 * flux**0.75 if flux < 55.0 else 38.71 * flux**0.6) / wind_m_s)


def coupling(source: SourceSpec, at_m: Any, hour: Hour) -> Values:
    """Return the concentration (s/m3) that one unit of a source adds at places (n, 3), in metres."""
    name = stability(hour.inverse_obukhov_m)
    at_m, begin_m = np.asarray(at_m), np.array([source.x_m, source.y_m])
    if source.end_m is None:
        rise = rise_m(source, hour, name)
        points, height_m, begins = begin_m[None, :], source.z_m + rise, (rise / 3.5, rise / 3.5)
        outlet_m = source.z_m
    else:
        way_m = np.array(source.end_m) - begin_m
        count = max(int(np.hypot(*way_m) / POINTS_EVERY_M), 1)
        points = begin_m + (np.arange(count)[:, None] + 0.5) / count * way_m
        height_m = outlet_m = VEHICLES_M / 2.0
        begins = ROAD_M / EDGE, VEHICLES_M / EDGE
    if height_m > hour.mixing_height_m:
        return np.zeros(len(at_m))
    towards = np.array([hour.east_m_s, hour.north_m_s]) / np.hypot(hour.east_m_s, hour.north_m_s)
    away = at_m[:, None, :2] - points
    downwind, across = away @ towards, away @ np.array([-towards[1], towards[0]])
    y, z = (np.hypot(*pair) for pair in zip(sigmas(downwind, name), begins, strict=True))
    up = at_m[:, None, 2]
    vertical = sum(
        np.exp(-0.5 * ((up + side * height_m + 2 * image * hour.mixing_height_m) / z) ** 2)
        for image in range(-IMAGES, IMAGES + 1)
        for side in (-1.0, 1.0)
    )
    plume = np.exp(-0.5 * (across / y) ** 2) * vertical
    plume /= 2.0 * np.pi * wind_at(outlet_m, hour, name) * y * z
    return np.asarray(np.where(downwind > 0.0, plume, 0.0).mean(axis=1))
