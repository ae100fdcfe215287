"""What evidence shows, for people and for `--json`."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.commands.times import format_time
from pipeline.verify.completeness import Closing, Completeness, Gap, Link, Opening
from pipeline.verify.equivocation import VerifiedEquivocation
from pipeline.verify.evidence import VerifiedEvidence
from pipeline.verify.query import Query

NAMED = 8  # Gaps and other places of a signer that people are told one by one; `--json` has them all.


def describe_query(query: Query) -> dict[str, Any]:
    """Return what was asked for."""
    span = query.span
    return {
        "devices": sorted(query.devices),
        "subjects": sorted(query.subjects),
        "areas": sorted(query.areas),
        "quantities": sorted(query.quantities),
        "shipments": sorted(query.shipments),
        "from": None if span.first_us is None else format_time(span.first_us),
        "to": None if span.end_us is None else format_time(span.end_us),
    }


def describe_signer(signer: Completeness) -> dict[str, Any]:
    """Return what is shown of one signer's completeness."""
    until_us = signer.proven_until_us
    return {
        "device": signer.issuer,
        "statements": signer.statements,
        "complete": signer.complete,
        "unbroken": signer.unbroken,
        "opening": signer.opening,
        "closing": signer.closing,
        "first": _place(signer.first),
        "last": _place(signer.last),
        "proven_until": None if until_us is None else format_time(until_us),
        "gaps": [
            {"epoch": gap.epoch, "first": gap.first, "last": gap.last, "hash_of_last": gap.last_hash.hex()}
            for gap in signer.gaps
        ],
        "breaks": [_place(place) for place in signer.breaks],
        "equivocations": [_place(place) for place in signer.equivocations],
        "epochs": [
            {"epoch": start.epoch, "link": start.link, "overlaps": start.overlaps} for start in signer.epochs
        ],
        "unnamed": signer.unnamed,
    }


def _place(place: Any) -> list[int] | None:
    return None if place is None else [place.epoch, place.sequence]


def describe_evidence(path: Path, verified: VerifiedEvidence) -> dict[str, Any]:
    """Return what valid evidence shows."""
    opened = verified.checkpoint
    return {
        "file": str(path),
        "object": "evidence",
        "valid": True,
        "query": describe_query(verified.query),
        "statements": verified.statements,
        "blocks": verified.blocks,
        "complete": all(signer.complete for signer in verified.signers),
        "signers": [describe_signer(signer) for signer in verified.signers],
        "log": opened.checkpoint.origin,
        "size": opened.checkpoint.size,
        "cosigned": [{"witness": c.witness, "time": _seconds(c.time_s)} for c in opened.cosignatures],
    }


def describe_equivocation(path: Path, shown: VerifiedEquivocation) -> dict[str, Any]:
    """Return what evidence of an equivocation shows."""
    first = shown.statements[0]
    return {
        "file": str(path),
        "object": "equivocation",
        "valid": True,
        "device": first.issuer,
        "key_id": first.kid.hex(),
        "epoch": first.epoch,
        "sequence": first.sequence,
        "enrolled_by": shown.enrolled_by,
        "entries": list(shown.entries),
        "arrived": [None if m is None else _seconds(m.arrival_last_ms // 1000) for m in shown.manifests],
    }


def _seconds(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat().replace("+00:00", "Z")


def equivocation_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what people are told of valid evidence of an equivocation."""
    yield f"{found['device']} signed two statements as epoch {found['epoch']}, sequence {found['sequence']}"
    by = "an authority" if found["enrolled_by"] is None else f"enrolled by {found['enrolled_by']}"
    yield f"key {found['key_id']}, {by}"
    for number, (entry, arrived) in enumerate(zip(found["entries"], found["arrived"], strict=True), 1):
        place = "not shown to be in the log" if entry is None else f"entry {entry}, arrived {arrived}"
        yield f"statement {number}: {place}"


def evidence_lines(verified: VerifiedEvidence) -> Iterator[str]:
    """Yield what people are told of valid evidence."""
    opened, query = verified.checkpoint, describe_query(verified.query)
    asked = "; ".join(
        f"{name} {', '.join(value) if isinstance(value, list) else value}"
        for name, value in query.items()
        if value
    )
    yield f"{verified.statements} statements in {verified.blocks} blocks; asked for: {asked or 'everything'}"
    names = ", ".join(c.witness for c in opened.cosignatures) or "nobody (the policy asks for none)"
    yield f"in {opened.checkpoint.origin} at size {opened.checkpoint.size}, cosigned by {names}"
    yield from completeness_lines(verified.signers)


def completeness_lines(signers: Sequence[Completeness]) -> Iterator[str]:
    """Yield what people are told of all signers' completeness: of many, one by one only those that lack."""
    complete = unbroken = 0
    for signer in signers:
        if len(signers) > NAMED and signer.complete:
            complete += 1
        elif len(signers) > NAMED and signer.unbroken:
            unbroken += 1
        else:
            yield from _signer_lines(signer)
    if complete or unbroken:
        yield f"of the others {complete} are complete, {unbroken} unbroken but open at an end"


def _signer_lines(signer: Completeness) -> Iterator[str]:
    """Yield what people are told of one signer's completeness."""
    if signer.first is None or signer.last is None:
        yield f"{signer.issuer}: NOTHING SHOWN, no statement of it is here"
        return
    word = "complete" if signer.complete else "unbroken" if signer.unbroken else "NOT COMPLETE"
    until = "" if signer.proven_until_us is None else f", shown until {format_time(signer.proven_until_us)}"
    yield f"{signer.issuer}: {word}, {signer.statements} statements{until}"
    problems = [*_edges(signer), *_problems(signer)]
    yield from (f"  {problem}" for problem in problems[:NAMED])
    if len(problems) + signer.unnamed > NAMED:
        yield f"  and {len(problems) + signer.unnamed - NAMED} more"


def _edges(signer: Completeness) -> Iterator[str]:
    if signer.opening is Opening.OPEN:
        yield "nothing shows what came before the first statement here"
    if signer.closing is Closing.OPEN:
        yield "nothing is claimed behind the last statement here"


def _problems(signer: Completeness) -> Iterator[str]:
    yield from (_gap_line(gap) for gap in signer.gaps)
    for place in signer.breaks:
        yield f"epoch {place.epoch}, sequence {place.sequence} names another statement before it"
    for place in signer.equivocations:
        yield f"epoch {place.epoch}, sequence {place.sequence} was signed twice: its key has a second user"
    for start in signer.epochs:
        if start.link is not Link.LINKED:
            yield f"epoch {start.epoch} does not link to the one before: {start.link.value}"
        if start.overlaps:
            yield f"epoch {start.epoch} had begun while the one before still measured: two users of one key"


def _gap_line(gap: Gap) -> str:
    sequences = f"{gap.first}" if gap.first == gap.last else f"{gap.first} to {gap.last}"
    return f"missing: epoch {gap.epoch}, sequence {sequences}"
