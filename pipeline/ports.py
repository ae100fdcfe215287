"""The protocols that stages speak and edges implement.

The bus has Kafka's semantics: topics of numbered partitions, each an append-only list of messages with
offsets and an append time, which runs backwards only if the bus's own clock does. A writer appends a batch to
several topics at once, wholly or not at all; opening a writer of the same name again fences the one before.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pipeline.verify.audit import PointPlace, StoredValue


class Append(NamedTuple):
    """One message to be appended."""

    topic: str
    partition: int
    value: bytes
    key: bytes = b""


class Message(NamedTuple):
    """One message of the bus. `timestamp_ms` is the append time, the operator's clock."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    value: bytes
    key: bytes = b""


class BusReader(Protocol):
    """Reads some partitions of one topic from explicit offsets; sees committed messages only, each once."""

    def seek(self, partition: int, offset: int) -> None:
        """Let the next read of this partition begin at `offset`."""
        ...

    async def read(self, limit: int, wait_s: float) -> Sequence[Message]:
        """Return up to `limit` messages, in order within a partition; empty after `wait_s` without any.

        Only an empty answer tells that all that was there at the call has been read.
        """
        ...


class BusWriter(Protocol):
    """Appends batches; a batch is in the bus wholly or not at all."""

    async def append(self, batch: Sequence[Append]) -> Sequence[int]:
        """Append and return the offsets once the batch is durable.

        Raises:
            FencedError: A writer of the same name was opened after this one; nothing was appended.
            UnavailableError: The bus did not answer; whether the batch is there must be read back.
        """
        ...


class BusSender(Protocol):
    """Appends messages that need no transaction.

    A transaction leaves a mark of the bus behind, which takes an offset. A topic that is only sent to has
    none: its offsets are 0, 1, 2, … without a gap, by which a manifest accounts for every message.
    """

    async def send(self, messages: Sequence[Append]) -> None:
        """Append, in order within a partition, and return once all are durable.

        Raises:
            UnavailableError: The bus did not answer; any of them may be there, each once.
        """
        ...


class Bus(Protocol):
    """A connection to the bus."""

    async def topic_id(self, topic: str) -> bytes:
        """Return the 16-byte id the topic was created with; another one means another topic of that name."""
        ...

    def reader(self, topic: str, partitions: Sequence[int]) -> AbstractAsyncContextManager[BusReader]:
        """Open a reader that begins at offset 0 of each partition."""
        ...

    def writer(self, name: str) -> AbstractAsyncContextManager[BusWriter]:
        """Open the writer of this name and fence every earlier one of it."""
        ...

    def sender(self, name: str) -> AbstractAsyncContextManager[BusSender]:
        """Open a sender; it fences nobody. The name is for people."""
        ...

    async def last(self, topic: str, partition: int) -> Message | None:
        """Return the partition's last committed message, if it has any."""
        ...

    async def compacted(self, topic: str, partition: int) -> Mapping[bytes, bytes]:
        """Return the last value of each key of a compacted partition."""
        ...

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Remember durably that `group` resumes this partition at `offset`."""
        ...

    async def committed(self, group: str, topic: str, partition: int) -> int:
        """Return where `group` resumes this partition; 0 where it never committed."""
        ...


class Point(NamedTuple):
    """One stored value: where it stands in its series, and `ref` = log entry * 2048 + leaf."""

    kind: str
    device: str
    subject: str
    quantity: str
    time_us: int
    value: float
    ref: int


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity of one subject, as one device measured it."""

    kind: str
    device: str
    subject: str
    quantity: str


@dataclass(frozen=True, slots=True)
class Span:
    """How many points a series has, and from when to when."""

    series: Series
    points: int
    first_us: int
    last_us: int


class PointStore(Protocol):
    """A projection of the log: series of points. It may be wiped and built again at any time."""

    async def write(self, points: Sequence[Point]) -> int:
        """Store points durably; at one place the point with the larger `ref` stays. Idempotent.

        Returns how many of them the store does not take, which it has put aside.
        """
        ...


class PointReader(Protocol):
    """Reads a point store, beside whoever writes it. Calls block, and raise UnavailableError."""

    def series(self) -> Sequence[Series]:
        """Return every series, ordered by device, quantity and subject."""
        ...

    def find_series(self, device: str, quantity: str) -> Sequence[Series]:
        """Return the series of a device's quantity: one a subject it has measured."""
        ...

    def spans(self) -> Sequence[Span]:
        """Return the span of every series that has points, in the order of `series`."""
        ...

    def at(self, device: str, quantity: str, time_us: int) -> Point | None:
        """Return the point at exactly this time; of several subjects' the latest in the log."""
        ...

    def nearest(self, device: str, quantity: str, time_us: int) -> Sequence[int]:
        """Return the times of the last point before this time and of the first one after it, if any."""
        ...

    def range(self, series: Series, first_us: int, last_us: int, limit: int) -> Sequence[Point]:
        """Return up to `limit` points of a series, in time order, both ends of the range included."""
        ...

    def find(self, places: Sequence[PointPlace]) -> Mapping[PointPlace, StoredValue]:
        """Return what is stored at places; those without a point are left out."""
        ...

    def scan(self) -> Iterator[Point]:
        """Yield every stored point, by series and time, in bounded memory."""
        ...

    def count_below(self, ref: int) -> int:
        """Return how many points have a smaller ref."""
        ...

    def beyond(self, ref: int, limit: int) -> Sequence[Point]:
        """Return up to `limit` points with this ref or a larger one."""
        ...

    def writers(self) -> Sequence[str]:
        """Return who could have written, for people, as far as that can be known."""
        ...


