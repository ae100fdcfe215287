"""SenML packs (RFC 8428, CBOR) of the profile: what a reading carries.

Every record has a name that is a quantity, that quantity's unit (its own or the base unit), a value (`vb` for
boolean quantities, else `v`) and an absolute time. The first record has the base name, issuer + "_"; base
time and base unit may stand and change anywhere, as RFC 8428, 4.6 has it. The base version is 10 or 26, and
26 where a unit is secondary (RFC 9100). Base value, sums, strings, data, update times, relative times and
extensions are not admitted.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, cast

import cbor2

from pipeline.wire import cbor, pack_scan
from pipeline.wire.errors import VerificationError
from pipeline.wire.quantities import QUANTITIES, Quantity
from pipeline.wire.reasons import Reason

RECORDS_MAX = pack_scan.RECORDS_MAX
TIME_MIN_S, TIME_MAX_S = pack_scan.TIME_MIN_S, pack_scan.TIME_MAX_S
VERSION_DEFAULT = 10
VERSION_SECONDARY_UNITS = 26  # 10 + 2**4 (RFC 9100, 4)

_BASE_VERSION, _BASE_NAME, _BASE_TIME, _BASE_UNIT = -1, -2, -3, -4
_NAME, _UNIT, _VALUE, _BOOLEAN, _TIME = 0, 1, 2, 4, 6
_LABELS = frozenset(
    {_BASE_VERSION, _BASE_NAME, _BASE_TIME, _BASE_UNIT, _NAME, _UNIT, _VALUE, _BOOLEAN, _TIME}
)
_UNITS = frozenset(quantity.unit for quantity in QUANTITIES.values())


class Record(NamedTuple):
    """One value of a quantity: resolved, in the quantity's signed unit; booleans are 0.0 and 1.0."""

    quantity: str
    unit: str
    value: float
    time_s: float


def time_us(record: Record) -> int:
    """Return a record's time rounded to 1 µs, halves to even: what identifies its point."""
    return round(record.time_s * 1e6)


def encode_pack(issuer: str, records: Sequence[Record]) -> bytes:
    """Return the pack of these records, in the one form that cityproof writes.

    Base name, base time (that of the first record) and base unit (the most frequent one, the earliest of
    equals) stand in the first record, and base version 26 if any unit is secondary. Records carry a time or a
    unit of their own only where it differs. Whole numbers below 2**32 are integers, others the shortest
    float.
    """
    assert 0 < len(records) <= RECORDS_MAX, "a pack has 1 to 256 records"
    base_time = records[0].time_s
    base_unit = Counter(record.unit for record in records).most_common(1)[0][0]
    if any(base_time + (record.time_s - base_time) != record.time_s for record in records):
        base_time = 0.0  # Differences that a float does not hold: every record gets its whole time.
    pack: list[dict[int, object]] = []
    for record in records:
        quantity = QUANTITIES[record.quantity]
        assert record.unit == quantity.unit, f"{record.quantity} is signed in {quantity.unit}"
        item: dict[int, object] = {_NAME: record.quantity}
        if record.unit != base_unit:
            item[_UNIT] = record.unit
        if quantity.boolean:
            item[_BOOLEAN] = bool(record.value)
        else:
            item[_VALUE] = _number(record.value)
        if record.time_s != base_time:
            item[_TIME] = _number(record.time_s - base_time)
        pack.append(item)
    if any(QUANTITIES[record.quantity].secondary for record in records):
        pack[0][_BASE_VERSION] = VERSION_SECONDARY_UNITS
    pack[0][_BASE_NAME] = issuer + "_"
    if base_time:
        pack[0][_BASE_TIME] = _number(base_time)
    pack[0][_BASE_UNIT] = base_unit
    return cbor.encode(pack)


def check_pack(payload: bytes, issuer: str) -> None:
    """Check a pack as `decode_pack` does, without building records in the usual case.

    Raises:
        VerificationError: As `decode_pack`.
    """
    if pack_scan.scan_pack(payload, issuer) is None:
        _resolve(cbor.decode(payload), issuer)


def pack_times_us(payload: bytes, issuer: str) -> tuple[int, int]:
    """Check a pack as `decode_pack` does; return the times (µs) of its earliest and its latest record.

    Raises:
        VerificationError: As `decode_pack`.
    """
    span_s = pack_scan.scan_span(payload, issuer)
    if span_s is None:
        times_s = [record.time_s for record in decode_pack(payload, issuer)]
        span_s = min(times_s), max(times_s)
    return round(span_s[0] * 1e6), round(span_s[1] * 1e6)


def decode_pack(payload: bytes, issuer: str) -> list[Record]:
    """Return the resolved records of a pack.

    Args:
        payload: The bytes of a SenML pack in CBOR.
        issuer: The issuer of the statement that carries it.

    Raises:
        VerificationError: `cbor_*`, `pack_*`.
    """
    places = pack_scan.scan_pack(payload, issuer)
    if places is None:
        return _resolve(cbor.decode(payload), issuer)
    return [
        Record(quantity.name, quantity.unit, float(item[_BOOLEAN if quantity.boolean else _VALUE]), time_s)
        for quantity, time_s, item in zip(*places, cbor2.loads(payload), strict=True)
    ]


