"""Evidence: all statements that answer a query, with everything that a verifier needs, shared parts once.

`.evidence` is a stream of frames in the log's order, verified in one pass. What is shown to be in the log
hangs on its root, which is known to be right only behind the last frame: until then nothing is proven.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple, TypeVar

from pipeline.identity.authorities import Authorities, Authority
from pipeline.identity.records import AdmissionRecord
from pipeline.log.block import LEAVES_MAX, EntryForm
from pipeline.log.checkpoint import OpenedCheckpoint, open_checkpoint
from pipeline.log.genesis import Genesis, parse_genesis
from pipeline.log.manifest import ManifestPlace, read_place
from pipeline.log.merkle import HASH_SIZE, hash_leaf
from pipeline.log.multiproof import ProvenLeaves
from pipeline.log.policy import Policy
from pipeline.verify.bounds import latest_arrival_ms
from pipeline.verify.completeness import Completeness, SignerStatements
from pipeline.verify.frames import Read, read_frames
from pipeline.verify.query import Query, parse_query, query_fields
from pipeline.verify.signer import (
    KeyStatus,
    Path,
    SignerKey,
    check_admission,
    check_admitted,
    check_recorded,
    check_signer,
    parse_path,
    parse_rotations,
    parse_status,
    path_item,
    status_item,
    with_status,
)
from pipeline.wire.cbor import decode, encode
from pipeline.wire.cose import signing_input
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import SIGNATURE_SIZE, key_id, verify
from pipeline.wire.reasons import Reason
from pipeline.wire.roles import check_content
from pipeline.wire.senml import pack_times_us
from pipeline.wire.shipment import ROLE_KINDS
from pipeline.wire.statement import (
    CONTENT_SENML,
    CONTENT_SHIPMENT,
    Statement,
    StatementParser,
    shard_of,
)

CONTENT_EVIDENCE = "application/vnd.cityproof.evidence"
HEAD, KEY, ADMISSION, BLOCK, END = range(5)  # Kinds of frames.
HEAD_SIZE_MAX = 256 << 10
KEY_SIZE_MAX = 128 << 10
KEYS_MAX = 65_536  # Key and admission frames that hold at a time; the oldest is forgotten first.
SIGNERS_MAX = 65_536
SIGNATURES_AT_ONCE = 64

_K = TypeVar("_K")
_V = TypeVar("_V")
_BLOCK_START = Struct(f">Q{SIGNATURE_SIZE}sH")  # Entry, signature, length of the manifest.
_LEAF_START = Struct(">HH")  # Index, length.


@dataclass(frozen=True, slots=True)
class EvidenceHead:
    """The first frame: what was asked for, the cosigned checkpoint, and entry 0 of the log."""

    query: Query
    checkpoint: bytes
    genesis: bytes


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """A signer's key under a registry root; the parts are those of a point proof."""

    registry_root: bytes
    enrolment: bytes
    in_registry: Path
    rotations: tuple[bytes, ...] = ()
    status: KeyStatus = field(default_factory=KeyStatus)


@dataclass(frozen=True, slots=True)
class AdmissionFrame:
    """What lets one statement in, by its leaf hash, in spite of its key's end or revocation."""

    registry_root: bytes
    leaf_hash: bytes
    admission: bytes
    in_registry: Path


class BlockFrame(NamedTuple):
    """Some statements of a block.

    Attributes:
        entry: Index of the block in the log.
        signature: The log's, in the entry; all else in the entry follows from the rest.
        manifest: Leaf 0.
        leaves: (index, statement), ascending.
        hashes: First those of the gap in the log before this entry, then those of the gaps in the block.
    """

    entry: int
    signature: bytes
    manifest: bytes
    leaves: list[tuple[int, bytes]]
    hashes: list[bytes]


class ProvenStatement(NamedTuple):
    """A statement as it stands in the evidence. An equivocation is no reading."""

    statement: Statement
    key: SignerKey
    entry: int
    leaf: int
    equivocation: bool


