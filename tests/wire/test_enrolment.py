"""Enrolments: every field, its bounds, and that nothing else is in them."""

import dataclasses
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.wire.enrolment import Enrolment, decode_enrolment, encode_enrolment
from pipeline.wire.errors import VerificationError
from pipeline.wire.quantities import KINDS
from pipeline.wire.reasons import Reason
from pipeline.wire.roles import ROLES
from tests.wire import build, reference

GOOD: dict[object, object] = {
    1: "urn:dev:ops:32473-air-7",
    2: build.PUBLIC_KEY,
    3: "生态环境局",
    4: "city.example",
    5: "public",
    6: "air",
    7: "station-7",
    8: "north",
    9: [121.4737, 31.2304, 3.5],
    10: [121.4747, 31.2304, 12],
    11: {"pm2_5": 1.5, "o3": 2},
    12: 1800000000,
    13: "device",
    14: 1700000000,
    15: bytes(range(64)),
}
ENROLMENT = Enrolment(
    issuer="urn:dev:ops:32473-air-7",
    public_key=build.PUBLIC_KEY,
    department="生态环境局",
    controller="city.example",
    data_class="public",
    kind="air",
    subject="station-7",
    area="north",
    longitude=121.4737,
    latitude=31.2304,
    height_m=3.5,
    longitude2=121.4747,
    latitude2=31.2304,
    height2_m=12.0,
    accuracy={"pm2_5": 1.5, "o3": 2.0},
    calibrated_until_s=1800000000,
    origin="device",
    valid_from_s=1700000000,
    possession=bytes(range(64)),
)


def refusal(payload: bytes) -> Reason | None:
    """Why an enrolment is refused, or None."""
    try:
        decode_enrolment(payload)
    except VerificationError as refused:
        return refused.reason
    return None


def test_an_enrolment_is_this_map() -> None:
    """The keys of every field, and both directions."""
    assert decode_enrolment(reference.dumps(GOOD)) == ENROLMENT
    assert encode_enrolment(ENROLMENT) == reference.dumps(
        {**GOOD, 10: [121.4747, 31.2304, 12.0], 11: {"pm2_5": 1.5, "o3": 2.0}}
    )


def test_a_sensor_at_a_point_has_no_beam_end() -> None:
    """Without field 10 there is no beam; all of its coordinates or none."""
    point = replace(ENROLMENT, longitude2=None, latitude2=None, height2_m=None)
    payload = encode_enrolment(point)
    assert 10 not in {key.argument for key in reference.parse_item(payload, 0)[0].items[::2]}
    assert decode_enrolment(payload) == point
    for part in ("longitude2", "latitude2", "height2_m"):
        changes: dict[str, Any] = {part: None}
        with pytest.raises(VerificationError) as refused:
            encode_enrolment(replace(ENROLMENT, **changes))
        assert refused.value.reason is Reason.ENROLMENT_SHAPE


LEFT_OUT = object()
CHANGES: list[tuple[object, object, Reason | None]] = [
    *[(label, LEFT_OUT, Reason.ENROLMENT_SHAPE) for label in GOOD if label != 10],
    (10, LEFT_OUT, None),
    (0, 0, Reason.ENROLMENT_SHAPE),
    (16, 0, Reason.ENROLMENT_SHAPE),
    *[(15, wrong, Reason.ENROLMENT_SHAPE) for wrong in (0, "a" * 64, bytes(63), bytes(65))],
    ("1", 0, Reason.ENROLMENT_SHAPE),
    (1, "no uri", Reason.ENROLMENT_SHAPE),
    (1, b"urn:dev:ops:32473-air-7", Reason.ENROLMENT_SHAPE),
    (1, "https://city.example/people/7", None),
    (2, "a" * 32, Reason.ENROLMENT_SHAPE),
    (2, build.PUBLIC_KEY[:31], Reason.KEY_INVALID),
    (2, build.PUBLIC_KEY + b"\x00", Reason.KEY_INVALID),
    (2, b"\x01" + bytes(31), Reason.KEY_INVALID),
    *[
        (label, wrong, Reason.ENROLMENT_SHAPE)
        for label in (3, 4, 5, 7, 8)
        for wrong in ("", "a" * 129, "\x00", 7, b"a")
    ],
    *[(label, "a" * 128, None) for label in (3, 4, 5, 7, 8)],
    (6, "radar", Reason.ENROLMENT_SHAPE),
    (6, ["air"], Reason.ENROLMENT_SHAPE),
    *[(6, role, Reason.ENROLMENT_SHAPE) for role in ROLES],  # A role has no place and measures nothing.
    (6, "weather", Reason.ENROLMENT_SHAPE),  # The accuracy is of quantities that it does not measure.
    *[(label, [-180, -90, -10000], None) for label in (9, 10)],
    *[(label, [180.0, 90.0, 10000.0], None) for label in (9, 10)],
    *[
        (label, wrong, Reason.ENROLMENT_SHAPE)
        for label in (9, 10)
        for wrong in (
            [180.1, 0, 0],
            [-180.1, 0, 0],
            [0, 90.1, 0],
            [0, -90.1, 0],
            [0, 0, 10000.1],
            [0, 0, -10000.1],
            [0, 0],
            [0, 0, 0, 0],
            [True, 0, 0],
            [0, "0", 0],
            [0, 0, b"0"],
            {0: 0, 1: 0, 2: 0},
            0,
        )
    ],
    (11, {}, None),
    (11, {"pm2_5": 0}, None),
    (11, {"pm2_5": -0.1}, Reason.ENROLMENT_SHAPE),
    (11, {"pm2_5": "1"}, Reason.ENROLMENT_SHAPE),
    (11, {"pm2_5": True}, Reason.ENROLMENT_SHAPE),
    (11, {"temperature": 1}, Reason.ENROLMENT_SHAPE),
    (11, {1: 1}, Reason.ENROLMENT_SHAPE),
    (11, [], Reason.ENROLMENT_SHAPE),
    *[(label, good, None) for label in (12, 14) for good in (0, 2**33 - 1)],
    *[(label, bad, Reason.ENROLMENT_SHAPE) for label in (12, 14) for bad in (-1, 2**33, 1.5, True, "0")],
    (13, "imported", None),
    (13, "guessed", Reason.ENROLMENT_SHAPE),
    (13, [], Reason.ENROLMENT_SHAPE),
    (13, 0, Reason.ENROLMENT_SHAPE),
]


