"""What authorities state: each statement's order of checks and reasons, what it does, from which state on."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import cbor2
import pytest

from pipeline.identity.changes import check_change
from pipeline.identity.registry import Registry
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import SeedSigner, key_id
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import (
    CONTENT_ADMISSION,
    parse_statement,
)
from tests.support.changes import NEW, STARTS, admit, revoke, rotate
from tests.support.city import (
    AIR_ONLY,
    AIR_ONLY_NAME,
    AUTHORITIES,
    NOW_MS,
    Device,
    enrol,
    enrolment,
    leaf_hash,
    seed,
    with_field,
)

DEVICE, OTHER, THIRD = Device(0), Device(1), Device(2)
ISSUER = DEVICE.issuer


def registry_of(*blocks: list[bytes] | bytes) -> Registry:
    """A registry after these blocks."""
    registry = Registry()
    for block in blocks:
        raws = [block] if isinstance(block, bytes) else block
        registry.apply_block([b"manifest", *raws], (), AUTHORITIES)
    return registry


def refusal(act: Callable[..., object], *arguments: Any) -> Reason | None:
    """Why something is refused, or None."""
    try:
        act(*arguments)
    except VerificationError as refused:
        return refused.reason
    return None


def then(raw: bytes, *blocks: list[bytes] | bytes) -> Reason | None:
    """Why a statement is refused after these blocks, or None."""
    return refusal(registry_of(*blocks).apply_block, [b"manifest", raw], (), AUTHORITIES)


ENROLLED = enrol(DEVICE, 0)
BOTH = [ENROLLED, enrol(OTHER, 1)]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (rotate(DEVICE, name="https://other.example/"), Reason.AUTHORITY_UNKNOWN),
        (rotate(DEVICE, by=DEVICE.signer), Reason.AUTHORITY_UNKNOWN),
        (rotate(DEVICE, subject=OTHER.issuer), Reason.STATEMENT_SUBJECT),
        (revoke(DEVICE, subject=OTHER.issuer), Reason.STATEMENT_SUBJECT),
        (admit(DEVICE, b"x", subject=OTHER.issuer), Reason.STATEMENT_SUBJECT),
        (rotate(DEVICE)[:-1] + bytes([rotate(DEVICE)[-1] ^ 1]), Reason.SIGNATURE_INVALID),
        (rotate(DEVICE, payload=b"\xa0"), Reason.ROTATION_SHAPE),
        (revoke(DEVICE, payload=b"\xa0"), Reason.REVOCATION_SHAPE),
        (admit(DEVICE, b"x", payload=b"\xa0"), Reason.ADMISSION_SHAPE),
        (revoke(DEVICE, content_type=CONTENT_ADMISSION), Reason.ADMISSION_SHAPE),
        (
            revoke(DEVICE, content_type="application/vnd.cityproof.finding+cbor"),
            Reason.STATEMENT_CONTENT_TYPE,
        ),
    ],
)
def test_a_statement_by_itself(raw: bytes, reason: Reason) -> None:
    """Who signed, what it is, what it says and about whom: whatever came before."""
    assert refusal(check_change, parse_statement(raw), AUTHORITIES) is reason


def test_nobody_is_enrolled_without_having_asked() -> None:
    """With another's key, under another name, by another authority, or with no signature at all."""
    mine = enrolment(DEVICE)
    for about in (
        enrolment(DEVICE, public_key=OTHER.signer.public_key),
        enrolment(DEVICE, possession=enrolment(OTHER).possession),
        enrolment(DEVICE, possession=enrolment(DEVICE, issuer=OTHER.issuer).possession),
        enrolment(DEVICE, authority=AIR_ONLY_NAME),
        enrolment(DEVICE, possession=bytes(64)),
    ):
        assert then(enrol(DEVICE, 0, about=about)) is Reason.POSSESSION_INVALID
    assert then(enrol(DEVICE, 0, about=mine)) is None
    assert then(enrol(DEVICE, 0, by=AIR_ONLY, name=AIR_ONLY_NAME, about=mine)) is Reason.POSSESSION_INVALID
    far = enrolment(DEVICE, area="south", possession=bytes(64))
    assert then(enrol(DEVICE, 0, by=AIR_ONLY, name=AIR_ONLY_NAME, about=far)) is Reason.AUTHORITY_SCOPE


