"""Evidence of shipments: every statement about them, whoever made it, and readings of named devices only."""

from collections.abc import Callable
from typing import Any

import cbor2
import pytest

from pipeline.verify.evidence import BLOCK, HEAD, KEY
from pipeline.verify.query import Query, describe_query, parse_query, query_fields
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.shipment import Accepted, Loaded, ShipmentStatement, encode_shipment
from pipeline.wire.statement import CONTENT_SHIPMENT, shard_of
from tests.shipping.shipments import BEGIN_US, CARRIER, SHIPPER, created
from tests.support.changes import NOWHERE
from tests.support.city import SHARDS, Device, ForgedLog, device_in, enrol, enrolment
from tests.support.evidence_files import collect, judge, put_together, take_apart

ONE, OTHER = "https://id.gs1.org/00/106141412345678908", "https://id.gs1.org/00/106141412345678915"
AFTER: dict[str, Any] = {"after": bytes(32), "time_us": BEGIN_US}


class Shipments:
    """Two shipments by a shipper and a carrier, among readings of two devices."""

    def __init__(self) -> None:
        self.log = ForgedLog()
        self.shipper, self.carrier = Device(50, name=SHIPPER), Device(51, name=CARRIER)
        self.devices = [device_in(1), device_in(2)]
        for n, (role, party) in enumerate({"shipper": self.shipper, "carrier": self.carrier}.items()):
            self.log.enrol(enrol(party, n, about=enrolment(party, kind=role, **NOWHERE)))
        self.log.enrol(*(enrol(device, 2 + n) for n, device in enumerate(self.devices)))
        for device in self.devices:
            self.log.add(device.shard, [device.read()])
        self.about_one = [
            self.add(self.shipper, ONE, created()),
            self.add(self.shipper, ONE, Loaded(**AFTER)),
        ]
        self.add(self.shipper, OTHER, created())
        self.about_one.append(self.add(self.carrier, ONE, Accepted(**AFTER)))
        self.log.publish()

    def add(self, signer: Device, name: str, stated: ShipmentStatement) -> bytes:
        """A block with a reading of each device of the shard, and a statement about a shipment."""
        raw = signer.read(subject=name, content_type=CONTENT_SHIPMENT, payload=encode_shipment(stated))
        shard = shard_of(signer.issuer, SHARDS)
        self.log.add(shard, [*(device.read() for device in self.devices if device.shard == shard), raw])
        return raw


CITY = Shipments()
QUERY = Query(shipments=frozenset({ONE}))
DATA = collect(CITY.log, QUERY)


def refusal(data: bytes) -> Reason:
    """Why a file is refused."""
    with pytest.raises(VerificationError) as refused:
        judge(data)
    return refused.value.reason


def test_all_that_was_stated_about_a_shipment_is_there() -> None:
    """By whomever, in the log's order, and nothing else: no other shipment, no reading."""
    statements, verified = judge(DATA)
    assert [proven.statement.raw for proven in statements] == CITY.about_one
    assert [proven.key.record.kind for proven in statements] == ["shipper", "shipper", "carrier"]
    assert (verified.query, verified.statements, verified.blocks) == (QUERY, 3, 3)
    assert verified.signers == (), "of who states about shipments, others are elsewhere"


@pytest.mark.parametrize("nth", [0, 1])
def test_readings_beside_are_of_named_devices(nth: int) -> None:
    """Of each its completeness; the statements about the shipment are the same, also from another shard."""
    device = CITY.devices[nth]
    query = Query(devices=frozenset({device.issuer}), shipments=frozenset({ONE, OTHER}))
    statements, verified = judge(collect(CITY.log, query))
    stated = [p.statement for p in statements if p.statement.content_type == CONTENT_SHIPMENT]
    assert [statement.raw for statement in stated if statement.subject == ONE] == CITY.about_one
    assert [statement.subject for statement in stated] == [ONE, ONE, OTHER, ONE]
    readings = [p.statement for p in statements if p.statement.content_type != CONTENT_SHIPMENT]
    assert {statement.issuer for statement in readings} == {device.issuer}
    assert len(readings) == device.sequence > 0
    assert [signer.issuer for signer in verified.signers] == [device.issuer]


def test_a_reading_under_a_shipment_s_name_is_no_statement_about_it() -> None:
    """Its subject says where a sensor is, and that may be a shipment."""
    city = Shipments()
    city.log.add(1, [city.devices[0].read(subject=ONE)])
    city.log.publish()
    statements, _ = judge(collect(city.log, QUERY))
    assert [proven.statement.raw for proven in statements] == city.about_one


def test_without_shipments_nobody_asks_for_statements_about_them() -> None:
    """Readings of all devices, and keys of no parties."""
    statements, verified = judge(collect(CITY.log, Query()))
    assert {proven.statement.issuer for proven in statements} == {d.issuer for d in CITY.devices}
    assert len(verified.signers) == 2


