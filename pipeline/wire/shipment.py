"""What is stated about a shipment: a kind, and its fields; each statement names the one before it.

`after` is the leaf hash of the shipment's statement before, so that their order does not rest on clocks or on
arrival; of a verdict, which changes nothing, that of the last one it has taken into account. Times are POSIX
microseconds, as the signer says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from math import isfinite
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, cast

from pipeline.wire import cbor
from pipeline.wire.errors import VerificationError
from pipeline.wire.names import is_device, is_issuer, is_label
from pipeline.wire.reasons import Reason

HASH_SIZE = 32
TIME_MAX_US = 2**33 * 1_000_000  # As of readings.
COUNTER_MAX = 2**53 - 1
PARTIES_MAX = 32
CONTENTS_MAX = 128
STOPS_MAX = 64
LOGGERS_MAX = 32
FINDINGS_MAX = 64
PROFILE_SIZE_MAX = 12_288  # Bytes: a statement has room for them.
GTIN_SIZE, SSCC_SIZE, GLN_SIZE = 14, 18, 13
PART_SIZE_MAX = 20  # Characters of a lot or a serial.


class Content(NamedTuple):
    """Goods by GTIN (14 digits), with lot and serial where known, or a logistic unit by SSCC (18 digits)."""

    gtin: str = ""
    lot: str = ""
    serial: str = ""
    sscc: str = ""


class Stop(NamedTuple):
    """A place: its name, WGS 84 degrees, and its GLN (13 digits) where it has one."""

    name: str
    longitude: float
    latitude: float
    gln: str = ""


class RuleVerdict(NamedTuple):
    """What one rule of the profile came to."""

    rule: str
    severity: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """The shipper says what goes from where to whom, who may carry it, and which loggers go along."""

    time_us: int
    consignee: str
    carriers: tuple[str, ...]
    contents: tuple[Content, ...]
    route: tuple[Stop, ...]
    loggers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The shipper commits a profile by the SHA-256 of its file; the file may come along."""

    after: bytes
    time_us: int
    profile_hash: bytes
    profile: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The goods are loaded: readings count from this time."""

    after: bytes
    time_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """Half a handover: who holds the goods offers them to somebody, at a place."""

    after: bytes
    time_us: int
    to: str
    place: Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The other half: whom they were offered to holds them from this time."""

    after: bytes
    time_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferRefused:
    """Whom they were offered to does not take them, and why."""

    after: bytes
    time_us: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggersChanged:
    """Loggers that join and leave; the first that joins goes on for the first that leaves, and so on."""

    after: bytes
    time_us: int
    joins: tuple[str, ...]
    leaves: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The consignee has them: readings count up to this time."""

    after: bytes
    time_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The consignee takes the goods for good, on the grounds of a verdict, by its leaf hash."""

    after: bytes
    time_us: int
    rests_on: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The consignee does not take the goods, on the grounds of a verdict, and why."""

    after: bytes
    time_us: int
    rests_on: bytes
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict, which names all that went in, so that anyone can judge again and compare.

    Attributes:
        after: The shipment's last statement that was taken into account.
        time_us: When it was judged.
        limits: Leaf hash of the statement that committed the profile.
        profile_hash: SHA-256 of the profile's file.
        from_us: Readings count from here,
        to_us: up to here.
        size: Of the log under the checkpoint: what came later did not go in.
        root: Its root.
        inputs: Merkle root (RFC 9162) over the leaf hashes of all statements that went in, in log order.
        statements: How many they are.
        rules: The version of the rules of judging.
        verdict: `in_limits`, `breach` or `undetermined`.
        findings: What each rule came to.
        result: SHA-256 of the whole result.
    """

    after: bytes
    time_us: int
    limits: bytes
    profile_hash: bytes
    from_us: int
    to_us: int
    size: int
    root: bytes
    inputs: bytes
    statements: int
    rules: int
    verdict: str
    findings: tuple[RuleVerdict, ...]
    result: bytes


