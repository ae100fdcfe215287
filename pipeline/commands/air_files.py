"""Reading observations, wind and candidates from CSV files; every error names the row and the remedy."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipeline.tracing.anemometers import combine
from pipeline.tracing.place import Origin
from pipeline.tracing.problem import Candidate, Floats, Observations, Wind
from pipeline.tracing.stability import class_of_letter, class_of_turbulence
from pipeline.tracing.units import (
    STANDARD_PRESSURE_PA,
    STANDARD_TEMPERATURE_K,
    column_length,
    grams_per_cubic_metre,
)
from pipeline.wire.errors import InputError

DEFAULT_WIND_HEIGHT_M = 10.0  # WMO-No. 8: where wind is measured when nobody says otherwise.
DEFAULT_INTERVAL_S = 60.0
DISAGREE_DEG = 20.0  # Anemometers that differ by more are worth a warning.
SMELT_LN_SD = 1.5  # Of how far above its threshold a smell is that somebody reports.
SMELT = 3.0  # Times its threshold: what a smell that somebody reports is taken for.
UNKNOWN_THRESHOLD_G_M3 = 1e-5

OBSERVATION_COLUMNS = ("time", "sensor", "quantity", "value", "unit")
WIND_COLUMNS = ("time", "speed_m_s", "from_deg")
CANDIDATE_COLUMNS = ("name",)
_PLACE = ("x_m", "y_m", "z_m", "lon", "lat")
_USED = {
    OBSERVATION_COLUMNS: (
        *_PLACE, "x2_m", "y2_m", "z2_m", "lon2", "lat2", "interval_s", "sd", "gain_sd", "response_s",
        "detection_limit", "background", "positive", "temperature_k", "pressure_pa",
    ),
    WIND_COLUMNS: (
        *_PLACE, "interval_s", "ustar_m_s", "obukhov_m", "sigma_v_m_s", "sigma_theta_deg", "sigma_phi_deg",
        "sigma_w_m_s", "stability", "z0_m", "temperature_k", "pressure_pa", "direction_sd_deg",
    ),
    CANDIDATE_COLUMNS: (*_PLACE, "z_min_m", "z_max_m", "radius_m", "prior"),
}  # fmt: skip
_YES, _NO = frozenset({"1", "yes", "y", "true", "1.0"}), frozenset({"0", "no", "n", "false", "0.0"})


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a CSV file, which knows its place."""

    place: str
    fields: dict[str, str]

    def text(self, column: str) -> str:
        """Return a field that must be there."""
        value = self.fields.get(column, "")
        if not value:
            raise InputError(self.place, f"{column} is empty", "Fill it in, or leave the row out.")
        return value

    def number(self, column: str, default: float | None = None) -> float:
        """Return a finite number, or the default where the field is empty."""
        value = self.fields.get(column, "")
        if not value and default is not None:
            return default
        try:
            number = float(self.text(column))
        except ValueError:
            raise InputError(
                self.place, f"{column} is no number: {value!r}", "Write a decimal number."
            ) from None
        if not math.isfinite(number):
            raise InputError(self.place, f"{column} is not finite", "Leave out rows without a value.")
        return number

    def maybe(self, column: str) -> float:
        """Return a number that may be missing; nan where it is."""
        return self.number(column) if self.fields.get(column) else math.nan

    def positive(self, column: str, default: float | None = None) -> float:
        """Return a number above 0."""
        value = self.number(column, default)
        if value <= 0.0:
            raise InputError(self.place, f"{column} is {value:g}", "It is a number above 0.")
        return value

    def time_s(self) -> float:
        """Return the start of the interval, seconds since 1970."""
        return parse_time(self.text("time"), self.place)


