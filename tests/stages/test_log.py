"""The log: every block is checked against all before it, and what is signed is the same after any crash."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.identity import registry as registry_module
from pipeline.log.block import encode_body, parse_signed_block, verify_signed_block
from pipeline.log.genesis import parse_genesis, verify_genesis
from pipeline.log.manifest import Manifest, encode_manifest
from pipeline.log.merkle import EMPTY_ROOT
from pipeline.ports import Append, Message
from pipeline.stages import log, snapshots
from pipeline.stages.envelopes import ShardPosition, unwrap_positions
from pipeline.stages.log import Ledger
from pipeline.wire.errors import FencedError, UnavailableError, VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.topics import BLOCKS, LOG
from tests.support.city import (
    AUTHORITIES,
    NOW_MS,
    ORIGIN,
    SHARDS,
    TOPIC_ID,
    ForgedLog,
    device_in,
    enrol,
    leaf_hash,
)
from tests.support.city import (
    LOG as LOG_KEY,
)
from tests.support.memory_bus import MemoryBus, city_topics
from tests.support.virtual_time import run

DEVICES = {shard: device_in(shard) for shard in (1, 2)}


def ledger() -> Ledger:
    """A log that has seen nothing."""
    return Ledger(ORIGIN, SHARDS, LOG_KEY.signer, TOPIC_ID, AUTHORITIES)


def block(manifest: Manifest, statements: Sequence[bytes], offset: int = 0) -> Message:
    """A block as it comes over the bus."""
    body = encode_body([encode_manifest(manifest), *statements])
    return Message(BLOCKS, manifest.shard, offset, 0, body)


class Blocks:
    """Right blocks of all shards, in an order in which the log may place them."""

    def __init__(self, count: int = 4, *, random: Random | None = None) -> None:
        forged = ForgedLog()
        self.messages: list[Message] = []
        self.manifests: list[Manifest] = []
        self.statements: list[list[bytes]] = []
        random = random or Random(1)
        devices = [device_in(shard, nth) for shard in (1, 2) for nth in range(count)]
        for number, device in enumerate(devices):
            raw = enrol(device, number)
            self._add(forged.enrol(raw), [raw])
        for _ in range(count):
            for shard in (1, 2):
                own = [device for device in devices if device.shard == shard]
                statements = [random.choice(own).read() for _ in range(random.randrange(4))]
                refused = {} if statements else {"cbor_tag": 2}
                first = forged.tips[shard]
                last = (first.offset_last + 1 if first else 0) + max(len(statements) - 1, 1)
                if statements:
                    manifest = forged.add(shard, statements)
                else:
                    manifest = forged.add(shard, statements, refused=refused, offset_last=last)
                self._add(manifest, statements)

    def _add(self, manifest: Manifest, statements: list[bytes]) -> None:
        offset = sum(message.partition == manifest.shard for message in self.messages)
        self.messages.append(block(manifest, statements, offset))
        self.manifests.append(manifest)
        self.statements.append(statements)

    def append_to(self, bus: MemoryBus) -> None:
        """Put them all on the bus, as the aggregators would."""
        for message in self.messages:
            bus.put(Append(BLOCKS, message.partition, message.value))


def refusal(own: Ledger, message: Message) -> VerificationError:
    """The refusal of a block."""
    with pytest.raises(VerificationError) as refused:
        own.step(message)
    return refused.value


def test_the_log_begins_with_its_genesis() -> None:
    """Entry 0 names log, shards and authorities file; no shard has moved."""
    append = ledger().genesis()
    genesis = parse_genesis(append.value)
    verify_genesis(genesis, LOG_KEY.signer.public_key)
    assert (genesis.origin, genesis.shards, genesis.authorities_hash) == (
        ORIGIN,
        SHARDS,
        AUTHORITIES.file_hash,
    )
    assert unwrap_positions(append.key) == [ShardPosition(0, 0)] * SHARDS
    assert (append.topic, append.partition) == (LOG, 0)


def test_a_right_block_is_signed_over_its_recomputed_root() -> None:
    """The entry names shard, height, manifest and size; its key says where every shard stands."""
    blocks, own = Blocks(2), ledger()
    heights = [0] * SHARDS
    offsets = [0] * SHARDS
    for message, manifest, statements in zip(
        blocks.messages, blocks.manifests, blocks.statements, strict=True
    ):
        append = own.step(message)
        entry = parse_signed_block(append.value)
        verify_signed_block(entry, LOG_KEY.signer.public_key)
        leaves = [encode_manifest(manifest), *statements]
        assert (entry.origin, entry.shard, entry.height) == (ORIGIN, manifest.shard, manifest.height)
        assert (entry.manifest_hash, entry.size) == (leaf_hash(leaves[0]), len(leaves))
        if len(leaves) == 2:
            assert entry.root == sha256(b"\1" + leaf_hash(leaves[0]) + leaf_hash(leaves[1])).digest()
        heights[manifest.shard] += 1
        offsets[manifest.shard] = message.offset
        assert unwrap_positions(append.key) == [
            ShardPosition(*place) for place in zip(heights, offsets, strict=True)
        ]
        assert (append.topic, append.partition) == (LOG, 0)
    assert own.registry.blocks == heights[0]


# A wrong block. The one it should be is accepted afterwards: a refusal has moved nothing.

READINGS = [DEVICES[1].read() for _ in range(2)]
FORGED = ForgedLog()
FORGED.enrol(enrol(DEVICES[1], 0))
ENROLMENT = FORGED.tips[0]
RIGHT = FORGED.add(1, READINGS)
NEXT = FORGED.add(1, [DEVICES[1].read()])
assert ENROLMENT is not None
FIRST_TWO = [block(ENROLMENT, [enrol(DEVICES[1], 0)]), block(RIGHT, READINGS)]
THIRD = [DEVICES[1].read(sequence=2)]


def at_third() -> Ledger:
    """A log that has an enrolment and a block, and waits for the next."""
    own = ledger()
    for message in FIRST_TWO:
        own.step(message)
    return own


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shard": 2}, Reason.BLOCK_HEIGHT),
        ({"height": 0}, Reason.BLOCK_HEIGHT),
        ({"height": 2}, Reason.BLOCK_HEIGHT),
        ({"previous": bytes(32)}, Reason.BLOCK_LINK),
        ({"topic_id": bytes(16)}, Reason.BLOCK_OFFSETS),
        ({"offset_first": 1}, Reason.BLOCK_OFFSETS),
        ({"offset_first": 3, "offset_last": 3}, Reason.BLOCK_OFFSETS),
        ({"arrival_first_ms": RIGHT.arrival_last_ms - 1}, Reason.BLOCK_TIMES),
        ({"accepted": 2, "offset_last": 3}, Reason.BLOCK_COUNTS),
        ({"accepted": 0, "duplicates": 1}, Reason.BLOCK_COUNTS),
        ({"duplicates": 1}, Reason.BLOCK_COUNTS),
        ({"refused": {"cbor_tag": 1}}, Reason.BLOCK_COUNTS),
        ({"offset_last": 3}, Reason.BLOCK_COUNTS),
        ({"registry_blocks": 0}, Reason.BLOCK_REGISTRY),
        ({"registry_blocks": 2}, Reason.BLOCK_REGISTRY),
        ({"registry_root": bytes(32)}, Reason.BLOCK_REGISTRY),
    ],
)
def test_a_wrong_manifest_is_refused_for_what_is_wrong(change: dict[str, Any], reason: Reason) -> None:
    """Nothing of it is signed, and the right block still has its place."""
    own = at_third()
    wrong = block(replace(NEXT, **change), THIRD)
    assert refusal(own, wrong._replace(partition=1)).reason is reason
    assert parse_signed_block(own.step(block(NEXT, THIRD, 1)).value).height == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.BLOCK_SHAPE),
        (encode_body([encode_manifest(NEXT), *THIRD])[:-1], Reason.BLOCK_SHAPE),
        (encode_body([b"\xff", *THIRD]), Reason.CBOR_RESERVED),
        (encode_body([b"\xa0", *THIRD]), Reason.MANIFEST_SHAPE),
        (encode_body([encode_manifest(NEXT), *THIRD, *THIRD]), Reason.BLOCK_COUNTS),
        (encode_body([encode_manifest(NEXT)]), Reason.BLOCK_COUNTS),
        (encode_body([encode_manifest(NEXT), b"\xff"]), Reason.CBOR_RESERVED),
        (encode_body([encode_manifest(NEXT), DEVICES[2].read(sequence=0)]), Reason.SHARD_WRONG),
        (b"\xff" * (1 << 20) + b"\xff", Reason.OVERSIZE),
    ],
)
def test_a_wrong_body_is_refused_for_what_is_wrong(body: bytes, reason: Reason) -> None:
    """Framing, manifest, number of leaves, and the shard of every issuer in it."""
    own = at_third()
    assert refusal(own, Message(BLOCKS, 1, 1, 0, body)).reason is reason
    assert parse_signed_block(own.step(block(NEXT, THIRD, 1)).value).height == 1


def test_a_second_block_at_one_height_is_refused() -> None:
    """However right it is otherwise: it would be a fork."""
    own = at_third()
    assert refusal(own, FIRST_TWO[1]).reason is Reason.BLOCK_HEIGHT


def test_every_enrolment_is_checked_in_full() -> None:
    """The registry's block is what all others rest on."""
    stranger = enrol(DEVICES[2], 0, name="https://other.example/")
    forged = ForgedLog()
    wrong = forged.add(0, [stranger])
    assert refusal(ledger(), block(wrong, [stranger])).reason is Reason.AUTHORITY_UNKNOWN
    twice = [enrol(DEVICES[2], n) for n in range(2)]
    wrong = ForgedLog().add(0, twice)
    assert refusal(ledger(), block(wrong, twice)).reason is Reason.KEY_KNOWN
    named = ForgedLog().add(0, twice, equivocations=(2,))
    own = ledger()
    own.step(block(named, twice))
    assert own.registry.blocks == 1


