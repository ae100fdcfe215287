"""Evidence that convicts: two different statements under one identity, signed with one key.

`.equivocation`, `application/vnd.cityproof.equivocation+cbor`. The signatures alone convict: a signer, or
whoever has its key, signed two things where it may sign one. That one or both are in the log adds when.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.identity.authorities import Authorities
from pipeline.identity.changes import find_authority
from pipeline.log.checkpoint import OpenedCheckpoint, open_checkpoint
from pipeline.log.manifest import Manifest
from pipeline.log.merkle import hash_leaf
from pipeline.log.policy import Policy
from pipeline.verify.place import check_entry, check_leaf, check_manifest
from pipeline.verify.signer import Path, check_signer, parse_path, parse_rotations, path_item
from pipeline.wire.cbor import decode, encode
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import Statement, parse_statement, verify_statement

CONTENT_EQUIVOCATION = "application/vnd.cityproof.equivocation+cbor"
EQUIVOCATION_SIZE_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class LogPlace:
    """A statement's place in the log, in the parts of a point proof."""

    in_block: Path
    manifest: bytes
    signed_block: bytes
    in_log: Path


@dataclass(frozen=True, slots=True)
class Equivocation:
    """What an `.equivocation` file holds.

    Attributes:
        statements: The two, the one with the smaller leaf hash first.
        places: Where each stands in the log, None where that is not shown.
        enrolment: The authority's statement that enrolled the signer, None where it is an authority itself.
        rotations: The statements by which the key took over from the enrolled one, oldest first.
        checkpoint: The cosigned checkpoint, None where no place is shown.
    """

    statements: tuple[bytes, bytes]
    places: tuple[LogPlace | None, LogPlace | None] = (None, None)
    enrolment: bytes | None = None
    rotations: Sequence[bytes] = ()
    checkpoint: bytes | None = None


@dataclass(frozen=True, slots=True)
class VerifiedEquivocation:
    """What is shown: the holder of `issuer`'s key signed both.

    `enrolled_by` is None of an authority; `entries` and `manifests` are None of a statement whose place in
    the log is not shown.
    """

    statements: tuple[Statement, Statement]
    enrolled_by: str | None
    checkpoint: OpenedCheckpoint | None
    entries: tuple[int | None, int | None]
    manifests: tuple[Manifest | None, Manifest | None]


def make_equivocation(
    first: bytes,
    second: bytes,
    *,
    places: tuple[LogPlace | None, LogPlace | None] = (None, None),
    enrolment: bytes | None = None,
    rotations: Sequence[bytes] = (),
    checkpoint: bytes | None = None,
) -> Equivocation:
    """Return the evidence of two statements, in the one order that there is."""
    if hash_leaf(first) > hash_leaf(second):
        first, second, places = second, first, (places[1], places[0])
    return Equivocation((first, second), places, enrolment, rotations, checkpoint)


def encode_equivocation(equivocation: Equivocation) -> bytes:
    """Return the bytes of an `.equivocation` file."""
    fields: dict[int, object] = {0: CONTENT_EQUIVOCATION}
    for key, raw, place in zip((1, 2), equivocation.statements, equivocation.places, strict=True):
        fields[key] = raw
        if place is not None:
            paths = path_item(place.in_block), path_item(place.in_log)
            fields[key + 2] = [paths[0], place.manifest, place.signed_block, paths[1]]
    if equivocation.enrolment is not None:
        fields[7] = equivocation.enrolment
    if equivocation.checkpoint is not None:
        fields[9] = equivocation.checkpoint
    if equivocation.rotations:
        fields[10] = list(equivocation.rotations)
    return encode(fields)


