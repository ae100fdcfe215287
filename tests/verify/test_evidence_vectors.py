"""The published vectors of evidence: each case's reason, and what is shown of each signer."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.identity.authorities import parse_authorities
from pipeline.log.policy import parse_policy
from pipeline.verify.completeness import Completeness
from pipeline.verify.equivocation import verify_equivocation
from pipeline.verify.evidence import EvidenceCheck, VerifiedEvidence
from pipeline.wire.errors import VerificationError
from tests.support.evidence_files import put_together, reader

FOLDER = Path(__file__).resolve().parents[1] / "vectors"
VECTORS: Any = json.loads((FOLDER / "evidence.json").read_text(encoding="utf-8"))
POLICY = parse_policy(VECTORS["policy"].encode())
AUTHORITIES = parse_authorities(VECTORS["authorities"].encode())
POOL = [(frame["kind"], bytes.fromhex(frame["content"])) for frame in VECTORS["pool"]]


def test_the_file_is_what_its_generator_writes() -> None:
    """Nobody has edited it by hand."""
    spec = importlib.util.spec_from_file_location("make_evidence", FOLDER / "make_evidence.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert made.render() == (FOLDER / "evidence.json").read_text(encoding="utf-8")


def judge(data: bytes) -> VerifiedEvidence:
    """Verify under the vectors' policy and authorities."""
    check = EvidenceCheck(reader(data), POLICY, AUTHORITIES)
    for _ in check.statements():
        pass
    return check.result()


def reason_of(data: bytes) -> str | None:
    """Why a file is refused, or None."""
    try:
        judge(data)
    except VerificationError as refused:
        return refused.reason.value
    return None


def shown(signer: Completeness) -> dict[str, Any]:
    """A signer as the vectors write it."""
    assert signer.first is not None
    assert signer.last is not None
    return {
        "issuer": signer.issuer,
        "opening": signer.opening,
        "closing": signer.closing,
        "first": [signer.first.epoch, signer.first.sequence],
        "last": [signer.last.epoch, signer.last.sequence],
        "gaps": [[gap.epoch, gap.first, gap.last, gap.last_hash.hex()] for gap in signer.gaps],
        "breaks": [[place.epoch, place.sequence] for place in signer.breaks],
        "equivocations": [[place.epoch, place.sequence] for place in signer.equivocations],
        "epochs": [[start.epoch, start.link, start.overlaps] for start in signer.epochs],
    }


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_cases(case: dict[str, Any]) -> None:
    """Refused for its reason, or valid and showing this."""
    data = put_together(POOL[number] for number in case["frames"])
    assert reason_of(data) == case["reason"]
    if "signers" in case:
        assert [shown(signer) for signer in judge(data).signers] == case["signers"]


@pytest.mark.parametrize("case", VECTORS["files"], ids=lambda case: case["name"])
def test_files(case: dict[str, Any]) -> None:
    """The container."""
    assert reason_of(bytes.fromhex(case["bytes"])) == case["reason"]


@pytest.mark.parametrize("case", VECTORS["equivocations"], ids=lambda case: case["name"])
def test_equivocations(case: dict[str, Any]) -> None:
    """What convicts, and what does not."""
    try:
        verify_equivocation(bytes.fromhex(case["bytes"]), POLICY, AUTHORITIES)
        reason = None
    except VerificationError as refused:
        reason = refused.reason.value
    assert reason == case["reason"]
