"""`cityproof verify`: check proofs offline, against a policy and an authorities file and nothing else."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipeline.identity.authorities import Authorities, parse_authorities
from pipeline.log.policy import Policy, parse_policy
from pipeline.verify.point import VerifiedPoint, verify_point
from pipeline.wire.errors import InputError, VerificationError

VALID, INVALID, UNUSABLE = 0, 1, 2


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


def _print_valid(found: dict[str, object]) -> None:
    print(f"VALID   {found['file']}")
    print(f"        {found['quantity']} = {found['value']} {found['unit']} at {found['time']}")
    print(f"        signed by {found['device']} (epoch {found['epoch']}, sequence {found['sequence']})")
    print(f"        enrolled by {found['enrolled_by']}, data {found['origin_of_data']}")
    print(f"        {_key_history(found)}")
    cosigned = found["cosigned"]
    assert isinstance(cosigned, list)
    names = ", ".join(c["witness"] for c in cosigned)
    print(f"        entry {found['entry']}, leaf {found['leaf']} of {found['log']} at size {found['size']}")
    print(f"        cosigned by {names or 'nobody (the policy asks for none)'}")


def run(
    files: Sequence[Path], policy_path: Path | None, authorities_path: Path | None, *, as_json: bool
) -> int:
    """Verify each file. Exit 0: all valid; 1: one is invalid; 2: one could not be checked."""
    policy = load_policy(policy_path or beside(files, "policy.txt"))
    authorities = load_authorities(authorities_path or beside(files, "authorities.txt"))
    results = [_verify_one(path, policy, authorities) for path in files]
    if as_json:
        print(json.dumps([found for _, found in results], ensure_ascii=False, indent=1))
    else:
        for code, found in results:
            if code == VALID:
                _print_valid(found)
            else:
                word = "INVALID" if code == INVALID else "UNUSABLE"
                print(f"{word} {found['file']}: {found.get('reason', 'cannot read')}: {found['detail']}")
    return max((code for code, _ in results), key=[VALID, INVALID, UNUSABLE].index)


def _verify_one(path: Path, policy: Policy, authorities: Authorities) -> tuple[int, dict[str, object]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        return UNUSABLE, {"file": str(path), "valid": None, "detail": str(error.strerror)}
    try:
        return VALID, describe(path, verify_point(data, policy, authorities))
    except VerificationError as error:
        detail = error.detail or error.reason.meaning
        return INVALID, {"file": str(path), "valid": False, "reason": error.reason.value, "detail": detail}
