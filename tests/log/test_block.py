"""Blocks, manifests and the genesis: their bytes made by other means, and every way to break them."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from pipeline.log.block import (
    BODY_SIZE_MAX,
    LEAVES_MAX,
    SignedBlock,
    decode_body,
    encode_body,
    open_body,
    parse_signed_block,
    seal,
    sign_block,
    verify_signed_block,
)
from pipeline.log.genesis import Genesis, parse_genesis, sign_genesis, verify_genesis
from pipeline.log.manifest import Manifest, decode_manifest, encode_manifest
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import SeedSigner
from pipeline.wire.reasons import Reason

ORIGIN = "city.example/log"
SEED = b"L" * 32
KEY = SigningKey(SEED)
PUBLIC_KEY = bytes(KEY.verify_key)
KID = sha256(PUBLIC_KEY).digest()[:8]
ROOT, MANIFEST_HASH = sha256(b"root").digest(), sha256(b"manifest").digest()
UINT_MAX = 2**53 - 1

MANIFEST = Manifest(
    shard=3,
    height=1234,
    previous=sha256(b"previous").digest(),
    topic_id=bytes(range(16)),
    offset_first=50,
    offset_last=61,
    arrival_first_ms=1_700_000_000_000,
    arrival_last_ms=1_700_000_000_500,
    accepted=7,
    duplicates=2,
    refused={"cbor_tag": 1, "signature_invalid": 2},
    refused_hash=sha256(b"refused").digest(),
    registry_blocks=5,
    registry_root=sha256(b"registry").digest(),
    equivocations=(2, 7),
    state_hash=sha256(b"state").digest(),
)
MANIFEST_FIELDS: dict[Any, Any] = {
    1: 3,
    2: 1234,
    3: sha256(b"previous").digest(),
    4: bytes(range(16)),
    5: [50, 61],
    6: [1_700_000_000_000, 1_700_000_000_500],
    7: 7,
    8: 2,
    9: {"cbor_tag": 1, "signature_invalid": 2},
    10: sha256(b"refused").digest(),
    11: [5, sha256(b"registry").digest()],
    12: [2, 7],
    13: sha256(b"state").digest(),
}
HEADER: dict[Any, Any] = {
    1: -19,
    4: KID,
    15: {1: ORIGIN, 2: "shard/3/1234"},
    395: 1,
    -70002: [3, 1234, MANIFEST_HASH, 8],
}
GENESIS_HEADER: dict[Any, Any] = {
    1: -19,
    3: "application/vnd.cityproof.genesis+cbor",
    4: KID,
    15: {1: ORIGIN, 2: "genesis"},
}
GENESIS_PAYLOAD: dict[Any, Any] = {1: ORIGIN, 2: 5, 3: 1, 4: sha256(b"authorities").digest()}


def signed(header: object, payload: bytes, unprotected: object = None, key: SigningKey = KEY) -> bytes:
    """A COSE_Sign1 made by cbor2 and PyNaCl alone, from a header or the bytes of one."""
    protected = header if isinstance(header, bytes) else cbor2.dumps(header)
    message = cbor2.dumps(["Signature1", protected, b"", payload])
    return cbor2.dumps(
        cbor2.CBORTag(18, [protected, unprotected or {}, payload, key.sign(message).signature])
    )


RAW = signed(HEADER, ROOT)
GENESIS_RAW = signed(GENESIS_HEADER, cbor2.dumps(GENESIS_PAYLOAD))


def check_block(raw: bytes) -> SignedBlock:
    """Parse and verify a signed block."""
    block = parse_signed_block(raw)
    verify_signed_block(block, PUBLIC_KEY)
    return block


def check_genesis(raw: bytes) -> Genesis:
    """Parse and verify a genesis."""
    genesis = parse_genesis(raw)
    verify_genesis(genesis, PUBLIC_KEY)
    return genesis


def mth(hashes: list[bytes]) -> bytes:
    """Root over leaf hashes, from the definition."""
    if len(hashes) == 1:
        return hashes[0]
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\x01" + mth(hashes[:k]) + mth(hashes[k:])).digest()


def refusal(act: Callable[..., object], *arguments: object) -> Reason:
    """Why something is refused."""
    with pytest.raises(VerificationError) as refused:
        act(*arguments)
    return refused.value.reason


def without(fields: dict[Any, Any], key: object) -> dict[Any, Any]:
    """The map less one key."""
    return {k: v for k, v in fields.items() if k != key}


# Manifest


def test_a_manifest_is_the_map_the_formats_name() -> None:
    """Bytes and fields, with and without the two that may be absent."""
    assert encode_manifest(MANIFEST) == cbor2.dumps(MANIFEST_FIELDS)
    assert decode_manifest(cbor2.dumps(MANIFEST_FIELDS)) == MANIFEST
    bare = replace(MANIFEST, equivocations=(), state_hash=None, refused={})
    fields = without(without(MANIFEST_FIELDS, 12), 13) | {9: {}}
    assert encode_manifest(bare) == cbor2.dumps(fields)
    assert decode_manifest(cbor2.dumps(fields)) == bare


COUNTS = st.integers(0, UINT_MAX)
HASHES = st.binary(min_size=32, max_size=32)
REASONS = st.sampled_from(["a", "a_1", "x" * 64, *(str(reason) for reason in Reason)])


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Any manifest."""
    offsets = sorted((draw(COUNTS), draw(COUNTS)))
    times = sorted((draw(COUNTS), draw(COUNTS)))
    accepted = draw(st.integers(0, 2000))
    return Manifest(
        draw(COUNTS),
        draw(COUNTS),
        draw(HASHES),
        draw(st.binary(min_size=16, max_size=16)),
        offsets[0],
        offsets[1],
        times[0],
        times[1],
        accepted,
        draw(COUNTS),
        draw(st.dictionaries(REASONS, st.integers(1, UINT_MAX))),
        draw(HASHES),
        draw(COUNTS),
        draw(HASHES),
        tuple(sorted(draw(st.sets(st.integers(1, accepted), max_size=5)))) if accepted else (),
        draw(st.none() | HASHES),
    )


