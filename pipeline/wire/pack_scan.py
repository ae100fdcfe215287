"""The fast way through a SenML pack: two regular expressions recognise the usual form, at C speed.

The usual form is what `encode_pack` writes, with floats of any width: base fields in the first record only;
records of name, unit where it is not the base unit, value, and time where it is not the base time. What the
expressions match is CBOR of the profile by construction; all else, valid or not, is left to the general way
in `senml`.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

import cbor2

from pipeline.wire import cbor
from pipeline.wire.quantities import QUANTITIES, Quantity

RECORDS_MAX = 256
_REMEMBERED_RECORDS_MAX = 32
TIME_MIN_S = 2**28  # Smaller ones are relative to now (RFC 8428, 4.5.3).
TIME_MAX_S = 2**33  # Year 2242: nanoseconds still fit a signed 64-bit integer.

# A number in its shortest form, or a finite float of any width.
_NUMBER = (
    rb"(?:\xfb(?![\x7f\xff][\xf0-\xff]).{8}|\xf9(?![\x7c-\x7f\xfc-\xff]).{2}|[\x00-\x17\x20-\x37]"
    rb"|[\x18\x38][\x18-\xff]|[\x19\x39](?!\x00).{2}|[\x1a\x3a](?!\x00\x00).{4}"
    rb"|\xfa(?![\x7f\xff][\x80-\xff]).{4}|[\x1b\x3b](?!\x00{4}).{8})"
)
_VALUE = rb"(?:" + _NUMBER + rb"|[\xf4\xf5])"
# Name, unit or none, and the value's label: 2, or 4 before a boolean. Looking it up checks names and lengths.
_KEY = rb"\x00[\x61-\x77][a-z0-9_]+(?:\x01[\x61-\x77][!-~]+)?(?:\x02(?![\xf4\xf5])|\x04(?=[\xf4\xf5]))"
_TIME = rb"(?:\x06(" + _NUMBER + rb"))?"
_FIRST = re.compile(
    rb"([\x81-\x97]|\x98[\x18-\xff]|\x99\x01\x00)([\xa3-\xa8])("
    + _KEY
    + rb")"
    + _VALUE
    + _TIME
    # Labels -1 to -4: base version 26, base name, base time, base unit.
    + rb"(\x20\x18\x1a)?\x21((?:[\x61-\x77]|\x78[\x18-\xff])[A-Za-z0-9:._-]+)"
    + rb"(?:\x22("
    + _NUMBER
    + rb"))?(?:\x23([\x61-\x77][!-~]+))?",
    re.DOTALL,
)
_NEXT = re.compile(rb"([\xa2-\xa4]" + _KEY + rb")" + _VALUE + _TIME + rb"|.", re.DOTALL)  # "." leaves no gap.


def _encode_text(text: str) -> bytes:
    raw = text.encode()
    return cbor.encode_head(3, len(raw)) + raw


_HEADS = {size: cbor.encode_head(4, size) for size in range(1, RECORDS_MAX + 1)}
_BASE_UNITS = frozenset({b"", *(_encode_text(quantity.unit) for quantity in QUANTITIES.values())})


class Places(NamedTuple):
    """What each record of a pack measures, and when (POSIX seconds)."""

    quantities: list[Quantity]
    times_s: list[float]


def scan_pack(payload: bytes, issuer: str) -> Places | None:
    """Return quantities and times of a valid pack in the usual form; None where that is not certain."""
    scanned = _scan(payload, issuer)
    if scanned is None:
        return None
    shape, base_time_s = scanned
    times_s = [base_time_s + offset_s for offset_s in shape.offsets_s]
    return Places(shape.quantities, times_s) if shape.apart or _are_distinct(shape, times_s) else None


def scan_span(payload: bytes, issuer: str) -> tuple[float, float] | None:
    """Return the earliest and the latest time of such a pack; None where `scan_pack` gives none, or more."""
    scanned = _scan(payload, issuer)
    if scanned is None or not scanned[0].apart:
        return None
    shape, base_time_s = scanned
    return base_time_s + shape.least_s, base_time_s + shape.most_s


def _scan(payload: bytes, issuer: str) -> "tuple[_Shape, float] | None":
    """Return a pack's shape and base time, its times within the range of times."""
    first = _FIRST.match(payload) if len(payload) <= cbor.STATEMENT_SIZE_MAX else None
    if first is None:
        return None
    head, map_head, key, time, version, base_name, base_time, base_unit = first.groups(b"")
    rest = _NEXT.findall(payload, first.end())
    size = 1 + len(rest)
    if head != _HEADS.get(size) or base_name != _base_name(issuer) or base_unit not in _BASE_UNITS:
        return None
    first_record = _FirstRecord(map_head, key, time, version, bool(base_time), base_unit)
    find_shape = _shape_of if size <= _REMEMBERED_RECORDS_MAX else _shape_of.__wrapped__
    shape = find_shape(first_record, tuple(rest))
    base_time_s = _number(base_time) if base_time else 0.0
    if shape is None or base_time_s + shape.least_s < TIME_MIN_S or base_time_s + shape.most_s >= TIME_MAX_S:
        return None
    return shape, base_time_s


