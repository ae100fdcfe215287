"""CBOR straight from RFC 8949, slow and plain, sharing nothing with what it is compared with.

`parse` reads well-formed CBOR of definite lengths into a tree that keeps what a value would lose (the width
of a float, the order of keys). `write` is the deterministic encoding of a tree. `admits` is the profile by
its definition: the bytes are what `write` makes of their own tree, and the tree has only what the profile
allows.
"""

import json
import math
import struct
from dataclasses import dataclass, field

FLOATS = {2: ">e", 4: ">f", 8: ">d"}


@dataclass(frozen=True)
class Item:
    """An item: major type; argument, or bytes of a string; and what it contains."""

    major: int
    argument: int = 0
    content: bytes = b""
    items: tuple["Item", ...] = field(default=())


class IllFormedError(Exception):
    """Not well-formed, or of indefinite length."""


def take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    """Take `size` bytes at `at`."""
    if size > len(data) - at:
        raise IllFormedError
    return data[at : at + size], at + size


def parse_item(data: bytes, at: int) -> tuple[Item, int]:
    """Read the item at `at`; return it and where it ends (RFC 8949, appendix C)."""
    head, at = take(data, at, 1)
    major, info = divmod(head[0], 32)
    argument = info
    more = b""
    if info in (24, 25, 26, 27):
        more, at = take(data, at, 2 ** (info - 24))
        argument = int.from_bytes(more, "big")
    elif info > 27:
        raise IllFormedError
    if major in (2, 3):
        content, at = take(data, at, argument)
        if major == 3:
            try:
                content.decode("utf-8")
            except UnicodeDecodeError as error:
                raise IllFormedError from error
        return Item(major, content=content), at
    if major == 7:
        return Item(7, info, more), at
    items = []
    for _ in range({4: argument, 5: 2 * argument, 6: 1}.get(major, 0)):
        item, at = parse_item(data, at)
        items.append(item)
    return Item(major, argument if major in (0, 1, 6) else 0, items=tuple(items)), at


def write_head(major: int, argument: int) -> bytes:
    """Write a head as RFC 8949, 4.2.1 wants it."""
    for limit, code, size in ((24, None, 0), (2**8, 24, 1), (2**16, 25, 2), (2**32, 26, 4), (2**64, 27, 8)):
        if argument < limit:
            first = 32 * major + (argument if code is None else code)
            return bytes([first]) + (b"" if code is None else argument.to_bytes(size, "big"))
    raise OverflowError


def write(item: Item) -> bytes:
    """Write a tree; the pairs of maps in the order of their encoded keys."""
    if item.major in (2, 3):
        return write_head(item.major, len(item.content)) + item.content
    if item.major == 4:
        return write_head(4, len(item.items)) + b"".join(map(write, item.items))
    if item.major == 5:
        encoded = [write(inner) for inner in item.items]
        pairs = sorted(zip(encoded[::2], encoded[1::2], strict=True))
        return write_head(5, len(pairs)) + b"".join(key + value for key, value in pairs)
    if item.major == 7:
        return bytes([0xE0 | item.argument]) + item.content
    return write_head(item.major, item.argument) + b"".join(map(write, item.items))


def tree(value: object) -> Item:
    """Return the tree of a Python value; floats in the shortest width that keeps them."""
    match value:
        case bool():
            return Item(7, 21 if value else 20)
        case None:
            return Item(7, 22)
        case int():
            return Item(0, value) if value >= 0 else Item(1, -1 - value)
        case float():
            for code, form in ((25, ">e"), (26, ">f"), (27, ">d")):
                try:
                    packed = struct.pack(form, value)
                except OverflowError:
                    continue
                if struct.unpack(form, packed) == (value,):
                    return Item(7, code, packed)
            raise ValueError(value)
        case bytes():
            return Item(2, content=value)
        case str():
            return Item(3, content=value.encode())
        case list() | tuple():
            return Item(4, items=tuple(map(tree, value)))
        case dict():
            return Item(5, items=tuple(tree(part) for pair in value.items() for part in pair))
    raise TypeError(value)


def dumps(value: object) -> bytes:
    """Write a Python value."""
    return write(tree(value))


def depth(item: Item) -> int:
    """Count the arrays and maps around the innermost item."""
    inner = max(map(depth, item.items), default=0)
    return inner + (item.major in (4, 5))


def within(item: Item) -> list[Item]:
    """List an item and everything inside it."""
    return [item, *(deeper for inner in item.items for deeper in within(inner))]


def allowed(item: Item, outermost: Item) -> bool:
    """Tell whether the profile has such an item (what it contains is looked at by itself)."""
    if item.major == 7:
        if item.argument in (25, 26, 27):
            return math.isfinite(struct.unpack(FLOATS[len(item.content)], item.content)[0])
        return item.argument in (20, 21)
    if item.major == 6:
        return item.argument == 18 and item is outermost
    if item.major == 5:
        keys = [write(key) for key in item.items[::2]]
        return len(set(keys)) == len(keys) and all(key.major in (0, 1, 2, 3) for key in item.items[::2])
    return True


def admits(data: bytes) -> bool:
    """Tell whether bytes are one item of the profile."""
    try:
        item, end = parse_item(data, 0)
    except (IllFormedError, RecursionError):
        return False
    return (
        end == len(data)
        and write(item) == data
        and depth(item) <= 8
        and all(allowed(inner, item) for inner in within(item))
    )


def diagnostic(data: bytes) -> str:
    """Return the diagnostic notation of well-formed CBOR (RFC 8949, 8)."""
    return notation(parse_item(data, 0)[0])


def notation(item: Item) -> str:
    """Return the diagnostic notation of a tree."""
    match item.major:
        case 0:
            return str(item.argument)
        case 1:
            return str(-1 - item.argument)
        case 2:
            return f"h'{item.content.hex()}'"
        case 3:
            return json.dumps(item.content.decode(), ensure_ascii=False)
        case 4:
            return f"[{', '.join(map(notation, item.items))}]"
        case 5:
            pairs = zip(item.items[::2], item.items[1::2], strict=True)
            return f"{{{', '.join(f'{notation(key)}: {notation(value)}' for key, value in pairs)}}}"
        case 6:
            return f"{item.argument}({notation(item.items[0])})"
    if item.argument in (25, 26, 27):
        return repr(struct.unpack(FLOATS[len(item.content)], item.content)[0])
    return {20: "false", 21: "true", 22: "null", 23: "undefined"}.get(
        item.argument, f"simple({item.argument})"
    )