@given(manifests())
def test_every_manifest_goes_there_and_back(manifest: Manifest) -> None:
    """Decoding what was encoded gives the same manifest; there is one spelling of it."""
    raw = encode_manifest(manifest)
    assert decode_manifest(raw) == manifest
    assert cbor2.loads(raw)[7] == manifest.accepted


BAD_COUNTS: tuple[object, ...] = (-1, UINT_MAX + 1, True, 1.0, "1", b"", [], None)
BAD_HASHES: tuple[object, ...] = (bytes(31), bytes(33), b"", "x" * 32, 0, [], False)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        (1, BAD_COUNTS),
        (2, BAD_COUNTS),
        (3, BAD_HASHES),
        (4, (bytes(15), bytes(17), "x" * 16, 0)),
        (
            5,
            (
                [],
                [1],
                [1, 2, 3],
                [2, 1],
                [1, True],
                [1.0, 2],
                [-1, 2],
                [1, UINT_MAX + 1],
                1,
                {1: 2},
                b"ab",
                "ab",
            ),
        ),
        (6, ([], [1], [1, 2, 3], [2, 1], [False, 2], [1, 2.0], [-1, 2], [1, UINT_MAX + 1], 1, b"ab")),
        (7, BAD_COUNTS),
        (8, BAD_COUNTS),
        (
            9,
            (
                [],
                0,
                {1: 1},
                {"": 1},
                {"A": 1},
                {"1a": 1},
                {"a b": 1},
                {"a\n": 1},
                {"é": 1},
                {"a" * 65: 1},
                {b"a": 1},
                *({"a": count} for count in (0, *BAD_COUNTS) if count is not None),
            ),
        ),
        (10, BAD_HASHES),
        (
            11,
            (
                [],
                [1],
                [1, bytes(32), 1],
                [bytes(32), 1],
                1,
                *([count, bytes(32)] for count in BAD_COUNTS if count is not None),
                *([1, value] for value in BAD_HASHES),
            ),
        ),
        (12, ([], 1, [0], [8], [1, 1], [2, 1], [1, 8], [True], [1.0], ["1"], b"\1", {1: 2}, bytes(32))),
        (13, BAD_HASHES),
        (14, (1,)),
        (0, (1,)),
        (-1, (1,)),
        ("1", (1,)),
        (b"1", (1,)),
    ],
)
def test_a_field_of_another_type_or_range_is_refused(key: object, values: tuple[object, ...]) -> None:
    """Each field takes its own type and range only, and there are no others."""
    for value in values:
        fields = MANIFEST_FIELDS | {key: value}
        ordered = dict(sorted(fields.items(), key=lambda item: cbor2.dumps(item[0])))
        if value is None:
            assert refusal(decode_manifest, cbor2.dumps(ordered)) is Reason.CBOR_SIMPLE
        else:
            assert refusal(decode_manifest, cbor2.dumps(ordered)) is Reason.MANIFEST_SHAPE, (key, value)


