"""What every bus keeps: order, atomic batches, fencing, explicit offsets, compaction, resumed groups."""

import asyncio

import pytest

from pipeline.ports import Append, Bus, BusReader, Message
from pipeline.wire.errors import FencedError
from tests.edges.implementations import OpenBus, SetClock


async def read_all(bus: Bus, topic: str, *partitions: int) -> list[Message]:
    """Everything that stands in these partitions now."""
    async with bus.reader(topic, partitions or [0]) as reader:
        return await drain(reader)


async def drain(reader: BusReader) -> list[Message]:
    messages: list[Message] = []
    while more := await reader.read(100, 0):
        messages += more
    return messages


async def test_what_is_appended_is_read(open_bus: OpenBus) -> None:
    """Topic, key, value and the offsets that append returned come back, in order within each partition."""
    batch = [Append("statements", i % 3, b"value %d" % i, b"key %d" % i) for i in range(10)]
    async with open_bus() as bus, bus.writer("bridge") as writer:
        offsets = await writer.append(batch)
        messages = await read_all(bus, "statements", 0, 1, 2)

    assert {(m.partition, m.offset): (m.value, m.key) for m in messages} == {
        (item.partition, offset): (item.value, item.key) for item, offset in zip(batch, offsets, strict=True)
    }
    assert {m.topic for m in messages} == {"statements"}
    for partition in range(3):
        seen = [m.value for m in messages if m.partition == partition]
        assert seen == [item.value for item in batch if item.partition == partition]


async def test_empty_keys_and_values_and_large_ones_survive(open_bus: OpenBus) -> None:
    """A value may be empty, or hold a whole block body, whatever its bytes are."""
    values = [b"", b"\x00", bytes(range(256)), b"\xff" * 900_000]
    async with open_bus() as bus, bus.writer("bridge") as writer:
        await writer.append([Append("statements", 0, value) for value in values])
        assert [(m.key, m.value) for m in await read_all(bus, "statements")] == [(b"", v) for v in values]


async def test_offsets_rise_by_partition(open_bus: OpenBus) -> None:
    """Offsets begin at 0 in each partition and rise with every message, over batches."""
    async with open_bus() as bus, bus.writer("bridge") as writer:
        first = await writer.append([Append("statements", 0, b"a"), Append("statements", 0, b"b")])
        other = await writer.append([Append("statements", 1, b"c")])
        later = await writer.append([Append("statements", 0, b"d")])

    assert list(first) == [0, 1]
    assert list(other) == [0]
    assert later[0] > first[1]


async def test_append_times_are_the_clocks_and_never_run_backwards(
    open_bus_with_clock: OpenBus, clock: SetClock
) -> None:
    """A message bears the operator's clock; where that falls back, the last time stands."""
    async with open_bus_with_clock() as bus, bus.writer("bridge") as writer:
        for time_s in (1000.0, 2000.0, 1500.0, 2000.5):
            clock.time_s = time_s
            await writer.append([Append("statements", 0, b"x")])
        clock.time_s = 500.0
        await writer.append([Append("statements", 1, b"another partition")])
        times = [m.timestamp_ms for m in await read_all(bus, "statements", 0)]
        others = [m.timestamp_ms for m in await read_all(bus, "statements", 1)]

    assert times == [1_000_000, 2_000_000, 2_000_000, 2_000_500]
    assert others == [500_000]


async def test_a_newer_writer_fences_the_older(open_bus: OpenBus) -> None:
    """Once a writer of the same name is opened, the older one appends nothing anywhere; other names go on."""
    async with open_bus() as bus, bus.writer("aggregator-1") as old, bus.writer("log") as other:
        await old.append([Append("statements", 0, b"before")])
        async with bus.writer("aggregator-1") as new:
            with pytest.raises(FencedError):
                await old.append([Append("statements", 0, b"zombie"), Append("log", 0, b"zombie")])
            await new.append([Append("statements", 0, b"after")])
            await other.append([Append("log", 0, b"entry")])
            with pytest.raises(FencedError):
                await old.append([Append("log", 0, b"zombie")])

        assert [m.value for m in await read_all(bus, "statements")] == [b"before", b"after"]
        assert [m.value for m in await read_all(bus, "log")] == [b"entry"]


async def test_a_fenced_writer_does_not_harm_who_appends_beside_it(open_bus: OpenBus) -> None:
    """Of appends under way at once the fenced ones fail, and every other one is there whole."""
    async with open_bus() as bus, bus.writer("a") as old, bus.writer("a") as new, bus.writer("b") as other:
        writers = [old, new, other] * 10
        results = await asyncio.gather(
            *(w.append([Append("statements", 0, b"%d" % i)] * 2) for i, w in enumerate(writers)),
            return_exceptions=True,
        )
        values = [m.value for m in await read_all(bus, "statements")]

    assert [isinstance(result, FencedError) for result in results] == [w is old for w in writers]
    assert sorted(values) == sorted(
        b"%d" % i for i, w in enumerate(writers) if w is not old for _ in range(2)
    )


