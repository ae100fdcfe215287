"""Makes evidence.json: evidence for queries, its frames taken apart and put together wrong, equivocations.

Run as `python tests/vectors/make_evidence.py`; the same bytes come out every time. Byte strings are
hexadecimal. A case is a list of frames of the pool, in their order; what is expected of it is written here.
"""

import json
import sys
import zlib
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from pipeline.identity.authorities import Authority, format_authorities, parse_authorities
from pipeline.identity.registry import Registry
from pipeline.log.block import seal, sign_block
from pipeline.log.checkpoint import Checkpoint, add_signatures, cosign, sign_checkpoint
from pipeline.log.genesis import sign_genesis
from pipeline.log.manifest import Manifest
from pipeline.log.merkle import hash_leaf
from pipeline.log.note import TYPE_COSIGNATURE, NoteSigner, encode_vkey
from pipeline.log.policy import parse_policy
from pipeline.log.tiles import TileAppender, block_path
from pipeline.verify.collect import Collector
from pipeline.verify.completeness import Span
from pipeline.verify.equivocation import encode_equivocation, make_equivocation
from pipeline.verify.evidence import BLOCK, END, KEY, encode_block, parse_block
from pipeline.verify.query import Query
from pipeline.wire.admission import Admission, encode_admission
from pipeline.wire.enrolment import Enrolment, encode_enrolment
from pipeline.wire.keys import SeedSigner, key_id
from pipeline.wire.possession import sign_possession
from pipeline.wire.reasons import Reason
from pipeline.wire.revocation import Revocation, encode_revocation
from pipeline.wire.rotation import encode_rotation, make_rotation
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.statement import (
    CONTENT_ADMISSION,
    CONTENT_ENROLMENT,
    CONTENT_REVOCATION,
    CONTENT_ROTATION,
    CONTENT_SENML,
    shard_of,
    sign_statement,
)

FILE = Path(__file__).with_name("evidence.json")
ORIGIN, CITY = "city.example/log", "https://city.example/ecology"
TIME_S = 1_767_225_600
SHARDS = 3
NAMES = ("log", "witness", "city", "device 0", "device 1", "device 2", "device 1, renewed")
KEYS = {name: SeedSigner(sha256(name.encode()).digest()) for name in NAMES}
LOG, WITNESS = NoteSigner(ORIGIN, KEYS["log"]), NoteSigner("witness.example", KEYS["witness"])
POLICY = f"log {encode_vkey(LOG.key())}\nwitness w {encode_vkey(WITNESS.key(TYPE_COSIGNATURE))}\nquorum w\n"
AUTHORITIES = format_authorities(
    [Authority(CITY, KEYS["city"].public_key, frozenset("*"), frozenset("*"))],
    {"registry_lag_s": 60, "cosign_delay_s": 60, "checkpoint_age_s": 86_400},
)
FIRST_LINE = b"cityproof evidence 1\n"
ISSUERS = [f"urn:dev:ops:32473-air-{n}" for n in range(3)]

Json = dict[str, Any]
Frame = tuple[int, bytes]


