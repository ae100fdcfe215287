"""Point proof: one stored value, traced from the device's signature to a cosigned checkpoint.

`.proof`, `application/vnd.cityproof.proof+cbor`: a CBOR map of everything that a verifier needs beside a
policy and an authorities file. Verification is offline and holds no state.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.identity.authorities import Authorities
from pipeline.identity.registry import check_enrolment, record_of
from pipeline.log.block import SignedBlock, parse_signed_block
from pipeline.log.checkpoint import OpenedCheckpoint, open_checkpoint
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.log.merkle import check_inclusion, hash_leaf
from pipeline.log.policy import Policy
from pipeline.wire.cbor import decode, encode
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import key_id
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import Record, decode_pack
from pipeline.wire.statement import CONTENT_SENML, Statement, parse_statement, verify_statement

PROOF_SIZE_MAX = 128 * 1024
CONTENT_PROOF = "application/vnd.cityproof.proof+cbor"


@dataclass(frozen=True, slots=True)
class Path:
    """Where a leaf stands in a tree, and the sibling hashes up to its root."""

    index: int
    size: int
    hashes: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class PointProof:
    """What a `.proof` file holds.

    Attributes:
        statement: What the device signed.
        record: Index of the point's record among the statement's resolved records.
        in_block: The statement's place in its block.
        manifest: Leaf 0 of the block.
        signed_block: The log's entry for the block.
        in_log: The entry's place in the log at the checkpoint's size.
        enrolment: The authority's statement that enrolled the device's key.
        in_registry: The key record's path to the registry root that the manifest names. As nobody signs the
            registry's size, it is written as a path in a full tree: size is 2 to the number of hashes, bit n
            of the index says that hash n is the left one.
        checkpoint: The cosigned checkpoint.
    """

    statement: bytes
    record: int
    in_block: Path
    manifest: bytes
    signed_block: bytes
    in_log: Path
    enrolment: bytes
    in_registry: Path
    checkpoint: bytes


@dataclass(frozen=True, slots=True)
class VerifiedPoint:
    """What a valid proof shows: this key's holder signed this; it was in the log by the cosigned time."""

    statement: Statement
    record: Record
    enrolment: Enrolment
    authority: str
    manifest: Manifest
    block: SignedBlock
    checkpoint: OpenedCheckpoint
    entry: int
    leaf: int


def encode_proof(proof: PointProof) -> bytes:
    """Return the bytes of a `.proof` file."""
    return encode(
        {
            0: CONTENT_PROOF,
            1: proof.statement,
            2: proof.record,
            3: _path_item(proof.in_block),
            4: proof.manifest,
            5: proof.signed_block,
            6: _path_item(proof.in_log),
            7: proof.enrolment,
            8: _path_item(proof.in_registry),
            9: proof.checkpoint,
        }
    )


def parse_proof(data: bytes) -> PointProof:
    """Parse a `.proof` file; nothing is verified.

    Raises:
        VerificationError: OVERSIZE, CBOR_*, PROOF_SHAPE.
    """
    match decode(data, size_max=PROOF_SIZE_MAX):
        case {
            0: content_type,
            1: bytes() as statement,
            2: int() as record,
            3: in_block,
            4: bytes() as manifest,
            5: bytes() as signed_block,
            6: in_log,
            7: bytes() as enrolment,
            8: in_registry,
            9: bytes() as checkpoint,
            **others,
        } if content_type == CONTENT_PROOF and not others and type(record) is int and record >= 0:
            paths = (_parse_path(in_block), _parse_path(in_log), _parse_path(in_registry))
            return PointProof(
                statement, record, paths[0], manifest, signed_block, paths[1], enrolment, paths[2], checkpoint
            )
    raise VerificationError(Reason.PROOF_SHAPE)


def _path_item(path: Path) -> list[object]:
    return [path.index, path.size, list(path.hashes)]


def _parse_path(item: object) -> Path:
    match item:
        case [int() as index, int() as size, list() as hashes] if (
            type(index) is int and type(size) is int and all(isinstance(node, bytes) for node in hashes)
        ):
            return Path(index, size, hashes)
    raise VerificationError(Reason.PROOF_SHAPE, "a path is not [index, size, hashes]")


