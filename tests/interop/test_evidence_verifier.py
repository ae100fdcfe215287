"""A verifier written from docs/ alone agrees on evidence: with all vectors, and with ours on flipped bits."""

import ast
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from pipeline.identity.authorities import parse_authorities
from pipeline.log.policy import parse_policy
from pipeline.verify.evidence import EvidenceCheck
from pipeline.wire.errors import VerificationError
from tests.interop import evidence_verifier, verifier
from tests.support.evidence_files import pack, put_together

VECTORS: Any = json.loads(
    (Path(__file__).resolve().parents[1] / "vectors" / "evidence.json").read_text(encoding="utf-8")
)
POLICY = verifier.parse_policy(VECTORS["policy"].encode())
AUTHORITIES = verifier.parse_authorities(VECTORS["authorities"].encode())
OURS = parse_policy(VECTORS["policy"].encode()), parse_authorities(VECTORS["authorities"].encode())
POOL = [(frame["kind"], bytes.fromhex(frame["content"])) for frame in VECTORS["pool"]]


def test_it_imports_nothing_of_ours() -> None:
    """Nor does what it stands on."""
    for module in (evidence_verifier, verifier):
        assert module.__file__ is not None
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        imported = {n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported -= {"tests.interop", "tests.interop.verifier"}
        assert {name.split(".")[0] for name in imported} & {"pipeline", "devices", "tests", "cbor2"} == set()


def judge(data: bytes) -> str:
    """What it says of a file: a reason, or nothing."""
    return verifier.reason_of(evidence_verifier.Evidence, data, POLICY, AUTHORITIES)


def our_judgement(data: bytes) -> str:
    """What ours says."""
    try:
        for _ in EvidenceCheck(BytesIO(data).read, *OURS).statements():
            pass
    except VerificationError as refused:
        return refused.reason.value
    return ""


def case_of(name: str) -> dict[str, Any]:
    """A case by its name."""
    return next(case for case in VECTORS["cases"] if case["name"] == name)


def file_of(case: dict[str, Any]) -> bytes:
    """A case's file."""
    return put_together(POOL[number] for number in case["frames"])


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_cases(case: dict[str, Any]) -> None:
    """Refused for its reason, or valid and showing this."""
    data = file_of(case)
    assert judge(data) == (case["reason"] or "")
    if "signers" in case:
        assert evidence_verifier.Evidence(data, POLICY, AUTHORITIES).signers == case["signers"]


@pytest.mark.parametrize("case", VECTORS["files"], ids=lambda case: case["name"])
def test_files(case: dict[str, Any]) -> None:
    """The container."""
    assert judge(bytes.fromhex(case["bytes"])) == (case["reason"] or "")


@pytest.mark.parametrize("case", VECTORS["equivocations"], ids=lambda case: case["name"])
def test_equivocations(case: dict[str, Any]) -> None:
    """What convicts, and what does not."""
    reason = verifier.reason_of(
        evidence_verifier.verify_equivocation, bytes.fromhex(case["bytes"]), POLICY, AUTHORITIES
    )
    assert reason == (case["reason"] or "")


@pytest.mark.parametrize("name", ["bracketed", "a key's whole life"])
def test_flipped_bits(name: str) -> None:
    """Both refuse what is in the frames for the same reason, wherever a bit of it is flipped."""
    numbers = case_of(name)["frames"]
    frames = [POOL[number] for number in numbers]
    content = b"".join(len(raw).to_bytes(4, "big") + bytes([kind]) + raw for kind, raw in frames)
    for place in range(0, len(content) * 8, 41):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        data = pack(bytes(flipped))
        assert judge(data) == our_judgement(data), f"bit {place}"