class Log:
    """A log of one block after another."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.authorities = parse_authorities(AUTHORITIES.encode())
        self.entries = [sign_genesis(LOG.signer, ORIGIN, SHARDS, self.authorities.file_hash)]
        self.tips: dict[int, tuple[Manifest, bytes]] = {}
        self.registry = Registry()

    def add(self, shard: int, *leaves: bytes, equivocations: tuple[int, ...] = ()) -> None:
        """Add a block."""
        tip, root = self.tips.get(shard, (None, bytes(32)))
        offset = tip.offset_last + 1 if tip else 0
        manifest = Manifest(
            shard=shard,
            height=tip.height + 1 if tip else 0,
            previous=root,
            topic_id=bytes(range(16)),
            offset_first=offset,
            offset_last=offset + len(leaves) - 1,
            arrival_first_ms=TIME_S * 1000,
            arrival_last_ms=TIME_S * 1000 + 480,
            accepted=len(leaves),
            duplicates=0,
            refused={},
            refused_hash=sha256(b"").digest(),
            registry_blocks=self.registry.blocks,
            registry_root=self.registry.root,
            equivocations=equivocations,
        )
        block = seal(manifest, leaves)
        self.files[block_path(shard, manifest.height)] = block.body
        self.entries.append(sign_block(LOG.signer, ORIGIN, manifest, block.root, block.manifest_hash))
        self.tips[shard] = manifest, block.root
        if shard == 0:
            self.registry.apply_block([b"", *leaves], (), self.authorities)

    def publish(self) -> None:
        """Write tiles and checkpoint."""
        appender = TileAppender()
        self.files |= appender.append(self.entries)
        checkpoint = Checkpoint(ORIGIN, appender.size, appender.root())
        note = sign_checkpoint(checkpoint, LOG)
        self.files["checkpoint"] = add_signatures(note, [cosign(checkpoint, WITNESS, TIME_S + 30)])

    def collect(self, query: Query) -> bytes:
        """The evidence for a query."""
        out = BytesIO()
        Collector(self.files.get, parse_policy(POLICY.encode())).collect(query, out.write)
        return out.getvalue()


class Device:
    """A signer of readings, a minute apart."""

    def __init__(self, number: int) -> None:
        self.issuer, self.key = ISSUERS[number], KEYS[f"device {number}"]
        self.shard = shard_of(self.issuer, SHARDS)
        self.sequence, self.epoch, self.previous = 0, 1, bytes(32)

    def state(
        self, value: float = 20.25, sequence: int | None = None, previous: bytes | None = None
    ) -> bytes:
        """The next statement, or another one."""
        sequence = self.sequence if sequence is None else sequence
        records = [Record("no2", "ug/m3", value, TIME_S + 60.0 * sequence)]
        raw = sign_statement(
            self.key,
            issuer=self.issuer,
            subject="station-7",
            content_type=CONTENT_SENML,
            epoch=self.epoch,
            sequence=sequence,
            previous=self.previous if previous is None else previous,
            payload=encode_pack(self.issuer, records),
        )
        self.sequence, self.previous = sequence + 1, hash_leaf(raw)
        return raw


def stated(sequence: int, about: str, content_type: str, payload: bytes) -> bytes:
    """A statement of the authority."""
    return sign_statement(
        KEYS["city"],
        issuer=CITY,
        subject=about,
        content_type=content_type,
        epoch=1,
        sequence=sequence,
        previous=bytes(32),
        payload=payload,
    )


def enrol(device: Device, sequence: int) -> bytes:
    """The enrolment of a device."""
    about = Enrolment(
        issuer=device.issuer,
        public_key=device.key.public_key,
        department="ecology",
        controller="lab",
        data_class="environment",
        kind="air",
        subject="station-7",
        area="north",
        longitude=121.5,
        latitude=31.25,
        height_m=3.0,
        accuracy={"no2": 2.0},
        calibrated_until_s=2_000_000_000,
        origin="device",
        valid_from_s=TIME_S,
        possession=sign_possession(device.key, CITY, device.issuer),
    )
    return stated(sequence, device.issuer, CONTENT_ENROLMENT, encode_enrolment(about))


def minutes(first: int, end: int) -> Span:
    """From one minute up to another."""
    return Span((TIME_S + 60 * first) * 1_000_000, (TIME_S + 60 * end) * 1_000_000)


def frames_of(data: bytes) -> list[Frame]:
    """The frames of a file."""
    content, frames = zlib.decompress(data[len(FIRST_LINE) : -32], -15), list[Frame]()
    while content:
        end = 5 + int.from_bytes(content[:4])
        frames.append((content[4], content[5:end]))
        content = content[end:]
    return frames


class Cases:
    """A pool of frames, and cases made of them."""

    def __init__(self) -> None:
        self.pool: list[Frame] = []
        self.cases: list[Json] = []

    def add(
        self, name: str, frames: list[Frame], reason: Reason | None, signers: list[Json] | None = None
    ) -> None:
        """Add a case."""
        self.pool += [frame for frame in dict.fromkeys(frames) if frame not in self.pool]
        numbers = [self.pool.index(frame) for frame in frames]
        case: Json = {"name": name, "frames": numbers, "reason": reason and reason.value}
        self.cases.append(case if signers is None else case | {"signers": signers})


def signer(device: int, opening: str, closing: str, **shown: Any) -> Json:
    """What is shown of a signer's completeness; what is not given is as in an unbroken chain."""
    plain: Json = {"gaps": [], "breaks": [], "equivocations": [], "epochs": []}
    return {"issuer": ISSUERS[device], "opening": opening, "closing": closing, **plain, **shown}


