"""Who signed: from an authority's enrolment over rotations to the record in the registry that a block names.

Point proofs and evidence carry the same parts for it and check them here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.identity.authorities import Authorities, Authority
from pipeline.identity.changes import check_change, check_scope
from pipeline.identity.records import AdmissionRecord, KeyRecord
from pipeline.identity.registry import check_start
from pipeline.log.merkle import HASH_SIZE, check_inclusion, hash_leaf
from pipeline.wire.admission import Admission
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.rotation import Rotation, SequencePlace, check_rotation_signatures
from pipeline.wire.statement import is_counter, parse_statement


@dataclass(frozen=True, slots=True)
class Path:
    """Where a leaf stands in a tree, and the sibling hashes up to its root."""

    index: int
    size: int
    hashes: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """What became of a key by the registry state that a block names: its end, and its revocation's hash."""

    ends: SequencePlace | None = None
    revocation: bytes = b""


def path_item(path: Path) -> list[object]:
    """Return a path as it stands in proofs."""
    return [path.index, path.size, list(path.hashes)]


def parse_path(item: object) -> Path:
    """Return the path of such an item.

    Raises:
        VerificationError: PROOF_SHAPE.
    """
    match item:
        case [int() as index, int() as size, list() as hashes] if (
            type(index) is int and type(size) is int and all(isinstance(node, bytes) for node in hashes)
        ):
            return Path(index, size, hashes)
    raise VerificationError(Reason.PROOF_SHAPE, "a path is not [index, size, hashes]")


def status_item(status: KeyStatus) -> list[object]:
    """Return a key's status as it stands in proofs, where it is not that of a plain key."""
    return [list(status.ends or ()), status.revocation]


def parse_status(item: object) -> KeyStatus:
    """Return the status of such an item.

    Raises:
        VerificationError: PROOF_SHAPE.
    """
    match item:
        case [[], bytes() as revocation] if len(revocation) == HASH_SIZE:
            return KeyStatus(None, revocation)
        case [[epoch, sequence], bytes() as revocation] if (
            is_counter(epoch) and is_counter(sequence) and len(revocation) in {0, HASH_SIZE}
        ):
            return KeyStatus((epoch, sequence), revocation)
    raise VerificationError(Reason.PROOF_SHAPE, "the key's status is not [ends, revocation]")


def parse_rotations(item: object) -> Sequence[bytes]:
    """Return the rotations' statements of such an item.

    Raises:
        VerificationError: PROOF_SHAPE.
    """
    if isinstance(item, list) and item and all(isinstance(raw, bytes) for raw in item):
        return item
    raise VerificationError(Reason.PROOF_SHAPE, "the rotations are not byte strings")


@dataclass(frozen=True, slots=True)
class SignerKey:
    """A signer's key as authorities' statements give it.

    Attributes:
        record: The key, as the registry has it.
        enrolment: What is known of the signer.
        authority: Who enrolled it.
        rotated_by: Who changed its key since, oldest first.
    """

    record: KeyRecord
    enrolment: Enrolment
    authority: str
    rotated_by: Sequence[str]


def check_signer(enrolment: bytes, rotations: Sequence[bytes], authorities: Authorities) -> SignerKey:
    """Follow a signer from its enrolment to the key it has after these rotations.

    Raises:
        VerificationError: As `check_change`; STATEMENT_CONTENT_TYPE, PROOF_REGISTRY, AUTHORITY_SCOPE,
            KEY_SPAN, ROTATION_SIGNATURE, POSSESSION_INVALID.
    """
    authority, change = check_change(parse_statement(enrolment), authorities)
    if not isinstance(change, Enrolment):
        raise VerificationError(Reason.STATEMENT_CONTENT_TYPE, "not an enrolment")
    record = KeyRecord.enrolled(change, hash_leaf(enrolment))
    rotated_by: list[str] = []
    for raw in rotations:
        rotating, rotation = check_change(parse_statement(raw), authorities)
        if not isinstance(rotation, Rotation):
            raise VerificationError(Reason.STATEMENT_CONTENT_TYPE, "not a rotation")
        if (rotation.issuer, rotation.old_kid) != record.place:
            raise VerificationError(Reason.PROOF_REGISTRY, "the rotation is of another key")
        check_scope(rotating, change.kind, change.area)
        check_start(rotation, record)
        check_rotation_signatures(rotation, rotating.issuer, record.public_key)
        record = record.rotated(rotation, hash_leaf(raw))
        rotated_by.append(rotating.issuer)
    return SignerKey(record, change, authority.issuer, rotated_by)


def with_status(key: SignerKey, status: KeyStatus) -> SignerKey:
    """Return the key with what became of it."""
    return replace(key, record=replace(key.record, ends=status.ends, revocation=status.revocation))


def check_recorded(record: KeyRecord | AdmissionRecord, path: Path, registry_root: bytes) -> None:
    """Check that the registry of this root has a record.

    Raises:
        VerificationError: SIZE_ORDER, HASH_SIZE, INDEX_OUTSIDE, ROOT_MISMATCH.
    """
    if path.size != 1 << len(path.hashes):
        raise VerificationError(Reason.SIZE_ORDER, "the path in the registry is not that of a full tree")
    check_inclusion(hash_leaf(record.leaf()), path.index, path.size, path.hashes, registry_root)


def check_admission(
    raw: bytes, leaf_hash: bytes, authorities: Authorities
) -> tuple[Authority, AdmissionRecord]:
    """Check that an authority lets the statement of this leaf hash in; return who, and the record of it.

    Raises:
        VerificationError: As `check_change`; STATEMENT_CONTENT_TYPE, PROOF_REGISTRY.
    """
    authority, change = check_change(parse_statement(raw), authorities)
    if not isinstance(change, Admission):
        raise VerificationError(Reason.STATEMENT_CONTENT_TYPE, "not an admission")
    if leaf_hash not in change.leaf_hashes:
        raise VerificationError(Reason.PROOF_REGISTRY, "the admission is of other statements")
    return authority, AdmissionRecord(change.issuer, leaf_hash, hash_leaf(raw))


def check_admitted(record: AdmissionRecord, authority: Authority, signer: SignerKey) -> None:
    """Check that an admission is of this signer's statements, by an authority that answers for it.

    Raises:
        VerificationError: PROOF_REGISTRY, AUTHORITY_SCOPE.
    """
    if record.issuer != signer.record.issuer:
        raise VerificationError(Reason.PROOF_REGISTRY, "the admission is of another signer's statements")
    check_scope(authority, signer.enrolment.kind, signer.enrolment.area)
