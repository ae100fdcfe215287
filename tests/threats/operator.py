"""The operator as an enemy: bad histories, each false in one thing only, by whoever has the log's key.

An honest log is a list of steps. A bad history is that list with something done to it; roots, links, offsets,
registry states, signatures and even cosignatures are then made again (the witnesses are taken to be the
operator's friends), so that nothing but the claim itself is left to be refused. `BAD_HISTORIES` says of each
which checks refuse it, with which reason, and at which place; whatever is not named there lets it pass.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.log.block import decode_body, encode_body, parse_signed_block, seal, sign_block
from pipeline.log.checkpoint import Checkpoint, add_signatures, cosign, parse_checkpoint, sign_checkpoint
from pipeline.log.manifest import decode_manifest, encode_manifest
from pipeline.log.note import NoteSigner, Signature, parse_note
from pipeline.log.receipt import make_receipt
from pipeline.log.tiles import block_path
from pipeline.verify.point import encode_proof, parse_proof
from pipeline.verify.prove import LEAVES_PER_ENTRY, Prover
from pipeline.verify.registry_reader import RegistryReader
from pipeline.verify.signer import KeyStatus, Path
from pipeline.wire.keys import SeedSigner
from pipeline.wire.senml import decode_pack, time_us
from pipeline.wire.statement import parse_statement
from tests.support.changes import revoke
from tests.support.city import (
    LOG,
    NOW_MS,
    ORIGIN,
    POLICY,
    WITNESSES,
    Device,
    ForgedLog,
    device_in,
    enrol,
    seed,
)

Files = Mapping[str, bytes]

NOW_S = NOW_MS // 1000
COSIGNED_S = NOW_S + 130
THIEF = SeedSigner(seed("another log key"))


@dataclass(frozen=True)
class Step:
    """A block: its shard, its statements, when it arrived, and what its manifest says instead of the truth.

    Attributes:
        shard: Where it goes.
        statements: What is in it.
        at_s: When it arrived, seconds after the log began.
        forged: Fields of the manifest.
        acts: Whether the operator's registry takes up what authorities state in it.
        signer: Who signs it, if not the log.
    """

    shard: int
    statements: Sequence[bytes]
    at_s: int
    forged: Mapping[str, Any] = field(default_factory=dict[str, Any])
    acts: bool = True
    signer: SeedSigner | None = None


DEVICES: Sequence[Device] = (device_in(1), device_in(1, 1), device_in(2))
A, B, C = ([device.read() for _ in range(5)] for device in DEVICES)
HONEST: Sequence[Step] = (
    Step(0, [enrol(device, number) for number, device in enumerate(DEVICES)], 0),
    Step(1, [A[0], B[0]], 1),
    Step(2, [C[0]], 1),
    Step(1, [A[1], B[1]], 61),
    Step(2, [C[1]], 61),
    Step(1, [A[2], B[2]], 121),
)
MIDDLE, LAST = 3, 5  # Steps: block/1/001 and block/1/002.


class Log(ForgedLog):
    """A log made of steps; entry n is step n - 1."""

    def __init__(self, steps: Sequence[Step] = HONEST, *, cosigned_s: int = COSIGNED_S) -> None:
        super().__init__()
        self.states = [(self.registry.blocks, self.registry.root)]
        for step in steps:
            at_ms = NOW_MS + step.at_s * 1000
            fields = {"arrival_first_ms": at_ms, "arrival_last_ms": at_ms, **step.forged}
            manifest = self.add(step.shard, step.statements, signer=step.signer, **fields)
            if step.shard == 0:
                leaves = [encode_manifest(manifest), *step.statements]
                self.registry.load_block(leaves, () if step.acts else range(len(leaves)))
                self.states.append((self.registry.blocks, self.registry.root))
        self.publish(time_s=cosigned_s)

    def receipt(self, step: int, leaf: int, *, index: int | None = None) -> bytes:
        """The receipt of a leaf; `index` is what it says instead."""
        return receipt_of(self.entries[step + 1], self.body(step), leaf, index=index)

    def body(self, step: int) -> bytes:
        """The archived body of a step's block."""
        block = parse_signed_block(self.entries[step + 1])
        return self.files[block_path(block.shard, block.height)]

    def proof(self, step: int, leaf: int) -> bytes:
        """The point proof of a leaf's one record."""
        statement = parse_statement(decode_body(self.body(step))[leaf])
        (record,) = decode_pack(statement.payload, statement.issuer)
        ref = (step + 1) * LEAVES_PER_ENTRY + leaf
        return Prover(self.files.get, POLICY).prove(ref, record.quantity, time_us(record))


