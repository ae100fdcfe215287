"""What a kind of key may sign: content of its own, well formed, and nothing else."""

import cbor2
import pytest

from pipeline.wire.epcis_event import EpcisEvent, encode_epcis_event
from pipeline.wire.errors import VerificationError
from pipeline.wire.finding import encode_finding
from pipeline.wire.keys import SeedSigner
from pipeline.wire.quantities import KINDS
from pipeline.wire.reasons import Reason
from pipeline.wire.roles import check_content
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.shipment import Accepted, Loaded, encode_shipment
from pipeline.wire.statement import (
    CONTENT_EPCIS,
    CONTENT_FINDING,
    CONTENT_SENML,
    CONTENT_SHIPMENT,
    Statement,
    parse_statement,
    sign_statement,
)
from tests.wire.test_finding import ALTERED

SIGNER = SeedSigner(bytes(32))
ISSUER = "urn:dev:ops:32473-air-1"
PACK = encode_pack(ISSUER, [Record("no2", "ug/m3", 20.25, 1.8e9)])
FINDING = encode_finding(ALTERED)


def a_statement(content_type: int | str, payload: bytes) -> Statement:
    raw = sign_statement(
        SIGNER,
        issuer=ISSUER,
        subject="station-1",
        content_type=content_type,
        epoch=1,
        sequence=0,
        previous=bytes(32),
        payload=payload,
    )
    return parse_statement(raw)


READING = a_statement(CONTENT_SENML, PACK)
STATED = a_statement(CONTENT_FINDING, FINDING)


def refusal(statement: Statement, kind: str) -> Reason | None:
    try:
        check_content(statement, kind)
    except VerificationError as error:
        return error.reason
    return None


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_sensor_signs_readings_and_nothing_else(kind: str) -> None:
    """Its packs are taken; a finding under its key is refused for what it is."""
    assert refusal(READING, kind) is None
    assert refusal(STATED, kind) is Reason.STATEMENT_CONTENT_TYPE


def test_an_auditor_signs_findings_and_nothing_else() -> None:
    """A reading under its key is refused for what it is."""
    assert refusal(STATED, "auditor") is None
    assert refusal(READING, "auditor") is Reason.STATEMENT_CONTENT_TYPE


@pytest.mark.parametrize("role", ["shipper", "carrier", "consignee"])
def test_who_ships_signs_about_shipments_and_nothing_else(role: str) -> None:
    """An acceptance is taken from each; readings, findings, and what only another role states are not."""
    accepted = a_statement(CONTENT_SHIPMENT, encode_shipment(Accepted(after=bytes(32), time_us=1)))
    judged = {1: "created", 2: bytes(32), 3: 1}
    assert refusal(accepted, role) is None
    assert refusal(READING, role) is refusal(STATED, role) is Reason.STATEMENT_CONTENT_TYPE
    assert refusal(a_statement(CONTENT_SHIPMENT, cbor2.dumps(judged)), role) is Reason.SHIPMENT_SHAPE
    loaded = a_statement(CONTENT_SHIPMENT, encode_shipment(Loaded(after=bytes(32), time_us=1)))
    assert refusal(loaded, role) is (None if role == "shipper" else Reason.SHIPMENT_ROLE)
    assert {refusal(accepted, kind) for kind in ("cold", "auditor", "issuer")} == {
        Reason.STATEMENT_CONTENT_TYPE
    }


@pytest.mark.parametrize("role", ["issuer", "shipper", "carrier", "consignee"])
def test_who_moves_goods_signs_events(role: str) -> None:
    """An EPCIS event is taken from each, by its form; from sensors and auditors it is not."""
    event = a_statement(CONTENT_EPCIS, encode_epcis_event(EpcisEvent(bytes(32), b"{}")))
    assert refusal(event, role) is None
    assert refusal(a_statement(CONTENT_EPCIS, cbor2.dumps({1: bytes(32)})), role) is Reason.EPCIS_SHAPE
    assert refusal(READING, "issuer") is refusal(STATED, "issuer") is Reason.STATEMENT_CONTENT_TYPE
    assert refusal(event, "cold") is refusal(event, "auditor") is Reason.STATEMENT_CONTENT_TYPE


def test_content_of_the_right_type_is_looked_at() -> None:
    """A pack that is none, a finding that is none: refused by the check of its own form."""
    assert refusal(a_statement(CONTENT_SENML, b"\x80"), "air") is Reason.PACK_SHAPE
    assert refusal(a_statement(CONTENT_FINDING, b"\xa0"), "auditor") is Reason.FINDING_SHAPE
