"""Findings read out of a log: each once, in its order, under the key that was enrolled for it."""

import pytest

from pipeline.log.checkpoint import open_checkpoint
from pipeline.log.tiles import TileReader
from pipeline.verify.logged_findings import LoggedFinding, read_findings
from pipeline.wire.errors import VerificationError
from pipeline.wire.finding import decode_finding
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import CONTENT_FINDING
from tests.support.changes import FINDING, NOWHERE
from tests.support.city import AUTHORITIES, POLICY, Device, ForgedLog, device_in, enrol, enrolment


def auditor_of(nth: int = 0) -> Device:
    """A signer of shard 1, to be enrolled as an auditor."""
    return device_in(1, 10 + nth)


def stated(auditor: Device, **changes: int) -> bytes:
    """A finding by an auditor."""
    return auditor.read(content_type=CONTENT_FINDING, payload=FINDING, **changes)


def enrolled(auditor: Device, sequence: int) -> bytes:
    """An authority's word that this one is an auditor."""
    return enrol(auditor, sequence, about=enrolment(auditor, kind="auditor", **NOWHERE))


def found_in(log: ForgedLog) -> list[LoggedFinding]:
    """Publish, and read."""
    opened = open_checkpoint(log.publish(), POLICY)
    return list(read_findings(log.files.get, TileReader(log.files.get, opened.checkpoint), AUTHORITIES))


def test_findings_are_read_in_the_order_of_the_log() -> None:
    """Among readings, over several blocks, also by an auditor who was enrolled later; evidence is none."""
    first, second, sensor = auditor_of(), auditor_of(1), device_in(1)
    log = ForgedLog()
    log.enrol(enrolled(first, 0), enrol(sensor, 1))
    one = log.add(
        1, [stated(first), sensor.read(), stated(first), stated(first, sequence=0)], equivocations=(4,)
    )
    log.enrol(enrolled(second, 2))
    about_it = sensor.read(subject=CONTENT_FINDING)
    other = log.add(1, [about_it, stated(second)])
    finding = decode_finding(FINDING)
    assert found_in(log) == [
        LoggedFinding(finding, first.issuer, 2, 1, one.arrival_last_ms),
        LoggedFinding(finding, first.issuer, 2, 3, one.arrival_last_ms),
        LoggedFinding(finding, second.issuer, 4, 2, other.arrival_last_ms),
    ]


def test_what_the_key_did_not_sign_is_no_finding() -> None:
    """The log itself is wrong, then, and that is said."""
    auditor = auditor_of()
    log = ForgedLog()
    log.enrol(enrolled(auditor, 0))
    raw = stated(auditor)
    log.add(1, [raw[:-1] + bytes([raw[-1] ^ 1])])
    with pytest.raises(VerificationError) as refused:
        found_in(log)
    assert refused.value.reason is Reason.SIGNATURE_INVALID


def test_nobody_unknown_states_a_finding() -> None:
    """A key that no authority has enrolled."""
    log = ForgedLog()
    log.enrol(enrolled(auditor_of(), 0))
    log.add(1, [stated(auditor_of(1))])
    with pytest.raises(VerificationError) as refused:
        found_in(log)
    assert refused.value.reason is Reason.KEY_UNKNOWN
