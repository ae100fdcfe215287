"""The MQTT edge against a scripted broker: what it sends, when, and on which connection."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
import uvloop

from pipeline.edges import mqtt
from pipeline.edges.mqtt import MqttInbox, MqttPublisher
from pipeline.ports import Delivery
from pipeline.wire.errors import UnavailableError
from tests.edges.fake_broker import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    PUBACK,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    Connection,
    FakeBroker,
)

T = TypeVar("T")


@pytest.fixture
async def broker() -> AsyncGenerator[FakeBroker]:
    async with FakeBroker().listening() as listening:
        yield listening


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(mqtt, "RETRY_MAX_S", 0.05)


async def soon(waited: Awaitable[T]) -> T:
    return await asyncio.wait_for(waited, 10)


@asynccontextmanager
async def inbox_on(
    broker: FakeBroker, *, queue_max: int = 100, keepalive_s: int = 60
) -> AsyncGenerator[tuple[MqttInbox, Connection]]:
    """An inbox that is subscribed, and the broker's end of its connection."""
    greeting = asyncio.create_task(welcome(broker))
    async with MqttInbox.open(
        "127.0.0.1", broker.port, "bridge", ["statements/+"], queue_max=queue_max, keepalive_s=keepalive_s
    ) as inbox:
        yield inbox, await greeting


async def welcome(broker: FakeBroker, *, subscribes: bool = True) -> Connection:
    return await (await broker.accept()).welcome(subscribes=subscribes)


@asynccontextmanager
async def publisher_on(broker: FakeBroker) -> AsyncGenerator[tuple[MqttPublisher, Connection]]:
    greeting = asyncio.create_task(welcome(broker, subscribes=False))
    async with MqttPublisher.open("127.0.0.1", broker.port, "courier") as publisher:
        yield publisher, await greeting


async def receive(inbox: MqttInbox, number: int) -> list[bytes]:
    """Take this many messages; return their payloads without acknowledging any."""
    payloads: list[bytes] = []
    while len(payloads) < number:
        payloads += [d.payload for d in await soon(inbox.receive(number - len(payloads), 0))]
    return payloads


# The inbox.


async def test_the_session_is_persistent(broker: FakeBroker) -> None:
    """MQTT 3.1.1, the given client id, no clean session, every topic at QoS 1, on every connection."""
    opening = asyncio.create_task(collect_greetings(broker))
    async with MqttInbox.open("127.0.0.1", broker.port, "bridge", ["statements/+", "registry/+"]):
        greetings = await opening
    connect, subscribe = greetings[0]
    assert connect == b"\x00\x04MQTT\x04\x00" + (20).to_bytes(2, "big") + b"\x00\x06bridge"
    assert subscribe[2:] == b"\x00\x0cstatements/+\x01\x00\x0aregistry/+\x01"
    assert [(c, s[2:]) for c, s in greetings] == [(connect, subscribe[2:])] * 3


async def collect_greetings(broker: FakeBroker) -> list[tuple[bytes, bytes]]:
    greetings: list[tuple[bytes, bytes]] = []
    for _ in range(3):
        connection = await broker.accept()
        connect = await connection.read(CONNECT)
        connection.send(CONNACK, 0, b"\x00\x00")
        subscribe = await connection.read(SUBSCRIBE)
        connection.send(SUBACK, 0, subscribe.body[:2] + b"\x01\x01")
        greetings.append((connect.body, subscribe.body))
        if len(greetings) < 3:
            connection.cut()
    return greetings


async def test_messages_come_as_they_were_sent(broker: FakeBroker) -> None:
    """Any bytes, none, and a megabyte; the topic as text."""
    payloads = [b"", bytes(range(256)), b"x" * 1024 * 1024]
    async with inbox_on(broker) as (inbox, connection):
        for number, payload in enumerate(payloads, 1):
            connection.publish(number, payload, b"statements/urn%3Adev%3Aorg%3A32473-\xc3\xa9")
        assert await receive(inbox, 3) == payloads
        connection.publish(4, b"last")
        (delivery,) = await soon(inbox.receive(1, 0))
        assert (delivery.topic, delivery.message_id, delivery.generation) == ("statements/a", 4, 1)


async def test_nothing_is_acknowledged_before_its_effects(broker: FakeBroker) -> None:
    """PUBACK follows `acknowledge`, for those messages, in their order, and nothing else does."""
    async with inbox_on(broker) as (inbox, connection):
        for number in (1, 2, 3):
            connection.publish(number, b"%d" % number)
        deliveries: list[Delivery] = []
        while len(deliveries) < 3:
            deliveries += await soon(inbox.receive(3, 0))
        assert await connection.nothing_more()
        await inbox.acknowledge(deliveries[:2])
        assert [(await connection.read(PUBACK)).message_id for _ in range(2)] == [1, 2]
        assert await connection.nothing_more()
        await inbox.acknowledge(deliveries[2:])
        assert (await connection.read(PUBACK)).message_id == 3


