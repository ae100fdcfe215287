"""The courier: receipts that hold, refusals to whoever sent the bytes, and the same again after any crash."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from hashlib import sha256
from typing import Any

import pytest

from pipeline.log.block import parse_signed_block
from pipeline.log.receipt import Receipt, check_receipt
from pipeline.ports import Append, LeafPlace
from pipeline.stages import courier
from pipeline.stages.courier import receipts_of
from pipeline.stages.envelopes import Duplicate, Refused, wrap_outcomes
from pipeline.stages.follow import open_follower
from pipeline.wire.errors import UnavailableError, VerificationError
from pipeline.wire.messages import decode_receipts, decode_refusal
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import StatementParser, parse_statement
from pipeline.wire.topics import LOG, REFUSED, receipts_topic, refusals_topic
from tests.support.city import AUTHORITY_NAME, NOW_MS, ORIGIN, SHARDS, Device, device_in, enrol
from tests.support.city import LOG as LOG_KEY
from tests.support.memory_bus import MemoryBus, city_topics
from tests.support.memory_edges import MemoryIndex, MemoryPublisher
from tests.support.placed import PlacedLog, grown
from tests.support.virtual_time import run


class City:
    """A bus with a log on it, an index, and whoever listens on MQTT."""

    def __init__(self) -> None:
        self.bus = MemoryBus(city_topics(SHARDS))
        self.index = MemoryIndex()
        self.mqtt = MemoryPublisher()

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(courier.run(self.bus, SHARDS, self.mqtt, self.index))

    def tell(self, shard: int, refused: Sequence[Refused] = (), duplicates: Sequence[Duplicate] = ()) -> None:
        """What the aggregator says beside a block."""
        for value in wrap_outcomes(refused, duplicates):
            self.bus.put(Append(REFUSED, shard, value))


def with_city(test: Callable[[City], Coroutine[Any, Any, None]]) -> None:
    """Run a test on a city of its own, on a clock that jumps."""

    async def main() -> None:
        await test(City())

    run(main())


def held(payload: bytes, raw: bytes) -> Receipt:
    """What a device finds in a message of receipts that holds one for this statement."""
    statement = parse_statement(raw)
    matching = [
        item.receipt
        for item in decode_receipts(payload)
        if (item.epoch, item.sequence) == (statement.epoch, statement.sequence)
    ]
    leaf_hash = sha256(b"\0" + raw).digest()
    (receipt,) = matching
    return check_receipt(receipt, leaf_hash, origin=ORIGIN, public_key=LOG_KEY.signer.public_key)


def refused(raw: bytes, reason: Reason, topic: str) -> Refused:
    """One refused arrival."""
    return Refused(topic, sha256(raw).digest(), reason.value, 1, len(raw), NOW_MS, raw)


def duplicate(raw: bytes, topic: str) -> Duplicate:
    """One duplicate."""
    statement = parse_statement(raw)
    return Duplicate(topic, statement.issuer, statement.epoch, statement.sequence, 1)


def test_every_statement_of_a_block_has_a_receipt_that_holds() -> None:
    """It names shard, height and leaf; the index says where entry and block lie on the bus."""

    async def test(city: City) -> None:
        log = grown(city.bus)
        async with open_follower(city.bus, SHARDS) as follower:
            entries = await follower.read(100, 0)
        assert receipts_of(entries[0], StatementParser()) == ({}, [])
        for entry, statements in zip(entries, log.leaves, strict=True):
            by_issuer, rows = receipts_of(entry, StatementParser())
            assert sum(len(receipts) for receipts in by_issuer.values()) == len(statements)
            for leaf, raw in enumerate(statements, 1):
                statement = parse_statement(raw)
                (own,) = [r for r in by_issuer[statement.issuer] if (r.epoch, r.sequence) == statement[5:7]]
                receipt = check_receipt(
                    own.receipt,
                    sha256(b"\0" + raw).digest(),
                    origin=ORIGIN,
                    public_key=LOG_KEY.signer.public_key,
                )
                block = parse_signed_block(entry.raw)
                assert receipt == Receipt(block.shard, block.height, leaf, len(statements) + 1)
                identity = statement.issuer, statement.epoch, statement.sequence
                assert entry.placed is not None
                assert rows[leaf - 1] == LeafPlace(
                    *identity, entry.log_offset, block.shard, entry.placed.block_offset, leaf
                )

    with_city(test)


def test_a_device_gets_one_message_a_block() -> None:
    """With all its receipts in it; an authority gets those of its enrolments the same way."""

    async def test(city: City) -> None:
        log = PlacedLog(city.bus)
        devices = [device_in(1, nth) for nth in range(3)]
        log.enrol(*devices)
        raws = [device.read() for device in devices for _ in range(4)]
        log.read(1, raws)
        task = city.start()
        await asyncio.sleep(1)
        assert Counter(topic for topic, _ in city.mqtt.sent) == Counter(
            [receipts_topic(AUTHORITY_NAME), *(receipts_topic(device.issuer) for device in devices)]
        )
        for raw in raws:
            (payload,) = city.mqtt.to(receipts_topic(parse_statement(raw).issuer))
            assert held(payload, raw).height == 0
        (payload,) = city.mqtt.to(receipts_topic(AUTHORITY_NAME))
        assert held(payload, enrol(devices[0], 0)) == Receipt(0, 0, 1, 4)
        task.cancel()

    with_city(test)


def test_both_statements_under_one_identity_have_their_receipt() -> None:
    """An equivocation stands in the log like any other leaf."""

    async def test(city: City) -> None:
        log = PlacedLog(city.bus)
        device = device_in(1)
        log.enrol(device)
        two = [device.read(), device.read(sequence=0, records=2)]
        log.read(1, two, equivocations=(2,))
        task = city.start()
        await asyncio.sleep(1)
        (payload,) = city.mqtt.to(receipts_topic(device.issuer))
        for leaf, (item, raw) in enumerate(zip(decode_receipts(payload), two, strict=True), 1):
            leaf_hash = sha256(b"\0" + raw).digest()
            receipt = check_receipt(
                item.receipt, leaf_hash, origin=ORIGIN, public_key=LOG_KEY.signer.public_key
            )
            assert receipt.index == leaf
        task.cancel()

    with_city(test)


def test_a_device_that_contradicted_itself_is_answered_with_both_receipts() -> None:
    """Which of the two its duplicate is, its sender can tell: a cloned key leaves two who wait."""

    async def test(city: City) -> None:
        log = PlacedLog(city.bus)
        device = device_in(1)
        log.enrol(device)
        first, second = device.read(), device.read(sequence=0, records=2)
        log.read(1, [first])
        log.read(1, [second], equivocations=(1,))
        task = city.start()
        await asyncio.sleep(1)
        city.mqtt.sent.clear()
        city.tell(1, duplicates=[duplicate(second, f"statements/{device.issuer}")])
        await asyncio.sleep(1)
        ((_, payload),) = city.mqtt.sent
        for item, raw, height in zip(decode_receipts(payload), (first, second), (0, 1), strict=True):
            leaf_hash = sha256(b"\0" + raw).digest()
            receipt = check_receipt(
                item.receipt, leaf_hash, origin=ORIGIN, public_key=LOG_KEY.signer.public_key
            )
            assert receipt == Receipt(1, height, 1, 2)
        task.cancel()

    with_city(test)


def test_a_duplicate_is_answered_with_its_receipt() -> None:
    """Once, however often it came in that block; from whatever shard and block it stands in."""

    async def test(city: City) -> None:
        log = grown(city.bus, 70)
        task = city.start()
        await asyncio.sleep(1)
        for number, statements in enumerate(log.leaves[2:], 2):
            raw = statements[-1]
            topic = f"statements/{parse_statement(raw).issuer}"
            city.mqtt.sent.clear()
            city.tell(1, duplicates=[duplicate(raw, topic)] * 5)
            await asyncio.sleep(1)
            ((answered, payload),) = city.mqtt.sent
            assert answered == receipts_topic(parse_statement(raw).issuer)
            block = parse_signed_block(log.entries[number])
            expected = Receipt(block.shard, block.height, len(statements), len(statements) + 1)
            assert held(payload, raw) == expected
        task.cancel()

    with_city(test)


@pytest.mark.parametrize("reason", [Reason.SEQUENCE_OLD, Reason.KEY_KNOWN])
def test_what_is_refused_but_stands_in_the_log_is_answered_with_its_receipt_first(reason: Reason) -> None:
    """An old repeat whose receipt got lost: the device then holds nothing that the refusal could concern."""

    async def test(city: City) -> None:
        log = grown(city.bus, 1)
        raw = log.leaves[-1][0]
        device = parse_statement(raw).issuer
        task = city.start()
        await asyncio.sleep(1)
        city.mqtt.sent.clear()
        city.tell(1, [refused(raw, reason, f"statements/{device}")])
        await asyncio.sleep(1)
        (receipts, payload), (refusals, refusal) = city.mqtt.sent
        assert (receipts, refusals) == (receipts_topic(device), refusals_topic(device))
        assert held(payload, raw).index == 1
        assert decode_refusal(refusal) == (sha256(raw).digest(), reason)
        task.cancel()

    with_city(test)


def test_other_refusals_are_answered_with_the_refusal_alone() -> None:
    """Also where the bytes stand in the log; a receipt goes to who may have lost it, nothing to a flood."""

    async def test(city: City) -> None:
        log = grown(city.bus, 1)
        raw = log.leaves[-1][0]
        task = city.start()
        await asyncio.sleep(1)
        city.mqtt.sent.clear()
        others = [reason for reason in Reason if reason not in {Reason.SEQUENCE_OLD, Reason.KEY_KNOWN}]
        city.tell(1, [refused(raw, reason, f"statements/{device_in(1).issuer}") for reason in others])
        others.remove(Reason.QUOTA_EXCEEDED)
        await asyncio.sleep(1)
        assert [decode_refusal(payload).reason for _, payload in city.mqtt.sent] == others
        task.cancel()

    with_city(test)


def test_nothing_is_answered_that_does_not_stand_in_the_log() -> None:
    """An identity the index lacks: its receipt will come with its block. Old bytes that are no statement."""

    async def test(city: City) -> None:
        grown(city.bus, 1)
        stranger = Device(77)
        task = city.start()
        await asyncio.sleep(1)
        city.mqtt.sent.clear()
        city.tell(
            1,
            [refused(b"\xff", Reason.SEQUENCE_OLD, "statements/x")],
            [duplicate(stranger.read(), f"statements/{stranger.issuer}")],
        )
        await asyncio.sleep(1)
        assert [topic for topic, _ in city.mqtt.sent] == ["refusals/x"]
        task.cancel()

    with_city(test)


@pytest.mark.parametrize(
    ("topic", "answered"),
    [
        ("statements/urn:dev:ops:32473-air-1", ["refusals/urn:dev:ops:32473-air-1"]),
        ("registry/https:%2F%2Feco.city.example%2F", ["refusals/https:%2F%2Feco.city.example%2F"]),
        ("statements/a%2Fb", ["refusals/a%2Fb"]),
        ("statements/a%2fb", []),
        ("statements/", []),
        ("elsewhere/x", []),
        ("", []),
    ],
)
def test_a_refusal_goes_to_the_name_in_the_mqtt_topic(topic: str, answered: list[str]) -> None:
    """Not to whom the bytes claim to be from; a topic that names nobody has nobody to answer to."""

    async def test(city: City) -> None:
        task = city.start()
        raw = device_in(2).read()
        city.tell(1, [refused(raw, Reason.SIGNATURE_INVALID, topic)])
        await asyncio.sleep(1)
        assert [topic for topic, _ in city.mqtt.sent] == answered
        task.cancel()

    with_city(test)


def test_a_restart_repeats_and_loses_nothing() -> None:
    """Stopped at any moment: every receipt and refusal goes out, a repeat has the same bytes."""

    async def test(city: City) -> None:
        log = grown(city.bus, 12)
        for number in range(12):
            city.tell(
                number % SHARDS, [refused(b"%d" % number, Reason.CBOR_TRAILING, f"statements/d{number}")]
            )
        for rounds in range(1, 120):
            task = city.start()
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        task = city.start()
        await asyncio.sleep(60)
        distinct = set(city.mqtt.sent)
        assert len(distinct) < len(city.mqtt.sent)
        receipts = [payload for topic, payload in distinct if topic.startswith("receipts/")]
        assert sum(len(decode_receipts(payload)) for payload in receipts) == sum(map(len, log.leaves))
        assert {t for t, _ in distinct if t.startswith("refusals/")} == {f"refusals/d{n}" for n in range(12)}
        assert len(city.index.rows) == sum(map(len, log.leaves))
        city.mqtt.sent.clear()
        task.cancel()
        task = city.start()
        await asyncio.sleep(60)
        assert city.mqtt.sent == []  # All that was committed is not repeated.
        task.cancel()

    with_city(test)


def test_a_receipt_that_was_not_acknowledged_is_sent_again() -> None:
    """The commit follows the acknowledgement: a broker that is gone ends the courier, and nothing is lost."""

    async def test(city: City) -> None:
        log = grown(city.bus, 3)
        city.mqtt.fails = lambda topic: topic.startswith("receipts/urn")
        task = city.start()
        await asyncio.sleep(1)
        assert isinstance(task.exception(), ExceptionGroup)
        assert task.exception().subgroup(UnavailableError) is not None  # type: ignore[union-attr]
        assert city.bus.commits.get(("courier", LOG, 0), 0) < 2
        city.mqtt.fails = lambda _topic: False
        task = city.start()
        await asyncio.sleep(1)
        for raw in (raw for statements in log.leaves for raw in statements):
            name = parse_statement(raw).issuer
            assert any(_holds(payload, raw) for payload in city.mqtt.to(receipts_topic(name)))
        task.cancel()

    with_city(test)


def _holds(payload: bytes, raw: bytes) -> bool:
    try:
        return held(payload, raw).index > 0
    except (VerificationError, ValueError):
        return False


def test_the_index_can_be_made_again_from_the_topics() -> None:
    """Wiped, and read from the beginning: the same rows."""

    async def test(city: City) -> None:
        grown(city.bus, 5)
        task = city.start()
        await asyncio.sleep(1)
        before = dict(city.index.rows)
        task.cancel()
        city.index.rows.clear()
        city.bus.commits.clear()
        task = city.start()
        await asyncio.sleep(1)
        assert city.index.rows == before
        task.cancel()

    with_city(test)
