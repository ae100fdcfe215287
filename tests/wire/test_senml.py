"""SenML packs: RFC 8428's examples, resolution against a slow oracle, and the fast way against the general
one."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.wire.errors import VerificationError
from pipeline.wire.pack_scan import scan_pack
from pipeline.wire.quantities import QUANTITIES
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import (
    RECORDS_MAX,
    Record,
    check_pack,
    decode_pack,
    decode_readings,
    encode_pack,
    pack_times_us,
    time_us,
)
from tests.wire import reference

ISSUER = "urn:dev:ops:32473-air-7"
BASE_NAME = ISSUER + "_"
T = 1700000000
LABELS = {
    "bver": -1,
    "bn": -2,
    "bt": -3,
    "bu": -4,
    "bv": -5,
    "bs": -6,
    "n": 0,
    "u": 1,
    "v": 2,
    "vs": 3,
    "vb": 4,
}
LABELS |= {"s": 5, "t": 6, "ut": 7, "vd": 8}
SECONDARY = {"ug/m3", "ppm", "hPa", "mm", "mg/l"}

Pack = list[dict[object, object]]


def labelled(records: Sequence[dict[str, Any]]) -> Pack:
    """Put RFC 8428's numbers in place of its names; what has none keeps its name."""
    return [{LABELS.get(name, name): value for name, value in record.items()} for record in records]


def refusal(payload: bytes, issuer: str = ISSUER) -> Reason | None:
    """Why a pack is refused, or None; `check_pack`, `decode_pack`, `decode_readings` say the same."""
    reasons: list[Reason | None] = []
    for judge in (check_pack, decode_pack, decode_readings):
        try:
            judge(payload, issuer)
            reasons.append(None)
        except VerificationError as refused:
            reasons.append(refused.reason)
    assert reasons[0] is reasons[1] is reasons[2]
    return reasons[0]


def resolve(pack: object) -> list[tuple[str, str, float, float]] | None:
    """Resolve by RFC 8428, 4.6 and the profile's rules, one after the other; None where one is broken."""
    if not isinstance(pack, list) or not 1 <= len(pack) <= 256:
        return None
    if not all(
        isinstance(record, dict) and set(record) <= {-1, -2, -3, -4, 0, 1, 2, 4, 6} for record in pack
    ):
        return None
    versions = [record[-1] for record in pack if -1 in record]
    if any(type(version) is not int or version not in (10, 26) for version in versions):
        return None
    version = pack[0].get(-1, 10)
    if any(other != version for other in versions):
        return None
    if -2 not in pack[0] or any(record[-2] != BASE_NAME for record in pack if -2 in record):
        return None
    units = {quantity.unit for quantity in QUANTITIES.values()}
    if any(not isinstance(record[-4], str) or record[-4] not in units for record in pack if -4 in record):
        return None
    resolved = []
    for index, record in enumerate(pack):
        before = pack[: index + 1]
        base_time = next((other[-3] for other in reversed(before) if -3 in other), 0)
        unit = record.get(1, next((other[-4] for other in reversed(before) if -4 in other), None))
        name, offset = record.get(0), record.get(6, 0)
        if not isinstance(name, str) or name not in QUANTITIES or unit != QUANTITIES[name].unit:
            return None
        if unit in SECONDARY and version != 26:
            return None
        if any(type(number) not in (int, float) for number in (base_time, offset)):
            return None
        time_s = float(base_time) + float(offset)
        if not 268435456 <= time_s < 8589934592:
            return None
        boolean = name == "door"
        if (2 in record) == (4 in record) or boolean != (4 in record):
            return None
        value = record[4] if boolean else record[2]
        if (type(value) is bool) != boolean or not isinstance(value, (int, float)):
            return None
        resolved.append((name, unit, float(value), time_s))
    places = {(name, round(time_s * 1e6)) for name, _, _, time_s in resolved}
    return resolved if len(places) == len(resolved) else None


def same(records: Sequence[Record] | None, expected: object) -> bool:
    """Tell 1 from 1.0 and 0.0 from -0.0."""
    return repr(None if records is None else [tuple(record) for record in records]) == repr(expected)


