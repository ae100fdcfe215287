"""Documents of partners: the valid ones are read, the invalid ones refused, by the field that is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.shipping.epcis import DOCUMENT_SIZE_MAX, read_document
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

# Three of openepcis' valid documents break the standard's own schema, as epcis2.js says too.
EXCEPTIONS = {
    "AggregationEvent_with_sensorData.json": "the field 'bizRules' is in no namespace",
    "SensorData_with_combined_events.json": "'Molar_concentration' is neither in the vocabulary nor a URI",
    "TransactionEvent_with_userExtensions.json": "'EffectiveDoseRate' is neither in the vocabulary nor a URI",
}
INVALID = {
    "Combination_of_events_with_missing_mandatory_fields": "eventList.0.ObjectEvent.action: Field required",
    "Combination_of_multiple_invalid_fields": "eventList.0.ObjectEvent.bizStep: 'transforming'",
    "Combination_of_non_standard_bizStep_and_disposition": "eventList.0.ObjectEvent.bizStep: 'transforming'",
    "EPCISDocument_without_context": "@context: Field required",
    "ObjectEvent_with_ilmd_field_without_namespace": "ilmd: the field 'materialType' is in no namespace",
    "ObjectEvent_with_invalid_action": "action: Input should be 'ADD', 'DELETE' or 'OBSERVE'",
    "ObjectEvent_with_invalid_certificationInfo": "ObjectEvent.certificationInfo",
    "ObjectEvent_with_invalid_eventTime_format": "'22-07-2026' is no time with an offset",
    "ObjectEvent_with_non_standard_bizStep": "eventList.0.ObjectEvent.bizStep: 'transforming'",
    "ObjectEvent_with_non_standard_bizStep_in_second_event": "eventList.1.ObjectEvent.bizStep: 'trans",
    "ObjectEvent_with_non_standard_disposition": "disposition: 'in_transport'",
    "ObjectEvent_with_quantity_as_text": "quantityList.0.quantity",
    "ObjectEvent_with_unknown_field_in_quantityList": "quantityList.0.weight: Extra inputs",
    "ObjectEvent_without_action_and_eventTime": "ObjectEvent.eventTime: Field required",
    "ObjectEvent_without_identifier_list": "nothing that it happened to",
}


def refusal(content: bytes) -> VerificationError:
    with pytest.raises(VerificationError) as refused:
        read_document(content)
    return refused.value


def test_openepcis_valid(shared: Path) -> None:
    """38 documents: 35 are read with all their events, 3 refused for what the schema refuses in them."""
    refused, events = {}, 0
    for path in sorted((shared / "vectors/interop/openepcis/Capture/Documents").glob("*.json")):
        content = path.read_bytes()
        if path.name in EXCEPTIONS:
            error = refusal(content)
            assert error.reason is Reason.EPCIS_SHAPE
            refused[path.name] = error.detail
            continue
        found = read_document(content)
        assert [event.fields for event in found] == json.loads(content)["epcisBody"]["eventList"]
        events += len(found)
    assert refused.keys() == EXCEPTIONS.keys()
    assert all(EXCEPTIONS[name] in detail for name, detail in refused.items())
    assert events == 53


def test_openepcis_invalid(shared: Path) -> None:
    """15 documents: each refused, and the message names what is wrong in it."""
    paths = sorted((shared / "vectors/interop/openepcis/Capture/Invalid").glob("*.json"))
    assert {path.stem for path in paths} == INVALID.keys()
    for path in paths:
        error = refusal(path.read_bytes())
        assert error.reason is Reason.EPCIS_SHAPE
        assert INVALID[path.stem] in error.detail


def test_the_hash_is_the_published_one(shared: Path) -> None:
    """Of a document as it came, namespaces and all, and of a query's answer."""
    for name in ("ralfsChaosExample", "epcisQueryDocument", "epcisDocWithVariousEventTypes"):
        path = shared / f"vectors/interop/epcis-hash/{name}.jsonld"
        published = path.with_suffix(".hashes").read_text(encoding="utf-8").split()
        assert [event.hash for event in read_document(path.read_bytes())] == published


