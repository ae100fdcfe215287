"""Point proofs of keys that were rotated or revoked, and of statements that were admitted all the same."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any
from unittest.mock import patch

import cbor2
import pytest

from pipeline.verify.point import (
    PointCheck,
    PointProof,
    VerifiedPoint,
    encode_proof,
    parse_proof,
    verify_point,
)
from pipeline.verify.prove import LEAVES_PER_ENTRY, Prover
from pipeline.verify.registry_reader import RegistryReader
from pipeline.verify.signer import check_admission, check_admitted, check_signer
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import SeedSigner
from pipeline.wire.reasons import Reason
from tests.support.changes import NEW, admit, revoke, rotate
from tests.support.city import (
    AIR_ONLY,
    AIR_ONLY_NAME,
    AUTHORITIES,
    AUTHORITY_NAME,
    NOW_MS,
    POLICY,
    Device,
    ForgedLog,
    device_in,
    enrol,
    enrolment,
    leaf_hash,
    seed,
)

THIRD = SeedSigner(seed("third key"))
FIRST_US = 1_800_000_000_000_000


def reading(sequence: int, key: SeedSigner | None = None, nth: int = 0) -> bytes:
    """A reading of the device with one of its keys."""
    device = device_in(1, nth)
    device.signer = key or device.signer
    return device.read(sequence=sequence)


DEVICE = device_in(1)
ENROLLED = enrol(DEVICE, 0)
ROTATED = rotate(DEVICE, sequence=1)
ROTATED_AGAIN = rotate(DEVICE, THIRD, old=NEW, starts=(1, 8), sequence=0, by=AIR_ONLY, name=AIR_ONLY_NAME)
REVOKED = revoke(DEVICE, sequence=2)
STOLEN = revoke(DEVICE, THIRD, sequence=3)
OLD_LATE, NEW_LATE = reading(3), reading(9, THIRD)
ADMITTED = admit(DEVICE, OLD_LATE, NEW_LATE, sequence=4)


class Story:
    """One device: enrolled, rotated twice, its first and its last key revoked, two statements admitted."""

    def __init__(self) -> None:
        self.log = ForgedLog()
        self.refs: dict[bytes, int] = {}
        self.states: dict[bytes, int] = {}
        other = device_in(1, 1)
        self.step([ENROLLED, enrol(other, 9)], reading(0))
        self.step([ROTATED], reading(1), reading(5, NEW))
        self.step([ROTATED_AGAIN], reading(2), reading(6, NEW), reading(8, THIRD))
        self.step([REVOKED, STOLEN], reading(7, NEW))
        self.step([ADMITTED], OLD_LATE, NEW_LATE, other.read())
        self.log.publish()

    def step(self, stated: list[bytes], *raws: bytes) -> None:
        """A registry block, and a block of readings that was checked against it."""
        self.log.enrol(*stated)
        for leaf, raw in enumerate(raws, 1):
            self.refs[raw] = len(self.log.entries) * LEAVES_PER_ENTRY + leaf
            self.states[raw] = self.log.registry.blocks
        self.log.add(1, raws)

    def prove(self, raw: bytes) -> bytes:
        """The proof of a statement's record."""
        sequence = cbor2.loads(cbor2.loads(raw).value[0])[-70001][1]
        prover = Prover(self.log.files.get, POLICY)
        return prover.prove(self.refs[raw], "no2", FIRST_US + sequence * 60_000_000)


STORY = Story()


def judge(data: bytes) -> VerifiedPoint:
    """Verify under the city's policy and authorities."""
    return verify_point(data, POLICY, AUTHORITIES)


def refusal(proof: PointProof) -> Reason:
    """Why a proof is refused."""
    with pytest.raises(VerificationError) as refused:
        judge(encode_proof(proof))
    return refused.value.reason


def parts(raw: bytes) -> PointProof:
    """The parts of a statement's proof."""
    return parse_proof(STORY.prove(raw))


@pytest.mark.parametrize("raw", STORY.refs, ids=lambda raw: f"leaf {STORY.refs[raw]}")
def test_every_statement_has_its_proof(raw: bytes) -> None:
    """By whichever of the keys, before and after each change; it names the state that the block names."""
    point = judge(STORY.prove(raw))
    assert point.statement.raw == raw
    assert point.authority == AUTHORITY_NAME
    assert point.manifest.registry_blocks == STORY.states[raw]