def test_a_block_waits_for_the_registry_it_names() -> None:
    """And for no other: one that names an earlier state has its place at once."""
    own = ledger()
    reading = block(RIGHT, READINGS)
    assert own.must_wait(reading)
    own.step(FIRST_TWO[0])
    assert not own.must_wait(reading)
    assert not own.must_wait(block(replace(RIGHT, registry_blocks=0), READINGS))


# The loop around it


async def started(bus: MemoryBus) -> asyncio.Task[None]:
    """A running log that has taken up all that is there."""
    task = asyncio.create_task(log.run(bus, ORIGIN, SHARDS, LOG_KEY.signer, AUTHORITIES))
    await asyncio.sleep(1)
    return task


def entries_of(bus: MemoryBus) -> dict[tuple[int, int], bytes]:
    """The log's entries by shard and height, after its genesis; none may be there twice."""
    entries: dict[tuple[int, int], bytes] = {}
    for raw in bus.values(LOG)[1:]:
        entry = parse_signed_block(raw)
        assert (entry.shard, entry.height) not in entries
        entries[entry.shard, entry.height] = raw
    return entries


def uninterrupted(blocks: Blocks) -> dict[tuple[int, int], bytes]:
    """The entries that a log makes that nothing ever happens to."""
    own = ledger()
    appended = [own.step(message) for message in blocks.messages]
    places = [(m.shard, m.height) for m in blocks.manifests]
    return dict(zip(places, (append.value for append in appended), strict=True))


