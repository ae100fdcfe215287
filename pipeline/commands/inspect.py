"""`cityproof inspect`: decode any object of ours, step by step, and name the first check that fails."""

import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

from pipeline.commands.evidence_report import describe_query
from pipeline.commands.findings import phrase
from pipeline.identity.changes import decode_change
from pipeline.log.block import decode_body, parse_signed_block
from pipeline.log.checkpoint import parse_checkpoint
from pipeline.log.genesis import parse_genesis
from pipeline.log.manifest import decode_manifest
from pipeline.log.merkle import HASH_SIZE, hash_leaf, hash_leaves, root_of
from pipeline.log.note import parse_note
from pipeline.log.receipt import parse_receipt
from pipeline.verify.equivocation import CONTENT_EQUIVOCATION, parse_equivocation
from pipeline.verify.evidence import (
    ADMISSION,
    BLOCK,
    HEAD,
    KEY,
    parse_admission,
    parse_block,
    parse_head,
    parse_key,
)
from pipeline.verify.frames import FIRST_LINE, read_frames
from pipeline.verify.point import PointCheck, parse_proof
from pipeline.wire import cbor
from pipeline.wire.changes import CHANGES
from pipeline.wire.cose import parse_sign1
from pipeline.wire.errors import InputError, VerificationError
from pipeline.wire.finding import decode_finding
from pipeline.wire.messages import decode_receipts, decode_refusal
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import decode_pack
from pipeline.wire.shipment import decode_shipment, kind_of
from pipeline.wire.statement import CONTENT_FINDING, CONTENT_SENML, CONTENT_SHIPMENT, parse_statement

Lines = Iterator[str]
SIZE_MAX = 1 << 20
RECOGNISED_SIZE = 64


def _statement(data: bytes) -> Lines:
    s = parse_statement(data)
    yield f"issuer     {s.issuer}"
    yield f"subject    {s.subject}"
    yield f"key id     {s.kid.hex()}"
    yield f"content    {s.content_type}"
    yield f"chain      epoch {s.epoch}, sequence {s.sequence}, previous {s.previous.hex()}"
    yield f"leaf hash  {hash_leaf(data).hex()}"
    if s.content_type == CONTENT_SENML:
        for record in decode_pack(s.payload, s.issuer):
            yield f"record     {record.quantity} = {record.value!r} {record.unit} at {record.time_s!r}"
    elif s.content_type == CONTENT_FINDING:
        yield f"finding    {phrase(decode_finding(s.payload))}"
    elif s.content_type == CONTENT_SHIPMENT:
        stated = decode_shipment(s.payload)
        yield f"kind       {kind_of(stated)}"
        for name in stated.__dataclass_fields__:
            yield f"{name:<18} {_shown(getattr(stated, name))}"
    elif s.content_type in CHANGES:
        change = decode_change(s)
        for name in change.__dataclass_fields__:
            yield f"{name:<18} {_shown(getattr(change, name))}"
    yield "signature  well-formed; checking it needs the enrolled key, which a point proof carries"


