"""Point proof: one stored value, traced from the device's signature to a cosigned checkpoint.

`.proof`, `application/vnd.cityproof.proof+cbor`: a CBOR map of everything that a verifier needs beside a
policy and an authorities file. Verification is offline and holds no state.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.identity.authorities import Authorities
from pipeline.log.block import SignedBlock
from pipeline.log.checkpoint import OpenedCheckpoint, open_checkpoint
from pipeline.log.manifest import Manifest
from pipeline.log.merkle import hash_leaf
from pipeline.log.policy import Policy
from pipeline.verify.bounds import check_arrival
from pipeline.verify.place import check_entry, check_leaf, check_manifest
from pipeline.verify.signer import (
    KeyStatus,
    Path,
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
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import Record, decode_pack
from pipeline.wire.statement import (
    CONTENT_SENML,
    Statement,
    parse_statement,
    verify_statement,
)

PROOF_SIZE_MAX = 128 * 1024
CONTENT_PROOF = "application/vnd.cityproof.proof+cbor"


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
        enrolment: The authority's statement that enrolled the device, with this key or an earlier one.
        in_registry: The key record's path to the registry root that the manifest names. As nobody signs the
            registry's size, it is written as a path in a full tree: size is 2 to the number of hashes, bit n
            of the index says that hash n is the left one.
        checkpoint: The cosigned checkpoint.
        rotations: The statements by which the key took over from the enrolled one, oldest first.
        status: The key's end and revocation, as its record has them.
        admission: The statement that lets this one in in spite of them, and its record's path.
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
    rotations: Sequence[bytes] = ()
    status: KeyStatus = field(default_factory=KeyStatus)
    admission: tuple[bytes, Path] | None = None


@dataclass(frozen=True, slots=True)
class VerifiedPoint:
    """What a valid proof shows: this key's holder signed this; it was in the log by the cosigned time.

    `authority` enrolled the signer, `rotated_by` name who changed its key since, oldest first; `admitted_by`
    who let the statement in although the key was revoked or ended.
    """

    statement: Statement
    record: Record
    enrolment: Enrolment
    authority: str
    rotated_by: Sequence[str]
    admitted_by: str | None
    manifest: Manifest
    block: SignedBlock
    checkpoint: OpenedCheckpoint
    entry: int
    leaf: int


def encode_proof(proof: PointProof) -> bytes:
    """Return the bytes of a `.proof` file."""
    fields: dict[int, object] = {
        0: CONTENT_PROOF,
        1: proof.statement,
        2: proof.record,
        3: path_item(proof.in_block),
        4: proof.manifest,
        5: proof.signed_block,
        6: path_item(proof.in_log),
        7: proof.enrolment,
        8: path_item(proof.in_registry),
        9: proof.checkpoint,
    }
    if proof.rotations:
        fields[10] = list(proof.rotations)
    if proof.status != KeyStatus():
        fields[11] = status_item(proof.status)
    if proof.admission is not None:
        statement, path = proof.admission
        fields[12] = [statement, path_item(path)]
    return encode(fields)


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
        } if (
            content_type == CONTENT_PROOF
            and others.keys() <= {10, 11, 12}
            and type(record) is int
            and record >= 0
        ):
            return PointProof(
                statement=statement,
                record=record,
                in_block=parse_path(in_block),
                manifest=manifest,
                signed_block=signed_block,
                in_log=parse_path(in_log),
                enrolment=enrolment,
                in_registry=parse_path(in_registry),
                checkpoint=checkpoint,
                rotations=parse_rotations(others[10]) if 10 in others else (),
                status=parse_status(others[11]) if 11 in others else KeyStatus(),
                admission=_parse_admission(others[12]) if 12 in others else None,
            )
    raise VerificationError(Reason.PROOF_SHAPE)


def _parse_admission(item: object) -> tuple[bytes, Path]:
    match item:
        case [bytes() as statement, path]:
            return statement, parse_path(path)
    raise VerificationError(Reason.PROOF_SHAPE, "the admission is not [statement, path]")


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
        yield "key's span", self._check_span
        yield "record", self._check_record

    def result(self) -> VerifiedPoint:
        """Return what was verified, once every step has run."""
        return VerifiedPoint(
            self._statement,
            self._record,
            self._signer.enrolment,
            self._signer.authority,
            self._signer.rotated_by,
            self._admitted_by,
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
        check_entry(self._proof.signed_block, self._proof.in_log, self._opened)
        return f"entry {self._proof.in_log.index}"

    def _check_manifest(self) -> str:
        self._block, self._manifest = check_manifest(
            self._proof.manifest, self._proof.signed_block, self._opened
        )
        check_arrival(self._manifest, self._opened, self._authorities.bounds_s["cosign_delay_s"])
        return f"shard {self._manifest.shard}, height {self._manifest.height}"

    def _check_leaf(self) -> str:
        path = self._proof.in_block
        check_leaf(self._proof.statement, path, self._block, self._manifest)
        if path.index in self._manifest.equivocations:
            raise VerificationError(Reason.EQUIVOCATION, "the log keeps it as evidence, not as a reading")
        return f"leaf {path.index} of {path.size}"

    def _check_enrolment(self) -> str:
        self._signer = signer = check_signer(self._proof.enrolment, self._proof.rotations, self._authorities)
        rotated = "".join(f", key rotated by {name}" for name in signer.rotated_by)
        return f"{signer.enrolment.issuer}, enrolled by {signer.authority}{rotated}"

    def _check_registry(self) -> str:
        status, state = self._proof.status, self._manifest.registry_blocks
        self._signer = with_status(self._signer, status)
        self._key = key = self._signer.record
        check_recorded(key, self._proof.in_registry, self._manifest.registry_root)
        if key.valid_from_s * 1000 > self._manifest.arrival_last_ms:
            raise VerificationError(Reason.KEY_NOT_YET_VALID, "it came before the key's validity began")
        revoked = "revoked" if status.revocation else "not revoked"
        return f"key {key.place[1].hex()}, {revoked} at registry state {state}"

    def _check_signature(self) -> str:
        self._statement = statement = parse_statement(self._proof.statement)
        if (statement.issuer, statement.kid) != self._key.place:
            raise VerificationError(Reason.PROOF_REGISTRY, "the enrolment is another signer's")
        verify_statement(statement, self._key.public_key)
        return f"epoch {statement.epoch}, sequence {statement.sequence}"

    def _check_span(self) -> str:
        self._admitted_by: str | None = None
        try:
            self._key.check_admits((self._statement.epoch, self._statement.sequence))
        except VerificationError as error:
            if self._proof.admission is None:
                raise
            self._admitted_by = self._check_admission(*self._proof.admission)
            return f"{error.reason.value}, but admitted by {self._admitted_by}"
        if self._proof.admission is not None:
            raise VerificationError(Reason.PROOF_SHAPE, "an admission that is not needed")
        return "the key may sign this sequence"

    def _check_admission(self, raw: bytes, path: Path) -> str:
        """Check that an authority lets this very statement in; return the authority's name."""
        authority, record = check_admission(raw, hash_leaf(self._proof.statement), self._authorities)
        check_admitted(record, authority, self._signer)
        check_recorded(record, path, self._manifest.registry_root)
        return authority.issuer

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
