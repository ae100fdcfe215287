"""Evidence: what a valid file shows; parts exchanged, bits flipped, things left out: each is refused."""

import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from typing import Any

import cbor2
import pytest

from pipeline.identity.authorities import parse_authorities
from pipeline.log.genesis import sign_genesis
from pipeline.log.policy import parse_policy
from pipeline.verify import evidence
from pipeline.verify.collect import Collector
from pipeline.verify.completeness import Gap, Place
from pipeline.verify.evidence import (
    ADMISSION,
    BLOCK,
    END,
    HEAD,
    KEY,
    EvidenceCheck,
    encode_block,
    parse_admission,
    parse_block,
    parse_head,
    parse_key,
    remember,
)
from pipeline.verify.query import Query
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import parse_statement
from tests.support.changes import NEW, admit, revoke, rotate
from tests.support.city import (
    AIR_ONLY,
    AIR_ONLY_NAME,
    AUTHORITIES,
    AUTHORITIES_TEXT,
    LOG,
    NOW_MS,
    POLICY,
    SHARDS,
    WITNESSES,
    ForgedLog,
    device_in,
    enrol,
    enrolment,
    leaf_hash,
    policy_text,
)
from tests.support.evidence_files import (
    FIRST_LINE,
    Example,
    Frame,
    collect,
    judge,
    minutes,
    of_device,
    pack,
    put_together,
    reader,
    sequences,
    take_apart,
)

EXAMPLE = Example()
DEVICE = EXAMPLE.devices[1]
DATA = collect(EXAMPLE.log, of_device(DEVICE, 3, 8))
FRAMES = take_apart(DATA)


def refusal(data: bytes) -> Reason:
    """Why a file is refused."""
    with pytest.raises(VerificationError) as refused:
        judge(data)
    return refused.value.reason


def test_evidence_shows_whose_statements_they_are_and_that_they_are_all() -> None:
    """Byte for byte what the device signed; those on both sides of the span; log, witnesses, completeness."""
    statements, verified = judge(DATA)
    assert [proven.statement.raw for proven in statements] == EXAMPLE.raws[DEVICE.issuer][2:9]
    assert all(proven.key.enrolment == enrolment(DEVICE) for proven in statements)
    assert [(proven.entry, proven.leaf) for proven in statements] == [(2 * n + 2, 2) for n in range(2, 9)]
    assert verified.query == of_device(DEVICE, 3, 8)
    assert (verified.statements, verified.blocks) == (7, 7)
    assert len(verified.checkpoint.cosignatures) == 3
    (signer,) = verified.signers
    assert signer.complete
    assert (signer.issuer, signer.first, signer.last) == (DEVICE.issuer, Place(1, 2), Place(1, 8))


def test_a_file_is_the_frames_that_the_formats_name() -> None:
    """First line, deflated frames, hash; head, key, a block frame an entry, end."""
    assert DATA.startswith(b"cityproof evidence 1\n")
    assert [kind for kind, _ in FRAMES] == [HEAD, KEY, *[BLOCK] * 7, END] == [0, 1, *[3] * 7, 4]
    head = cbor2.loads(FRAMES[0][1])
    assert head == {
        0: "application/vnd.cityproof.evidence",
        1: {1: [DEVICE.issuer], 5: 1_800_000_180_000_000, 6: 1_800_000_480_000_000},
        2: EXAMPLE.log.files["checkpoint"],
        3: EXAMPLE.log.entries[0],
    }
    key = cbor2.loads(FRAMES[1][1])
    assert key[1] == EXAMPLE.log.registry.root
    assert key[7] == EXAMPLE.enrolments[1]
    assert key[8][1] == 1 << len(key[8][2])
    content = FRAMES[2][1]
    block = EXAMPLE.log.files["block/1/002"]
    manifest = block[4 : 4 + int.from_bytes(block[:4], "big")]
    raw = EXAMPLE.raws[DEVICE.issuer][2]
    assert content.startswith((6).to_bytes(8, "big") + EXAMPLE.log.entries[6][-64:])
    at = 72
    for part in (manifest, None, raw):
        if part is None:
            assert content[at : at + 4] == b"\0\1\0\2"  # One statement, leaf 2.
            at += 4
            continue
        assert content[at : at + 2 + len(part)] == len(part).to_bytes(2, "big") + part
        at += 2 + len(part)
    assert len(content[at:]) % 32 == 0


