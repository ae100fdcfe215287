"""The fast way through packs: it is silent or of the definition's mind, and taken for what devices send."""

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.wire import pack_scan
from pipeline.wire.pack_scan import scan_pack
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import Record, decode_pack, decode_readings, encode_pack, time_us
from tests.wire import reference
from tests.wire.test_senml import (
    BASE_NAME,
    ISSUER,
    PACKS,
    Pack,
    T,
    first,
    more,
    packs,
    refusal,
    resolve,
    same,
)


def usual(*records: bytes, fields: int = 4, base: bytes = b"\x22\x1a\x65\x53\xf1\x00\x23\x65ug/m3") -> bytes:
    """Return a pack of the usual form; the first record is given without its head and base fields."""
    name = b"\x20\x18\x1a\x21\x78\x18" + BASE_NAME.encode()
    first = bytes([0xA2 + fields]) + records[0] + name + base
    return bytes([0x80 + len(records)]) + first + b"".join(records[1:])


NUMBERS = [
    "00", "17", "20", "37", "1818", "18ff", "3818", "190100", "39ffff", "1a00010000", "3affffffff",
    "1b0000000100000000", "3bffffffffffffffff", "f93c00", "f98000", "f97bff", "fa3f800000", "fa7f7fffff",
    "faff7fffff", "fb3ff0000000000000", "fb7fefffffffffffff",
]  # fmt: skip
ONE = b"\x00\x65pm2_5\x02"
USUAL = {
    **{f"value {number}": usual(ONE + bytes.fromhex(number)) for number in NUMBERS},
    **{
        f"time {number}": usual(ONE + b"\x01", b"\xa3\x00\x64pm10\x02\x01\x06" + bytes.fromhex(number))
        for number in (
            "00",
            "1818",
            "20",
            "190100",
            "1a00010000",
            "f93c00",
            "f98000",
            "fa3f800000",
            "fb3ff0000000000000",
        )
    },
    "base time 16 bit": usual(
        ONE + b"\x01\x06\x1a\x65\x53\xf1\x00", fields=5, base=b"\x22\xf9\x3c\x00\x23\x65ug/m3"
    ),
    "base time 32 bit": usual(ONE + b"\x01", base=b"\x22\xfa\x4e\xca\xa7\xe2\x23\x65ug/m3"),
    "base time 64 bit": usual(ONE + b"\x01", base=b"\x22\xfb\x41\xd9\x54\xfc\x40\x00\x00\x00\x23\x65ug/m3"),
    "another unit": usual(
        ONE + b"\x01", b"\xa3\x00\x63ch4\x01\x63ppm\x02\x02", b"\xa4\x00\x63ch4\x01\x63ppm\x02\x02\x06\x01"
    ),
    "no base unit": usual(b"\x00\x65pm2_5\x01\x65ug/m3\x02\x01", fields=4, base=b"\x22\x1a\x65\x53\xf1\x00"),
    "booleans": usual(
        ONE + b"\x01", b"\xa3\x00\x64door\x01\x61/\x04\xf4", b"\xa4\x00\x64door\x01\x61/\x04\xf5\x06\x01"
    ),
}


@pytest.mark.parametrize("name", USUAL)
def test_another_byte_anywhere(name: str) -> None:
    """Every form of number goes the fast way; with one byte changed, none is misread."""
    payload = USUAL[name]
    assert scan_pack(payload, ISSUER) is not None
    assert reference.admits(payload)
    for at in range(len(payload)):
        flipped = {payload[at] ^ 1 << bit for bit in range(8)}
        for byte in flipped | {0x00, 0x17, 0x18, 0x1B, 0x1C, 0x20, 0x7C, 0x7F, 0x80, 0xF4, 0xF6, 0xFC, 0xFF}:
            changed = payload[:at] + bytes([byte]) + payload[at + 1 :]
            places = scan_pack(changed, ISSUER)
            if places is not None:
                assert reference.admits(changed)
                expected = resolve(cbor2.loads(changed))
                assert expected is not None
                assert repr(places.times_s) == repr([time_s for *_, time_s in expected])
                assert [quantity.name for quantity in places.quantities] == [found for found, *_ in expected]