FIRST: dict[object, object] = {0: "pm2_5", 2: 12.5, -1: 26, -2: BASE_NAME, -3: T, -4: "ug/m3"}


def first(**changes: Any) -> dict[object, object]:
    """A good first record with other fields, by RFC 8428's names; None leaves one out."""
    record: dict[object, object] = {
        **FIRST,
        **{LABELS.get(name, name): value for name, value in changes.items()},
    }
    return {label: value for label, value in record.items() if value is not None}


def more(**fields: Any) -> dict[object, object]:
    """A further record."""
    return {LABELS.get(name, name): value for name, value in fields.items()}


PACKS: list[tuple[object, Reason | None]] = [
    ([first()], None),
    ({}, Reason.PACK_SHAPE),
    ([], Reason.PACK_SHAPE),
    ("pack", Reason.PACK_SHAPE),
    ([first(), *[more(n="pm10", v=1, t=k) for k in range(255)]], None),
    ([first(), *[more(n="pm10", v=1, t=k) for k in range(256)]], Reason.PACK_SHAPE),
    ([first(u="ug/m3"), *[more(n="pm10", v=1, t=k) for k in range(255)]], None),
    ([first(u="ug/m3"), *[more(n="pm10", v=1, t=k) for k in range(256)]], Reason.PACK_SHAPE),
    ([[]], Reason.PACK_LABEL),
    ([first(), 0], Reason.PACK_LABEL),
    ([first(bv=1)], Reason.PACK_LABEL),
    ([first(bs=1)], Reason.PACK_LABEL),
    ([first(s=1)], Reason.PACK_LABEL),
    ([first(ut=1)], Reason.PACK_LABEL),
    ([first(vs="a")], Reason.PACK_LABEL),
    ([first(vd=b"a")], Reason.PACK_LABEL),
    ([first(extension=1)], Reason.PACK_LABEL),
    ([first(), more(n="pm10", v=1, bv=1)], Reason.PACK_LABEL),
    ([{**first(), 9: 1}], Reason.PACK_LABEL),
    # Base version: 10 unless said otherwise, 26 for secondary units, one for the pack.
    ([first(bver=None)], Reason.PACK_VERSION),
    ([first(bver=10)], Reason.PACK_VERSION),
    ([first(bver=11)], Reason.PACK_VERSION),
    ([first(bver=5, n="speed", bu="m/s")], Reason.PACK_VERSION),
    ([first(bver=26.0)], Reason.PACK_VERSION),
    ([first(bver="26")], Reason.PACK_VERSION),
    ([first(bver=None, n="speed", bu="m/s")], None),
    ([first(bver=10, n="speed", bu="m/s")], None),
    ([first(bver=26, n="speed", bu="m/s")], None),
    ([first(), more(n="pm10", v=1, bver=26)], None),
    ([first(), more(n="pm10", v=1, bver=10)], Reason.PACK_VERSION),
    ([first(bver=None, n="speed", bu="m/s"), more(n="queue", u="m", v=1, bver=26)], Reason.PACK_VERSION),
    ([first(bver=None, n="speed", bu="m/s"), more(n="queue", u="m", v=1, bver=10)], None),
    # Base name: the issuer's, in the first record, and never another.
    ([first(bn=None)], Reason.PACK_BASE_NAME),
    ([first(bn=ISSUER)], Reason.PACK_BASE_NAME),
    ([first(bn=BASE_NAME + "_")], Reason.PACK_BASE_NAME),
    ([first(bn="urn:dev:ops:32473-air-8_")], Reason.PACK_BASE_NAME),
    ([first(bn=BASE_NAME.encode())], Reason.PACK_BASE_NAME),
    ([first(), more(n="pm10", v=1, bn=BASE_NAME)], None),
    ([first(), more(n="pm10", v=1, bn=ISSUER)], Reason.PACK_BASE_NAME),
    ([first(), more(n="pm10", v=1, bn="")], Reason.PACK_BASE_NAME),
    # Quantity.
    ([first(n=None)], Reason.PACK_QUANTITY),
    ([first(n="")], Reason.PACK_QUANTITY),
    ([first(n="pm2.5")], Reason.PACK_QUANTITY),
    ([first(n="PM2_5")], Reason.PACK_QUANTITY),
    ([first(n=b"pm2_5")], Reason.PACK_QUANTITY),
    ([first(n=[])], Reason.PACK_QUANTITY),
    ([first(), more(bu="Cel")], Reason.PACK_QUANTITY),
    # Unit: the quantity's own, given or inherited.
    ([first(bu=None)], Reason.PACK_UNIT),
    ([first(bu=None, u="ug/m3")], None),
    ([first(u="ug/m3")], None),
    ([first(u="mg/l")], Reason.PACK_UNIT),
    ([first(u="")], Reason.PACK_UNIT),
    ([first(u=0)], Reason.PACK_UNIT),
    ([first(bu="Cel")], Reason.PACK_UNIT),
    ([first(bu="km/h", u="ug/m3")], Reason.PACK_UNIT),
    ([first(bu=[], u="ug/m3")], Reason.PACK_UNIT),
    ([first(bu=7, u="ug/m3")], Reason.PACK_UNIT),
    ([first(bu="Cel", u="ug/m3")], None),
    ([first(), more(n="temperature", v=1)], Reason.PACK_UNIT),
    ([first(), more(n="temperature", v=1, bu="Cel"), more(n="temperature", v=1, t=1)], None),
    ([first(), more(n="temperature", v=1, bu="Cel"), more(n="pm10", v=1)], Reason.PACK_UNIT),
    # Value.
    ([first(v=None)], Reason.PACK_VALUE),
    ([first(v=True)], Reason.PACK_VALUE),
    ([first(v="1")], Reason.PACK_VALUE),
    ([first(v=b"1")], Reason.PACK_VALUE),
    ([first(v=[1])], Reason.PACK_VALUE),
    ([first(vb=True)], Reason.PACK_VALUE),
    ([first(v=None, vb=True)], Reason.PACK_VALUE),
    ([first(u="ug/m3", vb=True, t=0)], Reason.PACK_VALUE),  # Every label that there is.
    ([first(v=2**64 - 1)], None),
    ([first(v=-(2**64))], None),
    ([first(n="door", bu="/", v=None, vb=True)], None),
    ([first(n="door", bu="/", v=None, vb=False)], None),
    ([first(n="door", bu="/", v=1)], Reason.PACK_VALUE),
    ([first(n="door", bu="/", vb=True)], Reason.PACK_VALUE),
    ([first(n="door", bu="/", v=None, vb=1)], Reason.PACK_VALUE),
    ([first(n="door", bu="/", v=None)], Reason.PACK_VALUE),
    # Time: base time plus time, absolute, below 2242.
    ([first(bt=None)], Reason.PACK_TIME),
    ([first(bt=0)], Reason.PACK_TIME),
    ([first(bt=None, t=T)], None),
    ([first(bt=2**28)], None),
    ([first(bt=2**28 - 1)], Reason.PACK_TIME),
    ([first(bt=2**28, t=-1)], Reason.PACK_TIME),
    ([first(bt=2**28 - 1, t=1)], None),
    ([first(bt=268435455.9999999)], Reason.PACK_TIME),
    ([first(bt=2**33 - 1)], None),
    ([first(bt=8589934591.999999)], None),
    ([first(bt=2**33)], Reason.PACK_TIME),
    ([first(bt=2**33 - 1, t=1)], Reason.PACK_TIME),
    ([first(bt=-T)], Reason.PACK_TIME),
    ([first(bt=2**63, t=-(2**63) + T)], None),  # Summed as floats; as integers it would be another time.
    ([first(bt=True)], Reason.PACK_TIME),
    ([first(bt="now")], Reason.PACK_TIME),
    ([first(t=True)], Reason.PACK_TIME),
    ([first(t="0")], Reason.PACK_TIME),
    ([first(), more(n="pm10", v=1, t=2**33)], Reason.PACK_TIME),
    ([first(), more(n="pm2_5", v=1, bt=T + 1), more(n="pm2_5", v=1, t=1)], None),
    ([first(), more(n="pm2_5", v=1, bt=T + 1), more(n="pm2_5", v=1)], Reason.PACK_DUPLICATE),
    # One quantity at one time, at the resolution of points.
    ([first(), more(n="pm2_5", v=12.5)], Reason.PACK_DUPLICATE),
    ([first(), more(n="pm2_5", v=1, t=0)], Reason.PACK_DUPLICATE),
    ([first(), more(n="pm2_5", v=1, t=0.0)], Reason.PACK_DUPLICATE),
    ([first(), more(n="pm2_5", v=1, t=2.4e-7)], Reason.PACK_DUPLICATE),
    ([first(), more(n="pm2_5", v=1, t=1e-6)], None),
    ([first(), more(n="pm2_5", v=1, u="ug/m3")], Reason.PACK_DUPLICATE),
    ([first(), more(n="pm10", v=1), more(n="pm10", v=1, t=1)], None),
    ([first(t=5), more(n="pm2_5", v=1), more(n="pm2_5", v=1, t=5)], Reason.PACK_DUPLICATE),
]