def parse_time(text: str, place: str) -> float:
    """Return seconds since 1970 of an ISO 8601 time, UTC unless it says otherwise."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(place, f"{text!r} is no time", "Write ISO 8601, as 2026-03-02T08:00:00Z.") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a CSV file that has at least these columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines)
            missing = [column for column in columns if column not in (table.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{path}, row 1",
                    f"no column {', '.join(missing)}",
                    f"The first row names the columns: {', '.join(columns)}.",
                )
            for fields in table:
                yield Row(
                    f"{path}, row {table.line_num}",
                    {key: (fields[key] or "").strip() for key in fields if key},
                )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(path), f"cannot be read: {error}", "Name a CSV file in UTF-8.") from error


def unused_columns(path: Path, columns: tuple[str, ...]) -> list[str]:
    """Return the columns of a file that hold something and change nothing in the answer."""
    used = {*columns, *_USED[columns]}
    filled: dict[str, None] = {}
    for row in read_rows(path, columns):
        filled.update((name, None) for name, value in row.fields.items() if value and name not in used)
    return list(filled)


class Places:
    """Where rows are, in metres: as they say, or by longitude and latitude from an origin."""

    def __init__(self, origin: Origin | None) -> None:
        self.origin = origin

    def of(self, row: Row, suffix: str = "") -> tuple[float, float] | None:
        """Return (east, north), None where the row does not say."""
        x, y, lon, lat = (
            f"{name}{end}"
            for name, end in (("x", f"{suffix}_m"), ("y", f"{suffix}_m"), ("lon", suffix), ("lat", suffix))
        )
        if row.fields.get(x) or row.fields.get(y):
            return row.number(x), row.number(y)
        if not row.fields.get(lon) and not row.fields.get(lat):
            return None
        degrees = row.number(lon), row.number(lat)
        if abs(degrees[0]) > 180.0 or abs(degrees[1]) > 85.0:
            raise InputError(row.place, f"lon,lat {degrees} is no place", "Give degrees, longitude first.")
        return self.at(*degrees)

    def at(self, lon: float, lat: float) -> tuple[float, float]:
        """Return (east, north) of a place in degrees."""
        if self.origin is None:  # The first place named is the origin, unless --origin says otherwise.
            self.origin = Origin(lon, lat)
        return self.origin.metres(lon, lat)

    def needed(self, row: Row) -> tuple[float, float]:
        """Return (east, north) of a row that must say."""
        place = self.of(row)
        if place is None:
            raise InputError(row.place, "it has no place", "Fill in x_m and y_m, or lon and lat.")
        return place


@dataclass(slots=True)
class Readings:
    """What a file of observations holds, and what to say about how it was read."""

    observations: Observations
    quantity: str
    unit: str
    warnings: list[str]


@dataclass(slots=True)
class _Gathered:
    """Rows of observations while they are read: a sensor that moves is another one from there."""

    names: dict[tuple[str, tuple[float, ...]], int] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    of_name: dict[str, int] = field(default_factory=dict)
    rows: list[tuple[float, ...]] = field(default_factory=list)
    smells: set[int] = field(default_factory=set)
    graded: set[int] = field(default_factory=set)
    warnings: dict[str, None] = field(default_factory=dict)

    def sensor(self, name: str, place: tuple[float, ...]) -> int:
        """Return the number of a sensor at a place."""
        key = (name, place)
        if key not in self.names:
            self.names[key] = len(self.labels)
            count = self.of_name[name] = self.of_name.get(name, 0) + 1
            self.labels.append(name if count == 1 else f"{name} ({count})")
            if count == 2:
                self.warnings[f"{name} moves: at each place it counts as a sensor of its own"] = None
        return self.names[key]


STANDARD_AIR = (STANDARD_TEMPERATURE_K, STANDARD_PRESSURE_PA)


def read_air(wind: Path) -> tuple[float, float]:
    """Return temperature (K) and pressure (Pa) that stand with the wind; the standard's where none do."""
    rows = list(read_rows(wind, WIND_COLUMNS))
    names = ("temperature_k", "pressure_pa")
    found = [[row.positive(name) for row in rows if row.fields.get(name)] for name in names]
    temperature, pressure = (
        float(np.median(values)) if values else standard
        for values, standard in zip(found, STANDARD_AIR, strict=True)
    )
    return temperature, pressure


def read_observations(
    path: Path,
    quantity: str | None,
    places: Places | None = None,
    air: tuple[float, float] = STANDARD_AIR,
) -> Readings:
    """Return readings ascending in time, in g/m³, of one quantity.

    `air` is temperature (K) and pressure (Pa) of rows that do not say.

    Raises:
        InputError: A row cannot be used: it is named, and what to do.
    """
    places = places or Places(None)
    held, wanted, unit = _Gathered(), quantity, ""
    for row in read_rows(path, OBSERVATION_COLUMNS):
        measured = row.text("quantity")
        if quantity is not None and measured != quantity:
            continue
        wanted = wanted or measured
        if measured != wanted:
            raise InputError(row.place, f"{measured} after {wanted}", "Choose one with --quantity.")
        unit = unit or row.fields.get("unit", "")
        _take(row, held, places, measured, air)
    if not held.rows or wanted is None:
        problem = f"no reading of {quantity or 'anything'}"
        raise InputError(str(path), problem, "Name a --quantity that it holds.")
    return Readings(_observations(held), wanted, unit, list(held.warnings))