def test_it_is_read_in_pieces_of_any_size() -> None:
    """One byte at a time, or all at once."""
    for most in (1, 7, 33, len(DATA) + 1):
        source = reader(DATA)

        def read(size: int, most: int = most, source: Callable[[int], bytes] = source) -> bytes:
            return source(min(size, most))

        check = EvidenceCheck(read, POLICY, AUTHORITIES)
        assert len(list(check.statements())) == 7
        assert check.result().statements == 7


def test_several_signers_of_several_shards() -> None:
    """All that the query asks for, shared parts once, in the log's order."""
    statements, verified = judge(collect(EXAMPLE.log, Query(span=minutes(2, 6))))
    for device in EXAMPLE.devices:
        assert sequences(statements, device) == [1, 2, 3, 4, 5, 6]
    assert [signer.complete for signer in verified.signers] == [True] * 6
    places = [(proven.entry, proven.leaf) for proven in statements]
    assert places == sorted(places)
    assert verified.blocks == 12


def test_a_device_that_was_asked_for_and_is_not_there_is_named() -> None:
    """Nothing is shown of it; that it said nothing is not claimed."""
    stranger = device_in(1, 7)
    query = Query(devices=frozenset({DEVICE.issuer, stranger.issuer}), span=minutes(2, 4))
    _, verified = judge(collect(EXAMPLE.log, query))
    shown = {signer.issuer: signer for signer in verified.signers}
    assert shown[DEVICE.issuer].complete
    assert not shown[stranger.issuer].complete
    assert shown[stranger.issuer].statements == 0


# Leaving something out


def without(data: bytes, sequence: int) -> bytes:
    """The file without the block frame of one statement."""
    frames = take_apart(data)
    for at, (kind, content) in enumerate(frames):
        if kind == BLOCK and any(s.sequence == sequence for s in statements_in(content)):
            del frames[at]
            return put_together(frames)
    raise AssertionError


def statements_in(content: bytes) -> list[Any]:
    """The statements of a block frame."""
    return [parse_statement(raw) for _, raw in parse_block(content).leaves]


def test_a_statement_cut_out_of_the_file_is_missed() -> None:
    """The hashes around it no longer make up the log."""
    assert refusal(without(DATA, 5)) in {Reason.PATH_SHORT, Reason.PATH_LONG, Reason.ROOT_MISMATCH}


def test_a_statement_that_the_maker_left_out_is_a_gap() -> None:
    """A valid file that says less: the gap is named, and the hash of what is missing."""
    log = ForgedLog()
    log.enrol(EXAMPLE.enrolments[1])
    raws = EXAMPLE.raws[DEVICE.issuer]
    for raw in [*raws[2:5], *raws[6:9]]:
        log.add(1, [raw])
    log.publish()
    _, verified = judge(collect(log, of_device(DEVICE, 3, 8)))
    (signer,) = verified.signers
    assert signer.gaps == (Gap(1, 5, 5, leaf_hash(raws[5])),)
    assert not signer.complete

    log.add(1, [raws[5]])
    log.publish()
    statements, verified = judge(collect(log, of_device(DEVICE, 3, 8)))
    assert sequences(statements, DEVICE) == [2, 3, 4, 6, 7, 8, 5]
    assert verified.signers[0].complete


def test_what_fills_a_gap_must_be_the_true_one() -> None:
    """Signed by the device, at the right place, and not what its successor names."""
    log = ForgedLog()
    log.enrol(EXAMPLE.enrolments[1])
    raws = EXAMPLE.raws[DEVICE.issuer]
    twin = device_in(1, 1)
    other = twin.read(sequence=5, records=1, previous=leaf_hash(raws[4]))
    for raw in [*raws[2:5], *raws[6:9], other]:
        log.add(1, [raw])
    log.publish()
    _, verified = judge(collect(log, of_device(DEVICE, 3, 8)))
    assert verified.signers[0].breaks == (Place(1, 6),)
    assert not verified.signers[0].complete