def receipt_of(entry: bytes, body: bytes, leaf: int, *, index: int | None = None) -> bytes:
    """The receipt that a signed block and a body give, whether or not they belong together."""
    leaves = decode_body(body)
    path = seal(decode_manifest(leaves[0]), leaves[1:]).tree.path(leaf)
    return make_receipt(entry, len(leaves), leaf if index is None else index, path)


def altered(step: int, **changes: Any) -> list[Step]:
    """The honest steps, one of them changed."""
    return [replace(one, **changes) if n == step else one for n, one in enumerate(HONEST)]


REWRITTEN = A[1].replace(b"\xf9\x4d\x10", b"\xf9\x4d\x11")  # 20.25 becomes 20.27.
assert A[1] != REWRITTEN
HONEST_LOG = Log()


@dataclass(frozen=True)
class Shown:
    """What the operator shows, and what others have seen of it or hold.

    Attributes:
        files: The log's files.
        before: The files that monitor and witness have seen earlier.
        before_s: When they saw them.
        now_s: When everybody looks.
        receipts: Statements, each with its receipt and when it came.
        proofs: Point proofs that are handed around.
    """

    files: Files
    before: Files | None = None
    before_s: int = COSIGNED_S
    now_s: int = COSIGNED_S + 5
    receipts: Sequence[tuple[bytes, bytes, int]] = ()
    proofs: Sequence[bytes] = ()


@dataclass(frozen=True)
class BadHistory:
    """One, by name: what the operator does (`make` says it too), and which check refuses it.

    `refused` is, for each check that refuses anything, all that it says: `reason place`, in its order.
    """

    name: str
    make: Callable[[], Shown]
    refused: Mapping[str, Sequence[str]]


# Statements


def drop_after_receipt() -> Shown:
    """Leave out the last statement of the last block, which nothing follows."""
    receipts = [(B[2], HONEST_LOG.receipt(LAST, 2), NOW_S + 122)]
    return Shown(Log(altered(LAST, statements=[A[2]])).files, receipts=receipts)


def drop_a_block_after_receipts() -> Shown:
    """Leave out the last block, and say nothing for longer than is promised."""
    receipts = [(A[2], HONEST_LOG.receipt(LAST, 1), NOW_S + 122)]
    files = Log(HONEST[:LAST], cosigned_s=NOW_S + 122 + 61).files
    return Shown(files, receipts=receipts, now_s=NOW_S + 190)


def drop_from_the_middle() -> Shown:
    """Leave out a statement that its device's next ones follow."""
    steps = altered(MIDDLE, statements=[A[1]])
    return Shown(Log(steps).files, now_s=NOW_S + 121 + 61)


def rewrite_a_statement() -> Shown:
    """Change a value by one bit under the old signature."""
    log = Log(altered(MIDDLE, statements=[REWRITTEN, B[1]]))
    return Shown(log.files, proofs=[log.proof(MIDDLE, 1)])