def _take(row: Row, held: _Gathered, places: Places, quantity: str, air: tuple[float, float]) -> None:
    """Take one row up."""
    x, y = places.needed(row)
    end = places.of(row, "2")
    z = row.number("z_m", 2.0)
    if not row.fields.get("z_m"):
        held.warnings["sensors without z_m are taken to stand at 2 m"] = None
    beam = (*end, row.number("z2_m", z)) if end else (math.nan,) * 3
    sensor = held.sensor(row.text("sensor"), (x, y, z, *(b for b in beam if end)))
    if row.fields.get("positive"):
        value, limit, gain_sd = _smell(row, held, quantity, air)
        held.smells.add(sensor)
    else:
        value, limit = _graded(row, quantity, math.dist((x, y, z), beam) if end else None, air)
        gain_sd = row.number("gain_sd", 0.0)
        held.graded.add(sensor)
    if both := held.smells & held.graded & {sensor}:
        name = held.labels[both.pop()]
        raise InputError(row.place, f"{name} both measures and smells", "Give the nose another name.")
    factor = value.factor
    noise = row.number("sd", 0.0) * factor
    start = row.time_s() - row.number("response_s", 0.0)  # What it shows is older, by that in the mean.
    interval = row.positive("interval_s", DEFAULT_INTERVAL_S)
    known = row.maybe("background") * factor
    held.rows.append((start, sensor, interval, value.g_m3, abs(noise), limit, gain_sd, known, x, y, z, *beam))


@dataclass(frozen=True, slots=True)
class _Value:
    g_m3: float
    factor: float


def _factor(row: Row, quantity: str, path_m: float | None, air: tuple[float, float]) -> float:
    unit, per_metre = row.text("unit"), 1.0
    along = column_length(unit)
    if along is not None:
        if path_m is None or path_m <= 0.0:
            raise InputError(row.place, f"{unit} of a point", "Give x2_m, y2_m of the beam's end, or a mean.")
        unit, per_metre = along, 1.0 / path_m
    try:
        return per_metre * grams_per_cubic_metre(
            unit, quantity,
            temperature_k=row.positive("temperature_k", air[0]),
            pressure_pa=row.positive("pressure_pa", air[1]),
        )  # fmt: skip
    except ValueError as error:
        raise InputError(row.place, str(error), "Give the value in ug/m3.") from error


def _graded(row: Row, quantity: str, path_m: float | None, air: tuple[float, float]) -> tuple[_Value, float]:
    """Return a value, and the limit that it is below, if it is: then half of that stands for it."""
    factor = _factor(row, quantity, path_m, air)
    text = row.fields.get("value", "")
    limit = row.maybe("detection_limit")
    if text.startswith("<"):
        limit = Row(row.place, {"value": text[1:]}).number("value")
    below = text.startswith("<") or (math.isfinite(limit) and (not text or row.number("value") < limit))
    if below:
        return _Value(0.5 * limit * factor, factor), limit * factor
    return _Value(row.number("value") * factor, factor), math.nan


def _smell(row: Row, held: _Gathered, quantity: str, air: tuple[float, float]) -> tuple[_Value, float, float]:
    """Return what somebody smelt or did not smell: a value, its limit, ln sd."""
    said = row.text("positive").lower()
    if said not in _YES | _NO:
        raise InputError(row.place, f"positive is {said!r}", "Write 1 where it was smelt, 0 where not.")
    threshold, factor = UNKNOWN_THRESHOLD_G_M3, 1.0
    if row.fields.get("detection_limit") and row.fields.get("unit"):
        factor = _factor(row, quantity, None, air)
        threshold = row.positive("detection_limit") * factor
    else:
        held.warnings["yes and no without a detection_limit: rates are those of a threshold of 10 ug/m3"] = (
            None
        )
    if said in _YES:
        return _Value(SMELT * threshold, factor), threshold, SMELT_LN_SD
    return _Value(0.0, factor), threshold, 0.0


