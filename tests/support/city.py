"""A small city to test with: its keys, who may enrol, devices that sign, and a log made by hand.

Built with the project's own functions, because what they make is other tests' business. `ForgedLog` is the
operator's malicious twin: it signs and publishes whatever it is told to.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import cbor2

from pipeline.identity.authorities import Authority, format_authorities, parse_authorities
from pipeline.identity.registry import Registry
from pipeline.log.block import encode_body, sign_block
from pipeline.log.checkpoint import Checkpoint, add_signatures, cosign, sign_checkpoint
from pipeline.log.genesis import sign_genesis
from pipeline.log.manifest import Manifest, decode_manifest, encode_manifest
from pipeline.log.merkle import hash_leaf, hash_leaves, root_of
from pipeline.log.note import TYPE_COSIGNATURE, NoteSigner, encode_vkey
from pipeline.log.policy import parse_policy
from pipeline.log.tiles import TileAppender, block_path
from pipeline.wire.enrolment import Enrolment, encode_enrolment
from pipeline.wire.keys import SeedSigner
from pipeline.wire.possession import sign_possession
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.statement import CONTENT_ENROLMENT, CONTENT_SENML, shard_of, sign_statement

ORIGIN = "city.example/log"
SHARDS = 3
TOPIC_ID = sha256(b"statements").digest()[:16]  # As tests/support/memory_bus.py has it.
NOW_MS = 1_800_000_000_000
ZEROS = bytes(32)


def seed(name: str) -> bytes:
    """A seed of this name, the same every time."""
    return sha256(b"test seed " + name.encode()).digest()


LOG = NoteSigner(ORIGIN, SeedSigner(seed("log")))
WITNESSES = [NoteSigner(f"w{n}.example/witness", SeedSigner(seed(f"witness {n}"))) for n in range(3)]
AUTHORITY_NAME = "https://eco.city.example/"
AUTHORITY = SeedSigner(seed("authority"))
AIR_ONLY_NAME = "https://air.city.example/"
AIR_ONLY = SeedSigner(seed("air authority"))  # May enrol air sensors in the areas north and east.
BOUNDS_S = {"registry_lag_s": 60, "cosign_delay_s": 60, "checkpoint_age_s": 86_400}
AUTHORITIES_TEXT = format_authorities(
    [
        Authority(AUTHORITY_NAME, AUTHORITY.public_key, frozenset("*"), frozenset("*")),
        Authority(AIR_ONLY_NAME, AIR_ONLY.public_key, frozenset({"air"}), frozenset({"north", "east"})),
    ],
    BOUNDS_S,
)
AUTHORITIES = parse_authorities(AUTHORITIES_TEXT.encode())


def policy_text(quorum: int = 2, witnesses: int = 3) -> str:
    """The policy: the log, some witnesses, and how many of them a checkpoint needs."""
    names = [f"witness{n}" for n in range(witnesses)]
    lines = [f"log {encode_vkey(LOG.key())}"]
    lines += [
        f"witness {name} {encode_vkey(signer.key(TYPE_COSIGNATURE))}"
        for name, signer in zip(names, WITNESSES, strict=False)
    ]
    lines += [f"group all-of-them {quorum} {' '.join(names)}", "quorum all-of-them"]
    return "\n".join(lines) + "\n"


POLICY = parse_policy(policy_text().encode())


class Device:
    """A signer of readings. Every call may say another epoch, sequence or payload than would follow."""

    def __init__(self, number: int, *, name: str | None = None) -> None:
        self.signer = SeedSigner(seed(f"device {number}"))
        self.issuer = f"urn:dev:ops:32473-air-{number}"
        if name is not None:
            self.issuer = name
        self.sequence = 0
        self.previous = ZEROS

    @property
    def shard(self) -> int:
        return shard_of(self.issuer, SHARDS)

    def records(self, sequence: int, count: int = 1) -> list[Record]:
        """Readings of no2, one a second from the minute that the sequence gives."""
        return [Record("no2", "ug/m3", 20.25 + n, 1.8e9 + sequence * 60 + n) for n in range(count)]

    def read(self, *, records: int = 1, **changes: Any) -> bytes:
        """The next statement."""
        sequence = changes.get("sequence", self.sequence)
        fields: dict[str, Any] = {
            "issuer": self.issuer,
            "subject": "station-1",
            "content_type": CONTENT_SENML,
            "epoch": 1,
            "sequence": sequence,
            "previous": self.previous,
            "payload": encode_pack(self.issuer, self.records(sequence, records)),
        }
        raw = sign_statement(self.signer, **(fields | changes))
        self.sequence = sequence + 1
        self.previous = sha256(b"\x00" + raw).digest()
        return raw


def device_in(shard: int, nth: int = 0) -> Device:
    """The nth device whose issuer belongs to this shard."""
    found = (device for device in map(Device, range(1000)) if device.shard == shard)
    return [next(found) for _ in range(nth + 1)][nth]


def enrolment(device: Device, *, authority: str = AUTHORITY_NAME, **changes: Any) -> Enrolment:
    """What the authority knows about a device, which has proved to have its key."""
    issuer = changes.get("issuer", device.issuer)
    plain = Enrolment(
        issuer=device.issuer,
        public_key=device.signer.public_key,
        department="ecology",
        controller="lab",
        data_class="environment",
        kind="air",
        subject="station-1",
        area="north",
        longitude=121.5,
        latitude=31.25,
        height_m=3.0,
        accuracy={"no2": 2.0},
        calibrated_until_s=2_000_000_000,
        origin="device",
        valid_from_s=1_700_000_000,
        possession=sign_possession(device.signer, authority, issuer),
    )
    return replace(plain, **changes)


def enrol(
    device: Device,
    sequence: int,
    *,
    by: SeedSigner = AUTHORITY,
    name: str = AUTHORITY_NAME,
    about: Enrolment | None = None,
    **changes: Any,
) -> bytes:
    """An authority's statement that enrols a device."""
    about = about or enrolment(device, authority=name)
    fields: dict[str, Any] = {
        "issuer": name,
        "subject": about.issuer,
        "content_type": CONTENT_ENROLMENT,
        "epoch": 1,
        "sequence": sequence,
        "previous": ZEROS,
        "payload": encode_enrolment(about),
    }
    return sign_statement(by, **(fields | changes))


