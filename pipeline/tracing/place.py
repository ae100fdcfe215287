"""Longitude and latitude as metres east and north of an origin, on WGS 84.

A local tangent: within 20 km of the origin it is right to a part in a thousand, better than winds are known.
"""

import math
from dataclasses import dataclass

EQUATOR_M = 6_378_137.0
ECCENTRICITY_2 = 6.694379990141e-3


@dataclass(frozen=True, slots=True)
class Origin:
    """Where x and y are counted from, in degrees."""

    lon: float
    lat: float

    def _per_degree(self) -> tuple[float, float]:
        """Return metres per degree of longitude and of latitude, by the two radii of curvature."""
        sine = math.sin(math.radians(self.lat))
        bent = 1.0 - ECCENTRICITY_2 * sine * sine
        across = EQUATOR_M / math.sqrt(bent)
        along = EQUATOR_M * (1.0 - ECCENTRICITY_2) / bent**1.5
        return math.radians(1.0) * across * math.cos(math.radians(self.lat)), math.radians(1.0) * along

    def metres(self, lon: float, lat: float) -> tuple[float, float]:
        """Return (east, north) of a place."""
        east, north = self._per_degree()
        return (lon - self.lon) * east, (lat - self.lat) * north

    def degrees(self, x_m: float, y_m: float) -> tuple[float, float]:
        """Return (longitude, latitude) of a place."""
        east, north = self._per_degree()
        return self.lon + x_m / east, self.lat + y_m / north