@pytest.mark.parametrize(("pack", "reason"), PACKS)
def test_each_rule_has_its_reason(pack: object, reason: Reason | None) -> None:
    """Every rule of the profile, at its edge; the oracle agrees on what is admitted."""
    payload = reference.dumps(pack)
    assert refusal(payload) is reason
    assert (resolve(cbor2.loads(payload)) is None) == (reason is not None)


# RFC 8428's examples, each with the issuer that fits its base name best: none is of the profile.
EXAMPLES = {
    "ex1": Reason.PACK_BASE_NAME,  # none
    "ex2": Reason.PACK_BASE_NAME,  # ends in ":"
    "ex3": Reason.PACK_VERSION,  # bver 5
    "ex4": Reason.PACK_BASE_NAME,  # no separator, and no name
    "ex5": Reason.PACK_BASE_NAME,
    "ex6": Reason.PACK_BASE_NAME,  # ends in "/", and changes
    "ex7": Reason.PACK_BASE_NAME,  # ends in ":"; and string and data values
    "ex8": Reason.PACK_LABEL,  # the extension "l"
    "ex9": Reason.PACK_BASE_NAME,  # a first record of base fields alone
    "ex10": Reason.PACK_BASE_NAME,  # none
    "ex11": Reason.PACK_BASE_NAME,  # no separator, and no name
    "ex12": Reason.PACK_BASE_NAME,  # none
    "ex13": Reason.PACK_BASE_NAME,  # none
}