@dataclass(frozen=True, slots=True)
class VerifiedEvidence:
    """What a whole evidence file shows: its statements, and what is shown of each signer's completeness."""

    query: Query
    checkpoint: OpenedCheckpoint
    genesis: Genesis
    statements: int
    blocks: int
    signers: tuple[Completeness, ...]


def encode_head(head: EvidenceHead) -> bytes:
    """Return the content of the first frame."""
    return encode({0: CONTENT_EVIDENCE, 1: query_fields(head.query), 2: head.checkpoint, 3: head.genesis})


def parse_head(content: bytes) -> EvidenceHead:
    """Parse the first frame.

    Raises:
        VerificationError: OVERSIZE, CBOR_*, EVIDENCE_SHAPE, EVIDENCE_QUERY.
    """
    match decode(content, size_max=HEAD_SIZE_MAX):
        case {0: kind, 1: query, 2: bytes() as checkpoint, 3: bytes() as genesis, **others} if (
            not others and kind == CONTENT_EVIDENCE
        ):
            return EvidenceHead(parse_query(query), checkpoint, genesis)
    raise VerificationError(Reason.EVIDENCE_SHAPE, "the first frame is not type, query, checkpoint, genesis")


def encode_key(frame: KeyFrame) -> bytes:
    """Return the content of a key frame."""
    fields: dict[int, object] = {
        1: frame.registry_root,
        7: frame.enrolment,
        8: path_item(frame.in_registry),
    }
    if frame.rotations:
        fields[10] = list(frame.rotations)
    if frame.status != KeyStatus():
        fields[11] = status_item(frame.status)
    return encode(fields)


def parse_key(content: bytes) -> KeyFrame:
    """Parse a key frame.

    Raises:
        VerificationError: OVERSIZE, CBOR_*, EVIDENCE_SHAPE, PROOF_SHAPE.
    """
    match decode(content, size_max=KEY_SIZE_MAX):
        case {1: bytes() as root, 7: bytes() as enrolment, 8: path, **others} if others.keys() <= {10, 11}:
            rotations = parse_rotations(others[10]) if 10 in others else ()
            status = parse_status(others[11]) if 11 in others else KeyStatus()
            return KeyFrame(root, enrolment, parse_path(path), tuple(rotations), status)
    raise VerificationError(Reason.EVIDENCE_SHAPE, "a key frame is not root, enrolment, path and the rest")


def encode_admission(frame: AdmissionFrame) -> bytes:
    """Return the content of an admission frame."""
    return encode(
        {1: frame.registry_root, 2: frame.leaf_hash, 12: [frame.admission, path_item(frame.in_registry)]}
    )


def parse_admission(content: bytes) -> AdmissionFrame:
    """Parse an admission frame.

    Raises:
        VerificationError: OVERSIZE, CBOR_*, EVIDENCE_SHAPE, PROOF_SHAPE.
    """
    match decode(content, size_max=KEY_SIZE_MAX):
        case {1: bytes() as root, 2: bytes() as leaf_hash, 12: [bytes() as raw, path], **others} if (
            not others
        ):
            return AdmissionFrame(root, leaf_hash, raw, parse_path(path))
    raise VerificationError(Reason.EVIDENCE_SHAPE, "an admission frame is not root, leaf hash, admission")


def encode_block(frame: BlockFrame) -> bytes:
    """Return the content of a block frame."""
    parts = [
        _BLOCK_START.pack(frame.entry, frame.signature, len(frame.manifest)),
        frame.manifest,
        len(frame.leaves).to_bytes(2),
    ]
    for index, raw in frame.leaves:
        parts += _LEAF_START.pack(index, len(raw)), raw
    return b"".join([*parts, *frame.hashes])