def test_counts_go_up_to_2_to_the_53() -> None:
    """The largest count is what every language counts exactly; the smallest is 0."""
    largest = MANIFEST_FIELDS | {
        1: UINT_MAX,
        2: 0,
        5: [0, UINT_MAX],
        6: [7, 7],
        8: UINT_MAX,
        11: [0, bytes(32)],
    }
    manifest = decode_manifest(cbor2.dumps(largest))
    assert (manifest.shard, manifest.height, manifest.offset_last) == (UINT_MAX, 0, UINT_MAX)


@pytest.mark.parametrize("key", range(1, 12))
def test_a_missing_field_is_refused(key: int) -> None:
    """All but the last two must be there."""
    assert refusal(decode_manifest, cbor2.dumps(without(MANIFEST_FIELDS, key))) is Reason.MANIFEST_SHAPE


def test_what_is_no_manifest() -> None:
    """Other values, the same map in another order or spelling, bytes after it, 16 KiB and more."""
    others: tuple[object, ...] = ([], 1, b"", "a", {}, [MANIFEST_FIELDS], cbor2.CBORTag(18, MANIFEST_FIELDS))
    for value in others:
        assert refusal(decode_manifest, cbor2.dumps(value)) is Reason.MANIFEST_SHAPE
    raw = encode_manifest(MANIFEST)
    backwards = cbor2.dumps(dict(reversed(MANIFEST_FIELDS.items())))
    assert refusal(decode_manifest, backwards) is Reason.CBOR_KEY_ORDER
    assert refusal(decode_manifest, raw + b"\0") is Reason.CBOR_TRAILING
    assert refusal(decode_manifest, raw[:-1]) is Reason.CBOR_TRUNCATED
    assert refusal(decode_manifest, b"") is Reason.CBOR_TRUNCATED
    assert refusal(decode_manifest, bytes(16385)) is Reason.OVERSIZE


# Body


def test_a_body_is_length_and_leaf() -> None:
    """Four bytes of length, big-endian, then the leaf."""
    assert encode_body([b"ab", b"", b"c" * 258]) == b"\0\0\0\2ab\0\0\0\0\0\0\1\2" + b"c" * 258
    assert decode_body(b"\0\0\0\2ab\0\0\0\0\0\0\1\2" + b"c" * 258) == [b"ab", b"", b"c" * 258]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=50))
def test_bodies_go_there_and_back(leaves: list[bytes]) -> None:
    """Decoding gives the leaves; a byte less or more breaks the framing."""
    body = encode_body(leaves)
    assert decode_body(body) == leaves
    assert refusal(decode_body, body[:-1]) is Reason.BLOCK_SHAPE
    assert refusal(decode_body, body + b"\0") is Reason.BLOCK_SHAPE


@pytest.mark.parametrize(
    "body", [b"", b"\0", b"\0\0\0", b"\0\0\0\1", b"\0\0\0\2a", b"\xff\xff\xff\xff", b"\0\0\0\1ab"]
)
def test_broken_framing_is_block_shape(body: bytes) -> None:
    """Nothing, cut lengths, cut leaves, lengths beyond the end."""
    assert refusal(decode_body, body) is Reason.BLOCK_SHAPE


