"""The CBOR profile: one strict pass over the bytes, and the encoder that satisfies it.

Everything signed or hashed uses this profile of RFC 8949: definite lengths; shortest integers and lengths;
map keys unique, in bytewise order (4.2.1), each an integer, text or a byte string; finite floats of any
width; no tag but 18, and that around the whole only; no simple values but false and true (null only as a
detached COSE payload); arrays and maps nested at most eight deep; text in UTF-8; nothing after the item.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import isfinite
from operator import itemgetter
from struct import Struct
from typing import NoReturn

import cbor2

from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

STATEMENT_SIZE_MAX = 16384  # Bytes; longer input is refused unread.
DEPTH_MAX = 8  # Arrays and maps around one another; tags do not count.
TAG_COSE_SIGN1 = 18

_FALSE, _TRUE, _NULL, _TAG_18 = 0xF4, 0xF5, 0xF6, 0xD2
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)  # Major types.
_STRINGS, _CONTAINERS = (_BYTES, _TEXT), (_ARRAY, _MAP)
_ARGUMENT_SIZES = {24: 1, 25: 2, 26: 4, 27: 8}
_ARGUMENT_LEASTS = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}  # Smaller ones have a shorter form.
_FLOAT_FORMATS = {25: Struct(">e"), 26: Struct(">f"), 27: Struct(">d")}


def check(  # noqa: C901, PLR0912 -- one loop: more calls would double what the worst input costs
    data: bytes, *, size_max: int = STATEMENT_SIZE_MAX, null_payload: bool = False
) -> None:
    """Check that the bytes are one item of the profile; the first fault in byte order is the reason.

    Args:
        data: The bytes of one item.
        size_max: Longer input is refused unread.
        null_payload: Admit null as the third element of a COSE_Sign1 (RFC 9052, 4.1: detached payload).

    Raises:
        VerificationError: `oversize` or one of the `cbor_*` reasons, with the position.
    """
    size = len(data)
    if size > size_max:
        raise VerificationError(Reason.OVERSIZE, f"{size} bytes, at most {size_max}")
    # `left` items are still to come in the innermost container. In a map a key comes when it is even.
    left, in_map, last_key = 1, False, b""
    outer: list[tuple[int, bool, bytes]] = []
    position = 0
    while left or outer:
        if not left:
            left, in_map, last_key = outer.pop()
            continue
        if position == size:
            _refuse(Reason.CBOR_TRUNCATED, position)
        start, head = position, data[position]
        major, argument, position = head >> 5, head & 31, position + 1
        is_key = in_map and not left & 1
        left -= 1
        if major == _SIMPLE:
            position = _check_simple(
                data, start, null_payload and _stands_for_payload(data, left, len(outer))
            )
        elif argument > 23:
            argument, position = _read_argument(data, start)
        if major in _STRINGS:
            position = _check_string(data, start, position, argument)
        if is_key:
            last_key = _check_key(data, start, position, last_key)
        elif major in _CONTAINERS:
            items = argument if major == _ARRAY else 2 * argument
            if items > size - position:  # Each item takes a byte at least.
                _refuse(Reason.CBOR_TRUNCATED, start)
            if len(outer) == DEPTH_MAX:
                _refuse(Reason.CBOR_DEPTH, start)
            if items:
                outer.append((left, in_map, last_key))
                left, in_map, last_key = items, major == _MAP, b""
        elif major == _TAG:
            if head != _TAG_18 or start:
                _refuse(Reason.CBOR_TAG, start)
            left = 1  # The tag and its content are one item.
    if position != size:
        _refuse(Reason.CBOR_TRAILING, position)


def decode(data: bytes, *, size_max: int = STATEMENT_SIZE_MAX, null_payload: bool = False) -> object:
    """Check the bytes and return their value: int, float, bool, bytes, str, list, dict or `cbor2.CBORTag` 18.

    Raises:
        VerificationError: As `check`.
    """
    check(data, size_max=size_max, null_payload=null_payload)
    if data[0] == _TAG_18:  # Inside a tag cbor2 would give tuples and frozen maps.
        return cbor2.CBORTag(TAG_COSE_SIGN1, cbor2.loads(data[1:]))
    return cbor2.loads(data)


def encode(value: object) -> bytes:
    """Return the deterministic encoding of a value (RFC 8949, 4.2.1): keys bytewise, numbers shortest.

    A float stays a float, in the shortest width that keeps it. The caller gives what the profile admits;
    anything else is a bug and an assertion.
    """
    out: list[bytes] = []
    _encode(value, out, 0)
    return b"".join(out)


def encode_head(major: int, argument: int) -> bytes:
    """Return the first bytes of an item: major type and argument in the shortest form (RFC 8949, 3)."""
    if argument < 24:
        return bytes((major << 5 | argument,))
    for info, size in _ARGUMENT_SIZES.items():
        if argument < 1 << 8 * size:
            return ((major << 5 | info) << 8 * size | argument).to_bytes(1 + size)
    raise AssertionError(f"no CBOR head for {argument}")


def encode_float(value: float) -> bytes:
    """Return a finite float in the shortest of the widths 16, 32 and 64 bit that keeps its value."""
    assert isfinite(value), "the profile has no NaN and no infinity"
    for info, form in _FLOAT_FORMATS.items():
        try:
            packed = form.pack(value)
        except OverflowError:
            continue
        if form.unpack(packed)[0] == value:
            return bytes((0xE0 | info,)) + packed
    raise AssertionError(f"64 bits do not keep {value}")


def _refuse(reason: Reason, position: int) -> NoReturn:
    raise VerificationError(reason, f"at byte {position}")


def _read_argument(data: bytes, start: int) -> tuple[int, int]:
    """Return the argument that follows a head byte, and where it ends (RFC 8949, 3)."""
    info = data[start] & 31
    if info > 27:  # 31 begins a string, array or map of indefinite length; 28 to 30 are reserved.
        indefinite = info == 31 and _BYTES <= data[start] >> 5 <= _MAP
        _refuse(Reason.CBOR_INDEFINITE if indefinite else Reason.CBOR_RESERVED, start)
    end = start + 1 + _ARGUMENT_SIZES[info]
    if end > len(data):
        _refuse(Reason.CBOR_TRUNCATED, start)
    argument = int.from_bytes(data[start + 1 : end])
    if argument < _ARGUMENT_LEASTS[info]:
        _refuse(Reason.CBOR_NOT_SHORTEST, start)
    return argument, end


def _check_string(data: bytes, start: int, position: int, length: int) -> int:
    """Check the byte or text string whose content is at `position`; return where it ends."""
    end = position + length
    if end > len(data):
        _refuse(Reason.CBOR_TRUNCATED, start)
    if data[start] >> 5 == _TEXT:
        try:
            data[position:end].decode()
        except UnicodeDecodeError:
            _refuse(Reason.CBOR_TEXT, start)
    return end


def _check_key(data: bytes, start: int, end: int, last_key: bytes) -> bytes:
    """Check the type and the order of a map key; return it, encoded."""
    if data[start] >> 5 > _TEXT:
        _refuse(Reason.CBOR_KEY_TYPE, start)
    key = data[start:end]
    if key <= last_key:
        _refuse(Reason.CBOR_KEY_DUPLICATE if key == last_key else Reason.CBOR_KEY_ORDER, start)
    return key


def _check_simple(data: bytes, start: int, detached: bool) -> int:  # noqa: FBT001
    """Check a simple value or float; return where it ends. `detached`: null may stand here."""
    head = data[start]
    if head in (_FALSE, _TRUE) or (head == _NULL and detached):
        return start + 1
    info = head & 31
    if info > 27:  # 28 to 30 are reserved; 31 is a break without anything to end.
        _refuse(Reason.CBOR_RESERVED, start)
    end = start + 1 + _ARGUMENT_SIZES.get(info, 0)
    if end > len(data):
        _refuse(Reason.CBOR_TRUNCATED, start)
    if info not in _FLOAT_FORMATS:
        _refuse(Reason.CBOR_SIMPLE, start)
    if not isfinite(_FLOAT_FORMATS[info].unpack_from(data, start + 1)[0]):
        _refuse(Reason.CBOR_FLOAT, start)
    return end


def _stands_for_payload(data: bytes, left: int, depth: int) -> bool:
    """Tell whether the item just begun is the third of the four in an outermost COSE_Sign1."""
    return data[:2] == b"\xd2\x84" and depth == 1 and left == 1


def _encode(value: object, out: list[bytes], depth: int) -> None:
    if isinstance(value, bool):
        out.append(b"\xf5" if value else b"\xf4")
    elif isinstance(value, int):
        out.append(encode_head(_UNSIGNED, value) if value >= 0 else encode_head(_NEGATIVE, -1 - value))
    elif isinstance(value, str):
        text = value.encode()
        out += encode_head(_TEXT, len(text)), text
    elif isinstance(value, float):
        out.append(encode_float(value))
    elif isinstance(value, bytes):
        out += encode_head(_BYTES, len(value)), value
    elif value is None:
        out.append(bytes((_NULL,)))
    elif isinstance(value, cbor2.CBORTag):
        assert value.tag == TAG_COSE_SIGN1, "the profile has no other tag"
        assert depth == 0, "the profile has no tag inside an item"
        out.append(bytes((_TAG_18,)))
        _encode(value.value, out, depth)
    else:
        _encode_container(value, out, depth)


def _encode_container(value: object, out: list[bytes], depth: int) -> None:
    assert depth < DEPTH_MAX, "nested too deep"
    if isinstance(value, Mapping):
        out.append(encode_head(_MAP, len(value)))
        for key, item in sorted([(_encode_key(key), item) for key, item in value.items()], key=itemgetter(0)):
            out.append(key)
            _encode(item, out, depth + 1)
    else:
        assert isinstance(value, Sequence), f"the profile has no {type(value).__name__}"
        out.append(encode_head(_ARRAY, len(value)))
        for item in value:
            _encode(item, out, depth + 1)


@lru_cache(maxsize=1024, typed=True)
def _encode_key(key: object) -> bytes:
    assert isinstance(key, (int, str, bytes)), "the profile has no such key"
    assert not isinstance(key, bool), "the profile has no such key"
    return encode(key)
