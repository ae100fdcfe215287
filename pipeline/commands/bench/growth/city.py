"""A city whose log has any number of blocks, of which those are made that a stage or a prover reads.

Its keys and statements are signed for real and its last blocks are sealed by the aggregator's own code. All
other blocks hold only refused messages, so that they are one manifest and need not be made to be counted.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import count
from types import MappingProxyType
from typing import Any

from pipeline.commands.bench.growth.sparse import (
    TIME_MS,
    CountedFiles,
    Partition,
    SparseBus,
    SparseFolder,
    SparseTree,
)
from pipeline.commands.bench.sealing import AUTHORITY, QUANTITIES, enrolment_of, statement_of
from pipeline.edges.clock import SystemClock
from pipeline.identity.archived import REGISTRY_PATH
from pipeline.identity.authorities import Authority, format_authorities, parse_authorities
from pipeline.identity.registry import Registry
from pipeline.identity.snapshot import decode_registry, encode_registry
from pipeline.log.block import decode_body, encode_body, sign_block
from pipeline.log.chain import ChainTip
from pipeline.log.checkpoint import Checkpoint, add_signatures, cosign, sign_checkpoint
from pipeline.log.manifest import Manifest, decode_manifest, encode_manifest
from pipeline.log.merkle import EMPTY_ROOT, hash_leaf, hash_leaves, root_of
from pipeline.log.note import TYPE_COSIGNATURE, NoteSigner, encode_vkey
from pipeline.log.policy import parse_policy
from pipeline.log.sequences import REMEMBERED, SignerSequences
from pipeline.log.tiles import CHECKPOINT_PATH
from pipeline.ports import Append, Message
from pipeline.stages import courier, projector
from pipeline.stages.admission import ReadingAdmission
from pipeline.stages.envelopes import ShardPosition, wrap_arrival, wrap_positions
from pipeline.stages.publisher import STATE_PATH
from pipeline.stages.sealing import STATEMENTS_MAX, Sealer
from pipeline.stages.snapshots import SNAPSHOT_EVERY, registry_snapshot
from pipeline.stages.witness import STATE_PATH as WITNESS_MEMORY
from pipeline.stages.witness import Witness
from pipeline.wire.cbor import decode, encode
from pipeline.wire.enrolment import encode_enrolment
from pipeline.wire.keys import SeedSigner
from pipeline.wire.senml import decode_pack, time_us
from pipeline.wire.statement import CONTENT_ENROLMENT, parse_statement, shard_of, sign_statement
from pipeline.wire.topics import BLOCKS, LOG, STATE, STATEMENTS

ORIGIN = "growth.cityproof.example/log"
SHARDS = 5
SHARD = 1  # Whose blocks are made.
REGISTRY_SHARD = 0
REGISTRY_SHARE = 64  # One block in so many is the registry's.
FILLER_OFFSETS = 16  # Messages that every filler block has refused.
TAIL_STATEMENTS = 16  # In each of the last blocks.
WITNESS_BEHIND = 300
DESCRIPTION: Mapping[str, Any] = MappingProxyType(  # As long as a city's may be.
    {
        "department": "ecology and environment",
        "controller": "monitoring centre north",
        "accuracy": dict.fromkeys(QUANTITIES, 2.5),
    }
)
PLACES = 7  # Where in the log the full block is, to be proved.
SEQUENCE = 1 << 20  # Where the statements' sequences begin, at any size.
EPOCH = 1_800_000_000  # That of `statement_of`.
TOPIC_ID = sha256(STATEMENTS.encode()).digest()[:16]  # As SparseBus has it.


def _seed(name: str) -> SeedSigner:
    return SeedSigner(sha256(f"growth {name}".encode()).digest())


class Trust:
    """Keys, trust files and signed statements: what is the same at every size."""

    def __init__(self, keys: int, records: int, full_block: int = STATEMENTS_MAX) -> None:
        self.log = NoteSigner(ORIGIN, _seed("log"))
        self.witnesses = [
            NoteSigner(f"department-{n}.city.example/witness", _seed(f"witness {n}")) for n in range(3)
        ]
        self.policy = parse_policy(self._policy().encode())
        authority = _seed("authority")
        everything = frozenset({"*"})
        bounds_s = {"registry_lag_s": 999_999_999, "cosign_delay_s": 999_999_999, "checkpoint_age_s": 86_400}
        text = format_authorities(
            [Authority(AUTHORITY, authority.public_key, everything, everything)], bounds_s
        )
        self.authorities = parse_authorities(text.encode())
        self.devices = [(_seed(f"device {n}"), f"urn:dev:ops:32473-growth-{n}") for n in range(keys)]
        self.enrolments = [
            sign_statement(
                authority,
                issuer=AUTHORITY,
                subject=issuer,
                content_type=CONTENT_ENROLMENT,
                epoch=EPOCH,
                sequence=sequence,
                previous=bytes(32),
                payload=encode_enrolment(replace(enrolment_of(issuer, signer), **DESCRIPTION)),
            )
            for sequence, (signer, issuer) in enumerate(self.devices)
        ]
        self.own = [device for device in self.devices if shard_of(device[1], SHARDS) == SHARD]
        self.memory = self._memory().to_bytes()
        self.statements = [
            statement_of(*self.own[n % len(self.own)], SEQUENCE + n // len(self.own), records)
            for n in range((SNAPSHOT_EVERY + 1) * TAIL_STATEMENTS + full_block)
        ]

    def _memory(self) -> SignerSequences:
        """Return what the shard remembers of its signers: full rings, so that size does not change it."""
        memory = SignerSequences()
        for _, issuer in self.own:
            for sequence in range(SEQUENCE - REMEMBERED, SEQUENCE):
                memory.place(issuer, EPOCH, sequence, sha256(f"{issuer} {sequence}".encode()).digest())
        return memory

    def _policy(self) -> str:
        lines = [f"log {encode_vkey(self.log.key())}"]
        names = [f"w{n}" for n in range(len(self.witnesses))]
        for name, witness in zip(names, self.witnesses, strict=True):
            lines.append(f"witness {name} {encode_vkey(witness.key(TYPE_COSIGNATURE))}")
        lines += [f"group all-of-them all {' '.join(names)}", "quorum all-of-them"]
        return "\n".join(lines) + "\n"


class SparseCity:
    """A city at one size of its log. What it gives twice is the same object: making it costs once."""

    def __init__(self, trust: Trust, blocks: int) -> None:
        self.trust = trust
        # 63 blocks after every shard's last snapshot: as much as there can be to read again. And four entries
        # short of a full tile, so that the partial ones weigh as much as they can.
        registry = 4 * SNAPSHOT_EVERY * (blocks // REGISTRY_SHARE // (4 * SNAPSHOT_EVERY) + 1) - 1
        readings = SNAPSHOT_EVERY * (max(1, (blocks - registry) // (SHARDS - 1) // SNAPSHOT_EVERY) + 1) - 1
        self.heights = [registry] + [readings] * (SHARDS - 1)
        self.size = 1 + sum(self.heights)
        self._bodies: dict[tuple[int, int], bytes] = {}
        self._enrol()
        self.new_body = (
            self._seal()
        )  # A full block that may come next; it also stands at some places already.
        self._publish()

    def _enrol(self) -> None:
        """Make the registry: its first block enrols everybody, all others refused something."""
        self._registry_root = EMPTY_ROOT
        manifest = replace(self._manifest(REGISTRY_SHARD, 0), accepted=len(self.trust.enrolments), refused={})
        leaves = [encode_manifest(manifest), *self.trust.enrolments]
        self._bodies[REGISTRY_SHARD, 0] = encode_body(leaves)
        self.registry = Registry()
        self.registry.load_block(leaves, ())
        self._registry_root = self.registry.root
        # What the others leave is the same state but for the number of blocks, which a snapshot begins with.
        whole = encode_registry(self.registry)
        snapshot: Any = decode(whole, size_max=len(whole))
        _, *records = snapshot
        included = self.heights[REGISTRY_SHARD] // SNAPSHOT_EVERY * SNAPSHOT_EVERY
        self._registry_file = encode([included, *records])
        self._snapshot = list(registry_snapshot(decode_registry(self._registry_file), included - 1))
        self.registry = decode_registry(encode([self.heights[REGISTRY_SHARD], *records]))

    def _manifest(self, shard: int, height: int) -> Manifest:
        """Return the manifest of a block that holds refused messages only."""
        first = height * FILLER_OFFSETS
        return Manifest(
            shard=shard,
            height=height,
            previous=bytes(32),
            topic_id=TOPIC_ID,
            offset_first=first,
            offset_last=first + FILLER_OFFSETS - 1,
            arrival_first_ms=TIME_MS + first,
            arrival_last_ms=TIME_MS + first + FILLER_OFFSETS - 1,
            accepted=0,
            duplicates=0,
            refused={"key_unknown": FILLER_OFFSETS},
            refused_hash=sha256(b"").digest(),
            registry_blocks=height if shard == REGISTRY_SHARD else self.heights[REGISTRY_SHARD],
            registry_root=self._registry_root,
        )

    def body(self, shard: int, height: int) -> bytes:
        """Return the body of a block."""
        known = self._bodies.get((shard, height))
        if known is None:
            known = encode_body([encode_manifest(self._manifest(shard, height))])
            self._bodies[shard, height] = known
        return known

    def _seal(self) -> bytes:
        """Seal the shard's last blocks, from that before its snapshot on, and a full one behind them."""
        before = self.heights[SHARD] - SNAPSHOT_EVERY - 1
        tip = ChainTip().after(self._manifest(SHARD, before - 1), bytes(32))
        sealer = Sealer(
            SHARD,
            SHARDS,
            TOPIC_ID,
            ReadingAdmission(self.registry),
            SignerSequences.from_bytes(self.trust.memory),
            tip,
            before - 1,
        )
        offsets = count(tip.offset)
        statements = iter(self.trust.statements)
        for height in range(before, self.heights[SHARD]):
            for _ in range(TAIL_STATEMENTS):
                sealer.step(self._message(next(offsets), next(statements)))
            blocks, *others = sealer.seal()
            self._bodies[SHARD, height] = blocks.value
            self._snapshot += [item for item in others if item.topic == STATE]
            sealer.block_offset = height
        self.statements_end = next(offsets)
        self.unread = [self._message(self.statements_end + n, raw) for n, raw in enumerate(statements)]
        for message in self.unread:
            sealer.step(message)
        return sealer.seal()[0].value

    def _message(self, offset: int, raw: bytes) -> Message:
        return Message(STATEMENTS, SHARD, offset, TIME_MS + offset, wrap_arrival(raw), b"statements/growth")

    def _publish(self) -> None:
        """Make the log: at some places stands the full block's entry, everywhere else one and the same."""
        leaves = decode_body(self.new_body)
        hashes, manifest = hash_leaves(leaves), decode_manifest(leaves[0])
        self.new_entry = sign_block(self.trust.log.signer, ORIGIN, manifest, root_of(hashes), hashes[0])
        filler = self._manifest(SHARD, 0)
        filler_hash = hash_leaf(encode_manifest(filler))
        self.filler_entry = sign_block(self.trust.log.signer, ORIGIN, filler, filler_hash, filler_hash)
        self._bodies[SHARD, manifest.height] = self.new_body
        self.places = sorted({1 + (self.size - 2) * n // (PLACES - 1) for n in range(PLACES)})
        self.tree = SparseTree(self.size, self.filler_entry, dict.fromkeys(self.places, self.new_entry))
        note = sign_checkpoint(self.checkpoint(self.size), self.trust.log)
        cosignatures = [
            cosign(self.checkpoint(self.size), witness, TIME_MS // 1000) for witness in self.trust.witnesses
        ]
        self.files = SparseFolder(
            self.tree,
            self.body,
            {CHECKPOINT_PATH: add_signatures(note, cosignatures), REGISTRY_PATH: self._registry_file},
        )

    def record(self, leaf: int) -> tuple[str, int]:
        """Return quantity and time of the last record of a statement in the full block."""
        statement = parse_statement(decode_body(self.new_body)[leaf])
        record = decode_pack(statement.payload, statement.issuer)[-1]
        return record.quantity, time_us(record)

    def publisher_state(self, path: str) -> bytes | None:
        """Return what the publisher remembers at this size (a `tiles.ReadFile`)."""
        checkpoint = self.checkpoint(self.size)
        return encode([self.size, checkpoint.root, self.size - 1]) if path == STATE_PATH else None

    def witness(self, signer: NoteSigner) -> Witness:
        """Return a witness that has cosigned the log as it was some blocks ago."""
        earlier = sign_checkpoint(self.checkpoint(self.size - WITNESS_BEHIND), self.trust.log)
        memory = {WITNESS_MEMORY: encode([1, [earlier]])}
        logs = {ORIGIN: self.trust.log.key()}
        return Witness(signer, logs, CountedFiles(memory.get), CountedFiles(), SystemClock())

    def checkpoint(self, size: int) -> Checkpoint:
        """Return the checkpoint that the log had at a size."""
        return Checkpoint(ORIGIN, size, self.tree.root(size))

    def positions(self, *, with_new: bool) -> bytes:
        """Return the key of the log's last message, or of the new block's."""
        heights = [height + (with_new and shard == SHARD) for shard, height in enumerate(self.heights)]
        return wrap_positions([ShardPosition(height, height - 1) for height in heights])

    def bus(self) -> SparseBus:
        """Return the bus as the log's last entry left it, with the messages behind it unread."""
        partitions = {
            (BLOCKS, shard): Partition(height, partial(self._block_message, shard))
            for shard, height in enumerate(self.heights)
        }
        partitions[LOG, 0] = Partition(self.size, self._log_message)
        partitions[STATEMENTS, SHARD] = Partition(self.statements_end, _never)
        bus = SparseBus(partitions)
        bus.put_compacted(self._snapshot)
        for group in (courier.GROUP, projector.GROUP):
            bus.resume_at(group, LOG, 0, self.size - 1)
        return bus

    def next_entry(self) -> list[Append]:
        """Return the full block with its entry, as they come next."""
        key = self.positions(with_new=True)
        return [Append(BLOCKS, SHARD, self.new_body), Append(LOG, 0, self.new_entry, key)]

    def _block_message(self, shard: int, height: int) -> tuple[bytes, bytes]:
        return b"", self.body(shard, height)

    def _log_message(self, offset: int) -> tuple[bytes, bytes]:
        assert offset == self.size - 1, "only the last entry is asked for"
        return self.positions(with_new=False), self.filler_entry


def _never(offset: int) -> tuple[bytes, bytes]:
    raise AssertionError(f"statement {offset} is in a block")
