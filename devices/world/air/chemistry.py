"""NO, NO2 and ozone: titration, and photolysis that undoes it; rain that washes out.

NO + O3 -> NO2 and NO2 + light -> NO + O3 from the mixture of plume and regional air, for as long as the plume
has been under way: the exact solution of the rate equation (a Riccati equation), towards the photostationary
state. Rate constant: Atkinson et al. 2004, Atmospheric Chemistry and Physics 4; photolysis: the clear-sky fit
of Dickerson et al. 1982, Journal of Geophysical Research 87.
"""

from math import exp

import numpy as np
import numpy.typing as npt

MOLAR_G = {"no": 30.006, "no2": 46.006, "o3": 47.998, "ch4": 16.043}
MOLECULES = 6.022e23
GAS_J_MOL_K = 8.314

Values = npt.NDArray[np.float64]


def rate_constant(temperature_c: float) -> float:
    """Return that of NO + O3, m3/(umol s)."""
    return 1.4e-12 * exp(-1310.0 / (temperature_c + 273.15)) * 1e-6 * MOLECULES * 1e-6


def photolysis(sun: float, cloud: float) -> float:
    """Return the rate at which light splits NO2, 1/s; `sun` is the sine of the sun's height."""
    return 0.0167 * exp(-0.575 / sun) * (1.0 - 0.5 * cloud) if sun > 0.01 else 0.0


def react(
    no: Values, no2: Values, o3: Values, age_s: Values, temperature_c: float, split_per_s: float
) -> tuple[Values, Values, Values]:
    """Return NO, NO2 and O3 (ug/m3) after they have reacted for a time (s, may be inf)."""
    a, b, c = no / MOLAR_G["no"], no2 / MOLAR_G["no2"], o3 / MOLAR_G["o3"]  # umol/m3.
    k, total = rate_constant(temperature_c), a + c
    # dx/dt = k (a - x)(c - x) - J (b + x) = k (x - near)(x - far), x: what has reacted.
    middle = total + split_per_s / k
    root = np.sqrt(np.maximum(middle**2 - 4.0 * (a * c - split_per_s / k * b), 1e-30))
    near, far = (middle - root) / 2.0, (middle + root) / 2.0
    fading = near / far * np.exp(-k * root * age_s)
    reacted = np.clip((near - fading * far) / (1.0 - fading), -b, np.minimum(a, c))
    return (a - reacted) * MOLAR_G["no"], (b + reacted) * MOLAR_G["no2"], (c - reacted) * MOLAR_G["o3"]


def washed_out_per_s(rain_mm_h: float) -> dict[str, float]:
    """Return the rate at which rain takes species out, 1/s (Sportisse 2007, Atmospheric Environment 41)."""
    particles = 8.4e-5 * rain_mm_h**0.79
    return {"pm2_5": 0.3 * particles, "pm10": particles, "so2": 0.7 * particles}


def ppm(species: str, ug_m3: Values | float, temperature_c: float, pressure_hpa: float) -> Values | float:
    """Return a concentration as parts per million of volume."""
    litres_mol = GAS_J_MOL_K * (temperature_c + 273.15) / (pressure_hpa * 100.0) * 1e3
    return ug_m3 / MOLAR_G[species] * litres_mol * 1e-3
