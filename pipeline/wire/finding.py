"""The finding: an auditor's statement that a stored point does not say what was signed.

It says which point, what was signed, what is stored instead, when that was noticed and under which
checkpoint, and which credentials could have written it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeGuard, cast

from pipeline.wire import cbor
from pipeline.wire.errors import VerificationError
from pipeline.wire.names import is_label
from pipeline.wire.reasons import BY_CODE, Reason

POINT_SIGNED = frozenset({Reason.POINT_ALTERED, Reason.POINT_MISSING})  # Something was signed there.
POINT_STORED = frozenset({Reason.POINT_ALTERED, Reason.POINT_UNEXPECTED})  # Something is stored there.
REASONS = POINT_SIGNED | POINT_STORED
CREDENTIALS_MAX = 32
COUNTER_MAX = 2**53 - 1
HASH_SIZE = 32
LABEL_SIZE_MAX = 128  # Bytes.

_REASON, _PLACE, _SIGNED, _STORED, _REF, _NOTICED, _UNNOTICED, _CHECKPOINT, _CREDENTIALS = range(1, 10)
_STORED_TEXT = 10
_OPTIONAL = frozenset({_SIGNED, _STORED, _REF, _UNNOTICED, _STORED_TEXT})


class FoundPlace(NamedTuple):
    """Where a point stands, in names that an intruder may have chosen; `time_us` is POSIX microseconds."""

    device: str
    subject: str
    quantity: str
    time_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A stored point that does not say what was signed.

    Attributes:
        reason: POINT_ALTERED, POINT_MISSING or POINT_UNEXPECTED.
        place: Which point.
        signed: What was signed for it; None where nothing was.
        stored: What the store says; text where that is no finite number, None where it says nothing.
        ref: The log entry and leaf that the record is in, or that the stored point claims; None where it
            claims none that could be.
        noticed_ms: When it was noticed, POSIX milliseconds.
        unnoticed_ms: When the store had been looked through and this was not so yet; None at first.
        size: Size of the log under the checkpoint that the store was compared under.
        root: Its root, 32 bytes.
        credentials: Who could have written, as far as the auditor can know: names of a store's own.
    """

    reason: Reason
    place: FoundPlace
    signed: float | None
    stored: float | str | None
    ref: tuple[int, int] | None
    noticed_ms: int
    unnoticed_ms: int | None
    size: int
    root: bytes
    credentials: tuple[str, ...]


def encode_finding(finding: Finding) -> bytes:
    """Return the payload of a finding's statement.

    Raises:
        VerificationError: FINDING_SHAPE: nobody would take it for one.
    """
    fields: dict[int, object] = {
        _REASON: finding.reason.value,
        _PLACE: list(finding.place),
        _NOTICED: finding.noticed_ms,
        _CHECKPOINT: [finding.size, finding.root],
        _CREDENTIALS: list(finding.credentials),
    }
    optional = {
        _SIGNED: finding.signed,
        _STORED_TEXT if isinstance(finding.stored, str) else _STORED: finding.stored,
        _REF: None if finding.ref is None else list(finding.ref),
        _UNNOTICED: finding.unnoticed_ms,
    }
    fields |= {label: value for label, value in optional.items() if value is not None}
    _parse(fields)
    return cbor.encode(fields)


def decode_finding(payload: bytes) -> Finding:
    """Return the finding of a statement's payload.

    Raises:
        VerificationError: `cbor_*`, `finding_shape`.
    """
    return _parse(cbor.decode(payload))


def as_label(text: str) -> str:
    """Return text as a finding can carry it: what an intruder named something may be no label."""
    printable = "".join(character if is_label(character) else "?" for character in text)
    while len(printable.encode()) > LABEL_SIZE_MAX:
        printable = printable[:-1]
    return printable or "?"


def _parse(fields: object) -> Finding:
    match fields:
        case {
            1: str() as code,
            2: [str() as device, str() as subject, str() as quantity, int() as time_us],
            6: int() as noticed_ms,
            8: [int() as size, bytes() as root],
            9: list() as credentials,
            **rest,
        } if (
            code in REASONS
            and rest.keys() <= _OPTIONAL
            and _are_enough(code, rest.keys())
            and all(map(is_label, (device, subject, quantity)))
            and abs(time_us) <= COUNTER_MAX
            and _is_counter(noticed_ms)
            and _is_counter(size)
            and len(root) == HASH_SIZE
            and 0 < len(credentials) <= CREDENTIALS_MAX
            and all(map(is_label, credentials))
        ):
            return Finding(
                reason=BY_CODE[code],
                place=FoundPlace(device, subject, quantity, time_us),
                signed=_parse_number(rest[_SIGNED]) if _SIGNED in rest else None,
                stored=_parse_stored(rest),
                ref=_parse_ref(rest[_REF]) if _REF in rest else None,
                noticed_ms=noticed_ms,
                unnoticed_ms=_parse_counter(rest[_UNNOTICED]) if _UNNOTICED in rest else None,
                size=size,
                root=root,
                credentials=tuple(credentials),
            )
    raise VerificationError(Reason.FINDING_SHAPE)


def _are_enough(code: str, labels: Collection[object]) -> bool:
    """Tell whether a finding of this kind has those of the optional fields that it must have."""
    stored = (_STORED in labels) + (_STORED_TEXT in labels)
    signed = _SIGNED in labels and _REF in labels
    return (code not in POINT_SIGNED or signed) and (
        stored == 1 or (stored == 0 and code not in POINT_STORED)
    )


def _is_counter(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= COUNTER_MAX


def _parse_counter(value: object) -> int:
    if not _is_counter(value):
        raise VerificationError(Reason.FINDING_SHAPE, "a counter")
    return value


def _parse_number(value: object) -> float:
    if type(value) not in (int, float):
        raise VerificationError(Reason.FINDING_SHAPE, "a value")
    return float(cast("float", value))


def _parse_stored(fields: Mapping[object, object]) -> float | str | None:
    text = fields.get(_STORED_TEXT)
    if text is None:
        return _parse_number(fields[_STORED]) if _STORED in fields else None
    if not is_label(text):
        raise VerificationError(Reason.FINDING_SHAPE, "a stored text")
    return cast("str", text)


def _parse_ref(ref: object) -> tuple[int, int]:
    match ref:
        case [entry, leaf] if _is_counter(entry) and _is_counter(leaf):
            return entry, leaf
    raise VerificationError(Reason.FINDING_SHAPE, "a leaf")
