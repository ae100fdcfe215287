"""The CBOR profile against its definition, against cbor2, and against other people's ill-formed items."""

import json
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.wire import cbor
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from tests.wire import reference

INTEGERS = st.integers(-(2**64), 2**64 - 1) | st.sampled_from(
    [sign * 2**power + step for power in (5, 8, 16, 32, 63) for step in (-1, 0, 1) for sign in (1, -1)]
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.floats(
    allow_nan=False, allow_infinity=False, width=16
)
KEYS = INTEGERS | st.text(max_size=5) | st.binary(max_size=5)
VALUES = st.recursive(
    INTEGERS | FLOATS | st.booleans() | st.text(max_size=30) | st.binary(max_size=30),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


def verdict(data: bytes, **options: Any) -> Reason | None:
    """Why `check` refuses, or None."""
    try:
        cbor.check(data, **options)
    except VerificationError as refused:
        return refused.reason
    return None


def depth_of(value: object) -> int:
    """Count the lists and dictionaries around the innermost value."""
    match value:
        case list():
            return 1 + max(map(depth_of, value), default=0)
        case dict():
            return 1 + max(map(depth_of, value.values()), default=0)
    return 0


def same(one: object, other: object) -> bool:
    """Tell values apart that Python calls equal: 1, 1.0 and True, 0.0 and -0.0."""
    return repr(one) == repr(other)


def in_key_order(value: object) -> object:
    """Return the value with its dictionaries in the order of their encoded keys."""
    match value:
        case list():
            return [in_key_order(item) for item in value]
        case dict():
            return {key: in_key_order(value[key]) for key in sorted(value, key=reference.dumps)}
    return value


REFUSED = [
    ("", Reason.CBOR_TRUNCATED),
    ("18", Reason.CBOR_TRUNCATED),
    ("1901", Reason.CBOR_TRUNCATED),
    ("1b00000001000000", Reason.CBOR_TRUNCATED),
    ("42ff", Reason.CBOR_TRUNCATED),
    ("6261", Reason.CBOR_TRUNCATED),
    ("81", Reason.CBOR_TRUNCATED),
    ("a101", Reason.CBOR_TRUNCATED),
    ("d2", Reason.CBOR_TRUNCATED),
    ("f93c", Reason.CBOR_TRUNCATED),
    ("fa3f8000", Reason.CBOR_TRUNCATED),
    ("fb3ff00000000000", Reason.CBOR_TRUNCATED),
    ("f8", Reason.CBOR_TRUNCATED),
    ("5affffffff", Reason.CBOR_TRUNCATED),
    ("7bffffffffffffffff", Reason.CBOR_TRUNCATED),
    ("9bffffffffffffffff00", Reason.CBOR_TRUNCATED),
    ("bbffffffffffffffff0000", Reason.CBOR_TRUNCATED),
    ("bb800000000000000000", Reason.CBOR_TRUNCATED),
    ("9affffffff" + "00" * 50, Reason.CBOR_TRUNCATED),
    ("0000", Reason.CBOR_TRAILING),
    ("80ff", Reason.CBOR_TRAILING),
    ("f4f4", Reason.CBOR_TRAILING),
    ("d2808000", Reason.CBOR_TRAILING),
    ("1c", Reason.CBOR_RESERVED),
    ("5d", Reason.CBOR_RESERVED),
    ("fe", Reason.CBOR_RESERVED),
    ("ff", Reason.CBOR_RESERVED),
    ("1f", Reason.CBOR_RESERVED),
    ("3f", Reason.CBOR_RESERVED),
    ("df", Reason.CBOR_RESERVED),
    ("81ff", Reason.CBOR_RESERVED),
    ("a1ff00", Reason.CBOR_RESERVED),
    ("5f40ff", Reason.CBOR_INDEFINITE),
    ("7f60ff", Reason.CBOR_INDEFINITE),
    ("9fff", Reason.CBOR_INDEFINITE),
    ("bfff", Reason.CBOR_INDEFINITE),
    ("1817", Reason.CBOR_NOT_SHORTEST),
    ("1900ff", Reason.CBOR_NOT_SHORTEST),
    ("1a0000ffff", Reason.CBOR_NOT_SHORTEST),
    ("1b00000000ffffffff", Reason.CBOR_NOT_SHORTEST),
    ("3817", Reason.CBOR_NOT_SHORTEST),
    ("580141", Reason.CBOR_NOT_SHORTEST),
    ("78016100", Reason.CBOR_NOT_SHORTEST),
    ("980100", Reason.CBOR_NOT_SHORTEST),
    ("b8010000", Reason.CBOR_NOT_SHORTEST),
    ("d81280", Reason.CBOR_NOT_SHORTEST),
    ("a202000100", Reason.CBOR_KEY_ORDER),
    ("a220000100", Reason.CBOR_KEY_ORDER),
    ("a2616100410000", Reason.CBOR_KEY_ORDER),
    ("a2626161006162" + "00", Reason.CBOR_KEY_ORDER),
    ("a201000100", Reason.CBOR_KEY_DUPLICATE),
    ("a26000" + "6000", Reason.CBOR_KEY_DUPLICATE),
    ("82a10000a20000" + "0000", Reason.CBOR_KEY_DUPLICATE),
    ("a1f400", Reason.CBOR_KEY_TYPE),
    ("a1f93c0000", Reason.CBOR_KEY_TYPE),
    ("a18000", Reason.CBOR_KEY_TYPE),
    ("a1a000", Reason.CBOR_KEY_TYPE),
    ("a1d20000", Reason.CBOR_KEY_TYPE),
    ("f97e00", Reason.CBOR_FLOAT),
    ("f97c00", Reason.CBOR_FLOAT),
    ("f9fc00", Reason.CBOR_FLOAT),
    ("fa7f800000", Reason.CBOR_FLOAT),
    ("faffc00000", Reason.CBOR_FLOAT),
    ("fb7ff0000000000000", Reason.CBOR_FLOAT),
    ("fbfff8000000000000", Reason.CBOR_FLOAT),
    ("c000", Reason.CBOR_TAG),
    ("c482030a", Reason.CBOR_TAG),
    ("d100", Reason.CBOR_TAG),
    ("d300", Reason.CBOR_TAG),
    ("d81900", Reason.CBOR_TAG),
    ("d2d280", Reason.CBOR_TAG),
    ("81d280", Reason.CBOR_TAG),
    ("f6", Reason.CBOR_SIMPLE),
    ("f7", Reason.CBOR_SIMPLE),
    ("e0", Reason.CBOR_SIMPLE),
    ("f3", Reason.CBOR_SIMPLE),
    ("f800", Reason.CBOR_SIMPLE),
    ("f8ff", Reason.CBOR_SIMPLE),
    ("81" * 9 + "00", Reason.CBOR_DEPTH),
    ("81" * 8 + "80", Reason.CBOR_DEPTH),
    ("a100" * 9 + "00", Reason.CBOR_DEPTH),
    ("61ff", Reason.CBOR_TEXT),
    ("62c328", Reason.CBOR_TEXT),
    ("63eda080", Reason.CBOR_TEXT),
    ("62c080", Reason.CBOR_TEXT),
    ("a161ff00", Reason.CBOR_TEXT),
]


@pytest.mark.parametrize(("data", "reason"), REFUSED)
def test_each_fault_has_its_reason(data: str, reason: Reason) -> None:
    """Every way to leave the profile is named, by check and decode alike."""
    assert verdict(bytes.fromhex(data)) is reason
    with pytest.raises(VerificationError) as refused:
        cbor.decode(bytes.fromhex(data))
    assert refused.value.reason is reason


ADMITTED = [
    "00",
    "17",
    "1818",
    "18ff",
    "190100",
    "1a00010000",
    "1b0000000100000000",
    "1bffffffffffffffff",
    "20",
    "3818",
    "3bffffffffffffffff",
    "40",
    "5818" + "00" * 24,
    "60",
    "63e4b8ad",
    "80",
    "a0",
    "f4",
    "f5",
    "f90000",
    "f98000",
    "fa00000000",
    "fb3ff0000000000000",
    "fb7fefffffffffffff",
    "fa7f7fffff",
    "f97bff",
    "a3010020004100" + "00",
    "81" * 8 + "00",
    "81" * 7 + "80",
    "d2" + "81" * 8 + "00",
    "d284a0a0a0a0",
]


@pytest.mark.parametrize("data", ADMITTED)
def test_the_edges_of_the_profile_are_inside(data: str) -> None:
    """Smallest and largest of each form, every width of float, eight levels."""
    assert verdict(bytes.fromhex(data)) is None
    assert reference.admits(bytes.fromhex(data))


def test_the_first_fault_is_named_with_its_place() -> None:
    """The detail says at which byte the item begins that is wrong."""
    with pytest.raises(VerificationError) as refused:
        cbor.check(bytes.fromhex("83011817f7"))
    assert (refused.value.reason, refused.value.detail) == (Reason.CBOR_NOT_SHORTEST, "at byte 2")


NULLS = [
    ("d28440a0f640", True),
    ("d284f6a0f640", False),
    ("d28440f64040", False),
    ("d28440a040f6", False),
    ("d284f6a04040", False),
    ("d28440a081f640", False),
    ("d2844081f6f640", False),
    ("d28340a0f6", False),
    ("d28540a0f64040", False),
    ("d28440a082f64040", False),
    ("8440a0f640", False),
    ("f6", False),
    ("d2f6", False),
]


@pytest.mark.parametrize(("data", "admitted"), NULLS)
def test_null_stands_for_a_detached_payload_only(data: str, admitted: bool) -> None:
    """Null is the third of four in the outermost COSE_Sign1, where the caller allows it, or nothing."""
    raw = bytes.fromhex(data)
    assert verdict(raw) is Reason.CBOR_SIMPLE
    with pytest.raises(VerificationError) as refused:
        cbor.decode(raw)
    assert refused.value.reason is Reason.CBOR_SIMPLE
    assert verdict(raw, null_payload=True) is (None if admitted else Reason.CBOR_SIMPLE)
    if admitted:
        value = cbor.decode(raw, null_payload=True)
        assert isinstance(value, cbor2.CBORTag)
        assert value.value == [b"", {}, None, b""]


def test_undefined_is_no_detached_payload() -> None:
    """Where null may stand, nothing else of its kind may."""
    assert verdict(bytes.fromhex("d28440a0f740"), null_payload=True) is Reason.CBOR_SIMPLE


def test_size_is_looked_at_first() -> None:
    """The limit is inclusive, 16 KiB by default, the caller's if given, and comes before any other fault."""
    largest = bytes.fromhex("593ffd") + bytes(16381)
    assert len(largest) == 16384 == cbor.STATEMENT_SIZE_MAX
    assert verdict(largest) is None
    assert verdict(b"\xff" * 16385) is Reason.OVERSIZE
    assert verdict(b"\xff\xff", size_max=1) is Reason.OVERSIZE
    assert verdict(b"\x00", size_max=1) is None
    with pytest.raises(VerificationError, match="16385 bytes, at most 16384"):
        cbor.decode(b"\x00" * 16385)
    assert cbor.decode(b"\x59\x40\x00" + bytes(16384), size_max=20000) == bytes(16384)


@given(VALUES)
@settings(max_examples=300)
def test_values_survive_and_have_the_definition_s_encoding(value: object) -> None:
    """What is encoded is what the definition writes, passes the check, and decodes to the same value."""
    data = reference.dumps(value)
    if depth_of(value) > cbor.DEPTH_MAX:
        assert verdict(data) is Reason.CBOR_DEPTH
        with pytest.raises(AssertionError):
            cbor.encode(value)
        return
    assert cbor.encode(value) == data
    assert same(cbor.decode(data), in_key_order(value))


@given(st.dictionaries(INTEGERS | st.text(max_size=40) | st.binary(max_size=300), st.none(), min_size=2))
def test_keys_stand_in_bytewise_order(value: dict[object, None]) -> None:
    """RFC 8949, 4.2.1: encoded keys in bytewise order, not the length-first order of RFC 7049."""
    data = cbor.encode(dict.fromkeys(value, 0))
    keys = [reference.dumps(key) for key in value]
    item, _ = reference.parse_item(data, 0)
    assert [reference.write(key) for key in item.items[::2]] == sorted(keys)


def test_bytewise_is_not_length_first() -> None:
    """A long integer key sorts before a short text key, and 24 after -1 does not."""
    assert cbor.encode({"a": 0, 1000: 0, -1: 0}).hex() == "a31903e8002000616100"


def disturbed(value: object, at: int, new: bytes) -> bytes:
    """Put `new` in place of one byte of a value's encoding."""
    data = reference.dumps(value)
    at %= len(data)
    return data[:at] + new + data[at + 1 :]


DISTURBED = st.binary(max_size=40) | st.builds(disturbed, VALUES, st.integers(0, 2000), st.binary(max_size=3))


@given(DISTURBED)
@settings(max_examples=800)
@example(bytes.fromhex("a201000100"))
@example(bytes.fromhex("a2020001f4"))
@example(bytes.fromhex("d2d200"))
@example(bytes.fromhex("81d200"))
@example(bytes.fromhex("a1f90000f4"))
@example(bytes.fromhex("d280"))
def test_the_check_admits_what_the_definition_admits(data: bytes) -> None:
    """On disturbed encodings the one pass and parse, write again and compare say the same."""
    assert (verdict(data) is None) == reference.admits(data)


@given(DISTURBED)
@settings(max_examples=500)
def test_what_passes_decodes_and_what_does_not_decode_fails(data: bytes) -> None:
    """cbor2 never refuses what passed; what passed is its value."""
    try:
        value = cbor2.loads(data)
    except cbor2.CBORDecodeError:
        assert verdict(data) is not None
        return
    if verdict(data) is None and data[0] != 0xD2:
        assert same(cbor.decode(data), value)


def test_a_tagged_item_decodes_to_lists_and_dictionaries() -> None:
    """Tag 18 around the whole changes nothing in the types of what is inside."""
    tagged = cbor.decode(bytes.fromhex("d28341aaa101008101"))
    assert isinstance(tagged, cbor2.CBORTag)
    assert (tagged.tag, tagged.value) == (18, [b"\xaa", {1: 0}, [1]])
    assert [type(part) for part in tagged.value] == [bytes, dict, list]


NOT_WELL_FORMED = {
    Reason.CBOR_RESERVED: 34,
    Reason.CBOR_SIMPLE: 32,  # f800 to f81f: not well-formed, and no simple value of ours either.
    Reason.CBOR_TRUNCATED: 30,
    Reason.CBOR_INDEFINITE: 24,  # Refused where they begin, whatever is wrong inside.
    Reason.CBOR_KEY_DUPLICATE: 1,  # a2000000ff: the second 00 comes before the break.
    Reason.CBOR_TRAILING: 1,  # 80ff, which cbor2 takes for an empty array.
}


def test_foreign_ill_formed_items_are_refused(shared: Path) -> None:
    """All of QCBOR's items that are not well-formed are refused, for these reasons."""
    vectors = json.loads((shared / "vectors/cbor/not_well_formed.json").read_text())["vectors"]
    verdicts = Counter(verdict(bytes.fromhex(vector["hex"])) for vector in vectors)
    assert sum(verdicts.values()) == 122
    assert verdicts == NOT_WELL_FORMED


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(65504.0)
@example(65505.0)
@example(5.960464477539063e-08)
@example(3.4028234663852886e38)
@example(3.5e38)
@example(-0.0)
def test_floats_are_shortest(value: float) -> None:
    """A float is written in the first of 16, 32 and 64 bits that gives it back, its sign included."""
    data = cbor.encode_float(value)
    assert data == reference.dumps(value)
    (back,) = struct.unpack({3: ">e", 5: ">f", 9: ">d"}[len(data)], data[1:])
    assert same(back, value)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        2**64,
        -(2**64) - 1,
        {1.5: 0},
        {True: 0},
        {None: 0},
        {(1,): 0},
        [cbor2.CBORTag(18, [])],
        cbor2.CBORTag(17, []),
        object(),
        {1},
    ],
)
def test_what_the_profile_has_not_is_a_bug(value: object) -> None:
    """Nothing is encoded that the check would refuse."""
    with pytest.raises(AssertionError):
        cbor.encode(value)


def test_arrays_and_maps_are_encoded_as_deep_as_they_may_be() -> None:
    """Eight of them around one another, and no ninth."""
    value: object = {1: []}
    for _ in range(6):
        value = [value]
    assert cbor.encode(value).hex() == "81" * 6 + "a10180"
    with pytest.raises(AssertionError):
        cbor.encode([value])


def test_a_tag_and_null_are_encoded_for_cose() -> None:
    """What COSE_Sign1 needs beyond plain values."""
    assert cbor.encode(cbor2.CBORTag(18, [b"", {}, None, b""])).hex() == "d28440a0f640"
    assert cbor.encode((True, False)).hex() == "82f5f4"


@pytest.mark.parametrize(
    ("argument", "head"),
    [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (255, "18ff"),
        (256, "190100"),
        (65535, "19ffff"),
        (65536, "1a00010000"),
        (2**32 - 1, "1affffffff"),
        (2**32, "1b0000000100000000"),
        (2**64 - 1, "1bffffffffffffffff"),
    ],
)
def test_a_head_has_the_shortest_form(argument: int, head: str) -> None:
    """RFC 8949, 3: at both ends of each length."""
    assert cbor.encode_head(0, argument).hex() == head
    assert cbor.encode(argument).hex() == head
