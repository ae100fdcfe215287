"""The prover: what is stored and published can be proved, what is not says why."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest
from nacl import bindings

from pipeline.identity.registry import Registry
from pipeline.identity.snapshot import encode_registry
from pipeline.log.tiles import ReadFile
from pipeline.verify import registry_reader
from pipeline.verify.point import verify_point
from pipeline.verify.prove import LEAVES_PER_ENTRY, Prover
from pipeline.wire.errors import UnavailableError, VerificationError
from pipeline.wire.reasons import Reason
from tests.support.city import (
    AUTHORITIES,
    LOG,
    POLICY,
    WITNESSES,
    Device,
    ForgedLog,
    device_in,
    enrol,
    enrolment,
)

FIRST_US = 1_800_000_000_000_000
MINUTE_US = 60_000_000


class Example:
    """Three registry states with readings between them; `refs` finds a statement's leaf."""

    def __init__(self) -> None:
        self.log = ForgedLog()
        self.devices = [device_in(shard, nth) for shard in (1, 2) for nth in range(3)]
        self.refs: dict[bytes, tuple[int, Device, int]] = {}
        for state in range(3):
            own = self.devices[2 * state : 2 * state + 2]
            self.log.enrol(*(enrol(device, 2 * state + n) for n, device in enumerate(own)))
            for shard in (1, 2):
                known = [device for device in self.devices[: 2 * state + 2] if device.shard == shard]
                raws = []
                for device in known:
                    sequence = device.sequence
                    raws.append(device.read(records=3))
                    ref = len(self.log.entries) * LEAVES_PER_ENTRY + len(raws)
                    self.refs[raws[-1]] = ref, device, sequence
                if raws:
                    self.log.add(shard, raws)
        self.log.publish()

    def prover(self, read: ReadFile | None = None) -> Prover:
        return Prover(read or self.log.files.get, POLICY)

    def without(self, path: str) -> ReadFile:
        """The files but one."""
        return lambda wanted: None if wanted == path else self.log.files.get(wanted)

    def damaged(self, path: str, at: int = -1) -> ReadFile:
        """The files, one bit of one of them flipped."""
        changed = bytearray(self.log.files[path])
        changed[at] ^= 1
        return lambda wanted: bytes(changed) if wanted == path else self.log.files.get(wanted)


EXAMPLE = Example()
SOME_REF, SOME_DEVICE, SOME_SEQUENCE = list(EXAMPLE.refs.values())[-1]
SOME_US = FIRST_US + SOME_SEQUENCE * MINUTE_US


def refusal(act: Callable[[], object]) -> Reason:
    """Why something is refused."""
    with pytest.raises(VerificationError) as refused:
        act()
    return refused.value.reason


def test_every_record_of_every_statement_can_be_proved() -> None:
    """By quantity and time in the leaf that a point refers to; in any order, whatever registry it names."""
    prover = EXAMPLE.prover()
    items = sorted(EXAMPLE.refs.items(), key=lambda item: sha256(item[0]).digest())
    for raw, (ref, device, sequence) in items:
        for nth in range(3):
            at_us = FIRST_US + sequence * MINUTE_US + nth * 1_000_000
            point = verify_point(prover.prove(ref, "no2", at_us), POLICY, AUTHORITIES)
            assert point.statement.raw == raw
            assert (point.record.value, point.record.time_s) == (20.25 + nth, at_us / 1e6)
            assert point.enrolment == enrolment(device)
            assert (point.entry, point.leaf) == divmod(ref, LEAVES_PER_ENTRY)
    assert len(items) == 12


def test_a_proof_names_the_registry_state_of_its_block() -> None:
    """The first reading was checked when two keys were enrolled; that later ones came changes nothing."""
    prover = EXAMPLE.prover()
    (ref, *_), sizes = next(iter(EXAMPLE.refs.values())), []
    for wanted in (ref, SOME_REF, ref):
        at_us = FIRST_US if wanted == ref else SOME_US
        point = verify_point(prover.prove(wanted, "no2", at_us), POLICY, AUTHORITIES)
        sizes.append(point.manifest.registry_blocks)
    assert sizes == [1, 3, 1]


def test_what_is_not_under_the_checkpoint_yet_is_not_provable_yet() -> None:
    """That is no fault of the log: ask again after the next checkpoint."""
    prover = EXAMPLE.prover()
    with pytest.raises(UnavailableError) as refused:
        prover.prove(len(EXAMPLE.log.entries) * LEAVES_PER_ENTRY + 1, "no2", FIRST_US)
    assert f"size {len(EXAMPLE.log.entries)}" in str(refused.value)
    assert prover.size == len(EXAMPLE.log.entries)