@pytest.mark.parametrize(("label", "value", "reason"), CHANGES)
def test_each_field_has_its_bounds(label: object, value: object, reason: Reason | None) -> None:
    """Every field is required, none may be added, and each value out of bounds is refused."""
    fields = {**GOOD, label: value}
    if value is LEFT_OUT:
        del fields[label]
    assert refusal(reference.dumps(fields)) is reason


@pytest.mark.parametrize(
    ("label", "named"),
    [
        (0, "the fields"),
        (1, "the issuer"),
        (2, "the public key"),
        (3, "the department"),
        (4, "the controller"),
        (5, "the data class"),
        (6, "neither a sensor kind nor a role"),
        (7, "the subject"),
        (8, "the area"),
        (9, "a position"),
        (10, "a position"),
        (11, "a quantity in the accuracy"),
        (12, "the calibration's end"),
        (13, "the origin"),
        (14, "the start of validity"),
        (15, "the possession"),
    ],
)
def test_the_detail_names_the_field(label: int, named: str) -> None:
    """Whoever wrote the enrolment hears what to look at."""
    with pytest.raises(VerificationError) as refused:
        decode_enrolment(reference.dumps({**GOOD, label: [1]}))
    assert refused.value.detail == named
    with pytest.raises(VerificationError, match=r"an accuracy$"):
        decode_enrolment(reference.dumps({**GOOD, 11: {"pm2_5": -1}}))


@pytest.mark.parametrize("role", ["auditor", "shipper", "carrier", "consignee", "issuer"])
def test_a_role_has_no_place_and_measures_nothing(role: str) -> None:
    """Fields 9 to 12 are a sensor's: a role's enrolment has none of them, and all of the others."""
    fields = {label: value for label, value in GOOD.items() if label not in {9, 10, 11, 12}} | {6: role}
    person = decode_enrolment(reference.dumps(fields))
    assert encode_enrolment(person) == reference.dumps(fields)
    nowhere: dict[str, Any] = dict.fromkeys(
        ("longitude", "latitude", "height_m", "longitude2", "latitude2", "height2_m", "accuracy")
    )
    assert person == replace(ENROLMENT, kind=role, calibrated_until_s=None, **nowhere)
    for label in (9, 10, 11, 12):
        assert refusal(reference.dumps(fields | {label: GOOD[label]})) is Reason.ENROLMENT_SHAPE
    for missing in fields:
        less = {label: value for label, value in fields.items() if label != missing}
        assert refusal(reference.dumps(less)) is Reason.ENROLMENT_SHAPE


def test_a_sensor_is_a_device_unless_imported() -> None:
    """The default origin."""
    fields = {field.name: getattr(ENROLMENT, field.name) for field in dataclasses.fields(Enrolment)}
    del fields["origin"]
    assert Enrolment(**fields).origin == "device"


def test_what_is_no_map_is_no_enrolment() -> None:
    """Other types are refused, and so is what is no CBOR of the profile."""
    assert refusal(b"\x80") is Reason.ENROLMENT_SHAPE
    assert refusal(b"\xa0") is Reason.ENROLMENT_SHAPE
    assert refusal(b"") is Reason.CBOR_TRUNCATED
    assert refusal(reference.dumps(GOOD) + b"\x00") is Reason.CBOR_TRAILING


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"longitude": float("nan")}, Reason.ENROLMENT_SHAPE),
        ({"height_m": float("inf")}, Reason.ENROLMENT_SHAPE),
        ({"accuracy": {"pm2_5": float("inf")}}, Reason.ENROLMENT_SHAPE),
        ({"accuracy": {"pm2_5": float("nan")}}, Reason.ENROLMENT_SHAPE),
        ({"subject": "\ud800"}, Reason.ENROLMENT_SHAPE),
        ({"public_key": bytes(32)}, Reason.KEY_INVALID),
        ({"kind": "radar"}, Reason.ENROLMENT_SHAPE),
    ],
)
def test_nothing_is_encoded_that_would_be_refused(changes: dict[str, Any], reason: Reason) -> None:
    """An authority hears of a wrong field before it signs."""
    with pytest.raises(VerificationError) as refused:
        encode_enrolment(replace(ENROLMENT, **changes))
    assert refused.value.reason is reason


@given(
    st.sampled_from(sorted(KINDS)),
    st.floats(-180, 180),
    st.floats(-90, 90),
    st.floats(-10000, 10000),
    st.data(),
)
def test_enrolments_survive(
    kind: str, longitude: float, latitude: float, height_m: float, data: st.DataObject
) -> None:
    """Positions and accuracies come back to the last bit, for every kind."""
    quantities = st.sampled_from(KINDS[kind]) if KINDS[kind] else st.nothing()
    accuracy = data.draw(st.dictionaries(quantities, st.floats(0, 1e6)))
    enrolment = replace(
        ENROLMENT, kind=kind, longitude=longitude, latitude=latitude, height_m=height_m, accuracy=accuracy
    )
    assert decode_enrolment(encode_enrolment(enrolment)) == enrolment
