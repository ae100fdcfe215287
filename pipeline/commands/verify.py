"""`cityproof verify`: check proofs offline, against a policy and an authorities file and nothing else."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pipeline.commands.evidence_report import (
    describe_equivocation,
    describe_evidence,
    equivocation_lines,
    evidence_lines,
)
from pipeline.commands.progress import Progress, progress_bar
from pipeline.identity.authorities import Authorities, parse_authorities
from pipeline.log.policy import Policy, parse_policy
from pipeline.verify.equivocation import (
    CONTENT_EQUIVOCATION,
    EQUIVOCATION_SIZE_MAX,
    verify_equivocation,
)
from pipeline.verify.evidence import EvidenceCheck, ProvenStatement, VerifiedEvidence
from pipeline.verify.frames import FIRST_LINE, Read
from pipeline.verify.point import VerifiedPoint, verify_point
from pipeline.wire.errors import InputError, VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.shipment import Judged

VALID, INVALID, UNUSABLE = 0, 1, 2
RECOGNISED_SIZE = 64  # A file's first bytes say what it is.


def load_policy(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        InputError: It cannot be read, or is none.
    """
    remedy = "Name the policy.txt that you trust; the demo leaves one in its folder."
    try:
        return parse_policy(path.read_bytes())
    except OSError as error:
        raise InputError("--policy", f"cannot read {path}: {error.strerror}", remedy) from error
    except VerificationError as error:
        raise InputError("--policy", f"{path}: {error}", remedy) from error


def load_authorities(path: Path) -> Authorities:
    """Read an authorities file.

    Raises:
        InputError: It cannot be read, or is none.
    """
    remedy = "Name the authorities.txt that you trust; the demo leaves one in its folder."
    try:
        return parse_authorities(path.read_bytes())
    except OSError as error:
        raise InputError("--authorities", f"cannot read {path}: {error.strerror}", remedy) from error
    except VerificationError as error:
        raise InputError("--authorities", f"{path}: {error}", remedy) from error


def beside(proofs: Sequence[Path], name: str) -> Path:
    """Return the trusted file of this name that stands nearest: beside the first proof, above it, or here."""
    folders = [proofs[0].parent, proofs[0].absolute().parent.parent, Path()]
    return next((folder / name for folder in folders if (folder / name).is_file()), Path(name))


def describe(path: Path, point: VerifiedPoint) -> dict[str, object]:
    """Return what a valid proof shows, for `--json`."""
    record, statement, opened = point.record, point.statement, point.checkpoint
    return {
        "file": str(path),
        "object": "point proof",
        "valid": True,
        "device": statement.issuer,
        "subject": statement.subject,
        "kind": point.enrolment.kind,
        "origin_of_data": point.enrolment.origin,
        "quantity": record.quantity,
        "value": record.value,
        "unit": record.unit,
        "time": _iso(record.time_s),
        "epoch": statement.epoch,
        "sequence": statement.sequence,
        "enrolled_by": point.authority,
        "rotated_by": list(point.rotated_by),
        "admitted_by": point.admitted_by,
        "registry_state": point.manifest.registry_blocks,
        "log": opened.checkpoint.origin,
        "entry": point.entry,
        "leaf": point.leaf,
        "size": opened.checkpoint.size,
        "arrived": _iso(point.manifest.arrival_last_ms / 1000),
        "cosigned": [{"witness": c.witness, "time": _iso(c.time_s)} for c in opened.cosignatures],
    }


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _key_history(found: dict[str, object]) -> str:
    """Say what became of the key by the time the statement was taken in."""
    rotated_by = found["rotated_by"]
    assert isinstance(rotated_by, list)
    rotations = "".join(f"key rotated by {name}, " for name in rotated_by)
    if found["admitted_by"] is None:
        return f"{rotations}not revoked at registry state {found['registry_state']}"
    return f"{rotations}its time was over, admitted by {found['admitted_by']}"


def _point_lines(found: dict[str, object]) -> Iterator[str]:
    """Yield what people are told of a valid proof."""
    yield f"{found['quantity']} = {found['value']} {found['unit']} at {found['time']}"
    yield f"signed by {found['device']} (epoch {found['epoch']}, sequence {found['sequence']})"
    yield f"enrolled by {found['enrolled_by']}, data {found['origin_of_data']}"
    yield _key_history(found)
    cosigned = found["cosigned"]
    assert isinstance(cosigned, list)
    names = ", ".join(c["witness"] for c in cosigned)
    yield f"entry {found['entry']}, leaf {found['leaf']} of {found['log']} at size {found['size']}"
    yield f"cosigned by {names or 'nobody (the policy asks for none)'}"


