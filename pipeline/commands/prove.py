"""`cityproof prove`: carry a stored point away as a file that anyone can verify offline."""

import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.commands.reading import open_log, reader_of, trust_file
from pipeline.commands.stores import City
from pipeline.commands.times import format_time, parse_time_us
from pipeline.commands.verify import load_authorities, load_policy
from pipeline.ports import Point
from pipeline.verify.bounds import check_age
from pipeline.verify.point import parse_proof
from pipeline.verify.prove import Prover
from pipeline.wire.errors import InputError
from pipeline.wire.senml import decode_pack
from pipeline.wire.statement import parse_statement


def find_point(city: City, device: str, quantity: str, at_us: int) -> Point:
    """Return the stored point at exactly this time.

    Raises:
        InputError: There is none; the message names the nearest ones.
    """
    with city.open_points() as points:
        found = points.at(device, quantity, at_us)
        if found is not None:
            return found
        series = points.find_series(device, quantity)
        if not series:
            known = ", ".join(sorted({s.quantity for s in points.series() if s.device == device}))
            remedy = f"This device has: {known}." if known else "`cityproof series` lists what there is."
            raise InputError("--device, --quantity", f"no series {quantity} of {device}", remedy)
        near = " and ".join(format_time(t) for t in points.nearest(device, quantity, at_us))
        raise InputError("--at", f"no point at {format_time(at_us)}", f"The nearest are at {near}.")


@dataclass(frozen=True, slots=True)
class Question:
    """Which point, and where the proof goes."""

    device: str
    quantity: str
    at: str
    out: Path


@dataclass(frozen=True, slots=True)
class Trust:
    """What a reader trusts, where it is not what lies beside the log."""

    policy: Path | None
    authorities: Path | None
    token_file: Path | None


def run(city: City, trust: Trust, question: Question) -> int:
    """Write the proof of one stored point."""
    at_us = parse_time_us(question.at)
    point = find_point(city, question.device, question.quantity, at_us)
    folder = city.folder
    prover = Prover(reader_of(folder.root), load_policy(trust.policy or folder.policy))
    signed = _write(question.out, prover.prove(point.ref, question.quantity, at_us), question)
    if signed != point.value:
        print(f"the store says {point.value}: it was altered there, and `cityproof audit` says so")
    return 0


def run_remote(url: str, trust: Trust, question: Question) -> int:
    """Write the proof of one point of a log behind a URL, which is searched for it: there is no store."""
    at_us = parse_time_us(question.at)
    policy = load_policy(trust_file(url, trust.policy, "policy.txt"))
    authorities = load_authorities(trust_file(url, trust.authorities, "authorities.txt"))
    with open_log(url, trust.token_file) as read:
        prover = Prover(read, policy)
        check_age(prover.opened, authorities.bounds_s["checkpoint_age_s"], time.time())
        ref = prover.find(question.device, question.quantity, at_us)
        if ref is None:
            problem = f"the log has no {question.quantity} of {question.device} at {format_time(at_us)}"
            raise InputError("--device, --quantity, --at", problem, "`cityproof export` shows what there is.")
        _write(question.out, prover.prove(ref, question.quantity, at_us), question)
    return 0


def _write(out: Path, proof: bytes, question: Question) -> float:
    """Write a proof, say so, and return what the device signed."""
    try:
        out.write_bytes(proof)
    except OSError as error:
        raise InputError("--out", f"cannot write {out}: {error.strerror}", "Choose another file.") from error
    signed, at = _signed_value(proof), format_time(parse_time_us(question.at))
    print(f"{out}: {len(proof)} bytes prove {question.quantity} = {signed} at {at}")
    return signed


def _signed_value(proof: bytes) -> float:
    """Return what the device signed, which an altered store does not say."""
    parts = parse_proof(proof)
    statement = parse_statement(parts.statement)
    return decode_pack(statement.payload, statement.issuer)[parts.record].value