def test_bodies_are_bounded() -> None:
    """2,048 leaves (a point's ref has 11 bits for them) and 1 MiB; one more is refused."""
    assert len(decode_body(bytes(4 * LEAVES_MAX))) == LEAVES_MAX == 2048
    assert refusal(decode_body, bytes(4 * LEAVES_MAX + 4)) is Reason.BLOCK_SHAPE
    largest = encode_body([bytes(BODY_SIZE_MAX - 4)])
    assert len(largest) == BODY_SIZE_MAX == 1_048_576
    assert len(decode_body(largest)) == 1
    assert refusal(decode_body, largest + b"\0") is Reason.OVERSIZE


# Sealing


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_sealing_hashes_manifest_and_statements(count: int) -> None:
    """The body is manifest and statements, the root that of RFC 9162 over both, leaf 0 the manifest."""
    statements = [b"statement %d" % number for number in range(count)]
    block = seal(MANIFEST, statements)
    leaves = [encode_manifest(MANIFEST), *statements]
    assert decode_body(block.body) == leaves
    hashes = [sha256(b"\x00" + leaf).digest() for leaf in leaves]
    assert block.root == mth(hashes)
    assert block.manifest_hash == hashes[0]
    assert block.tree.size == count + 1


def test_a_body_is_opened_against_what_was_signed() -> None:
    """Leaves and tree of the signed block; another manifest, statement or number of leaves is refused."""
    statements = [b"statement %d" % number for number in range(7)]
    sealed = seal(MANIFEST, statements)
    signed_block = sign_block(SeedSigner(SEED), ORIGIN, MANIFEST, sealed.root, sealed.manifest_hash)
    block = parse_signed_block(signed_block)
    leaves, tree = open_body(block, sealed.body)
    assert leaves == [encode_manifest(MANIFEST), *statements]
    assert (tree.root, tree.size) == (sealed.root, 8)

    other = encode_body([encode_manifest(replace(MANIFEST, duplicates=3)), *statements])
    assert refusal(open_body, block, other) is Reason.MANIFEST_MISMATCH
    for changed in (statements[::-1], statements[:-1], [*statements, b"x"], [b"x", *statements[1:]]):
        assert refusal(open_body, block, encode_body([leaves[0], *changed])) is Reason.BLOCK_ROOT
    for size in (7, 9):
        assert refusal(open_body, replace(block, size=size), sealed.body) is Reason.BLOCK_COUNTS
    assert refusal(open_body, block, sealed.body[:-1]) is Reason.BLOCK_SHAPE
    assert refusal(open_body, block, bytes(BODY_SIZE_MAX + 1)) is Reason.OVERSIZE


def test_what_does_not_fit_is_our_bug() -> None:
    """The aggregator closes blocks long before these limits."""
    assert seal(MANIFEST, [b"s"] * (LEAVES_MAX - 1)).tree.size == LEAVES_MAX
    with pytest.raises(AssertionError):
        seal(MANIFEST, [b"s"] * LEAVES_MAX)
    room = BODY_SIZE_MAX - len(encode_manifest(MANIFEST)) - 8
    assert len(seal(MANIFEST, [bytes(room)]).body) == BODY_SIZE_MAX
    with pytest.raises(AssertionError):
        seal(MANIFEST, [bytes(room + 1)])


# Signed block


