"""How wide a plume is after so many metres: Briggs' rural curves, and RLINE where u* and L were measured.

Sources: Briggs (1973), ATDL 79, as in Hanna, Briggs, Hosker (1982), Handbook on Atmospheric Diffusion,
table 4.5; Snyder, Venkatram et al. (2013), Atmospheric Environment 77, doi:10.1016/j.atmosenv.2013.05.074;
Venkatram et al. (2013), the same, doi:10.1016/j.atmosenv.2012.11.026 (RLINE's horizontal spread).
"""

import math

from numba import njit

# A row of weather: the columns of the matrix `weather` that the compiled functions read.
SPEED, CLASS, USTAR, OBUKHOV, SIGMA_V, ROUGHNESS, REFERENCE_HEIGHT, SCALE = range(8)
MEASURED = -1.0  # In column CLASS: u* and L are measured, RLINE applies. Else 0..5 for A..F.
COLUMNS = 8

_VON_KARMAN = 0.4
_SPEED_ITERATIONS = 4  # Of Ue, the speed at the plume's mean height; changes below 1 % after three.


@njit(cache=True)
def briggs_rural(distance_m: float, stability: int) -> tuple[float, float]:
    """Return (σy, σz) in metres at a distance, for classes 0 (A) to 5 (F)."""
    x = distance_m
    side = (0.22, 0.16, 0.11, 0.08, 0.06, 0.04)[stability] * x / math.sqrt(1.0 + 1e-4 * x)
    if stability == 0:
        up = 0.20 * x
    elif stability == 1:
        up = 0.12 * x
    elif stability == 2:
        up = 0.08 * x / math.sqrt(1.0 + 2e-4 * x)
    elif stability == 3:
        up = 0.06 * x / math.sqrt(1.0 + 1.5e-3 * x)
    elif stability == 4:
        up = 0.03 * x / (1.0 + 3e-4 * x)
    else:
        up = 0.016 * x / (1.0 + 3e-4 * x)
    return side, up


@njit(cache=True)
def log_profile(height_m: float, roughness_m: float, obukhov_m: float) -> float:
    """Return κU/u* at a height: the diabatic logarithmic profile (Businger, Dyer), within |z/L| <= 1."""
    z = max(height_m, 2.0 * roughness_m)
    zeta = min(max(z / obukhov_m, -1.0), 1.0)
    if zeta >= 0.0:
        psi = -5.0 * zeta
    else:
        x = (1.0 - 16.0 * zeta) ** 0.25
        psi = (
            2.0 * math.log(0.5 * (1.0 + x))
            + math.log(0.5 * (1.0 + x * x))
            - 2.0 * math.atan(x)
            + 0.5 * math.pi
        )
    return max(math.log(z / roughness_m) - psi, 0.5)


@njit(cache=True)
def rline(
    distance_m: float,
    ustar_m_s: float,
    obukhov_m: float,
    sigma_v_m_s: float,
    speed_m_s: float,
    roughness_m: float,
    reference_m: float,
) -> tuple[float, float, float]:
    """Return (σy, σz, Ue): spreads in metres, and the speed in m/s at the plume's mean height √(2/π)σz."""
    stretch = abs(obukhov_m)
    at_reference = log_profile(reference_m, roughness_m, obukhov_m)
    effective = speed_m_s
    up = 0.0
    for _ in range(_SPEED_ITERATIONS):
        run = ustar_m_s / effective * distance_m
        if obukhov_m > 0.0:
            up = 0.57 * run / (1.0 + 3.0 * (run / stretch) ** (2.0 / 3.0))
        else:
            up = 0.57 * run * (1.0 + 1.5 * run / stretch)
        mean_height = math.sqrt(2.0 / math.pi) * up
        effective = max(speed_m_s * log_profile(mean_height, roughness_m, obukhov_m) / at_reference, 0.1)
    if obukhov_m > 0.0:
        side = 1.6 * sigma_v_m_s / ustar_m_s * up * (1.0 + 2.5 * up / stretch)
    else:
        side = 1.6 * sigma_v_m_s / ustar_m_s * up / math.sqrt(1.0 + up / stretch)
    return side, up, effective


@njit(cache=True)
def spread(distance_m, row):  # type: ignore[no-untyped-def]
    """Return (σy, σz, speed) at a distance in the weather of one row; σ times the row's scale."""
    if row[CLASS] == MEASURED:
        side, up, speed = rline(
            distance_m,
            row[USTAR],
            row[OBUKHOV],
            row[SIGMA_V],
            row[SPEED],
            row[ROUGHNESS],
            row[REFERENCE_HEIGHT],
        )
    else:
        side, up = briggs_rural(distance_m, int(row[CLASS]))
        speed = row[SPEED]
        side = math.hypot(side, row[SIGMA_V] / speed * distance_m)
    return side * row[SCALE], up * row[SCALE], speed
