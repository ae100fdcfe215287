"""What the demo counts while it runs: blocks, refusals by reason, and the way from sent to provable."""

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.log.merkle import hash_leaves
from pipeline.ports import Bus
from pipeline.stages.envelopes import unwrap_outcomes
from pipeline.stages.follow import LogEntry, open_follower
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import record_count
from pipeline.wire.topics import REFUSED

READ_MAX = 256
IDLE_S = 5.0
RECENT = 2000


@dataclass(slots=True)
class Latencies:
    """First send -> published checkpoint, in seconds, one value a record.

    The devices note when each statement left; the log says in which entry it stands; the publisher says
    when a checkpoint covered that entry. What has met is kept as (seconds, records).
    """

    sends: Path
    started_s: float
    _read_to: int = 0
    _sent: dict[bytes, tuple[float, int]] = field(default_factory=dict[bytes, tuple[float, int]])
    _placed: dict[bytes, int] = field(default_factory=dict[bytes, int])
    _published: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    done: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])

    def published(self, size: int) -> None:
        """Note that a checkpoint of this size is out, now."""
        self._published.append((size, time.time()))

    def placed(self, leaf_hashes: list[bytes], entry: int) -> None:
        """Note the entry that these leaves stand in."""
        self._placed.update(dict.fromkeys(leaf_hashes, entry))

    def join(self) -> None:
        """Read the sends noted since the last call, and match whatever can be matched."""
        self._read_sends()
        published = iter(self._published)
        size, time_s = next(published, (0, 0.0))
        for leaf_hash, entry in sorted(self._placed.items(), key=lambda item: item[1]):
            while entry >= size:
                found = next(published, None)
                if found is None:
                    return
                size, time_s = found
            if (sent := self._sent.pop(leaf_hash, None)) is not None:
                self.done.append((time_s - sent[0], sent[1]))
                del self._placed[leaf_hash]
            elif time_s < time.time() - IDLE_S:
                del self._placed[leaf_hash]  # An enrolment, or a statement of an earlier run.

    def _read_sends(self) -> None:
        if not self.sends.is_file():
            return
        with self.sends.open("rb") as file:
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read_to += len(line)
                leaf_hash, sent_s, records = line.rstrip().split(b",")
                if leaf_hash != b"leaf_hash" and float(sent_s) >= self.started_s:
                    self._sent[bytes.fromhex(leaf_hash.decode())] = float(sent_s), int(records)

    def percentile(self, share: float, last: int | None = None) -> float:
        """Return the latency that this share of the records stays within; 0 where there is none yet."""
        values = sorted(self.done[-last:] if last else self.done)
        total = sum(records for _, records in values)
        seen = 0
        for latency_s, records in values:
            seen += records
            if seen >= share * total:
                return latency_s
        return 0.0


@dataclass(slots=True)
class Watch:
    """Counts of one run, in records, except blocks and size."""

    latencies: Latencies
    blocks: int = 0
    size: int = 0
    published_size: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    duplicates: int = 0
    recent: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=8))

    def on_published(self, size: int) -> None:
        """Hear of a published checkpoint."""
        self.published_size = size
        self.latencies.published(size)

    async def run(self, bus: Bus, shards: int) -> None:
        """Follow the log and the refused until cancelled, from where they stand now."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_log(bus, shards))
            group.create_task(self._follow_refused(bus, shards))

    async def _follow_log(self, bus: Bus, shards: int) -> None:
        async with open_follower(bus, shards) as follower:
            while True:
                for entry in await follower.read(READ_MAX, IDLE_S):
                    self._count_entry(entry)

    def _count_entry(self, entry: LogEntry) -> None:
        self.size = entry.index + 1
        placed = entry.placed
        if placed is None or placed.manifest.arrival_last_ms < self.latencies.started_s * 1000:
            return
        self.blocks += 1
        self.latencies.placed(hash_leaves(placed.leaves[1:]), entry.index)
        for leaf in placed.manifest.equivocations:
            # Kept in the log as evidence against its signer; as a reading it counts as refused.
            self.refused[Reason.EQUIVOCATION.value] += record_count(placed.leaves[leaf])

    async def _follow_refused(self, bus: Bus, shards: int) -> None:
        async with bus.reader(REFUSED, range(shards)) as reader:
            while True:
                for message in await reader.read(READ_MAX, IDLE_S):
                    if message.timestamp_ms >= self.latencies.started_s * 1000:
                        self._count_refused(message.value)

    def _count_refused(self, value: bytes) -> None:
        refused, duplicates = unwrap_outcomes(value)
        for item in refused:
            self.refused[item.reason] += item.records
            self.recent.append((item.mqtt_topic, item.reason))
        self.duplicates += sum(item.records for item in duplicates)
