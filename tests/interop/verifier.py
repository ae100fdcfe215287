"""A second verifier, written from docs/ alone: formats.md, verification.md, quantities.md, reasons.md.

It imports nothing of `pipeline`, shares no code with it and is no faster than it needs to be. Where the two
disagree, one of them or the pages are wrong; `test_verifier.py` holds them against all vectors.
"""

import base64
import hashlib
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

from nacl import bindings
from nacl.exceptions import BadSignatureError

DOCS = Path(__file__).resolve().parents[2] / "docs"
COUNTER_MAX = 2**53 - 1
STATED_TYPES = {
    f"application/vnd.cityproof.{name}+cbor": name
    for name in ("enrolment", "rotation", "revocation", "admission")
}
EMPTY_ROOT = hashlib.sha256(b"").digest()

Fields: TypeAlias = Any  # A map that has been checked: its keys are the integers of formats.md.


class RefusedError(Exception):
    """What is shown is refused; `reason` is a code of reasons.md."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def require(holds: object, reason: str) -> None:
    """Refuse for this reason unless the condition holds."""
    if not holds:
        raise RefusedError(reason)


# formats.md, 1: the CBOR profile.


@dataclass
class Tag18:
    """What stands behind the one tag there is."""

    content: Any


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def head(self) -> tuple[int, int, int]:
        """Return the item's major type, its additional information and its argument."""
        start = self.at
        require(start < len(self.data), "cbor_truncated")
        major, info = self.data[start] >> 5, self.data[start] & 31
        self.at += 1
        if info < 24 or (major == 7 and info <= 27):
            return major, info, info
        require(not (info == 31 and 2 <= major <= 5), "cbor_indefinite")
        require(info <= 27, "cbor_reserved")
        size = 1 << info - 24
        require(self.at + size <= len(self.data), "cbor_truncated")
        argument = int.from_bytes(self.data[self.at : self.at + size], "big")
        self.at += size
        require(argument >= (24 if size == 1 else 1 << 4 * size), "cbor_not_shortest")
        return major, info, argument

    def item(self, depth: int, *, key: bool = False, null: bool = False) -> Any:
        """Return the next item; `null` where null may stand."""
        start = self.at
        major, info, argument = self.head()
        if major == 7:
            value = self.simple(info, null=null)
            require(not key, "cbor_key_type")
            return value
        if major < 2:
            return argument if major == 0 else -1 - argument
        if major < 4:
            require(self.at + argument <= len(self.data), "cbor_truncated")
            raw = self.data[self.at : self.at + argument]
            self.at += argument
            return raw if major == 2 else _text(raw)
        require(not key, "cbor_key_type")
        if major == 6:
            require(self.data[start] == 0xD2 and start == 0, "cbor_tag")
            return Tag18(self.sign1() if self.data[1:2] == b"\x84" else self.item(depth))
        items = argument if major == 4 else 2 * argument
        require(items <= len(self.data) - self.at, "cbor_truncated")
        require(depth < 8, "cbor_depth")
        return self.array(items, depth + 1) if major == 4 else self.map(argument, depth + 1)

    def sign1(self) -> list[Any]:
        """Return the array of four behind the tag, in which null may stand third."""
        _, _, items = self.head()
        require(items <= len(self.data) - self.at, "cbor_truncated")
        return [self.item(1, null=place == 2) for place in range(items)]

    def array(self, items: int, depth: int) -> list[Any]:
        return [self.item(depth) for _ in range(items)]

    def map(self, pairs: int, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        last = b""
        for _ in range(pairs):
            start = self.at
            key = self.item(depth, key=True)
            encoded = self.data[start : self.at]
            require(encoded != last, "cbor_key_duplicate")
            require(encoded > last, "cbor_key_order")
            last = encoded
            found[key] = self.item(depth)
        return found

    def simple(self, info: int, *, null: bool) -> Any:
        if 25 <= info <= 27:
            size = 1 << info - 24
            require(self.at + size <= len(self.data), "cbor_truncated")
            value: float = struct.unpack(">" + "efd"[info - 25], self.data[self.at : self.at + size])[0]
            self.at += size
            require(math.isfinite(value), "cbor_float")
            return value
        if info in (20, 21):
            return info == 21
        if info == 22 and null:
            return None
        require(info != 24 or self.at < len(self.data), "cbor_truncated")
        raise RefusedError("cbor_simple")


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise RefusedError("cbor_text") from None


def decode(data: bytes, size_max: int = 16_384) -> Any:
    """Return the value of one item of the profile."""
    require(len(data) <= size_max, "oversize")
    reader = _Reader(data)
    value = reader.item(0)
    require(reader.at == len(data), "cbor_trailing")
    return value


def head(major: int, n: int) -> bytes:
    """Return the shortest head."""
    if n < 24:
        return bytes((major << 5 | n,))
    size = next(size for size in (1, 2, 4, 8) if n < 1 << 8 * size)
    return bytes((major << 5 | 24 + size.bit_length() - 1,)) + n.to_bytes(size, "big")


def is_int(value: object) -> bool:
    """Tell whether this is an integer, of any size and sign."""
    return type(value) is int


def is_counter(value: object) -> bool:
    """Tell whether this is an integer from 0 to 2^53 - 1."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= COUNTER_MAX


def is_number(value: object) -> bool:
    """Tell whether this is an integer or a float."""
    return type(value) in (int, float)


def is_bytes(value: object, size: int) -> bool:
    """Tell whether this is a byte string of so many bytes."""
    return isinstance(value, bytes) and len(value) == size


# formats.md, 2: keys and signatures.


def key_id(public_key: bytes) -> bytes:
    """Return the 8 bytes that hint at a key."""
    return hashlib.sha256(public_key).digest()[:8]


def check_key(public_key: object) -> None:
    """Check that a key may be enrolled or trusted."""
    assert isinstance(public_key, bytes)
    require(len(public_key) == 32 and bindings.crypto_core_ed25519_is_valid_point(public_key), "key_invalid")


def check_signature(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Check an Ed25519 signature."""
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except (BadSignatureError, ValueError):
        raise RefusedError("signature_invalid") from None


def signed_bytes(protected: bytes, payload: bytes) -> bytes:
    """Return the Sig_structure."""
    text = b"\x84\x6aSignature1" + head(2, len(protected)) + protected
    return text + b"\x40" + head(2, len(payload)) + payload


# formats.md, 3: statements. verification.md, Parsing.

CONTENT_TYPE = re.compile(r"application/vnd\.cityproof\.[a-z0-9]+(?:[.-][a-z0-9]+)*\+cbor", re.ASCII)
DEVICE = re.compile(
    r"urn:dev:(?:(?:mac|ow):(?:[0-9a-f]{2})+"
    r"|(?:org|os):[1-9][0-9]*-[A-Za-z0-9.-]+(?::[A-Za-z0-9.-]+)*"
    r"|ops:[1-9][0-9]*-[A-Za-z0-9.]+-[A-Za-z0-9.-]+(?::[A-Za-z0-9.-]+)*"
    r"|(?!(?:mac|ow|org|os|ops):)[a-z][a-z0-9]*(?::[A-Za-z0-9.-]+)+)(?:_[A-Za-z0-9.-]+)*",
    re.ASCII,
)
URI = re.compile(
    r"(?!urn:dev:)[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+", re.ASCII
)


def is_device(name: object) -> bool:
    """Tell whether this is a device URN."""
    return isinstance(name, str) and len(name) <= 128 and DEVICE.fullmatch(name) is not None


def is_issuer(name: object) -> bool:
    """Tell whether this is a device URN or another URI."""
    return is_device(name) or (isinstance(name, str) and len(name) <= 128 and bool(URI.fullmatch(name)))


def is_label(text: object) -> bool:
    """Tell whether this is text as subjects are."""
    if not isinstance(text, str) or not 1 <= len(text.encode()) <= 128:
        return False
    return not any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F for c in text)