def parse_block(content: bytes) -> BlockFrame:
    """Parse a block frame: its framing, and nothing in it.

    Raises:
        VerificationError: EVIDENCE_SHAPE.
    """
    size = len(content)
    if size < _BLOCK_START.size:
        raise VerificationError(Reason.EVIDENCE_SHAPE, "a block that is cut off")
    entry, signature, length = _BLOCK_START.unpack_from(content)
    at = _BLOCK_START.size + length
    manifest = content[_BLOCK_START.size : at]
    count = int.from_bytes(content[at : at + 2])
    at += 2
    leaves: list[tuple[int, bytes]] = []
    while len(leaves) < count and at + 4 <= size:
        leaf, length = _LEAF_START.unpack_from(content, at)
        start = at + 4
        at = start + length
        leaves.append((leaf, content[start:at]))
    if len(leaves) != count or not 0 < count < LEAVES_MAX or at > size or (size - at) % HASH_SIZE:
        raise VerificationError(Reason.EVIDENCE_SHAPE, "the framing of a block breaks")
    hashes = [content[start : start + HASH_SIZE] for start in range(at, size, HASH_SIZE)]
    return BlockFrame(entry, signature, manifest, leaves, hashes)


class _Signer:
    """What is remembered of a signer: its shard, and what statements there were."""

    __slots__ = ("shard", "statements")

    def __init__(self, issuer: str, shard: int) -> None:
        self.shard = shard
        self.statements = SignerStatements(issuer)


class _ShownKey(NamedTuple):
    """A key that a key frame has shown, and what every statement asks of it."""

    key: SignerKey
    public_key: bytes
    valid_from_ms: int
    is_plain: bool