def swap_leaves_in_the_archive() -> Shown:
    """Exchange two statements between two bodies; the log's entries stay."""
    files = dict(HONEST_LOG.files)
    for path, step, raw in (("block/1/000", 1, A[1]), ("block/1/001", MIDDLE, A[0])):
        manifest, _, other = decode_body(HONEST_LOG.body(step))
        files[path] = encode_body([manifest, raw, other])
    moved = replace(parse_proof(HONEST_LOG.proof(1, 1)), statement=A[1])
    return Shown(files, proofs=[encode_proof(moved)])


def swap_leaves_between_blocks() -> Shown:
    """Exchange two statements, and seal both blocks again: as if they had come in another order."""
    steps = altered(1, statements=[A[1], B[0]])
    steps[MIDDLE] = replace(steps[MIDDLE], statements=[A[0], B[1]])
    receipts = [
        (A[0], HONEST_LOG.receipt(1, 1), NOW_S + 2),
        (A[1], HONEST_LOG.receipt(MIDDLE, 1), NOW_S + 62),
    ]
    return Shown(Log(steps).files, receipts=receipts)


def put_a_statement_into_two_shards() -> Shown:
    """Put it in where it belongs, and into another shard, where no sequence of its device is known."""
    return Shown(Log(altered(4, statements=[C[1], A[1]])).files)


def put_a_statement_in_twice() -> Shown:
    """Put it into two blocks of its shard: a reading that counts double."""
    return Shown(Log(altered(LAST, statements=[A[2], B[2], A[1]])).files)


# Blocks


def reorder_blocks() -> Shown:
    """Exchange two blocks of a shard, heights, links and offsets repaired; the times are the true ones."""
    steps = list(HONEST)
    steps[MIDDLE], steps[LAST] = HONEST[LAST], HONEST[MIDDLE]
    steps[4] = replace(HONEST[4], at_s=121)
    return Shown(Log(steps).files)


def reorder_entries() -> Shown:
    """Exchange two entries of different shards, which nothing in either forbids, once they were cosigned."""
    steps = list(HONEST)
    steps[MIDDLE], steps[4] = HONEST[4], HONEST[MIDDLE]
    return Shown(Log(steps).files, before=HONEST_LOG.files)


def rewrite_a_middle_link() -> Shown:
    """Let a block name another predecessor than it has; all behind it is linked to what it is now."""
    return Shown(Log(altered(MIDDLE, forged={"previous": bytes(32)})).files)


def backdate() -> Shown:
    """Say of a block that it came two minutes ago, when a checkpoint without it has been seen since."""
    before = Log(HONEST[:LAST], cosigned_s=NOW_S + 125)
    return Shown(
        Log(altered(LAST, at_s=62)).files, before=before.files, before_s=NOW_S + 125, now_s=COSIGNED_S + 1
    )


def set_the_clock_back() -> Shown:
    """Say of a block that it came a minute before the one that it follows."""
    return Shown(Log(altered(LAST, at_s=1)).files)


def postdate() -> Shown:
    """Say of a block that it came after the checkpoint that has it was cosigned."""
    log = Log(altered(LAST, at_s=130 + 61))
    return Shown(log.files, proofs=[log.proof(LAST, 1)])


# Manifests


def forge_a_manifest_in_the_archive() -> Shown:
    """Give an auditor another manifest than was sealed; the entry stays."""
    manifest, *statements = decode_body(HONEST_LOG.body(MIDDLE))
    forged = encode_manifest(replace(decode_manifest(manifest), refused_hash=bytes(32)))
    files = {**HONEST_LOG.files, "block/1/001": encode_body([forged, *statements])}
    proof = replace(parse_proof(HONEST_LOG.proof(MIDDLE, 1)), manifest=forged)
    return Shown(files, proofs=[encode_proof(proof)])


def forge_the_counts() -> Shown:
    """Count a duplicate that never came, to make room for a message that vanished."""
    return Shown(Log(altered(LAST, forged={"duplicates": 1})).files)


def skip_a_message() -> Shown:
    """Begin a block one message later than the one before it ended."""
    return Shown(Log(altered(LAST, forged={"offset_first": 5, "offset_last": 6})).files)


