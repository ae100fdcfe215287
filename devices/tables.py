"""Tables of other people's measurements: a CSV of long rows, or a wide one with a mapping file, as readings.

A long table has the columns time, device, quantity, value, unit, and may have kind, subject, area, longitude,
latitude, height_m, and longitude2, latitude2, height2_m for the far end of a beam, all of which are read from
a device's first row. A wide one has a column of times and a column a series; the mapping names them.
"""

import csv
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from importlib.resources import files
from math import isfinite, nan
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.wire.errors import InputError
from pipeline.wire.names import is_device
from pipeline.wire.quantities import KINDS, QUANTITIES
from pipeline.wire.senml import TIME_MAX_S, TIME_MIN_S, Record

LONG_COLUMNS = ("time", "device", "quantity", "value", "unit")
POSITION_COLUMNS = ("longitude", "latitude", "height_m")
BEAM_END_COLUMNS = ("longitude2", "latitude2", "height2_m")
URN_PREFIX = "urn:dev:ops:32473-imported-"  # 32473 is the example number of RFC 5612.

Position = tuple[float, float, float]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DeviceColumns(_Strict):
    """One device of a wide table: WGS 84 degrees, metres above ground; its columns and their quantities."""

    issuer: str
    kind: str
    subject: str
    position: Position
    beam_end: Position | None = None
    columns: Annotated[dict[str, str], Field(min_length=1)]


class ColumnMapping(_Strict):
    """A mapping file."""

    time: str
    department: str = "import"
    controller: str = "import"
    area: str = "imported"
    device: Annotated[tuple[DeviceColumns, ...], Field(min_length=1)]


@dataclass(slots=True)
class Source:
    """One device of a table, as far as the table says."""

    issuer: str
    subject: str
    kind: str = ""
    area: str = "imported"
    department: str = "import"
    controller: str = "import"
    position: Position | None = None
    beam_end: Position | None = None
    first_s: float = float("inf")
    quantities: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of a table: from which row (the header is row 1), of which device."""

    row: int
    issuer: str
    record: Record


@dataclass(frozen=True, slots=True)
class Survey:
    """What a table holds: its devices by issuer, its rows and values, and a digest of table and mapping."""

    sources: Mapping[str, Source]
    rows: int
    values: int
    digest: bytes


class Table:
    """A CSV file that can be read more than once.

    Args:
        path: The file, UTF-8.
        mapping: The mapping of a wide table; None for long rows.
    """

    def __init__(self, path: Path, mapping: ColumnMapping | None) -> None:
        self._path = path
        self._mapping = mapping

    @property
    def wide(self) -> bool:
        """Whether a row holds many values."""
        return self._mapping is not None

    def survey(self) -> Survey:
        """Read the whole table once and check every value, before anything is signed.

        Raises:
            InputError: Names file, row, column and remedy of the first thing that is wrong.
        """
        sources: dict[str, Source] = {}
        row = values = 0
        for reading in self._read(sources):
            row, values = reading.row, values + 1
            source = sources[reading.issuer]
            source.first_s = min(source.first_s, reading.record.time_s)
            source.quantities.add(reading.record.quantity)
        for source in sources.values():
            self._settle_kind(source)
        return Survey(sources, row, values, self._digest())

    def readings(self) -> Iterator[Reading]:
        """Yield every value that is not empty, in the order of the file.

        Raises:
            InputError: As `survey`.
        """
        return self._read({})

    def _read(self, sources: dict[str, Source]) -> Iterator[Reading]:
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file, strict=True)
                place = _Place(self._path)
                header = list(reader.fieldnames or ())
                rows = (
                    _WideRows(self._mapping, header, sources, place)
                    if self._mapping
                    else _LongRows(header, sources, place)
                )
                for cells in reader:
                    place.row = reader.line_num
                    if None in cells or None in cells.values():
                        raise place.error("", "not as many cells as the header", "Quote cells with commas.")
                    yield from rows.read(cells)
        except OSError as error:
            raise InputError(
                str(self._path), f"cannot be read: {error.strerror}", "Name a CSV file."
            ) from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(str(self._path), f"is no CSV in UTF-8: {error}", "Save it as such.") from error

    def _settle_kind(self, source: Source) -> None:
        fitting = [kind for kind, quantities in KINDS.items() if source.quantities <= set(quantities)]
        if source.kind:
            fitting = [kind for kind in fitting if kind == source.kind]
        if len(fitting) != 1:
            problem = f"{source.issuer} measures {', '.join(sorted(source.quantities))}"
            problem += f", which fits {' and '.join(fitting) if fitting else 'no kind of sensor'}"
            raise InputError(str(self._path), problem, f"Give its kind, one of {', '.join(KINDS)}.")
        source.kind = fitting[0]

    def _digest(self) -> bytes:
        digest = sha256(repr(self._mapping).encode())
        with self._path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return digest.digest()


class _Place:
    """Where in the file the reader is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.row = 1

    def error(self, column: str, problem: str, remedy: str) -> InputError:
        """Return the error of a cell, or of the whole row without a column."""
        where = f"{self._path}, row {self.row}" + (f", column {column}" if column else "")
        return InputError(where, problem, remedy)

    def check_columns(self, header: Sequence[str], wanted: Iterable[str]) -> None:
        """Check that the header has these columns."""
        missing = [column for column in wanted if column not in header]
        if missing:
            raise self.error("", f"the header lacks {', '.join(missing)}", f"It has: {', '.join(header)}.")

    def number(self, column: str, text: str) -> float:
        """Return a finite number."""
        try:
            number = float(text)
        except ValueError:
            number = nan
        if not isfinite(number):
            raise self.error(
                column, f"{text!r} is no number", "Write a decimal number, or leave the cell empty."
            )
        return number

    def time_s(self, column: str, text: str) -> float:
        """Return POSIX seconds of such seconds, or of an ISO 8601 time with its offset from UTC."""
        remedy = "Write ISO 8601 with the offset, as 2025-03-04T00:05:00Z, or POSIX seconds."
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            try:
                seconds = float(text)
            except ValueError:
                seconds = nan
        else:
            if time.tzinfo is None:
                raise self.error(column, f"{text!r} does not say which time zone", remedy)
            seconds = time.timestamp()
        if not TIME_MIN_S <= seconds < TIME_MAX_S:
            raise self.error(column, f"{text!r} is no time", remedy)
        return seconds

    def record(self, quantity: str, column: str, text: str, time_s: float) -> Record:
        """Return the record of a value in its quantity's signed unit."""
        value = self.number(column, text)
        if QUANTITIES[quantity].boolean and value not in {0.0, 1.0}:
            raise self.error(column, f"{text!r} where {quantity} is false or true", "Write 0 or 1.")
        return Record(quantity, QUANTITIES[quantity].unit, value, time_s)