def decode_readings(payload: bytes, issuer: str) -> list[tuple[str, int, float]]:
    """Return quantity, time (µs) and value of each record of a pack: the place of its point, and what it is.

    Raises:
        VerificationError: As `decode_pack`.
    """
    places = pack_scan.scan_pack(payload, issuer)
    if places is None:
        return [
            (record.quantity, time_us(record), record.value)
            for record in _resolve(cbor.decode(payload), issuer)
        ]
    return [
        (quantity.name, round(time_s * 1e6), float(item[_BOOLEAN if quantity.boolean else _VALUE]))
        for quantity, time_s, item in zip(*places, cbor2.loads(payload), strict=True)
    ]


def _resolve(pack: object, issuer: str) -> list[Record]:
    """Return the resolved records of decoded CBOR (RFC 8428, 4.6); the first fault is the reason."""
    if not isinstance(pack, list) or not 0 < len(pack) <= RECORDS_MAX:
        raise VerificationError(Reason.PACK_SHAPE)
    records: list[Record] = []
    places: set[tuple[str, int]] = set()
    base: dict[int, object] = {_BASE_VERSION: VERSION_DEFAULT, _BASE_TIME: 0, _BASE_UNIT: None}
    for index, item in enumerate(pack):
        if not isinstance(item, dict) or not item.keys() <= _LABELS:
            raise VerificationError(Reason.PACK_LABEL, f"record {index}")
        _apply_base(base, item, index, issuer)
        quantity = _quantity(item, index)
        _check_unit(quantity, item, base, index)
        time_s = _time(item, base, index)
        record = Record(quantity.name, quantity.unit, _value(quantity, item, index), time_s)
        place = quantity.name, time_us(record)
        if place in places:
            raise VerificationError(Reason.PACK_DUPLICATE, f"record {index}")
        places.add(place)
        records.append(record)
    return records


def _apply_base(base: dict[int, object], item: dict[int, object], index: int, issuer: str) -> None:
    """Let a record's base fields take the place of earlier ones; the version and the name never change."""
    version = item.get(_BASE_VERSION, base[_BASE_VERSION])
    if type(version) is not int or version not in (VERSION_DEFAULT, VERSION_SECONDARY_UNITS):
        raise VerificationError(Reason.PACK_VERSION, f"record {index}")
    if index and version != base[_BASE_VERSION]:
        raise VerificationError(Reason.PACK_VERSION, f"record {index} has another one than record 0")
    if (not index or _BASE_NAME in item) and item.get(_BASE_NAME) != issuer + "_":
        raise VerificationError(Reason.PACK_BASE_NAME, f"record {index}")
    if _BASE_UNIT in item and not _is_unit(item[_BASE_UNIT]):
        raise VerificationError(Reason.PACK_UNIT, f"base unit of record {index}")
    base |= {label: item[label] for label in base.keys() & item.keys()}


def _is_unit(unit: object) -> bool:
    return isinstance(unit, str) and unit in _UNITS


def _quantity(item: dict[int, object], index: int) -> Quantity:
    name = item.get(_NAME)
    quantity = QUANTITIES.get(name) if isinstance(name, str) else None
    if quantity is None:
        raise VerificationError(Reason.PACK_QUANTITY, f"record {index}")
    return quantity


def _check_unit(quantity: Quantity, item: dict[int, object], base: dict[int, object], index: int) -> None:
    if item.get(_UNIT, base[_BASE_UNIT]) != quantity.unit:
        raise VerificationError(
            Reason.PACK_UNIT, f"record {index}: {quantity.name} is signed in {quantity.unit}"
        )
    if quantity.secondary and base[_BASE_VERSION] != VERSION_SECONDARY_UNITS:
        raise VerificationError(Reason.PACK_VERSION, f"record {index}: {quantity.unit} needs version 26")


def _value(quantity: Quantity, item: dict[int, object], index: int) -> float:
    value = item.get(_BOOLEAN if quantity.boolean else _VALUE)
    other = _VALUE if quantity.boolean else _BOOLEAN
    if other in item or not (type(value) is bool if quantity.boolean else type(value) in (int, float)):
        raise VerificationError(Reason.PACK_VALUE, f"record {index}")
    return float(cast("float", value))


def _time(item: dict[int, object], base: dict[int, object], index: int) -> float:
    """Return base time plus time, each read as a 64-bit float."""
    offset, base_time = item.get(_TIME, 0), base[_BASE_TIME]
    if type(offset) not in (int, float) or type(base_time) not in (int, float):
        raise VerificationError(Reason.PACK_TIME, f"record {index}")
    time_s = float(cast("float", base_time)) + float(cast("float", offset))
    if not TIME_MIN_S <= time_s < TIME_MAX_S:
        raise VerificationError(Reason.PACK_TIME, f"record {index}: {time_s}")
    return time_s


def _number(value: float) -> int | float:
    """Return an integer where its encoding is no longer; never for -0.0, which has a sign to keep."""
    if -(2.0**32) <= value < 2.0**32 and value.is_integer() and (value or str(value)[0] != "-"):
        return int(value)
    return value