def test_an_equivocation_is_shown_and_is_no_reading() -> None:
    """Both statements are in the file, the second as what it is."""
    log = ForgedLog()
    log.enrol(EXAMPLE.enrolments[1])
    raws = EXAMPLE.raws[DEVICE.issuer]
    other = device_in(1, 1).read(sequence=4, records=1)
    log.add(1, raws[2:6])
    log.add(1, [other, raws[6]], equivocations=(1,))
    log.publish()
    statements, verified = judge(collect(log, of_device(DEVICE, 3, 6)))
    assert [proven.equivocation for proven in statements] == [False] * 4 + [True, False]
    assert statements[4].statement.raw == other
    assert verified.signers[0].equivocations == (Place(1, 4),)
    assert not verified.signers[0].complete


# Keys


class Changing:
    """A device whose key was rotated, then revoked, and of which one statement was let in by its hash."""

    def __init__(self) -> None:
        self.device = device_in(1)
        self.log = ForgedLog()
        self.log.enrol(enrol(self.device, 0))
        old = self.device.signer
        self.raws = [self.device.read() for _ in range(5)]
        self.log.add(1, self.raws[:3])
        self.log.enrol(rotate(self.device, sequence=1))
        self.device.signer = NEW
        self.raws += [self.device.read() for _ in range(3)]
        self.log.add(1, self.raws[3:7])
        self.log.enrol(revoke(self.device, NEW, sequence=2))
        self.device.signer = old

    def data(self) -> bytes:
        """The evidence for all of its statements."""
        self.log.publish()
        return collect(self.log, of_device(self.device, 0, 100))


def test_keys_are_shown_in_each_state_that_blocks_name() -> None:
    """The enrolled key and the one it was rotated to; a backlog of the old one is good after the rotation."""
    city = Changing()
    statements, verified = judge(city.data())
    assert [proven.statement.raw for proven in statements] == city.raws[:7]
    assert [len(proven.key.rotated_by) for proven in statements] == [0, 0, 0, 0, 0, 1, 1]
    assert verified.signers[0].unbroken
    assert [kind for kind, _ in take_apart(city.data())] == [HEAD, KEY, BLOCK, KEY, KEY, BLOCK, END]


def test_after_a_revocation_only_what_was_admitted_is_good() -> None:
    """Checked against a state that has it, by the hash of this very statement."""
    city = Changing()
    city.log.enrol(admit(city.device, city.raws[7], sequence=3))
    city.log.add(1, city.raws[7:])
    data = city.data()
    assert judge(data)[1].signers[0].last == Place(1, 7)
    kinds = [kind for kind, _ in take_apart(data)]
    assert kinds == [HEAD, KEY, BLOCK, KEY, KEY, BLOCK, KEY, ADMISSION, BLOCK, END]

    frames = [frame for frame in take_apart(data) if frame[0] != ADMISSION]
    assert refusal(put_together(frames)) is Reason.KEY_REVOKED
    other = Changing()
    other.log.enrol(admit(other.device, other.raws[6], sequence=3))
    other.log.add(1, other.raws[7:])
    with pytest.raises(VerificationError) as refused:
        other.data()
    assert refused.value.reason is Reason.KEY_REVOKED


def lie(*statements: bytes, key: Callable[[list[Frame]], list[Frame]] = list, **forged: Any) -> Reason:
    """Why evidence is refused that an operator made of a block that is not as it must be."""
    log = ForgedLog()
    log.enrol(*EXAMPLE.enrolments)
    log.add(1, [EXAMPLE.raws[DEVICE.issuer][0]])
    log.add(2, [EXAMPLE.raws[EXAMPLE.devices[3].issuer][0]])
    log.add(forged.pop("shard", 1), statements, **forged)
    log.publish()
    plain = take_apart(collect(log, Query(areas=frozenset({"north"}))))
    return refusal(put_together(key(plain)))