ShipmentStatement: TypeAlias = (
    Created
    | Limits
    | Loaded
    | Offered
    | Accepted
    | OfferRefused
    | LoggersChanged
    | Delivered
    | Released
    | Rejected
    | Judged
)

KINDS: Mapping[str, type[ShipmentStatement]] = MappingProxyType(
    {
        "created": Created,
        "limits": Limits,
        "loaded": Loaded,
        "offered": Offered,
        "accepted": Accepted,
        "refused": OfferRefused,
        "loggers": LoggersChanged,
        "delivered": Delivered,
        "released": Released,
        "rejected": Rejected,
        "verdict": Judged,
    }
)
_KIND_OF = {form: kind for kind, form in KINDS.items()}
VERDICTS = ("in_limits", "breach", "undetermined")
SEVERITIES = ("notice", "major", "critical")

# What each role may state.
_MOVES = frozenset({"offered", "accepted", "refused", "loggers", "verdict"})
ROLE_KINDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "shipper": _MOVES | {"created", "limits", "loaded"},
        "carrier": _MOVES,
        "consignee": _MOVES | {"delivered", "released", "rejected"},
    }
)


def kind_of(stated: ShipmentStatement) -> str:
    """Return what kind of statement this is, as it stands in its payload."""
    return _KIND_OF[type(stated)]


def encode_shipment(stated: ShipmentStatement) -> bytes:
    """Return the payload of a shipment's statement.

    Raises:
        VerificationError: SHIPMENT_SHAPE, OVERSIZE: nobody would take it for one.
    """
    items: dict[object, object] = {1: kind_of(stated)}
    for field in fields(stated):
        value = getattr(stated, field.name)
        if value is not None:
            items[_FIELDS[field.name].label] = _plain(value)
    payload = cbor.encode(items)
    decode_shipment(payload)
    return payload


def decode_shipment(payload: bytes) -> ShipmentStatement:
    """Return what a statement's payload says of a shipment.

    Raises:
        VerificationError: `cbor_*`, `shipment_shape`.
    """
    items = cbor.decode(payload)
    if not isinstance(items, dict) or not isinstance(items.get(1), str) or items[1] not in KINDS:
        raise VerificationError(Reason.SHIPMENT_SHAPE, "no kind of statement about a shipment")
    form = KINDS[items[1]]
    values: dict[str, Any] = {}
    for field in fields(form):
        label, read = _FIELDS[field.name]
        if label in items:
            try:
                values[field.name] = read(items[label])
            except (TypeError, ValueError):
                raise VerificationError(Reason.SHIPMENT_SHAPE, f"{items[1]}: {field.name}") from None
        elif field.default is MISSING:
            raise VerificationError(Reason.SHIPMENT_SHAPE, f"{items[1]} without {field.name}")
    if len(items) != len(values) + 1:
        raise VerificationError(Reason.SHIPMENT_SHAPE, f"{items[1]} with a field too many")
    return form(**values)


def check_shipment(payload: bytes, role: str) -> None:
    """Check a statement about a shipment, and that this role may state such.

    Raises:
        VerificationError: `cbor_*`, `shipment_shape`, `shipment_role`.
    """
    kind = kind_of(decode_shipment(payload))
    if kind not in ROLE_KINDS[role]:
        raise VerificationError(Reason.SHIPMENT_ROLE, f"{kind} by a {role}")


# Fields: readers raise ValueError or TypeError for what is none.


def _plain(value: object) -> object:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _require(condition: object) -> None:
    if not condition:
        raise ValueError


def _time(value: object) -> int:
    _require(type(value) is int and 0 <= value < TIME_MAX_US)
    return cast("int", value)


def _counter(value: object) -> int:
    _require(type(value) is int and 0 <= value <= COUNTER_MAX)
    return cast("int", value)


def _hash(value: object) -> bytes:
    _require(isinstance(value, bytes) and len(value) == HASH_SIZE)
    return cast("bytes", value)


