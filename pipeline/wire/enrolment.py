"""The enrolment: what an authority states about a sensor and its key. A CBOR map with integer keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal, TypeGuard, cast

from pipeline.wire import cbor
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import check_public_key
from pipeline.wire.names import is_issuer, is_label
from pipeline.wire.quantities import KINDS
from pipeline.wire.reasons import Reason

ORIGINS = ("device", "imported")
TIME_MAX_S = 2**33
HEIGHT_MAX_M = 10_000

_ISSUER, _PUBLIC_KEY, _DEPARTMENT, _CONTROLLER, _DATA_CLASS, _KIND, _SUBJECT, _AREA = range(1, 9)
_POSITION, _BEAM_END, _ACCURACY, _CALIBRATED_UNTIL, _ORIGIN, _VALID_FROM = range(9, 15)
_REQUIRED = frozenset(range(1, 15)) - {_BEAM_END}


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A sensor and its key. Positions in WGS 84 degrees and metres, times in POSIX seconds.

    `accuracy` maps quantities to half-widths in their signed units. A sensor that measures along a line has a
    beam end: all three of its coordinates.
    """

    issuer: str
    public_key: bytes
    department: str
    controller: str
    data_class: str
    kind: str
    subject: str
    area: str
    longitude: float
    latitude: float
    height_m: float
    longitude2: float | None = None
    latitude2: float | None = None
    height2_m: float | None = None
    accuracy: Mapping[str, float]
    calibrated_until_s: int
    origin: Literal["device", "imported"] = "device"
    valid_from_s: int


def encode_enrolment(enrolment: Enrolment) -> bytes:
    """Return the payload of an enrolment's statement.

    Raises:
        VerificationError: `enrolment_shape`, `key_invalid`: nobody would accept it.
    """
    fields: dict[int, object] = {
        _ISSUER: enrolment.issuer,
        _PUBLIC_KEY: enrolment.public_key,
        _DEPARTMENT: enrolment.department,
        _CONTROLLER: enrolment.controller,
        _DATA_CLASS: enrolment.data_class,
        _KIND: enrolment.kind,
        _SUBJECT: enrolment.subject,
        _AREA: enrolment.area,
        _POSITION: [enrolment.longitude, enrolment.latitude, enrolment.height_m],
        _ACCURACY: dict(enrolment.accuracy),
        _CALIBRATED_UNTIL: enrolment.calibrated_until_s,
        _ORIGIN: enrolment.origin,
        _VALID_FROM: enrolment.valid_from_s,
    }
    beam_end = [enrolment.longitude2, enrolment.latitude2, enrolment.height2_m]
    if any(coordinate is not None for coordinate in beam_end):
        fields[_BEAM_END] = beam_end
    _parse(fields)
    return cbor.encode(fields)


def decode_enrolment(payload: bytes) -> Enrolment:
    """Return the enrolment of a statement's payload.

    Raises:
        VerificationError: `cbor_*`, `enrolment_shape`, `key_invalid`.
    """
    return _parse(cbor.decode(payload))


def _parse(fields: object) -> Enrolment:
    _require(isinstance(fields, dict) and fields.keys() - {_BEAM_END} == _REQUIRED, "the fields")
    fields = cast("dict[int, object]", fields)
    _require(is_issuer(fields[_ISSUER]), "the issuer")
    for label, name in (
        (_DEPARTMENT, "department"),
        (_CONTROLLER, "controller"),
        (_DATA_CLASS, "data class"),
        (_SUBJECT, "subject"),
        (_AREA, "area"),
    ):
        _require(is_label(fields[label]), f"the {name}")
    kind = fields[_KIND]
    _require(isinstance(kind, str) and kind in KINDS, "the sensor kind")
    _require(fields[_ORIGIN] in ORIGINS, "the origin")
    for label, name in ((_CALIBRATED_UNTIL, "calibration's end"), (_VALID_FROM, "start of validity")):
        time_s = fields[label]
        _require(type(time_s) is int and 0 <= time_s < TIME_MAX_S, f"the {name}")
    longitude, latitude, height_m = _parse_position(fields[_POSITION])
    beam_end = _parse_position(fields[_BEAM_END]) if _BEAM_END in fields else (None, None, None)
    accuracy = _parse_accuracy(fields[_ACCURACY], cast("str", kind))
    public_key = fields[_PUBLIC_KEY]
    _require(isinstance(public_key, bytes), "the public key")
    check_public_key(cast("bytes", public_key))
    return Enrolment(
        issuer=cast("str", fields[_ISSUER]),
        public_key=cast("bytes", public_key),
        department=cast("str", fields[_DEPARTMENT]),
        controller=cast("str", fields[_CONTROLLER]),
        data_class=cast("str", fields[_DATA_CLASS]),
        kind=cast("str", kind),
        subject=cast("str", fields[_SUBJECT]),
        area=cast("str", fields[_AREA]),
        longitude=longitude,
        latitude=latitude,
        height_m=height_m,
        longitude2=beam_end[0],
        latitude2=beam_end[1],
        height2_m=beam_end[2],
        accuracy=accuracy,
        calibrated_until_s=cast("int", fields[_CALIBRATED_UNTIL]),
        origin=cast("Literal['device', 'imported']", fields[_ORIGIN]),
        valid_from_s=cast("int", fields[_VALID_FROM]),
    )


def _require(holds: bool, what: str) -> None:  # noqa: FBT001
    if not holds:
        raise VerificationError(Reason.ENROLMENT_SHAPE, what)


def _is_number(value: object) -> TypeGuard[float]:
    return type(value) in (int, float) and isfinite(cast("float", value))


def _parse_position(position: object) -> tuple[float, float, float]:
    match position:
        case [longitude, latitude, height_m] if (
            _is_number(longitude)
            and _is_number(latitude)
            and _is_number(height_m)
            and abs(longitude) <= 180
            and abs(latitude) <= 90
            and abs(height_m) <= HEIGHT_MAX_M
        ):
            return float(longitude), float(latitude), float(height_m)
    raise VerificationError(Reason.ENROLMENT_SHAPE, "a position")


def _parse_accuracy(accuracy: object, kind: str) -> dict[str, float]:
    _require(isinstance(accuracy, dict) and accuracy.keys() <= set(KINDS[kind]), "a quantity in the accuracy")
    accuracy = cast("dict[str, float]", accuracy)
    _require(all(_is_number(value) and value >= 0 for value in accuracy.values()), "an accuracy")
    return {quantity: float(value) for quantity, value in accuracy.items()}