@pytest.mark.parametrize(
    ("raw", "before", "reason"),
    [
        (rotate(DEVICE), [ENROLLED], None),
        (rotate(DEVICE), [], Reason.KEY_UNKNOWN),
        (rotate(DEVICE, old=OTHER.signer), [BOTH], Reason.KEY_UNKNOWN),
        (rotate(DEVICE), [[ENROLLED, revoke(DEVICE)]], Reason.KEY_REVOKED),
        (rotate(DEVICE), [[ENROLLED, rotate(DEVICE, starts=(1, 4))]], Reason.KEY_ENDED),
        (rotate(DEVICE, THIRD.signer), [[ENROLLED, rotate(DEVICE)]], Reason.KEY_ENDED),
        (rotate(DEVICE, starts=(0, 0)), [ENROLLED], Reason.KEY_SPAN),
        (rotate(DEVICE, starts=(0, 1)), [ENROLLED], None),
        (rotate(DEVICE, THIRD.signer, old=NEW, starts=STARTS), [[ENROLLED, rotate(DEVICE)]], Reason.KEY_SPAN),
        (rotate(DEVICE, THIRD.signer, old=NEW, starts=(0, 9)), [[ENROLLED, rotate(DEVICE)]], Reason.KEY_SPAN),
        (rotate(DEVICE, THIRD.signer, old=NEW, starts=(1, 6)), [[ENROLLED, rotate(DEVICE)]], None),
        (rotate(DEVICE, OTHER.signer), [BOTH], Reason.KEY_KNOWN),
        (rotate(DEVICE, DEVICE.signer), [ENROLLED], Reason.KEY_KNOWN),
        (
            rotate(DEVICE, DEVICE.signer, old=NEW, starts=(2, 0)),
            [[ENROLLED, rotate(DEVICE)]],
            Reason.KEY_KNOWN,
        ),
        (rotate(DEVICE, asked=AIR_ONLY_NAME), [ENROLLED], Reason.ROTATION_SIGNATURE),
        (rotate(DEVICE, by=AIR_ONLY, name=AIR_ONLY_NAME), [ENROLLED], None),
    ],
)
def test_a_rotation_after_all_that_came_before(
    raw: bytes, before: list[list[bytes] | bytes], reason: Reason | None
) -> None:
    """Each reason of the table in verification.md; in the block before, or in the same."""
    assert then(raw, *before) is reason
    flat = [item for block in before for item in (block if isinstance(block, list) else [block])]
    assert refusal(Registry().apply_block, [b"manifest", *flat, raw], (), AUTHORITIES) is reason


def test_neither_key_is_rotated_without_its_holder() -> None:
    """A thief with an authority's ear has one of the two signatures at most."""
    payload = parse_statement(rotate(DEVICE)).payload
    stolen = rotate(DEVICE, SeedSigner(seed("thief")), payload=with_field(payload, 5, bytes(64)))
    assert then(stolen, ENROLLED) is Reason.ROTATION_SIGNATURE
    foreign = rotate(DEVICE, payload=with_field(payload, 6, bytes(64)))
    assert then(foreign, ENROLLED) is Reason.POSSESSION_INVALID