async def test_a_lost_connections_messages_are_not_acknowledged_on_the_next(broker: FakeBroker) -> None:
    """Message ids begin again with a connection: an acknowledgement of an earlier one is dropped."""
    async with inbox_on(broker) as (inbox, connection):
        connection.publish(1, b"first")
        old = await soon(inbox.receive(10, 0))
        connection.cut()
        second = await welcome(broker)
        second.publish(1, b"first", again=True)
        second.publish(2, b"other")
        new: list[Delivery] = []
        while len(new) < 2:
            new += await soon(inbox.receive(10, 0))
        await inbox.acknowledge(old)
        assert await second.nothing_more()
        assert [(d.payload, d.generation > old[0].generation) for d in new] == [
            (b"first", True),
            (b"other", True),
        ]
        await inbox.acknowledge([*old, *new])
        assert [(await second.read(PUBACK)).message_id for _ in range(2)] == [1, 2]


async def test_acknowledging_without_a_connection_is_no_error(broker: FakeBroker) -> None:
    """The broker sends it again; downstream drops the repeat."""
    async with inbox_on(broker) as (inbox, connection):
        connection.publish(1, b"first")
        deliveries = await soon(inbox.receive(10, 0))
        connection.cut()
        refused = await broker.accept()
        await inbox.acknowledge(deliveries)
        refused.cut()
        await welcome(broker)


async def test_a_receive_is_bounded_and_gathers(broker: FakeBroker) -> None:
    """Up to the limit at once; what comes within the gathering time joins; the rest comes next, in order."""
    async with inbox_on(broker) as (inbox, connection):
        receiving = asyncio.create_task(inbox.receive(100, 0.5))
        connection.publish(1, b"1")
        await asyncio.sleep(0.01)
        connection.publish(2, b"2")
        assert [d.payload for d in await soon(receiving)] == [b"1", b"2"]
        for number in range(3, 13):
            connection.publish(number, b"%d" % number)
        taken = [[d.payload for d in await soon(inbox.receive(4, 0.2))] for _ in range(3)]
        assert [len(some) for some in taken] == [4, 4, 2]
        assert [payload for some in taken for payload in some] == [b"%d" % n for n in range(3, 13)]


async def test_a_cancelled_receive_loses_nothing(broker: FakeBroker) -> None:
    """A message that came while the caller gathered is there for the next one."""
    async with inbox_on(broker) as (inbox, connection):
        receiving = asyncio.create_task(inbox.receive(10, 5))
        connection.publish(1, b"kept")
        await asyncio.sleep(0.02)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        assert await receive(inbox, 1) == [b"kept"]


async def test_odd_messages_reach_the_caller(broker: FakeBroker) -> None:
    """A topic that is no UTF-8 comes as an empty one, its bytes kept; QoS 0 comes unacknowledged."""
    async with inbox_on(broker) as (inbox, connection):
        connection.publish(7, b"odd", b"statements/\xff")
        connection.send(PUBLISH, 0, b"\x00\x0cstatements/aunasked")
        deliveries: list[Delivery] = []
        while len(deliveries) < 2:
            deliveries += await soon(inbox.receive(2, 0))
        assert [(d.topic, d.payload) for d in deliveries] == [("", b"odd"), ("statements/a", b"unasked")]
        await inbox.acknowledge(deliveries)
        assert (await connection.read(PUBACK)).message_id == 7
        assert await connection.nothing_more()


async def test_a_full_queue_keeps_nothing_it_cannot_hold(broker: FakeBroker) -> None:
    """Beyond the bound nothing is kept or acknowledged; once there is room all of it comes again."""
    unacknowledged = {number: b"%d" % number for number in range(1, 21)}
    seen: list[bytes] = []
    async with inbox_on(broker, queue_max=5) as (inbox, first):
        connection = first
        while unacknowledged:
            for number, payload in unacknowledged.items():
                connection.publish(number, payload)
            await until(lambda: inbox.put_back >= len(unacknowledged) - 5)
            deliveries: list[Delivery] = []
            while len(deliveries) < min(5, len(unacknowledged)):
                deliveries += await soon(inbox.receive(5, 0))
            seen += [d.payload for d in deliveries]
            inbox.put_back = 0
            await inbox.acknowledge(deliveries)
            for _ in deliveries:
                del unacknowledged[(await connection.read(PUBACK)).message_id]
            if unacknowledged:
                await connection.read(DISCONNECT)
                connection = await welcome(broker)
    assert sorted(map(int, seen)) == list(range(1, 21))
    assert not unacknowledged


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)  # What paho's thread counts wakes nobody.