def test_a_signed_block_is_the_cose_the_formats_name() -> None:
    """Bytes and fields; signing twice gives the same bytes."""
    for _ in range(2):
        assert sign_block(SeedSigner(SEED), ORIGIN, MANIFEST, ROOT, MANIFEST_HASH) == RAW
    block = check_block(RAW)
    assert (block.raw, block.origin, block.shard, block.height) == (RAW, ORIGIN, 3, 1234)
    assert (block.manifest_hash, block.root, block.kid) == (MANIFEST_HASH, ROOT, KID)
    assert block.size == MANIFEST.accepted + 1 == 8
    assert block.protected == cbor2.dumps(HEADER)
    for size in (1, 2048):
        header = HEADER | {-70002: [3, 1234, MANIFEST_HASH, size]}
        assert check_block(signed(header, ROOT)).size == size
    assert block.signature == RAW[-64:]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({1: -8}, Reason.COSE_ALGORITHM),
        ({1: -7}, Reason.COSE_ALGORITHM),
        ({1: -19.0}, Reason.COSE_ALGORITHM),
        ({1: "EdDSA"}, Reason.COSE_ALGORITHM),
        ({4: KID[:-1]}, Reason.COSE_HEADER),
        ({4: KID + b"\0"}, Reason.COSE_HEADER),
        ({4: KID.hex()}, Reason.COSE_HEADER),
        ({4: bytes(8)}, Reason.KEY_UNKNOWN),
        ({15: {1: ORIGIN}}, Reason.COSE_HEADER),
        ({15: {2: "shard/3/1234"}}, Reason.COSE_HEADER),
        ({15: {1: ORIGIN, 2: "shard/3/1234", 3: "x"}}, Reason.COSE_HEADER),
        ({15: {1: b"x", 2: "shard/3/1234"}}, Reason.COSE_HEADER),
        ({15: {1: ORIGIN, 2: b"shard/3/1234"}}, Reason.COSE_HEADER),
        ({15: [ORIGIN, "shard/3/1234"]}, Reason.COSE_HEADER),
        ({15: {1: "", 2: "shard/3/1234"}}, Reason.COSE_HEADER),
        ({15: {1: "a b", 2: "shard/3/1234"}}, Reason.COSE_HEADER),
        ({15: {1: ORIGIN, 2: "shard/3/1235"}}, Reason.BLOCK_SHAPE),
        ({15: {1: ORIGIN, 2: "shard/3/01234"}}, Reason.BLOCK_SHAPE),
        ({15: {1: ORIGIN, 2: "shard/2/1234"}}, Reason.BLOCK_SHAPE),
        ({15: {1: ORIGIN, 2: ""}}, Reason.BLOCK_SHAPE),
        ({395: 2}, Reason.COSE_HEADER),
        ({395: True}, Reason.COSE_HEADER),
        ({395: 1.0}, Reason.COSE_HEADER),
        ({-70002: [3, 1235, MANIFEST_HASH, 8]}, Reason.BLOCK_SHAPE),
        ({-70002: [2, 1234, MANIFEST_HASH, 8]}, Reason.BLOCK_SHAPE),
        ({-70002: [3, 1234]}, Reason.COSE_HEADER),
        ({-70002: [3, 1234, MANIFEST_HASH]}, Reason.COSE_HEADER),
        ({-70002: [3, 1234, MANIFEST_HASH, 8, 0]}, Reason.COSE_HEADER),
        ({-70002: [3, 1234, MANIFEST_HASH, 8.0]}, Reason.COSE_HEADER),
        ({-70002: [3, 1234, MANIFEST_HASH, True]}, Reason.COSE_HEADER),
        ({-70002: [3, 1234, MANIFEST_HASH, -1]}, Reason.COSE_HEADER),
        ({-70002: [3, 1234, MANIFEST_HASH, 0]}, Reason.BLOCK_SHAPE),
        ({-70002: [3, 1234, MANIFEST_HASH, 2049]}, Reason.BLOCK_SHAPE),
        ({-70002: [3.0, 1234, MANIFEST_HASH, 8]}, Reason.COSE_HEADER),
        ({-70002: [3, -1, MANIFEST_HASH, 8]}, Reason.COSE_HEADER),
        ({-70002: [3, UINT_MAX + 1, MANIFEST_HASH, 8]}, Reason.COSE_HEADER),
        ({-70002: [3, 1234, MANIFEST_HASH[:-1], 8]}, Reason.COSE_HEADER),
        ({-70002: [3, 1234, MANIFEST_HASH + b"\0", 8]}, Reason.COSE_HEADER),
        ({-70002: [3, 1234, "x" * 32, 8]}, Reason.COSE_HEADER),
        ({-70002: MANIFEST_HASH}, Reason.COSE_HEADER),
        ({2: [395]}, Reason.COSE_HEADER),
        ({3: 112}, Reason.COSE_HEADER),
        ({-70001: [0, 0, bytes(32)]}, Reason.COSE_HEADER),
        *(({label: ...}, Reason.COSE_HEADER) for label in HEADER),
    ],
)
def test_another_header_is_refused_though_well_signed(change: dict[Any, Any], reason: Reason) -> None:
    """The header holds exactly its five labels, each of its type, and they agree with one another."""
    merged = {label: value for label, value in (HEADER | change).items() if value is not ...}
    ordered = dict(sorted(merged.items(), key=lambda item: cbor2.dumps(item[0])))
    assert refusal(check_block, signed(ordered, ROOT)) is reason