def other_signers_key(frames: list[Frame]) -> list[Frame]:
    """The key frames exchanged for another device's."""
    query = Query(devices=frozenset({EXAMPLE.devices[2].issuer}))
    theirs = next(frame for frame in take_apart(collect(EXAMPLE.log, query)) if frame[0] == KEY)
    return [theirs if frame[0] == KEY else frame for frame in frames]


def test_what_a_statement_must_be() -> None:
    """Signed by the key that the registry of its block has, valid by then, in its shard, in time."""
    good = EXAMPLE.raws[DEVICE.issuer][1]
    flipped = bytearray(good)
    flipped[-1] ^= 1
    assert lie(bytes(flipped)) is Reason.SIGNATURE_INVALID
    assert lie(good, key=lambda frames: [f for f in frames if f[0] != KEY]) is Reason.KEY_UNKNOWN
    assert lie(good, key=other_signers_key) is Reason.KEY_UNKNOWN
    assert lie(good, shard=2) is Reason.SHARD_WRONG
    assert lie(good, arrival_first_ms=0, arrival_last_ms=0) is Reason.KEY_NOT_YET_VALID
    late = NOW_MS + 100_000 + 60_001
    assert lie(good, arrival_last_ms=late) is Reason.ARRIVAL_LATE


def test_the_trusted_files_decide() -> None:
    """Another quorum, other authorities: each refuses the same file."""
    small = collect(Example(2, witnesses=2).log, of_device(DEVICE, 0, 1))
    with pytest.raises(VerificationError) as refused:
        judge(small, parse_policy(policy_text(3).encode()))
    assert refused.value.reason is Reason.QUORUM_MISSING
    other = parse_authorities((AUTHORITIES_TEXT + "# another file\n").encode())
    with pytest.raises(VerificationError) as refused:
        list(EvidenceCheck(reader(DATA), POLICY, other).statements())
    assert refused.value.reason is Reason.GENESIS_SHAPE


