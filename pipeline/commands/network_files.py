"""Reading samples of a water network from a CSV file; every error names the row and the remedy."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.commands.air_files import Row, read_rows
from pipeline.tracing.units import grams_per_cubic_metre
from pipeline.tracing.water.hydraulics import Floats
from pipeline.tracing.water.inversion import Binary, Graded
from pipeline.wire.errors import InputError

COLUMNS = ("time", "node")
_YES_AND_NO = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_LEAST_NOISE = 0.01  # Of the highest reading: what an instrument errs by whatever its readings say
_CLEAN = 0.1  # This quantile of a sensor's readings is what its water always holds.
_READINGS_FOR_NOISE = 8


@dataclass(frozen=True, slots=True)
class Samples:
    """What a file holds, with times since the simulation's start."""

    graded: Graded | None
    binary: Binary | None
    quantity: str | None
    background_g_m3: Mapping[str, float]  # By node


@dataclass(frozen=True, slots=True)
class Asked:
    """How to read a file."""

    quantity: str | None
    background_g_m3: float | None  # None: each sensor's own
    false_positive: float
    false_negative: float


def first_time_s(path: Path) -> float:
    """Return when the earliest sample was taken, seconds since 1970."""
    times = [row.time_s() for row in read_rows(path, COLUMNS)]
    if not times:
        raise InputError(str(path), "there is no sample in it", "Give rows of time,node,positive.")
    return min(times)


def read_samples(path: Path, nodes: Mapping[str, int], start_s: float, asked: Asked) -> Samples:
    """Read samples of either kind: a row has `positive`, or `value` with `quantity` and `unit`."""
    positive: list[tuple[int, float, bool]] = []
    values: list[tuple[int, float, float, float]] = []
    wanted = asked.quantity
    for row in read_rows(path, COLUMNS):
        place = (_node(row, nodes), _since(row, start_s))
        if row.fields.get("positive"):
            positive.append((*place, _yes_or_no(row)))
            continue
        measured = row.text("quantity")
        if asked.quantity is not None and measured != asked.quantity:
            continue
        wanted = wanted or measured
        if measured != wanted:
            raise InputError(row.place, f"{measured} after {wanted}", "Choose one with --quantity.")
        per_unit = _grams(row)
        sd = row.number("sd", 0.0) * per_unit
        values.append((*place, row.number("value") * per_unit, sd))
    if not positive and not values:
        raise InputError(str(path), f"it has no sample of {wanted}", "Name a quantity that it has.")
    graded, background = _graded(values, list(nodes), asked.background_g_m3)
    return Samples(graded, _binary(positive, asked), wanted if values else None, background)


def _node(row: Row, nodes: Mapping[str, int]) -> int:
    name = row.text("node")
    if name not in nodes:
        raise InputError(row.place, f"the network has no node {name}", "Name nodes as the .inp file does.")
    return nodes[name]


def _since(row: Row, start_s: float) -> float:
    since = row.time_s() - start_s
    if since < 0.0:
        raise InputError(row.place, "it was taken before the simulation starts", "Give an earlier --start.")
    return since


def _yes_or_no(row: Row) -> bool:
    said = row.text("positive").lower()
    if said not in _YES_AND_NO:
        raise InputError(row.place, f"positive is {said!r}", "Write 1 or 0.")
    return _YES_AND_NO[said]


def _grams(row: Row) -> float:
    """Return the factor from a row's unit to g/m³; a mole fraction, which is of air, is no unit here."""
    try:
        return grams_per_cubic_metre(row.text("unit"), "")
    except ValueError:
        raise InputError(
            row.place, f"unit {row.text('unit')!r} is no mass in a volume", "Write mg/l, ug/l, g/m3 …"
        ) from None


def _binary(rows: list[tuple[int, float, bool]], asked: Asked) -> Binary | None:
    if not rows:
        return None
    node, time_s, positive = (np.array(column) for column in zip(*rows, strict=True))
    return Binary(node, time_s, positive, asked.false_positive, asked.false_negative)


def _graded(
    rows: list[tuple[int, float, float, float]], names: list[str], background_g_m3: float | None
) -> tuple[Graded | None, dict[str, float]]:
    """Return values above each sensor's background, and that."""
    if not rows:
        return None, {}
    node, time_s, value, sd = (np.array(column) for column in zip(*rows, strict=True))
    clean = np.zeros(len(value))
    background = {}
    for one in np.unique(node).tolist():
        mine = node == one
        level = float(np.quantile(value[mine], _CLEAN)) if background_g_m3 is None else background_g_m3
        background[names[one]] = level
        clean[mine] = level
    above = value - clean
    noise = np.where(sd > 0.0, sd, _noise(node, time_s, value))
    return Graded(node, time_s, above * 1e3, noise * 1e3), background


def _noise(node: Floats, time_s: Floats, value: Floats) -> float:
    """Return the sd of readings where nothing happens: told by how neighbours differ."""
    steps = []
    for one in np.unique(node):
        mine = np.flatnonzero(node == one)
        if len(mine) >= _READINGS_FOR_NOISE:
            steps.append(np.abs(np.diff(value[mine[np.argsort(time_s[mine])]])))
    usual = float(np.median(np.concatenate(steps))) / 0.6745 / np.sqrt(2.0) if steps else 0.0
    least = _LEAST_NOISE * float(np.abs(value).max())
    return max(usual, least, 1e-12)
