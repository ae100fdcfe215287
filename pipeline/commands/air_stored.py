"""Readings and wind out of a city's point store, each held against the log: what is proven, and what is not.

Evidence of the span is collected from the log and verified as anyone would. A stored point counts as verified
where the evidence has a record for its place, and that says the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.commands.air_answer import Inputs
from pipeline.commands.air_files import Places
from pipeline.commands.progress import progress_bar
from pipeline.commands.reading import open_log
from pipeline.commands.stores import City
from pipeline.commands.times import format_time
from pipeline.identity.authorities import Authorities
from pipeline.log.policy import Policy
from pipeline.tracing.anemometers import combine
from pipeline.tracing.problem import Floats, Observations, Wind
from pipeline.tracing.units import grams_per_cubic_metre
from pipeline.verify.collect import Collector
from pipeline.verify.completeness import Completeness, Span
from pipeline.verify.evidence import EvidenceCheck
from pipeline.verify.query import Query
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.errors import InputError
from pipeline.wire.quantities import QUANTITIES
from pipeline.wire.senml import decode_pack, time_us

WIND_SPEED, WIND_FROM = "wind_speed", "wind_from"
POINTS_MOST = 2_000_000  # Of one series in the span.
DEFAULT_HEIGHT_M = 2.0


class Place(NamedTuple):
    """Where a point stands: at most one at each place."""

    device: str
    quantity: str
    time_us: int


class Value(NamedTuple):
    """What is said at a place, and the log entry and leaf that it refers to."""

    value: float
    ref: int


@dataclass(frozen=True, slots=True)
class Proven:
    """What verified evidence says."""

    values: Mapping[Place, Value]
    enrolments: Mapping[str, Enrolment]  # By device
    signers: tuple[Completeness, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """Stored points beside what is proven."""

    verified: dict[Place, float]
    stored: dict[Place, float]
    left_out: list[dict[str, Any]]


def query_of(quantity: str, first_us: int, end_us: int) -> Query:
    """Return what evidence is asked for: readings of the quantity, and the wind."""
    return Query(quantities=frozenset({quantity, WIND_SPEED, WIND_FROM}), span=Span(first_us, end_us))


def collect(city: City, policy: Policy, query: Query, out: Path) -> None:
    """Write the evidence of all that answers a query."""
    with (
        open_log(str(city.folder.root), None) as read,
        out.open("wb") as file,
        progress_bar("evidence", "entries", shown=True) as progress,
    ):
        Collector(read, policy).collect(query, file.write, progress)


def read_evidence(path: Path, policy: Policy, authorities: Authorities) -> Proven:
    """Verify evidence, and return what it says; of two records at one place the later in the log counts."""
    values: dict[Place, Value] = {}
    enrolments: dict[str, Enrolment] = {}
    with path.open("rb") as file:
        check = EvidenceCheck(file.read, policy, authorities)
        for proven in check.statements():
            statement = proven.statement
            enrolments[statement.issuer] = proven.key.enrolment
            if proven.equivocation:
                continue
            for record in decode_pack(statement.payload, statement.issuer):
                at = time_us(record)
                if check.query.wants_record(record.quantity, at):
                    place = Place(statement.issuer, record.quantity, at)
                    ref = proven.entry * 2048 + proven.leaf
                    if place not in values or values[place].ref < ref:
                        values[place] = Value(record.value, ref)
        verified = check.result()
    return Proven(values, enrolments, verified.signers)


def compare(city: City, proven: Proven, query: Query) -> Compared:
    """Hold every stored point of the span against what is proven; name what differs."""
    span = query.span
    assert span.first_us is not None
    assert span.end_us is not None
    stored: dict[Place, float] = {}
    left_out: list[dict[str, Any]] = []
    with city.open_points() as points:
        for series in points.series():
            if series.quantity not in query.quantities:
                continue
            for point in points.range(series, span.first_us, span.end_us - 1, POINTS_MOST):
                stored[Place(point.device, point.quantity, point.time_us)] = point.value
    verified: dict[Place, float] = {}
    for place, value in stored.items():
        signed = proven.values.get(place)
        if signed is not None and signed.value == value:
            verified[place] = value
        else:
            reason = "not signed by its device" if signed is None else "altered in the store"
            left_out.append(_named(place, reason, value, None if signed is None else signed.value))
    left_out += [
        _named(place, "missing in the store", None, signed.value)
        for place, signed in proven.values.items()
        if place not in stored
    ]
    return Compared(verified, stored, left_out)


def _named(place: Place, reason: str, stored: float | None, signed: float | None) -> dict[str, Any]:
    return {
        "device": place.device,
        "quantity": place.quantity,
        "time": format_time(place.time_us),
        "reason": reason,
        "stored": stored,
        "signed": signed,
    }


def inputs_of(
    values: Mapping[Place, float],
    enrolments: Mapping[str, Enrolment],
    quantity: str,
    area: str | None,
    places: Places,
    wind: Wind | None = None,
) -> Inputs:
    """Return points as a trace wants them.

    Args:
        values: Points by their places.
        enrolments: Where devices stand, by device.
        quantity: What is traced.
        area: Of the sensors; None: all. Wind is taken from wherever it is measured.
        places: Longitude and latitude to metres.
        wind: Where it does not come from the points.

    Raises:
        InputError: No point of the quantity, or no wind, is among them.
    """
    unit = QUANTITIES[quantity].unit
    sensors = sorted(
        {
            place.device
            for place in values
            if place.quantity == quantity
            and place.device in enrolments
            and area in {None, enrolments[place.device].area}
        }
    )
    if not sensors:
        remedy = "`cityproof series` lists what there is, and from when to when."
        raise InputError("--quantity, --area", f"no proven point of {quantity}", remedy)
    stand = _stands(sensors, enrolments, places)
    seen = _observations(values, sensors, stand, enrolments, quantity, unit)
    said: list[str] = []
    if wind is None:
        wind, said = _wind(values, enrolments)
    return Inputs(seen, wind, (), quantity, unit, places.origin, said)


def _stands(sensors: Sequence[str], enrolments: Mapping[str, Enrolment], places: Places) -> Floats:
    """Return (s, 6) where sensors stand and their beams end."""
    rows = []
    for device in sensors:
        told = enrolments[device]
        assert told.longitude is not None
        assert told.latitude is not None
        here = places.at(told.longitude, told.latitude)
        height = DEFAULT_HEIGHT_M if told.height_m is None else told.height_m
        end = (np.nan,) * 3
        if told.longitude2 is not None and told.latitude2 is not None:
            beam = places.at(told.longitude2, told.latitude2)
            end = (*beam, height if told.height2_m is None else told.height2_m)
        rows.append((*here, height, *end))
    return np.array(rows, np.float64)


def _observations(
    values: Mapping[Place, float],
    sensors: Sequence[str],
    stand: Floats,
    enrolments: Mapping[str, Enrolment],
    quantity: str,
    unit: str,
) -> Observations:
    number = {device: j for j, device in enumerate(sensors)}
    rows = sorted(
        (place.time_us / 1e6, number[place.device], value)
        for place, value in values.items()
        if place.quantity == quantity and place.device in number
    )
    start, sensor, value = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    factor = grams_per_cubic_metre(unit, quantity)
    index = sensor.astype(np.int64)
    steps = [np.diff(start[index == j]) for j in range(len(sensors))]
    usual = float(np.median(np.concatenate(steps))) if any(step.size for step in steps) else 60.0
    accuracy = np.array([(enrolments[device].accuracy or {}).get(quantity, 0.0) for device in sensors])
    return Observations(
        names=tuple(sensors),
        sensors_m=stand[:, :3].copy(),
        sensor=index,
        start_s=start,
        interval_s=np.full(start.size, max(usual, 1.0)),
        value_g_m3=value * factor,
        ends_m=stand[:, 3:].copy() if np.isfinite(stand[:, 3:]).any() else None,
        sd_g_m3=0.5 * accuracy[index] * factor if accuracy.any() else None,
    )


def _wind(values: Mapping[Place, float], enrolments: Mapping[str, Enrolment]) -> tuple[Wind, list[str]]:
    """Return the wind of all weather stations as one, and what to say about it."""
    stations: dict[str, list[tuple[float, float, float]]] = {}
    for place, speed in values.items():
        bearing = values.get(Place(place.device, WIND_FROM, place.time_us))
        if place.quantity == WIND_SPEED and bearing is not None:
            stations.setdefault(place.device, []).append((place.time_us / 1e6, speed, bearing))
    if not stations:
        remedy = "Choose a span in which a weather station has spoken, or give --wind W.csv."
        raise InputError("--from, --to", "no proven wind", remedy)
    winds = []
    for device, rows in sorted(stations.items()):
        table = np.array(sorted(rows), np.float64)
        none = np.full(len(rows), np.nan)
        height = enrolments[device].height_m
        heights = np.full(len(rows), 10.0 if height is None else height)
        gusts = table[:, 1].copy()
        winds.append(Wind(table[:, 0].copy(), gusts, table[:, 2] % 360.0, none, none, none, none, heights))
    wind, apart = combine(winds)
    return wind, [f"wind of {len(winds)} stations, whose directions differ by {apart:.0f} degrees"]


def silent(
    proven: Proven, points: Iterable[Place], quantity: str, begin_s: float, end_s: float
) -> list[dict[str, Any]]:
    """Return the signers of the quantity that said nothing in a span, or whose statements lack some."""
    spoke = {p.device for p in points if p.quantity == quantity and begin_s <= p.time_us / 1e6 < end_s}
    measures = {place.device for place in proven.values if place.quantity == quantity}
    span = {"from": format_time(int(begin_s * 1e6)), "to": format_time(int(end_s * 1e6))}
    found: list[dict[str, Any]] = [
        {"sensor": device, **span, "reason": "silent"} for device in sorted(measures - spoke)
    ]
    for signer in proven.signers:
        if signer.issuer in measures and signer.gaps:
            missing = sum(gap.last - gap.first + 1 for gap in signer.gaps)
            found.append({"sensor": signer.issuer, **span, "reason": f"{missing} statements are missing"})
    return found
