"""Projector: writes every proven record into the point store, which can be wiped and built again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.counts import Counts
from pipeline.identity.authorities import Authorities
from pipeline.identity.registry import Registry
from pipeline.log.block import decode_body
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.ports import Bus, Point, PointStore
from pipeline.stages.follow import LOG_PARTITION, LogEntry, LogFollower, offset_of, open_follower
from pipeline.stages.snapshots import read_registry
from pipeline.wire.senml import decode_readings
from pipeline.wire.statement import CONTENT_SENML, StatementParser
from pipeline.wire.topics import BLOCKS, LOG

GROUP = "projector"
READ_MAX = 64
IDLE_S = 5.0
REGISTRY_SHARD = 0
LEAVES_PER_ENTRY = 2048


@dataclass(slots=True)
class Projection:
    """The pure part: log entries in, points out, with the registry that names each device's kind."""

    authorities: Authorities
    registry: Registry = field(default_factory=Registry)
    _parser: StatementParser = field(default_factory=StatementParser)

    def step(self, entry: LogEntry) -> list[Point]:
        """Return the points of one log entry. An equivocation is evidence, not a reading: it gives none."""
        placed = entry.placed
        if placed is None:
            return []
        if placed.manifest.shard == REGISTRY_SHARD:
            self.enrol(placed.manifest, placed.leaves)
            return []
        points: list[Point] = []
        for leaf, raw in enumerate(placed.leaves[1:], 1):
            if leaf not in placed.manifest.equivocations:
                points += self._points(raw, entry.index * LEAVES_PER_ENTRY + leaf)
        return points

    def enrol(self, manifest: Manifest, leaves: Sequence[bytes]) -> None:
        """Take up a registry block, unless the snapshot that the registry came from includes it."""
        if manifest.height >= self.registry.blocks:
            self.registry.apply_block(leaves, manifest.equivocations, self.authorities)
            self.registry.forget()

    def _points(self, raw: bytes, ref: int) -> list[Point]:
        statement = self._parser.parse(raw)
        if statement.content_type != CONTENT_SENML:
            return []
        issuer, subject = statement.issuer, statement.subject
        key = self.registry.find(issuer, statement.kid)
        assert key is not None, "the log holds statements of enrolled keys only"
        kind = key.kind
        return [
            Point(kind, issuer, subject, quantity, time_us, value, ref)
            for quantity, time_us, value in decode_readings(statement.payload, issuer)
        ]


async def _resume(bus: Bus, follower: LogFollower, projection: Projection) -> None:
    await follower.resume(await bus.committed(GROUP, LOG, LOG_PARTITION))
    projection.registry, block_offset = await read_registry(bus)
    registry_blocks = follower.height(REGISTRY_SHARD)
    async with bus.reader(BLOCKS, [REGISTRY_SHARD]) as reader:
        reader.seek(REGISTRY_SHARD, block_offset)
        while projection.registry.blocks < registry_blocks:
            for message in await reader.read(1, IDLE_S):
                leaves = decode_body(message.value)
                projection.enrol(decode_manifest(leaves[0]), leaves)


async def rewind(bus: Bus, entry: int) -> None:
    """Let the projector begin at this entry when it runs next; none may be running."""
    offset = await offset_of(bus, entry - 1) if entry > 0 else 0
    await bus.commit(GROUP, LOG, LOG_PARTITION, offset)


async def position(bus: Bus) -> int:
    """Return the log offset of the last entry whose points are known to be stored; 0 where there is none."""
    return await bus.committed(GROUP, LOG, LOG_PARTITION)


async def run(
    bus: Bus, shards: int, authorities: Authorities, store: PointStore, counts: Counts | None = None
) -> None:
    """Project until cancelled."""
    counts = counts or Counts()
    projection = Projection(authorities)
    async with open_follower(bus, shards) as follower:
        await _resume(bus, follower, projection)
        counts.turn()
        while True:
            entries = await follower.read(READ_MAX, IDLE_S)
            points = [point for entry in entries for point in projection.step(entry)]
            counts.turn()
            counts.take(len(points))
            rejected = await store.write(points)
            counts.settle(len(points) - rejected, refused={"rejected": rejected} if rejected else None)
            if entries:
                # A crash before this commit writes the same points again, to the same places.
                await bus.commit(GROUP, LOG, LOG_PARTITION, entries[-1].log_offset)