def parse_equivocation(data: bytes) -> Equivocation:
    """Parse an `.equivocation` file; nothing is verified.

    Raises:
        VerificationError: OVERSIZE, CBOR_*, EQUIVOCATION_SHAPE, PROOF_SHAPE.
    """
    match decode(data, size_max=EQUIVOCATION_SIZE_MAX):
        case {0: kind, 1: bytes() as first, 2: bytes() as second, **others} if (
            kind == CONTENT_EQUIVOCATION
            and others.keys() <= {3, 4, 7, 9, 10}
            and (9 in others) == (3 in others or 4 in others)
            and (7 in others or 10 not in others)
        ):
            return Equivocation(
                (first, second),
                (_parse_place(others, 3), _parse_place(others, 4)),
                _parse_part(others, 7),
                parse_rotations(others[10]) if 10 in others else (),
                _parse_part(others, 9),
            )
    raise VerificationError(Reason.EQUIVOCATION_SHAPE)


def _parse_part(fields: Mapping[object, object], key: int) -> bytes | None:
    part = fields.get(key)
    if key not in fields or isinstance(part, bytes):
        return part if isinstance(part, bytes) else None
    raise VerificationError(Reason.EQUIVOCATION_SHAPE, "enrolment and checkpoint are byte strings")


def _parse_place(fields: Mapping[object, object], key: int) -> LogPlace | None:
    if key not in fields:
        return None
    match fields[key]:
        case [in_block, bytes() as manifest, bytes() as signed_block, in_log]:
            return LogPlace(parse_path(in_block), manifest, signed_block, parse_path(in_log))
    raise VerificationError(Reason.EQUIVOCATION_SHAPE, "a place is not path, manifest, signed block, path")


def verify_equivocation(data: bytes, policy: Policy, authorities: Authorities) -> VerifiedEquivocation:
    """Verify the evidence of an equivocation.

    Raises:
        VerificationError: EQUIVOCATION_NONE, where the two do not contradict one another; EQUIVOCATION_SHAPE,
            PROOF_REGISTRY, KEY_UNKNOWN, AUTHORITY_UNKNOWN, SIGNATURE_INVALID; as `check_signer`,
            `open_checkpoint` and the checks of a place.
    """
    evidence = parse_equivocation(data)
    first, second = (parse_statement(raw) for raw in evidence.statements)
    if _identity(first) != _identity(second) or first.raw == second.raw:
        raise VerificationError(Reason.EQUIVOCATION_NONE)
    if hash_leaf(first.raw) > hash_leaf(second.raw):
        raise VerificationError(Reason.EQUIVOCATION_SHAPE, "the statements are not in their order")
    public_key, enrolled_by = _find_key(evidence, first, authorities)
    for statement in (first, second):
        verify_statement(statement, public_key)
    opened = open_checkpoint(evidence.checkpoint, policy) if evidence.checkpoint is not None else None
    manifests = [
        _check_place(raw, place, opened)
        for raw, place in zip(evidence.statements, evidence.places, strict=True)
    ]
    entries = [place.in_log.index if place else None for place in evidence.places]
    return VerifiedEquivocation(
        (first, second), enrolled_by, opened, (entries[0], entries[1]), (manifests[0], manifests[1])
    )


def _identity(statement: Statement) -> tuple[str, bytes, int, int]:
    return statement.issuer, statement.kid, statement.epoch, statement.sequence


def _find_key(
    evidence: Equivocation, statement: Statement, authorities: Authorities
) -> tuple[bytes, str | None]:
    """Return the signer's public key, and who enrolled it unless it is an authority itself."""
    if evidence.enrolment is None:
        return find_authority(statement, authorities).public_key, None
    signer = check_signer(evidence.enrolment, evidence.rotations, authorities)
    if signer.record.place != (statement.issuer, statement.kid):
        raise VerificationError(Reason.PROOF_REGISTRY, "the enrolment is another signer's")
    return signer.record.public_key, signer.authority


def _check_place(raw: bytes, place: LogPlace | None, opened: OpenedCheckpoint | None) -> Manifest | None:
    if place is None or opened is None:
        return None
    check_entry(place.signed_block, place.in_log, opened)
    block, manifest = check_manifest(place.manifest, place.signed_block, opened)
    check_leaf(raw, place.in_block, block, manifest)
    return manifest
