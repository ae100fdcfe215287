"""A judged shipment as an EPCIS 2.0 document: custody, what the sensors reported, alarms as exceptions.

Every event's ID is its CBV 2.0 hash, so that whoever has it twice sees it. Readings themselves stay in the
evidence, which `rawData` names; what a party stated is named by the leaf hash of the statement behind it.

Source: GS1 EPCIS 2.0, 9.3 and 10; CBV 2.0, 7 and 8. Units: UN/ECE Recommendation 20.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

from pipeline.shipping.account import Account
from pipeline.shipping.cbv import CONTEXT, NAMESPACES
from pipeline.shipping.digital_link import DigitalLink, gtin_link, make_link
from pipeline.shipping.event_hash import event_hash
from pipeline.shipping.series import Reading, Trip
from pipeline.shipping.shipment import Event, Shipment
from pipeline.shipping.whole import HeldExcursion
from pipeline.wire.shipment import Accepted, Content, Delivered, Loaded, Offered, Rejected, Released, Stop

NAMESPACE = "urn:cityproof:epcis/"
Json = dict[str, Any]


class Measured(NamedTuple):
    """How EPCIS calls a quantity: its type, the unit's code, and what a value is multiplied with."""

    type: str
    uom: str
    factor: Decimal = Decimal(1)


MEASURED: Mapping[str, Measured] = MappingProxyType(
    {
        "temperature": Measured("Temperature", "CEL"),
        "humidity": Measured("RelativeHumidity", "P1"),
        "light": Measured("Illuminance", "LUX"),
        "shock": Measured("Acceleration", "MSK"),
        "pressure": Measured("Pressure", "A97"),
        "speed": Measured("Speed", "KMH", Decimal("3.6")),
    }
)


def export(account: Account) -> Json:
    """Return the document, ready to be written as JSON: one for the same account, always."""
    shipment = account.shipment
    events = [*_custody(shipment)]
    for track, trip in zip(account.judgement.tracks, account.trips, strict=True):
        events += _reports(account, track.loggers, trip)
    quantities = MEASURED.keys()
    events += [
        _alarm(account, held)
        for held in account.judgement.excursions
        if held.excursion.limit.quantity in quantities
    ]
    events.sort(key=lambda event: (event["eventTime"], event["bizStep"]))
    for event in events:
        event["eventID"] = event_hash(event, {**NAMESPACES, "cityproof": NAMESPACE})
    return {
        "@context": [CONTEXT, {"cityproof": NAMESPACE}],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": _time(account.judged_us),
        "epcisBody": {"eventList": events},
    }


def shipment_uri(name: str) -> str:
    """Return the shipment's name as a URI: as it is where it is one."""
    return name if name.startswith(("urn:", "https:", "http:")) else f"urn:cityproof:shipment:{quote(name)}"


def content_link(content: Content) -> DigitalLink:
    """Return the Digital Link of goods or of a logistic unit.

    Raises:
        VerificationError: GS1_KEY.
    """
    if content.sscc:
        return make_link(("00", content.sscc))
    return gtin_link(content.gtin, lot=content.lot or None, serial=content.serial or None)


def _custody(shipment: Shipment) -> Iterator[Json]:
    """Yield an event for each step that moved the goods; an offer is one once it was accepted."""
    offer: tuple[Event, Offered] | None = None
    holder, place = shipment.shipper, shipment.route[0]
    for event in shipment.events:
        match event.stated:
            case Loaded():
                yield _moved(shipment, event, "loading", place)
            case Offered() as stated:
                offer = event, stated
            case Accepted():
                assert offer is not None, "custody lets nobody accept what nobody offered"
                place, parties = offer[1].place, (holder, event.signer)
                yield _moved(shipment, offer[0], "shipping", place, "in_transit", parties)
                yield _moved(shipment, event, "receiving", place, "in_progress", parties)
                holder = event.signer
            case Delivered():
                yield _moved(shipment, event, "arriving", place, "in_progress")
            case Released():
                yield _moved(shipment, event, "accepting", place, "conformant")
            case Rejected():
                yield _moved(shipment, event, "inspecting", place, "non_conformant")
            case _:
                pass


