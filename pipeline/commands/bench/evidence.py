"""`cityproof bench evidence`: how large one device's evidence is, and how fast it is verified.

A city is made up for the purpose: 200 devices, a statement of ten records every ten seconds each, four
shards whose blocks close 500 ms after their first message. One device's evidence is made from its log. Its
size is compared with the raw statements in it; verifying it, with a PyNaCl loop over their signatures, its
inputs laid out beforehand. Both run in turn, timed by processor time, and the median of the ratios counts.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from statistics import median
from time import process_time

from nacl.signing import VerifyKey

from pipeline.identity.authorities import ANY, Authorities, Authority, format_authorities, parse_authorities
from pipeline.identity.registry import Registry
from pipeline.log.block import seal, sign_block
from pipeline.log.checkpoint import Checkpoint, add_signatures, cosign, sign_checkpoint
from pipeline.log.genesis import sign_genesis
from pipeline.log.manifest import Manifest
from pipeline.log.merkle import hash_leaf
from pipeline.log.note import TYPE_COSIGNATURE, NoteSigner, encode_vkey
from pipeline.log.policy import Policy, parse_policy
from pipeline.log.tiles import TileAppender, block_path
from pipeline.verify.collect import Collector
from pipeline.verify.completeness import Span
from pipeline.verify.evidence import EvidenceCheck
from pipeline.verify.query import Query
from pipeline.wire.cose import signing_input
from pipeline.wire.enrolment import Enrolment, encode_enrolment
from pipeline.wire.keys import SeedSigner
from pipeline.wire.possession import sign_possession
from pipeline.wire.quantities import QUANTITIES
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.statement import (
    CONTENT_ENROLMENT,
    CONTENT_SENML,
    parse_statement,
    shard_of,
    sign_statement,
)

RUNS = 7
DEVICES = 200
SHARDS = 4
INTERVAL_MS = 10_000
BLOCK_MS = 500
START_MS = 1_800_000_000_000
WITNESSES = 3
GOALS = {"size": 1.6, "verify": 0.60}

ORIGIN = "bench.example/log"
AUTHORITY_NAME = "https://bureau.bench.example/"
MEASURED = ("no2", "o3", "so2", "pm2_5", "pm10")


def _signer(name: str) -> SeedSigner:
    return SeedSigner(sha256(b"bench " + name.encode()).digest())


@dataclass(slots=True)
class BenchDevice:
    """A device: its key, its chain, and when in each interval it sends."""

    number: int
    signer: SeedSigner
    previous: bytes = bytes(32)

    @property
    def issuer(self) -> str:
        """Its name."""
        return f"urn:dev:ops:32473-air-{self.number}"

    @property
    def subject(self) -> str:
        """What it measures at."""
        return f"station-{self.number}"

    def sends_ms(self, sequence: int) -> int:
        """Return when it sends a statement; each device has its own moment in the interval."""
        jitter = sha256(b"%d %d" % (self.number, sequence)).digest()
        moment = self.number * INTERVAL_MS // DEVICES + int.from_bytes(jitter[:2]) % 40
        return START_MS + sequence * INTERVAL_MS + moment

    def state(self, sequence: int) -> bytes:
        """Return the next statement: ten records, of five quantities at two moments."""
        time_s = self.sends_ms(sequence) // 1000 - 5.0
        noise = sha256(b"values %d %d" % (self.number, sequence)).digest()
        records = [
            Record(name, QUANTITIES[name].unit, round(20 + noise[n] * 0.1, 1), time_s + n // 5 * 5)
            for n, name in enumerate(MEASURED * 2)
        ]
        raw = sign_statement(
            self.signer,
            issuer=self.issuer,
            subject=self.subject,
            content_type=CONTENT_SENML,
            epoch=START_MS // 1000,
            sequence=sequence,
            previous=self.previous,
            payload=encode_pack(self.issuer, records),
        )
        self.previous = hash_leaf(raw)
        return raw


@dataclass(slots=True)
class BenchLog:
    """A log made block by block, with the project's own sealing; `files` are what it publishes."""

    authorities: Authorities
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    registry: Registry = field(default_factory=Registry)
    tips: dict[int, tuple[Manifest, bytes]] = field(default_factory=dict[int, tuple[Manifest, bytes]])
    entries: list[bytes] = field(default_factory=list[bytes])
    signer: NoteSigner = field(default_factory=lambda: NoteSigner(ORIGIN, _signer("log")))

    def add(self, shard: int, sent: "_OpenBlock") -> None:
        """Seal and sign a block."""
        statements = sent.statements
        tip, root = self.tips.get(shard, (None, bytes(32)))
        offset = tip.offset_last + 1 if tip else 0
        manifest = Manifest(
            shard=shard,
            height=tip.height + 1 if tip else 0,
            previous=root,
            topic_id=bytes(16),
            offset_first=offset,
            offset_last=offset + len(statements) - 1,
            arrival_first_ms=sent.first_ms,
            arrival_last_ms=sent.last_ms,
            accepted=len(statements),
            duplicates=0,
            refused={},
            refused_hash=sha256(b"").digest(),
            registry_blocks=self.registry.blocks,
            registry_root=self.registry.root,
        )
        block = seal(manifest, statements)
        self.files[block_path(shard, manifest.height)] = block.body
        self.entries.append(sign_block(self.signer.signer, ORIGIN, manifest, block.root, block.manifest_hash))
        self.tips[shard] = manifest, block.root

    def publish(self, witnesses: Sequence[NoteSigner], time_s: int) -> None:
        """Write tiles and the cosigned checkpoint."""
        appender = TileAppender()
        self.files |= appender.append([self.genesis(), *self.entries])
        checkpoint = Checkpoint(ORIGIN, appender.size, appender.root())
        note = sign_checkpoint(checkpoint, self.signer)
        self.files["checkpoint"] = add_signatures(
            note, [cosign(checkpoint, witness, time_s) for witness in witnesses]
        )

    def genesis(self) -> bytes:
        """Return entry 0."""
        return sign_genesis(self.signer.signer, ORIGIN, SHARDS, self.authorities.file_hash)


