"""What vehicles emit: driven kilometres and minutes stood in queues become grams a second for each street.

Factors of a mixed fleet, light and heavy apart, of the size that national inventories give for China 5 and 6
vehicles; tyres, brakes and dust are in the particles.
"""

from math import cos, pi

import numpy as np
from numpy.typing import NDArray

from devices.world import district

DRIVING_G_KM = {  # Light, heavy.
    "pm2_5": (0.015, 0.12),
    "pm10": (0.045, 0.30),
    "so2": (0.001, 0.006),
    "no": (0.12, 2.4),
    "no2": (0.05, 0.45),
    "co": (0.90, 1.50),
    "ch4": (0.010, 0.030),
}
IDLING_G_MIN = {
    "pm2_5": (0.0004, 0.006),
    "pm10": (0.0005, 0.007),
    "so2": (0.0001, 0.0004),
    "no": (0.006, 0.40),
    "no2": (0.002, 0.06),
    "co": (0.12, 0.30),
    "ch4": (0.001, 0.004),
}

FloatArray = NDArray[np.float64]


def heavy_share(time_s: float) -> float:
    """Return the share of lorries and buses at a time: most of the traffic's at night is freight."""
    hour = (time_s + district.UTC_OFFSET_S) / 3600.0 % 24.0
    return 0.12 + 0.08 * cos(2.0 * pi * (hour - 2.0) / 24.0)


def street_rates(time_s: float, driven_km: FloatArray, stood_min: FloatArray) -> list[dict[str, float]]:
    """Return the rates of each street in g/s.

    Args:
        time_s: The minute's beginning, UTC.
        driven_km: (streets,) vehicle-kilometres in this minute.
        stood_min: (streets,) vehicle-minutes in queues in this minute.
    """
    heavy = heavy_share(time_s)
    mix = np.array([1.0 - heavy, heavy])
    rates = {
        species: (driven_km * (mix @ DRIVING_G_KM[species]) + stood_min * (mix @ IDLING_G_MIN[species]))
        / 60.0
        for species in DRIVING_G_KM
    }
    return [
        {species: float(rate[street]) for species, rate in rates.items()} for street in range(len(driven_km))
    ]