def test_at_their_bounds_times_are_good() -> None:
    """A key is valid from its moment on; a block may have arrived as late as cosignatures allow."""
    device = DEVICE
    latest_ms = NOW_MS + 100_000 + 60_000  # Cosigned 100 s later, and 60 s are allowed.
    for arrival_ms, delay_s, reason in (
        (NOW_MS, 0, None),
        (NOW_MS + 999, 1, Reason.KEY_NOT_YET_VALID),
        (latest_ms, 0, None),
        (latest_ms + 1, 0, Reason.ARRIVAL_LATE),
    ):
        log = ForgedLog()
        log.enrol(enrol(device, 0, about=enrolment(device, valid_from_s=NOW_MS // 1000 + delay_s)))
        raw = device_in(1, 1).read()
        log.add(1, [raw], arrival_first_ms=NOW_MS, arrival_last_ms=arrival_ms)
        log.publish()
        data = collect(log, Query())
        if reason is None:
            assert [proven.statement.raw for proven in judge(data)[0]] == [raw]
        else:
            assert refusal(data) is reason


def test_an_admission_is_good_for_its_statement_only() -> None:
    """It stands in the registry, and its authority answers for the signer."""
    city = Changing()
    city.log.enrol(admit(city.device, city.raws[7], sequence=3))
    city.log.add(1, city.raws[7:])
    frames = take_apart(city.data())
    at = [kind for kind, _ in frames].index(ADMISSION)
    fields = cbor2.loads(frames[at][1])
    raw, (index, size, hashes) = fields[12]
    elsewhere = admit(device_in(1, 5), city.raws[7], sequence=3)
    by_another = admit(
        city.device, city.raws[7], sequence=0, by=AIR_ONLY, name=AIR_ONLY_NAME
    )  # Who answers for it, too, but has not admitted it in this log.
    for change, reason in (
        ({12: [raw, [index ^ 1, size, hashes]]}, Reason.ROOT_MISMATCH),
        ({12: [raw, [index, size * 2, hashes]]}, Reason.SIZE_ORDER),
        ({12: [by_another, [index, size, hashes]]}, Reason.ROOT_MISMATCH),
        ({12: [elsewhere, [index, size, hashes]]}, Reason.ROOT_MISMATCH),
        ({12: [EXAMPLE.enrolments[0], [index, size, hashes]]}, Reason.STATEMENT_CONTENT_TYPE),
        ({2: leaf_hash(city.raws[6])}, Reason.PROOF_REGISTRY),
        ({1: bytes(32)}, Reason.ROOT_MISMATCH),
        ({12: [raw]}, Reason.EVIDENCE_SHAPE),
        ({12: raw}, Reason.EVIDENCE_SHAPE),
        ({12: [raw, 0]}, Reason.PROOF_SHAPE),
        ({1: 0}, Reason.EVIDENCE_SHAPE),
        ({3: 0}, Reason.EVIDENCE_SHAPE),
    ):
        content = cbor2.dumps(fields | change, canonical=True)
        assert refusal(put_together([*frames[:at], (ADMISSION, content), *frames[at + 1 :]])) is reason


def test_who_may_not_admit_lets_nothing_in() -> None:
    """An operator takes up an admission by an authority that does not answer for the signer's area."""
    device = device_in(1)
    raw = device.read()
    log = ForgedLog()
    log.enrol(enrol(device, 0, about=enrolment(device, area="south")))
    log.enrol(revoke(device, sequence=1))
    log.enrol(admit(device, raw, sequence=0, by=AIR_ONLY, name=AIR_ONLY_NAME))
    log.add(1, [raw])
    log.publish()
    assert refusal(collect(log, Query())) is Reason.AUTHORITY_SCOPE


def test_a_file_is_of_one_log() -> None:
    """The genesis is of the log whose checkpoint it is."""
    other = sign_genesis(LOG.signer, "other.example/log", SHARDS, AUTHORITIES.file_hash)
    assert refusal(with_fields(0, _3=other)) is Reason.CHECKPOINT_ORIGIN


def test_what_was_shown_again_is_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is forgotten last, and pushes nothing out."""
    monkeypatch.setattr(evidence, "KEYS_MAX", 2)
    memory: dict[str, int] = {}
    for at, key in enumerate(("a", "b", "b")):
        remember(memory, key, at)
    assert memory == {"a": 0, "b": 2}
    remember(memory, "a", 3)
    remember(memory, "c", 4)
    assert memory == {"a": 3, "c": 4}


@pytest.mark.parametrize(
    ("parse", "size"), [(parse_head, 256 * 1024), (parse_key, 128 * 1024), (parse_admission, 128 * 1024)]
)
def test_frames_are_bounded(parse: Callable[[bytes], object], size: int) -> None:
    """What is larger is refused unread."""
    for data, reason in ((bytes(size), Reason.CBOR_TRAILING), (bytes(size + 1), Reason.OVERSIZE)):
        with pytest.raises(VerificationError) as refused:
            parse(data)
        assert refused.value.reason is reason


def test_signers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the formats say are remembered, and no more."""
    assert evidence.SIGNERS_MAX == 65_536
    data = collect(EXAMPLE.log, Query(span=minutes(2, 4)))
    monkeypatch.setattr(evidence, "SIGNERS_MAX", 6)
    assert len(judge(data)[1].signers) == 6
    monkeypatch.setattr(evidence, "SIGNERS_MAX", 5)
    assert refusal(data) is Reason.OVERSIZE


@pytest.mark.parametrize(("accepted", "reason"), [(2047, Reason.PATH_SHORT), (2048, Reason.BLOCK_SHAPE)])
def test_a_block_has_at_most_2048_leaves(accepted: int, reason: Reason) -> None:
    """A manifest among them; a path in a block of that size is looked at."""
    fields = cbor2.loads(SECOND.manifest)
    fields[7], fields[5] = accepted, [0, accepted - 1]
    assert refusal(block(manifest=cbor2.dumps(fields, canonical=True))) is reason


def test_nothing_is_proven_before_the_end() -> None:
    """Who asks earlier has made a mistake; each signature is verified once, a few blocks at a time."""
    check = EvidenceCheck(reader(DATA), POLICY, AUTHORITIES)
    statements = check.statements()
    next(statements)
    with pytest.raises(AssertionError):
        check.result()
    assert len(list(statements)) == 6
    assert check.result().statements == 7


def test_signatures_are_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In portions, and those of the last one at the end."""
    verified: list[bytes] = []
    monkeypatch.setattr(evidence, "SIGNATURES_AT_ONCE", 3)
    monkeypatch.setattr(evidence, "verify", lambda _key, _message, signature: verified.append(signature))
    counts: list[int] = []
    for _ in EvidenceCheck(reader(DATA), POLICY, AUTHORITIES).statements():
        counts.append(len(verified))
    assert counts == [3, 3, 3, 6, 6, 6, 7]
    assert verified == [raw[-64:] for raw in EXAMPLE.raws[DEVICE.issuer][2:9]]


# One frame altered


def changed(at: int, change: Callable[[bytes], bytes]) -> bytes:
    """The file with one frame's content changed."""
    frames = list(FRAMES)
    frames[at] = frames[at][0], change(frames[at][1])
    return put_together(frames)


def block(**changes: Any) -> bytes:
    """The file with parts of its second block frame replaced."""
    return changed(3, lambda content: encode_block(parse_block(content)._replace(**changes)))


SECOND = parse_block(FRAMES[3][1])
NEXT = parse_block(FRAMES[4][1])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"entry": 9}, Reason.PATH_SHORT),
        ({"entry": 10}, Reason.PATH_SHORT),
        ({"entry": 5}, Reason.INDEX_OUTSIDE),
        ({"entry": 2**64 - 1}, Reason.INDEX_OUTSIDE),
        ({"signature": bytes(64)}, Reason.ROOT_MISMATCH),
        ({"manifest": NEXT.manifest}, Reason.ROOT_MISMATCH),
        ({"manifest": b""}, Reason.CBOR_TRUNCATED),
        ({"leaves": NEXT.leaves}, Reason.ROOT_MISMATCH),
        ({"leaves": []}, Reason.EVIDENCE_SHAPE),
        ({"leaves": [(1, SECOND.leaves[0][1])]}, Reason.PATH_LONG),
        ({"leaves": [(0, SECOND.leaves[0][1])]}, Reason.INDEX_OUTSIDE),
        ({"leaves": [(4, SECOND.leaves[0][1])]}, Reason.INDEX_OUTSIDE),
        ({"leaves": [SECOND.leaves[0]] * 2}, Reason.INDEX_OUTSIDE),
        ({"leaves": [(2, b"")]}, Reason.CBOR_TRUNCATED),
        ({"leaves": [(2, EXAMPLE.enrolments[0])]}, Reason.STATEMENT_CONTENT_TYPE),
        ({"leaves": [(2, EXAMPLE.raws[EXAMPLE.devices[0].issuer][3])]}, Reason.KEY_UNKNOWN),
        ({"hashes": SECOND.hashes[:-1]}, Reason.PATH_SHORT),
        ({"hashes": [*SECOND.hashes, bytes(32)]}, Reason.PATH_LONG),
        ({"hashes": SECOND.hashes[::-1]}, Reason.ROOT_MISMATCH),
        ({"hashes": [*SECOND.hashes[:-1], SECOND.hashes[-1][:31]]}, Reason.EVIDENCE_SHAPE),
    ],
)
def test_a_part_of_a_block_that_is_not_its_own_is_refused(changes: dict[str, Any], reason: Reason) -> None:
    """Nothing in a block frame may be exchanged, and each exchange has its reason."""
    assert refusal(block(**changes)) is reason


