"""Reading observations, wind and candidates from CSV files; every error names the row and the remedy."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipeline.tracing.problem import Candidate, Observations, Wind
from pipeline.tracing.units import STANDARD_PRESSURE_PA, STANDARD_TEMPERATURE_K, grams_per_cubic_metre
from pipeline.wire.errors import InputError

DEFAULT_WIND_HEIGHT_M = 10.0  # WMO-No. 8: where wind is measured when nobody says otherwise.
DEFAULT_INTERVAL_S = 60.0


OBSERVATION_COLUMNS = ("time", "sensor", "x_m", "y_m", "z_m", "quantity", "value", "unit")
WIND_COLUMNS = ("time", "speed_m_s", "from_deg")
CANDIDATE_COLUMNS = ("name", "x_m", "y_m")
_USED = {
    OBSERVATION_COLUMNS: ("temperature_k", "pressure_pa", "interval_s"),
    WIND_COLUMNS: (
        "x_m", "y_m", "z_m", "ustar_m_s", "obukhov_m", "sigma_v_m_s", "sigma_theta_deg", "z0_m",
    ),
    CANDIDATE_COLUMNS: ("radius_m", "prior"),
}  # fmt: skip
_BEAM = ("x2_m", "y2_m", "z2_m")


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


def read_observations(path: Path, quantity: str | None) -> tuple[Observations, str]:
    """Return readings ascending in time, in g/m³, and which quantity they are of."""
    names: dict[str, tuple[int, tuple[float, float, float]]] = {}
    readings: list[tuple[float, int, float, float]] = []
    wanted = quantity
    for row in read_rows(path, OBSERVATION_COLUMNS):
        if any(row.fields.get(name) for name in _BEAM):
            raise InputError(row.place, "it is of a beam, which is not built yet", "Leave its rows out.")
        measured = row.text("quantity")
        if quantity is not None and measured != quantity:
            continue
        wanted = wanted or measured
        if measured != wanted:
            raise InputError(row.place, f"{measured} after {wanted}", "Choose one with --quantity.")
        place = (row.number("x_m"), row.number("y_m"), row.number("z_m"))
        index, known = names.setdefault(row.text("sensor"), (len(names), place))
        if place != known:
            raise InputError(
                row.place, "its sensor has moved", "Give the sensor another name where it moved."
            )
        try:
            factor = grams_per_cubic_metre(
                row.text("unit"), measured,
                temperature_k=row.number("temperature_k", STANDARD_TEMPERATURE_K),
                pressure_pa=row.number("pressure_pa", STANDARD_PRESSURE_PA),
            )  # fmt: skip
        except ValueError as error:
            raise InputError(row.place, str(error), "Give the value in ug/m3.") from error
        interval = row.number("interval_s", DEFAULT_INTERVAL_S)
        readings.append((row.time_s(), index, interval, row.number("value") * factor))
    if not readings or wanted is None:
        raise InputError(
            str(path), f"no reading of {quantity or 'anything'}", "Name a --quantity that it holds."
        )
    readings.sort()
    start, sensor, interval_s, value = (np.array(column) for column in zip(*readings, strict=True))
    return (
        Observations(
            tuple(names),
            np.array([place for _, place in names.values()]),
            sensor.astype(np.int64),
            start,
            interval_s,
            value,
        ),
        wanted,
    )


def read_wind(path: Path) -> Wind:
    """Return the wind of one anemometer; a second place in the file is an error."""
    rows = sorted(read_rows(path, WIND_COLUMNS), key=Row.time_s)
    if not rows:
        raise InputError(str(path), "no wind", "One row is enough: time, speed_m_s, from_deg.")
    places = {(row.fields.get("x_m"), row.fields.get("y_m")) for row in rows}
    if len(places) > 1:
        raise InputError(
            str(path), "wind of several places", "Keep the rows of the one nearest to the sensors."
        )
    for row in rows:
        if row.number("speed_m_s") < 0.0:
            raise InputError(
                row.place, "speed_m_s is negative", "Speeds are >= 0; from_deg says the direction."
            )

    def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([row.number(name) if row.fields.get(name) else math.nan for row in rows])

    height = column("z_m")
    speed, from_deg, sigma_v = column("speed_m_s"), column("from_deg"), column("sigma_v_m_s")
    sigma_theta = np.radians(column("sigma_theta_deg")) * speed
    return Wind(
        np.array([row.time_s() for row in rows]),
        speed,
        from_deg,
        column("ustar_m_s"),
        column("obukhov_m"),
        np.where(np.isfinite(sigma_v), sigma_v, sigma_theta),
        column("z0_m"),
        np.where(np.isfinite(height), height, DEFAULT_WIND_HEIGHT_M),
    )


def read_candidates(path: Path) -> tuple[Candidate, ...]:
    """Return the places that may be the source."""
    return tuple(
        Candidate(
            row.text("name"),
            row.number("x_m"),
            row.number("y_m"),
            row.number("radius_m", 5.0),
            row.number("prior", 1.0),
        )
        for row in read_rows(path, CANDIDATE_COLUMNS)
    )