def test_a_bool_is_no_number_in_a_header() -> None:
    """CBOR true and 1 are different bytes, though Python holds them equal."""
    header = HEADER | {15: {1: ORIGIN, 2: "shard/True/1"}, -70002: [True, 1, MANIFEST_HASH, 8]}
    assert refusal(check_block, signed(header, ROOT)) is Reason.COSE_HEADER
    header = HEADER | {15: {1: ORIGIN, 2: "shard/1/0"}, -70002: [1, False, MANIFEST_HASH, 8]}
    assert refusal(check_block, signed(header, ROOT)) is Reason.COSE_HEADER


def test_the_rest_of_a_block_is_exact_too() -> None:
    """Empty unprotected map, 32 bytes of payload, nothing detached, the log's own signature."""
    assert refusal(check_block, signed(HEADER, ROOT, {4: KID})) is Reason.COSE_UNPROTECTED
    assert refusal(check_block, signed(HEADER, ROOT[:-1])) is Reason.BLOCK_SHAPE
    assert refusal(check_block, signed(HEADER, ROOT + b"\0")) is Reason.BLOCK_SHAPE
    assert refusal(check_block, signed(HEADER, b"")) is Reason.BLOCK_SHAPE
    assert refusal(check_block, signed(b"", ROOT)) is Reason.CBOR_TRUNCATED
    assert refusal(check_block, signed(cbor2.dumps(HEADER) + b"\0", ROOT)) is Reason.CBOR_TRAILING
    backwards = dict(reversed(HEADER.items()))
    assert refusal(check_block, signed(backwards, ROOT)) is Reason.CBOR_KEY_ORDER
    detached = cbor2.dumps(cbor2.CBORTag(18, [cbor2.dumps(HEADER), {}, None, RAW[-64:]]))
    assert refusal(check_block, detached) is Reason.COSE_PAYLOAD
    untagged = cbor2.dumps([cbor2.dumps(HEADER), {}, ROOT, RAW[-64:]])
    assert refusal(check_block, untagged) is Reason.COSE_SHAPE
    assert refusal(check_block, RAW + b"\0") is Reason.CBOR_TRAILING
    assert refusal(check_block, bytes(16385)) is Reason.OVERSIZE
    stranger = SigningKey(b"S" * 32)
    assert refusal(check_block, signed(HEADER, ROOT, key=stranger)) is Reason.SIGNATURE_INVALID
    assert (
        refusal(verify_signed_block, parse_signed_block(RAW), bytes(stranger.verify_key))
        is Reason.KEY_UNKNOWN
    )


def test_every_bit_of_a_signed_block_counts() -> None:
    """Each flipped bit is refused with a reason."""
    check_block(RAW)
    reasons = {refusal(check_block, flip(RAW, bit)) for bit in range(8 * len(RAW))}
    assert Reason.SIGNATURE_INVALID in reasons


def test_every_bit_of_a_body_counts() -> None:
    """Each flipped bit breaks the framing or gives another root."""
    block = seal(MANIFEST, [b"statement %d" % number for number in range(7)])
    seen: list[Reason | None] = []
    for bit in range(8 * len(block.body)):
        try:
            leaves = decode_body(flip(block.body, bit))
        except VerificationError as error:
            seen.append(error.reason)
            continue
        assert mth([sha256(b"\x00" + leaf).digest() for leaf in leaves]) != block.root
        seen.append(None)
    assert set(seen) == {Reason.BLOCK_SHAPE, None}


def flip(data: bytes, bit: int) -> bytes:
    """The bytes with one bit flipped."""
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


# Genesis


def test_a_genesis_is_the_cose_the_formats_name() -> None:
    """Bytes and fields."""
    assert sign_genesis(SeedSigner(SEED), ORIGIN, 5, sha256(b"authorities").digest()) == GENESIS_RAW
    genesis = check_genesis(GENESIS_RAW)
    assert (genesis.raw, genesis.origin, genesis.shards, genesis.version) == (GENESIS_RAW, ORIGIN, 5, 1)
    assert (genesis.authorities_hash, genesis.kid) == (sha256(b"authorities").digest(), KID)


