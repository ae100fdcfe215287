"""`cityproof prove`: carry a stored point away as a file that anyone can verify offline."""

from pathlib import Path

from pipeline.commands.reading import reader_of
from pipeline.commands.times import format_time, parse_time_us
from pipeline.commands.verify import load_policy
from pipeline.edges.sqlite_points import read_points
from pipeline.folder import CityFolder
from pipeline.ports import Point
from pipeline.verify.point import parse_proof
from pipeline.verify.prove import Prover
from pipeline.wire.errors import InputError
from pipeline.wire.senml import decode_pack
from pipeline.wire.statement import parse_statement


def find_point(folder: CityFolder, device: str, quantity: str, at_us: int) -> Point:
    """Return the stored point at exactly this time.

    Raises:
        InputError: There is none; the message names the nearest ones.
    """
    with read_points(folder.points) as points:
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


def run(directory: Path, device: str, quantity: str, at: str, out: Path) -> int:
    """Write the proof of one point."""
    folder = CityFolder(directory)
    point = find_point(folder, device, quantity, parse_time_us(at))
    proof = Prover(reader_of(directory), load_policy(folder.policy)).prove(point.ref, quantity, point.time_us)
    try:
        out.write_bytes(proof)
    except OSError as error:
        raise InputError("--out", f"cannot write {out}: {error.strerror}", "Choose another file.") from error
    signed = _signed_value(proof)
    print(f"{out}: {len(proof)} bytes prove {quantity} = {signed} at {format_time(point.time_us)}")
    if signed != point.value:
        print(f"the store says {point.value}: it was altered there, and `cityproof audit` says so")
    return 0


def _signed_value(proof: bytes) -> float:
    """Return what the device signed, which an altered store does not say."""
    parts = parse_proof(proof)
    statement = parse_statement(parts.statement)
    return decode_pack(statement.payload, statement.issuer)[parts.record].value