def test_a_proof_says_who_rotated_and_who_admitted() -> None:
    """Oldest first; nobody where nobody did."""
    both = [AUTHORITY_NAME, AIR_ONLY_NAME]
    said = {
        reading(2): ([], None),
        reading(6, NEW): (both[:1], None),
        reading(8, THIRD): (both, None),
        OLD_LATE: ([], AUTHORITY_NAME),
        NEW_LATE: (both, AUTHORITY_NAME),
    }
    for raw, expected in said.items():
        point = judge(STORY.prove(raw))
        assert (list(point.rotated_by), point.admitted_by) == expected
        assert point.enrolment == enrolment(DEVICE)


def test_its_steps_say_what_became_of_the_key() -> None:
    """Who rotated it, whether it is revoked at the registry state, and why the statement counts still."""
    check = PointCheck(parts(NEW_LATE), POLICY, AUTHORITIES)
    found = {name: step() for name, step in check.steps()}
    assert found["enrolment"] == (
        f"{DEVICE.issuer}, enrolled by {AUTHORITY_NAME}, key rotated by {AUTHORITY_NAME}, "
        f"key rotated by {AIR_ONLY_NAME}"
    )
    key_id = sha256(THIRD.public_key).digest()[:8].hex()
    assert found["key in registry"] == f"key {key_id}, revoked at registry state 5"
    assert found["key's span"] == f"key_revoked, but admitted by {AUTHORITY_NAME}"


def test_only_what_is_needed_is_in_the_map() -> None:
    """Keys 10, 11 and 12 are there with rotations, with an end or revocation, with an admission."""
    revoked = leaf_hash(REVOKED)
    expected: dict[bytes, dict[int, Any]] = {
        reading(0): {},
        reading(1): {11: [[1, 5], b""]},
        reading(5, NEW): {10: [ROTATED]},
        reading(6, NEW): {10: [ROTATED], 11: [[1, 8], b""]},
        reading(8, THIRD): {10: [ROTATED, ROTATED_AGAIN]},
        OLD_LATE: {11: [[1, 5], revoked], 12: ADMITTED},
        NEW_LATE: {10: [ROTATED, ROTATED_AGAIN], 11: [[], leaf_hash(STOLEN)], 12: ADMITTED},
    }
    for raw, optional in expected.items():
        fields = cbor2.loads(STORY.prove(raw))
        found = {key: fields[key] for key in fields.keys() & {10, 11, 12}}
        if 12 in found:
            found[12] = found[12][0]
        assert found == optional


def with_items(raw: bytes, **items: Any) -> bytes:
    """A statement's proof with some of the map's items changed, by `k10` and so on; None takes one out."""
    fields = cbor2.loads(STORY.prove(raw)) | {int(name[1:]): item for name, item in items.items()}
    return cbor2.dumps({key: item for key, item in fields.items() if item is not None}, canonical=True)


@pytest.mark.parametrize(
    "items",
    [
        {"k10": []},
        {"k10": [1]},
        {"k10": b""},
        {"k10": {ROTATED: 0}},
        {"k11": [[], b""]},
        {"k11": [[1], b""]},
        {"k11": [[1, 5, 5], b""]},
        {"k11": [[-1, 5], b""]},
        {"k11": [[1, -5], b""]},
        {"k11": [[1, 5]]},
        {"k11": [[1, 5], bytes(31)]},
        {"k11": [[], "x" * 32]},
        {"k11": []},
        {"k12": [ADMITTED]},
        {"k12": [ADMITTED, [0, 1]]},
        {"k12": ["x", [0, 1, []]]},
        {"k12": []},
        {"k13": 0},
    ],
)
def test_another_shape_is_no_proof(items: dict[str, Any]) -> None:
    """Nothing that could be left out stands there empty."""
    with pytest.raises(VerificationError) as refused:
        judge(with_items(OLD_LATE, **items))
    assert refused.value.reason is Reason.PROOF_SHAPE


