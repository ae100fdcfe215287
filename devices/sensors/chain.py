"""The measuring chain of one quantity: from what is true to what a device reads, error by error.

In order: response (first-order lag), cross-sensitivity, gain, zero and drift, noise of the native samples,
averaging over the signed interval, range, detection limit, quantisation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import atan2, cos, degrees, exp, floor, inf, log10, radians, sin, sqrt
from random import Random
from typing import Literal

from devices.world.model import TICK_S

DAY_S = 86_400.0
REFERENCE_CEL, REFERENCE_HUMIDITY = 20.0, 50.0  # Where an instrument was calibrated.


@dataclass(frozen=True, slots=True)
class Sheet:
    """A data sheet; values in the quantity's signed unit.

    Attributes:
        step: Quantisation of what is signed.
        noise: Standard deviation of one native sample; `noise_share` adds a share of the value.
        zero: Standard deviation, between instruments, of a constant error; `gain` of a relative one.
        drift: Standard deviation that the zero's random walk reaches in a day.
        response_s: Time constant of the first-order lag; 0: follows at once.
        native_s: Interval of the native samples, which are averaged.
        combine: How minutes make an interval: their mean, their sum, the state at its beginning, or the mean
            direction of angles in degrees.
        limit: Detection limit. A reading below it is given as half of it, never as nothing or less.
        low, high: Range; what lies outside is given as its end.
        cross: What a unit of another quantity adds, on average; each instrument has its own 0.6 to 1.4 of it.
            `ambient_cel` counts from 20 degrees, `ambient_humidity` from 50 %.
    """

    step: float
    noise: float = 0.0
    noise_share: float = 0.0
    zero: float = 0.0
    gain: float = 0.0
    drift: float = 0.0
    response_s: float = 0.0
    native_s: float = TICK_S
    combine: Literal["mean", "sum", "state", "direction"] = "mean"
    limit: float = 0.0
    low: float = 0.0
    high: float = inf
    cross: Mapping[str, float] = field(default_factory=dict)

    def accuracy(self, interval_s: float) -> float:
        """Return the half-width of 95 % of a fresh instrument's readings near zero."""
        samples = 1.0 if self.combine == "state" else max(1.0, interval_s / self.native_s)
        return 2.0 * sqrt(self.noise**2 / samples + self.zero**2 + self.step**2 / 12.0)


class Chain:
    """One instrument's chain. `feel` takes the minutes of an interval in turn, `read` ends it."""

    def __init__(self, sheet: Sheet, draw: Random, drift: float) -> None:
        self._sheet = sheet
        self._draw = draw
        self._zero = draw.gauss(0.0, sheet.zero)
        self._gain = 1.0 + draw.gauss(0.0, sheet.gain)
        self._cross = {other: share * draw.uniform(0.6, 1.4) for other, share in sheet.cross.items()}
        self._walk = sheet.drift * drift * sqrt(TICK_S / DAY_S)
        self._samples = sqrt(max(1.0, TICK_S / sheet.native_s))
        self._keep = exp(-TICK_S / sheet.response_s) if sheet.response_s else 0.0
        self._lagging = sheet.response_s / TICK_S * (1.0 - self._keep)
        self._decimals = max(0, -floor(log10(sheet.step)) + 1)
        self._state: float | None = None
        self._felt: list[float] = []

    def feel(self, value: float, others: Mapping[str, float]) -> None:
        """Take the truth of one minute: the quantity's own, and all else the instrument is exposed to."""
        sheet = self._sheet
        before = value if self._state is None else self._state
        if sheet.combine == "state":
            seen = before if sheet.response_s else value
        else:
            seen = value + (before - value) * self._lagging  # The lag's mean over the minute.
        self._state = value + (before - value) * self._keep
        if self._walk:
            self._zero += self._draw.gauss(0.0, self._walk)
        noise = sheet.noise + sheet.noise_share * abs(seen)
        if sheet.combine != "state":
            noise /= self._samples
        disturbed = sum(share * others.get(other, 0.0) for other, share in self._cross.items())
        self._felt.append(
            self._gain * seen + disturbed + self._zero + (self._draw.gauss(0.0, noise) if noise else 0.0)
        )

    def read(self) -> float | None:
        """Return the reading of the interval that has ended, or None if there was nothing to feel."""
        felt, self._felt = self._felt, []
        if not felt:
            return None
        sheet = self._sheet
        if sheet.combine == "state":
            value = felt[0]
        elif sheet.combine == "sum":
            value = sum(felt)
        elif sheet.combine == "direction":
            value = _mean_direction(felt)
        else:
            value = sum(felt) / len(felt)
        value = min(max(value, sheet.low), sheet.high)
        if sheet.limit and value < sheet.limit:
            return sheet.limit / 2.0
        value = round(round(value / sheet.step) * sheet.step, self._decimals)
        return 0.0 if sheet.combine == "direction" and value >= 360.0 else value

    def forget(self) -> None:
        """Drop an interval that broke off: the device was dead or away."""
        self._felt = []
        self._state = None


def _mean_direction(degrees_felt: list[float]) -> float:
    east = sum(sin(radians(angle)) for angle in degrees_felt)
    north = sum(cos(radians(angle)) for angle in degrees_felt)
    return degrees(atan2(east, north)) % 360.0