def run(
    files: Sequence[Path], policy_path: Path | None, authorities_path: Path | None, *, as_json: bool
) -> int:
    """Verify each file. Exit 0: all valid; 1: one is invalid; 2: one could not be checked."""
    policy = load_policy(policy_path or beside(files, "policy.txt"))
    authorities = load_authorities(authorities_path or beside(files, "authorities.txt"))
    results = [_verify_one(path, policy, authorities, shown=not as_json) for path in files]
    if as_json:
        print(json.dumps([found for _, found, _ in results], ensure_ascii=False, indent=1))
    else:
        print("\n".join(line for _, _, lines in results for line in lines))
    return max((code for code, _, _ in results), key=[VALID, INVALID, UNUSABLE].index)


def _verify_one(
    path: Path, policy: Policy, authorities: Authorities, *, shown: bool
) -> tuple[int, dict[str, object], list[str]]:
    """Return how it ended, what is shown for `--json`, and what people are told."""
    try:
        with path.open("rb") as file:
            return VALID, *_verify_file(path, file, policy, authorities, shown=shown)
    except OSError as error:
        problem = str(error.strerror)
        found: dict[str, object] = {"file": str(path), "valid": None, "detail": problem}
        return UNUSABLE, found, [f"UNUSABLE {path}: cannot read: {problem}"]
    except VerificationError as error:
        reason, detail = error.reason.value, error.detail or error.reason.meaning
        found = {"file": str(path), "valid": False, "reason": reason, "detail": detail}
        return INVALID, found, [f"INVALID {path}: {reason}: {detail}"]


def _verify_file(
    path: Path, file: BinaryIO, policy: Policy, authorities: Authorities, *, shown: bool
) -> tuple[dict[str, object], list[str]]:
    """Verify a file as what its first bytes say that it is."""
    beginning = file.read(RECOGNISED_SIZE)
    file.seek(0)
    if beginning.startswith(FIRST_LINE):
        size = path.stat().st_size
        with progress_bar("verify", "bytes", shown=shown) as progress:
            check = EvidenceCheck(_reporting(file, size, progress), policy, authorities)
            kept = [proven for proven in check.statements() if check.query.shipments]
        verified = check.result()
        judged = [one for name in sorted(check.query.shipments) for one in _judge_again(name, kept, verified)]
        found: dict[str, object] = describe_evidence(path, verified)
        if judged:
            found["verdicts"] = judged
        lines = [f"{one['verdict']}, judged again from what is here: {one['shipment']}" for one in judged]
        return found, _valid(path, [*evidence_lines(verified), *lines])
    data = file.read(EQUIVOCATION_SIZE_MAX + 1)
    if CONTENT_EQUIVOCATION.encode() in beginning:
        found = describe_equivocation(path, verify_equivocation(data, policy, authorities))
        return found, _valid(path, equivocation_lines(found))
    found = describe(path, verify_point(data, policy, authorities))
    return found, _valid(path, _point_lines(found))


def _judge_again(
    name: str, statements: Sequence[ProvenStatement], verified: VerifiedEvidence
) -> Iterator[dict[str, str]]:
    """Judge again what every verdict that counts was given on.

    Raises:
        VerificationError: VERDICT_MISMATCH: one of them is false, and by whom.
    """
    from pipeline.shipping.inputs import read_inputs
    from pipeline.shipping.judged import judge_again

    inputs = read_inputs(name, statements)
    shipment = inputs.shipment()
    for event in shipment.verdicts if shipment else ():
        stated = event.stated
        assert isinstance(stated, Judged), "verdicts are"
        checkpoint = verified.checkpoint.checkpoint
        if stated.size == checkpoint.size and stated.root != checkpoint.root:
            raise VerificationError(Reason.VERDICT_MISMATCH, f"{event.signer} names another root")
        try:
            judgement = judge_again(event, inputs)
        except VerificationError as error:
            raise VerificationError(error.reason, f"the verdict of {event.signer} {error.detail}") from error
        signer = {"signer": event.signer, "leaf_hash": event.leaf_hash.hex()}
        yield {"shipment": name, "verdict": judgement.verdict.value, **signer}


def _reporting(file: BinaryIO, size: int, progress: Progress) -> Read:
    """Return a file's `read` that tells how far it has come."""

    def read(wanted: int) -> bytes:
        data = file.read(wanted)
        progress(file.tell(), size)
        return data

    return read


def _valid(path: Path, lines: Iterable[str]) -> list[str]:
    return [f"VALID   {path}", *(f"        {line}" for line in lines)]
