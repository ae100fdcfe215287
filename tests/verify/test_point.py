"""The point proof: every part altered, every bit flipped, every lie that its makers could agree on."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import cbor2
import pytest

from pipeline.identity.authorities import parse_authorities
from pipeline.log.block import decode_body, sign_block
from pipeline.log.merkle import BlockTree, hash_leaves, inclusion_path, root_of
from pipeline.log.note import NoteSigner, encode_vkey, parse_note
from pipeline.log.policy import Policy, parse_policy
from pipeline.log.tiles import block_path
from pipeline.verify.point import (
    CONTENT_PROOF,
    PROOF_SIZE_MAX,
    PointCheck,
    PointProof,
    VerifiedPoint,
    encode_proof,
    parse_proof,
    verify_point,
)
from pipeline.verify.prove import LEAVES_PER_ENTRY, Prover
from pipeline.verify.signer import Path
from pipeline.wire.enrolment import decode_enrolment
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import SeedSigner
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.statement import parse_statement
from tests.support.city import (
    AUTHORITIES,
    AUTHORITIES_TEXT,
    AUTHORITY_NAME,
    LOG,
    NOW_MS,
    ORIGIN,
    POLICY,
    WITNESSES,
    ForgedLog,
    device_in,
    enrol,
    enrolment,
    policy_text,
    seed,
)

TIME_S = 1_800_000_100
FIRST_US = 1_800_000_000_000_000


def judge(data: bytes, policy: Policy = POLICY) -> VerifiedPoint:
    """Verify under the city's policy and authorities."""
    return verify_point(data, policy, AUTHORITIES)


def refusal(data: bytes, policy: Policy = POLICY) -> Reason:
    """Why a proof is refused."""
    with pytest.raises(VerificationError) as refused:
        judge(data, policy)
    return refused.value.reason


class Example:
    """A log with five keys and six blocks, and the proof of one record in its middle."""

    def __init__(self, *, records: int = 3, witnesses: Sequence[NoteSigner] = WITNESSES) -> None:
        self.device = device_in(1)
        others = [device_in(shard, nth) for shard in (1, 2) for nth in (1, 2)]
        self.log = ForgedLog()
        self.enrolments = [
            enrol(device, n) for n, device in enumerate([*others[:2], self.device, *others[2:]])
        ]
        self.log.enrol(*self.enrolments)
        self.raws = [self.device.read(records=records) for _ in range(3)]
        self.log.add(2, [others[2].read()])
        self.log.add(1, [others[0].read(), *self.raws, others[1].read()])
        self.log.add(2, [others[3].read()])
        self.log.add(1, [others[0].read()])
        self.entry, self.leaf = 3, 3
        self.publish(witnesses)

    def publish(self, witnesses: Sequence[NoteSigner] = WITNESSES) -> None:
        self.log.publish(time_s=TIME_S, witnesses=witnesses)

    def proof(self, nth: int = 1, policy: Policy = POLICY) -> bytes:
        """The proof of the nth record of the statement in the middle."""
        ref = self.entry * LEAVES_PER_ENTRY + self.leaf
        at_us = FIRST_US + 60_000_000 + nth * 1_000_000
        return Prover(self.log.files.get, policy).prove(ref, "no2", at_us)


EXAMPLE = Example()
DATA = EXAMPLE.proof()
PROOF = parse_proof(DATA)


def test_a_valid_proof_shows_who_signed_what_and_that_it_was_in_the_log() -> None:
    """Statement, record, enrolment and who made it, block, place in the log, witnesses and their time."""
    point = judge(DATA)
    assert point.statement.raw == EXAMPLE.raws[1]
    assert point.record == Record("no2", "ug/m3", 21.25, 1.8e9 + 61)
    assert point.enrolment == enrolment(EXAMPLE.device)
    assert point.authority == AUTHORITY_NAME
    assert (point.entry, point.leaf) == (3, 3)
    assert (point.block.shard, point.block.height) == (point.manifest.shard, point.manifest.height) == (1, 0)
    assert (point.checkpoint.checkpoint.origin, point.checkpoint.checkpoint.size) == (ORIGIN, 6)
    assert [(c.witness, c.time_s) for c in point.checkpoint.cosignatures] == [
        (f"witness{n}", TIME_S) for n in range(3)
    ]


