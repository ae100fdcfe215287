"""The registry: who gets into it, the root over all keys against RFC 9162's words, and each key's path."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.identity.changes import check_change, find_authority
from pipeline.identity.records import KeyRecord
from pipeline.identity.registry import Registry
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import parse_statement
from tests.support.city import (
    AIR_ONLY,
    AIR_ONLY_NAME,
    AUTHORITIES,
    AUTHORITY,
    AUTHORITY_NAME,
    Device,
    enrol,
    enrolment,
    with_field,
)

EMPTY = sha256(b"").digest()
DEVICES = [Device(n) for n in range(12)]


def tree_root(entries: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word by word."""
    if not entries:
        return EMPTY
    if len(entries) == 1:
        return sha256(b"\0" + entries[0]).digest()
    k = 1 << (len(entries) - 1).bit_length() - 1
    return sha256(b"\1" + tree_root(entries[:k]) + tree_root(entries[k:])).digest()


def key_id(device: Device) -> bytes:
    """The first 8 bytes of SHA-256 of the key."""
    return sha256(device.signer.public_key).digest()[:8]


def record_bytes(device: Device, raw: bytes) -> bytes:
    """A record in CBOR, without our code: of a key that was never rotated or revoked."""
    public_key = device.signer.public_key
    enrolment_hash = sha256(b"\0" + raw).digest()
    return cbor2.dumps(
        [device.issuer, key_id(device), public_key, enrolment_hash, 1_700_000_000, [0, 0], [], b""]
    )


def expected_root(enrolled: dict[Device, bytes]) -> bytes:
    """The root over the records of all keys, sorted by issuer and key id."""
    ordered = sorted(enrolled, key=lambda device: (device.issuer, key_id(device)))
    return tree_root([record_bytes(device, enrolled[device]) for device in ordered])


def refusal(act: Callable[..., object], *arguments: Any) -> Reason:
    """Why something is refused."""
    with pytest.raises(VerificationError) as refused:
        act(*arguments)
    return refused.value.reason


def judged(raw: bytes) -> Reason:
    """Why an enrolment statement is refused."""
    return refusal(check_change, parse_statement(raw), AUTHORITIES)


def test_an_authoritys_enrolment_is_accepted() -> None:
    """It gives back what was enrolled, by whom it was found."""
    statement = parse_statement(enrol(DEVICES[0], 0))
    authority, found = check_change(statement, AUTHORITIES)
    assert (authority.issuer, found) == (AUTHORITY_NAME, enrolment(DEVICES[0]))
    assert find_authority(statement, AUTHORITIES).issuer == AUTHORITY_NAME
    narrow = enrol(DEVICES[0], 0, by=AIR_ONLY, name=AIR_ONLY_NAME)
    authority, found = check_change(parse_statement(narrow), AUTHORITIES)
    assert (authority.issuer, found) == (AIR_ONLY_NAME, enrolment(DEVICES[0], authority=AIR_ONLY_NAME))


@pytest.mark.parametrize(
    ("about", "by", "name"),
    [
        ({"area": "south"}, AIR_ONLY, AIR_ONLY_NAME),
        ({"kind": "water", "accuracy": {}}, AIR_ONLY, AIR_ONLY_NAME),
    ],
)
def test_an_authority_enrols_nothing_outside_its_scope(about: dict[str, Any], by: Any, name: str) -> None:
    """Kind and area both count."""
    raw = enrol(DEVICES[0], 0, by=by, name=name, about=enrolment(DEVICES[0], authority=name, **about))
    assert judged(raw) is Reason.AUTHORITY_SCOPE