def test_blocks_are_placed_in_their_order() -> None:
    """The genesis, then the registry's as far as others need them; every shard by height."""

    async def main() -> None:
        blocks, bus = Blocks(), MemoryBus(city_topics(SHARDS))
        task = await started(bus)
        assert [parse_genesis(raw).origin for raw in bus.values(LOG)] == [ORIGIN]
        blocks.append_to(bus)
        await asyncio.sleep(1)
        assert entries_of(bus) == uninterrupted(blocks)
        order = [parse_signed_block(raw) for raw in bus.values(LOG)[1:]]
        for shard in range(SHARDS):
            heights = [entry.height for entry in order if entry.shard == shard]
            assert heights == list(range(len(heights)))
        task.cancel()

    run(main())


def test_a_block_that_names_a_later_registry_is_placed_after_it() -> None:
    """It came over the bus first, and waits; the other shards do not wait with it."""

    async def main() -> None:
        bus = MemoryBus(city_topics(SHARDS))
        task = await started(bus)
        bus.put(Append(BLOCKS, 1, FIRST_TWO[1].value))
        free = ForgedLog().add(2, [], refused={"cbor_tag": 1}, offset_last=0)
        bus.put(Append(BLOCKS, 2, encode_body([encode_manifest(free)])))
        await asyncio.sleep(1)
        assert list(entries_of(bus)) == [(2, 0)]
        bus.put(Append(BLOCKS, 0, FIRST_TWO[0].value))
        await asyncio.sleep(1)
        assert list(entries_of(bus)) == [(2, 0), (0, 0), (1, 0)]
        task.cancel()

    run(main())


