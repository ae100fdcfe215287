"""A snapshot of the registry stands for the blocks it was made from, in its state and every earlier one."""

from hashlib import sha256
from random import Random

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.identity import registry as registry_module
from pipeline.identity.registry import Record, Registry
from pipeline.identity.snapshot import decode_registry, encode_registry
from pipeline.wire.admission import Admission
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import key_id
from pipeline.wire.reasons import Reason
from pipeline.wire.revocation import Revocation
from pipeline.wire.rotation import Rotation
from tests.support.city import Device, enrolment

DEVICES = [Device(number) for number in range(24)]


def history(random: Random, blocks: int) -> list[list[object]]:
    """What authorities state, block by block, some of them empty: all four kinds of change."""
    spare, keys = list(DEVICES), list[tuple[str, bytes]]()  # Issuers with a key neither rotated nor revoked.
    changes: list[list[object]] = []
    for _ in range(blocks):
        block: list[object] = []
        for _ in range(random.choice([0, 0, 1, 3])):
            kind = random.randrange(4) if keys else 0
            if kind == 0 and spare:
                device = spare.pop(random.randrange(len(spare)))
                block.append(enrolment(device))
                keys.append((device.issuer, key_id(device.signer.public_key)))
            elif kind == 1 and spare:
                issuer, kid = keys.pop(random.randrange(len(keys)))
                new = spare.pop().signer.public_key
                place = random.randrange(1, 9), random.randrange(99)
                block.append(
                    Rotation(
                        issuer=issuer,
                        old_kid=kid,
                        public_key=new,
                        starts=place,
                        old_signature=bytes(64),
                        possession=bytes(64),
                        valid_from_s=1_700_000_000,
                    )
                )
                keys.append((issuer, key_id(new)))
            elif kind == 2:
                issuer, kid = keys.pop(random.randrange(len(keys)))
                block.append(Revocation(issuer=issuer, kid=kid, why="lost"))
            elif kind == 3:
                issuer = random.choice(keys)[0]
                hashes = [random.randbytes(32) for _ in range(random.randrange(1, 3))]
                block.append(Admission(issuer=issuer, leaf_hashes=tuple(hashes), why="found"))
        changes.append(block)
    return changes


def registry_after(changes: list[list[object]]) -> Registry:
    """The registry that has seen all these blocks."""
    registry = Registry()
    for height, block in enumerate(changes):
        go_on(registry, height, block)
    return registry


def go_on(registry: Registry, height: int, block: list[object]) -> None:
    for leaf, change in enumerate(block):
        registry.apply(change, sha256(b"%d %d" % (height, leaf)).digest())  # type: ignore[arg-type]
    registry.close_block()


def assert_same(one: Registry, other: Registry) -> None:
    """Same state, same records in the same order, same paths."""
    assert (one.blocks, one.root) == (other.blocks, other.root)
    assert list(one.keys) == list(other.keys)
    assert list(one.admissions) == list(other.admissions)
    records: list[Record] = [*one.keys, *one.admissions]
    for record in records:
        assert one.path(record) == other.path(record)
    for issuer in {key.issuer for key in one.keys}:
        assert one.keys_of(issuer) == other.keys_of(issuer)


@given(seed=st.integers(0, 2**32), blocks=st.integers(0, 12))
def test_a_snapshot_is_the_registry_in_every_state_so_far(seed: int, blocks: int) -> None:
    """Read again it is the same registry; asked for an earlier state, the one that was then."""
    changes = history(Random(seed), blocks)
    read = decode_registry(encode_registry(registry_after(changes)))
    for state in range(blocks + 1):
        assert_same(read.at(state), registry_after(changes[:state]))


@given(seed=st.integers(0, 2**32), cut=st.integers(0, 10))
def test_what_goes_on_from_a_snapshot_ends_as_what_saw_everything(seed: int, cut: int) -> None:
    """And its own snapshot has the same bytes, so that files made again are the same files."""
    changes = history(Random(seed), 10)
    whole = registry_after(changes)
    read = decode_registry(encode_registry(registry_after(changes[:cut])))
    for height in range(cut, 10):
        go_on(read, height, changes[height])
    assert_same(read, whole)
    assert encode_registry(read) == encode_registry(whole)
    assert read.first == cut
    assert read.roots == whole.roots[cut:]


def test_states_before_a_snapshot_are_not_known_by_their_root() -> None:
    """What is not remembered is not confirmed, and neither is a state to come."""
    changes = history(Random(7), 10)
    whole = registry_after(changes)
    read = decode_registry(encode_registry(registry_after(changes[:5])))
    for height in range(5, 10):
        go_on(read, height, changes[height])
    assert [read.has_state(n, root) for n, root in enumerate(whole.roots)] == [False] * 5 + [True] * 6
    assert not read.has_state(7, bytes(32))
    assert not read.has_state(11, whole.root)
    assert not read.has_state(-1, whole.root)


def test_only_so_many_roots_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest; forgetting changes neither the state nor what comes next."""
    monkeypatch.setattr(registry_module, "ROOTS_KEPT", 3)
    registry, whole = Registry(), Registry()
    for height, block in enumerate(history(Random(9), 12)):
        go_on(registry, height, block)
        go_on(whole, height, block)
        registry.forget()
        assert (registry.blocks, registry.root) == (whole.blocks, whole.root)
        assert registry.roots == whole.roots[-3:]
        assert registry.first == max(0, height - 1)


RIGHT = cbor2.loads(encode_registry(registry_after(history(Random(3), 40))))
FIELDS: dict[int, list[object]] = {  # Of a key's row: what may not stand there.
    0: [b"name", 1],
    1: [bytes(31), "key"],
    2: [bytes(31), None],
    3: [-1, 1.5, True],
    4: [[], [1], [1, -2], [1, 2, 3], 5],
    5: [[1], [1, "2"], None],
    6: [bytes(31), ""],
    7: [b"air"],
    8: [7],
    9: [[]],
    10: [-1],
    11: ["1"],
    12: [2**60],
}


@pytest.mark.parametrize(("field", "wrong"), [(field, wrong) for field in FIELDS for wrong in FIELDS[field]])
def test_a_key_that_is_none_is_refused(field: int, wrong: object) -> None:
    """Every field has its type; the file is the operator's and may hold anything."""
    blocks, keys, admissions = RIGHT
    changed = [*keys[0]]
    changed[field] = wrong
    assert refusal([blocks, [changed, *keys[1:]], admissions]) in {Reason.SNAPSHOT_SHAPE, Reason.CBOR_SIMPLE}


@pytest.mark.parametrize("field", range(4))
def test_an_admission_that_is_none_is_refused(field: int) -> None:
    """Issuer, two hashes, a state."""
    blocks, keys, admissions = RIGHT
    changed = [*admissions[0]]
    changed[field] = 1.5
    assert refusal([blocks, keys, [changed]]) is Reason.SNAPSHOT_SHAPE


@pytest.mark.parametrize(
    "item", [[], 7, {}, RIGHT[:2], [*RIGHT, 0], [-1, [], []], [0, {}, []], [0, [], 1], [0, [[]], []]]
)
def test_anything_else_is_refused(item: object) -> None:
    """Three parts, the first a number, the others lists of rows."""
    assert refusal(item) is Reason.SNAPSHOT_SHAPE


def refusal(item: object) -> Reason:
    """Why a snapshot is refused."""
    with pytest.raises(VerificationError) as refused:
        decode_registry(cbor2.dumps(item))
    return refused.value.reason
