"""`cityproof bench pipeline` and `bench hostile`: what they send is what they say they send."""

from random import Random

import pytest

from pipeline.commands.bench.pipeline.load import (
    RECORDS,
    Chain,
    Lines,
    Outgoing,
    Statements,
    issuer_of,
    number_of,
    to_packets,
)
from pipeline.commands.bench.pipeline.malice import CLASSES, REPLAY
from pipeline.edges.influx import encode_lines
from pipeline.edges.mqtt_packets import MESSAGE_IDS, PacketReader, parse_publish
from pipeline.log.merkle import hash_leaf
from pipeline.ports import Point
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import decode_readings
from pipeline.wire.statement import parse_statement, verify_statement
from pipeline.wire.topics import statements_topic

DEVICES = 7
# These need a registry to be told from good ones.
BY_KEY = {"false signature", "stolen name", "nobody's name", "another's topic", "no quantity", REPLAY}


def test_statements_are_each_devices_chain_in_turn() -> None:
    """Message n is the (n // devices)-th of device n % devices, signed, and links to the one before."""
    statements = Statements(DEVICES)
    sent = statements.sign(20) + statements.sign(5)
    assert len(sent) == 28
    last: dict[str, bytes] = {}
    for number, (topic, payload) in enumerate(sent):
        statement = parse_statement(payload)
        assert statement.issuer == issuer_of(number % DEVICES)
        assert topic == statements_topic(statement.issuer)
        assert number_of(statement, DEVICES) == number
        assert statement.previous == last.get(statement.issuer, bytes(32))
        verify_statement(statement, Chain(number % DEVICES).signer.public_key)
        last[statement.issuer] = hash_leaf(payload)


def test_telegraf_gets_the_same_points() -> None:
    """Line by line what the projector would write of the statements, but for the reference to the log."""
    for signed, unsigned in zip(Statements(DEVICES).sign(20), Lines(DEVICES).make(20), strict=False):
        statement = parse_statement(signed.payload)
        points = [
            Point("air", statement.issuer, statement.subject, quantity, time_us, value, 0)
            for quantity, time_us, value in decode_readings(statement.payload, statement.issuer)
        ]
        assert len(points) == RECORDS
        ours = [line.replace(",ref=0i ", " ") for line in encode_lines(points)]
        assert unsigned.payload.decode().splitlines() == ours


def test_packets_carry_the_messages_and_ids_go_round() -> None:
    """From any number on; an id is never 0."""
    sent = [Outgoing(f"a/{number}", b"%d" % number) for number in range(3)]
    packets = b"".join(to_packets(sent, MESSAGE_IDS - 1))
    found = [parse_publish(packet) for packet in PacketReader().feed(packets)]
    assert [(p.topic.decode(), p.payload) for p in found] == sent
    assert [p.message_id for p in found] == [MESSAGE_IDS, 1, 2]


@pytest.mark.parametrize("name", CLASSES)
def test_bad_messages_are_bad_in_the_way_they_say(name: str) -> None:
    """Refused by their form for one of their reasons, or well formed, and for a registry to refuse."""
    random, malice = Random(1), CLASSES[name]
    sent: set[bytes] = set()
    for number, raw in enumerate(Chain(3).sign(50)):
        good = Outgoing(statements_topic(issuer_of(3)), raw)
        bad = malice.make(good, number, random)
        assert (bad == good) == (name == REPLAY)
        sent.add(bad.payload)
        found: Reason | None = None
        try:
            parse_statement(bad.payload)
        except VerificationError as error:
            found = error.reason
        assert found in malice.reasons if name not in BY_KEY else found is None
    assert len(sent) == 50