class Publisher(Protocol):
    """The sending half of an MQTT session."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand a message to the broker at QoS 1 and return once it is acknowledged."""
        ...


class Inbox(Protocol):
    """The receiving half of an MQTT session: messages stay unacknowledged until the caller says so."""

    async def receive(self, limit: int, gather_s: float) -> Sequence["Delivery"]:
        """Wait for a message, gather more for `gather_s`, and return up to `limit`."""
        ...

    async def acknowledge(self, deliveries: Sequence["Delivery"]) -> None:
        """Acknowledge messages whose effects are durable; those of an earlier connection are dropped."""
        ...


class Delivery(NamedTuple):
    """One MQTT message, tagged with the connection generation it arrived in."""

    topic: str
    payload: bytes
    message_id: int
    generation: int


class Files(Protocol):
    """A folder of the published log. Writes are durable before they return; reads are small and local."""

    async def write(self, path: str, data: bytes) -> None:
        """Write a whole file atomically: temporary file, fsync, rename, fsync of the directory."""
        ...

    async def write_many(self, files: Mapping[str, bytes]) -> None:
        """Write several files, each atomically and in this order; durable together when it returns."""
        ...

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or None where it is missing."""
        ...


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """What a witness answered: HTTP status, content type, body."""

    status: int
    content_type: str
    body: bytes


class WitnessClient(Protocol):
    """A witness that may cosign a checkpoint."""

    @property
    def name(self) -> str:
        """Return what to call it in messages to people."""
        ...

    async def add_checkpoint(self, request: bytes) -> WitnessAnswer:
        """Send a C2SP add-checkpoint body.

        Raises:
            UnavailableError: The witness did not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class LeafPlace:
    """Where a statement stands: its identity, the bus offsets of its log entry and block, and its leaf."""

    issuer: str
    epoch: int
    sequence: int
    log_offset: int
    shard: int
    block_offset: int
    leaf: int


class ReceiptIndex(Protocol):
    """Finds the leaves of an identity. It can be rebuilt from the bus at any time."""

    async def put(self, rows: Sequence[LeafPlace]) -> None:
        """Remember the rows of whole blocks durably; idempotent."""
        ...

    async def find(self, issuer: str, epoch: int, sequence: int) -> Sequence[LeafPlace]:
        """Return where this identity stands, in log order: twice, if its signer has contradicted itself."""
        ...


@dataclass(frozen=True, slots=True)
class ChainState:
    """Where a signer stands: its epoch, its next sequence, the leaf hash of its statement before."""

    epoch: int
    sequence: int
    previous: bytes


class FindingOutbox(Protocol):
    """What an auditor has signed: kept for good, and sent until a receipt shows it to be in the log."""

    async def chain(self) -> ChainState | None:
        """Return where the auditor stands; None where it has signed nothing yet."""
        ...

    async def add(self, statements: Sequence[bytes], chain: ChainState) -> None:
        """Keep statements, in the order of their sequences, and where the chain stands behind them."""
        ...

    async def waiting(self, limit: int) -> Sequence[bytes]:
        """Return statements without a receipt, oldest first."""
        ...

    async def statements(self) -> Sequence[bytes]:
        """Return all statements, oldest first."""
        ...

    async def settle(self, epoch: int, sequence: int, receipt: bytes) -> None:
        """Keep the receipt of a statement, which need not be sent again."""
        ...

    async def settled(self) -> int:
        """Return the number that `remember_settled` was given last; 0 if there is none."""
        ...

    async def remember_settled(self, ref: int) -> None:
        """Remember how far the store is known to have been written."""
        ...


class Clock(Protocol):
    """The wall clock, injectable."""

    def now_s(self) -> float:
        """Return POSIX seconds."""
        ...


class KeptStatement(NamedTuple):
    """A statement that matters to a shipment, the shipment's name first, and its place in the log."""

    shipment: str
    raw: bytes
    entry: int
    leaf: int


class AlarmMemory(NamedTuple):
    """How far the log was read, and what matters of it, in log order."""

    log_offset: int
    statements: Sequence[KeptStatement]


class WaitingAlarm(NamedTuple):
    """An alarm to be told, and how often that was tried."""

    id: str
    body: bytes
    attempts: int


class AlarmStore(Protocol):
    """What the alarm stage remembers: what it has read, and what it has to tell until it is taken."""

    async def load(self) -> AlarmMemory:
        """Return all that is remembered of open shipments."""
        ...

    async def take(
        self,
        log_offset: int,
        kept: Sequence[KeptStatement],
        alarms: Sequence[tuple[str, bytes]],
        over: Sequence[str],
    ) -> None:
        """Remember statements, alarms (id and body; one that is there stays as it is), and the log's offset.

        What was kept of shipments that are `over` is forgotten. All of it in one transaction.
        """
        ...

    async def due(self, now_s: float, limit: int) -> Sequence[WaitingAlarm]:
        """Return alarms to be told now, the oldest first."""
        ...

    async def next_due_s(self) -> float | None:
        """Return when the next alarm is due; None where none waits."""
        ...

    async def told(self, alarm_id: str) -> None:
        """Remember that the receiver has taken an alarm."""
        ...

    async def postpone(self, alarm_id: str, due_s: float) -> None:
        """Remember that it has not, and when to try again."""
        ...


class AlarmReceiver(Protocol):
    """Whoever is told of alarms."""

    async def post(self, message_id: str, body: bytes, time_s: float) -> None:
        """Tell; return once it was taken.

        Raises:
            UnavailableError: It was not.
        """
        ...
