"""Rotated and revoked keys at the door: what is refused, what let in, and how far a shard may lag."""

import asyncio
from typing import Any

import pytest

from pipeline.identity.registry import Registry
from pipeline.log.block import decode_body
from pipeline.log.chain import ChainTip
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.log.sequences import SignerSequences
from pipeline.ports import Append, Message
from pipeline.stages import aggregator
from pipeline.stages.admission import ReadingAdmission, RegistryAdmission
from pipeline.stages.envelopes import wrap_arrival
from pipeline.stages.projector import Projection
from pipeline.stages.sealing import Sealer
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import CONTENT_FINDING
from pipeline.wire.topics import BLOCKS, STATEMENTS
from tests.support.changes import FINDING, NEW, NOWHERE, admit, revoke, rotate
from tests.support.city import (
    AUTHORITIES,
    NOW_MS,
    SHARDS,
    TOPIC_ID,
    Device,
    device_in,
    enrol,
    enrolment,
)
from tests.support.memory_bus import MemoryBus, city_topics
from tests.support.placed import PlacedLog
from tests.support.virtual_time import run

TOPIC = b"statements/urn:dev:ops:32473-air-1"


def device(nth: int = 0) -> Device:
    """The nth device of shard 1, as it was before its first statement."""
    return device_in(1, nth)


class Door:
    """A sealer of shard 1 beside the registry that it follows."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.sealer = Sealer(
            1, SHARDS, TOPIC_ID, ReadingAdmission(self.registry), SignerSequences(), ChainTip()
        )

    def state(self, *raws: bytes) -> None:
        """Apply a registry block."""
        self.registry.apply_block([b"", *raws], (), AUTHORITIES)

    def take(self, *raws: bytes) -> Manifest:
        """Seal these into a block."""
        for raw in raws:
            offset = self.sealer.tip.offset
            self.sealer.step(Message(STATEMENTS, 1, offset, NOW_MS, wrap_arrival(raw), TOPIC))
        return decode_manifest(decode_body(self.sealer.seal()[0].value)[0])


def outcome(manifest: Manifest) -> tuple[int, int, dict[str, int]]:
    """Accepted, duplicates and refused."""
    return manifest.accepted, manifest.duplicates, manifest.refused


def test_a_backlog_of_the_old_key_is_taken_in_after_the_rotation() -> None:
    """Up to the new key's start; behind it the old key is as good as none."""
    door, old, new = Door(), device(), device()
    new.signer = NEW
    door.state(enrol(old, 0))
    assert outcome(door.take(old.read(), new.read(sequence=5))) == (1, 0, {"key_unknown": 1})
    door.state(rotate(old))
    backlog = [old.read() for _ in range(4)]
    manifest = door.take(new.read(sequence=5), *backlog, old.read(sequence=5), new.read(sequence=4))
    assert outcome(manifest) == (5, 0, {"key_span": 2})


def test_after_a_revocation_earlier_statements_stay_and_later_ones_are_refused() -> None:
    """What is in the log already is a duplicate, and its signer may hear of its receipt again."""
    door, own = Door(), device()
    door.state(enrol(own, 0))
    first, second = own.read(), own.read()
    assert outcome(door.take(first)) == (1, 0, {})
    door.state(revoke(own))
    assert outcome(door.take(first, second, own.read())) == (0, 1, {"key_revoked": 2})


def test_an_admitted_statement_is_let_in_when_it_comes_again_and_only_if_it_is_signed() -> None:
    """By its leaf hash; one that is named and does not verify is no better for it."""
    door, own = Door(), device()
    first, second = own.read(), own.read()
    broken = own.read()[:-1] + b"\0"
    door.state(enrol(own, 0), revoke(own))
    assert outcome(door.take(first, second)) == (0, 0, {"key_revoked": 2})
    door.state(admit(own, first, broken))
    assert outcome(door.take(first, second, broken)) == (1, 0, {"key_revoked": 1, "signature_invalid": 1})
    assert outcome(door.take(first)) == (0, 1, {})


def test_each_role_signs_its_own() -> None:
    """An auditor findings, a sensor readings, a reserved role nothing."""
    door, sensor, auditor, carrier = Door(), device(), device(1), device(2)
    door.state(
        enrol(sensor, 0),
        enrol(auditor, 1, about=enrolment(auditor, kind="auditor", **NOWHERE)),
        enrol(carrier, 2, about=enrolment(carrier, kind="carrier", **NOWHERE)),
    )
    finding: dict[str, Any] = {"content_type": CONTENT_FINDING, "payload": FINDING}
    good = [sensor.read(), auditor.read(**finding)]
    wrong = [sensor.read(**finding), auditor.read(), carrier.read(), carrier.read(**finding)]
    assert outcome(door.take(*good, *wrong)) == (2, 0, {"statement_content_type": 4})
    garbage = auditor.read(content_type=CONTENT_FINDING, payload=b"\xa1\x01")
    assert outcome(door.take(garbage)) == (0, 0, {"cbor_truncated": 1})