def _moved(
    shipment: Shipment,
    event: Event,
    biz_step: str,
    place: Stop,
    disposition: str = "",
    parties: tuple[str, str] | None = None,
) -> Json:
    fields = _object_event(shipment, event.stated.time_us, biz_step)
    fields |= {"readPoint": {"id": _place_uri(place)}, "cityproof:statement": event.leaf_hash.hex()}
    if disposition:
        fields["disposition"] = disposition
    if parties:
        fields["sourceList"] = [{"type": "possessing_party", "source": parties[0]}]
        fields["destinationList"] = [{"type": "possessing_party", "destination": parties[1]}]
    return fields


def _object_event(shipment: Shipment, time_us: int, biz_step: str) -> Json:
    fields: Json = {
        "type": "ObjectEvent",
        "eventTime": _time(time_us),
        "eventTimeZoneOffset": "+00:00",
        "action": "OBSERVE",
        "bizStep": biz_step,
        "bizTransactionList": [{"type": "desadv", "bizTransaction": shipment_uri(shipment.name)}],
    }
    # Goods that are named one by one, and those that are an amount of a class.
    single = [content for content in shipment.contents if content.sscc or content.serial]
    several = [content for content in shipment.contents if content not in single]
    fields["epcList"] = [content_link(content).uri() for content in single]
    if several:
        fields["quantityList"] = [{"epcClass": content_link(content).uri()} for content in several]
    return fields


def _reports(account: Account, loggers: Sequence[str], trip: Trip) -> Iterator[Json]:
    """Yield one event: what the loggers of a track reported, over the whole trip."""
    reports = [
        _report(quantity, readings)
        for quantity, readings in trip.readings.items()
        if quantity in MEASURED and readings
    ]
    if reports:
        event = _object_event(account.shipment, trip.span_us()[1], "sensor_reporting")
        event["sensorElementList"] = [_element(account, loggers, trip.span_us(), reports)]
        yield event


def _report(quantity: str, readings: Sequence[Reading]) -> Json:
    measured, values = MEASURED[quantity], [reading.value for reading in readings]
    mean = (sum(values, Decimal()) / len(values)).quantize(Decimal("0.0001"))
    numbers = {"minValue": min(values), "maxValue": max(values), "meanValue": mean}
    scaled = {name: float(value * measured.factor) for name, value in numbers.items()}
    return {"type": measured.type, **scaled, "uom": measured.uom}


def _alarm(account: Account, held: HeldExcursion) -> Json:
    """Return an excursion as an event."""
    excursion = held.excursion
    limit = excursion.limit
    measured = MEASURED[limit.quantity]
    peak = float(excursion.peak * measured.factor)
    side = "maxValue" if limit.when in {">", ">="} else "minValue"
    report = {"type": measured.type, "exception": "ALARM_CONDITION", side: peak, "uom": measured.uom}
    event = _object_event(account.shipment, excursion.last_us, "sensor_reporting")
    event |= {
        "sensorElementList": [
            _element(account, held.loggers, (excursion.first_us, excursion.last_us), [report])
        ],
        "cityproof:limit": limit.words,
        "cityproof:severity": limit.severity.value,
        "cityproof:provenMinimumSeconds": excursion.proven_min_us / 1e6,
        "cityproof:possibleMaximumSeconds": excursion.possible_max_us / 1e6,
    }
    if held.holders:
        event["cityproof:holder"] = list(held.holders)
    return event


def _element(account: Account, loggers: Sequence[str], span_us: tuple[int, int], reports: list[Json]) -> Json:
    metadata: Json = {
        "startTime": _time(span_us[0]),
        "endTime": _time(span_us[1]),
        "deviceID": loggers[0],
        "rawData": account.evidence_uri or hash_uri(account.evidence_hash),
        "bizRules": f"ni:///sha-256;{account.profile.digest}?ver=profile",
    }
    if len(loggers) > 1:
        metadata["cityproof:continuedBy"] = list(loggers[1:])
    return {"sensorMetadata": metadata, "sensorReport": reports}


def hash_uri(digest: bytes) -> str:
    """Return the name of something by its SHA-256 (RFC 6920), in hexadecimal as CBV writes it."""
    assert len(digest) == sha256().digest_size, "a SHA-256"
    return f"ni:///sha-256;{digest.hex()}"


def _place_uri(place: Stop) -> str:
    if place.gln:
        return make_link(("414", place.gln)).uri()
    return f"geo:{place.latitude:.6f},{place.longitude:.6f}"


def _time(time_us: int) -> str:
    time = datetime.fromtimestamp(time_us // 1_000_000, UTC).replace(microsecond=time_us % 1_000_000)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