def with_fields(at: int, **changes: Any) -> bytes:
    """The file with keys of a CBOR frame changed, or left out where the value is None."""

    def change(content: bytes) -> bytes:
        fields = cbor2.loads(content) | {int(key[1:]): value for key, value in changes.items()}
        return cbor2.dumps({k: v for k, v in fields.items() if v is not None}, canonical=True)

    return changed(at, change)


@pytest.mark.parametrize(
    ("at", "changes", "reason"),
    [
        (0, {"_0": "application/vnd.cityproof.proof+cbor"}, Reason.EVIDENCE_SHAPE),
        (0, {"_0": None}, Reason.EVIDENCE_SHAPE),
        (0, {"_1": None}, Reason.EVIDENCE_SHAPE),
        (0, {"_2": None}, Reason.EVIDENCE_SHAPE),
        (0, {"_3": None}, Reason.EVIDENCE_SHAPE),
        (0, {"_4": 0}, Reason.EVIDENCE_SHAPE),
        (0, {"_2": "text"}, Reason.EVIDENCE_SHAPE),
        (0, {"_2": b""}, Reason.NOTE_SHAPE),
        (0, {"_3": EXAMPLE.log.entries[1]}, Reason.COSE_HEADER),
        (0, {"_1": {1: [EXAMPLE.devices[0].issuer]}}, Reason.EVIDENCE_QUERY),
        (0, {"_1": {3: ["south"]}}, Reason.EVIDENCE_QUERY),
        (0, {"_1": []}, Reason.EVIDENCE_QUERY),
        (1, {"_1": bytes(32)}, Reason.ROOT_MISMATCH),
        (1, {"_1": None}, Reason.EVIDENCE_SHAPE),
        (1, {"_7": None}, Reason.EVIDENCE_SHAPE),
        (1, {"_8": None}, Reason.EVIDENCE_SHAPE),
        (1, {"_9": 0}, Reason.EVIDENCE_SHAPE),
        (1, {"_7": EXAMPLE.enrolments[2]}, Reason.EVIDENCE_QUERY),
        (1, {"_7": b""}, Reason.CBOR_TRUNCATED),
        (1, {"_8": [0, 1, []]}, Reason.ROOT_MISMATCH),
        (1, {"_8": [0, 3, [bytes(32)]]}, Reason.SIZE_ORDER),
        (1, {"_8": 0}, Reason.PROOF_SHAPE),
        (1, {"_10": []}, Reason.PROOF_SHAPE),
        (1, {"_10": [EXAMPLE.enrolments[0]]}, Reason.STATEMENT_CONTENT_TYPE),
        (1, {"_11": [[], bytes(32)]}, Reason.ROOT_MISMATCH),
        (1, {"_11": 0}, Reason.PROOF_SHAPE),
        (1, {"_11": [[1, 0], b""]}, Reason.ROOT_MISMATCH),
    ],
)
def test_head_and_keys_are_exactly_what_they_are(at: int, changes: dict[str, Any], reason: Reason) -> None:
    """A part missing, one more, one of another type, one of somebody else's."""
    assert refusal(with_fields(at, **changes)) is reason