def call_a_reading_an_equivocation() -> Shown:
    """Name a reading as evidence against its device, so that it does not count."""
    log = Log(altered(LAST, forged={"equivocations": (1,)}))
    return Shown(log.files, proofs=[log.proof(LAST, 1)])


# The registry

REVOCATION = Step(0, [revoke(DEVICES[0], sequence=3)], 62)


def _with_revocation(*, acts: bool = True, at_s: int = 121, **forged: Any) -> Log:
    """A log in which the first device's key is revoked before its last statement comes."""
    last = replace(HONEST[LAST], at_s=at_s, forged=forged)
    return Log([*HONEST[:LAST], replace(REVOCATION, acts=acts), last])


def stale_registry() -> Shown:
    """Go on checking statements against the registry before a revocation, for longer than is promised."""
    blocks, root = HONEST_LOG.states[1]
    log = _with_revocation(at_s=62 + 61, registry_blocks=blocks, registry_root=root)
    return Shown(log.files)


def hide_a_revocation() -> Shown:
    """Take a revoked key's statement in as if nothing were; the second proof leaves the revocation out."""
    log = _with_revocation()
    other = parse_proof(log.proof(LAST + 1, 2))  # An honest prover proves this one, and not the other.
    registry = RegistryReader(log.files.get)
    manifest, *statements = decode_body(log.body(LAST + 1))
    registry.go_to(decode_manifest(manifest))
    key = registry.find(parse_statement(A[2]))
    told = replace(
        other,
        statement=A[2],
        in_block=Path(1, 3, seal(decode_manifest(manifest), statements).tree.path(1)),
        enrolment=registry.history(key)[0],
        in_registry=registry.path(key),
        status=KeyStatus(key.ends, key.revocation),
    )
    return Shown(log.files, proofs=[encode_proof(told), encode_proof(replace(told, status=KeyStatus()))])


def keep_a_revocation_out_of_the_registry() -> Shown:
    """Let a revocation stand in the log, but not act."""
    return Shown(_with_revocation(acts=False).files)


# Checkpoints


def fork_at_equal_size() -> Shown:
    """Show others another tree of the same size."""
    return Shown(Log(altered(LAST, statements=[A[2]])).files, before=HONEST_LOG.files)


def fork_at_a_larger_size() -> Shown:
    """Show others another tree that is larger."""
    steps = [*altered(LAST, statements=[A[2]]), Step(2, [C[2]], 122)]
    return Shown(Log(steps).files, before=HONEST_LOG.files)


def fork_at_a_smaller_size() -> Shown:
    """Show others another tree that is smaller."""
    steps = [*HONEST[:4], replace(HONEST[LAST], statements=[A[2]])]
    return Shown(Log(steps).files, before=HONEST_LOG.files)


def truncate() -> Shown:
    """Go back to what the log was before."""
    return Shown(Log(HONEST[:4]).files, before=HONEST_LOG.files)


def truncate_and_regrow() -> Shown:
    """Go back, and grow past the old size with something else."""
    steps = [*HONEST[:4], *(Step(2, [C[n]], 61 + n) for n in (1, 2, 3, 4))]
    return Shown(Log(steps).files, before=HONEST_LOG.files)


def stale_checkpoint() -> Shown:
    """Freeze: show an old checkpoint, true and cosigned, for a day and a second."""
    return Shown(HONEST_LOG.files, now_s=COSIGNED_S + 86_401)


def _noted(note: bytes) -> Shown:
    """The honest log under another checkpoint, also in a proof."""
    proof = encode_proof(replace(parse_proof(HONEST_LOG.proof(MIDDLE, 1)), checkpoint=note))
    return Shown({**HONEST_LOG.files, "checkpoint": note}, proofs=[proof])


def _checkpoint() -> Checkpoint:
    return parse_checkpoint(parse_note(HONEST_LOG.files["checkpoint"]).text)