def test_a_log_without_a_checkpoint_proves_nothing() -> None:
    """None published yet is unavailable; one that the policy does not accept is wrong."""
    with pytest.raises(UnavailableError):
        EXAMPLE.prover(EXAMPLE.without("checkpoint"))
    single = ForgedLog()
    single.publish(witnesses=WITNESSES[:1])
    assert refusal(lambda: Prover(single.files.get, POLICY)) is Reason.QUORUM_MISSING


@pytest.mark.parametrize(
    ("quantity", "offset_us"), [("no2", 1), ("no2", 3_000_000), ("no2", -1), ("o3", 0), ("", 0)]
)
def test_a_record_that_the_statement_does_not_have_is_refused(quantity: str, offset_us: int) -> None:
    """Time to the microsecond, and the quantity by its name."""
    prover = EXAMPLE.prover()
    assert refusal(lambda: prover.prove(SOME_REF, quantity, SOME_US + offset_us)) is Reason.PROOF_RECORD


def test_a_reference_is_entry_and_leaf() -> None:
    """A block has 2,048 leaves at most, so that a point's place in the log is one number."""
    assert LEAVES_PER_ENTRY == 2048


@pytest.mark.parametrize("leaf", [0, "behind the last", 100, 2047])
def test_a_leaf_that_is_no_statement_is_refused(leaf: int | str) -> None:
    """The manifest is none, and behind the last there is none."""
    prover = EXAMPLE.prover()
    if isinstance(leaf, str):
        leaf = max(ref for ref, *_ in EXAMPLE.refs.values()) % LEAVES_PER_ENTRY + 1
    ref = SOME_REF // LEAVES_PER_ENTRY * LEAVES_PER_ENTRY + leaf
    assert refusal(lambda: prover.prove(ref, "no2", SOME_US)) is Reason.INDEX_OUTSIDE


def test_genesis_and_enrolments_hold_no_points() -> None:
    """A ref to them is refused for what they are."""
    prover = EXAMPLE.prover()
    assert refusal(lambda: prover.prove(1, "no2", SOME_US)) is Reason.COSE_HEADER
    assert refusal(lambda: prover.prove(LEAVES_PER_ENTRY + 1, "no2", SOME_US)) is Reason.PACK_SHAPE


LAST_BLOCK = EXAMPLE.log.tips[SOME_DEVICE.shard]
assert LAST_BLOCK is not None
LAST_BODY = f"block/{LAST_BLOCK.shard}/00{LAST_BLOCK.height}"
SIZE = len(EXAMPLE.log.entries)


@pytest.mark.parametrize(
    ("path", "at", "reason"),
    [
        (LAST_BODY, -1, Reason.BLOCK_ROOT),
        (LAST_BODY, 10, Reason.MANIFEST_MISMATCH),
        (LAST_BODY, 0, Reason.BLOCK_SHAPE),
        (f"tile/entries/000.p/{SIZE}", -1, Reason.ROOT_MISMATCH),
    ],
)
def test_an_altered_archive_proves_nothing(path: str, at: int, reason: Reason) -> None:
    """Its bytes are not those that the log signed, and the place is named."""
    prover = EXAMPLE.prover(EXAMPLE.damaged(path, at))
    assert refusal(lambda: prover.prove(SOME_REF, "no2", SOME_US)) is reason


def test_altered_tiles_open_no_prover() -> None:
    """From the partial tiles the checkpoint's root must follow."""
    path = f"tile/0/000.p/{SIZE}"
    assert refusal(lambda: EXAMPLE.prover(EXAMPLE.damaged(path))) is Reason.ROOT_MISMATCH
    with pytest.raises(UnavailableError):
        EXAMPLE.prover(EXAMPLE.without(path))


@pytest.mark.parametrize("path", [LAST_BODY, "block/0/000", "block/0/002"])
def test_a_missing_body_is_unavailable_and_named(path: str) -> None:
    """Of the block itself, or of the registry that it names."""
    prover = EXAMPLE.prover(EXAMPLE.without(path))
    with pytest.raises(UnavailableError) as refused:
        prover.prove(SOME_REF, "no2", SOME_US)
    assert path in str(refused.value)