class PointCheck:
    """The verification, one step after another; each step needs what those before it found.

    `steps` yields (name, what was found) so that a person can follow; `verify_point` runs them all.
    """

    def __init__(self, proof: PointProof, policy: Policy, authorities: Authorities) -> None:
        self._proof = proof
        self._policy = policy
        self._authorities = authorities

    def steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Yield every step's name and the function that runs it and says what it found."""
        yield "checkpoint", self._check_checkpoint
        yield "entry in log", self._check_entry
        yield "manifest", self._check_manifest
        yield "statement in block", self._check_leaf
        yield "enrolment", self._check_enrolment
        yield "key in registry", self._check_registry
        yield "signature", self._check_signature
        yield "record", self._check_record

    def result(self) -> VerifiedPoint:
        """Return what was verified, once every step has run."""
        return VerifiedPoint(
            self._statement,
            self._record,
            self._enrolment,
            self._authority,
            self._manifest,
            self._block,
            self._opened,
            self._proof.in_log.index,
            self._proof.in_block.index,
        )

    def _check_checkpoint(self) -> str:
        self._opened = open_checkpoint(self._proof.checkpoint, self._policy)
        names = ", ".join(cosignature.witness for cosignature in self._opened.cosignatures)
        checkpoint = self._opened.checkpoint
        return (
            f"{checkpoint.origin}, size {checkpoint.size}, cosigned by {names or 'nobody (none asked for)'}"
        )

    def _check_entry(self) -> str:
        path, checkpoint = self._proof.in_log, self._opened.checkpoint
        if path.size != checkpoint.size:
            raise VerificationError(Reason.SIZE_ORDER, "the path in the log is for another size")
        leaf_hash = hash_leaf(self._proof.signed_block)
        check_inclusion(leaf_hash, path.index, path.size, path.hashes, checkpoint.root)
        return f"entry {path.index}"

    def _check_manifest(self) -> str:
        # The entry's own signature need not be checked: it is in the log, byte for byte.
        self._block = parse_signed_block(self._proof.signed_block)
        if self._block.origin != self._opened.checkpoint.origin:
            raise VerificationError(Reason.CHECKPOINT_ORIGIN, self._block.origin)
        if hash_leaf(self._proof.manifest) != self._block.manifest_hash:
            raise VerificationError(Reason.MANIFEST_MISMATCH)
        self._manifest = decode_manifest(self._proof.manifest)
        if (self._manifest.shard, self._manifest.height) != (self._block.shard, self._block.height):
            raise VerificationError(Reason.BLOCK_HEIGHT, "manifest and entry name different blocks")
        return f"shard {self._manifest.shard}, height {self._manifest.height}"

    def _check_leaf(self) -> str:
        path = self._proof.in_block
        if path.size != self._manifest.accepted + 1:
            raise VerificationError(Reason.BLOCK_COUNTS, "the path in the block is for another size")
        leaf_hash = hash_leaf(self._proof.statement)
        check_inclusion(leaf_hash, path.index, path.size, path.hashes, self._block.root)
        if path.index in self._manifest.equivocations:
            raise VerificationError(Reason.EQUIVOCATION, "the log keeps it as evidence, not as a reading")
        return f"leaf {path.index} of {path.size}"

    def _check_enrolment(self) -> str:
        statement = parse_statement(self._proof.enrolment)
        self._enrolment = check_enrolment(statement, self._authorities)
        self._authority = statement.issuer
        return f"{self._enrolment.issuer}, enrolled by {self._authority}"

    def _check_registry(self) -> str:
        path = self._proof.in_registry
        if path.size != 1 << len(path.hashes):
            raise VerificationError(Reason.SIZE_ORDER, "the path in the registry is not that of a full tree")
        leaf = record_of(self._enrolment, hash_leaf(self._proof.enrolment)).leaf()
        check_inclusion(hash_leaf(leaf), path.index, path.size, path.hashes, self._manifest.registry_root)
        if self._enrolment.valid_from_s * 1000 > self._manifest.arrival_last_ms:
            raise VerificationError(Reason.KEY_NOT_YET_VALID, "it came before the key's validity began")
        return f"key {key_id(self._enrolment.public_key).hex()}"

    def _check_signature(self) -> str:
        self._statement = statement = parse_statement(self._proof.statement)
        if (statement.issuer, statement.kid) != (
            self._enrolment.issuer,
            key_id(self._enrolment.public_key),
        ):
            raise VerificationError(Reason.PROOF_REGISTRY, "the enrolment is another signer's")
        verify_statement(statement, self._enrolment.public_key)
        return f"epoch {statement.epoch}, sequence {statement.sequence}"

    def _check_record(self) -> str:
        if self._statement.content_type != CONTENT_SENML:
            raise VerificationError(Reason.STATEMENT_CONTENT_TYPE, str(self._statement.content_type))
        records = decode_pack(self._statement.payload, self._statement.issuer)
        if self._proof.record >= len(records):
            raise VerificationError(Reason.PROOF_RECORD, f"{self._proof.record} of {len(records)}")
        self._record = record = records[self._proof.record]
        return f"{record.quantity} = {record.value!r} {record.unit}"


def verify_point(data: bytes, policy: Policy, authorities: Authorities) -> VerifiedPoint:
    """Verify a point proof.

    Raises:
        VerificationError: With the reason of the first step that fails.
    """
    check = PointCheck(parse_proof(data), policy, authorities)
    for _, step in check.steps():
        step()
    return check.result()
