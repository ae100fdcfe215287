"""The work that is measured: stages started and given one block each, a proof made and verified."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.commands.bench.growth.city import ORIGIN, PLACES, SHARD, SHARDS, SparseCity
from pipeline.commands.bench.growth.meter import Meter, Work
from pipeline.commands.bench.growth.sparse import CountedFiles, SparseBus
from pipeline.ports import Append, LeafPlace, Point
from pipeline.stages import aggregator, courier, log, projector
from pipeline.stages.publisher import Publisher
from pipeline.verify.point import verify_point
from pipeline.verify.prove import LEAVES_PER_ENTRY, Prover
from pipeline.wire.topics import BLOCKS, STATEMENTS

LEAF = 50
WAIT_S = 120.0


def proof_sizes(city: SparseCity) -> list[int]:
    """Return the bytes of proofs of one record at several places in the log."""
    prover = Prover(city.files.read, city.trust.policy)
    quantity, at_us = city.record(LEAF)
    return [len(prover.prove(place * LEAVES_PER_ENTRY + LEAF, quantity, at_us)) for place in city.places]


def _prove(city: SparseCity) -> tuple[list[Counter[str]], Callable[[Meter], None]]:
    """A point's proof from the published files, nothing cached; then its verification."""
    files = CountedFiles(city.files.read)
    quantity, at_us = city.record(LEAF)

    def act(meter: Meter) -> None:
        meter.begin()
        ref = city.places[PLACES // 2] * LEAVES_PER_ENTRY + LEAF
        proof = Prover(files.read, city.trust.policy).prove(ref, quantity, at_us)
        meter.end("prove a point")
        verify_point(proof, city.trust.policy, city.trust.authorities)
        meter.end("verify a proof")

    return [files.counts], act


@dataclass(slots=True)
class _Stage:
    """A stage to start on a city's bus, and what to append once it waits."""

    bus: SparseBus
    run: Coroutine[Any, Any, None]
    readers: int
    started: str
    then: Sequence[Append] = ()
    did: str = ""


async def _drive(stage: _Stage, meter: Meter) -> None:
    """Start a stage; once it waits for more, give it something to do; stop it when it waits again."""
    meter.begin()
    task = asyncio.create_task(stage.run)
    try:
        await _idle(stage, task)
        meter.end(stage.started)
        if stage.then:
            await stage.bus.append(stage.then)
            meter.begin()
            await _idle(stage, task)
            meter.end(stage.did)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _idle(stage: _Stage, task: asyncio.Task[None]) -> None:
    waiting = asyncio.create_task(stage.bus.idle(stage.readers))
    async with asyncio.timeout(WAIT_S):
        await asyncio.wait((waiting, task), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiting.cancel()
        await task
    await waiting


def _stage(stage: _Stage, *files: CountedFiles) -> tuple[list[Counter[str]], Callable[[Meter], None]]:
    sources = [stage.bus.counts, *(folder.counts for folder in files)]
    return sources, lambda meter: asyncio.run(_drive(stage, meter))


def _aggregator(city: SparseCity) -> tuple[list[Counter[str]], Callable[[Meter], None]]:
    bus = city.bus()
    run = aggregator.run(bus, SHARD, SHARDS, city.trust.authorities)
    unread = [Append(STATEMENTS, SHARD, message.value, message.key) for message in city.unread]
    return _stage(_Stage(bus, run, 1, "take a shard over", unread, "seal a block"))


def _log(city: SparseCity) -> tuple[list[Counter[str]], Callable[[Meter], None]]:
    bus = city.bus()
    run = log.run(bus, ORIGIN, SHARDS, city.trust.log.signer, city.trust.authorities)
    new = [Append(BLOCKS, SHARD, city.new_body)]
    return _stage(_Stage(bus, run, 1, "start the log", new, "place a block"))


def _publisher(city: SparseCity) -> tuple[list[Counter[str]], Callable[[Meter], None]]:
    bus, files, state = city.bus(), CountedFiles(city.files.read), CountedFiles(city.publisher_state)
    witnesses = [city.witness(signer) for signer in city.trust.witnesses]
    publisher = Publisher(city.trust.log, city.trust.policy, witnesses, files, state, lambda _size: None)
    stage = _Stage(
        bus, publisher.run(bus, SHARDS), 1, "start the publisher", city.next_entry(), "publish a block"
    )
    return _stage(stage, files, state)


class _Nowhere:
    """A broker, an index and a point store that take everything and keep nothing."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Take a message."""

    async def put(self, rows: Sequence[LeafPlace]) -> None:
        """Take rows."""

    async def find(self, issuer: str, epoch: int, sequence: int) -> Sequence[LeafPlace]:  # noqa: ARG002
        """Find nothing."""
        return ()

    async def write(self, points: Sequence[Point]) -> int:  # noqa: ARG002 - what becomes of them is no matter
        """Take points."""
        return 0


def _courier(city: SparseCity) -> tuple[list[Counter[str]], Callable[[Meter], None]]:
    bus = city.bus()
    run = courier.run(bus, SHARDS, _Nowhere(), _Nowhere())
    return _stage(_Stage(bus, run, 2, "start the courier", city.next_entry(), "deliver a block's receipts"))


def _projector(city: SparseCity) -> tuple[list[Counter[str]], Callable[[Meter], None]]:
    bus = city.bus()
    run = projector.run(bus, SHARDS, city.trust.authorities, _Nowhere())
    return _stage(_Stage(bus, run, 1, "start the projector", city.next_entry(), "project a block"))


WORKS: Sequence[Work] = (_prove, _aggregator, _log, _publisher, _courier, _projector)