EVENT: dict[str, Any] = {
    "type": "ObjectEvent",
    "eventTime": "2026-03-02T08:00:00Z",
    "eventTimeZoneOffset": "+00:00",
    "action": "OBSERVE",
    "epcList": ["https://id.gs1.org/00/340123450000000017"],
}
DOCUMENT: dict[str, Any] = {
    "@context": "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
    "type": "EPCISDocument",
    "schemaVersion": "2.0",
    "creationDate": "2026-03-02T08:00:00Z",
    "epcisBody": {"eventList": [EVENT]},
}


def with_event(**changed: Any) -> bytes:
    event = {name: value for name, value in {**EVENT, **changed}.items() if value is not None}
    return json.dumps({**DOCUMENT, "epcisBody": {"eventList": [event]}}).encode()


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"type": "Event"}, "epcisBody.eventList.0"),
        ({"eventTime": "2026-02-30T08:00:00Z"}, "eventTime"),
        ({"eventTime": "2026-03-02T08:00:00"}, "no time with an offset"),
        ({"eventTimeZoneOffset": "+15:00"}, "eventTimeZoneOffset"),
        ({"epcList": ["4012345"]}, "is no URI"),
        ({"epcList": "https://id.gs1.org/00/340123450000000017"}, "epcList"),
        ({"readPoint": {"name": "dock"}}, "readPoint.id"),
        ({"ilmd": {"example:x": 1}}, "master data where nothing begins"),
        ({"own": 1}, "the field 'own' is in no namespace"),
        ({"persistentDisposition": {}}, "sets nothing"),
        ({"persistentDisposition": {"set": []}}, "persistentDisposition.set"),
        ({"sourceList": [{"type": "place", "source": "urn:x:y"}]}, "sourceList.0.type"),
        ({"sensorElementList": [{"sensorReport": []}]}, "sensorReport"),
        ({"sensorElementList": [{"sensorReport": [{"type": "Temperature", "value": "5"}]}]}, "value"),
        ({"sensorElementList": [{"sensorReport": [{"type": "Temperature", "value": True}]}]}, "value"),
        ({"type": "AggregationEvent", "epcList": None}, "no children"),
        (
            {"type": "AggregationEvent", "epcList": None, "action": "ADD", "childEPCs": ["urn:x:y"]},
            "no parent",
        ),
        ({"type": "AssociationEvent", "epcList": None, "childEPCs": ["urn:x:y"]}, "no parent"),
        ({"type": "TransactionEvent"}, "no transaction"),
        ({"type": "TransformationEvent", "action": None, "epcList": None}, "no inputs, or no outputs"),
    ],
)
def test_events_that_are_refused(changed: dict[str, Any], detail: str) -> None:
    """One fault in an event that is read without it."""
    assert len(read_document(with_event())) == 1
    error = refusal(with_event(**changed))
    assert error.reason is Reason.EPCIS_SHAPE
    assert detail in error.detail


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"type": "EPCISDocument", "type": "x"}',
     with_event().replace(b"OBSERVE", b"NaN", 1).replace(b'"NaN"', b"NaN"),
     json.dumps({**DOCUMENT, "epcisBody": {"eventList": [EVENT], "more": 1}}).encode(),
     json.dumps({**DOCUMENT, "type": "EPCISMasterData"}).encode()],
)  # fmt: skip
def test_documents_that_are_none(content: bytes) -> None:
    """Other JSON, none, nested without end, a field twice, a number that is none, another type."""
    assert refusal(content).reason is Reason.EPCIS_SHAPE


def test_a_document_too_large_is_not_read() -> None:
    """The bound holds before anything is parsed."""
    assert refusal(bytes(DOCUMENT_SIZE_MAX + 1)).reason is Reason.OVERSIZE