def checkpoint_by_a_wrong_key() -> Shown:
    """Sign the checkpoint with another key under the log's name; the witnesses cosign it."""
    checkpoint = _checkpoint()
    lines = [cosign(checkpoint, witness, COSIGNED_S) for witness in WITNESSES]
    return _noted(add_signatures(sign_checkpoint(checkpoint, NoteSigner(ORIGIN, THIEF)), lines))


def checkpoint_by_a_wrong_key_under_the_right_id() -> Shown:
    """Sign it with another key, and say that it is the log's."""
    checkpoint = _checkpoint()
    note = parse_note(sign_checkpoint(checkpoint, NoteSigner(ORIGIN, THIEF)))
    (line,) = note.signatures
    text = f"{note.text}\n{replace(line, key_id=LOG.key().key_id).line()}".encode()
    return _noted(add_signatures(text, [cosign(checkpoint, witness, COSIGNED_S) for witness in WITNESSES]))


def replay_cosignatures() -> Shown:
    """Put the cosignatures of an earlier checkpoint under a later one, which nobody has cosigned."""
    earlier = parse_note(Log(HONEST[:4]).files["checkpoint"]).signatures[1:]
    return _noted(add_signatures(sign_checkpoint(_checkpoint(), LOG), earlier))


def replay_cosignatures_at_another_time() -> Shown:
    """Make cosignatures look newer than they are."""
    lines = [_at(line, COSIGNED_S + 1) for line in parse_note(HONEST_LOG.files["checkpoint"]).signatures[1:]]
    return _noted(add_signatures(sign_checkpoint(_checkpoint(), LOG), lines))


def _at(line: Signature, time_s: int) -> Signature:
    return replace(line, value=time_s.to_bytes(8, "big") + line.value[8:])


def count_one_witness_twice() -> Shown:
    """Make a quorum of one witness that has cosigned at two times."""
    checkpoint = _checkpoint()
    lines = [cosign(checkpoint, WITNESSES[0], COSIGNED_S + n) for n in range(2)]
    return _noted(add_signatures(sign_checkpoint(checkpoint, LOG), lines))


# Blocks and receipts by wrong keys, of wrong trees


def block_by_a_wrong_key() -> Shown:
    """Let another key sign a block."""
    return Shown(Log(altered(LAST, signer=THIEF)).files)


def receipt_by_a_wrong_key() -> Shown:
    """Let another key sign a receipt; then say that it is the log's key."""
    manifest = decode_manifest(decode_body(HONEST_LOG.body(LAST))[0])
    sealed = seal(manifest, [A[2], B[2]])
    receipts = []
    for signer in (THIEF, Pretender(THIEF, LOG.signer.public_key)):
        entry = sign_block(signer, ORIGIN, manifest, sealed.root, sealed.manifest_hash)
        receipts.append((A[2], make_receipt(entry, 3, 1, sealed.tree.path(1)), NOW_S + 122))
    return Shown(HONEST_LOG.files, receipts=receipts)


@dataclass(frozen=True)
class Pretender:
    """A signer that names somebody else's public key as its own."""

    signer: SeedSigner
    public_key: bytes

    def sign(self, message: bytes) -> bytes:
        return self.signer.sign(message)


def receipt_of_another_tree() -> Shown:
    """Pair the signature of one block with the path in another."""
    receipt = receipt_of(HONEST_LOG.entries[LAST + 1], HONEST_LOG.body(MIDDLE), 1)
    return Shown(HONEST_LOG.files, receipts=[(A[1], receipt, NOW_S + 62)])


def receipt_of_another_log() -> Shown:
    """Sign a receipt in the name of another log."""
    manifest = decode_manifest(decode_body(HONEST_LOG.body(LAST))[0])
    sealed = seal(manifest, [A[2], B[2]])
    entry = sign_block(LOG.signer, "town.example/log", manifest, sealed.root, sealed.manifest_hash)
    receipt = make_receipt(entry, 3, 1, sealed.tree.path(1))
    return Shown(HONEST_LOG.files, receipts=[(A[2], receipt, NOW_S + 122)])


