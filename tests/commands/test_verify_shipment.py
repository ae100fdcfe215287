"""`cityproof verify` judges a shipment again, and refuses a verdict that differs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.verify import INVALID, VALID, run
from pipeline.verify.completeness import Span
from pipeline.verify.query import Query
from pipeline.wire.shipment import Judged
from tests.shipping.shipments import CONSIGNEE, LOGGER, NAME, SPARE
from tests.shipping.test_from_log import START_US, Log, a_log, judged
from tests.support.city import AUTHORITIES_TEXT, policy_text
from tests.support.evidence_files import collect


def verify(
    log: Log, stated: Judged, folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, Any]]:
    """State a verdict, carry the evidence away, and verify it as anyone would."""
    log.state(CONSIGNEE, stated)
    log.forged.publish()
    query = Query(
        devices=frozenset({LOGGER, SPARE}),
        span=Span(START_US, START_US + 10**12),
        shipments=frozenset({NAME}),
    )
    (folder / "trip.evidence").write_bytes(collect(log.forged, query))
    (folder / "policy.txt").write_text(policy_text(), encoding="ascii")
    (folder / "authorities.txt").write_text(AUTHORITIES_TEXT, encoding="ascii")
    code = run([folder / "trip.evidence"], None, None, as_json=True)
    (found,) = json.loads(capsys.readouterr().out)
    return code, found


def test_a_true_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told, with whose it is."""
    log = a_log(9.0)
    code, found = verify(log, judged(log)[0], tmp_path, capsys)
    assert code == VALID
    (verdict,) = found["verdicts"]
    assert (verdict["verdict"], verdict["signer"], verdict["shipment"]) == ("breach", CONSIGNEE, NAME)


@pytest.mark.parametrize("field", ["verdict", "root"])
def test_a_false_verdict(field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1, the reason, and who signed it; a false root shows where the evidence is of the same size."""
    log = a_log(9.0)
    stated = judged(log)[0]
    wrong: dict[str, Any] = (
        {"verdict": "in_limits"} if field == "verdict" else {"root": bytes(32), "size": stated.size + 1}
    )
    code, found = verify(log, replace(stated, **wrong), tmp_path, capsys)
    assert (code, found["reason"]) == (INVALID, "verdict_mismatch")
    assert CONSIGNEE in str(found["detail"])