async def test_memory_is_bounded_in_bytes_too(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few large messages fill the queue as many small ones do; one alone is taken whatever its size."""
    monkeypatch.setattr(mqtt, "QUEUE_BYTES_MAX", 1000)
    async with inbox_on(broker) as (inbox, connection):
        connection.publish(1, bytes(5000))
        connection.publish(2, b"small")
        await until(lambda: inbox.put_back == 1)
        assert await receive(inbox, 1) == [bytes(5000)]
        for number in (3, 4, 5):
            connection.publish(number, bytes(400))
        await until(lambda: inbox.put_back == 2)
        assert await receive(inbox, 2) == [bytes(400)] * 2


async def test_keep_alive_goes_on_while_nobody_receives(broker: FakeBroker) -> None:
    """With the queue full and more coming in, pings are sent and the connection stays the same one."""
    async with inbox_on(broker, queue_max=3, keepalive_s=1) as (inbox, connection):

        async def flood() -> None:
            for number in range(1, 60_000):
                connection.publish(number, bytes(1000))
                await asyncio.sleep(0.002)

        flooding = asyncio.create_task(flood())
        await until(lambda: connection.pings >= 2)
        flooding.cancel()
        assert inbox.put_back > 100
        assert inbox.generation == 1
        assert await receive(inbox, 3) == [bytes(1000)] * 3


@pytest.mark.parametrize("code", [4, 5])
async def test_a_refused_connection_is_said(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Opening fails with the broker's address and its reason; it is tried more than once."""
    monkeypatch.setattr(mqtt, "OPEN_TIMEOUT_S", 0.5)
    attempts = 0

    async def refuse() -> None:
        nonlocal attempts
        while True:
            connection = await broker.accept()
            await connection.read(CONNECT)
            connection.send(CONNACK, 0, bytes([0, code]))
            attempts += 1

    refusing = asyncio.create_task(refuse())
    with pytest.raises(UnavailableError, match=rf"127.0.0.1:{broker.port} .*refuses the connection"):
        async with MqttInbox.open("127.0.0.1", broker.port, "bridge", ["statements/+"]):
            pass
    refusing.cancel()
    assert attempts >= 2


async def test_a_refused_subscription_is_said(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """An inbox that would hear nothing does not open."""
    monkeypatch.setattr(mqtt, "OPEN_TIMEOUT_S", 0.5)

    async def refuse() -> None:
        connection = await broker.accept()
        await connection.read(CONNECT)
        connection.send(CONNACK, 0, b"\x00\x00")
        wanted = await connection.read(SUBSCRIBE)
        connection.send(SUBACK, 0, wanted.body[:2] + b"\x80")

    refusing = asyncio.create_task(refuse())
    with pytest.raises(UnavailableError, match="refuses a subscription"):
        async with MqttInbox.open("127.0.0.1", broker.port, "bridge", ["statements/+"]):
            pass
    await refusing


async def test_no_broker_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens: opening fails with the address and the reason."""
    monkeypatch.setattr(mqtt, "OPEN_TIMEOUT_S", 0.2)
    async with FakeBroker().listening() as gone:
        port = gone.port
    for opened in (MqttInbox.open("127.0.0.1", port, "a", ["x"]), MqttPublisher.open("127.0.0.1", port, "a")):
        with pytest.raises(UnavailableError, match=rf"127.0.0.1:{port} .*refused"):
            async with opened:
                pass


async def test_it_comes_back_after_many_failures(broker: FakeBroker) -> None:
    """However often the connection fails, the next attempt follows."""
    async with inbox_on(broker) as (inbox, connection):
        connection.cut()
        for _ in range(5):
            (await broker.accept()).cut()
        again = await welcome(broker)
        again.publish(1, b"back")
        assert await receive(inbox, 1) == [b"back"]
        assert inbox.generation >= 7


def test_attempts_come_slower_and_not_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait doubles up to its bound, and two clients hardly ever draw the same one."""
    monkeypatch.undo()
    for attempt, longest_s in enumerate([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]):
        waits_s = [mqtt.backoff_s(attempt) for _ in range(200)]
        assert longest_s / 2 <= min(waits_s) < longest_s * 0.6
        assert longest_s * 0.9 < max(waits_s) <= longest_s
        assert len(set(waits_s)) > 190
    assert mqtt.backoff_s(10**6) <= 10


def test_it_speaks_on_uvloop_too() -> None:
    """What services run on: a message in and its acknowledgement out, a message out and its answer in."""

    async def main() -> None:
        async with FakeBroker().listening() as broker:
            async with inbox_on(broker) as (inbox, connection):
                connection.publish(1, b"in")
                deliveries = await soon(inbox.receive(1, 0))
                await inbox.acknowledge(deliveries)
                assert (await connection.read(PUBACK)).message_id == 1
            async with publisher_on(broker) as (publisher, connection):
                publishing = asyncio.create_task(publisher.publish("receipts/a", b"out"))
                connection.acknowledge(await connection.read(PUBLISH))
                await soon(publishing)

    uvloop.run(main())


# The publisher.


async def test_publishing_returns_when_it_is_acknowledged(broker: FakeBroker) -> None:
    """Not before PUBACK; topic, payload and QoS 1 as asked."""
    async with publisher_on(broker) as (publisher, connection):
        publishing = asyncio.create_task(publisher.publish("receipts/a", b"payload"))
        packet = await connection.read(PUBLISH)
        assert (packet.flags, packet.body[:12], packet.payload) == (0b0010, b"\x00\x0areceipts/a", b"payload")
        assert await connection.nothing_more(0.05)
        assert not publishing.done()
        connection.acknowledge(packet)
        await soon(publishing)


async def test_what_a_lost_connection_left_open_is_sent_again(broker: FakeBroker) -> None:
    """Published on the next connection, and acknowledged there; an answered one is not repeated."""
    async with publisher_on(broker) as (publisher, connection):
        publishing = [asyncio.create_task(publisher.publish("receipts/a", b"%d" % n)) for n in range(3)]
        packets = [await connection.read(PUBLISH) for _ in range(3)]
        connection.acknowledge(packets[1])
        await soon(publishing[1])
        connection.cut()
        second = await welcome(broker, subscribes=False)
        again = [await second.read(PUBLISH) for _ in range(2)]
        assert sorted(p.payload for p in again) == [b"0", b"2"]
        assert not publishing[0].done()
        for packet in again:
            second.acknowledge(packet)
        await soon(asyncio.gather(*publishing))


async def test_publishing_waits_for_a_connection(broker: FakeBroker) -> None:
    """While there is none nothing is lost, and nothing is sent twice once there is one."""
    async with publisher_on(broker) as (publisher, connection):
        connection.cut()
        refused = await broker.accept()
        publishing = asyncio.create_task(publisher.publish("receipts/a", b"patient"))
        refused.cut()
        second = await welcome(broker, subscribes=False)
        packet = await second.read(PUBLISH)
        second.acknowledge(packet)
        await soon(publishing)
        assert await second.nothing_more(0.05)


async def test_the_number_in_flight_is_bounded(broker: FakeBroker) -> None:
    """The broker never has more than the bound to answer; each answer lets one more go."""
    async with publisher_on(broker) as (publisher, connection):
        total = mqtt.IN_FLIGHT_MAX + 20
        publishing = [asyncio.create_task(publisher.publish("receipts/a", b"%d" % n)) for n in range(total)]
        open_packets = [await connection.read(PUBLISH) for _ in range(mqtt.IN_FLIGHT_MAX)]
        assert await connection.nothing_more()
        for number in range(20):
            connection.acknowledge(open_packets[number])
            open_packets.append(await connection.read(PUBLISH))
        for packet in open_packets[20:]:
            connection.acknowledge(packet)
        await soon(asyncio.gather(*publishing))
    assert len({packet.payload for packet in open_packets}) == total


async def test_a_cancelled_publish_gives_its_place_back(broker: FakeBroker) -> None:
    """Its late answer harms nobody, and others go on."""
    async with publisher_on(broker) as (publisher, connection):
        for _ in range(mqtt.IN_FLIGHT_MAX + 5):
            publishing = asyncio.create_task(publisher.publish("receipts/a", b"given up"))
            packet = await connection.read(PUBLISH)
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            connection.acknowledge(packet)
        assert not publisher._unanswered
        publishing = asyncio.create_task(publisher.publish("receipts/a", b"kept"))
        connection.acknowledge(await connection.read(PUBLISH))
        await soon(publishing)


async def test_more_than_the_broker_takes_is_our_own_bug(broker: FakeBroker) -> None:
    """A message beyond the size limit is an assertion, not something to try again for ever."""
    async with publisher_on(broker) as (publisher, _):
        with pytest.raises(AssertionError):
            await publisher.publish("receipts/a", bytes(mqtt.PAYLOAD_SIZE_MAX + 1))
