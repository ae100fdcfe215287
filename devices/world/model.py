"""What the world tells the rest: stations, and minute by minute what is true at each of them.

Sensors and the simulator know the city only through these classes; nothing here computes anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass

TICK_S = 60.0


@dataclass(frozen=True, slots=True)
class BeamEnd:
    """The far end of an open-path beam: WGS 84 degrees, metres above ground, local metres."""

    longitude: float
    latitude: float
    height_m: float
    x_m: float
    y_m: float


@dataclass(frozen=True, slots=True)
class Station:
    """One place with one device.

    `issuer` is the device URN (RFC 9039) that signs, `subject` what its readings are about. `x_m` is east
    and `y_m` north of the district's south-west corner; a moving station stands where it began. `interval_s`
    is the interval of the signed readings, a multiple of `TICK_S`; `drift` is how fast the instrument ages, 1
    as its data sheet says. With a beam end, values are averages along the beam.
    """

    name: str
    kind: str
    issuer: str
    subject: str
    department: str
    area: str
    longitude: float
    latitude: float
    height_m: float
    x_m: float
    y_m: float
    interval_s: float
    quantities: tuple[str, ...]
    beam_end: BeamEnd | None = None
    drift: float = 1.0


@dataclass(frozen=True, slots=True)
class Tick:
    """The truth over one minute, from `time_s` (UTC, Unix seconds) to `time_s + TICK_S`.

    `values` maps station name to quantity to value in the quantity's signed unit. Quantities that are
    averages or counts cover the minute; states (door, position, signal phase, queue) are those at `time_s`.
    A station whose device has died is absent. `ambient_cel` and `ambient_humidity` (%) are the outdoor air
    that every instrument feels besides what it measures.
    """

    time_s: float
    values: Mapping[str, Mapping[str, float]]
    ambient_cel: float = 20.0
    ambient_humidity: float = 50.0