@pytest.mark.parametrize(
    ("raw", "before", "reason"),
    [
        (revoke(DEVICE), [ENROLLED], None),
        (revoke(DEVICE), [], Reason.KEY_UNKNOWN),
        (revoke(DEVICE, OTHER.signer), [BOTH], Reason.KEY_UNKNOWN),
        (revoke(DEVICE), [[ENROLLED, revoke(DEVICE)]], Reason.KEY_REVOKED),
        (revoke(DEVICE), [[ENROLLED, rotate(DEVICE)]], None),
        (revoke(DEVICE, NEW), [[ENROLLED, rotate(DEVICE)]], None),
        (revoke(DEVICE, NEW), [[ENROLLED, rotate(DEVICE), revoke(DEVICE)]], None),
        (revoke(DEVICE, by=AIR_ONLY, name=AIR_ONLY_NAME), [ENROLLED], None),
    ],
)
def test_a_revocation_after_all_that_came_before(
    raw: bytes, before: list[list[bytes] | bytes], reason: Reason | None
) -> None:
    """A key is revoked once, rotated or not; any authority of its kind and area may."""
    assert then(raw, *before) is reason


def test_other_authorities_keep_out() -> None:
    """Scope is that of the enrolment, which a rotation does not repeat."""
    south = enrol(DEVICE, 0, about=enrolment(DEVICE, area="south"))
    theirs: dict[str, Any] = {"by": AIR_ONLY, "name": AIR_ONLY_NAME}
    for raw in (rotate(DEVICE, **theirs), revoke(DEVICE, **theirs), admit(DEVICE, b"x", **theirs)):
        assert then(raw, south) is Reason.AUTHORITY_SCOPE
        assert then(raw, ENROLLED) is None
    second = enrol(DEVICE, 1, about=enrolment(DEVICE, area="south", public_key=OTHER.signer.public_key))
    registry = registry_of(ENROLLED)
    registry.load_block([b"", second], ())  # One name, two keys, and one of them is not theirs.
    refused = refusal(registry.apply_block, [b"", admit(DEVICE, b"x", **theirs)], (), AUTHORITIES)
    assert refused is Reason.AUTHORITY_SCOPE


@pytest.mark.parametrize(
    ("raw", "before", "reason"),
    [
        (admit(DEVICE, b"a", b"b"), [ENROLLED], None),
        (admit(DEVICE, b"a"), [], Reason.KEY_UNKNOWN),
        (admit(DEVICE, b"a"), [enrol(OTHER, 0)], Reason.KEY_UNKNOWN),
        (admit(DEVICE, b"a", b"b"), [[ENROLLED, admit(DEVICE, b"b", b"c")]], Reason.ADMISSION_KNOWN),
        (admit(OTHER, b"a"), [[*BOTH, admit(DEVICE, b"a")]], None),
    ],
)
def test_an_admission_after_all_that_came_before(
    raw: bytes, before: list[list[bytes] | bytes], reason: Reason | None
) -> None:
    """Of somebody who is enrolled, and of no statement twice."""
    assert then(raw, *before) is reason


def signed(sequence: int, key: SeedSigner = DEVICE.signer, epoch: int = 1) -> bytes:
    """A reading of the device."""
    device = Device(0)
    device.signer = key
    return device.read(sequence=sequence, epoch=epoch)


def asked(registry: Registry, raw: bytes, state: int | None = None) -> Reason | None:
    """Why a statement's key may not have signed it, or None."""
    return refusal(registry.check_key, parse_statement(raw), NOW_MS, state)


def test_an_honest_backlog_stays_admissible_after_a_rotation() -> None:
    """Each key signs its own span, whatever the order in which the statements come."""
    registry = registry_of(
        ENROLLED, rotate(DEVICE), rotate(DEVICE, OTHER.signer, old=NEW, starts=(2, 0), sequence=1)
    )
    spans = [
        (DEVICE.signer, [((0, 0), True), ((1, 4), True), ((1, 5), False), ((2, 0), False)]),
        (NEW, [((0, 0), False), ((1, 4), False), ((1, 5), True), ((1, 2**53 - 1), True), ((2, 0), False)]),
        (OTHER.signer, [((1, 6), False), ((2, 0), True), ((3, 0), True)]),
    ]
    for key, places in spans:
        for (epoch, sequence), good in places:
            assert asked(registry, signed(sequence, key, epoch)) is (None if good else Reason.KEY_SPAN)