@given(seed=st.integers(0, 2**32), marked=st.booleans())
@settings(max_examples=15)
def test_entries_are_the_same_bytes_whenever_it_stopped(seed: int, marked: bool) -> None:
    """Stopped, taken over, unanswered: at any moment, with blocks coming in between."""
    random = Random(seed)
    blocks = Blocks(3, random=random)

    async def main() -> None:
        bus = MemoryBus(city_topics(SHARDS), marked=frozenset({BLOCKS, LOG} if marked else ()))
        waiting = list(blocks.messages)
        faults: list[Any] = [None, None, "before", "after"]
        while waiting:
            bus.fault = lambda _writer, _batch: random.choice(faults)
            task = asyncio.create_task(log.run(bus, ORIGIN, SHARDS, LOG_KEY.signer, AUTHORITIES))
            for _ in range(random.randrange(4)):
                for message in waiting[: random.randrange(4)]:
                    bus.put(Append(BLOCKS, message.partition, message.value))
                    waiting.remove(message)
                for _ in range(random.randrange(12)):
                    await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        bus.fault = lambda _writer, _batch: None
        task = await started(bus)
        assert entries_of(bus) == uninterrupted(blocks)
        assert [parse_genesis(raw).shards for raw in bus.values(LOG)[:1]] == [SHARDS]
        task.cancel()

    run(main())


@given(seed=st.integers(0, 2**32), marked=st.booleans(), kept=st.integers(1, 3), every=st.integers(1, 4))
@settings(max_examples=25)
def test_a_start_from_a_snapshot_goes_on_as_if_it_had_seen_everything(
    seed: int, marked: bool, kept: int, every: int
) -> None:
    """Blocks that name states from before the snapshot, or forgotten ones, are placed all the same."""
    random = Random(seed)
    blocks = Blocks(5, random=random)
    registry_first = [m for m in blocks.messages if m.partition == 0]
    late = [message for message in blocks.messages if message.partition]
    cut = random.randrange(len(registry_first) + 1)

    async def main() -> None:
        bus = MemoryBus(city_topics(SHARDS), marked=frozenset({BLOCKS, LOG} if marked else ()))
        for part in (registry_first[:cut], registry_first[cut:], late):
            task = await started(bus)
            for message in part:
                bus.put(Append(BLOCKS, message.partition, message.value))
            await asyncio.sleep(1)
            task.cancel()
        assert entries_of(bus) == uninterrupted(blocks)
        registry, offset = await snapshots.read_registry(bus)
        assert registry.blocks == len(registry_first) // every * every
        if registry.blocks:
            included = next(m for m in bus.partitions[BLOCKS, 0] if m.offset == offset)
            assert included.value == registry_first[registry.blocks - 1].value

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "SNAPSHOT_EVERY", every)
        patch.setattr(registry_module, "ROOTS_KEPT", kept)
        run(main())


