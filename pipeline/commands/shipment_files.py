"""Reading what a shipment is judged by from files: profiles, and readings in CSV."""

import csv
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from pipeline.commands.times import parse_time_us
from pipeline.shipping.mean_kinetic import COLDEST_CEL
from pipeline.shipping.profile import Profile, parse_profile
from pipeline.shipping.series import Reading, Trip
from pipeline.wire.errors import InputError
from pipeline.wire.quantities import QUANTITIES

COLUMNS = ("time", "quantity", "value", "unit")
LARGEST = Decimal(10) ** 12


def builtin_profiles() -> list[Profile]:
    """Return the profiles that come along, by name."""
    return [parse_profile(file.read_bytes(), file.name) for file in _profile_files()]


def load_profile(name: str) -> Profile:
    """Return the profile of this name, or the one in a .toml file.

    Raises:
        InputError: There is none, or the file holds none.
    """
    return parse_profile(profile_file(name), name)


def profile_file(name: str) -> bytes:
    """Return the bytes of the profile of this name, or those of a .toml file.

    Raises:
        InputError: There is no such file.
    """
    if name.endswith(".toml"):
        try:
            return Path(name).read_bytes()
        except OSError as error:
            raise InputError(name, f"cannot be read: {error}", "Name a TOML file.") from error
    along = {file.name.removesuffix(".toml"): file for file in _profile_files()}
    if name not in along:
        remedy = f"Choose one of {', '.join(along)}, or name a .toml file of your own."
        raise InputError("--profile", f"no profile {name!r}", remedy)
    return along[name].read_bytes()


def _profile_files() -> list[Traversable]:
    found = [file for file in files("pipeline.shipping").joinpath("profiles").iterdir() if file.is_file()]
    return sorted(found, key=lambda file: file.name)


def read_trip(path: Path, from_us: int | None, to_us: int | None) -> Trip:
    """Return the readings of a CSV file: time,quantity,value,unit and, if it has them, epoch,sequence.

    Raises:
        InputError: The file, a row or a field is not as it should be.
    """
    readings: dict[str, list[Reading]] = {}
    seen: set[tuple[str, int]] = set()
    for place, row in _rows(path):
        quantity, reading = _reading(place, row)
        if (quantity, reading.time_us) in seen:
            raise InputError(place, f"{quantity} stands twice at this time", "Judge one logger at a time.")
        seen.add((quantity, reading.time_us))
        readings.setdefault(quantity, []).append(reading)
    if not readings:
        raise InputError(str(path), "no reading", "Every row behind the first holds one.")
    trip = Trip({quantity: tuple(listed) for quantity, listed in readings.items()}, from_us, to_us)
    begin_us, end_us = trip.span_us()
    if begin_us > end_us:
        raise InputError("--from, --to", "the trip ends before it begins", "Give times of the readings.")
    return trip


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines, restval="")
            missing = [column for column in COLUMNS if column not in (table.fieldnames or ())]
            if missing:
                remedy = f"The first row names the columns: {', '.join(COLUMNS)}, perhaps epoch, sequence."
                raise InputError(f"{path}, row 1", f"no column {', '.join(missing)}", remedy)
            for row in table:
                yield f"{path}, row {table.line_num}", row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(path), f"cannot be read: {error}", "Name a CSV file in UTF-8.") from error


def _reading(place: str, row: dict[str, str]) -> tuple[str, Reading]:
    quantity = QUANTITIES.get(row["quantity"])
    if quantity is None:
        raise InputError(place, f"no quantity {row['quantity']!r}", "docs/quantities.md lists them.")
    if row["unit"] != quantity.unit:
        problem = f"{quantity.name} in {row['unit']!r}"
        raise InputError(place, problem, f"Give it in {quantity.unit}, the unit that is signed.")
    try:
        value = Decimal(row["value"])
    except InvalidOperation:
        raise InputError(place, f"{row['value']!r} is no number", "Write a decimal number.") from None
    coldest = COLDEST_CEL if quantity.unit == "Cel" else -LARGEST
    if not (value.is_finite() and coldest <= value <= LARGEST):
        raise InputError(place, f"{value} {quantity.unit} cannot be", "Leave out what is no reading.")
    epoch, sequence = (_whole(place, row.get(column, "")) for column in ("epoch", "sequence"))
    return quantity.name, Reading(parse_time_us(row["time"], place), value, epoch or 0, sequence)


def _whole(place: str, text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InputError(place, f"{text!r} is no whole number", "Epochs and sequences count from 0.")
    return int(text)