class _WideRows:
    """A column of times, and a column a series."""

    def __init__(
        self, mapping: ColumnMapping, header: Sequence[str], sources: dict[str, Source], place: _Place
    ) -> None:
        self._place = place
        self._time = mapping.time
        self._series = [
            (device.issuer, column, quantity)
            for device in mapping.device
            for column, quantity in device.columns.items()
        ]
        place.check_columns(header, [mapping.time, *(column for _, column, _ in self._series)])
        for device in mapping.device:
            sources[device.issuer] = Source(
                device.issuer,
                device.subject,
                device.kind,
                mapping.area,
                mapping.department,
                mapping.controller,
                device.position,
                device.beam_end,
            )

    def read(self, cells: Mapping[str, str]) -> Iterator[Reading]:
        """Yield the values of a row."""
        place = self._place
        time_s = place.time_s(self._time, cells[self._time])
        for issuer, column, quantity in self._series:
            if text := cells[column].strip():
                yield Reading(place.row, issuer, place.record(quantity, column, text, time_s))


class _LongRows:
    """One value a row."""

    def __init__(self, header: Sequence[str], sources: dict[str, Source], place: _Place) -> None:
        self._place = place
        self._sources = sources
        place.check_columns(header, LONG_COLUMNS)

    def read(self, cells: Mapping[str, str]) -> Iterator[Reading]:
        """Yield the value of a row, unless it is empty."""
        place, quantity = self._place, cells["quantity"]
        if quantity not in QUANTITIES:
            raise place.error("quantity", f"{quantity!r} is unknown", f"There is: {', '.join(QUANTITIES)}.")
        if cells["unit"] != QUANTITIES[quantity].unit:
            problem = f"{cells['unit']!r} where {quantity} is signed in {QUANTITIES[quantity].unit}"
            raise place.error("unit", problem, "Convert the values.")
        issuer = self._issuer(cells)
        if text := cells["value"].strip():
            time_s = place.time_s("time", cells["time"])
            yield Reading(place.row, issuer, place.record(quantity, "value", text, time_s))

    def _issuer(self, cells: Mapping[str, str]) -> str:
        name = cells["device"]
        issuer = name if name.startswith("urn:") else URN_PREFIX + name
        if issuer in self._sources:
            return issuer
        if not is_device(issuer):
            remedy = "Write a device URN, or a name of letters, digits, dots and dashes."
            raise self._place.error("device", f"{name!r} is no device", remedy)
        self._sources[issuer] = Source(
            issuer,
            cells.get("subject") or f"imported/{name}",
            cells.get("kind", ""),
            cells.get("area") or "imported",
            position=self._position(cells, POSITION_COLUMNS),
            beam_end=self._position(cells, BEAM_END_COLUMNS),
        )
        return issuer

    def _position(self, cells: Mapping[str, str], columns: Sequence[str]) -> Position | None:
        texts = [cells.get(column, "") for column in columns]
        if not any(texts):
            return None
        east, north, up = (self._place.number(*pair) for pair in zip(columns, texts, strict=True))
        return east, north, up


def load_mapping(name: str) -> ColumnMapping:
    """Return a mapping by its file's path, or by the name of one that comes with cityproof.

    Raises:
        InputError: There is none, or it breaks the form.
    """
    own = files("devices.mappings") / f"{name}.toml"
    remedy = "Name a mapping file, or one of: " + ", ".join(mapping_names()) + "."
    try:
        text = own.read_text("utf-8") if own.is_file() else Path(name).read_text("utf-8")
        mapping = ColumnMapping.model_validate(tomllib.loads(text))
    except OSError as error:
        raise InputError("--mapping", f"cannot read {name}: {error.strerror}", remedy) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError("--mapping", f"{name} is no TOML: {error}", remedy) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{name}, {where}", first["msg"], "See the mappings that come with cityproof."
        ) from error
    for device in mapping.device:
        unknown = [
            quantity for quantity in device.columns.values() if quantity not in KINDS.get(device.kind, ())
        ]
        if unknown:
            problem = f"{device.issuer} is of kind {device.kind!r}, which does not measure {unknown[0]!r}"
            raise InputError(name, problem, f"Choose a kind of {', '.join(KINDS)} and its quantities.")
    return mapping


def mapping_names() -> list[str]:
    """Return the names of the mappings that come with cityproof."""
    found = (Path(entry.name) for entry in files("devices.mappings").iterdir())
    return sorted(path.stem for path in found if path.suffix == ".toml")
