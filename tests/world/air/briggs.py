"""A steady Gaussian plume with Briggs's urban dispersion: what the world is compared with.

Sigmas: Briggs 1973 (urban), as in the EPA's ISC3 model; stability classes from the Obukhov length (Golder
1972); power-law wind (ISC3 urban exponents); final rise after Briggs 1975; one reflection at the ground and
five image pairs at the mixing height. Lines are sums of points. Everything is an hour's mean.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices.world.air.places import SourceSpec

Values = npt.NDArray[np.float64]

GOLDER = {
    "A": (-0.096, 0.029),
    "B": (-0.037, 0.029),
    "C": (-0.002, 0.018),
    "D": (0.0, 0.0),
    "E": (0.004, -0.018),
}
EXPONENT = {"A": 0.15, "B": 0.15, "C": 0.20, "D": 0.25, "E": 0.30, "F": 0.30}
POINTS_EVERY_M = 10.0


@dataclass(frozen=True)
class Hour:
    """The true mean state of one hour: wind towards east and north at 10 m, Obukhov length, mixing height."""

    east_m_s: float
    north_m_s: float
    speed_m_s: float
    inverse_obukhov_m: float
    mixing_height_m: float
    temperature_k: float


def stability(inverse_obukhov_m: float, roughness_m: float = 0.6) -> str:
    """Return the class whose Golder line is nearest."""
    lines = {name: a + b * np.log10(roughness_m) for name, (a, b) in GOLDER.items()}
    lines["F"] = 0.035 - 0.036 * np.log10(roughness_m)
    return min(lines, key=lambda name: abs(lines[name] - inverse_obukhov_m))


def sigmas(downwind_m: Values, name: str) -> tuple[Values, Values]:
    """Return Briggs's urban sigma_y and sigma_z, m."""
    x = np.maximum(downwind_m, 1e-3)
    y = {"A": 0.32, "B": 0.32, "C": 0.22, "D": 0.16, "E": 0.11, "F": 0.11}[name] * x * (1 + 4e-4 * x) ** -0.5
    if name in "AB":
        return y, 0.24 * x * (1 + 1e-3 * x) ** 0.5
    if name == "C":
        return y, 0.20 * x
    if name == "D":
        return y, 0.14 * x * (1 + 3e-4 * x) ** -0.5
    return y, 0.08 * x * (1 + 1.5e-3 * x) ** -0.5


def effective_height_m(source: SourceSpec, hour: Hour, name: str) -> float:
    """Return the height of a source's plume after its final rise."""
    if source.stack is None:
        return float(source.z_m) + (0.5 if source.kind == "corridor" else 0.0)
    jet_k = source.stack.temperature_c + 273.15
    flux = (
        9.81
        * source.stack.velocity_m_s
        * source.stack.diameter_m**2
        / 4
        * max(1 - hour.temperature_k / jet_k, 0)
    )
    wind = wind_at(source.z_m, hour, name)
    if name in "EF":
        s = 9.81 / hour.temperature_k * {"E": 0.02, "F": 0.035}[name]
        return float(source.z_m + 2.6 * (flux / (wind * s)) ** (1 / 3))
    return float(source.z_m + (21.425 * flux**0.75 if flux < 55 else 38.71 * flux**0.6) / wind)


def wind_at(z_m: float, hour: Hour, name: str) -> float:
    """Return the wind speed at a height, m/s."""
    return float(max(hour.speed_m_s, 0.5) * (max(z_m, 10.0) / 10.0) ** EXPONENT[name])


def coupling(source: SourceSpec, at_m: Values, hour: Hour) -> Values:
    """Return the concentration (s/m3) that one unit of a source adds at places (n, 3)."""
    name = stability(hour.inverse_obukhov_m)
    height_m = effective_height_m(source, hour, name)
    points = np.array([[source.x_m, source.y_m]])
    sigma0 = 1.0
    if source.end_m is not None:
        end = np.array(source.end_m)
        count = max(int(np.hypot(*(end - points[0])) / POINTS_EVERY_M), 1)
        points = points[0] + (np.arange(count)[:, None] + 0.5) / count * (end - points[0])
        sigma0 = 2.0
    speed = np.hypot(hour.east_m_s, hour.north_m_s)
    east, north = hour.east_m_s / speed, hour.north_m_s / speed
    dx = at_m[:, None, 0] - points[None, :, 0]
    dy = at_m[:, None, 1] - points[None, :, 1]
    downwind, across = dx * east + dy * north, dy * east - dx * north
    y, z = sigmas(downwind, name)
    y, z = np.hypot(y, 3.0 * sigma0), np.hypot(z, sigma0)
    wind = wind_at(height_m, hour, name)
    vertical = np.zeros_like(z)
    up = at_m[:, None, 2]
    for image in range(-5, 6):
        shift = 2 * image * hour.mixing_height_m
        vertical += np.exp(-0.5 * ((up - height_m + shift) / z) ** 2) + np.exp(
            -0.5 * ((up + height_m + shift) / z) ** 2
        )
    if height_m > hour.mixing_height_m:
        vertical[:] = 0.0
    plume = np.exp(-0.5 * (across / y) ** 2) * vertical / (2 * np.pi * wind * y * z)
    return np.asarray(np.where(downwind > 0, plume, 0.0).mean(axis=1))