class _FirstRecord(NamedTuple):
    """What the first record says, but for its value, the issuer and the moment."""

    map_head: bytes
    key: bytes
    time: bytes
    version: bytes
    has_base_time: bool
    base_unit: bytes


class _Shape(NamedTuple):
    """What packs of one device have in common: quantities, and times after the base time.

    `apart`: no quantity stands twice at one time, whatever the base time is.
    """

    quantities: list[Quantity]
    offsets_s: list[float]
    least_s: float
    most_s: float
    apart: bool


@lru_cache(maxsize=1024)  # A fleet's packs have few shapes; about 20 MB at the very most.
def _shape_of(first: _FirstRecord, rest: tuple[tuple[bytes, bytes], ...]) -> _Shape | None:
    """Return the shape of records that are admitted whatever their base time; None where that decides.

    `rest` holds key and time of all records but the first.
    """
    # Without its base fields the first record looks like any other.
    fields = first.map_head[0] - 1 - bool(first.version) - first.has_base_time - bool(first.base_unit)
    keys = [bytes((fields,)) + first.key, *(key for key, _ in rest)]
    times = [first.time, *(time for _, time in rest)]
    admitted = _admitted_keys(first.version, first.base_unit)
    try:
        quantities = [
            (admitted.timed if time else admitted.plain)[key] for key, time in zip(keys, times, strict=True)
        ]
    except KeyError:
        return None
    offsets_s = [_number(time) if time else 0.0 for time in times]
    moments = sorted(set(offsets_s))
    # A millisecond apart they are two moments whatever is added to them (64-bit floats below 2^33).
    apart = all(later - earlier >= 1e-3 for earlier, later in pairwise(moments))
    least_s, most_s = moments[0], moments[-1]
    distinct = len(set(zip([quantity.name for quantity in quantities], offsets_s, strict=True))) == len(keys)
    if not distinct or abs(least_s) > TIME_MAX_S or most_s > TIME_MAX_S:
        return None
    return _Shape(quantities, offsets_s, least_s, most_s, apart)


def _are_distinct(shape: _Shape, times_s: list[float]) -> bool:
    """Tell whether no quantity stands twice at one microsecond."""
    names = [quantity.name for quantity in shape.quantities]
    places = set(zip(names, [round(time_s * 1e6) for time_s in times_s], strict=True))
    return len(places) == len(names)


class _Admitted(NamedTuple):
    """What a record may begin with, up to its value: without a time of its own, and with one."""

    plain: Mapping[bytes, Quantity]
    timed: Mapping[bytes, Quantity]


@cache  # Its arguments are few: two versions, and the units of the table or none.
def _admitted_keys(version: bytes, base_unit: bytes) -> _Admitted:
    """Return what records may begin with under a base version (none is 10) and a base unit."""
    plain: dict[bytes, Quantity] = {}
    timed: dict[bytes, Quantity] = {}
    for quantity in QUANTITIES.values():
        if quantity.secondary and not version:
            continue
        unit = _encode_text(quantity.unit)
        own_unit = b"" if unit == base_unit else b"\x01" + unit
        label = b"\x04" if quantity.boolean else b"\x02"
        key = b"\x00" + _encode_text(quantity.name) + own_unit + label
        fields = 3 if own_unit else 2
        plain[cbor.encode_head(5, fields) + key] = quantity
        timed[cbor.encode_head(5, fields + 1) + key] = quantity
    return _Admitted(plain, timed)


@lru_cache(maxsize=16384)
def _base_name(issuer: str) -> bytes:
    return _encode_text(issuer + "_")


def _number(raw: bytes) -> float:
    """Return a number that the expressions have matched as a 64-bit float."""
    return float(cbor2.loads(raw))