def test_a_key_that_the_named_registry_lacks_has_no_proof() -> None:
    """An operator let in a device that nobody had enrolled."""
    log = ForgedLog()
    log.enrol(enrol(device_in(1, 1), 0))
    log.add(1, [device_in(1).read()])
    log.publish()
    assert (
        refusal(lambda: Prover(log.files.get, POLICY).prove(2 * LEAVES_PER_ENTRY + 1, "no2", FIRST_US))
        is Reason.KEY_UNKNOWN
    )


def test_an_altered_registry_body_gives_no_proof() -> None:
    """The root that follows is not the one that the block names; the manifest's bytes do not matter."""
    right = EXAMPLE.prover().prove(SOME_REF, "no2", SOME_US)
    outcomes: Counter[str] = Counter()
    for at in range(4, len(EXAMPLE.log.files["block/0/002"]), 7):
        outcomes[outcome(EXAMPLE.damaged("block/0/002", at), right)] += 1
    assert outcomes.keys() == {"not made", "the same"}


def outcome(read: ReadFile, right: bytes) -> str:
    """What becomes of a proof made from these files."""
    try:
        data = EXAMPLE.prover(read).prove(SOME_REF, "no2", SOME_US)
    except (VerificationError, UnavailableError):
        return "not made"
    return "the same" if data == right else refusal(lambda: verify_point(data, POLICY, AUTHORITIES)).value


class LongRegistry:
    """A registry whose first block enrols two devices, and whose many others only refused something."""

    BLOCKS = 3 * registry_reader.NEAR_BLOCKS

    def __init__(self) -> None:
        self.log = ForgedLog()
        self.log.enrol(enrol(device_in(1), 0), enrol(device_in(1, 1), 1))
        self.early = self._read(device_in(1))
        for _ in range(1, self.BLOCKS):
            first = 2 * self.log.registry.blocks
            self.log.add(0, [], refused={"cbor_tag": 2}, offset_first=first, offset_last=first + 1)
            self.log.registry.load_block([b"manifest"], ())
        self.snapshot = encode_registry(self.log.registry)
        self.late = self._read(device_in(1, 1))
        self.log.publish()

    def _read(self, device: Device) -> int:
        self.log.add(1, [device.read()])
        return (len(self.log.entries) - 1) * LEAVES_PER_ENTRY + 1

    def files(self, snapshot: bytes | None) -> dict[str, bytes]:
        return self.log.files | ({"registry": snapshot} if snapshot is not None else {})


LONG = LongRegistry()


@pytest.mark.parametrize("order", [["early", "late"], ["late", "early"]])
def test_a_snapshot_gives_the_same_proofs_as_all_bodies(order: list[str]) -> None:
    """Of blocks that name its state, and of those that name a much earlier one; in any order."""
    proofs = []
    for snapshot in (LONG.snapshot, None):
        prover = Prover(LONG.files(snapshot).get, POLICY)
        proofs.append([prover.prove(getattr(LONG, name), "no2", FIRST_US) for name in order])
    assert proofs[0] == proofs[1]
    for proof in proofs[0]:
        verify_point(proof, POLICY, AUTHORITIES)


def test_a_snapshot_spares_reading_the_registry_from_its_beginning() -> None:
    """Of its bodies one is read: that with the enrolment."""
    asked: list[str] = []

    def read(path: str) -> bytes | None:
        asked.append(path)
        return LONG.files(LONG.snapshot).get(path)

    Prover(read, POLICY).prove(LONG.late, "no2", FIRST_US)
    assert [path for path in asked if path.startswith("block/0")] == ["block/0/000"]
    assert len(asked) < 12


OTHER_HISTORY = encode_registry(
    Registry.of(LongRegistry.BLOCKS, [replace(key, valid_from_s=1) for key in LONG.log.registry.keys], [])
)
WRONG_BLOCK = encode_registry(
    Registry.of(LongRegistry.BLOCKS, [replace(key, since=2) for key in LONG.log.registry.keys], [])
)


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        (b"\x80", Reason.SNAPSHOT_SHAPE),
        (OTHER_HISTORY, Reason.BLOCK_REGISTRY),
        (WRONG_BLOCK, Reason.BLOCK_REGISTRY),
    ],
)
def test_a_wrong_snapshot_gives_no_proof(snapshot: bytes, reason: Reason) -> None:
    """One that is none, of another history, or that names another block for an enrolment."""
    prover = Prover(LONG.files(snapshot).get, POLICY)
    assert refusal(lambda: prover.prove(LONG.late, "no2", FIRST_US)) is reason