@dataclass
class Sign1:
    """The four parts of a COSE_Sign1, its header decoded."""

    protected: bytes
    header: dict[Any, Any]
    unprotected: dict[Any, Any]
    payload: bytes
    signature: bytes


def open_sign1(raw: bytes, labels: set[int], *, detached: bool = False) -> Sign1:
    """Parse a COSE_Sign1 whose header has exactly these labels."""
    tagged = decode(raw)
    require(isinstance(tagged, Tag18), "cose_shape")
    parts = tagged.content
    require(isinstance(parts, list) and len(parts) == 4, "cose_shape")
    protected, unprotected, payload, signature = parts
    shape = isinstance(protected, bytes) and isinstance(unprotected, dict)
    require(shape and (payload is None or isinstance(payload, bytes)), "cose_shape")
    require(is_bytes(signature, 64), "cose_shape")
    require((payload is None) == detached, "cose_payload")
    require(detached or unprotected == {}, "cose_unprotected")
    header = decode(protected)
    require(isinstance(header, dict), "cose_header")
    require(1 not in header or (is_int(header[1]) and header[1] == -19), "cose_algorithm")
    require(set(header) == labels, "cose_header")
    return Sign1(protected, header, unprotected, payload or b"", signature)


@dataclass
class Statement:
    """A statement's fields."""

    raw: bytes
    sign1: Sign1
    content_type: Any
    kid: bytes
    issuer: str
    subject: str
    chain: list[Any]


def parse_statement(raw: bytes) -> Statement:
    """Check a statement's form; neither its signature nor its payload."""
    sign1 = open_sign1(raw, {1, 3, 4, 15, -70001})
    content_type, kid, claims, chain = (sign1.header[label] for label in (3, 4, 15, -70001))
    if isinstance(content_type, str):
        good = len(content_type) <= 128 and CONTENT_TYPE.fullmatch(content_type)
        require(good, "statement_content_type")
    else:
        require(is_int(content_type) and content_type == 112, "statement_content_type")
    require(is_bytes(kid, 8), "cose_header")
    require(isinstance(claims, dict) and set(claims) == {1, 2}, "cose_header")
    require((is_device if content_type == 112 else is_issuer)(claims[1]), "statement_issuer")
    require(is_label(claims[2]), "statement_subject")
    require(isinstance(chain, list) and len(chain) == 3, "statement_chain")
    good_chain = is_counter(chain[0]) and is_counter(chain[1]) and is_bytes(chain[2], 32)
    require(good_chain, "statement_chain")
    return Statement(raw, sign1, content_type, kid, claims[1], claims[2], chain)


def verify_statement(statement: Statement, public_key: bytes) -> None:
    """Check a statement's signature."""
    sign1 = statement.sign1
    check_signature(public_key, signed_bytes(sign1.protected, sign1.payload), sign1.signature)


def shard_of(issuer: str, shards: int) -> int:
    """Return an issuer's shard."""
    return 1 + int.from_bytes(hashlib.sha256(issuer.encode()).digest(), "big") % (shards - 1)


# formats.md, 4: packs, and the table of quantities.


@dataclass
class Quantity:
    """A row of quantities.md."""

    unit: str
    secondary: bool
    boolean: bool
    kinds: set[str]