def receipt_of_a_block_beside_the_log() -> Shown:
    """Sign a second block for a place in the log, give receipts of it, and publish the first."""
    beside = Log(altered(LAST, statements=[A[2], B[2], A[3]]))
    return Shown(HONEST_LOG.files, receipts=[(A[3], beside.receipt(LAST, 3), NOW_S + 122)])


def path_of_another_index() -> Shown:
    """Say of a leaf that it stands where another one does: in its block, and of a block, in the log."""
    receipts = [(A[1], HONEST_LOG.receipt(MIDDLE, 1, index=index), NOW_S + 62) for index in (0, 2)]
    proof = parse_proof(HONEST_LOG.proof(MIDDLE, 1))
    in_block = replace(proof, in_block=replace(proof.in_block, index=0))
    in_log = replace(proof, in_log=replace(proof.in_log, index=5))
    return Shown(HONEST_LOG.files, receipts=receipts, proofs=[encode_proof(in_block), encode_proof(in_log)])


DEVICE, AUDIT, PROOF = "device", "receipt audit", "point proof"
FSCK, MONITOR, WITNESS = "fsck", "monitor", "witness"
CONFLICT = "409 another root was cosigned at this size"
INCONSISTENT = "422 inconsistent with what was cosigned before"
LARGER = "409 7"


def _both(*refused: str) -> dict[str, Sequence[str]]:
    """What fsck finds, and a monitor with it."""
    return {FSCK: refused, MONITOR: refused}