@pytest.mark.parametrize(
    ("by", "name"),
    [
        (AUTHORITY, "https://other.example/"),
        (DEVICES[0].signer, AUTHORITY_NAME),
        (AUTHORITY, AIR_ONLY_NAME),
        (DEVICES[0].signer, DEVICES[0].issuer),
    ],
)
def test_nobody_else_enrols(by: Any, name: str) -> None:
    """Name and key must belong together in the authorities file."""
    raw = enrol(DEVICES[0], 0, by=by, name=name)
    assert judged(raw) is Reason.AUTHORITY_UNKNOWN
    assert refusal(find_authority, parse_statement(raw), AUTHORITIES) is Reason.AUTHORITY_UNKNOWN


def test_each_fault_of_an_enrolment_has_its_reason() -> None:
    """The signature first, then what it is, then what it says."""
    device = DEVICES[0]
    raw = enrol(device, 0)
    payload = parse_statement(raw).payload
    assert judged(raw[:-1] + bytes([raw[-1] ^ 1])) is Reason.SIGNATURE_INVALID
    reading = enrol(device, 0, content_type="application/vnd.cityproof.handover+cbor")
    assert judged(reading) is Reason.STATEMENT_CONTENT_TYPE
    assert judged(enrol(device, 0, payload=b"\xff")) is Reason.CBOR_RESERVED
    assert judged(enrol(device, 0, payload=with_field(payload, 8, None))) is Reason.ENROLMENT_SHAPE
    assert judged(enrol(device, 0, payload=with_field(payload, 2, bytes(32)))) is Reason.KEY_INVALID
    assert judged(enrol(device, 0, subject=DEVICES[1].issuer)) is Reason.STATEMENT_SUBJECT


def test_a_signature_is_checked_before_anything_it_says() -> None:
    """Whoever is not the authority learns nothing but that."""
    raw = enrol(DEVICES[0], 0, payload=b"\xff", content_type="application/vnd.cityproof.x+cbor", subject="x")
    assert judged(raw[:-1] + bytes([raw[-1] ^ 1])) is Reason.SIGNATURE_INVALID


def checked(registry: Registry, change: Any) -> Reason:
    """Why what the authority states cannot follow what it stated before."""
    return refusal(registry.check, change, find_authority(parse_statement(enrol(DEVICES[0], 0)), AUTHORITIES))


def test_a_key_is_enrolled_once() -> None:
    """Neither another issuer for one public key, nor the same once more; another key of an issuer may."""
    registry = Registry()
    first = enrolment(DEVICES[0])
    registry.apply(first, b"h" * 32)
    assert registry.find(first.issuer, key_id(DEVICES[0])) == KeyRecord(
        issuer=first.issuer,
        public_key=first.public_key,
        introduced_by=b"h" * 32,
        valid_from_s=first.valid_from_s,
        kind="air",
        subject="station-1",
        area="north",
        since=1,
    )
    assert registry.find(first.issuer, key_id(DEVICES[1])) is None
    for again in (first, enrolment(DEVICES[0], issuer=DEVICES[1].issuer)):
        assert checked(registry, again) is Reason.KEY_KNOWN
    registry.apply(enrolment(DEVICES[0], public_key=DEVICES[1].signer.public_key), bytes(32))
    assert registry.find(first.issuer, key_id(DEVICES[1])) is not None


def test_a_key_id_is_enough_to_be_known() -> None:
    """Two keys of one issuer with one key id could not be told apart: the second is refused."""
    registry = Registry()
    registry.apply(enrolment(DEVICES[0]), bytes(32))
    registry._public_keys.clear()  # As if the keys were two: their ids collide once in 2^64.
    assert registry.find(DEVICES[0].issuer, key_id(DEVICES[0])) is not None
    assert checked(registry, enrolment(DEVICES[0])) is Reason.KEY_KNOWN