def test_frames_have_their_order() -> None:
    """The head first and once, an end and nothing behind it, blocks as the log has them."""
    head, key, *blocks, end = FRAMES
    for frames, reason in (
        ([key, *blocks, end], Reason.EVIDENCE_SHAPE),
        ([], Reason.EVIDENCE_SHAPE),
        ([head, head, key, *blocks, end], Reason.EVIDENCE_SHAPE),
        ([head, key, *blocks], Reason.EVIDENCE_SHAPE),
        ([head, key, *blocks, end, end], Reason.EVIDENCE_SHAPE),
        ([head, key, *blocks, (5, b""), end], Reason.EVIDENCE_SHAPE),
        ([head, key, *blocks, (END, end[1][:-1])], Reason.EVIDENCE_SHAPE),
        ([head, key, *blocks, (END, end[1][:-32])], Reason.PATH_SHORT),
        ([head, key, *blocks, (END, end[1] + bytes(32))], Reason.PATH_LONG),
        ([head, *blocks, key, end], Reason.KEY_UNKNOWN),
        ([head, key, blocks[0], blocks[0], *blocks[1:], end], Reason.INDEX_OUTSIDE),
        ([head, key, blocks[1], blocks[0], *blocks[2:], end], Reason.PATH_SHORT),
        ([head, key, end], Reason.PATH_SHORT),
    ):
        assert refusal(put_together(frames)) is reason, frames
    assert judge(put_together([head, key, key, *blocks, end]))[1].statements == 7


