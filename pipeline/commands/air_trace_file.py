"""The file that a trace over proven points leaves: inputs as evidence, settings, code, answer.

A ZIP with fixed times, so that the same trace has the same bytes. `cityproof trace rerun` verifies the
evidence in it and traces again.
"""

import hashlib
import json
import platform
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.tracing.problem import Floats
from pipeline.wire.errors import InputError

KIND = "cityproof-trace-1"
EVIDENCE, QUESTION, ANSWER = "inputs.evidence", "question.json", "answer.json"
LONG_AGO = (1980, 1, 1, 0, 0, 0)
TOLERANCE = 1e-3  # In total variation: half the sum of how far cells' masses differ, over processors.


@dataclass(frozen=True, slots=True)
class TraceFile:
    """What is in one."""

    evidence: bytes
    question: dict[str, Any]
    answer: dict[str, Any]
    posteriors: tuple[Floats, ...]  # ln mass of each event's cells


def code_version() -> dict[str, str]:
    """Return what computed: versions, and a hash of the code that traces."""
    from pipeline import tracing

    digest = hashlib.sha256()
    root = Path(next(iter(tracing.__path__)))
    for path in sorted(root.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return {
        "cityproof": version("cityproof"),
        "tracing_sha256": digest.hexdigest(),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "numba": version("numba"),
    }


def write_trace_file(
    path: Path,
    evidence: Path,
    question: Mapping[str, Any],
    answer: Mapping[str, Any],
    posteriors: list[Floats],
) -> None:
    """Write the file."""
    told = {
        "kind": KIND,
        **question,
        "code": code_version(),
        "evidence_sha256": hashlib.sha256(evidence.read_bytes()).hexdigest(),
        "tolerance": TOLERANCE,
    }
    draft = path.with_name(path.name + ".draft")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        _put(archive, EVIDENCE, evidence.read_bytes())
        _put(archive, QUESTION, _json(told))
        _put(archive, ANSWER, _json(answer))
        for n, posterior in enumerate(posteriors):
            _put(archive, f"posterior.{n}.f64", np.ascontiguousarray(posterior, "<f8").tobytes())
    draft.replace(path)  # A crash before this leaves a draft, and no file that looks whole.


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def _put(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, LONG_AGO), data, zipfile.ZIP_DEFLATED)


def read_trace_file(path: Path) -> TraceFile:
    """Read such a file.

    Raises:
        InputError: It is none.
    """
    remedy = "Name the .trace file that `cityproof trace air --dir` left."
    try:
        with zipfile.ZipFile(path) as archive:
            evidence = archive.read(EVIDENCE)
            question = json.loads(archive.read(QUESTION))
            answer = json.loads(archive.read(ANSWER))
            posteriors = []
            for n, event in enumerate(answer["events"]):
                shape = event["posterior"]["ny"], event["posterior"]["nx"]
                cells = np.frombuffer(archive.read(f"posterior.{n}.f64"), "<f8").reshape(shape)
                posteriors.append(np.asarray(cells, np.float64))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InputError(str(path), f"no trace: {error}", remedy) from error
    if question.get("kind") != KIND:
        raise InputError(str(path), f"a trace of another kind: {question.get('kind')!r}", remedy)
    if hashlib.sha256(evidence).hexdigest() != question["evidence_sha256"]:
        raise InputError(str(path), "its evidence is not the one that its question names", remedy)
    return TraceFile(evidence, question, answer, tuple(posteriors))


def distance(a: Floats, b: Floats) -> float:
    """Return the total variation between two posteriors over the same cells; 1 where the cells differ."""
    if a.shape != b.shape:
        return 1.0
    return 0.5 * float(np.abs(np.exp(a) - np.exp(b)).sum())
