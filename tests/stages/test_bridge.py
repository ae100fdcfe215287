"""The bridge: every message is on the bus, in the shard of who sent it, before it is acknowledged."""

import asyncio
from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ports import Delivery
from pipeline.stages import bridge
from pipeline.stages.bridge import NAMES_MAX, Quota, place
from pipeline.stages.envelopes import (
    CHUNK_BYTES_MAX,
    Arrival,
    Duplicate,
    Refused,
    ShardPosition,
    refusal_of,
    unwrap_arrival,
    unwrap_outcomes,
    unwrap_positions,
    wrap_arrival,
    wrap_outcomes,
    wrap_positions,
)
from pipeline.wire.errors import UnavailableError
from pipeline.wire.reasons import Reason
from pipeline.wire.topics import STATEMENTS, registry_topic, statements_topic
from tests.support.city import SHARDS, device_in
from tests.support.memory_bus import MemoryBus, city_topics
from tests.support.simulation import Inbox
from tests.support.virtual_time import run

LIMIT = 16_384


@pytest.mark.parametrize("shard", [1, 2])
def test_a_device_has_its_shard(shard: int) -> None:
    """The one of the name in the MQTT topic, whatever the bytes say; the topic goes with them as the key."""
    topic = statements_topic(device_in(shard).issuer)
    append = place(Delivery(topic, b"anything", 7, 0), SHARDS)
    assert (append.topic, append.partition) == (STATEMENTS, shard)
    assert append.key == topic.encode()
    assert unwrap_arrival(append.value) == Arrival(b"anything", 8, None)


@pytest.mark.parametrize(
    "topic",
    [registry_topic("https://eco.example/"), "receipts/x", "statements/", "statements/%2f", "", "x", "#/é"],
)
def test_everything_else_is_the_registrys(topic: str) -> None:
    """Authorities belong there; what names nobody is refused there, and kept."""
    assert place(Delivery(topic, b"x", 1, 0), SHARDS).partition == 0


def test_beyond_its_quota_a_message_is_its_hash() -> None:
    """It keeps its shard and its sender, and what it was can be told from what a manifest counts."""
    topic = statements_topic(device_in(1).issuer)
    append = place(Delivery(topic, b"flood" * 1000, 7, 0), SHARDS, within_quota=False)
    assert (append.partition, append.key, len(append.value)) == (1, topic.encode(), 41)
    assert unwrap_arrival(append.value) == Arrival(b"", 5000, sha256(b"flood" * 1000).digest())
    assert refusal_of(append.value) is Reason.QUOTA_EXCEEDED


def test_a_quota_admits_a_burst_and_then_its_rate() -> None:
    """A burst at once, then one as each comes due; a pause gives credit for a burst and for no more."""
    quota = Quota(per_s=4, burst=3)
    assert [quota.admits("a", 10.0) for _ in range(5)] == [True, True, True, False, False]
    assert [quota.admits("a", 10.0 + n / 8) for n in range(1, 9)] == [False, True] * 4
    assert [quota.admits("a", 1000.0) for _ in range(4)] == [True, True, True, False]


def test_a_quota_is_each_names_own_and_remembers_few() -> None:
    """One name's flood takes nothing from another's; names in credit are forgotten, others are bounded."""
    quota = Quota(per_s=1, burst=2)
    assert [quota.admits("a", 0.0) for _ in range(3)] == [True, True, False]
    assert quota.admits("b", 0.0)
    assert quota.admits("c", 2.0)
    assert list(quota._whole_at_s) == ["c"]
    for number in range(NAMES_MAX + 10):
        assert quota.admits(str(number), 2.0)
    assert len(quota._whole_at_s) == NAMES_MAX


def test_messages_are_acknowledged_after_the_bus_has_them() -> None:
    """In their order, with their bytes; none is left, none is acknowledged before."""

    async def main() -> None:
        bus, inbox = MemoryBus(city_topics(SHARDS)), Inbox()
        task = asyncio.create_task(bridge.run(bus, inbox, SHARDS))
        topic = statements_topic(device_in(1).issuer)
        for number in range(2000):
            inbox.deliver(topic, b"%d" % number)
        await asyncio.sleep(1)
        assert [value[1:] for value in bus.values(STATEMENTS, 1)] == [b"%d" % n for n in range(2000)]
        assert inbox.unacknowledged == {}
        bus.fault = lambda _writer, _batch: "before"
        inbox.deliver(topic, b"lost?")
        await asyncio.sleep(1)
        assert isinstance(task.exception(), UnavailableError)
        assert [delivery.payload for delivery in inbox.unacknowledged.values()] == [b"lost?"]

    run(main())