def test_its_steps_can_be_followed() -> None:
    """Each has a name and says what it found; a step that fails is the last one that runs."""
    check = PointCheck(PROOF, POLICY, AUTHORITIES)
    found = {name: step() for name, step in check.steps()}
    key_id = sha256(EXAMPLE.device.signer.public_key).digest()[:8].hex()
    assert found == {
        "checkpoint": f"{ORIGIN}, size 6, cosigned by witness0, witness1, witness2",
        "entry in log": "entry 3",
        "manifest": "shard 1, height 0",
        "statement in block": "leaf 3 of 6",
        "enrolment": f"{EXAMPLE.device.issuer}, enrolled by {AUTHORITY_NAME}",
        "key in registry": f"key {key_id}, not revoked at registry state 1",
        "signature": "epoch 1, sequence 1",
        "key's span": "the key may sign this sequence",
        "record": "no2 = 21.25 ug/m3",
    }
    assert check.result() == judge(DATA)
    lonely = parse_policy("\n".join([policy_text().split("\n")[0], "quorum none", ""]).encode())
    _, first = next(PointCheck(PROOF, lonely, AUTHORITIES).steps())
    assert first() == f"{ORIGIN}, size 6, cosigned by nobody (none asked for)"


def test_the_file_is_a_map_that_others_can_read() -> None:
    """Keys 0 to 9, by another decoder: what formats.md lists, paths as [index, size, hashes]."""
    fields = cbor2.loads(DATA)
    assert list(fields) == list(range(10))
    assert fields[0] == "application/vnd.cityproof.proof+cbor" == CONTENT_PROOF
    assert fields[1] == EXAMPLE.raws[1]
    assert fields[2] == 1
    assert fields[3][:2] == [3, 6]
    assert fields[6][:2] == [3, 6]
    assert fields[7] == EXAMPLE.enrolments[2]
    assert fields[8][1] == 1 << len(fields[8][2])
    assert encode_proof(PROOF) == cbor2.dumps(fields, canonical=True) == DATA


def node(left: bytes, right: bytes) -> bytes:
    """RFC 9162's node hash."""
    return sha256(b"\1" + left + right).digest()


def test_the_registry_path_leads_to_the_root_from_its_sides() -> None:
    """Bit n of the index says that hash n is the left one; how many keys there are is not said."""
    path = PROOF.in_registry
    record = [
        EXAMPLE.device.issuer,
        sha256(EXAMPLE.device.signer.public_key).digest()[:8],
        EXAMPLE.device.signer.public_key,
        sha256(b"\0" + EXAMPLE.enrolments[2]).digest(),
        1_700_000_000,
        [0, 0],
        [],
        b"",
    ]
    root = sha256(b"\0" + cbor2.dumps(record)).digest()
    for level, sibling in enumerate(path.hashes):
        root = node(sibling, root) if path.index >> level & 1 else node(root, sibling)
    assert root == judge(DATA).manifest.registry_root


# One part altered


def altered(**changes: Any) -> bytes:
    """The proof with some parts replaced."""
    return encode_proof(replace(PROOF, **changes))


def with_path(path: Path, **changes: Any) -> Path:
    """A path, changed."""
    return replace(path, **changes)


def other_hash(hashes: Sequence[bytes], at: int = 0) -> list[bytes]:
    """The hashes with one of them replaced."""
    changed = list(hashes)
    changed[at] = sha256(changed[at]).digest()
    return changed


