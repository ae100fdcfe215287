"""Where the air is measured and what emits into it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SPECIES = ("pm2_5", "pm10", "so2", "no2", "o3", "co", "ch4")  # At a receptor: ug/m3, ch4 in ppm.
EMITTED = ("pm2_5", "pm10", "so2", "no", "no2", "co", "ch4")  # By a source: g/s. PM10 includes PM2.5.


@dataclass(frozen=True, slots=True)
class Receptor:
    """A point, or with an end the beam from it; `weather` receptors get wind and weather, no species."""

    name: str
    x_m: float
    y_m: float
    z_m: float
    weather: bool = False
    end_m: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a source emits.

    It emits inside any of `windows_s` (Unix seconds; empty: always), there alternately on and off for
    exponentially distributed spells (`off_s` 0: never off), at a rate that wanders around its mean with
    `rate_sd` of its logarithm.
    """

    windows_s: tuple[tuple[float, float], ...] = ()
    on_s: float = 14400.0
    off_s: float = 0.0
    rate_sd: float = 0.0
    rate_time_s: float = 1800.0


@dataclass(frozen=True, slots=True)
class Stack:
    """The outlet of a stack, from which its plume rises."""

    velocity_m_s: float
    temperature_c: float
    diameter_m: float


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A source. A corridor runs from its place to `end_m`; `advance` is told its rates each minute.

    `rates_g_s` maps names of `EMITTED` to mean rates while on. `z_m` is the height of the outlet. Not
    `listed`: no list of candidates has it, which changes nothing in the air.
    """

    name: str
    kind: Literal["stack", "small", "corridor"]
    x_m: float
    y_m: float
    z_m: float
    rates_g_s: Mapping[str, float] = field(default_factory=dict)
    end_m: tuple[float, float] | None = None
    stack: Stack | None = None
    schedule: Schedule = Schedule()
    listed: bool = True