def test_no_example_is_of_the_profile(shared: Path) -> None:
    """All thirteen examples of RFC 8428 in CBOR, and the two CBOR files, are refused for what the table
    says."""
    folder = shared / "vectors/senml"
    reasons = {}
    for name in EXAMPLES:
        pack = labelled(json.loads((folder / f"{name}.gen.json").read_text()))
        reasons[name] = refusal(reference.dumps(pack), str(pack[0].get(-2, ISSUER))[:-1])
    assert reasons == EXAMPLES
    for name in ("ex3", "ex5"):  # Base fields first: not in bytewise order.
        assert refusal((folder / f"{name}.gen.cbor").read_bytes()) is Reason.CBOR_KEY_ORDER


# Quantities of ours in place of the examples' names, so that their times, units and values can be resolved.
STAND_INS = {
    "V": ("speed", "m/s"),
    "A": ("queue", "m"),
    "Cel": ("temperature", "Cel"),
    "%RH": ("humidity", "%RH"),
    "lon": ("lon", "lon"),
    "lat": ("lat", "lat"),
    "%EL": ("battery", "%EL"),
    "/": ("speed", "m/s"),
}
# Which examples then resolve as their authors say, or why not.
RESOLVED = {
    "ex1": Reason.PACK_TIME,  # relative: "now"
    "ex2": Reason.PACK_TIME,
    "ex3": None,
    "ex4": None,
    "ex5": None,
    "ex6": Reason.PACK_DUPLICATE,  # two devices in one pack; under one name their values collide
    "ex8": None,
    "ex10": None,
    "ex11": None,
    "ex12": None,
}