def test_many_shipments_are_as_good_as_few() -> None:
    """Beyond a number of names, bodies are taken apart without looking for them first."""
    names = [f"https://id.gs1.org/00/1061414123456{n:05}" for n in range(20)]
    statements, _ = judge(collect(CITY.log, Query(shipments=frozenset({ONE, *names}))))
    assert [proven.statement.raw for proven in statements] == CITY.about_one


def with_head(query: Query) -> bytes:
    """The file, as if something else had been asked for."""
    frames = take_apart(DATA)
    head = cbor2.loads(frames[0][1]) | {1: query_fields(query)}
    return put_together([(HEAD, cbor2.dumps(head, canonical=True)), *frames[1:]])


def test_what_nobody_asked_for_is_refused() -> None:
    """Another shipment's statement; a party's key, or a device's, where none of them is asked for."""
    assert refusal(with_head(Query(shipments=frozenset({OTHER})))) is Reason.EVIDENCE_QUERY
    assert refusal(with_head(Query(devices=frozenset({CITY.devices[0].issuer})))) is Reason.EVIDENCE_QUERY
    plain = take_apart(collect(CITY.log, Query(devices=frozenset({CITY.devices[0].issuer}))))
    theirs = next(frame for frame in plain if frame[0] == KEY)
    frames = take_apart(DATA)
    assert refusal(put_together([frames[0], theirs, *frames[1:]])) is Reason.EVIDENCE_QUERY
    ours = next(frame for frame in frames if frame[0] == KEY)
    assert refusal(put_together([plain[0], ours, *plain[1:]])) is Reason.EVIDENCE_QUERY
    keys_of_both = Query(shipments=frozenset({OTHER}), devices=frozenset({SHIPPER, CARRIER}))
    assert parse_query(query_fields(QUERY)) == QUERY
    with pytest.raises(VerificationError):
        parse_query(query_fields(keys_of_both))  # They are no devices.


def forged(forge: Callable[[ForgedLog], object], query: Query = QUERY) -> Reason:
    """Why evidence is refused that a log gives which holds what it may not."""
    city = Shipments()
    forge(city.log)
    city.log.publish()
    return refusal(collect(city.log, query))


def stated(signer: Device, stated: ShipmentStatement, **changes: Any) -> bytes:
    """A statement about the shipment."""
    return signer.read(
        subject=ONE, content_type=CONTENT_SHIPMENT, payload=encode_shipment(stated), sequence=99, **changes
    )


def test_who_states_must_be_who_may() -> None:
    """A sensor states about no shipment, a carrier creates none, and each stands in its own shard."""
    shipper, carrier, sensor = Device(50, name=SHIPPER), Device(51, name=CARRIER), device_in(1)
    shard = shard_of(SHIPPER, SHARDS)
    by_sensor = stated(sensor, created())
    assert forged(lambda log: log.add(1, [by_sensor])) is Reason.EVIDENCE_QUERY
    both = Query(devices=frozenset({sensor.issuer}), shipments=frozenset({ONE}))
    assert forged(lambda log: log.add(1, [by_sensor]), both) is Reason.STATEMENT_CONTENT_TYPE
    by_carrier = stated(carrier, created())
    assert forged(lambda log: log.add(shard_of(CARRIER, SHARDS), [by_carrier])) is Reason.SHIPMENT_ROLE
    good = stated(shipper, Loaded(**AFTER))
    assert forged(lambda log: log.add(3 - shard, [good])) is Reason.SHARD_WRONG
    spoiled = good[:-1] + bytes([good[-1] ^ 1])
    assert forged(lambda log: log.add(shard, [spoiled])) is Reason.SIGNATURE_INVALID


def test_a_block_left_out_is_missed() -> None:
    """The log is not made up any more."""
    frames = take_apart(DATA)
    at = [kind for kind, _ in frames].index(BLOCK)
    assert refusal(put_together(frames[:at] + frames[at + 1 :])) in {
        Reason.PATH_SHORT,
        Reason.PATH_LONG,
        Reason.ROOT_MISMATCH,
    }


def test_a_query_says_what_it_asks_for() -> None:
    """In words, and in the file under the number of the formats."""
    assert list(describe_query(QUERY)) == [f"shipment {ONE}"]
    assert query_fields(QUERY) == {7: [ONE]}
    everything = {1: [CITY.devices[0].issuer], 2: ["here"], 3: ["north"], 4: ["no2"], 5: 1, 6: 2, 7: [ONE]}
    assert query_fields(parse_query(everything)) == everything
    assert not QUERY.wants_readings
    assert not QUERY.wants_signer(CITY.devices[0].issuer, "north")
    malformed: list[dict[int, list[str]]] = [{7: ["\n"]}, {7: []}, {8: [ONE]}]
    for fields in malformed:
        with pytest.raises(VerificationError) as refused:
            parse_query(fields)
        assert refused.value.reason is Reason.EVIDENCE_QUERY