def test_two_bridges_share_the_work() -> None:
    """Each with its own session; the bus fences neither."""

    async def main() -> None:
        bus = MemoryBus(city_topics(SHARDS))
        inboxes = [Inbox(), Inbox()]
        tasks = [
            asyncio.create_task(bridge.run(bus, inbox, SHARDS, name))
            for inbox, name in zip(inboxes, ("bridge-a", "bridge-b"), strict=True)
        ]
        await asyncio.sleep(0.1)
        for inbox in inboxes:
            inbox.deliver(statements_topic(device_in(1).issuer), b"x")
        await asyncio.sleep(1)
        assert len(bus.values(STATEMENTS, 1)) == 2
        for task in tasks:
            assert not task.done()
            task.cancel()

    run(main())


# Envelopes


@given(payload=st.binary(max_size=64))
def test_a_payload_comes_back_as_it_was(payload: bytes) -> None:
    """One byte in front says that it is whole."""
    assert wrap_arrival(payload) == b"\0" + payload
    assert unwrap_arrival(wrap_arrival(payload)) == Arrival(payload, len(payload), None)


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1, 1_000_000])
def test_of_a_payload_over_16_kib_the_beginning_is_kept(size: int) -> None:
    """With its length and the hash of all of it."""
    payload = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    wrapped = wrap_arrival(payload)
    if size <= LIMIT:
        assert wrapped == b"\0" + payload
        return
    digest = sha256(payload).digest()
    assert wrapped == b"\1" + size.to_bytes(8, "big") + digest + payload[:LIMIT]
    assert unwrap_arrival(wrapped) == Arrival(payload[:LIMIT], size, digest)


REFUSED = st.builds(
    Refused,
    st.text(max_size=20),
    st.binary(min_size=32, max_size=32),
    st.sampled_from(["oversize", "cbor_tag"]),
    st.integers(1, 256),
    st.integers(0, 2**40),
    st.integers(0, 2**45),
    st.binary(max_size=200),
)
DUPLICATES = st.builds(
    Duplicate,
    st.text(max_size=20),
    st.text(max_size=20),
    st.integers(0, 2**53),
    st.integers(0, 2**53),
    st.integers(1),
)


@given(
    refused=st.lists(REFUSED, max_size=5),
    duplicates=st.lists(DUPLICATES.filter(lambda d: d.records < 2**63), max_size=5),
)
def test_outcomes_come_back_in_order(refused: Sequence[Refused], duplicates: Sequence[Duplicate]) -> None:
    """All that was refused, then all duplicates; nothing at all is no message."""
    values = list(wrap_outcomes(refused, duplicates))
    assert bool(values) == bool(refused or duplicates)
    again = [unwrap_outcomes(value) for value in values]
    assert [item for part, _ in again for item in part] == refused
    assert [item for _, part in again for item in part] == duplicates


def test_outcomes_are_cut_into_messages_of_bounded_size() -> None:
    """A block full of refusals of the largest size is several messages, none much over 256 KiB."""
    refused = [
        Refused("statements/x", bytes(32), "cbor_tag", 1, LIMIT, 0, bytes([n]) * LIMIT) for n in range(245)
    ]
    duplicates = [Duplicate("statements/x", "urn:dev:ops:1-a-b", 1, n, 3) for n in range(5000)]
    values = list(wrap_outcomes(refused, duplicates))
    assert max(map(len, values)) < CHUNK_BYTES_MAX + LIMIT + 100
    assert len(values) > 15
    assert [item for value in values for item in unwrap_outcomes(value)[0]] == refused
    assert [item for value in values for item in unwrap_outcomes(value)[1]] == duplicates


def test_positions_come_back() -> None:
    """Height and offset of every shard, as the key of a log message."""
    positions = [ShardPosition(), ShardPosition(5, 1000), ShardPosition(2**40, 2**50)]
    assert unwrap_positions(wrap_positions(positions)) == positions