def _quantities() -> dict[str, Quantity]:
    found = {}
    for line in (DOCS / "quantities.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 9 and cells[0].startswith("`"):
            name, unit = cells[0].strip("`"), cells[1].strip("`")
            found[name] = Quantity(unit, cells[2] == "yes", cells[3] == "yes", set(cells[6].split(", ")))
    return found


QUANTITIES = _quantities()
UNITS = {quantity.unit for quantity in QUANTITIES.values()}
SENSORS = {"air", "weather", "water", "traffic", "cold", "meter", "parking"}
ROLES = {"auditor", "shipper", "carrier", "consignee", "issuer"}
KINDS = SENSORS | ROLES
MAY_SIGN: dict[str, set[Any]] = {
    **{role: set[Any]() for role in ROLES},
    **{sensor: {112} for sensor in SENSORS},
    "auditor": {"application/vnd.cityproof.finding+cbor"},
}


@dataclass
class Record:
    """A resolved record."""

    quantity: str
    unit: str
    value: float
    time_s: float

    @property
    def time_us(self) -> int:
        """The time that names its point."""
        return round(self.time_s * 1e6)


def resolve_pack(payload: bytes, issuer: str) -> list[Record]:
    """Return the records of a pack, the first fault refused."""
    pack = decode(payload)
    require(isinstance(pack, list) and 1 <= len(pack) <= 256, "pack_shape")
    base: dict[int, Any] = {-1: 10, -3: 0, -4: None}
    records: list[Record] = []
    for index, item in enumerate(pack):
        require(isinstance(item, dict) and set(item) <= {-1, -2, -3, -4, 0, 1, 2, 4, 6}, "pack_label")
        version = item.get(-1, base[-1])
        require(is_int(version) and version in (10, 26), "pack_version")
        require(index == 0 or version == base[-1], "pack_version")
        require((index > 0 and -2 not in item) or item.get(-2) == issuer + "_", "pack_base_name")
        require(-4 not in item or (isinstance(item[-4], str) and item[-4] in UNITS), "pack_unit")
        base |= {label: item[label] for label in (-1, -3, -4) if label in item}
        records.append(_resolve(item, base))
        places = {(record.quantity, record.time_us) for record in records}
        require(len(places) == len(records), "pack_duplicate")
    return records


def _resolve(item: dict[Any, Any], base: dict[int, Any]) -> Record:
    name = item.get(0)
    require(isinstance(name, str) and name in QUANTITIES, "pack_quantity")
    assert isinstance(name, str)
    quantity = QUANTITIES[name]
    require(item.get(1, base[-4]) == quantity.unit, "pack_unit")
    require(not quantity.secondary or base[-1] == 26, "pack_version")
    offset = item.get(6, 0)
    require(is_number(offset) and is_number(base[-3]), "pack_time")
    time_s = float(base[-3]) + float(offset)
    require(2**28 <= time_s < 2**33, "pack_time")
    value = item.get(4 if quantity.boolean else 2)
    good = isinstance(value, bool) if quantity.boolean else is_number(value)
    require(good and (2 if quantity.boolean else 4) not in item, "pack_value")
    assert value is not None
    return Record(name, quantity.unit, float(value), time_s)


# formats.md, 5: authorities' statements.


def parse_enrolment(payload: bytes) -> Fields:
    """Return the fields of an enrolment."""
    fields: Any = decode(payload)
    shape = "enrolment_shape"
    require(isinstance(fields, dict), shape)
    kind = fields.get(6)
    require(isinstance(kind, str) and kind in KINDS, shape)
    optional = {10} if kind in SENSORS else {9, 10, 11, 12}
    require(set(fields) - ({10} & optional) == set(range(1, 16)) - optional, shape)
    require(is_issuer(fields[1]), shape)
    require(all(is_label(fields[key]) for key in (3, 4, 5, 7, 8)), shape)
    require(fields[13] in ("device", "imported"), shape)
    require(all(is_time(fields[key]) for key in (12, 14) if key in fields), shape)
    require(is_bytes(fields[15], 64), shape)
    for key in (9, 10):
        require(key not in fields or _is_position(fields[key]), shape)
    accuracy = fields.get(11, {})
    require(isinstance(accuracy, dict), shape)
    for name, width in accuracy.items():
        known = isinstance(name, str) and name in QUANTITIES and fields[6] in QUANTITIES[name].kinds
        require(known and is_number(width) and width >= 0, shape)
    require(isinstance(fields[2], bytes), shape)
    check_key(fields[2])
    return fields


def parse_rotation(payload: bytes) -> Fields:
    """Return the fields of a rotation."""
    fields: Any = decode(payload)
    shape = "rotation_shape"
    require(isinstance(fields, dict) and set(fields) == set(range(1, 8)), shape)
    require(is_issuer(fields[1]) and is_bytes(fields[2], 8) and isinstance(fields[3], bytes), shape)
    start = fields[4]
    require(isinstance(start, list) and len(start) == 2 and all(map(is_counter, start)), shape)
    require(is_bytes(fields[5], 64) and is_bytes(fields[6], 64) and is_time(fields[7]), shape)
    check_key(fields[3])
    return fields


def parse_revocation(payload: bytes) -> Fields:
    """Return the fields of a revocation."""
    fields: Any = decode(payload)
    shape = "revocation_shape"
    require(isinstance(fields, dict) and set(fields) == {1, 2, 3}, shape)
    require(is_issuer(fields[1]) and is_bytes(fields[2], 8) and is_label(fields[3]), shape)
    return fields


def parse_admission(payload: bytes) -> Fields:
    """Return the fields of an admission."""
    fields: Any = decode(payload)
    shape = "admission_shape"
    require(isinstance(fields, dict) and set(fields) == {1, 2, 3}, shape)
    require(is_issuer(fields[1]) and is_label(fields[3]), shape)
    hashes = fields[2]
    require(isinstance(hashes, list) and hashes and all(is_bytes(item, 32) for item in hashes), shape)
    require(hashes == sorted(set(hashes)), shape)
    return fields


def parse_finding(payload: bytes) -> Fields:
    """Return the fields of a finding (formats.md, 14)."""
    fields: Any = decode(payload)
    shape = "finding_shape"
    require(isinstance(fields, dict) and {1, 2, 6, 8, 9} <= set(fields) <= set(range(1, 11)), shape)
    reason, place, head, credentials = (fields[key] for key in (1, 2, 8, 9))
    require(reason in ("point_altered", "point_missing", "point_unexpected"), shape)
    require(reason == "point_unexpected" or {3, 5} <= set(fields), shape)
    stored = len({4, 10} & set(fields))
    require(stored == 1 or (stored == 0 and reason == "point_missing"), shape)
    require(isinstance(place, list) and len(place) == 4 and all(map(is_label, place[:3])), shape)
    require(is_int(place[3]) and abs(place[3]) < 2**53, shape)
    require(all(is_number(fields[key]) for key in (3, 4) if key in fields), shape)
    leaf = fields.get(5, [0, 0])
    require(isinstance(leaf, list) and len(leaf) == 2 and all(map(is_counter, leaf)), shape)
    require(all(is_counter(fields[key]) for key in (6, 7) if key in fields), shape)
    require(isinstance(head, list) and len(head) == 2, shape)
    require(is_counter(head[0]) and is_bytes(head[1], 32), shape)
    require(isinstance(credentials, list) and 1 <= len(credentials) <= 32, shape)
    require(all(map(is_label, [*credentials, *([fields[10]] if 10 in fields else [])])), shape)
    return fields


def is_time(value: object) -> bool:
    """Tell whether this is a POSIX time in seconds."""
    return is_int(value) and 0 <= cast("int", value) < 2**33


def possession_input(authority: str, issuer: str, public_key: bytes) -> bytes:
    """Return what a key's holder signs to be enrolled."""
    return b"\n".join([b"cityproof/possession/v1", authority.encode(), issuer.encode(), public_key])


def rotation_input(authority: str, rotation: Fields) -> bytes:
    """Return what the old key signs."""
    epoch, sequence = rotation[4]
    end = rotation[3] + epoch.to_bytes(8, "big") + sequence.to_bytes(8, "big")
    return b"\n".join([b"cityproof/rotation/v1", authority.encode(), rotation[1].encode(), end])


def check_signed(public_key: bytes, message: bytes, signature: bytes, reason: str) -> None:
    """Check a signature that has a reason of its own."""
    require(reason_of(check_signature, public_key, message, signature) == "", reason)


def _is_position(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 3 or not all(map(is_number, value)):
        return False
    return bool(abs(value[0]) <= 180 and abs(value[1]) <= 90 and abs(value[2]) <= 10_000)


# formats.md, 7: trees, blocks, receipts.


def hash_leaf(leaf: bytes) -> bytes:
    """Return a leaf's hash."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def root_from_path(leaf_hash: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Return the root that a path leads to."""
    require(len(leaf_hash) == 32 and all(len(sibling) == 32 for sibling in path), "hash_size")
    require(0 <= index < size, "index_outside")
    inner = (index ^ (size - 1)).bit_length()
    border = (index >> inner).bit_count()
    require(len(path) <= inner + border, "path_long")
    require(len(path) >= inner + border, "path_short")
    node = leaf_hash
    for place, sibling in enumerate(path):
        left = place >= inner or index >> place & 1
        node = hashlib.sha256(b"\x01" + (sibling + node if left else node + sibling)).digest()
    return node


def root_of(leaf_hashes: list[bytes]) -> bytes:
    """Return the root over leaf hashes, by the definition of RFC 9162, 2.1.1."""
    if len(leaf_hashes) < 2:
        return leaf_hashes[0] if leaf_hashes else EMPTY_ROOT
    split = 1 << (len(leaf_hashes) - 1).bit_length() - 1
    left, right = root_of(leaf_hashes[:split]), root_of(leaf_hashes[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def parse_manifest(raw: bytes) -> Fields:
    """Return the fields of a manifest."""
    m: Any = decode(raw)
    shape = "manifest_shape"
    require(isinstance(m, dict) and set(m) - {12, 13} == set(range(1, 12)), shape)
    require(all(is_counter(m[key]) for key in (1, 2, 7, 8)), shape)
    require(all(is_bytes(m[key], 32) for key in (3, 10)) and is_bytes(m[4], 16), shape)
    for key in (5, 6):
        require(isinstance(m[key], list) and len(m[key]) == 2 and all(map(is_counter, m[key])), shape)
        require(m[key][0] <= m[key][1], shape)
    require(isinstance(m[9], dict), shape)
    for reason, count in m[9].items():
        known = isinstance(reason, str) and re.fullmatch(r"[a-z][a-z0-9_]{0,63}", reason, re.ASCII)
        require(known and is_counter(count) and count > 0, shape)
    require(isinstance(m[11], list) and len(m[11]) == 2, shape)
    require(is_counter(m[11][0]) and is_bytes(m[11][1], 32), shape)
    if 12 in m:
        leaves = m[12]
        require(isinstance(leaves, list) and leaves and all(map(is_counter, leaves)), shape)
        require(leaves == sorted(set(leaves)) and leaves[0] > 0 and leaves[-1] <= m[7], shape)
    require(13 not in m or is_bytes(m[13], 32), shape)
    return m


def parse_body(body: bytes) -> list[bytes]:
    """Return the leaves of a body."""
    require(len(body) <= 1 << 20, "oversize")
    leaves: list[bytes] = []
    at = 0
    while at < len(body):
        end = at + 4 + int.from_bytes(body[at : at + 4], "big")
        require(at + 4 <= len(body) and end <= len(body), "block_shape")
        leaves.append(body[at + 4 : end])
        at = end
    require(1 <= len(leaves) <= 2048, "block_shape")
    return leaves


def is_origin(name: object) -> bool:
    """Tell whether this may name a log or a key."""
    if not isinstance(name, str) or not 1 <= len(name.encode()) <= 255:
        return False
    return not any(c.isspace() or c == "+" or c < " " for c in name)


@dataclass
class BlockHeader:
    """What the protected header of a signed block or a receipt says."""

    kid: bytes
    origin: str
    shard: int
    height: int
    manifest_hash: bytes
    size: int


def _log_claims(header: dict[Any, Any]) -> tuple[bytes, str, str]:
    kid, claims = header[4], header[15]
    require(is_bytes(kid, 8) and isinstance(claims, dict) and set(claims) == {1, 2}, "cose_header")
    require(is_origin(claims[1]) and isinstance(claims[2], str), "cose_header")
    return kid, claims[1], claims[2]


def _block_header(header: dict[Any, Any]) -> BlockHeader:
    kid, origin, subject = _log_claims(header)
    require(is_int(header[395]) and header[395] == 1, "cose_header")
    place = header[-70002]
    require(isinstance(place, list) and len(place) == 4, "cose_header")
    shard, height, manifest_hash, size = place
    require(all(map(is_counter, (shard, height, size))) and is_bytes(manifest_hash, 32), "cose_header")
    require(subject == f"shard/{shard}/{height}" and 1 <= size <= 2048, "block_shape")
    return BlockHeader(kid, origin, shard, height, manifest_hash, size)


@dataclass
class SignedBlock:
    """A log entry."""

    header: BlockHeader
    sign1: Sign1

    @property
    def root(self) -> bytes:
        """Root over the block's leaves."""
        return self.sign1.payload


def parse_signed_block(raw: bytes) -> SignedBlock:
    """Parse a signed block; its signature is not verified."""
    sign1 = open_sign1(raw, {1, 4, 15, 395, -70002})
    header = _block_header(sign1.header)
    require(len(sign1.payload) == 32, "block_shape")
    return SignedBlock(header, sign1)


def verify_as_log(kid: bytes, sign1: Sign1, payload: bytes, public_key: bytes) -> None:
    """Check what the log signed."""
    require(kid == key_id(public_key), "key_unknown")
    check_signature(public_key, signed_bytes(sign1.protected, payload), sign1.signature)


def check_genesis(raw: bytes, public_key: bytes) -> Fields:
    """Return the fields of a genesis by this log."""
    fields = parse_genesis(raw)
    sign1 = open_sign1(raw, {1, 3, 4, 15})
    verify_as_log(_log_claims(sign1.header)[0], sign1, sign1.payload, public_key)
    return fields


def parse_genesis(raw: bytes) -> Fields:
    """Return the fields of a genesis; whose it is, its place in a log may say."""
    sign1 = open_sign1(raw, {1, 3, 4, 15})
    _, origin, subject = _log_claims(sign1.header)
    right_type = sign1.header[3] == "application/vnd.cityproof.genesis+cbor"
    require(right_type and subject == "genesis", "genesis_shape")
    fields: Any = decode(sign1.payload)
    require(isinstance(fields, dict) and set(fields) == {1, 2, 3, 4}, "genesis_shape")
    require(fields[1] == origin and is_counter(fields[2]) and fields[2] >= 2, "genesis_shape")
    require(is_int(fields[3]) and fields[3] == 1 and is_bytes(fields[4], 32), "genesis_shape")
    return fields


def check_receipt(receipt: bytes, leaf_hash: bytes, origin: str, public_key: bytes) -> tuple[int, int, int]:
    """Return shard, height and index of a statement that a receipt covers."""
    sign1 = open_sign1(receipt, {1, 4, 15, 395, -70002}, detached=True)
    header = _block_header(sign1.header)
    unprotected = sign1.unprotected
    require(set(unprotected) == {396} and isinstance(unprotected[396], dict), "cose_unprotected")
    proofs = unprotected[396]
    require(set(proofs) == {-1} and isinstance(proofs[-1], list) and len(proofs[-1]) == 1, "cose_unprotected")
    require(isinstance(proofs[-1][0], bytes), "cose_unprotected")
    proof = decode(proofs[-1][0])
    require(isinstance(proof, list) and len(proof) == 3, "receipt_shape")
    size, index, path = proof
    require(is_int(size) and is_int(index) and isinstance(path, list) and path, "receipt_shape")
    require(all(isinstance(sibling, bytes) for sibling in path), "receipt_shape")
    require(size == header.size, "receipt_size")
    require(header.origin == origin, "receipt_origin")
    root = root_from_path(leaf_hash, index, size, path)
    verify_as_log(header.kid, sign1, root, public_key)
    return header.shard, header.height, index


# formats.md, 8: checkpoints. 10: trust files.


def from_base64(text: str, reason: str) -> bytes:
    """Decode base64 that has one spelling only."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        raise RefusedError(reason) from None
    require(base64.b64encode(raw).decode() == text, reason)
    return raw


@dataclass(frozen=True)
class NoteKey:
    """A verifier key."""

    name: str
    kind: int
    public_key: bytes

    @property
    def id(self) -> bytes:
        """Its 4-byte key id."""
        material = self.name.encode() + b"\n" + bytes((self.kind,)) + self.public_key
        return hashlib.sha256(material).digest()[:4]


def parse_vkey(text: str) -> NoteKey:
    """Parse a verifier key."""
    require(text.count("+") >= 2, "note_key")
    name, given, material = text.split("+", 2)
    raw = from_base64(material, "note_key")
    require(is_origin(name) and raw[:1] in (b"\x01", b"\x04"), "note_key")
    key = NoteKey(name, raw[0], raw[1:])
    require(given == key.id.hex(), "note_key")
    check_key(key.public_key)
    return key


@dataclass
class Policy:
    """A policy file."""

    logs: list[NoteKey]
    witnesses: dict[str, NoteKey]
    groups: dict[str, tuple[int, list[str]]]
    quorum: str

    def is_quorum(self, cosigned: set[str]) -> bool:
        """Tell whether these witnesses suffice."""
        met = cosigned & set(self.witnesses)
        for name, (needed, members) in self.groups.items():
            if sum(member in met for member in members) >= needed:
                met.add(name)
        return self.quorum == "none" or self.quorum in met


def parse_policy(raw: bytes) -> Policy:
    """Parse a policy file."""
    require(len(raw) <= 65_536, "oversize")
    text = raw.decode(errors="surrogateescape")
    require(not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text) and text.endswith("\n"), "policy_shape")
    policy = Policy([], {}, {}, "")
    members: set[str] = set()
    for line in text.split("\n"):
        words = [word for word in re.split(r"[ \t]+", line) if word]
        if words and not words[0].startswith("#"):
            _policy_line(policy, members, words)
    require(policy.quorum, "policy_shape")
    return policy


def _policy_line(policy: Policy, members: set[str], words: list[str]) -> None:
    shape = "policy_shape"
    defined = {*policy.witnesses, *policy.groups}
    known = [*policy.logs, *policy.witnesses.values()]
    match words:
        case ["log", vkey] | ["log", vkey, _]:
            key = parse_vkey(vkey)
            require(key.kind == 1 and key.public_key not in {k.public_key for k in policy.logs}, shape)
            require((key.name, key.id) not in {(k.name, k.id) for k in known}, shape)
            policy.logs.append(key)
        case ["witness", name, vkey] | ["witness", name, vkey, _]:
            require(name != "none" and name not in defined, shape)
            key = parse_vkey(vkey)
            others = {k.public_key for k in policy.witnesses.values()}
            require(key.kind == 4 and key.public_key not in others, shape)
            require((key.name, key.id) not in {(k.name, k.id) for k in known}, shape)
            policy.witnesses[name] = key
        case ["group", name, count, *own] if own:
            require(name != "none" and name not in defined, shape)
            require(set(own) <= defined and len(set(own)) == len(own), shape)
            require(not members & set(own), shape)
            members |= set(own)
            digits = re.fullmatch(r"[1-9][0-9]*", count, re.ASCII)
            require(count in ("all", "any") or (digits and int(count) <= len(own)), shape)
            policy.groups[name] = ({"all": len(own), "any": 1}.get(count) or int(count), own)
        case ["quorum", name]:
            require(not policy.quorum and (name == "none" or name in defined), shape)
            policy.quorum = name
        case _:
            raise RefusedError(shape)


@dataclass
class Checkpoint:
    """A checkpoint that the policy accepts, with the earliest time of each witness by its policy name."""

    origin: str
    size: int
    root: bytes
    log: NoteKey
    times_s: dict[str, int]


def open_checkpoint(note: bytes, policy: Policy) -> Checkpoint:
    """Verify a checkpoint against a policy."""
    require(len(note) <= 131_072, "oversize")
    text, signatures = _parse_note(note)
    origin, size, root = _parse_head(text)
    signed: list[tuple[NoteKey, int]] = []
    for name, given, value in signatures:
        for key in (*policy.logs, *policy.witnesses.values()):
            if (key.name, key.id) == (name, given):
                signed.append((key, _check_line(key, text, value)))
    logs = [key for key, _ in signed if key in policy.logs]
    require(logs, "note_unsigned")
    own = [key for key in logs if key.name == origin]
    require(own, "checkpoint_origin")
    times_s: dict[str, int] = {}
    for name, witness in policy.witnesses.items():
        times = [time_s for key, time_s in signed if key == witness]
        if times:
            times_s[name] = min(times)
    require(policy.is_quorum(set(times_s)), "quorum_missing")
    return Checkpoint(origin, size, root, own[0], times_s)


def _parse_note(note: bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    shape = "note_shape"
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        raise RefusedError(shape) from None
    require(not re.search(r"[\x00-\x09\x0b-\x1f]", whole) and "\n\n" in whole, shape)
    text, lines = whole.rsplit("\n\n", 1)
    require(lines.endswith("\n") and len(lines[:-1].split("\n")) <= 64, shape)
    signatures = []
    for line in lines[:-1].split("\n"):
        parts = line.split(" ", 2)
        require(len(parts) == 3 and parts[0] == "\N{EM DASH}" and is_origin(parts[1]), shape)
        value = from_base64(parts[2], shape)
        require(len(value) > 4, shape)
        signatures.append((parts[1], value[:4], value[4:]))
    return text + "\n", signatures


def _parse_head(text: str) -> tuple[str, int, bytes]:
    shape = "checkpoint_shape"
    lines = text.split("\n")
    require(len(lines) == 4 and lines[3] == "", shape)
    root = from_base64(lines[2], shape)
    decimal = re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1], re.ASCII)
    require(is_origin(lines[0]) and decimal and int(lines[1]) < 2**63 and len(root) == 32, shape)
    return lines[0], int(lines[1]), root


def _check_line(key: NoteKey, text: str, value: bytes) -> int:
    time_s, message, signature = 0, text.encode(), value
    if key.kind == 4:
        time_s, signature = int.from_bytes(value[:8], "big"), value[8:]
        require(time_s < 2**63, "note_signature")
        message = f"cosignature/v1\ntime {time_s}\n{text}".encode()
    try:
        require(len(signature) == 64, "note_signature")
        check_signature(key.public_key, message, signature)
    except RefusedError:
        raise RefusedError("note_signature") from None
    return time_s


@dataclass
class Authority:
    """Who may enrol what."""

    public_key: bytes
    kinds: set[str]
    areas: set[str]


@dataclass
class Authorities:
    """The authorities of a file by (issuer, key id), its bounds, and its SHA-256."""

    by_key: dict[tuple[str, bytes], Authority]
    bounds: dict[str, int]
    file_hash: bytes


def parse_authorities(raw: bytes) -> Authorities:
    """Return what an authorities file says."""
    shape = "authorities_shape"
    require(len(raw) <= 65_536, "oversize")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise RefusedError(shape) from None
    found: dict[tuple[str, bytes], Authority] = {}
    bounds: dict[str, int] = {}
    for line in text.split("\n"):
        match line.split("#")[0].split():
            case []:
                pass
            case ["authority", issuer, key, kinds, areas]:
                public_key = from_base64(key, shape)
                check_key(public_key)
                names = set(kinds.split(",")), set(areas.split(","))
                require(is_issuer(issuer) and names[0] <= {*KINDS, "*"}, shape)
                require(all("" not in n and (n == {"*"} or "*" not in n) for n in names), shape)
                require(public_key not in {known.public_key for known in found.values()}, shape)
                found[issuer, key_id(public_key)] = Authority(public_key, *names)
            case ["bound", name, seconds]:
                require(name in {"registry_lag_s", "cosign_delay_s", "checkpoint_age_s"} - set(bounds), shape)
                require(re.fullmatch(r"[0-9]{1,9}", seconds, re.ASCII), shape)
                bounds[name] = int(seconds)
            case _:
                raise RefusedError(shape)
    require(found and len(bounds) == 3, shape)
    return Authorities(found, bounds, hashlib.sha256(raw).digest())


# formats.md, 9. verification.md, What authorities state.


@dataclass
class Stated:
    """An authority's statement that stands by itself: steps 3 to 7 of shard 0."""

    what: str
    fields: Fields
    authority: Authority
    name: str
    leaf_hash: bytes


def check_stated(raw: bytes, authorities: Authorities) -> Stated:
    """Check an authority's statement by itself."""
    statement = parse_statement(raw)
    authority = authorities.by_key.get((statement.issuer, statement.kid))
    require(authority, "authority_unknown")
    assert authority is not None
    verify_statement(statement, authority.public_key)
    what = STATED_TYPES.get(str(statement.content_type), "")
    require(what, "statement_content_type")
    parsers = {
        "enrolment": parse_enrolment,
        "rotation": parse_rotation,
        "revocation": parse_revocation,
        "admission": parse_admission,
    }
    fields = parsers[what](statement.sign1.payload)
    require(statement.subject == fields[1], "statement_subject")
    return Stated(what, fields, authority, statement.issuer, hash_leaf(raw))


def check_scope(authority: Authority, kind: str, area: str) -> None:
    """Check that kind and area are the authority's."""
    for names, name in ((authority.kinds, kind), (authority.areas, area)):
        require(names == {"*"} or name in names, "authority_scope")


@dataclass
class Key:
    """A key's record, and what is known of its signer."""

    enrolment: Fields
    public_key: bytes
    introduced_by: bytes
    valid_from: int
    start: list[int]
    end: list[int]
    revocation: bytes

    @property
    def place(self) -> tuple[str, bytes]:
        """Issuer and key id."""
        return self.enrolment[1], key_id(self.public_key)

    def record(self) -> bytes:
        """Return the record's bytes."""
        issuer, kid = self.place
        parts = [b"\x88", text_item(issuer), *map(string_item, (kid, self.public_key, self.introduced_by))]
        parts += [head(0, self.valid_from), _counters(self.start), _counters(self.end)]
        return b"".join([*parts, string_item(self.revocation)])

    def over(self, epoch: int, sequence: int) -> str:
        """Return why the key does not admit a statement at this place; empty if it does."""
        if self.revocation:
            return "key_revoked"
        ended = self.end and [epoch, sequence] >= self.end
        return "key_span" if ended or [epoch, sequence] < self.start else ""


def enrolled(stated: Stated) -> Key:
    """Check an enrolment; return its key."""
    require(stated.what == "enrolment", "statement_content_type")
    fields = stated.fields
    check_scope(stated.authority, fields[6], fields[8])
    wanted = possession_input(stated.name, fields[1], fields[2])
    check_signed(fields[2], wanted, fields[15], "possession_invalid")
    return Key(fields, fields[2], stated.leaf_hash, fields[14], [0, 0], [], b"")


def rotated(stated: Stated, old: Key, known: Callable[[], bool]) -> Key:
    """Check a rotation of this key, which nothing forbids; return the new key."""
    fields = stated.fields
    require(fields[4] > old.start, "key_span")
    require(not known(), "key_known")
    check_signed(old.public_key, rotation_input(stated.name, fields), fields[5], "rotation_signature")
    wanted = possession_input(stated.name, fields[1], fields[3])
    check_signed(fields[3], wanted, fields[6], "possession_invalid")
    return Key(old.enrolment, fields[3], stated.leaf_hash, fields[7], fields[4], [], b"")


def admission_record(issuer: str, leaf_hash: bytes, introduced_by: bytes) -> bytes:
    """Return the record of a statement that is admitted."""
    return b"\x83" + text_item(issuer) + string_item(leaf_hash) + string_item(introduced_by)


class Registry:
    """The registry as the statements in shard 0 make it, one after the other."""

    def __init__(self, authorities: Authorities) -> None:
        self.authorities = authorities
        self.keys: dict[tuple[str, bytes], Key] = {}
        self.admitted: dict[tuple[str, bytes], bytes] = {}

    def root(self) -> bytes:
        """Return the root over all records."""
        records = {place: key.record() for place, key in self.keys.items()}
        records |= {place: admission_record(*place, by) for place, by in self.admitted.items()}
        return root_of([hash_leaf(records[place]) for place in sorted(records)])

    def take(self, raw: bytes) -> None:
        """Take an authority's statement, or refuse it."""
        stated = check_stated(raw, self.authorities)
        {
            "enrolment": self._enrol,
            "rotation": self._rotate,
            "revocation": self._revoke,
            "admission": self._admit,
        }[stated.what](stated)

    def check_key(self, raw: bytes, arrival_ms: int) -> None:
        """Check who signed a statement: steps 3 to 8 of the other shards."""
        statement = parse_statement(raw)
        key = self.keys.get((statement.issuer, statement.kid))
        require(key, "key_unknown")
        assert key is not None
        require(key.valid_from * 1000 <= arrival_ms, "key_not_yet_valid")
        epoch, sequence, _ = statement.chain
        over = key.over(epoch, sequence)
        require(not over or (statement.issuer, hash_leaf(raw)) in self.admitted, over)
        verify_statement(statement, key.public_key)
        require(statement.content_type in MAY_SIGN[key.enrolment[6]], "statement_content_type")

    def _is_known(self, issuer: str, public_key: bytes) -> bool:
        known = {key.public_key for key in self.keys.values()}
        return (issuer, key_id(public_key)) in self.keys or public_key in known

    def _find(self, stated: Stated) -> Key:
        key = self.keys.get((stated.fields[1], stated.fields[2]))
        require(key, "key_unknown")
        assert key is not None
        check_scope(stated.authority, key.enrolment[6], key.enrolment[8])
        require(not key.revocation, "key_revoked")
        return key

    def _enrol(self, stated: Stated) -> None:
        key = enrolled(stated)
        require(not self._is_known(key.enrolment[1], key.public_key), "key_known")
        self.keys[key.place] = key

    def _rotate(self, stated: Stated) -> None:
        old = self._find(stated)
        require(not old.end, "key_ended")
        new = rotated(stated, old, lambda: self._is_known(stated.fields[1], stated.fields[3]))
        old.end = new.start
        self.keys[new.place] = new

    def _revoke(self, stated: Stated) -> None:
        self._find(stated).revocation = stated.leaf_hash

    def _admit(self, stated: Stated) -> None:
        issuer = stated.fields[1]
        keys = [key for key in self.keys.values() if key.enrolment[1] == issuer]
        require(keys, "key_unknown")
        for key in keys:
            check_scope(stated.authority, key.enrolment[6], key.enrolment[8])
        places = [(issuer, leaf_hash) for leaf_hash in stated.fields[2]]
        require(not any(place in self.admitted for place in places), "admission_known")
        self.admitted |= dict.fromkeys(places, stated.leaf_hash)


# formats.md, 11. verification.md, A point proof.


@dataclass
class Point:
    """What a valid proof shows."""

    record: Record
    issuer: str
    subject: str
    authority: str
    rotated_by: list[str]
    admitted_by: str
    enrolment: dict[int, Any]
    entry: int
    leaf: int
    checkpoint: Checkpoint


def verify_point(data: bytes, policy: Policy, authorities: Authorities) -> Point:
    """Verify a point proof, step by step."""
    proof = decode(data, 131_072)
    require(isinstance(proof, dict) and set(proof) - {10, 11, 12} == set(range(10)), "proof_shape")
    require(proof[0] == "application/vnd.cityproof.proof+cbor", "proof_shape")
    require(all(isinstance(proof[key], bytes) for key in (1, 4, 5, 7, 9)), "proof_shape")
    require(is_int(proof[2]) and proof[2] >= 0, "proof_shape")
    in_block, in_log, in_registry = (parse_path(proof[key]) for key in (3, 6, 8))
    rotations, (end, revocation), admission = of_the_key(proof)

    checkpoint = open_checkpoint(proof[9], policy)

    require(in_log[1] == checkpoint.size, "size_order")
    included(proof[5], in_log, checkpoint.root)

    block, manifest = check_manifest(proof[4], proof[5], checkpoint)
    for time_s in checkpoint.times_s.values():
        latest_ms = (time_s + authorities.bounds["cosign_delay_s"]) * 1000
        require(manifest[6][1] <= latest_ms, "arrival_late")

    require(in_block[1] == manifest[7] + 1, "block_counts")
    included(proof[1], in_block, block.root)
    require(in_block[0] not in manifest.get(12, []), "equivocation")

    key, enrolled_by, rotated_by = follow_key(proof[7], rotations, authorities)

    key.end, key.revocation = end, revocation
    recorded(key.record(), in_registry, manifest[11][1])
    require(key.valid_from * 1000 <= manifest[6][1], "key_not_yet_valid")

    statement = parse_statement(proof[1])
    require((statement.issuer, statement.kid) == key.place, "proof_registry")
    verify_statement(statement, key.public_key)

    over = key.over(*statement.chain[:2])
    require(over or not admission, "proof_shape")
    admitted_by = ""
    if over:
        require(admission, over)
        admitted_by = _admitted(admission, statement, key, manifest, authorities)

    require(statement.content_type == 112, "statement_content_type")
    records = resolve_pack(statement.sign1.payload, statement.issuer)
    require(proof[2] < len(records), "proof_record")
    return Point(
        records[proof[2]],
        statement.issuer,
        statement.subject,
        enrolled_by,
        rotated_by,
        admitted_by,
        key.enrolment,
        in_log[0],
        in_block[0],
        checkpoint,
    )


def check_manifest(raw: bytes, entry: bytes, checkpoint: Checkpoint) -> tuple[SignedBlock, Fields]:
    """Return the block and the manifest of an entry of this log."""
    block = parse_signed_block(entry)
    require(block.header.origin == checkpoint.origin, "checkpoint_origin")
    require(hash_leaf(raw) == block.header.manifest_hash, "manifest_mismatch")
    manifest = parse_manifest(raw)
    require((manifest[1], manifest[2]) == (block.header.shard, block.header.height), "block_height")
    return block, manifest


def follow_key(
    enrolment: bytes, rotations: list[bytes], authorities: Authorities
) -> tuple[Key, str, list[str]]:
    """Return a signer's key after these rotations, who enrolled it, and who rotated it."""
    stated = check_stated(enrolment, authorities)
    key = enrolled(stated)
    rotated_by: list[str] = []
    for raw in rotations:
        rotation = check_stated(raw, authorities)
        require(rotation.what == "rotation", "statement_content_type")
        require((rotation.fields[1], rotation.fields[2]) == key.place, "proof_registry")
        check_scope(rotation.authority, key.enrolment[6], key.enrolment[8])
        key = rotated(rotation, key, lambda: False)
        rotated_by.append(rotation.name)
    return key, stated.name, rotated_by


def of_the_key(proof: Fields) -> tuple[list[bytes], tuple[list[int], bytes], Any]:
    """Return rotations, [end, revocation] and admission, as far as they are there."""
    shape = "proof_shape"
    rotations, status, admission = proof.get(10, []), proof.get(11, [[], b""]), proof.get(12, [])
    if 10 in proof:
        require(isinstance(rotations, list) and rotations, shape)
        require(all(isinstance(raw, bytes) for raw in rotations), shape)
    if 11 in proof:
        require(isinstance(status, list) and len(status) == 2, shape)
        end, revocation = status
        require(isinstance(end, list) and len(end) in (0, 2) and all(map(is_counter, end)), shape)
        require(isinstance(revocation, bytes) and len(revocation) in (0, 32), shape)
        require(end or revocation, shape)
    if 12 in proof:
        require(isinstance(admission, list) and len(admission) == 2, shape)
        require(isinstance(admission[0], bytes), shape)
        admission = [admission[0], parse_path(admission[1])]
    return rotations, (status[0], status[1]), admission


def _admitted(
    admission: Any, statement: Statement, key: Key, manifest: Fields, authorities: Authorities
) -> str:
    raw, path = admission
    stated = check_stated(raw, authorities)
    require(stated.what == "admission", "statement_content_type")
    leaf_hash = hash_leaf(statement.raw)
    require(stated.fields[1] == statement.issuer and leaf_hash in stated.fields[2], "proof_registry")
    check_scope(stated.authority, key.enrolment[6], key.enrolment[8])
    recorded(admission_record(statement.issuer, leaf_hash, stated.leaf_hash), path, manifest[11][1])
    return stated.name


def recorded(record: bytes, path: "Path3", root: bytes) -> None:
    """Check that the registry of this root has a record."""
    require(path[1] == 1 << len(path[2]), "size_order")
    included(record, path, root)


Path3 = tuple[int, int, list[bytes]]


def parse_path(item: Any) -> Path3:
    """Return a path."""
    require(isinstance(item, list) and len(item) == 3, "proof_shape")
    index, size, hashes = item
    require(is_int(index) and is_int(size) and isinstance(hashes, list), "proof_shape")
    require(all(isinstance(sibling, bytes) for sibling in hashes), "proof_shape")
    return index, size, hashes


def included(leaf: bytes, path: Path3, root: bytes) -> None:
    """Check that a leaf is in the tree of this root."""
    require(root_from_path(hash_leaf(leaf), *path) == root, "root_mismatch")


def text_item(text: str) -> bytes:
    """Return a text string."""
    return head(3, len(text.encode())) + text.encode()


def string_item(raw: bytes) -> bytes:
    """Return a byte string."""
    return head(2, len(raw)) + raw


def _counters(numbers: list[int]) -> bytes:
    return head(4, len(numbers)) + b"".join(head(0, number) for number in numbers)


def reason_of(check: Callable[..., object], *arguments: object) -> str:
    """Return the reason a check refuses with; empty if it does not."""
    try:
        check(*arguments)
    except RefusedError as refused:
        return refused.reason
    return ""