OTHER = Example(records=2)
SMALL = Example(records=1, witnesses=WITNESSES[:2]).proof(0)
NOTE = PROOF.checkpoint.decode()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"statement": EXAMPLE.raws[2]}, Reason.ROOT_MISMATCH),
        ({"statement": b""}, Reason.ROOT_MISMATCH),
        ({"record": 3}, Reason.PROOF_RECORD),
        ({"record": 2**53}, Reason.PROOF_RECORD),
        ({"in_block": with_path(PROOF.in_block, index=2)}, Reason.ROOT_MISMATCH),
        ({"in_block": with_path(PROOF.in_block, index=6)}, Reason.INDEX_OUTSIDE),
        ({"in_block": with_path(PROOF.in_block, size=5)}, Reason.BLOCK_COUNTS),
        ({"in_block": with_path(PROOF.in_block, size=7)}, Reason.BLOCK_COUNTS),
        ({"in_block": with_path(PROOF.in_block, hashes=PROOF.in_block.hashes[:-1])}, Reason.PATH_SHORT),
        (
            {"in_block": with_path(PROOF.in_block, hashes=[*PROOF.in_block.hashes, bytes(32)])},
            Reason.PATH_LONG,
        ),
        (
            {"in_block": with_path(PROOF.in_block, hashes=other_hash(PROOF.in_block.hashes))},
            Reason.ROOT_MISMATCH,
        ),
        ({"in_block": with_path(PROOF.in_block, hashes=[b"", b"", b""])}, Reason.HASH_SIZE),
        ({"manifest": OTHER.log.files["block/2/000"][4:]}, Reason.MANIFEST_MISMATCH),
        ({"manifest": b""}, Reason.MANIFEST_MISMATCH),
        ({"signed_block": EXAMPLE.log.entries[2]}, Reason.ROOT_MISMATCH),
        ({"in_log": with_path(PROOF.in_log, index=2)}, Reason.ROOT_MISMATCH),
        ({"in_log": with_path(PROOF.in_log, index=6)}, Reason.INDEX_OUTSIDE),
        ({"in_log": with_path(PROOF.in_log, size=5)}, Reason.SIZE_ORDER),
        ({"in_log": with_path(PROOF.in_log, size=7)}, Reason.SIZE_ORDER),
        ({"in_log": with_path(PROOF.in_log, hashes=other_hash(PROOF.in_log.hashes))}, Reason.ROOT_MISMATCH),
        ({"in_log": with_path(PROOF.in_log, hashes=[])}, Reason.PATH_SHORT),
        ({"enrolment": EXAMPLE.enrolments[1]}, Reason.ROOT_MISMATCH),
        ({"enrolment": EXAMPLE.raws[1]}, Reason.AUTHORITY_UNKNOWN),
        ({"enrolment": b""}, Reason.CBOR_TRUNCATED),
        (
            {"in_registry": with_path(PROOF.in_registry, index=PROOF.in_registry.index ^ 1)},
            Reason.ROOT_MISMATCH,
        ),
        ({"in_registry": with_path(PROOF.in_registry, index=8)}, Reason.INDEX_OUTSIDE),
        ({"in_registry": with_path(PROOF.in_registry, size=5)}, Reason.SIZE_ORDER),
        ({"in_registry": with_path(PROOF.in_registry, size=16)}, Reason.SIZE_ORDER),
        (
            {"in_registry": with_path(PROOF.in_registry, hashes=other_hash(PROOF.in_registry.hashes))},
            Reason.ROOT_MISMATCH,
        ),
        ({"in_registry": Path(0, 1, [])}, Reason.ROOT_MISMATCH),
        ({"checkpoint": b""}, Reason.NOTE_SHAPE),
        ({"checkpoint": NOTE.replace("\n6\n", "\n7\n").encode()}, Reason.NOTE_SIGNATURE),
        ({"checkpoint": NOTE.replace("city.", "town.").encode()}, Reason.NOTE_SIGNATURE),
        ({"checkpoint": "\n".join([*NOTE.split("\n")[:5], ""]).encode()}, Reason.QUORUM_MISSING),
        ({"checkpoint": "\n".join([*NOTE.split("\n")[:6], ""]).encode()}, Reason.QUORUM_MISSING),
        (
            {"checkpoint": "\n".join([*NOTE.split("\n")[:4], *NOTE.split("\n")[5:]]).encode()},
            Reason.NOTE_UNSIGNED,
        ),
    ],
)
def test_a_part_that_is_not_its_own_is_refused(changes: dict[str, Any], reason: Reason) -> None:
    """Nothing in a proof may be exchanged, and each exchange has its reason."""
    assert refusal(altered(**changes)) is reason


def test_another_record_of_the_statement_is_another_proof() -> None:
    """The index says which record is meant; each is as valid as the other, and says what it is."""
    values = [judge(altered(record=n)).record.value for n in range(3)]
    assert values == [20.25, 21.25, 22.25]


def test_a_proof_of_another_log_is_no_proof_of_ours() -> None:
    """Same city, same devices, another tree."""
    assert refusal(altered(checkpoint=parse_proof(OTHER.proof()).checkpoint)) is Reason.ROOT_MISMATCH