BAD_HISTORIES: Sequence[BadHistory] = (
    BadHistory("drop after receipt", drop_after_receipt, {AUDIT: ["receipt_broken block/1/002 leaf 2"]}),
    BadHistory(
        "drop a block after receipts",
        drop_a_block_after_receipts,
        {AUDIT: ["receipt_broken block/1/002 leaf 1"]},
    ),
    BadHistory(
        "drop from the middle",
        drop_from_the_middle,
        {MONITOR: [f"sequence_missing {DEVICES[1].issuer} epoch 1 sequence 1"]},
    ),
    BadHistory("reorder blocks", reorder_blocks, _both("block_times block/1/002")),
    BadHistory(
        "reorder entries",
        reorder_entries,
        {MONITOR: ["split_view checkpoint"], WITNESS: [CONFLICT]},
    ),
    BadHistory(
        "rewrite a statement",
        rewrite_a_statement,
        {**_both("signature_invalid block/1/001 leaf 1"), PROOF: ["signature_invalid"]},
    ),
    BadHistory("rewrite a middle link", rewrite_a_middle_link, _both("block_link block/1/001")),
    BadHistory(
        "fork at equal size",
        fork_at_equal_size,
        {MONITOR: ["split_view checkpoint"], WITNESS: [CONFLICT]},
    ),
    BadHistory(
        "fork at a larger size",
        fork_at_a_larger_size,
        {MONITOR: ["split_view checkpoint"], WITNESS: [INCONSISTENT]},
    ),
    BadHistory(
        "fork at a smaller size",
        fork_at_a_smaller_size,
        {MONITOR: ["split_view checkpoint", "checkpoint_shrank checkpoint"], WITNESS: [LARGER]},
    ),
    BadHistory("backdate", backdate, {MONITOR: ["cosign_late block/1/002"]}),
    BadHistory("set the clock back", set_the_clock_back, _both("block_times block/1/002")),
    BadHistory("postdate", postdate, {MONITOR: ["arrival_late block/1/002"], PROOF: ["arrival_late"]}),
    BadHistory("truncate", truncate, {MONITOR: ["checkpoint_shrank checkpoint"], WITNESS: [LARGER]}),
    BadHistory(
        "truncate and regrow",
        truncate_and_regrow,
        {MONITOR: ["split_view checkpoint"], WITNESS: [INCONSISTENT]},
    ),
    BadHistory(
        "swap leaves in the archive",
        swap_leaves_in_the_archive,
        {**_both("block_root block/1/000", "block_root block/1/001"), PROOF: ["root_mismatch"]},
    ),
    BadHistory(
        "swap leaves between blocks",
        swap_leaves_between_blocks,
        {AUDIT: ["receipt_broken block/1/000 leaf 1", "receipt_broken block/1/001 leaf 1"]},
    ),
    BadHistory(
        "forge a manifest in the archive",
        forge_a_manifest_in_the_archive,
        {**_both("manifest_mismatch block/1/001"), PROOF: ["manifest_mismatch"]},
    ),
    BadHistory("forge the counts", forge_the_counts, _both("block_counts block/1/002")),
    BadHistory("skip a message", skip_a_message, _both("block_offsets block/1/002")),
    BadHistory(
        "call a reading an equivocation",
        call_a_reading_an_equivocation,
        {**_both("equivocation block/1/002 leaf 1"), PROOF: ["equivocation"]},
    ),
    BadHistory("stale registry", stale_registry, _both("registry_lag block/1/002")),
    BadHistory(
        "hidden revocation",
        hide_a_revocation,
        {**_both("key_revoked block/1/002 leaf 1"), PROOF: ["key_revoked", "root_mismatch"]},
    ),
    BadHistory(
        "revocation kept out of the registry",
        keep_a_revocation_out_of_the_registry,
        _both("block_registry block/1/002"),
    ),
    BadHistory(
        "statement in two shards",
        put_a_statement_into_two_shards,
        _both("shard_wrong block/2/001 leaf 2"),
    ),
    BadHistory("statement in twice", put_a_statement_in_twice, _both("block_leaf_twice block/1/002 leaf 3")),
    BadHistory("stale checkpoint", stale_checkpoint, _both("checkpoint_stale checkpoint")),
    BadHistory(
        "checkpoint by a wrong key",
        checkpoint_by_a_wrong_key,
        {**_both("note_unsigned checkpoint"), PROOF: ["note_unsigned"]},
    ),
    BadHistory(
        "checkpoint by a wrong key under the right id",
        checkpoint_by_a_wrong_key_under_the_right_id,
        {**_both("note_signature checkpoint"), PROOF: ["note_signature"]},
    ),
    BadHistory("block by a wrong key", block_by_a_wrong_key, _both("key_unknown entry 6")),
    BadHistory(
        "receipt by a wrong key",
        receipt_by_a_wrong_key,
        {DEVICE: ["key_unknown", "signature_invalid"]},
    ),
    BadHistory(
        "cosignature replay",
        replay_cosignatures,
        {**_both("note_signature checkpoint"), PROOF: ["note_signature"]},
    ),
    BadHistory(
        "cosignature replay at another time",
        replay_cosignatures_at_another_time,
        {**_both("note_signature checkpoint"), PROOF: ["note_signature"]},
    ),
    BadHistory(
        "one witness counted twice",
        count_one_witness_twice,
        {**_both("quorum_missing checkpoint"), PROOF: ["quorum_missing"]},
    ),
    BadHistory("receipt of another tree", receipt_of_another_tree, {DEVICE: ["signature_invalid"]}),
    BadHistory("receipt of another log", receipt_of_another_log, {DEVICE: ["receipt_origin"]}),
    BadHistory(
        "receipt of a block beside the log",
        receipt_of_a_block_beside_the_log,
        {AUDIT: ["receipt_broken block/1/002 leaf 3"]},
    ),
    BadHistory(
        "path of another index",
        path_of_another_index,
        {DEVICE: ["signature_invalid", "path_long"], PROOF: ["root_mismatch", "root_mismatch"]},
    ),
)