@pytest.mark.parametrize("at", range(len(PACKS)))
def test_every_rule_holds_on_the_fast_way(at: int) -> None:
    """What the profile refuses is never admitted by the fast way, whatever the rule."""
    pack, reason = PACKS[at]
    assert reason is None or scan_pack(reference.dumps(pack), ISSUER) is None


@given(packs(), st.integers(0, 2000), st.integers(0, 2), st.binary(max_size=3))
@settings(max_examples=500)
def test_the_fast_way_agrees_with_the_general_one(pack: Pack, at: int, drop: int, new: bytes) -> None:
    """Where bytes are put in place of others, the fast way is silent or says what the definition says."""
    payload = reference.dumps(pack)
    at %= len(payload)
    payload = payload[:at] + new + payload[at + drop :]
    places = scan_pack(payload, ISSUER)
    if places is None:
        return
    assert reference.admits(payload)
    expected = resolve(cbor2.loads(payload))
    assert expected is not None
    assert [quantity.name for quantity in places.quantities] == [name for name, *_ in expected]
    assert repr(places.times_s) == repr([time_s for *_, time_s in expected])
    assert same(decode_pack(payload, ISSUER), expected)
    readings = [(found.quantity, time_us(found), found.value) for found in decode_pack(payload, ISSUER)]
    assert repr(decode_readings(payload, ISSUER)) == repr(readings)


EDGES = [
    [Record("speed", "m/s", 1.0, 2.0**28)],
    [Record("speed", "m/s", 1.0, 2.0**33 - 1)],
    [Record("speed", "m/s", 1.0, 2.0**28), Record("speed", "m/s", 1.0, 2.0**28 + 1)],
    [Record("speed", "m/s", 1.0, 2.0**33 - 2), Record("speed", "m/s", 1.0, 2.0**33 - 1)],
    [Record("speed", "m/s", 1.0, float(T)), Record("queue", "m", 1.0, float(T))],
    [
        Record("ph", "pH", 1.0, float(T)),
        Record("rain", "mm", 1.0, float(T)),
        Record("lon", "lon", 1.0, T + 1.0),
    ],
    [Record("speed", "m/s", 1.0, T + float(second)) for second in range(256)],
]


@pytest.mark.parametrize("records", EDGES)
def test_what_we_write_goes_the_fast_way(records: list[Record]) -> None:
    """At the edges of time and number, of primary and of secondary units."""
    payload = encode_pack(ISSUER, records)
    assert scan_pack(payload, ISSUER) is not None
    assert decode_pack(payload, ISSUER) == records


@pytest.mark.parametrize(("later", "reason"), [(5.0000001, Reason.PACK_DUPLICATE), (5.000002, None)])
def test_two_records_of_one_microsecond_are_one(later: float, reason: Reason | None) -> None:
    """However far both are from the base time."""
    payload = reference.dumps([first(t=5.0), more(n=first()[0], v=2.0, t=later)])
    assert refusal(payload) == reason
    assert (scan_pack(payload, ISSUER) is None) == (reason is not None)


def test_oversize_packs_do_not_go_the_fast_way() -> None:
    """The size limit holds on both ways: a pack in the usual form but longer than 16 KiB is refused."""
    issuer = "urn:dev:ops:32473-air-" + "7" * 100
    wide = b"\xa3\x00\x72permanganate_index\x02\xfb\x40\x29\x00\x00\x00\x00\x00\x00\x06\xfb"
    records = [wide + cbor2.dumps(T + k + 0.5)[1:] for k in range(400)]
    base = b"\x20\x18\x1a\x21\x78\x7b" + issuer.encode() + b"_\x23\x64mg/l"
    payload = b"\x99\x01\x90" + b"\xa6" + records[0][1:] + base + b"".join(records[1:])
    assert len(payload) > 16384
    assert scan_pack(payload, issuer) is None
    assert refusal(payload, issuer) is Reason.OVERSIZE


@pytest.mark.parametrize(("records", "remembered"), [(32, 1), (33, 0)])
def test_shapes_of_long_packs_are_not_remembered(records: int, remembered: int) -> None:
    """What a long pack looks like would take too much memory; up to 32 records it is kept."""
    payload = encode_pack(ISSUER, [Record("speed", "m/s", 1.0, T + 7.0 * at) for at in range(records)])
    pack_scan._shape_of.cache_clear()
    assert scan_pack(payload, ISSUER) is not None
    assert pack_scan._shape_of.cache_info().currsize == remembered