def _text(value: object) -> str:
    _require(is_label(value))
    return cast("str", value)


def _party(value: object) -> str:
    _require(is_issuer(value))
    return cast("str", value)


def _logger(value: object) -> str:
    _require(is_device(value))
    return cast("str", value)


def _profile(value: object) -> bytes:
    _require(isinstance(value, bytes) and 0 < len(value) <= PROFILE_SIZE_MAX)
    return cast("bytes", value)


def _digits(value: object, size: int) -> str:
    _require(isinstance(value, str) and len(value) == size and value.isascii() and value.isdigit())
    return cast("str", value)


def _part(value: object) -> str:
    _require(value == "" or (is_label(value) and len(cast("str", value)) <= PART_SIZE_MAX))
    return cast("str", value)


def _content(value: object) -> Content:
    match value:
        case [gtin, "" as lot, "" as serial, sscc] if gtin == "":
            return Content(gtin, lot, serial, _digits(sscc, SSCC_SIZE))
        case [gtin, lot, serial, "" as sscc]:
            return Content(_digits(gtin, GTIN_SIZE), _part(lot), _part(serial), sscc)
    raise ValueError


def _degrees(value: object, most: float) -> float:
    number = float(cast("float", value)) if type(value) in (int, float) else most + 1
    _require(isfinite(number) and abs(number) <= most)
    return number


def _stop(value: object) -> Stop:
    match value:
        case [name, longitude, latitude, gln]:
            place = _degrees(longitude, 180.0), _degrees(latitude, 90.0)
            return Stop(_text(name), *place, "" if gln == "" else _digits(gln, GLN_SIZE))
    raise ValueError


def _finding(value: object) -> RuleVerdict:
    match value:
        case [rule, severity, verdict] if severity in SEVERITIES and verdict in VERDICTS:
            return RuleVerdict(_text(rule), severity, verdict)
    raise ValueError


def _verdict(value: object) -> str:
    _require(value in VERDICTS)
    return cast("str", value)


def _list(
    read: Callable[[object], Any], least: int, most: int, *, once: bool = False
) -> Callable[[object], tuple[Any, ...]]:
    def read_list(value: object) -> tuple[Any, ...]:
        _require(isinstance(value, list) and least <= len(value) <= most)
        items = tuple(map(read, cast("Sequence[object]", value)))
        _require(not once or len(set(items)) == len(items))
        return items

    return read_list


class _Field(NamedTuple):
    label: int
    read: Callable[[object], Any]


_FIELDS: Mapping[str, _Field] = MappingProxyType(
    {
        "after": _Field(2, _hash),
        "time_us": _Field(3, _time),
        "consignee": _Field(4, _party),
        "carriers": _Field(5, _list(_party, 0, PARTIES_MAX, once=True)),
        "contents": _Field(6, _list(_content, 1, CONTENTS_MAX, once=True)),
        "route": _Field(7, _list(_stop, 2, STOPS_MAX)),
        "loggers": _Field(8, _list(_logger, 1, LOGGERS_MAX, once=True)),
        "profile_hash": _Field(9, _hash),
        "profile": _Field(10, _profile),
        "to": _Field(11, _party),
        "place": _Field(12, _stop),
        "why": _Field(13, _text),
        "joins": _Field(14, _list(_logger, 0, LOGGERS_MAX, once=True)),
        "leaves": _Field(15, _list(_logger, 0, LOGGERS_MAX, once=True)),
        "rests_on": _Field(16, _hash),
        "limits": _Field(17, _hash),
        "from_us": _Field(18, _time),
        "to_us": _Field(19, _time),
        "size": _Field(20, _counter),
        "root": _Field(21, _hash),
        "inputs": _Field(22, _hash),
        "statements": _Field(23, _counter),
        "rules": _Field(24, _counter),
        "verdict": _Field(25, _verdict),
        "findings": _Field(26, _list(_finding, 0, FINDINGS_MAX)),
        "result": _Field(27, _hash),
    }
)