def test_a_start_reads_the_registry_from_its_snapshot_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the blocks that it includes: those may be as many as the log is long."""
    monkeypatch.setattr(snapshots, "SNAPSHOT_EVERY", 4)
    blocks = Blocks(5)

    async def main() -> None:
        bus = MemoryBus(city_topics(SHARDS))
        blocks.append_to(bus)
        (await started(bus)).cancel()
        del bus.partitions[BLOCKS, 0][:7]  # The snapshot is that after eight of ten, and names the eighth.
        task = await started(bus)
        again = ForgedLog().add(2, [], refused={"cbor_tag": 1}, offset_last=0, registry_blocks=10)
        bus.put(Append(BLOCKS, 2, encode_body([encode_manifest(again)])))
        await asyncio.sleep(1)
        stopped = task.exception()
        assert isinstance(stopped, VerificationError)  # It has started, and looks at what comes.
        assert stopped.reason is Reason.BLOCK_HEIGHT

    run(main())


@pytest.mark.parametrize("change", [{"registry_root": bytes(32)}, {"arrival_last_ms": NOW_MS + 60_001}])
def test_a_block_that_names_a_forgotten_state_is_checked_as_any_other(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the registry block that it does not know: its root, and when that one arrived."""
    monkeypatch.setattr(registry_module, "ROOTS_KEPT", 1)
    forged, own = ForgedLog(), ledger()
    raw, reading = enrol(DEVICES[1], 0), DEVICES[1].read(sequence=0)
    first = forged.enrol(raw)
    own.step(block(first, [raw]))
    early = forged.add(1, [reading])
    later = enrol(DEVICES[2], 1)
    unknown = forged.enrol(later)
    own.step(block(unknown, [later], 1))
    right, wrong = block(early, [reading]), block(replace(early, **change), [reading])
    assert own.has_forgotten(right) == 1
    reason = Reason.BLOCK_REGISTRY if "registry_root" in change else Reason.REGISTRY_LAG
    with pytest.raises(VerificationError) as refused:
        own.step(wrong, unknown)
    assert refused.value.reason is reason
    assert parse_signed_block(own.step(right, unknown).value).shard == 1


def test_a_registry_block_names_the_state_that_it_changes() -> None:
    """Whoever looks for a state later finds it in the manifest at its height."""
    forged, own = ForgedLog(), ledger()
    raws = [enrol(DEVICES[shard], shard) for shard in (1, 2)]
    own.step(block(forged.enrol(raws[0]), raws[:1]))
    second = forged.enrol(raws[1])
    stale = replace(second, registry_blocks=0, registry_root=EMPTY_ROOT)
    assert refusal(own, block(stale, raws[1:], 1)).reason is Reason.BLOCK_REGISTRY
    own.step(block(second, raws[1:], 1))


def test_who_was_taken_over_appends_nothing_more() -> None:
    """The zombie finds out at its next entry, which is not there."""

    async def main() -> None:
        bus = MemoryBus(city_topics(SHARDS))
        zombie = await started(bus)
        successor = await started(bus)
        bus.put(Append(BLOCKS, 0, FIRST_TWO[0].value))
        await asyncio.sleep(1)
        assert isinstance(zombie.exception(), FencedError)
        assert list(entries_of(bus)) == [(0, 0)]
        successor.cancel()

    run(main())


@pytest.mark.parametrize("fault", ["before", "after"])
def test_an_append_without_an_answer_is_read_back(fault: Any) -> None:
    """Whether it got there decides the next start; there is one genesis either way."""

    async def main() -> None:
        bus = MemoryBus(city_topics(SHARDS))
        bus.fault = lambda _writer, _batch: fault
        task = await started(bus)
        assert isinstance(task.exception(), UnavailableError)
        bus.fault = lambda _writer, _batch: None
        task = await started(bus)
        assert len(bus.values(LOG)) == 1
        task.cancel()

    run(main())


def test_a_wrong_block_stops_the_log() -> None:
    """An aggregator has a bug or is not ours: nothing of its block is signed, not even at the next start."""

    async def main() -> None:
        bus = MemoryBus(city_topics(SHARDS))
        bus.put(Append(BLOCKS, 0, FIRST_TWO[0].value))
        bus.put(Append(BLOCKS, 1, FIRST_TWO[1].value))
        task = await started(bus)
        bus.put(Append(BLOCKS, 1, FIRST_TWO[1].value))
        for _ in range(2):
            await asyncio.sleep(1)
            stopped = task.exception()
            assert isinstance(stopped, VerificationError)
            assert stopped.reason is Reason.BLOCK_HEIGHT
            task = await started(bus)
        assert list(entries_of(bus)) == [(0, 0), (1, 0)]

    run(main())


def test_another_number_of_shards_stops_the_log() -> None:
    """A city that outgrows its shards starts a new log."""

    async def main() -> None:
        bus = MemoryBus(city_topics(SHARDS))
        (await started(bus)).cancel()
        with pytest.raises(AssertionError, match="another number of shards"):
            await log.run(bus, ORIGIN, 2, LOG_KEY.signer, AUTHORITIES)

    run(main())