def with_field(payload: bytes, label: int, value: object) -> bytes:
    """A CBOR map with one field changed, or left out where the value is None."""
    fields = cbor2.loads(payload)
    if value is None:
        del fields[label]
    else:
        fields[label] = value
    return cbor2.dumps(fields, canonical=True)


class ForgedLog:
    """A log made block by block. Nothing is checked: what a block holds and says is the caller's.

    `files` are the published files and archived bodies.
    """

    def __init__(self, shards: int = SHARDS, *, genesis: bytes | None = None) -> None:
        self.files: dict[str, bytes] = {}
        self.entries = [genesis or sign_genesis(LOG.signer, ORIGIN, shards, AUTHORITIES.file_hash)]
        self.tips: list[Manifest | None] = [None] * shards
        self.roots = [ZEROS] * shards
        self.registry = Registry()

    def add(
        self,
        shard: int,
        statements: Sequence[bytes],
        *,
        signer: SeedSigner | None = None,
        origin: str = ORIGIN,
        change: Callable[[Manifest], Manifest] = lambda manifest: manifest,
        **fields: Any,
    ) -> Manifest:
        """Add a block and its entry; `fields` and `change` forge its manifest."""
        tip = self.tips[shard]
        first = tip.offset_last + 1 if tip else 0
        manifest = Manifest(
            shard=shard,
            height=tip.height + 1 if tip else 0,
            previous=self.roots[shard],
            topic_id=TOPIC_ID,
            offset_first=first,
            offset_last=first + len(statements) - 1,
            arrival_first_ms=NOW_MS,
            arrival_last_ms=NOW_MS,
            accepted=len(statements),
            duplicates=0,
            refused={},
            refused_hash=sha256(b"").digest(),
            registry_blocks=self.registry.blocks,
            registry_root=self.registry.root,
        )
        manifest = change(replace(manifest, **fields))
        leaves = [encode_manifest(manifest), *statements]
        hashes = hash_leaves(leaves)
        self.files[block_path(manifest.shard, manifest.height)] = encode_body(leaves)
        self.entries.append(
            sign_block(signer or SeedSigner(seed("log")), origin, manifest, root_of(hashes), hashes[0])
        )
        self.tips[shard], self.roots[shard] = manifest, root_of(hashes)
        return manifest

    def enrol(self, *statements: bytes, skip: Sequence[int] = ()) -> Manifest:
        """Add a registry block that is as it must be."""
        manifest = self.add(0, statements, equivocations=tuple(skip))
        leaves = [encode_manifest(manifest), *statements]
        self.registry.load_block(leaves, skip)
        return manifest

    def publish(self, *, time_s: int = 1_800_000_100, witnesses: Sequence[NoteSigner] = WITNESSES) -> bytes:
        """Write tiles and a cosigned checkpoint over all entries; return the checkpoint."""
        appender = TileAppender()
        self.files |= appender.append(self.entries)
        checkpoint = Checkpoint(ORIGIN, appender.size, appender.root())
        note = sign_checkpoint(checkpoint, LOG)
        note = add_signatures(note, [cosign(checkpoint, witness, time_s) for witness in witnesses])
        self.files["checkpoint"] = note
        return note


def refused_hash(*received: bytes) -> bytes:
    """The one hash over refused bytes."""
    return sha256(b"".join(sha256(raw).digest() for raw in received)).digest()


def manifest_of(body: bytes) -> Manifest:
    """The manifest in a body."""
    return decode_manifest(body[4 : 4 + int.from_bytes(body[:4], "big")])


def leaf_hash(raw: bytes) -> bytes:
    """RFC 9162's leaf hash."""
    assert hash_leaf(raw) == sha256(b"\x00" + raw).digest()
    return sha256(b"\x00" + raw).digest()