def test_the_trusted_files_decide() -> None:
    """Another quorum, other witnesses, another log, other authorities: each refuses the same proof."""
    assert refusal(SMALL, parse_policy(policy_text(3, 3).encode())) is Reason.QUORUM_MISSING
    stranger = NoteSigner(ORIGIN, SeedSigner(seed("another log key")))
    theirs = policy_text().replace(policy_text().split("\n")[0], f"log {encode_vkey(stranger.key())}")
    assert refusal(DATA, parse_policy(theirs.encode())) is Reason.NOTE_UNSIGNED
    without = "\n".join(line for line in AUTHORITIES_TEXT.split("\n") if AUTHORITY_NAME not in line)
    with pytest.raises(VerificationError) as refused:
        verify_point(DATA, POLICY, parse_authorities(without.encode()))
    assert refused.value.reason is Reason.AUTHORITY_UNKNOWN
    narrow = AUTHORITIES_TEXT.replace(" * *", " water *")
    with pytest.raises(VerificationError) as refused:
        verify_point(DATA, POLICY, parse_authorities(narrow.encode()))
    assert refused.value.reason is Reason.AUTHORITY_SCOPE


# What an operator could publish, all witnesses cosigning: the parts fit, and still it is no proof


def lie(
    statements: Sequence[bytes],
    leaf: int = 1,
    *,
    enrolments: Sequence[bytes] | None = None,
    claimed: bytes | None = None,
    record: int = 0,
    **forged: Any,
) -> bytes:
    """A proof from a log whose block says and holds what it is told."""
    log = ForgedLog()
    enrolments = enrolments or [enrol(device_in(1), 0), enrol(device_in(1, 1), 1)]
    log.enrol(*enrolments)
    manifest = log.add(1, statements, **forged)
    log.publish(time_s=TIME_S)
    leaves = decode_body(log.files[block_path(manifest.shard, manifest.height)])
    tree = BlockTree(hash_leaves(leaves))
    about = claimed or enrolments[0]
    key = decode_enrolment(parse_statement(about).payload)
    held = log.registry.find(key.issuer, sha256(key.public_key).digest()[:8])
    assert held is not None
    sides, hashes = log.registry.path(held)
    entry = len(log.entries) - 1
    return encode_proof(
        PointProof(
            statement=leaves[leaf],
            record=record,
            in_block=Path(leaf, tree.size, tree.path(leaf)),
            manifest=leaves[0],
            signed_block=log.entries[entry],
            in_log=Path(entry, len(log.entries), inclusion_path(hash_leaves(log.entries), entry)),
            enrolment=about,
            in_registry=Path(sides, 1 << len(hashes), hashes),
            checkpoint=log.files["checkpoint"],
        )
    )


def reading(nth: int = 0, **changes: Any) -> bytes:
    """A reading of the nth device."""
    return device_in(1, nth).read(**changes)


def test_an_honest_block_gives_a_proof() -> None:
    """What the lies below differ from."""
    assert judge(lie([reading()])).record.value == 20.25


FLIPPED = reading()[:-1] + bytes([reading()[-1] ^ 1])