async def test_what_is_only_sent_to_has_no_gaps(open_bus: OpenBus) -> None:
    """Offsets are the numbers of the messages, over many sends, two senders and another start."""
    for start in range(2):
        async with open_bus() as bus, bus.sender("bridge") as one, bus.sender("bridge") as two:
            for number in range(10):
                for sender in (one, two):
                    name = b"%d %d" % (start, number)
                    await sender.send([Append("statements", part, name) for part in (0, 1, 0)])
    async with open_bus() as bus:
        messages = await read_all(bus, "statements", 0, 1)

    assert [m.offset for m in messages if m.partition == 0] == list(range(80))
    assert [m.offset for m in messages if m.partition == 1] == list(range(40))
    assert [m.value for m in messages if m.partition == 1] == [
        b"%d %d" % (start, number) for start in range(2) for number in range(10) for _ in range(2)
    ]


async def test_concurrent_writers_keep_their_own_order(open_bus: OpenBus) -> None:
    """Eight writers at once: nothing lost, nothing twice, and each one's messages in its order."""
    async with open_bus() as bus:

        async def write(name: str) -> None:
            async with bus.writer(name) as writer:
                for number in range(30):
                    await writer.append([Append("log", 0, f"{name} {number}".encode())])

        await asyncio.gather(*(write(f"writer-{n}") for n in range(8)))
        messages = await read_all(bus, "log")

    assert len({m.offset for m in messages}) == 8 * 30
    for n in range(8):
        mine = [m.value.decode() for m in messages if m.value.startswith(b"writer-%d " % n)]
        assert mine == [f"writer-{n} {number}" for number in range(30)]


async def test_a_batch_becomes_visible_wholly(open_bus: OpenBus) -> None:
    """Whoever sees a batch's message on one topic finds the batch's other messages on every other topic."""
    async with open_bus() as bus, bus.writer("aggregator-1") as writer, bus.reader("log", [0]) as log:

        async def write() -> None:
            for number in range(50):
                value = b"%d" % number
                await writer.append([Append("log", 0, value), Append("statements", 2, value)])

        task = asyncio.create_task(write())
        seen = 0
        while seen < 50:
            entries = await log.read(10, 5)
            seen += len(entries)
            assert len(await read_all(bus, "statements", 2)) >= seen
        await task


async def test_a_waiting_reader_is_woken(open_bus: OpenBus) -> None:
    """A read that found nothing returns with the message that comes, long before its wait is over."""
    async with open_bus() as bus, bus.writer("bridge") as writer, bus.reader("statements", [0, 1]) as reader:
        waiting = asyncio.create_task(reader.read(10, 50))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await writer.append([Append("statements", 2, b"not read here")])
        await writer.append([Append("statements", 1, b"news")])
        async with asyncio.timeout(5):
            assert [m.value for m in await waiting] == [b"news"]


async def test_a_read_ends_empty_after_its_wait(open_bus: OpenBus) -> None:
    """Without a message a read returns an empty list, at once where it may not wait."""
    async with open_bus() as bus, bus.reader("log", [0]) as reader:
        assert list(await reader.read(10, 0)) == []
        assert list(await reader.read(10, 0.02)) == []


async def test_a_cancelled_read_loses_nothing(open_bus: OpenBus) -> None:
    """What comes while a read is being cancelled is there for the next read."""
    async with open_bus() as bus, bus.writer("bridge") as writer, bus.reader("log", [0]) as reader:
        for number in range(20):
            waiting = asyncio.create_task(reader.read(10, 5))
            for _ in range(number % 4):
                await asyncio.sleep(0)
            appending = asyncio.create_task(writer.append([Append("log", 0, b"%d" % number)]))
            for _ in range(number % 7):
                await asyncio.sleep(0)
            waiting.cancel()
            got = await asyncio.gather(waiting, return_exceptions=True)
            await appending
            values = [m.value for m in got[0]] if not isinstance(got[0], BaseException) else []
            values += [m.value for m in await drain(reader)]
            assert values == [b"%d" % number]


async def test_reads_are_bounded_and_each_message_comes_once(open_bus: OpenBus) -> None:
    """However small the limit, every message comes, once, in order within its partition."""
    batch = [Append("statements", i % 3, b"%d" % i) for i in range(30)]
    async with (
        open_bus() as bus,
        bus.writer("bridge") as writer,
        bus.reader("statements", [0, 1, 2]) as reader,
    ):
        await writer.append(batch)
        messages: list[Message] = []
        while more := await reader.read(4, 0):
            assert len(more) <= 4
            messages += more

    assert sorted(int(m.value) for m in messages) == list(range(30))
    for partition in range(3):
        offsets = [m.offset for m in messages if m.partition == partition]
        assert offsets == sorted(set(offsets))