LIES: dict[str, tuple[Callable[[], PointProof], Reason]] = {
    "no rotation": (lambda: replace(parts(reading(5, NEW)), rotations=()), Reason.ROOT_MISMATCH),
    "one rotation of two": (
        lambda: replace(parts(reading(8, THIRD)), rotations=[ROTATED]),
        Reason.ROOT_MISMATCH,
    ),
    "rotations out of order": (
        lambda: replace(parts(reading(8, THIRD)), rotations=[ROTATED_AGAIN, ROTATED]),
        Reason.PROOF_REGISTRY,
    ),
    "another device's enrolment before the rotation": (
        lambda: replace(parts(reading(5, NEW)), enrolment=enrol(device_in(1, 1), 9)),
        Reason.PROOF_REGISTRY,
    ),
    "an enrolment for a rotation": (
        lambda: replace(parts(reading(5, NEW)), rotations=[ENROLLED]),
        Reason.STATEMENT_CONTENT_TYPE,
    ),
    "a rotation for the enrolment": (
        lambda: replace(parts(reading(5, NEW)), enrolment=ROTATED),
        Reason.STATEMENT_CONTENT_TYPE,
    ),
    "a revocation that is hidden": (
        lambda: replace(
            parts(OLD_LATE), status=replace(parts(OLD_LATE).status, revocation=b""), admission=None
        ),
        Reason.ROOT_MISMATCH,
    ),
    "an end that is hidden": (
        lambda: replace(parts(reading(1)), status=parts(reading(0)).status),
        Reason.ROOT_MISMATCH,
    ),
    "a revocation that was none": (
        lambda: replace(parts(reading(1)), status=parts(OLD_LATE).status),
        Reason.ROOT_MISMATCH,
    ),
    "a state before the revocation": (
        lambda: replace(
            parts(OLD_LATE),
            status=parts(reading(2)).status,
            in_registry=parts(reading(2)).in_registry,
            admission=None,
        ),
        Reason.ROOT_MISMATCH,
    ),
    "no admission": (lambda: replace(parts(OLD_LATE), admission=None), Reason.KEY_REVOKED),
    "an admission that is not needed": (
        lambda: replace(parts(reading(0)), admission=parts(OLD_LATE).admission),
        Reason.PROOF_SHAPE,
    ),
    "an admission of the other": (
        lambda: replace(parts(OLD_LATE), admission=parts(NEW_LATE).admission),
        Reason.ROOT_MISMATCH,
    ),
    "an admission by somebody": (
        lambda: admitted(admit(DEVICE, OLD_LATE, NEW_LATE, name="https://x.example/")),
        Reason.AUTHORITY_UNKNOWN,
    ),
    "an admission that is not in the registry": (
        lambda: admitted(admit(DEVICE, OLD_LATE, NEW_LATE, sequence=5)),
        Reason.ROOT_MISMATCH,
    ),
    "an admission of other statements": (
        lambda: admitted(admit(DEVICE, NEW_LATE)),
        Reason.PROOF_REGISTRY,
    ),
    "an admission for another issuer": (
        lambda: admitted(admit(device_in(1, 1), OLD_LATE)),
        Reason.PROOF_REGISTRY,
    ),
    "a revocation for an admission": (lambda: admitted(REVOKED), Reason.STATEMENT_CONTENT_TYPE),
}


def admitted(raw: bytes) -> PointProof:
    """The proof of a statement of the revoked key, with another admission."""
    proof = parts(OLD_LATE)
    assert proof.admission is not None
    return replace(proof, admission=(raw, proof.admission[1]))


@pytest.mark.parametrize("lie", LIES)
def test_a_part_that_is_not_its_own_is_refused(lie: str) -> None:
    """Nothing of a key's history may be left out, added or exchanged."""
    make, reason = LIES[lie]
    assert refusal(make()) is reason