def test_each_change_acts_from_its_state_on() -> None:
    """What was checked against an earlier state stays as it was: a state is a number of blocks."""
    registry = registry_of(
        ENROLLED, [], rotate(DEVICE), revoke(DEVICE), admit(DEVICE, signed(1)), revoke(DEVICE, NEW)
    )
    old, late, new = signed(1), signed(7), signed(7, NEW)
    expected: list[tuple[Reason | None, Reason | None, Reason | None]] = [
        (Reason.KEY_UNKNOWN, Reason.KEY_UNKNOWN, Reason.KEY_UNKNOWN),
        (None, None, Reason.KEY_UNKNOWN),
        (None, None, Reason.KEY_UNKNOWN),
        (None, Reason.KEY_SPAN, None),
        (Reason.KEY_REVOKED, Reason.KEY_REVOKED, None),
        (None, Reason.KEY_REVOKED, None),
        (None, Reason.KEY_REVOKED, Reason.KEY_REVOKED),
    ]
    for state, reasons in enumerate(expected):
        assert tuple(asked(registry, raw, state) for raw in (old, late, new)) == reasons
    assert asked(registry, new) is Reason.KEY_REVOKED
    assert registry.has_state(6, registry.root)
    assert not registry.has_state(5, registry.root)
    assert not registry.has_state(7, registry.root)


def test_an_admission_lets_in_what_it_names_and_nothing_else() -> None:
    """By leaf hash and issuer; a key that is not valid yet is none of its business."""
    first, second = signed(1), signed(2)
    registry = registry_of([ENROLLED, enrol(OTHER, 1)], [revoke(DEVICE), admit(DEVICE, first)])
    assert asked(registry, first) is None
    assert asked(registry, second) is Reason.KEY_REVOKED
    theirs = registry_of(BOTH, [revoke(DEVICE), admit(OTHER, first)])
    assert asked(theirs, first) is Reason.KEY_REVOKED
    later = enrol(DEVICE, 0, about=enrolment(DEVICE, valid_from_s=NOW_MS // 1000 + 1))
    assert (
        asked(registry_of([later, revoke(DEVICE), admit(DEVICE, first)]), first) is Reason.KEY_NOT_YET_VALID
    )


def test_the_root_holds_every_record() -> None:
    """As formats.md gives them, without our code: two keys and two admissions."""
    raws = [ENROLLED, rotate(DEVICE), revoke(DEVICE), admit(DEVICE, b"a", b"b")]
    registry = registry_of(*raws)
    old, new = DEVICE.signer.public_key, NEW.public_key
    hashes = [leaf_hash(raw) for raw in raws]
    since = 1_700_000_000
    records: list[list[Any]] = [
        [ISSUER, key_id(old), old, hashes[0], since, [0, 0], [1, 5], hashes[2]],
        [ISSUER, key_id(new), new, hashes[1], since, [1, 5], [], b""],
        *([ISSUER, leaf_hash(raw), hashes[3]] for raw in (b"a", b"b")),
    ]
    level = [sha256(b"\0" + cbor2.dumps(record)).digest() for record in sorted(records, key=lambda r: r[1])]
    top = [sha256(b"\1" + level[0] + level[1]).digest(), sha256(b"\1" + level[2] + level[3]).digest()]
    assert registry.root == sha256(b"\1" + top[0] + top[1]).digest()
    loaded = Registry()
    for raw in raws:
        loaded.load_block([b"", raw], ())
    assert loaded.roots == registry.roots
    assert [key.place[1] for key in registry.keys_of(ISSUER)] == [key_id(old), key_id(new)]
    assert registry.keys_of(OTHER.issuer) == []