async def test_a_reader_goes_where_it_is_sent(open_bus: OpenBus) -> None:
    """A seek lets the next read begin at that offset, forwards, backwards, and behind the end."""
    async with open_bus() as bus, bus.writer("bridge") as writer, bus.reader("statements", [0, 1]) as reader:
        offsets = await writer.append([Append("statements", 0, b"%d" % i) for i in range(5)])
        await writer.append([Append("statements", 1, b"other")])

        reader.seek(0, offsets[3])
        reader.seek(1, 1)
        assert [m.value for m in await drain(reader)] == [b"3", b"4"]
        reader.seek(0, offsets[1])
        assert [m.value for m in await drain(reader)] == [b"1", b"2", b"3", b"4"]
        reader.seek(0, offsets[4] + 100)
        assert await drain(reader) == []


async def test_readers_are_independent(open_bus: OpenBus) -> None:
    """Two readers of one partition each get everything."""
    async with open_bus() as bus, bus.reader("log", [0]) as one, bus.reader("log", [0]) as two:
        async with bus.writer("log") as writer:
            await writer.append([Append("log", 0, b"entry")])
        assert [m.value for m in await one.read(10, 5)] == [b"entry"]
        assert [m.value for m in await two.read(10, 5)] == [b"entry"]


async def test_the_last_message_is_found(open_bus: OpenBus) -> None:
    """`last` is None in an empty partition, then the last committed message."""
    async with open_bus() as bus, bus.writer("log") as writer:
        assert await bus.last("log", 0) is None
        await writer.append([Append("log", 0, b"a", b"1"), Append("log", 0, b"b", b"2")])
        last = await bus.last("log", 0)
        assert last is not None
        assert (last.topic, last.partition, last.offset, last.key, last.value) == ("log", 0, 1, b"2", b"b")


async def test_a_compacted_topic_keeps_the_last_value_of_each_key(open_bus: OpenBus) -> None:
    """Newer values replace older ones of their key in their partition, within a batch and over batches."""
    async with open_bus() as bus, bus.writer("aggregator-0") as writer:
        assert dict(await bus.compacted("state", 0)) == {}
        await writer.append([Append("state", 0, b"old", b"a"), Append("state", 0, b"kept", b"b")])
        await writer.append([Append("state", 0, b"mid", b"a"), Append("state", 0, b"new", b"a")])
        await writer.append([Append("state", 1, b"another partition", b"a")])
        assert dict(await bus.compacted("state", 0)) == {b"a": b"new", b"b": b"kept"}
        assert dict(await bus.compacted("state", 1)) == {b"a": b"another partition"}
        last = await bus.last("state", 0)
        assert last is not None
        assert last.offset >= 3, "compaction gives no offset twice"


async def test_groups_resume_where_they_committed(open_bus: OpenBus) -> None:
    """A commit is remembered by group, topic and partition, forwards and backwards; 0 before the first."""
    async with open_bus() as bus:
        assert await bus.committed("courier", "log", 0) == 0
        await bus.commit("courier", "log", 0, 7)
        await bus.commit("projector", "log", 0, 5)
        await bus.commit("courier", "statements", 1, 3)
        await bus.commit("courier", "log", 0, 6)
    async with open_bus() as bus:
        assert await bus.committed("courier", "log", 0) == 6
        assert await bus.committed("projector", "log", 0) == 5
        assert await bus.committed("courier", "statements", 1) == 3
        assert await bus.committed("courier", "statements", 0) == 0


async def test_a_topic_has_an_id_of_its_own(open_bus: OpenBus) -> None:
    """Ids have 16 bytes, differ between topics, and stay when the bus is opened again."""
    async with open_bus() as bus:
        ids = [await bus.topic_id(topic) for topic in ("statements", "log", "state")]
    async with open_bus() as bus:
        assert [await bus.topic_id(topic) for topic in ("statements", "log", "state")] == ids
    assert {len(topic_id) for topic_id in ids} == {16}
    assert len(set(ids)) == 3


async def test_everything_survives_reopening(open_bus: OpenBus) -> None:
    """Messages, their order and times are there again, and offsets go on."""
    async with open_bus() as bus, bus.writer("log") as writer:
        await writer.append([Append("log", 0, b"a"), Append("state", 0, b"s", b"k")])
        before = await read_all(bus, "log")
    async with open_bus() as bus, bus.writer("log") as writer:
        assert await read_all(bus, "log") == before
        assert dict(await bus.compacted("state", 0)) == {b"k": b"s"}
        await writer.append([Append("log", 0, b"b")])
        again = await read_all(bus, "log")
    assert [m.value for m in again] == [b"a", b"b"]
    assert again[1].offset > again[0].offset


async def test_append_times_do_not_fall_behind_when_it_is_opened_again(
    open_bus_with_clock: OpenBus, clock: SetClock
) -> None:
    """A clock that was set back between two lives leaves the last time standing."""
    async with open_bus_with_clock() as bus, bus.writer("log") as writer:
        await writer.append([Append("log", 0, b"a")])
    clock.time_s -= 3600
    async with open_bus_with_clock() as bus, bus.writer("log") as writer:
        await writer.append([Append("log", 0, b"b")])
        first, second = await read_all(bus, "log")
    assert second.timestamp_ms == first.timestamp_ms