@dataclass(frozen=True, slots=True)
class BenchCity:
    """A city that has run for a while, and whom its verifiers trust."""

    log: BenchLog
    policy: Policy
    authorities: Authorities
    devices: Sequence[BenchDevice]
    raw: Sequence[bytes]


def make_city(intervals: int) -> BenchCity:
    """Let the city run for so many intervals of ten seconds; `raw` are the first device's statements."""
    bureau = _signer("authority")
    witnesses = [NoteSigner(f"w{n}.bench.example", _signer(f"witness {n}")) for n in range(WITNESSES)]
    trusted = [Authority(AUTHORITY_NAME, bureau.public_key, frozenset({ANY}), frozenset({ANY}))]
    bounds_s = {"registry_lag_s": 60, "cosign_delay_s": 60, "checkpoint_age_s": 86_400}
    authorities = parse_authorities(format_authorities(trusted, bounds_s).encode())
    log = BenchLog(authorities)
    lines = [f"log {encode_vkey(log.signer.key())}"]
    lines += [f"witness w{n} {encode_vkey(w.key(TYPE_COSIGNATURE))}" for n, w in enumerate(witnesses)]
    lines += ["group all-of-them all w0 w1 w2", "quorum all-of-them"]
    policy = parse_policy(("\n".join(lines) + "\n").encode())

    devices = [BenchDevice(number, _signer(f"device {number}")) for number in range(DEVICES)]
    enrolments = [_enrol(bureau, device, n) for n, device in enumerate(devices)]
    log.add(0, _OpenBlock(START_MS, START_MS, enrolments))
    log.registry.apply_block([b"", *enrolments], (), authorities)

    raw = _run(log, devices, intervals)
    log.publish(witnesses, START_MS // 1000 + intervals * INTERVAL_MS // 1000 + 60)
    return BenchCity(log, policy, authorities, devices, raw)


def _enrol(bureau: SeedSigner, device: BenchDevice, sequence: int) -> bytes:
    about = Enrolment(
        issuer=device.issuer,
        public_key=device.signer.public_key,
        department="ecology",
        controller="lab",
        data_class="environment",
        kind="air",
        subject=device.subject,
        area="bench",
        longitude=121.5,
        latitude=31.2,
        height_m=3.0,
        accuracy={"no2": 2.0},
        calibrated_until_s=2_000_000_000,
        origin="device",
        valid_from_s=0,
        possession=sign_possession(device.signer, AUTHORITY_NAME, device.issuer),
    )
    return sign_statement(
        bureau,
        issuer=AUTHORITY_NAME,
        subject=device.issuer,
        content_type=CONTENT_ENROLMENT,
        epoch=1,
        sequence=sequence,
        previous=bytes(32),
        payload=encode_enrolment(about),
    )


@dataclass(slots=True)
class _OpenBlock:
    """A shard's block that is still open."""

    first_ms: int = 0
    last_ms: int = 0
    statements: list[bytes] = field(default_factory=list[bytes])


def _run(log: BenchLog, devices: Sequence[BenchDevice], intervals: int) -> list[bytes]:
    """Send and seal all statements in the order of time; return the first device's."""
    raw: list[bytes] = []
    open_blocks = {shard: _OpenBlock() for shard in range(1, SHARDS)}
    for sequence in range(intervals):
        for device in sorted(devices, key=lambda device: device.sends_ms(sequence)):
            sent_ms = device.sends_ms(sequence)
            block = open_blocks[shard_of(device.issuer, SHARDS)]
            if block.statements and sent_ms > block.first_ms + BLOCK_MS:
                log.add(shard_of(device.issuer, SHARDS), block)
                block.statements = []
            if not block.statements:
                block.first_ms = sent_ms
            block.last_ms = sent_ms
            block.statements.append(device.state(sequence))
            if device is devices[0]:
                raw.append(block.statements[-1])
    for shard, block in open_blocks.items():
        if block.statements:
            log.add(shard, block)
    return raw


# What is measured


def make_evidence(city: BenchCity, device: BenchDevice, first: int, end: int) -> bytes:
    """Return the evidence for a device's statements `first` up to `end`."""
    span = Span(*((START_MS + n * INTERVAL_MS) * 1000 for n in (first, end)))
    out = BytesIO()
    query = Query(devices=frozenset({device.issuer}), span=span)
    Collector(city.log.files.get, city.policy).collect(query, out.write)
    return out.getvalue()


def verify_evidence(data: bytes, city: BenchCity) -> float:
    """Return the seconds that verifying takes."""
    began = process_time()
    check = EvidenceCheck(BytesIO(data).read, city.policy, city.authorities)
    for _ in check.statements():
        pass
    spent_s = process_time() - began
    assert check.result().signers[0].unbroken, "all its statements are there"
    return spent_s


def verify_bare(signatures: Sequence[tuple[VerifyKey, bytes, bytes]]) -> float:
    """Return the seconds that verifying every signature takes, and nothing else."""
    began = process_time()
    for key, message, signature in signatures:
        key.verify(message, signature)
    return process_time() - began


def lay_out(city: BenchCity, held: Sequence[bytes]) -> list[tuple[VerifyKey, bytes, bytes]]:
    """Return keys, messages and signatures of the first device's statements."""
    key = VerifyKey(city.devices[0].signer.public_key)
    parsed = [parse_statement(raw) for raw in held]
    return [(key, signing_input(s.protected, s.payload), s.signature) for s in parsed]


def run(hours: float, *, as_json: bool) -> int:
    """Print sizes and ratios with their goals. Exit 0: the goals are met; 1: one is not."""
    intervals = round(hours * 3_600_000 / INTERVAL_MS)
    city = make_city(intervals + 2)
    # The statements at the span's two ends are in the file, too.
    data = make_evidence(city, city.devices[0], 1, intervals + 1)
    raw_size = sum(map(len, city.raw))
    signatures = lay_out(city, city.raw)
    verify_evidence(data, city)
    ratios = [verify_bare(signatures) / verify_evidence(data, city) for _ in range(RUNS)]
    size = len(data) / raw_size
    found: dict[str, object] = {
        "statements": len(city.raw),
        "entries": len(city.log.entries) + 1,
        "raw_bytes": raw_size,
        "evidence_bytes": len(data),
        "size": {"ratio": size, "goal": GOALS["size"]},
        "verify": {"median": median(ratios), "runs": ratios, "goal": GOALS["verify"]},
    }
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        print(f"{len(city.raw)} statements of a log of {len(city.log.entries) + 1} entries")
        print(f"size    {size:5.2f}  (goal <= {GOALS['size']:.2f}; {len(data)} bytes for {raw_size} raw)")
        spread = f"{min(ratios):.2f} .. {max(ratios):.2f}"
        print(f"verify  {median(ratios):5.2f}  (goal >= {GOALS['verify']:.2f}; {RUNS} runs {spread})")
    return 0 if size <= GOALS["size"] and median(ratios) >= GOALS["verify"] else 1