def test_a_proof_from_archive_and_tiles_costs_few_signature_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the checkpoint: the log's and three cosignatures. Making it: at most 15 are allowed."""
    checked: list[bytes] = []
    verify = bindings.crypto_sign_open

    def count(signed: bytes, public_key: bytes) -> bytes:
        checked.append(public_key)
        return verify(signed, public_key)

    monkeypatch.setattr(bindings, "crypto_sign_open", count)
    proof = EXAMPLE.prover().prove(SOME_REF, "no2", SOME_US)
    keys = [LOG.signer.public_key, *(witness.signer.public_key for witness in WITNESSES)]
    assert sorted(checked) == sorted(keys)
    assert len(checked) <= 15
    checked.clear()
    verify_point(proof, POLICY, AUTHORITIES)  # And the authority's, the possession, the device's.
    assert len(checked) == 7


def test_an_equivocating_enrolment_is_skipped_as_by_everyone() -> None:
    """The registry that the proof leads to is the one without it."""
    log = ForgedLog()
    device, other = device_in(1), device_in(1, 1)
    log.enrol(enrol(device, 0), enrol(other, 0), skip=[2])
    log.add(1, [device.read()])
    log.publish()
    data = Prover(log.files.get, POLICY).prove(2 * LEAVES_PER_ENTRY + 1, "no2", FIRST_US)
    assert verify_point(data, POLICY, AUTHORITIES).enrolment == enrolment(device)


def test_a_point_is_found_in_the_log_without_a_store() -> None:
    """By device, quantity and time; of two at one place the later one; None where there is none."""
    for ref, device, sequence in EXAMPLE.refs.values():
        at_us = FIRST_US + sequence * MINUTE_US
        assert EXAMPLE.prover().find(device.issuer, "no2", at_us) == ref
    assert EXAMPLE.prover().find(SOME_DEVICE.issuer, "no2", SOME_US + 1) is None
    assert EXAMPLE.prover().find(SOME_DEVICE.issuer, "gold", SOME_US) is None
    assert EXAMPLE.prover().find(device_in(1, 9).issuer, "no2", SOME_US) is None


def test_what_the_log_keeps_as_evidence_is_not_found_as_a_point() -> None:
    """An equivocation is no reading; the first statement of its place is."""
    log = ForgedLog()
    device = device_in(1)
    log.enrol(enrol(device, 0))
    log.add(1, [device.read(), device.read(sequence=0, subject="another")], equivocations=(2,))
    log.publish()
    assert Prover(log.files.get, POLICY).find(device.issuer, "no2", FIRST_US) == 2 * LEAVES_PER_ENTRY + 1


def test_of_several_at_one_time_the_latest_is_found() -> None:
    """In the log's order, in a block and over blocks, from the first entry on; other shards are not read."""
    log, device, other = ForgedLog(), device_in(1), device_in(2)
    log.add(1, [device.read(sequence=n) for n in (0, 1)])
    log.add(2, [other.read()])
    log.add(1, [device.read(sequence=n, records=size) for n, size in ((2, 1), (2, 2), (3, 1))])
    log.publish()
    files = {path: data for path, data in log.files.items() if not path.startswith("block/2")}
    prover = Prover(files.get, POLICY)
    for sequence, place in ((0, (1, 1)), (1, (1, 2)), (2, (3, 2)), (3, (3, 3))):
        found = prover.find(device.issuer, "no2", FIRST_US + sequence * MINUTE_US)
        assert found == place[0] * LEAVES_PER_ENTRY + place[1]


def test_only_a_device_s_own_readings_are_its_points() -> None:
    """Not what others say of it, nor what it says as something else."""
    log, device, twin = ForgedLog(), device_in(1), device_in(1, 1)
    mine = device.read()
    about_it = twin.read(subject=device.issuer)
    as_another = device.read(sequence=0, content_type="application/vnd.cityproof.handover+cbor")
    log.add(1, [mine])
    log.add(1, [about_it, as_another])
    log.publish()
    prover = Prover(log.files.get, POLICY)
    assert prover.find(device.issuer, "no2", FIRST_US) == LEAVES_PER_ENTRY + 1
    assert prover.find(twin.issuer, "no2", FIRST_US) == 2 * LEAVES_PER_ENTRY + 1