LIES: dict[str, tuple[Callable[[], bytes], Reason]] = {
    "a signature that does not verify": (lambda: lie([FLIPPED]), Reason.SIGNATURE_INVALID),
    "another device's statement": (lambda: lie([reading(1)]), Reason.PROOF_REGISTRY),
    "another device's enrolment": (
        lambda: lie([reading()], claimed=enrol(device_in(1, 1), 1)),
        Reason.PROOF_REGISTRY,
    ),
    "evidence against the signer": (
        lambda: lie([reading(), reading(records=2)], 2, equivocations=(2,)),
        Reason.EQUIVOCATION,
    ),
    "no statement": (lambda: lie([b"\xff"]), Reason.CBOR_RESERVED),
    "no pack": (lambda: lie([reading(payload=b"\x80")]), Reason.PACK_SHAPE),
    "no reading": (
        lambda: lie([reading(content_type="application/vnd.cityproof.handover+cbor")]),
        Reason.STATEMENT_CONTENT_TYPE,
    ),
    "another device's pack": (
        lambda: lie([reading(payload=encode_pack("urn:dev:ops:32473-air-9", [pack()]))]),
        Reason.PACK_BASE_NAME,
    ),
    "another registry": (lambda: lie([reading()], registry_root=bytes(32)), Reason.ROOT_MISMATCH),
    "another size": (lambda: lie([reading()], accepted=2), Reason.BLOCK_COUNTS),
    "another log": (lambda: lie([reading()], origin="town.example/log"), Reason.CHECKPOINT_ORIGIN),
    "no authority": (
        lambda: lie([reading()], enrolments=[enrol(device_in(1), 0, name="https://x.example/")]),
        Reason.AUTHORITY_UNKNOWN,
    ),
    "a key that was not valid yet": (
        lambda: lie([reading()], enrolments=[enrolled_from(NOW_MS // 1000 + 1)]),
        Reason.KEY_NOT_YET_VALID,
    ),
}


def enrolled_from(valid_from_s: int) -> bytes:
    """An enrolment whose key is valid from then on."""
    return enrol(device_in(1), 0, about=enrolment(device_in(1), valid_from_s=valid_from_s))


@pytest.mark.parametrize("lie_about", LIES)
def test_what_fits_together_is_still_checked_for_what_it_is(lie_about: str) -> None:
    """Cosigned and included does not make it a reading of an enrolled device."""
    data, reason = LIES[lie_about]
    assert refusal(data()) is reason


def pack() -> Record:
    """One record."""
    return Record("no2", "ug/m3", 1.0, 1.8e9)


def test_a_key_is_valid_from_its_second_on() -> None:
    """By the latest arrival that the block's manifest names."""
    assert judge(lie([reading()], enrolments=[enrolled_from(NOW_MS // 1000)])).leaf == 1


def test_manifest_and_entry_must_name_one_block() -> None:
    """An entry for shard 1, height 0 over a block whose manifest says otherwise."""
    changes: list[dict[str, Any]] = [{"shard": 2}, {"height": 1}]
    for change in changes:
        data = parse_proof(lie([reading()]))
        log = ForgedLog()
        log.enrol(enrol(device_in(1), 0), enrol(device_in(1, 1), 1))
        manifest = log.add(1, [reading()])
        hashes = hash_leaves([data.manifest, data.statement])
        log.entries[-1] = sign_block(
            LOG.signer, ORIGIN, replace(manifest, **change), root_of(hashes), hashes[0]
        )
        log.publish(time_s=TIME_S)
        in_log = replace(data.in_log, hashes=inclusion_path(hash_leaves(log.entries), 2))
        forged = replace(
            data, signed_block=log.entries[-1], in_log=in_log, checkpoint=log.files["checkpoint"]
        )
        assert refusal(encode_proof(forged)) is Reason.BLOCK_HEIGHT


# Every single bit


def flips(data: bytes, first: int, last: int) -> Counter[str]:
    """Flip each bit of these bytes, one at a time; count the reasons, and "" where it made no difference."""
    found: Counter[str] = Counter()
    valid = judge(data)
    for position in range(first * 8, last * 8):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        try:
            point = judge(bytes(changed))
        except VerificationError as refused:
            found[refused.reason.value] += 1
        else:
            assert replace(point, checkpoint=valid.checkpoint) == valid
            assert point.checkpoint.checkpoint == valid.checkpoint.checkpoint
            assert len(point.checkpoint.cosignatures) == len(valid.checkpoint.cosignatures) - 1
            found[""] += 1
    return found


PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_no_bit_of_a_proof_may_change(part: int) -> None:
    """A proof with no cosignature to spare: every flip of every bit is refused, with a published reason."""
    bounds = [len(SMALL) * n // PARTS for n in range(PARTS + 1)]
    found = flips(SMALL, bounds[part], bounds[part + 1])
    assert sum(found.values()) == 8 * (bounds[part + 1] - bounds[part])
    assert found.keys() <= {reason.value for reason in Reason}


def test_a_cosignature_beyond_the_quorum_may_be_spoiled_but_not_changed() -> None:
    """A flip in a witness's name or key id makes its line unknown, and two others suffice; no other passes.

    The specification asks to ignore what is unknown. How many flips that is follows from the lines.
    """
    data = Example(records=1).proof(0)
    note = parse_proof(data).checkpoint
    start = data.index(note)
    found = flips(data, start, start + len(note))
    assert sum(found.values()) == 8 * len(note)
    unknown = 0
    for signer in WITNESSES:
        # Bits that give another name, and the 32 bits of the key id, as far as base64 is left.
        line = next(line for line in parse_note(note).signatures if line.name == signer.name)
        unknown += _ignorable_flips(line.line().encode())
    assert found[""] == unknown
    assert (found[""], 8 * len(note)) == (456, 4504)  # 152 for each of three witnesses.
    assert found.keys() - {""} <= {"note_shape", "note_signature", "note_unsigned", "checkpoint_shape"}


ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _ignorable_flips(line: bytes) -> int:
    """Count the flips in a signature line that leave a well-formed line by somebody else."""
    dash, name, encoded = line.split(b" ")
    count = 0
    for at, bit in ((at, bit) for at in range(len(name)) for bit in range(8)):
        changed = bytearray(name)
        changed[at] ^= 1 << bit
        try:
            text = changed.decode()
        except UnicodeDecodeError:
            continue
        count += not any(c <= " " or c == "+" or c.isspace() for c in text)
    for at, bit in ((at, bit) for at in range(6) for bit in range(8)):
        changed = bytearray(encoded)
        changed[at] ^= 1 << bit
        if changed[at] in ALPHABET:
            # The first 32 bits are five characters and two bits of the sixth.
            old, new = ALPHABET.index(encoded[at]), ALPHABET.index(changed[at])
            count += at < 5 or (old ^ new) >> 4 != 0
    assert dash == "\N{EM DASH}".encode()
    return count


# The bytes of the file

FIELDS: dict[int, Any] = cbor2.loads(DATA)


@pytest.mark.parametrize(
    "change",
    [
        *({key: None} for key in range(10)),
        {10: 0},
        {-1: 0},
        {0: "application/cbor"},
        {0: b"application/vnd.cityproof.proof+cbor"},
        {1: "text"},
        {1: 5},
        {2: -1},
        {2: True},
        {2: 1.0},
        {2: b"\x01"},
        *({key: "text"} for key in (3, 4, 5, 6, 7, 8, 9)),
        *({key: {}} for key in (3, 6, 8)),
        *({key: []} for key in (3, 6, 8)),
        *({key: [0, 1]} for key in (3, 6, 8)),
        *({key: [0, 1, [], 0]} for key in (3, 6, 8)),
        *({key: [True, 1, []]} for key in (3, 6, 8)),
        *({key: [0, True, []]} for key in (3, 6, 8)),
        *({key: [0.0, 1, []]} for key in (3, 6, 8)),
        *({key: [0, 1, {}]} for key in (3, 6, 8)),
        *({key: [0, 1, [5]]} for key in (3, 6, 8)),
        *({key: [0, 1, ["text"]]} for key in (3, 6, 8)),
        *({key: [0, 1, b""]} for key in (3, 6, 8)),
    ],
)
def test_a_file_with_anything_missing_more_or_of_another_type_is_no_proof(change: dict[int, Any]) -> None:
    """Refused as a whole before anything in it is looked at."""
    fields = {key: value for key, value in (FIELDS | change).items() if value is not None}
    assert refusal(cbor2.dumps(fields, canonical=True)) is Reason.PROOF_SHAPE


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.CBOR_TRUNCATED),
        (b"\x80", Reason.PROOF_SHAPE),
        (b"\x00", Reason.PROOF_SHAPE),
        (DATA + b"\x00", Reason.CBOR_TRAILING),
        (DATA[:-1], Reason.CBOR_TRUNCATED),
        (cbor2.dumps(dict(reversed(FIELDS.items()))), Reason.CBOR_KEY_ORDER),
        (cbor2.dumps(FIELDS | {3: [3, 6, [None]]}), Reason.CBOR_SIMPLE),
        (b"\xff" * (128 * 1024 + 1), Reason.OVERSIZE),
        (b"\xff" * (128 * 1024), Reason.CBOR_RESERVED),
    ],
)
def test_a_file_is_one_item_of_the_profile(data: bytes, reason: Reason) -> None:
    """Of at most 128 KiB, in the one encoding."""
    assert refusal(data) is reason
    assert PROOF_SIZE_MAX == 128 * 1024


def test_a_proof_goes_there_and_back() -> None:
    """Parsing and writing it again gives the same bytes."""
    assert encode_proof(parse_proof(DATA)) == DATA
    assert parse_proof(DATA) == PROOF