def plain_cases(cases: Cases) -> bytes:
    """A span of one device's life, bracketed; then every frame and part exchanged. Returns the file."""
    devices = [Device(n) for n in range(3)]
    log = Log()
    log.add(0, *(enrol(device, n) for n, device in enumerate(devices)))
    for _ in range(6):
        for shard in (1, 2):
            log.add(shard, *(device.state() for device in devices if device.shard == shard))
    log.publish()
    data = log.collect(Query(devices=frozenset(ISSUERS[:1]), span=minutes(2, 4)))
    frames = frames_of(data)
    head, key, *blocks, end = frames
    cases.add("bracketed", frames, None, [signer(0, "bracketed", "bracketed", first=[1, 1], last=[1, 4])])
    everything = frames_of(log.collect(Query()))
    ends = {"first": [1, 0], "last": [1, 5]}
    cases.add("everything", everything, None, [signer(n, "begins", "open", **ends) for n in range(3)])
    other = next(
        frame for frame in frames_of(log.collect(Query(devices=frozenset(ISSUERS[1:2])))) if frame[0] == KEY
    )

    def changed(**parts: Any) -> list[Frame]:
        first = parse_block(blocks[0][1])
        return [head, key, (BLOCK, encode_block(first._replace(**parts))), *blocks[1:], end]

    block, behind = parse_block(blocks[0][1]), parse_block(blocks[1][1])
    leaf, raw = block.leaves[0]
    flipped = raw[:-1] + bytes([raw[-1] ^ 1])
    for name, wrong, reason in (
        ("no head", frames[1:], Reason.EVIDENCE_SHAPE),
        ("two heads", [head, *frames], Reason.EVIDENCE_SHAPE),
        ("no end", frames[:-1], Reason.EVIDENCE_SHAPE),
        ("two ends", [*frames, end], Reason.EVIDENCE_SHAPE),
        ("an unknown kind", [head, key, (5, b""), *blocks, end], Reason.EVIDENCE_SHAPE),
        ("no key", [head, *blocks, end], Reason.KEY_UNKNOWN),
        ("a key that nobody asked for", [head, other, key, *blocks, end], Reason.EVIDENCE_QUERY),
        ("a block twice", [head, key, blocks[0], *blocks, end], Reason.INDEX_OUTSIDE),
        ("a block left out", [head, key, *blocks[1:], end], Reason.PATH_SHORT),
        ("the end cut", [head, key, *blocks, (END, end[1][:-32])], Reason.PATH_SHORT),
        ("the end longer", [head, key, *blocks, (END, end[1] + bytes(32))], Reason.PATH_LONG),
        ("another signature", changed(signature=bytes(64)), Reason.ROOT_MISMATCH),
        ("another block's manifest", changed(manifest=behind.manifest), Reason.ROOT_MISMATCH),
        ("another statement", changed(leaves=behind.leaves), Reason.ROOT_MISMATCH),
        ("a statement at another leaf", changed(leaves=[(leaf + 9, raw)]), Reason.INDEX_OUTSIDE),
        ("no statement", changed(leaves=[]), Reason.EVIDENCE_SHAPE),
        ("a signature that does not hold", changed(leaves=[(leaf, flipped)]), Reason.SIGNATURE_INVALID),
        ("a hash fewer", changed(hashes=block.hashes[:-1]), Reason.PATH_SHORT),
        ("a hash more", changed(hashes=[*block.hashes, bytes(32)]), Reason.PATH_LONG),
        ("hashes in another order", changed(hashes=block.hashes[::-1]), Reason.ROOT_MISMATCH),
    ):
        cases.add(name, wrong, reason)
    return data