def test_examples_resolve_as_published(shared: Path) -> None:
    """With names of ours, without bver 5 and extensions, they give the published times, units and values."""
    folder = shared / "vectors/senml"
    reasons = {}
    for name in RESOLVED:
        pack = labelled(json.loads((folder / f"{name}.gen.json").read_text()))
        published = json.loads((folder / f"{name}.gen.resolved.json").read_text())
        for index, (record, wanted) in enumerate(zip(pack, published, strict=True)):
            quantity = STAND_INS[wanted["u"]][0]
            record[0] = "wind_speed" if wanted["n"].endswith("::4") else quantity
            for label in record.keys() & {1, -4}:
                record[label] = STAND_INS[str(record[label])][1]
            for label in record.keys() & {-1, -2, "l"}:
                del record[label]
            if not index:
                record[-2] = BASE_NAME
        payload = reference.dumps(pack)
        reasons[name] = refusal(payload)
        if reasons[name] is None:
            resolved = [(record.unit, record.value, record.time_s) for record in decode_pack(payload, ISSUER)]
            assert resolved == [(STAND_INS[wanted["u"]][1], wanted["v"], wanted["t"]) for wanted in published]
    assert reasons == RESOLVED


NAMES = sorted(QUANTITIES)
TIMES = st.sampled_from([T, T + 0.5, T + 60, 2**28, 2**33 - 1, T + 0.001]) | st.floats(2**28, 2**33 - 1)
VALUES = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**40), 2**40).map(float)
RECORDS = st.lists(
    st.builds(
        lambda name, value, time_s: Record(
            name,
            QUANTITIES[name].unit,
            float(value > 0) if QUANTITIES[name].boolean else value,
            float(time_s),
        ),
        st.sampled_from(NAMES),
        VALUES,
        TIMES,
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda record: (record.quantity, round(record.time_s * 1e6)),
)


@given(RECORDS)
@settings(max_examples=300)
@example([Record("door", "/", 1.0, float(T)), Record("door", "/", 0.0, T + 1.0)])
@example([Record("speed", "m/s", -0.0, 2.0**28), Record("speed", "m/s", 0.0, 2.0**33 - 1)])
@example([Record("rain", "mm", 0.1, 268435456.1), Record("rain", "mm", 0.2, 1460712702.491)])
def test_records_survive(records: list[Record]) -> None:
    """What is packed comes out again to the last bit, by both ways, and is deterministic CBOR."""
    payload = encode_pack(ISSUER, records)
    assert reference.admits(payload)
    assert refusal(payload) is None
    expected = [tuple(record) for record in records]
    assert same(decode_pack(payload, ISSUER), expected)
    assert repr(resolve(cbor2.loads(payload))) == repr(expected)
    moments = {record.time_s for record in records}
    if len({round(moment * 1e6) for moment in moments}) == len(moments):
        assert scan_pack(payload, ISSUER) is not None  # What we write ourselves goes the fast way.


FIELDS: dict[object, st.SearchStrategy[object]] = {
    0: st.sampled_from([*NAMES, "pm2_5", "pm2_5", "none", "", 0]),
    2: VALUES | st.sampled_from([0, 1, -1, True, "1"]),
}
OPTIONAL: dict[object, st.SearchStrategy[object]] = {
    1: st.sampled_from(["ug/m3", "Cel", "/", "m/s", "", 1]),
    4: st.booleans(),
    6: st.sampled_from([0, 60, -60, 0.5, 1e-7, 0.0, T, True, "0"]),
    -1: st.sampled_from([10, 26, 26, 5, 26.0]),
    -2: st.sampled_from([BASE_NAME, BASE_NAME, ISSUER, 0]),
    -3: st.sampled_from([T, T + 0.5, 0, 2**28 - 1, 2**33, True]),
    -4: st.sampled_from(["ug/m3", "Cel", "/", "m/s", "V"]),
    5: st.just(0),
    7: st.just(0),
}


@st.composite
def packs(draw: st.DrawFn) -> Pack:
    """Packs that are of the profile, and packs that leave it in one or two places."""
    records = draw(RECORDS)[:6]
    pack: Pack = cbor2.loads(encode_pack(ISSUER, records))
    for _ in range(draw(st.integers(0, 3))):
        record = pack[draw(st.integers(0, len(pack) - 1))]
        label = draw(st.sampled_from([*FIELDS, *OPTIONAL]))
        if draw(st.booleans()):
            record.pop(label, None)
        else:
            record[label] = draw((FIELDS | OPTIONAL)[label])
    return pack


@given(packs())
@settings(max_examples=500)
def test_both_ways_judge_as_the_definition_does(pack: Pack) -> None:
    """A pack is admitted exactly where the oracle resolves it, and to the same records."""
    payload = reference.dumps(pack)
    expected = resolve(cbor2.loads(payload))
    assert (refusal(payload) is None) == (expected is not None)
    if expected is not None:
        assert same(decode_pack(payload, ISSUER), expected)


def test_one_record_is_written_so() -> None:
    """Name, value, then version, base name, base time and base unit, in bytewise order."""
    payload = encode_pack(ISSUER, [Record("pm2_5", "ug/m3", 12.5, float(T))])
    assert payload == (
        b"\x81\xa6"
        b"\x00\x65pm2_5"
        b"\x02\xf9\x4a\x40"
        b"\x20\x18\x1a"
        b"\x21\x78\x18urn:dev:ops:32473-air-7_"
        b"\x22\x1a\x65\x53\xf1\x00"
        b"\x23\x65ug/m3"
    )


def written(*records: Record) -> object:
    """The content of a pack."""
    return cbor2.loads(encode_pack(ISSUER, records))


def test_what_is_shared_is_written_once() -> None:
    """The most frequent unit is the base unit, the first time the base time; booleans are `vb`; bver only if
    needed."""
    assert written(
        Record("temperature", "Cel", 4.25, float(T)),
        Record("door", "/", 1.0, float(T)),
        Record("door", "/", 0.0, T + 30.0),
        Record("lat", "lat", 31.25, T - 0.5),
    ) == [
        {0: "temperature", 1: "Cel", 2: 4.25, -2: BASE_NAME, -3: T, -4: "/"},
        {0: "door", 4: True},
        {0: "door", 4: False, 6: 30},
        {0: "lat", 1: "lat", 2: 31.25, 6: -0.5},
    ]
    assert written(Record("rain", "mm", 1.0, float(T)), Record("speed", "m/s", 1.0, float(T))) == [
        {0: "rain", 2: 1, -1: 26, -2: BASE_NAME, -3: T, -4: "mm"},
        {0: "speed", 1: "m/s", 2: 1},
    ]


def test_times_that_no_float_relates_are_written_whole() -> None:
    """Where base time plus difference would not give the time back, there is no base time."""
    far = [Record("speed", "m/s", 1.0, 268435456.1), Record("speed", "m/s", 2.0, 1460712702.491)]
    assert 268435456.1 + (1460712702.491 - 268435456.1) != 1460712702.491
    assert written(*far) == [
        {0: "speed", 2: 1, 6: 268435456.1, -2: BASE_NAME, -4: "m/s"},
        {0: "speed", 2: 2, 6: 1460712702.491},
    ]


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0.0, "00"),
        (-0.0, "f98000"),
        (1.0, "01"),
        (-1.0, "20"),
        (0.5, "f93800"),
        (23.1, "fb403719999999999a"),
        (65504.0, "19ffe0"),
        (4294967295.0, "1affffffff"),
        (4294967296.0, "fa4f800000"),
        (-4294967296.0, "3affffffff"),
        (-4294967297.0, "fbc1f0000000100000"),
        (4294967297.0, "fb41f0000000100000"),
    ],
)
def test_numbers_take_the_shorter_form(value: float, encoded: str) -> None:
    """Whole numbers are integers while that is no longer than the float, and minus zero stays a float."""
    payload = encode_pack(ISSUER, [Record("speed", "m/s", value, float(T))])
    number = payload.removeprefix(b"\x81\xa5\x00\x65speed\x02").partition(b"\x21")[0]
    assert number.hex() == encoded
    assert repr(decode_pack(payload, ISSUER)[0].value) == repr(value)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [Record("speed", "m/s", float(k), T + float(k)) for k in range(257)],
        [Record("speed", "km/h", 1.0, float(T))],
        [Record("speed", "m/s", math.nan, float(T))],
        [Record("speed", "m/s", math.inf, float(T))],
    ],
)
def test_what_cannot_be_signed_is_a_bug(records: list[Record]) -> None:
    """The encoder takes 1 to 256 records, in the signed unit, finite."""
    with pytest.raises(AssertionError):
        encode_pack(ISSUER, records)


