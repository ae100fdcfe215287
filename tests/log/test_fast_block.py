"""The fast ways to manifests and entries against the general ones: the same values, the same refusals."""

import random
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.log import manifest as module
from pipeline.log.block import EntryForm, parse_signed_block, sign_block
from pipeline.log.manifest import Manifest, ManifestPlace, decode_manifest, encode_manifest, read_place
from pipeline.wire import cbor
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import SeedSigner, key_id
from pipeline.wire.reasons import Reason

COUNTERS = st.one_of(
    st.sampled_from([0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53 - 1]),
    st.integers(0, 2**53 - 1),
)
HASHES = st.binary(min_size=32, max_size=32)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Manifests in the usual form."""
    offsets, arrival = sorted([draw(COUNTERS), draw(COUNTERS)]), sorted([draw(COUNTERS), draw(COUNTERS)])
    return Manifest(
        shard=draw(COUNTERS),
        height=draw(COUNTERS),
        previous=draw(HASHES),
        topic_id=draw(st.binary(min_size=16, max_size=16)),
        offset_first=offsets[0],
        offset_last=offsets[1],
        arrival_first_ms=arrival[0],
        arrival_last_ms=arrival[1],
        accepted=draw(COUNTERS),
        duplicates=draw(COUNTERS),
        refused={},
        refused_hash=draw(HASHES),
        registry_blocks=draw(COUNTERS),
        registry_root=draw(HASHES),
        state_hash=draw(st.none() | HASHES),
    )


def generally(raw: bytes) -> Manifest | str:
    """What the general way makes of these bytes."""
    try:
        return module._from_fields(cbor.decode(raw))
    except VerificationError as error:
        return error.reason.value


def outcome(read: Callable[[bytes], Manifest | ManifestPlace], raw: bytes) -> Manifest | ManifestPlace | str:
    """What a reader makes of these bytes."""
    try:
        return read(raw)
    except VerificationError as error:
        return error.reason.value


def either(raw: bytes) -> Manifest | str:
    """What decoding makes of them; reading the place only is the same with less."""
    found, place = outcome(decode_manifest, raw), outcome(read_place, raw)
    if isinstance(found, Manifest):
        assert place == ManifestPlace(*(getattr(found, name) for name in ManifestPlace._fields))
        return found
    assert isinstance(found, str)
    assert place == found
    return found


@given(manifest=manifests(), seed=st.integers(0))
def test_both_ways_read_the_same(manifest: Manifest, seed: int) -> None:
    """The bytes as written, and with anything in them changed, cut out or put in."""
    raw = encode_manifest(manifest)
    assert module._USUAL.fullmatch(raw)
    assert decode_manifest(raw) == generally(raw) == manifest
    chance = random.Random(seed)
    for _ in range(20):
        at = chance.randrange(len(raw))
        for changed in (
            raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :],
            raw[:at] + raw[at + 1 :],
            raw[:at] + bytes([chance.randrange(256)]) + raw[at:],
            raw[:at],
        ):
            assert either(changed) == generally(changed)


def test_the_usual_form_is_read_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest without refusals and equivocations never meets the general decoder."""
    plain = Manifest(1, 24, bytes(32), bytes(16), 5, 5, 7, 7, 4, 0, {}, bytes(32), 3, bytes(32))
    usual = [plain, replace(plain, state_hash=bytes(32))]
    raws = [encode_manifest(manifest) for manifest in usual]
    monkeypatch.setattr(module, "_from_fields", None)
    assert [decode_manifest(raw) for raw in raws] == usual


@pytest.mark.parametrize("change", [{"offset_first": 6}, {"arrival_first_ms": 8}])
def test_a_range_that_ends_before_it_begins_is_refused(change: dict[str, int]) -> None:
    """In the usual form as in any other."""
    plain = Manifest(1, 24, bytes(32), bytes(16), 5, 5, 7, 7, 4, 0, {}, bytes(32), 3, bytes(32))
    raw = encode_manifest(replace(plain, **change))  # type: ignore[arg-type]
    assert module._USUAL.fullmatch(raw)
    assert either(raw) == generally(raw) == Reason.MANIFEST_SHAPE.value


def test_a_manifest_in_no_usual_form_is_read_as_well() -> None:
    """With refusals, with equivocations, with a range that runs backwards."""
    plain = Manifest(1, 24, bytes(32), bytes(16), 256, 300, 2**32, 2**33, 4, 0, {}, bytes(32), 3, bytes(32))
    assert either(encode_manifest(replace(plain, refused={"oversize": 2}))) != plain
    assert isinstance(either(encode_manifest(replace(plain, equivocations=(1, 4)))), Manifest)
    for wrong in (
        replace(plain, offset_first=301),
        replace(plain, arrival_first_ms=2**33 + 1),
        replace(plain, offset_first=2**53 - 1, offset_last=23),
        replace(plain, arrival_first_ms=256, arrival_last_ms=255),
    ):
        assert either(encode_manifest(wrong)) == "manifest_shape"


def test_every_first_byte_of_every_field() -> None:
    """No head of an integer, string or map passes in one way and not in the other."""
    plain = Manifest(1, 24, bytes(32), bytes(16), 256, 65536, 2**32, 2**33, 4, 0, {}, bytes(32), 3, bytes(32))
    for manifest in (plain, replace(plain, state_hash=bytes(32))):
        raw = encode_manifest(manifest)
        for at in range(len(raw)):
            for value in range(256):
                changed = raw[:at] + bytes([value]) + raw[at + 1 :]
                assert either(changed) == generally(changed), (at, value)


@given(
    manifest=manifests(), origin=st.sampled_from(["a", "city.example/log", "x" * 255, "城市"]), root=HASHES
)
def test_an_entry_has_one_encoding(manifest: Manifest, origin: str, root: bytes) -> None:
    """What is written from an entry's parts is the entry that the log signed."""
    manifest = replace(manifest, accepted=manifest.accepted % 2047)
    signer = SeedSigner(sha256(b"log").digest())
    manifest_hash = sha256(b"\0" + encode_manifest(manifest)).digest()
    entry = sign_block(signer, origin, manifest, root, manifest_hash)
    block = parse_signed_block(entry)
    form = EntryForm(key_id(signer.public_key), origin)
    assert entry == form.encode(
        manifest.shard, manifest.height, manifest_hash, manifest.accepted + 1, root, block.signature
    )
