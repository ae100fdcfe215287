"""Readings beside the limits in force: GB 3095 and the index of HJ 633, kept as data by edition."""

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import Any

import numpy as np

from pipeline.tracing.problem import Floats, Observations

LEAST_SHARE = 0.75  # Of an averaging time that must have been read (GB 3095, 6.4: 45 minutes of an hour).
REFERENCE_K, REFERENCE_PA = 298.15, 101_325.0


@dataclass(frozen=True, slots=True)
class Exceedance:
    """The highest average of one sensor over one averaging time, beside the limit of class II."""

    sensor: str
    hours: int
    start_s: float
    ug_m3: float
    limit_ug_m3: float
    edition: str
    source: str
    unconfirmed: bool
    index: float | None  # IAQI of HJ 633, where its table has the quantity
    index_edition: str

    @property
    def exceeded(self) -> bool:
        """Whether it lies above the limit."""
        return self.ug_m3 > self.limit_ug_m3


def _editions(name: str) -> dict[str, Any]:
    return tomllib.loads(files("pipeline.tracing").joinpath("thresholds", name).read_text(encoding="utf-8"))


def _in_force(editions: list[dict[str, Any]], on: date) -> dict[str, Any] | None:
    for edition in editions:
        begin, end = date.fromisoformat(edition["from"]), date.fromisoformat(edition.get("to", "9999-12-31"))
        if begin <= on <= end:
            return edition
    return None


def exceedances(seen: Observations, quantity: str) -> list[Exceedance]:
    """Return each sensor's highest averages beside the limits in force then; none without limits."""
    first_s = float(seen.start_s.min())
    on = datetime.fromtimestamp(first_s, UTC).date()
    limits, index = _editions("gb3095.toml"), _editions("hj633.toml")
    edition, table = _in_force(limits["edition"], on), _in_force(index["edition"], on)
    found: list[Exceedance] = []
    if edition is None:
        return found
    for limit in edition["limits"]:
        if limit["quantity"] != quantity:
            continue
        for j, name in enumerate(seen.names):
            highest = _highest(seen, j, limit["hours"] * 3600.0)
            if highest is None:
                continue
            start, value = highest
            found.append(
                Exceedance(
                    name,
                    limit["hours"],
                    start,
                    value,
                    float(limit["class_2"]),
                    edition["name"],
                    edition["source"],
                    quantity in edition.get("unconfirmed", ()),
                    _index(table, index["index"], quantity, limit["hours"], value),
                    table["name"] if table else "",
                )
            )
    return sorted(found, key=lambda one: -one.ug_m3 / one.limit_ug_m3)


def _highest(seen: Observations, sensor: int, length_s: float) -> tuple[float, float] | None:
    """Return (start, µg/m³) of the highest average over whole hours or days that was read often enough."""
    mine = seen.sensor == sensor
    start, interval, value = seen.start_s[mine], seen.interval_s[mine], seen.value_g_m3[mine]
    if not start.size:
        return None
    slot = np.floor(start / 3600.0).astype(np.int64)
    hours = round(length_s / 3600.0)
    slots = np.arange(slot.min(), slot.max() + 1)
    read = np.bincount(slot - slots[0], interval, minlength=slots.size)
    total = np.bincount(slot - slots[0], interval * value, minlength=slots.size)
    read_s = _running(np.asarray(read, np.float64), hours)
    sums = _running(np.asarray(total, np.float64), hours)
    enough = read_s >= LEAST_SHARE * length_s
    if not enough.any():
        return None
    mean = np.where(enough, sums / np.maximum(read_s, 1.0), -np.inf)
    best = int(np.argmax(mean))
    return float(slots[best] * 3600.0), float(mean[best]) * 1e6


def _running(values: Floats, count: int) -> Floats:
    sums = np.concatenate(([0.0], np.cumsum(values)))
    ends = np.minimum(np.arange(values.size) + count, values.size)
    return np.asarray(sums[ends] - sums[: values.size])


def _index(
    table: dict[str, Any] | None, index: list[float], quantity: str, hours: int, ug_m3: float
) -> float | None:
    """Return the individual index, linear between breakpoints (HJ 633, 4.2); None above the last one."""
    for one in table["breakpoints"] if table else ():
        if one["quantity"] == quantity and one["hours"] == hours:
            points = one["ug_m3"]
            if ug_m3 > points[-1]:
                return None
            # Rounded first: the mean of equal readings is not always their last digit.
            return float(np.ceil(round(float(np.interp(ug_m3, points, index[: len(points)])), 6)))
    return None