def test_keys_are_forgotten_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the formats say are remembered; who makes evidence shows one again when it was forgotten."""
    assert evidence.KEYS_MAX == 65_536
    monkeypatch.setattr(evidence, "KEYS_MAX", 3)
    data = collect(EXAMPLE.log, Query(span=minutes(2, 4)))
    statements, _ = judge(data)
    assert len(statements) == 24
    assert sum(kind == KEY for kind, _ in take_apart(data)) == 24
    once = [frame for n, frame in enumerate(take_apart(data)) if frame[0] != KEY or n < 12]
    assert refusal(put_together(once)) is Reason.KEY_UNKNOWN


# Every single bit

LONELY = parse_policy(policy_text(1, 1).encode())
PARTS = 8


def small() -> bytes:
    """A file with two statements of one device, and no cosignature to spare."""
    log = ForgedLog()
    device = device_in(1)
    log.enrol(enrol(device, 0), enrol(device_in(2), 1))
    log.add(1, [device.read()])
    log.add(2, [device_in(2).read()])
    log.add(1, [device.read()])
    log.publish(witnesses=WITNESSES[:1])
    out = BytesIO()
    Collector(log.files.get, LONELY).collect(of_device(device, 0, 1), out.write)
    return out.getvalue()


SMALL = small()


def flips(data: bytes, part: int, file_of: Callable[[bytes], bytes]) -> Counter[str]:
    """Flip each bit of an eighth of these bytes, one at a time; count the reasons, "" where there is none."""
    found: Counter[str] = Counter()
    valid = judge(SMALL, LONELY)
    first, last = (len(data) * 8 * n // PARTS for n in (part, part + 1))
    for position in range(first, last):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        try:
            statements, verified = judge(file_of(bytes(flipped)), LONELY)
        except VerificationError as refused:
            found[refused.reason.value] += 1
        else:
            assert statements == valid[0]
            assert verified.query != valid[1].query
            found[""] += 1
    return found


@pytest.mark.parametrize("part", range(PARTS))
def test_no_bit_of_a_file_may_change(part: int) -> None:
    """Every flip of every bit is refused, with a published reason."""
    found = flips(SMALL, part, lambda data: data)
    assert found.keys() <= {reason.value for reason in Reason}


@pytest.mark.parametrize("part", range(PARTS))
def test_no_bit_of_what_a_file_holds_may_change(part: int) -> None:
    """The same of the frames before they are deflated, with a hash at the end that fits.

    But for the times in the query, which nobody signs: who changes them asks something else, and the answer
    is about that. The other flips of their 128 bits make no time, or an end before the beginning.
    """
    found = flips(content_of(SMALL), part, pack)
    assert Reason.EVIDENCE_DAMAGED.value not in found
    assert found[""] == (78 if part == 0 else 0)


def content_of(data: bytes) -> bytes:
    """The frames of a file as one string of bytes."""
    return zlib.decompress(data[len(FIRST_LINE) : -32], -15)


# Limits


@pytest.mark.serial
def test_memory_does_not_grow_with_the_file() -> None:
    """Four times the statements, the same memory to within a tenth: what is read at once is in it already."""
    peaks: list[int] = []
    for rounds in (1000, 4000):
        data = collect(Example(rounds).log, Query(devices=frozenset({DEVICE.issuer})))
        check = EvidenceCheck(reader(data), POLICY, AUTHORITIES)
        tracemalloc.start()
        count = sum(1 for _ in check.statements())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert count == rounds
    assert peaks[1] < 1.1 * peaks[0]