@given(order=st.permutations(DEVICES), cuts=st.sets(st.integers(1, 11)))
def test_the_root_is_that_over_all_keys_sorted(order: list[Device], cuts: set[int]) -> None:
    """Whatever the order of enrolling and the cuts between blocks; each state keeps its root."""
    registry, enrolled, roots = Registry(), dict[Device, bytes](), [EMPTY]
    block: list[bytes] = [b"manifest"]
    for number, device in enumerate(order, 1):
        raw = enrol(device, number)
        block.append(raw)
        enrolled[device] = raw
        if number in cuts or number == len(order):
            registry.apply_block(block, (), AUTHORITIES)
            roots.append(expected_root(enrolled))
            block = [b"manifest"]
    assert registry.roots == roots
    assert (registry.blocks, registry.root) == (len(roots) - 1, roots[-1])


@pytest.mark.parametrize("size", range(1, 13))
def test_every_key_has_its_path_to_the_root(size: int) -> None:
    """Fold the hashes in from their sides; a path of one key leads nowhere but to its own record."""
    registry, enrolled = Registry(), {device: enrol(device, n) for n, device in enumerate(DEVICES[:size])}
    registry.apply_block([b"manifest", *enrolled.values()], (), AUTHORITIES)
    for device, raw in enrolled.items():
        (key,) = registry.keys_of(device.issuer)
        sides, hashes = registry.path(key)
        node = sha256(b"\0" + record_bytes(device, raw)).digest()
        for level, sibling in enumerate(hashes):
            node = sha256(b"\1" + (sibling + node if sides >> level & 1 else node + sibling)).digest()
        assert node == registry.root
        assert sides < 1 << len(hashes)


def test_what_is_enrolled_counts_at_once_and_is_named_when_its_block_is_closed() -> None:
    """`apply` lets the next statement in; the root that other blocks name moves by blocks only."""
    registry = Registry()
    registry.apply(enrolment(DEVICES[0]), bytes(32))
    assert registry.find(DEVICES[0].issuer, key_id(DEVICES[0])) is not None
    assert (registry.blocks, registry.root) == (0, EMPTY)
    registry.close_block()
    assert registry.blocks == 1
    assert registry.root != EMPTY
    registry.close_block()
    assert registry.roots[1] == registry.roots[2]


@pytest.mark.parametrize("load", ["apply_block", "load_block"])
def test_an_equivocating_enrolment_has_no_effect(load: str) -> None:
    """It is a leaf, as evidence; the key it speaks of is not enrolled, and the root does not hold it."""
    raws = [enrol(device, 0) for device in DEVICES[:3]]
    registry = Registry()
    leaves = [b"manifest", *raws]
    if load == "apply_block":
        registry.apply_block(leaves, {2}, AUTHORITIES)
    else:
        registry.load_block(leaves, {2})
    assert registry.root == expected_root({DEVICES[0]: raws[0], DEVICES[2]: raws[2]})
    assert registry.find(DEVICES[1].issuer, key_id(DEVICES[1])) is None


def test_a_block_is_checked_statement_by_statement() -> None:
    """The first leaf is the manifest and no statement; any other that may not be there is named."""
    good = enrol(DEVICES[0], 0)
    stranger = enrol(DEVICES[1], 0, name="https://other.example/")
    assert refusal(Registry().apply_block, [b"", good, stranger], (), AUTHORITIES) is Reason.AUTHORITY_UNKNOWN
    assert refusal(Registry().apply_block, [b"", good, good], (), AUTHORITIES) is Reason.KEY_KNOWN
    assert refusal(Registry().apply_block, [b"", b"\xff"], (), AUTHORITIES) is Reason.CBOR_RESERVED
    loaded = Registry()
    loaded.load_block([b"", stranger], ())  # Unchecked: whoever verifies the proof checks it.
    assert loaded.find(DEVICES[1].issuer, key_id(DEVICES[1])) is not None


def test_states_are_made_of_blocks_even_empty_ones() -> None:
    """A registry block with refusals only moves the count and keeps the root."""
    registry = Registry()
    registry.apply_block([b"manifest"], (), AUTHORITIES)
    assert registry.roots == [EMPTY, EMPTY]