@pytest.mark.parametrize("size", [1, 23, 24, 255, 256])
def test_packs_of_every_size_form(size: int) -> None:
    """Array heads of one, two and three bytes, up to the most records there may be."""
    records = [Record("speed", "m/s", float(k), T + float(k)) for k in range(size)]
    payload = encode_pack(ISSUER, records)
    assert decode_pack(payload, ISSUER) == records
    assert scan_pack(payload, ISSUER) is not None
    assert RECORDS_MAX == 256


def test_the_general_way_resolves_too() -> None:
    """A pack in an unusual form (base fields later) gives its records."""
    pack = [
        first(),
        more(n="temperature", v=4, bu="Cel", bt=T + 60),
        more(n="humidity", u="%RH", v=50, t=-10),
    ]
    assert scan_pack(reference.dumps(pack), ISSUER) is None
    assert decode_pack(reference.dumps(pack), ISSUER) == [
        Record("pm2_5", "ug/m3", 12.5, float(T)),
        Record("temperature", "Cel", 4.0, T + 60.0),
        Record("humidity", "%RH", 50.0, T + 50.0),
    ]


def test_ill_formed_packs_have_the_reasons_of_cbor() -> None:
    """What is no CBOR of the profile is refused as such, first."""
    payload = reference.dumps([first()])
    assert refusal(payload + b"\x00") is Reason.CBOR_TRAILING
    assert refusal(payload[:-1]) is Reason.CBOR_TRUNCATED
    assert refusal(payload.replace(b"\xf9\x4a\x40", b"\xf9\x7e\x00")) is Reason.CBOR_FLOAT
    assert refusal(payload.replace(b"\x81", b"\x98\x01")) is Reason.CBOR_NOT_SHORTEST
    assert refusal(b"\xf6") is Reason.CBOR_SIMPLE
    assert refusal(b"\xff" * 16385) is Reason.OVERSIZE