class EvidenceCheck:
    """Verifies an evidence file in one pass.

    Args:
        read: Gives the file's bytes, at most so many at a time, none at its end.
        policy: What the checkpoint must satisfy.
        authorities: Who may enrol.
    """

    def __init__(self, read: Read, policy: Policy, authorities: Authorities) -> None:
        self._frames = read_frames(read)
        self._policy = policy
        self._authorities = authorities
        self._keys: dict[tuple[bytes, str, bytes], _ShownKey] = {}
        self._checked: dict[bytes, SignerKey] = {}
        self._admitted: dict[tuple[bytes, bytes], tuple[AdmissionRecord, Authority]] = {}
        self._signers: dict[str, _Signer] = {}
        self._parser = StatementParser()
        self._waiting: list[ProvenStatement] = []
        self._signatures: list[tuple[bytes, bytes, bytes]] = []
        self._statements = self._blocks = 0
        self._result: VerifiedEvidence | None = None

    def statements(self) -> Iterator[ProvenStatement]:
        """Yield every statement. None of them is proven before the last one has been taken.

        Raises:
            VerificationError: With the reason of the first check that fails.
        """
        try:
            yield from self._take_frames()
        except VerificationError:
            self._check_signatures()  # Those still waiting came first.
            raise
        over = [self._signers[issuer].statements.over(self.query.span) for issuer in sorted(self._signers)]
        absent = [
            SignerStatements(name).over(self.query.span)
            for name in sorted(self.query.devices - self._signers.keys())
        ]
        self._result = VerifiedEvidence(
            self.query, self.checkpoint, self._genesis, self._statements, self._blocks, (*over, *absent)
        )

    def result(self) -> VerifiedEvidence:
        """Return what is proven, once all statements have been taken."""
        assert self._result is not None, "nothing is proven before the end"
        return self._result

    # Frames

    def _take_frames(self) -> Iterator[ProvenStatement]:
        self._open_head(*next(self._frames, (END, b"")))
        for kind, content in self._frames:
            if kind == BLOCK:
                self._take_block(content)
                if len(self._waiting) >= SIGNATURES_AT_ONCE:
                    yield from self._settle()
            elif kind == KEY:
                self._take_key(content)
            elif kind == ADMISSION:
                self._take_admission(content)
            else:
                self._end(kind, content)
                break
        else:
            raise VerificationError(Reason.EVIDENCE_SHAPE, "the last frame is missing")
        for _ in self._frames:  # That there is none checks the hash at the file's end.
            raise VerificationError(Reason.EVIDENCE_SHAPE, "a frame behind the last one")
        yield from self._settle()

    def _open_head(self, kind: int, content: bytes) -> None:
        if kind != HEAD:
            raise VerificationError(Reason.EVIDENCE_SHAPE, "the first frame is another one")
        head = parse_head(content)
        self.query = head.query
        self.checkpoint = opened = open_checkpoint(head.checkpoint, self._policy)
        self._genesis = genesis = parse_genesis(head.genesis)
        if genesis.origin != opened.checkpoint.origin:
            raise VerificationError(Reason.CHECKPOINT_ORIGIN, genesis.origin)
        if genesis.authorities_hash != self._authorities.file_hash:
            raise VerificationError(Reason.GENESIS_SHAPE, "it names another authorities file")
        self._latest_ms = latest_arrival_ms(opened, self._authorities.bounds_s["cosign_delay_s"])
        self._log = ProvenLeaves(opened.checkpoint.size)
        self._log.add(0, hash_leaf(head.genesis), iter(()))
        self._form = EntryForm(key_id(opened.log.public_key), opened.checkpoint.origin)

    def _take_key(self, content: bytes) -> None:
        frame = parse_key(content)
        known = hash_leaf(encode([frame.enrolment, *frame.rotations]))
        key = self._checked.get(known)
        if key is None:
            key = check_signer(frame.enrolment, frame.rotations, self._authorities)
            remember(self._checked, known, key)
        states = self.query.shipments and key.record.kind in ROLE_KINDS
        if not states and not self.query.wants_signer(key.record.issuer, key.enrolment.area):
            raise VerificationError(Reason.EVIDENCE_QUERY, f"nobody asked for {key.record.issuer}")
        key = with_status(key, frame.status)
        check_recorded(key.record, frame.in_registry, frame.registry_root)
        record = key.record
        shown = _ShownKey(key, record.public_key, record.valid_from_s * 1000, record.is_plain)
        remember(self._keys, (frame.registry_root, *record.place), shown)

    def _take_admission(self, content: bytes) -> None:
        frame = parse_admission(content)
        authority, record = check_admission(frame.admission, frame.leaf_hash, self._authorities)
        check_recorded(record, frame.in_registry, frame.registry_root)
        remember(self._admitted, (frame.registry_root, frame.leaf_hash), (record, authority))

    def _take_block(self, content: bytes) -> None:
        frame = parse_block(content)
        manifest = read_place(frame.manifest)
        size = manifest.accepted + 1
        if size > LEAVES_MAX:
            raise VerificationError(Reason.BLOCK_SHAPE, f"{size} leaves")
        if manifest.arrival_last_ms > self._latest_ms:
            raise VerificationError(Reason.ARRIVAL_LATE, f"arrived at {manifest.arrival_last_ms} ms")
        hashes = iter(frame.hashes)
        self._log.skip(frame.entry, hashes)
        manifest_hash = hash_leaf(frame.manifest)
        block = ProvenLeaves(size)
        block.add(0, manifest_hash, hashes)
        for leaf, raw in frame.leaves:
            leaf_hash = hash_leaf(raw)
            block.add(leaf, leaf_hash, hashes)
            equivocation = leaf in manifest.equivocations
            statement, key = self._find_signer(raw, leaf_hash, manifest)
            self._waiting.append(ProvenStatement(statement, key, frame.entry, leaf, equivocation))
            self._place(statement, leaf_hash, manifest.shard, equivocation=equivocation)
        root = block.root(hashes)
        entry = self._form.encode(manifest.shard, manifest.height, manifest_hash, size, root, frame.signature)
        self._log.add(frame.entry, hash_leaf(entry), hashes)
        self._blocks += 1

    def _end(self, kind: int, content: bytes) -> None:
        if kind != END or len(content) % HASH_SIZE:
            raise VerificationError(Reason.EVIDENCE_SHAPE, "a frame of no kind that there is")
        hashes = (content[at : at + HASH_SIZE] for at in range(0, len(content), HASH_SIZE))
        if self._log.root(hashes) != self.checkpoint.checkpoint.root:
            raise VerificationError(Reason.ROOT_MISMATCH, "what is here does not make up the log")

    # Statements

    def _find_signer(
        self, raw: bytes, leaf_hash: bytes, manifest: ManifestPlace
    ) -> tuple[Statement, SignerKey]:
        """Parse a statement and find the key that may have signed it."""
        statement = self._parser.parse(raw)
        about_shipment = statement.content_type == CONTENT_SHIPMENT
        if about_shipment and statement.subject not in self.query.shipments:
            raise VerificationError(Reason.EVIDENCE_QUERY, f"nobody asked for {statement.subject}")
        if not about_shipment and statement.content_type != CONTENT_SENML:
            raise VerificationError(Reason.STATEMENT_CONTENT_TYPE, str(statement.content_type))
        shown = self._keys.get((manifest.registry_root, statement.issuer, statement.kid))
        if shown is None:
            raise VerificationError(Reason.KEY_UNKNOWN, statement.issuer)
        if shown.valid_from_ms > manifest.arrival_last_ms:
            raise VerificationError(Reason.KEY_NOT_YET_VALID, statement.issuer)
        if not shown.is_plain:
            self._check_span(statement, shown.key, leaf_hash, manifest.registry_root)
        if about_shipment:
            check_content(statement, shown.key.record.kind)
        message = signing_input(statement.protected, statement.payload)
        self._signatures.append((shown.public_key, message, statement.signature))
        return statement, shown.key

    def _place(self, statement: Statement, leaf_hash: bytes, shard: int, *, equivocation: bool) -> None:
        """Put a statement among its signer's; of those who state about shipments, others are elsewhere."""
        if statement.content_type == CONTENT_SHIPMENT:
            if shard_of(statement.issuer, self._genesis.shards) != shard:
                raise VerificationError(Reason.SHARD_WRONG, statement.issuer)
            self._statements += 1
            return
        signer = self._signers.get(statement.issuer) or self._add_signer(statement.issuer)
        if signer.shard != shard:
            raise VerificationError(Reason.SHARD_WRONG, statement.issuer)
        times_us = pack_times_us(statement.payload, statement.issuer)
        if equivocation:
            signer.statements.add_equivocation(statement.epoch, statement.sequence)
        else:
            signer.statements.add(
                statement.epoch, statement.sequence, statement.previous, leaf_hash, *times_us
            )
        self._statements += 1

    def _settle(self) -> Iterator[ProvenStatement]:
        """Yield the statements that wait for it, once their signatures have been checked."""
        self._check_signatures()
        waiting, self._waiting = self._waiting, []
        yield from waiting

    def _check_signatures(self) -> None:
        # Many in a row: libsodium's tables stay in the processor's cache.
        for public_key, message, signature in self._signatures:
            verify(public_key, message, signature)
        self._signatures.clear()

    def _check_span(self, statement: Statement, key: SignerKey, leaf_hash: bytes, root: bytes) -> None:
        """Check that a key which was rotated or revoked may sign this statement, or that it is let in."""
        try:
            key.record.check_admits((statement.epoch, statement.sequence))
        except VerificationError:
            admitted = self._admitted.get((root, leaf_hash))
            if admitted is None:
                raise
            check_admitted(*admitted, key)

    def _add_signer(self, issuer: str) -> _Signer:
        if len(self._signers) == SIGNERS_MAX:
            raise VerificationError(Reason.OVERSIZE, f"more than {SIGNERS_MAX} signers")
        signer = self._signers[issuer] = _Signer(issuer, shard_of(issuer, self._genesis.shards))
        return signer


def remember(memory: dict[_K, _V], key: _K, value: _V) -> None:
    """Put a value into a memory that forgets the oldest."""
    memory.pop(key, None)
    if len(memory) == KEYS_MAX:
        del memory[next(iter(memory))]
    memory[key] = value
