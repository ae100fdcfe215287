"""`cityproof trace air --dir` and `cityproof trace rerun`: from proven points to an answer, and again."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pipeline.commands.air_answer import Inputs, describe, differ
from pipeline.commands.air_files import Places, read_candidates
from pipeline.commands.air_stored import (
    Compared,
    Place,
    Proven,
    collect,
    compare,
    inputs_of,
    query_of,
    read_evidence,
    silent,
)
from pipeline.commands.air_trace_file import TOLERANCE, distance, read_trace_file, write_trace_file
from pipeline.commands.stores import City
from pipeline.commands.times import format_time, parse_time_us
from pipeline.commands.trace_air import Asked, Options, ask, finish, origin_of, within
from pipeline.identity.authorities import Authorities
from pipeline.log.policy import Policy
from pipeline.tracing.events import Found, find
from pipeline.tracing.place import Origin
from pipeline.tracing.problem import Candidate, Settings
from pipeline.wire.errors import InputError
from pipeline.wire.quantities import KINDS

SAME, OTHER = 0, 1
SUFFIX, EVIDENCE_SUFFIX = ".trace", ".evidence"


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom a person trusts."""

    policy: Policy
    authorities: Authorities


def run_stored(city: City, trust: Trust, area: str | None, options: Options) -> int:
    """Trace the points of a city's store: verified ones for the answer, all of them beside it."""
    began = time.perf_counter()
    quantity = options.quantity
    if quantity not in KINDS["air"]:
        raise InputError("--quantity", f"{quantity!r}", f"Choose one of {', '.join(KINDS['air'])}.")
    begin_us, end_us = _span(city, quantity, options)
    query = query_of(quantity, begin_us, end_us)
    evidence = options.out.with_suffix(EVIDENCE_SUFFIX)
    collect(city, trust.policy, query, evidence)
    proven = read_evidence(evidence, trust.policy, trust.authorities)
    compared = compare(city, proven, query)
    places = Places(origin_of(options.origin))
    inputs = inputs_of(compared.verified, proven.enrolments, quantity, area, places)
    if options.candidates is not None:
        inputs.candidates = read_candidates(options.candidates, places)
    asked = ask(inputs, _timed(options, begin_us, end_us))
    found = _find(inputs, asked)
    answer = describe(inputs, found, asked.settings, options.out)
    _prove(answer, inputs, compared, proven, options, found)
    _add_all_points(answer, compared, proven, inputs, area, asked, options)
    trace = options.out.with_suffix(SUFFIX)
    question = _question(inputs, asked, quantity, area, compared)
    write_trace_file(trace, evidence, question, answer, [event.sources[0].log_mass for event in found.events])
    answer["inputs"]["trace"] = trace.name
    finish(answer, inputs, found, asked.settings, options, began)
    for one in compared.left_out[:8]:
        print(f"left out: {one['device']} {one['quantity']} at {one['time']}: {one['reason']}")
    print(f"{evidence}: the readings and their proofs; {trace}: with settings and code, for `trace rerun`")
    return SAME


def _span(city: City, quantity: str, options: Options) -> tuple[int, int]:
    """Return the span asked for, microseconds; where it is open, that of the series."""
    with city.open_points() as points:
        spans = [row for row in points.spans() if row.series.quantity == quantity]
    if not spans:
        remedy = "`cityproof series` lists what there is."
        raise InputError("--quantity", f"no point of {quantity} is stored", remedy)
    first = parse_time_us(options.first, "--from") if options.first else min(row.first_us for row in spans)
    end = parse_time_us(options.end, "--to") if options.end else max(row.last_us for row in spans) + 1_000_000
    if first >= end:
        raise InputError("--from, --to", "they end before they begin", "Give the earlier time first.")
    return first, end


def _timed(options: Options, begin_us: int, end_us: int) -> Options:
    """Return options whose span is that of the evidence."""
    return replace(options, first=format_time(begin_us), end=format_time(end_us))


def _find(inputs: Inputs, asked: Asked) -> Found:
    inputs.observations = within(inputs.observations, asked.settings)
    return find(
        inputs.observations, inputs.wind, asked.settings, inputs.candidates, release=asked.release,
        max_sources=asked.max_sources,
    )  # fmt: skip


def _prove(
    answer: dict[str, Any],
    inputs: Inputs,
    compared: Compared,
    proven: Proven,
    options: Options,
    found: Found,
) -> None:
    """Say what proves the answer, what was left out of it, and who was silent."""
    begin, end = _hours(found, inputs)
    inputs.left_out = compared.left_out
    inputs.verified = int(inputs.observations.start_s.size)
    inputs.evidence = options.out.with_suffix(EVIDENCE_SUFFIX).name
    inputs.silent = silent(proven, compared.verified, inputs.quantity, begin, end)
    answer["gaps"] = [*inputs.silent, *answer["gaps"]]
    answer["inputs"] |= {
        "verified": inputs.verified,
        "evidence": inputs.evidence,
        "left_out": compared.left_out,
        "signers": len(proven.signers),
        "complete": sum(signer.complete for signer in proven.signers),
    }
    altered = sum(one["reason"] != "missing in the store" for one in compared.left_out)
    if compared.left_out:
        answer["warnings"].append(
            f"{altered} stored points say what no device signed, {len(compared.left_out) - altered} are "
            "missing: they are left out and named"
        )


