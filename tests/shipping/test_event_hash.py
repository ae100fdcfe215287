"""The event hash agrees with its authors' vectors, and does not depend on how an event was written down."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.shipping.cbv import NAMESPACES
from pipeline.shipping.epc import canonical_identifier
from pipeline.shipping.epcis import declared_namespaces
from pipeline.shipping.event_hash import canonical_time, event_hash, pre_hash


def documents(shared: Path) -> Iterator[tuple[Path, list[dict[str, Any]], dict[str, str]]]:
    for path in sorted((shared / "vectors/interop/epcis-hash").glob("*.jsonld")):
        document = json.loads(path.read_text(encoding="utf-8"))
        body = document["epcisBody"]
        results = body.get("queryResults", {}).get("resultsBody", {})
        events = body.get("eventList") or results.get("eventList") or [body["event"]]
        yield path, events, {**NAMESPACES, **declared_namespaces(document["@context"])}


def test_all_vectors(shared: Path) -> None:
    """22 documents: the hashes their authors published; of two without the fields that a flag leaves out."""
    count = 0
    for path, events, namespaces in documents(shared):
        if "IgnoreFields" in path.name:
            hashed = [{k: v for k, v in event.items() if ":" not in k} for event in events]
            assert hashed != events
        else:
            hashed = events
        found = [event_hash(event, namespaces) for event in hashed]
        assert found == path.with_suffix(".hashes").read_text(encoding="utf-8").split(), path.name
        count += len(found)
    assert count == 43


def test_what_is_hashed(shared: Path) -> None:
    """The texts before hashing are the published ones too, to the letter."""
    for name in ("ralfsChaosExample", "epcisDocWithVariousEventTypes", "epclist_normalisation"):
        path, events, namespaces = next(d for d in documents(shared) if d[0].stem == name)
        published = path.with_suffix(".prehashes").read_text(encoding="utf-8").splitlines()
        assert [pre_hash(event, namespaces) for event in events] == published


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same JSON with its fields, and what are sets in the standard, in another order."""
    if isinstance(value, dict):
        names = list(value)
        chance.shuffle(names)
        return {name: shuffled(value[name], chance) for name in names}
    if isinstance(value, list):
        items = [shuffled(item, chance) for item in value]
        chance.shuffle(items)
        return items
    return value


def test_order_does_not_matter(shared: Path) -> None:
    """Fields and elements in any order: the same hash."""
    chance = random.Random(7)
    for _, events, namespaces in documents(shared):
        for event in events:
            assert event_hash(shuffled(event, chance), namespaces) == event_hash(event, namespaces)


EVENT: dict[str, Any] = {
    "type": "ObjectEvent",
    "eventTime": "2026-03-02T09:00:00.5+01:00",
    "eventTimeZoneOffset": "+01:00",
    "action": "OBSERVE",
    "epcList": ["urn:epc:id:sgtin:4012345.011111.9876"],
    "bizStep": "shipping",
    "sensorElementList": [
        {"sensorReport": [{"type": "Temperature", "minValue": 2.0, "booleanValue": True, "uom": "CEL"}]}
    ],
}


@pytest.mark.parametrize(
    "same",
    [
        {"eventTime": "2026-03-02T08:00:00.500Z"},
        {"epcList": ["https://example.com/x/01/4012345111118/10/lot/21/9876?17=270101"]},
        {"bizStep": "https://ref.gs1.org/cbv/BizStep-shipping"},
        {"bizStep": "cbv:BizStep-shipping"},
        {"bizStep": "urn:epcglobal:cbv:bizstep:shipping"},
        {"recordTime": "2026-03-03T00:00:00Z", "eventID": "urn:uuid:1", "rdfs:comment": "a note"},
        {"errorDeclaration": {"declarationTime": "2026-03-03T00:00:00Z"}},
        {"sensorElementList": [{"sensorReport": [
            {"uom": "CEL", "booleanValue": True, "minValue": 2, "type": "gs1:Temperature"}]}]},
    ],
)  # fmt: skip
def test_the_same_event(same: dict[str, Any]) -> None:
    """Another offset, another form of an identifier or term, other digits, what is no part of it."""
    assert event_hash({**EVENT, **same}) == event_hash(EVENT)


@pytest.mark.parametrize(
    "other",
    [
        {"eventTime": "2026-03-02T08:00:00.501Z"},
        {"eventTimeZoneOffset": "+02:00"},
        {"epcList": ["urn:epc:id:sgtin:4012345.011111.9877"]},
        {"action": "ADD"},
        {"bizStep": "receiving"},
        {"example:field": "x"},
        {"sensorElementList": [{"sensorReport": [{"type": "Temperature", "maxValue": 2, "uom": "CEL"}]}]},
    ],
)
def test_another_event(other: dict[str, Any]) -> None:
    """What it says changes its hash."""
    assert event_hash({**EVENT, **other}) != event_hash(EVENT)


def test_times_and_identifiers_at_their_edges() -> None:
    """Rounding carries; what is no time or no identifier of GS1 stays as it is."""
    assert canonical_time("2026-12-31T23:59:59.9999Z") == "2027-01-01T00:00:00.000Z"
    assert canonical_time("soon") == "soon"
    for text in ("urn:epc:id:sgtin:1.2.3", "urn:epc:id:none:4012345.1", "urn:epc:id:sgtin:4012345.011111",
                 "urn:epc:id:sscc:4012345.x", "https://example.org/", "https://example.org/01/x",
                 "geo:47.5,11.1", "https://["):  # fmt: skip
        assert canonical_identifier(text) == text
