"""The enrolment: what an authority states about a signer and its key. A CBOR map with integer keys.

A signer is a sensor, or has a role (`pipeline.wire.roles`). What says where and how well something measures
stands in a sensor's enrolment only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal, TypeGuard, cast

from pipeline.wire import cbor
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import SIGNATURE_SIZE, check_public_key
from pipeline.wire.names import is_issuer, is_label
from pipeline.wire.quantities import KINDS
from pipeline.wire.reasons import Reason
from pipeline.wire.roles import ROLES

ORIGINS = ("device", "imported")
TIME_MAX_S = 2**33
HEIGHT_MAX_M = 10_000

_ISSUER, _PUBLIC_KEY, _DEPARTMENT, _CONTROLLER, _DATA_CLASS, _KIND, _SUBJECT, _AREA = range(1, 9)
_POSITION, _BEAM_END, _ACCURACY, _CALIBRATED_UNTIL, _ORIGIN, _VALID_FROM, _POSSESSION = range(9, 16)
_SENSOR_ONLY = frozenset({_POSITION, _ACCURACY, _CALIBRATED_UNTIL})
_Position = tuple[float, float, float] | tuple[None, None, None]
_NOWHERE = (None, None, None)
_OF_ROLE = frozenset(range(1, 16)) - _SENSOR_ONLY - {_BEAM_END}


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A signer and its key. Positions in WGS 84 degrees and metres, times in POSIX seconds.

    `accuracy` maps quantities to half-widths in their signed units. A sensor that measures along a line has a
    beam end: all three of its coordinates. A role has no position, accuracy and calibration. `possession` is
    the key's own signature (`pipeline.wire.possession`), which is not checked here.
    """

    issuer: str
    public_key: bytes
    department: str
    controller: str
    data_class: str
    kind: str
    subject: str
    area: str
    longitude: float | None = None
    latitude: float | None = None
    height_m: float | None = None
    longitude2: float | None = None
    latitude2: float | None = None
    height2_m: float | None = None
    accuracy: Mapping[str, float] | None = None
    calibrated_until_s: int | None = None
    origin: Literal["device", "imported"] = "device"
    valid_from_s: int
    possession: bytes


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
        _ORIGIN: enrolment.origin,
        _VALID_FROM: enrolment.valid_from_s,
        _POSSESSION: enrolment.possession,
    }
    position = [enrolment.longitude, enrolment.latitude, enrolment.height_m]
    beam_end = [enrolment.longitude2, enrolment.latitude2, enrolment.height2_m]
    fields |= {
        label: coordinates
        for label, coordinates in ((_POSITION, position), (_BEAM_END, beam_end))
        if any(coordinate is not None for coordinate in coordinates)
    }
    if enrolment.accuracy is not None:
        fields[_ACCURACY] = dict(enrolment.accuracy)
    if enrolment.calibrated_until_s is not None:
        fields[_CALIBRATED_UNTIL] = enrolment.calibrated_until_s
    _parse(fields)
    return cbor.encode(fields)


def decode_enrolment(payload: bytes) -> Enrolment:
    """Return the enrolment of a statement's payload.

    Raises:
        VerificationError: `cbor_*`, `enrolment_shape`, `key_invalid`.
    """
    return _parse(cbor.decode(payload))


def _parse(fields: object) -> Enrolment:
    _require(isinstance(fields, dict), "not a map")
    fields = cast("dict[int, object]", fields)
    kind = fields.get(_KIND)
    _require(isinstance(kind, str) and (kind in KINDS or kind in ROLES), "neither a sensor kind nor a role")
    expected = _OF_ROLE if kind in ROLES else _OF_ROLE | _SENSOR_ONLY | (fields.keys() & {_BEAM_END})
    _require(fields.keys() == expected, "the fields")
    _require(is_issuer(fields[_ISSUER]), "the issuer")
    for label, name in (
        (_DEPARTMENT, "department"),
        (_CONTROLLER, "controller"),
        (_DATA_CLASS, "data class"),
        (_SUBJECT, "subject"),
        (_AREA, "area"),
    ):
        _require(is_label(fields[label]), f"the {name}")
    _require(fields[_ORIGIN] in ORIGINS, "the origin")
    _require(_is_time(fields[_VALID_FROM]), "the start of validity")
    possession, public_key = fields[_POSSESSION], fields[_PUBLIC_KEY]
    _require(isinstance(possession, bytes) and len(possession) == SIGNATURE_SIZE, "the possession")
    position, beam_end, accuracy = _parse_sensor(fields, cast("str", kind))
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
        longitude=position[0],
        latitude=position[1],
        height_m=position[2],
        longitude2=beam_end[0],
        latitude2=beam_end[1],
        height2_m=beam_end[2],
        accuracy=accuracy,
        calibrated_until_s=cast("int | None", fields.get(_CALIBRATED_UNTIL)),
        origin=cast("Literal['device', 'imported']", fields[_ORIGIN]),
        valid_from_s=cast("int", fields[_VALID_FROM]),
        possession=cast("bytes", possession),
    )


def _parse_sensor(
    fields: Mapping[int, object], kind: str
) -> tuple[_Position, _Position, dict[str, float] | None]:
    """Return position, beam end and accuracy: of a role none."""
    if kind in ROLES:
        return _NOWHERE, _NOWHERE, None
    _require(_is_time(fields[_CALIBRATED_UNTIL]), "the calibration's end")
    beam_end = _parse_position(fields[_BEAM_END]) if _BEAM_END in fields else _NOWHERE
    return _parse_position(fields[_POSITION]), beam_end, _parse_accuracy(fields[_ACCURACY], kind)


def _is_time(value: object) -> bool:
    return type(value) is int and 0 <= value < TIME_MAX_S


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