def test_who_admits_answers_for_the_signer() -> None:
    """An authority of other areas lets nothing in."""
    raw = admit(DEVICE, OLD_LATE, by=AIR_ONLY, name=AIR_ONLY_NAME)
    authority, record = check_admission(raw, leaf_hash(OLD_LATE), AUTHORITIES)
    check_admitted(record, authority, check_signer(ENROLLED, [], AUTHORITIES))
    elsewhere = check_signer(enrol(DEVICE, 0, about=enrolment(DEVICE, area="south")), [], AUTHORITIES)
    with pytest.raises(VerificationError) as refused:
        check_admitted(record, authority, elsewhere)
    assert refused.value.reason is Reason.AUTHORITY_SCOPE


def forged(stated: list[bytes], raw: bytes, **block: Any) -> bytes:
    """A proof from a log whose operator took a statement in after all this."""
    log = ForgedLog()
    log.enrol(*stated)
    log.add(1, [raw], **block)
    log.publish()
    at_us = FIRST_US + cbor2.loads(cbor2.loads(raw).value[0])[-70001][1] * 60_000_000
    with patch.object(RegistryReader, "admission", lambda *_: None):  # Ours would make no such proof.
        return Prover(log.files.get, POLICY).prove(2 * LEAVES_PER_ENTRY + 1, "no2", at_us)


FORGED: dict[str, tuple[Callable[[], bytes], Reason]] = {
    "a statement by a revoked key": (
        lambda: forged([ENROLLED, REVOKED], reading(0)),
        Reason.KEY_REVOKED,
    ),
    "the old key after its end": (lambda: forged([ENROLLED, ROTATED], reading(5)), Reason.KEY_SPAN),
    "the new key before its start": (
        lambda: forged([ENROLLED, ROTATED], reading(4, NEW)),
        Reason.KEY_SPAN,
    ),
    "a rotation that the old key did not sign": (
        lambda: forged([ENROLLED, rotate(DEVICE, asked=AIR_ONLY_NAME)], reading(5, NEW)),
        Reason.ROTATION_SIGNATURE,
    ),
    "a rotation by somebody": (
        lambda: forged([ENROLLED, rotate(DEVICE, name="https://x.example/")], reading(5, NEW)),
        Reason.AUTHORITY_UNKNOWN,
    ),
    "a rotation by an authority of elsewhere": (
        lambda: forged(
            [
                enrol(DEVICE, 0, about=enrolment(DEVICE, area="south")),
                rotate(DEVICE, by=AIR_ONLY, name=AIR_ONLY_NAME),
            ],
            reading(5, NEW),
        ),
        Reason.AUTHORITY_SCOPE,
    ),
    "a rotation to before the old key": (
        lambda: forged([ENROLLED, rotate(DEVICE, starts=(0, 0))], reading(5, NEW)),
        Reason.KEY_SPAN,
    ),
    "an enrolment without possession": (
        lambda: forged([enrol(DEVICE, 0, about=enrolment(DEVICE, possession=bytes(64)))], reading(0)),
        Reason.POSSESSION_INVALID,
    ),
    "an arrival after it was cosigned": (
        lambda: forged([ENROLLED], reading(0), arrival_last_ms=NOW_MS + 160_001),
        Reason.ARRIVAL_LATE,
    ),
}


@pytest.mark.parametrize("what", FORGED)
def test_what_an_operator_takes_in_all_the_same_is_no_evidence(what: str) -> None:
    """Cosigned and included, and still refused by its own reason."""
    make, reason = FORGED[what]
    data = make()
    with pytest.raises(VerificationError) as refused:
        judge(data)
    assert refused.value.reason is reason


def test_at_the_bound_an_arrival_may_still_be_honest() -> None:
    """Clocks differ: the authorities file says by how much."""
    assert judge(forged([ENROLLED], reading(0), arrival_last_ms=NOW_MS + 160_000)).leaf == 1


def test_the_prover_makes_no_proof_of_what_nothing_admits() -> None:
    """A log that took in a revoked key's statement is wrong, and who asks for the proof hears of it."""
    log, device = ForgedLog(), Device(0)
    log.enrol(enrol(device, 0), revoke(device))
    log.add(device.shard, [device.read()])
    log.publish()
    with pytest.raises(VerificationError) as refused:
        Prover(log.files.get, POLICY).prove(2 * LEAVES_PER_ENTRY + 1, "no2", FIRST_US)
    assert refused.value.reason is Reason.KEY_REVOKED