def _observations(held: _Gathered) -> Observations:
    """Return what was gathered, ascending in time."""
    held.rows.sort()
    start, number, interval, value, noise, limit, gain_sd, known, *place = (
        np.array(column, np.float64) for column in zip(*held.rows, strict=True)
    )
    sensor = number.astype(np.int64)
    given = np.isfinite(known)
    smells = np.isin(sensor, list(held.smells))
    above = smells | given
    if (given & ~smells).any() and not above.all():
        known[~above] = np.median(known[given & ~smells])
        held.warnings["background is given for some rows only: the others take its median"] = None
        above[:] = True
    value = np.where(above & ~smells, value - np.nan_to_num(known), value)
    sensors = len(held.labels)
    stand = np.full((sensors, 6), math.nan)
    stand[sensor] = np.column_stack(place)
    return Observations(
        names=tuple(held.labels),
        sensors_m=stand[:, :3].copy(),
        sensor=sensor,
        start_s=start,
        interval_s=interval,
        value_g_m3=value,
        ends_m=stand[:, 3:].copy() if np.isfinite(stand[:, 3:]).any() else None,
        sd_g_m3=noise if noise.any() else None,
        limit_g_m3=limit if np.isfinite(limit).any() else None,
        gain_sd=gain_sd if gain_sd.any() else None,
        above_zero=tuple(bool(above[sensor == j].all()) for j in range(sensors)) if above.any() else None,
    )


def read_wind(path: Path, places: Places | None = None) -> tuple[Wind, list[str]]:
    """Return the wind of all anemometers as one, and what to say about it.

    Raises:
        InputError: A row cannot be used.
    """
    places = places or Places(None)
    rows = sorted(read_rows(path, WIND_COLUMNS), key=Row.time_s)
    if not rows:
        raise InputError(str(path), "no wind", "One row is enough: time, speed_m_s, from_deg.")
    stands: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if row.number("speed_m_s") < 0.0:
            remedy = "Speeds are >= 0; from_deg says the direction."
            raise InputError(row.place, "speed_m_s is negative", remedy)
        if not -360.0 <= row.number("from_deg") <= 360.0:
            remedy = "Give the compass direction that it comes from, 0 to 360."
            raise InputError(row.place, f"from_deg is {row.fields['from_deg']}", remedy)
        stands.setdefault((places.of(row), row.fields.get("z_m")), []).append(row)
    warnings = []
    if any(height in {None, ""} for _, height in stands):
        warnings.append("wind without z_m is taken to be measured at 10 m")
    if any(place is None for place, _ in stands):
        warnings.append("wind without a place is taken to hold everywhere")
    wind, apart = combine([_anemometer(rows) for rows in stands.values()])
    if apart > DISAGREE_DEG:
        warnings.append(
            f"the {len(stands)} anemometers differ by {apart:.0f} degrees: one wind is taken for all"
        )
    return wind, warnings


def _anemometer(rows: list[Row]) -> Wind:
    def column(name: str) -> Floats:
        return np.array([row.maybe(name) for row in rows])

    speed, sigma_v = column("speed_m_s"), column("sigma_v_m_s")
    turning = column("sigma_theta_deg")
    turning = np.where(np.isfinite(turning), turning, column("direction_sd_deg"))
    sigma_theta = np.radians(turning) * speed
    height = column("z_m")
    sigma_w = np.where(
        np.isfinite(column("sigma_w_m_s")),
        column("sigma_w_m_s"),
        np.radians(column("sigma_phi_deg")) * speed,
    )
    given = np.array([class_of_letter(row.fields.get("stability", ""), row.place) for row in rows])
    classes = np.where(np.isfinite(given), given, class_of_turbulence(sigma_w, speed))
    return Wind(
        np.array([row.time_s() for row in rows]),
        speed,
        column("from_deg") % 360.0,
        column("ustar_m_s"),
        column("obukhov_m"),
        np.where(np.isfinite(sigma_v), sigma_v, sigma_theta),
        column("z0_m"),
        np.where(np.isfinite(height), height, DEFAULT_WIND_HEIGHT_M),
        classes if np.isfinite(classes).any() else None,
    )


def candidate_heights(path: Path) -> tuple[float, float] | None:
    """Return the lowest and the highest that candidates stand, where any says; each may be off by 1 m."""
    found = [
        row.number(name)
        for row in read_rows(path, CANDIDATE_COLUMNS)
        for name in ("z_m", "z_min_m", "z_max_m")
        if row.fields.get(name)
    ]
    return (max(min(found) - 1.0, 0.0), max(found) + 1.0) if found else None


def read_candidates(path: Path, places: Places | None = None) -> tuple[Candidate, ...]:
    """Return the places that may be the source."""
    places = places or Places(None)
    return tuple(
        Candidate(
            row.text("name"),
            *places.needed(row),
            row.positive("radius_m", 5.0),
            row.number("prior", 1.0),
        )
        for row in read_rows(path, CANDIDATE_COLUMNS)
    )