@pytest.mark.parametrize(
    ("header", "payload", "reason"),
    [
        ({1: -8}, {}, Reason.COSE_ALGORITHM),
        ({3: 112}, {}, Reason.GENESIS_SHAPE),
        ({3: "application/vnd.cityproof.enrolment+cbor"}, {}, Reason.GENESIS_SHAPE),
        ({4: bytes(8)}, {}, Reason.KEY_UNKNOWN),
        ({4: b""}, {}, Reason.COSE_HEADER),
        ({15: {1: ORIGIN, 2: "shard/0/0"}}, {}, Reason.GENESIS_SHAPE),
        ({15: {1: ORIGIN, 2: "genesis", 3: 1}}, {}, Reason.COSE_HEADER),
        ({15: {1: "other", 2: "genesis"}}, {}, Reason.GENESIS_SHAPE),
        ({395: 1}, {}, Reason.COSE_HEADER),
        ({}, {1: "other"}, Reason.GENESIS_SHAPE),
        ({}, {1: b"x"}, Reason.GENESIS_SHAPE),
        ({}, {2: 1}, Reason.GENESIS_SHAPE),
        ({}, {2: 0}, Reason.GENESIS_SHAPE),
        ({}, {2: -5}, Reason.GENESIS_SHAPE),
        ({}, {2: 5.0}, Reason.GENESIS_SHAPE),
        ({}, {2: UINT_MAX + 1}, Reason.GENESIS_SHAPE),
        ({}, {3: 0}, Reason.GENESIS_SHAPE),
        ({}, {3: 2}, Reason.GENESIS_SHAPE),
        ({}, {3: True}, Reason.GENESIS_SHAPE),
        ({}, {4: bytes(31)}, Reason.GENESIS_SHAPE),
        ({}, {4: "x" * 32}, Reason.GENESIS_SHAPE),
        ({}, {5: 0}, Reason.GENESIS_SHAPE),
        *(({}, {key: ...}, Reason.GENESIS_SHAPE) for key in GENESIS_PAYLOAD),
    ],
)
def test_another_genesis_is_refused_though_well_signed(
    header: dict[Any, Any], payload: dict[Any, Any], reason: Reason
) -> None:
    """Header and payload hold exactly what the formats name, of this version, and name one log."""
    fields = {key: value for key, value in (GENESIS_PAYLOAD | payload).items() if value is not ...}
    raw = signed(GENESIS_HEADER | header, cbor2.dumps(fields))
    assert refusal(check_genesis, raw) is reason


def test_what_is_no_genesis() -> None:
    """A signed block, other payloads, an unprotected header, another key."""
    assert check_genesis(signed(GENESIS_HEADER, cbor2.dumps(GENESIS_PAYLOAD | {2: 2}))).shards == 2
    assert refusal(check_genesis, RAW) is Reason.COSE_HEADER
    assert refusal(check_block, GENESIS_RAW) is Reason.COSE_HEADER
    assert refusal(check_genesis, signed(GENESIS_HEADER, cbor2.dumps([1]))) is Reason.GENESIS_SHAPE
    assert refusal(check_genesis, signed(GENESIS_HEADER, b"")) is Reason.CBOR_TRUNCATED
    assert (
        refusal(check_genesis, signed(GENESIS_HEADER, cbor2.dumps(GENESIS_PAYLOAD), {1: 1}))
        is Reason.COSE_UNPROTECTED
    )
    stranger = SigningKey(b"S" * 32)
    assert (
        refusal(check_genesis, signed(GENESIS_HEADER, cbor2.dumps(GENESIS_PAYLOAD), key=stranger))
        is Reason.SIGNATURE_INVALID
    )


def test_every_bit_of_a_genesis_counts() -> None:
    """Each flipped bit is refused with a reason."""
    reasons = {refusal(check_genesis, flip(GENESIS_RAW, bit)) for bit in range(8 * len(GENESIS_RAW))}
    assert Reason.SIGNATURE_INVALID in reasons