@pytest.mark.parametrize("width", ["f94a40", "fa41480000", "fb4029000000000000"])
def test_floats_of_any_width_have_one_value(width: str) -> None:
    """A device may write the width it likes."""
    payload = reference.dumps([first()]).replace(b"\xf9\x4a\x40", bytes.fromhex(width))
    assert decode_pack(payload, ISSUER)[0].value == 12.5
    assert scan_pack(payload, ISSUER) is not None


@pytest.mark.parametrize(
    ("time_s", "expected"),
    [
        (1700000000.0, 1700000000000000),
        (1700000000.1, 1700000000100000),
        (1700000000.0000005, 1700000000000000),
        (1700000000.1234567, 1700000000123457),
        (268435456.0000005, 268435456000000),
        (268435456.0000015, 268435456000002),
    ],
)
def test_time_is_rounded_to_a_microsecond(time_s: float, expected: int) -> None:
    """The nearest whole microsecond, halves to even: what identifies a point."""
    assert time_us(Record("speed", "m/s", 0.0, time_s)) == expected


@pytest.mark.parametrize(("pack", "reason"), PACKS)
def test_a_pack_reaches_from_its_earliest_to_its_latest_record(pack: object, reason: Reason | None) -> None:
    """In whatever order they stand; what is no pack has no times, for the same reason."""
    payload = reference.dumps(pack)
    if reason is None:
        readings = [(found.quantity, time_us(found), found.value) for found in decode_pack(payload, ISSUER)]
        assert repr(decode_readings(payload, ISSUER)) == repr(readings)
        times_us = [at_us for _, at_us, _ in readings]
        assert pack_times_us(payload, ISSUER) == (min(times_us), max(times_us))
        return
    with pytest.raises(VerificationError) as refused:
        pack_times_us(payload, ISSUER)
    assert refused.value.reason is reason