def test_a_finding_gives_no_points() -> None:
    """The projector passes over what is no reading."""
    log, auditor = PlacedLog(MemoryBus(city_topics(SHARDS))), device()
    raws = [enrol(auditor, 0, about=enrolment(auditor, kind="auditor", **NOWHERE))]
    log.place(log.forged.enrol(*raws), raws)
    manifest = log.read(1, [auditor.read(content_type=CONTENT_FINDING, payload=FINDING)])
    assert manifest.accepted == 1
    projection = Projection(AUTHORITIES)
    assert projection._points(log.leaves[-1][0], 0) == []


def test_what_authorities_state_acts_on_the_next_statement_in_its_block() -> None:
    """Enrolled, rotated, revoked and admitted in one block; what contradicts any of it is refused."""
    sealer = Sealer(
        0, SHARDS, TOPIC_ID, RegistryAdmission(Registry(), AUTHORITIES), SignerSequences(), ChainTip()
    )
    own = device()
    raws = [
        rotate(own, sequence=0),
        enrol(own, 1),
        rotate(own, sequence=2),
        rotate(own, starts=(1, 6), sequence=3),
        revoke(own, sequence=4),
        revoke(own, sequence=5),
        admit(own, own.read(), sequence=6),
        admit(own, device().read(), sequence=7),
        revoke(own, NEW, sequence=8),
        revoke(own, NEW, sequence=8),
    ]
    for offset, raw in enumerate(raws):
        sealer.step(Message(STATEMENTS, 0, offset, NOW_MS, wrap_arrival(raw), TOPIC))
    manifest = decode_manifest(decode_body(sealer.seal()[0].value)[0])
    refused = {"key_unknown": 1, "key_ended": 1, "key_revoked": 1, "admission_known": 1}
    assert outcome(manifest) == (5, 1, refused)


def test_the_log_signs_no_block_that_lags_the_registry() -> None:
    """By the bound of the authorities file; one that knows the state may come as late as it likes."""
    own, placed = device(), PlacedLog(MemoryBus(city_topics(SHARDS)))
    before: dict[str, Any] = {"registry_blocks": 0, "registry_root": placed.forged.registry.root}
    placed.enrol(own)
    late = own.read()
    with pytest.raises(VerificationError) as refused:
        placed.read(1, [late], arrival_last_ms=NOW_MS + 60_001, **before)
    assert refused.value.reason is Reason.REGISTRY_LAG
    again = PlacedLog(MemoryBus(city_topics(SHARDS)))
    again.enrol(own)
    again.read(1, [late], arrival_last_ms=NOW_MS + 60_000, **before)
    again.read(1, [own.read()], arrival_first_ms=NOW_MS + 60_000, arrival_last_ms=NOW_MS * 2)
    assert again.ledger.registry.blocks == 1


# The loop: what has to wait for shard 0


def put(bus: MemoryBus, shard: int, *raws: bytes) -> None:
    """What the bridge appends."""
    bus.put(*(Append(STATEMENTS, shard, wrap_arrival(raw), TOPIC) for raw in raws))


def manifests(bus: MemoryBus, shard: int) -> list[Manifest]:
    """The manifests of a shard's blocks."""
    return [decode_manifest(decode_body(body)[0]) for body in bus.values(BLOCKS, shard)]


def test_readings_wait_while_an_authoritys_statement_of_long_before_is_not_sealed() -> None:
    """Shard 0 is down: for the bound's 60 seconds readings go on, and then wait until it is back.

    A city that went on without it could go on not to know of a revocation.
    """

    async def main() -> None:
        loop = asyncio.get_running_loop()
        bus, own = MemoryBus(city_topics(SHARDS), now_s=lambda: NOW_MS / 1000 + loop.time()), device()
        registry = asyncio.create_task(aggregator.run(bus, 0, SHARDS, AUTHORITIES))
        put(bus, 0, enrol(own, 0))
        await asyncio.sleep(1)
        registry.cancel()
        readings = asyncio.create_task(aggregator.run(bus, 1, SHARDS, AUTHORITIES))
        await asyncio.sleep(1)
        put(bus, 0, revoke(own, sequence=1))
        await asyncio.sleep(59)
        put(bus, 1, own.read())
        await asyncio.sleep(2)
        put(bus, 1, own.read())
        await asyncio.sleep(600)
        assert [(m.accepted, m.registry_blocks) for m in manifests(bus, 1)] == [(1, 1)]
        registry = asyncio.create_task(aggregator.run(bus, 0, SHARDS, AUTHORITIES))
        await asyncio.sleep(2)
        last = manifests(bus, 1)[-1]
        assert (outcome(last), last.registry_blocks) == ((0, 0, {"key_revoked": 1}), 2)
        readings.cancel()
        registry.cancel()

    run(main())


def test_readings_do_not_wait_for_a_registry_that_is_level() -> None:
    """However long ago its last statement came."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        bus, own = MemoryBus(city_topics(SHARDS), now_s=lambda: NOW_MS / 1000 + loop.time()), device()
        registry = asyncio.create_task(aggregator.run(bus, 0, SHARDS, AUTHORITIES))
        readings = asyncio.create_task(aggregator.run(bus, 1, SHARDS, AUTHORITIES))
        put(bus, 0, enrol(own, 0), b"\xff")
        for _ in range(3):
            await asyncio.sleep(3600)
            put(bus, 1, own.read())
        await asyncio.sleep(1)
        assert [(m.accepted, m.registry_blocks) for m in manifests(bus, 1)] == [(1, 1)] * 3
        readings.cancel()
        registry.cancel()

    run(main())