def gap_cases(cases: Cases) -> None:
    """What is missing, late, signed twice, begun anew."""
    for name, order, shown in (
        ("a gap", [0, 1, 2, 5, 6], {"gaps": True}),
        ("a gap that was filled late", [0, 1, 2, 5, 6, 4, 3], {}),
    ):
        device, log = Device(0), Log()
        log.add(0, enrol(device, 0))
        raws = [device.state() for _ in range(7)]
        for sequence in order:
            log.add(device.shard, raws[sequence])
        log.publish()
        gap = {"gaps": [[1, 3, 4, hash_leaf(raws[4])]]} if shown else {}
        about = signer(0, "begins", "bracketed", first=[1, 0], last=[1, 6], **gap)
        cases.add(name, frames_of(log.collect(Query(span=minutes(0, 6)))), None, [about])

    device, log = Device(0), Log()
    log.add(0, enrol(device, 0))
    raws = [device.state() for _ in range(4)]
    other = device.state(99.5, 1, hash_leaf(raws[0]))
    log.add(device.shard, *raws[:3])
    log.add(device.shard, other, raws[3], equivocations=(1,))
    log.publish()
    about = signer(0, "begins", "open", first=[1, 0], last=[1, 3], equivocations=[[1, 1]])
    cases.add("an equivocation", frames_of(log.collect(Query())), None, [about])

    for link, previous in (("linked", None), ("reset", bytes(32)), ("elsewhere", b"x" * 32)):
        device, log = Device(0), Log()
        log.add(0, enrol(device, 0))
        log.add(device.shard, device.state(), device.state())
        device.epoch = 2
        moved = Device(0)
        moved.epoch = 2
        log.add(device.shard, sign_later(moved, hash_leaf_or(previous, device.previous)))
        log.publish()
        about = signer(0, "begins", "open", first=[1, 0], last=[2, 0], epochs=[[2, link, False]])
        cases.add(f"an epoch that is {link}", frames_of(log.collect(Query())), None, [about])

    device, log = Device(0), Log()
    log.add(0, enrol(device, 0))
    first, second = device.state(), device.state(previous=b"y" * 32)
    log.add(device.shard, first, second)
    log.publish()
    about = signer(0, "begins", "open", first=[1, 0], last=[1, 1], breaks=[[1, 1]])
    cases.add("a break", frames_of(log.collect(Query())), None, [about])


def hash_leaf_or(previous: bytes | None, tip: bytes) -> bytes:
    """What the first statement of an epoch names."""
    return tip if previous is None else previous


def sign_later(device: Device, previous: bytes) -> bytes:
    """Sequence 0 of an epoch, ten minutes later."""
    records = [Record("no2", "ug/m3", 1.5, TIME_S + 600.0)]
    return sign_statement(
        device.key,
        issuer=device.issuer,
        subject="station-7",
        content_type=CONTENT_SENML,
        epoch=device.epoch,
        sequence=0,
        previous=previous,
        payload=encode_pack(device.issuer, records),
    )


