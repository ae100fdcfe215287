"""What people and programs are told of a change before an authority signs it, and of what became of it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pipeline.wire.admission import Admission
from pipeline.wire.changes import Change
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.keys import key_id
from pipeline.wire.revocation import Revocation
from pipeline.wire.rotation import Rotation


def describe_change(change: Change) -> dict[str, object]:
    """Return a change for `--json`: which, whose, and all that it says."""
    match change:
        case Enrolment():
            return {"change": "enrolment", "issuer": change.issuer, **_describe_enrolment(change)}
        case Rotation():
            return {
                "change": "rotation",
                "issuer": change.issuer,
                "old_key": change.old_kid.hex(),
                "key": key_id(change.public_key).hex(),
                "public_key": change.public_key.hex(),
                "starts": list(change.starts),
                "valid_from": _time(change.valid_from_s),
            }
        case Revocation():
            key = change.kid.hex()
            return {"change": "revocation", "issuer": change.issuer, "key": key, "why": change.why}
        case Admission():
            leaves = [leaf_hash.hex() for leaf_hash in change.leaf_hashes]
            return {"change": "admission", "issuer": change.issuer, "leaf_hashes": leaves, "why": change.why}


def outcomes(changes: Sequence[Change], answers: Iterable[str]) -> list[dict[str, object]]:
    """Return each change with what became of it."""
    return [
        describe_change(change) | {"outcome": answer} for change, answer in zip(changes, answers, strict=True)
    ]


def tell_changes(changes: Sequence[Change]) -> None:
    """Print changes as a table, every field that would be signed in it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_lines=True)
    for heading in ("change", "of", "says"):
        table.add_column(heading, overflow="fold")
    for change in changes:
        fields = describe_change(change)
        what, issuer = fields.pop("change"), fields.pop("issuer")
        says = "\n".join(f"{name.replace('_', ' ')}: {_phrase(value)}" for name, value in fields.items())
        table.add_row(str(what), str(issuer), says)
    Console().print(table, markup=False, highlight=False)


def _describe_enrolment(enrolment: Enrolment) -> dict[str, object]:
    fields: dict[str, object] = {
        "key": key_id(enrolment.public_key).hex(),
        "public_key": enrolment.public_key.hex(),
        "kind": enrolment.kind,
        "subject": enrolment.subject,
        "area": enrolment.area,
        "department": enrolment.department,
        "controller": enrolment.controller,
        "data_class": enrolment.data_class,
        "origin": enrolment.origin,
        "valid_from": _time(enrolment.valid_from_s),
    }
    if enrolment.longitude is not None:
        fields["position"] = [enrolment.longitude, enrolment.latitude, enrolment.height_m]
    if enrolment.longitude2 is not None:
        fields["beam_end"] = [enrolment.longitude2, enrolment.latitude2, enrolment.height2_m]
    if enrolment.accuracy is not None:
        fields["accuracy"] = dict(enrolment.accuracy)
    if enrolment.calibrated_until_s is not None:
        until_s = enrolment.calibrated_until_s
        fields["calibrated_until"] = _time(until_s) if until_s else "unknown"
    return fields


def _phrase(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} ±{half_width}" for name, half_width in value.items()) or "nothing is known"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _time(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat().replace("+00:00", "Z")