def _hours(found: Found, inputs: Inputs) -> tuple[float, float]:
    """Return the hours of the first event, or else of all readings."""
    if found.events:
        return found.events[0].settings.from_s, found.events[0].settings.to_s
    return float(inputs.observations.start_s.min()), float(inputs.observations.start_s.max())


def _add_all_points(
    answer: dict[str, Any],
    compared: Compared,
    proven: Proven,
    inputs: Inputs,
    area: str | None,
    asked: Asked,
    options: Options,
) -> None:
    """Trace with all points that are stored, proven or not, and say what that changes."""
    if compared.stored == compared.verified:
        answer["all_points"] = {"points": answer["inputs"]["points"], "events": answer["events"]}
        answer["difference"] = differ(answer["events"], answer["events"])
        return
    places = Places(inputs.origin)
    every = inputs_of(compared.stored, proven.enrolments, inputs.quantity, area, places)
    every.candidates = inputs.candidates
    found = _find(every, asked)
    told = describe(every, found, asked.settings, options.out.with_name(f"{options.out.stem}.all.json"))
    answer["all_points"] = {"points": told["inputs"]["points"], "events": told["events"]}
    answer["difference"] = differ(answer["events"], told["events"])


def _question(
    inputs: Inputs, asked: Asked, quantity: str, area: str | None, compared: Compared
) -> dict[str, Any]:
    """Return everything beside the evidence that the answer follows from."""
    return {
        "quantity": quantity,
        "area": area,
        "origin": None if inputs.origin is None else [inputs.origin.lon, inputs.origin.lat],
        "settings": asdict(asked.settings),
        "release": asked.release,
        "max_sources": asked.max_sources,
        "candidates": [asdict(one) for one in inputs.candidates],
        "left_out": [[one["device"], one["quantity"], one["time"]] for one in compared.left_out],
    }


def rerun(file: Path, trust: Trust) -> int:
    """Trace again from what is in a trace file. Exit 0: the posterior is the same; 1: it is another one."""
    held = read_trace_file(file)
    draft = file.with_name(file.name + ".evidence.draft")
    try:
        draft.write_bytes(held.evidence)
        proven = read_evidence(draft, trust.policy, trust.authorities)
    finally:
        draft.unlink(missing_ok=True)
    inputs, asked = _asked_again(held.question, proven)
    found = _find(inputs, asked)
    told = held.answer["events"]
    if len(found.events) != len(told):
        print(f"{len(found.events)} events, where the file has {len(told)}")
        return OTHER
    worst = 0.0
    for n, (event, posterior) in enumerate(zip(found.events, held.posteriors, strict=True)):
        off = distance(event.sources[0].log_mass, posterior)
        worst = max(worst, off)
        source = event.sources[0]
        print(f"event {n + 1}: x {source.x_m:.1f} m, y {source.y_m:.1f} m, total variation {off:.2e}")
    same = worst <= TOLERANCE
    code = held.question["code"]
    print(f"evidence verified: {len(proven.values)} points of {len(proven.signers)} signers")
    print(
        f"{'the same' if same else 'ANOTHER'} posterior within {TOLERANCE:g}, "
        f"made by cityproof {code['cityproof']}"
    )
    return SAME if same else OTHER


def _asked_again(question: Mapping[str, Any], proven: Proven) -> tuple[Inputs, Asked]:
    """Return inputs and settings as they were."""
    left_out = {
        Place(device, quantity, parse_time_us(at, "left_out"))
        for device, quantity, at in question["left_out"]
    }
    values = {place: said.value for place, said in proven.values.items() if place not in left_out}
    places = Places(Origin(*question["origin"]) if question["origin"] else None)
    inputs = inputs_of(values, proven.enrolments, question["quantity"], question["area"], places)
    inputs.candidates = tuple(Candidate(**one) for one in question["candidates"])
    known = {field.name for field in fields(Settings)}
    if unknown := question["settings"].keys() - known:
        raise InputError(
            "the trace", f"settings that this version does not have: {', '.join(sorted(unknown))}",
            f"Run it with cityproof {question['code']['cityproof']}.",
        )  # fmt: skip
    told: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in question["settings"].items()
    }
    release = tuple(question["release"]) if question["release"] else None
    return inputs, Asked(Settings(**told), release, question["max_sources"])