def key_cases(cases: Cases) -> None:
    """A key that was rotated, then revoked, and a statement that was admitted all the same."""
    device, log = Device(1), Log()
    renewed = KEYS["device 1, renewed"]
    log.add(0, enrol(device, 0))
    log.add(device.shard, device.state())
    rotation = make_rotation(
        device.key, renewed, authority=CITY, issuer=device.issuer, starts=(1, 1), valid_from_s=TIME_S
    )
    log.add(0, stated(1, device.issuer, CONTENT_ROTATION, encode_rotation(rotation)))
    device.key = renewed
    log.add(device.shard, device.state())
    revocation = Revocation(device.issuer, key_id(renewed.public_key), "stolen")
    log.add(0, stated(2, device.issuer, CONTENT_REVOCATION, encode_revocation(revocation)))
    late = device.state()
    admission = Admission(device.issuer, [hash_leaf(late)], "its receipt is older")
    log.add(0, stated(3, device.issuer, CONTENT_ADMISSION, encode_admission(admission)))
    log.add(device.shard, late)
    log.publish()
    frames = frames_of(log.collect(Query()))
    about = signer(1, "begins", "open", first=[1, 0], last=[1, 2])
    cases.add("a key's whole life", frames, None, [about])
    cases.add("no admission", [frame for frame in frames if frame[0] != 2], Reason.KEY_REVOKED)


def equivocations() -> list[Json]:
    """Two statements that contradict one another, and some that do not."""
    device, stranger = Device(0), Device(1)
    enrolment = enrol(device, 0)
    one, other, following = device.state(), device.state(99.5, 0, bytes(32)), device.state()
    good = make_equivocation(one, other, enrolment=enrolment)
    return [
        {"name": name, "bytes": encode_equivocation(made), "reason": reason and reason.value}
        for name, made, reason in (
            ("two signatures", good, None),
            (
                "in the other order",
                replace(good, statements=good.statements[::-1]),
                Reason.EQUIVOCATION_SHAPE,
            ),
            ("the same bytes", make_equivocation(one, one, enrolment=enrolment), Reason.EQUIVOCATION_NONE),
            (
                "another sequence",
                make_equivocation(one, following, enrolment=enrolment),
                Reason.EQUIVOCATION_NONE,
            ),
            ("another's enrolment", replace(good, enrolment=enrol(stranger, 0)), Reason.PROOF_REGISTRY),
            ("nobody's enrolment", replace(good, enrolment=None), Reason.AUTHORITY_UNKNOWN),
            ("rotations that are none", replace(good, rotations=[enrolment]), Reason.STATEMENT_CONTENT_TYPE),
        )
    ]


def files(data: bytes) -> list[Json]:
    """The container, whole and not."""
    return [
        {"name": name, "bytes": raw, "reason": reason and reason.value}
        for name, raw, reason in (
            ("whole", data, None),
            ("another first line", b"C" + data[1:], Reason.EVIDENCE_SHAPE),
            ("cut", data[:-1], Reason.EVIDENCE_SHAPE),
            ("longer", data + b"\0", Reason.EVIDENCE_SHAPE),
            ("another hash", data[:-1] + bytes([data[-1] ^ 1]), Reason.EVIDENCE_DAMAGED),
        )
    ]


def vectors() -> Json:
    """Everything in the file."""
    cases = Cases()
    data = plain_cases(cases)
    gap_cases(cases)
    key_cases(cases)
    return {
        "about": "Evidence and equivocations. Made by make_evidence.py.",
        "seeds": {name: sha256(name.encode()).digest() for name in NAMES},
        "policy": POLICY,
        "authorities": AUTHORITIES,
        "pool": [{"kind": kind, "content": content} for kind, content in cases.pool],
        "cases": cases.cases,
        "files": files(data),
        "equivocations": equivocations(),
    }


def hexed(value: object) -> object:
    """Return a value for JSON: byte strings become hexadecimal."""
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {str(key): hexed(item) for key, item in value.items()}
        case list() | tuple():
            return [hexed(item) for item in value]
    return value


def render() -> str:
    """Return the file's text."""
    return json.dumps(hexed(vectors()), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(f"{FILE.name}: {FILE.write_text(render(), encoding='utf-8')} characters\n")