def _shown(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return ", ".join(str(_shown(item)) for item in value) if isinstance(value, (list, tuple)) else value


def _signed_block(data: bytes) -> Lines:
    block = parse_signed_block(data)
    yield f"log        {block.origin}"
    yield f"block      shard {block.shard}, height {block.height}"
    yield f"manifest   {block.manifest_hash.hex()}"
    yield f"root       {block.root.hex()}"


def _genesis(data: bytes) -> Lines:
    genesis = parse_genesis(data)
    yield f"log        {genesis.origin}"
    yield f"shards     {genesis.shards}"
    yield f"formats    version {genesis.version}"
    yield f"authorities file {genesis.authorities_hash.hex()}"


def _receipt(data: bytes) -> Lines:
    receipt = parse_receipt(data)
    yield f"block      shard {receipt.shard}, height {receipt.height}"
    yield f"leaf       {receipt.index} of {receipt.size}"


def _body(data: bytes) -> Lines:
    leaves = decode_body(data)
    manifest = decode_manifest(leaves[0])
    for name in manifest.__dataclass_fields__:
        value = getattr(manifest, name)
        yield f"{name:<17} {value.hex() if isinstance(value, bytes) else value}"
    yield f"root              {root_of(hash_leaves(leaves)).hex()}"
    for index, raw in enumerate(leaves[1:], 1):
        statement = parse_statement(raw)
        yield f"leaf {index:<4} {statement.issuer} epoch {statement.epoch} sequence {statement.sequence}"


def _note(data: bytes) -> Lines:
    note = parse_note(data)
    checkpoint = parse_checkpoint(note.text)
    yield f"log        {checkpoint.origin}"
    yield f"size       {checkpoint.size}"
    yield f"root       {checkpoint.root.hex()}"
    for signature in note.signatures:
        yield f"signature  {signature.name}, key id {signature.key_id.hex()}"


def _receipts(data: bytes) -> Lines:
    for item in decode_receipts(data):
        yield f"receipt    epoch {item.epoch}, sequence {item.sequence}, {len(item.receipt)} bytes"


def _refusal(data: bytes) -> Lines:
    refusal = decode_refusal(data)
    yield f"refused    bytes with SHA-256 {refusal.received_hash.hex()}"
    yield f"reason     {refusal.reason.value}: {refusal.reason.meaning}"


def _proof(data: bytes) -> Lines:
    proof = parse_proof(data)
    yield f"statement  {len(proof.statement)} bytes, record {proof.record}"
    yield f"in block   leaf {proof.in_block.index} of {proof.in_block.size}"
    yield f"in log     entry {proof.in_log.index} of {proof.in_log.size}"
    yield f"key        {len(proof.in_registry.hashes)} hashes below the registry's root"
    yield "checkpoint"
    yield from (f"  {line}" for line in _note(proof.checkpoint))


def _evidence(data: bytes) -> Lines:
    for kind, content in read_frames(BytesIO(data).read):
        if kind == HEAD:
            head = parse_head(content)
            yield "head       the query, the checkpoint, entry 0"
            yield from (
                f"  {name:<11} {value}" for name, value in describe_query(head.query).items() if value
            )
            yield from (f"  {line}" for line in _note(head.checkpoint))
        elif kind == KEY:
            key = parse_key(content)
            yield f"key        of {parse_statement(key.enrolment).subject}, {len(key.rotations)} rotations"
            yield f"  registry   {key.registry_root.hex()}"
        elif kind == ADMISSION:
            yield f"admission  of leaf hash {parse_admission(content).leaf_hash.hex()}"
        elif kind == BLOCK:
            block = parse_block(content)
            manifest = decode_manifest(block.manifest)
            place = f"entry {block.entry}, shard {manifest.shard}, height {manifest.height}"
            yield f"block      {place}: {len(block.leaves)} of {manifest.accepted} statements"
        else:
            yield f"end        {len(content) // HASH_SIZE} hashes up to the log's root"


def _equivocation(data: bytes) -> Lines:
    evidence = parse_equivocation(data)
    for raw, place in zip(evidence.statements, evidence.places, strict=True):
        yield (
            "statement  not shown to be in the log"
            if place is None
            else f"statement  entry {place.in_log.index}"
        )
        yield from (f"  {line}" for line in _statement(raw))


READERS: dict[str, Callable[[bytes], Lines]] = {
    "checkpoint (signed note)": _note,
    "point proof": _proof,
    "query's evidence": _evidence,
    "signer's equivocation": _equivocation,
    "statement": _statement,
    "genesis": _genesis,
    "signed block (log entry)": _signed_block,
    "receipt": _receipt,
    "receipts message": _receipts,
    "refusal message": _refusal,
    "block body": _body,
}


def recognise(data: bytes) -> str:
    """Return the kind of object that these bytes look like, judged by their outermost shape."""
    if data.startswith(FIRST_LINE):
        return "query's evidence"
    if b"\n\n" in data and data[:1].isascii() and data[:1].isalnum():
        return "checkpoint (signed note)"
    if data[:1] == b"\x00":
        return "block body"
    if data[:1] == b"\xd2":
        return _recognise_sign1(data)
    first = data[0] >> 5
    if first == 5:
        convicts = CONTENT_EQUIVOCATION.encode() in data[:RECOGNISED_SIZE]
        return "signer's equivocation" if convicts else "point proof"
    return "refusal message" if data[:2] == b"\x82\x58" else "receipts message"


def _recognise_sign1(data: bytes) -> str:
    try:
        sign1 = parse_sign1(data)
    except VerificationError as error:
        if error.reason is Reason.COSE_PAYLOAD:
            return "receipt"
        raise
    header = cbor.decode(sign1.protected)
    assert isinstance(header, dict)
    if -70002 in header:
        return "signed block (log entry)"
    return "genesis" if "genesis" in str(header.get(3)) else "statement"


def run(file: str, policy: Path | None, authorities: Path | None) -> int:
    """Decode a file or standard input. Exit 0: well-formed; 1: a check failed; 2: it could not be read."""
    data = _read(file)
    try:
        print(f"{len(data)} bytes")
        kind = recognise(data)
        print(f"a {kind}")
        for line in READERS[kind](data):
            print(f"  {line}")
        if kind == "point proof":
            _run_steps(data, policy, authorities, Path(file))
        elif kind in {"query's evidence", "signer's equivocation"} and file != "-":
            print(f"`cityproof verify {file}` says whether it holds, and what it shows")
    except VerificationError as error:
        print(f"FAILS: {error.reason.value}: {error.detail or error.reason.meaning}")
        return 1
    return 0


def _run_steps(data: bytes, policy: Path | None, authorities: Path | None, file: Path) -> None:
    from pipeline.commands.verify import beside, load_authorities, load_policy

    policy = policy or beside([file], "policy.txt")
    authorities = authorities or beside([file], "authorities.txt")
    if not (policy.is_file() and authorities.is_file()):
        print("not verified: name --policy and --authorities to go through the steps")
        return
    check = PointCheck(parse_proof(data), load_policy(policy), load_authorities(authorities))
    for number, (name, step) in enumerate(check.steps(), 1):
        print(f"step {number}: {name}")
        print(f"  holds: {step()}")


def _read(file: str) -> bytes:
    try:
        data = sys.stdin.buffer.read(SIZE_MAX + 1) if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise InputError(
            file, f"cannot read: {error.strerror}", "Name a file, or - for standard input."
        ) from error
    if not data:
        raise InputError(file, "it is empty", "Name a file that holds an object of ours.")
    return data
