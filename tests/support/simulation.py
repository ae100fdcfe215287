"""The whole flow in one process, on a bus, disk and clock of its own; everything goes wrong, by one seed.

Stages are stopped in the middle of any await and started again, taken over while they still run, left without
an answer from the bus; messages are lost, repeated and late; the clock jumps back; witnesses are gone; stores
are wiped. `Simulation.check` holds what must be true at any moment, `check_end` what must be true once all is
calm again.
"""

import asyncio
import random as global_random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from hashlib import sha256
from random import Random
from typing import Any

from pipeline.counts import Counts
from pipeline.log.block import decode_body, parse_signed_block
from pipeline.log.checkpoint import open_checkpoint, parse_checkpoint
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.log.note import parse_note
from pipeline.log.receipt import check_receipt
from pipeline.ports import Delivery, Message, WitnessAnswer
from pipeline.stages import aggregator, bridge, courier, log, projector
from pipeline.stages.envelopes import unwrap_outcomes
from pipeline.stages.publisher import Publisher
from pipeline.stages.witness import Witness
from pipeline.verify.fsck import LogCheck
from pipeline.wire.cbor import decode
from pipeline.wire.errors import FencedError, UnavailableError, VerificationError
from pipeline.wire.messages import decode_receipts, decode_refusal
from pipeline.wire.senml import decode_pack, time_us
from pipeline.wire.statement import parse_statement
from pipeline.wire.topics import (
    BLOCKS,
    LOG,
    REFUSED,
    STATE,
    STATEMENTS,
    parse_topic,
    registry_topic,
    statements_topic,
)
from tests.support.city import (
    AUTHORITIES,
    AUTHORITY_NAME,
    ORIGIN,
    POLICY,
    SHARDS,
    WITNESSES,
    Device,
    enrol,
)
from tests.support.city import (
    LOG as LOG_KEY,
)
from tests.support.memory_bus import EPOCH_S, Fault, MemoryBus, city_topics
from tests.support.memory_edges import MemoryIndex, MemoryPoints
from tests.support.memory_files import MemoryFiles
from tests.support.virtual_time import run

Place = tuple[str, str, str, int]
DEVICES = 8
CHAOS_S = 12.0
CALM_S = 300.0


class Clock:
    """The operator's wall clock, which jumps back now and then."""

    def __init__(self) -> None:
        self.shift_s = 0.0

    def now_s(self) -> float:
        return EPOCH_S + asyncio.get_running_loop().time() + self.shift_s


class Inbox:
    """The bridge's half of MQTT: what it has not acknowledged comes again in its next connection."""

    def __init__(self) -> None:
        self.waiting: list[Delivery] = []
        self.unacknowledged: dict[int, Delivery] = {}
        self.generation = 0
        self._ids = 0
        self._arrived = asyncio.Event()

    def deliver(self, topic: str, payload: bytes) -> None:
        self._ids += 1
        self.waiting.append(Delivery(topic, payload, self._ids, self.generation))
        self._arrived.set()

    def reconnect(self) -> None:
        """Begin another connection."""
        self.generation += 1
        self.waiting = [*self.unacknowledged.values(), *self.waiting]
        self.unacknowledged = {}

    async def receive(self, limit: int, gather_s: float) -> Sequence[Delivery]:
        while not self.waiting:
            self._arrived.clear()
            await self._arrived.wait()
        await asyncio.sleep(gather_s)
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        self.unacknowledged |= {delivery.message_id: delivery for delivery in taken}
        return taken

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        await asyncio.sleep(0)
        for delivery in deliveries:
            self.unacknowledged.pop(delivery.message_id, None)


class Sender:
    """A device or an authority: keeps what it sent until it has verified a receipt or a refusal for it."""

    def __init__(self, name: str, topic: str) -> None:
        self.name = name
        self.topic = topic
        self.outbox: dict[bytes, bytes] = {}  # By the SHA-256 of the bytes.
        self.sent: dict[bytes, bytes] = {}
        self.receipted: set[bytes] = set()
        self.parked: dict[bytes, str] = {}

    def queue(self, raw: bytes) -> None:
        """Take a statement into the outbox."""
        key = sha256(raw).digest()
        self.outbox[key] = self.sent[key] = raw

    def hear(self, kind: str, payload: bytes) -> None:
        """Take a message from the courier."""
        if kind == "refusals":
            refused, reason = decode_refusal(payload)
            if self.outbox.pop(refused, None) is not None:
                self.parked[refused] = reason.value
            return
        for item in decode_receipts(payload):
            for key, raw in list(self.outbox.items()):
                if self._holds(item.receipt, raw):
                    self.receipted.add(key)
                    del self.outbox[key]

    def _holds(self, receipt: bytes, raw: bytes) -> bool:
        leaf_hash = sha256(b"\0" + raw).digest()
        try:
            check_receipt(receipt, leaf_hash, origin=ORIGIN, public_key=LOG_KEY.signer.public_key)
        except VerificationError:
            return False
        return True


class Courier:
    """The courier's half of MQTT: acknowledged by the broker, and yet not always heard."""

    def __init__(self, hear: Callable[[str, bytes], None]) -> None:
        self._hear = hear
        self.loses: Callable[[], bool] = lambda: False
        self.fails: Callable[[], bool] = lambda: False

    async def publish(self, topic: str, payload: bytes) -> None:
        await asyncio.sleep(0)
        if self.fails():
            raise UnavailableError("mqtt", "publish")
        if not self.loses():
            self._hear(topic, payload)


class Client:
    """A witness across a network that is not always there."""

    def __init__(self, inner: Witness) -> None:
        self.inner = inner
        self.name = inner.name
        self.gone = False

    async def add_checkpoint(self, request: bytes) -> WitnessAnswer:
        await asyncio.sleep(0.001)
        if self.gone:
            raise UnavailableError(self.name, "add-checkpoint")
        answer = await self.inner.add_checkpoint(request)
        await asyncio.sleep(0.001)
        if self.gone:
            raise UnavailableError(self.name, "add-checkpoint")
        return answer


class Simulation:
    """One city and its misfortunes, all from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = Clock()
        marked = frozenset({BLOCKS, LOG, REFUSED, STATE}) if self.random.random() < 0.5 else frozenset[str]()
        self.bus = MemoryBus(city_topics(SHARDS), marked=marked, now_s=self.clock.now_s)
        self.inbox = Inbox()
        self.index = MemoryIndex()
        self.points = MemoryPoints()
        self.files = self._folder()
        self.state = self._folder()
        self.witness_files = [self._folder() for _ in WITNESSES]
        self.guards = [self._folder() for _ in WITNESSES]
        self.clients: list[Client] = []
        self.devices = [Device(number) for number in range(DEVICES)]
        self.authority = Sender(AUTHORITY_NAME, registry_topic(AUTHORITY_NAME))
        self.senders = {
            device.issuer: Sender(device.issuer, statements_topic(device.issuer)) for device in self.devices
        }
        self.senders[AUTHORITY_NAME] = self.authority
        self.mqtt = Courier(self._hear)
        self.published: list[tuple[int, bytes]] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.zombies: list[asyncio.Task[None]] = []
        self.trouble = 1.0  # From 1, all the time, to 0, none.
        self.starts: Counter[str] = Counter()
        self.counts: dict[str, Counts] = {}
        self._seen = _Seen()

    def _folder(self) -> MemoryFiles:
        return MemoryFiles(survives=lambda: self.random.random() < 0.5)

    # What runs

    def _stages(self) -> Mapping[str, Callable[[Counts], Coroutine[Any, Any, None]]]:
        aggregators = {
            f"aggregator-{shard}": partial(aggregator.run, self.bus, shard, SHARDS, AUTHORITIES)
            for shard in range(SHARDS)
        }
        return aggregators | {
            "log": partial(log.run, self.bus, ORIGIN, SHARDS, LOG_KEY.signer, AUTHORITIES),
            "publisher": lambda counts: self._publisher().run(self.bus, SHARDS, counts),
            "courier": partial(courier.run, self.bus, SHARDS, self.mqtt, self.index),
            "projector": partial(projector.run, self.bus, SHARDS, AUTHORITIES, self.points),
            "bridge": lambda counts: bridge.run(self.bus, self.inbox, SHARDS, counts=counts),
        }

    def _publisher(self) -> Publisher:
        self.clients = [
            Client(Witness(signer, {ORIGIN: LOG_KEY.key()}, files, guard, self.clock))
            for signer, files, guard in zip(WITNESSES, self.witness_files, self.guards, strict=True)
        ]
        return Publisher(LOG_KEY, POLICY, self.clients, self.files, self.state, self._notify)

    def _notify(self, size: int) -> None:
        checkpoint = open_checkpoint(self.files.files["checkpoint"], POLICY).checkpoint
        assert checkpoint.size == size
        self.published.append((size, checkpoint.root))

    def _hear(self, topic: str, payload: bytes) -> None:
        kind, name = parse_topic(topic)
        if name in self.senders:
            self.senders[name].hear(kind, payload)

    def start(self, name: str) -> None:
        """Start a stage, whether or not one of its name is still running."""
        self.starts[name] += 1
        if name == "bridge":
            self.inbox.reconnect()
        counts = self.counts[name] = Counts()
        self.tasks[name] = asyncio.create_task(self._stages()[name](counts), name=name)

    async def stop(self, name: str) -> None:
        """Stop a stage wherever it is, as a crash would; what it had in memory is gone."""
        task = self.tasks[name]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def supervise(self) -> None:
        """Start again what has ended; anything but trouble with others is a bug of ours."""
        for task in [*self.tasks.values(), *self.zombies]:
            if task.done() and not task.cancelled():
                _raise_bugs(task.exception())
        self.zombies = [task for task in self.zombies if not task.done()]
        for name, task in self.tasks.items():
            if task.done():
                self.start(name)

    # What happens

    async def run(self) -> None:
        """Chaos, then calm, with the invariants checked all along."""
        for name in self._stages():
            self.start(name)
        loop = asyncio.get_running_loop()
        enrolled = self._enrol(DEVICES - 2)
        while loop.time() < CHAOS_S:
            for _ in range(self.random.randrange(3)):
                await self._misfortune()
            if enrolled < DEVICES and loop.time() > CHAOS_S / 2:
                enrolled += self._enrol(DEVICES - enrolled, enrolled)
            self._speak()
            self._send()
            await asyncio.sleep(self.random.uniform(0.02, 0.4))
            await self.supervise()
            self.check()
        await self._calm()
        self.check()
        self.check_end()
        self.check_counts()
        for task in [*self.tasks.values(), *self.zombies]:
            task.cancel()
        await asyncio.gather(*self.tasks.values(), *self.zombies, return_exceptions=True)

    async def _calm(self) -> None:
        self.trouble = 0.0
        self.bus.fault = lambda _writer, _batch: None
        self.mqtt.loses = self.mqtt.fails = lambda: False
        loop = asyncio.get_running_loop()
        quiet = 0
        while quiet < 12:  # Long enough for the publisher's longest pause.
            for client in self.clients:
                client.gone = False
            self._send()
            await asyncio.sleep(1)
            await self.supervise()
            waiting = any(sender.outbox for sender in self.senders.values()) or self.inbox.waiting
            quiet = 0 if waiting else quiet + 1
            assert loop.time() < CHAOS_S + CALM_S, "what was sent is neither receipted nor refused"

    def check_counts(self) -> None:
        """Every stage has settled all that it took since its last start, and says what became of it."""
        for name, counts in self.counts.items():
            settled = counts.given + counts.duplicates + sum(counts.refused.values())
            assert (counts.taken, counts.waiting) == (settled, 0), name
            assert counts.turned_s is not None, name

    def _enrol(self, count: int, first: int = 0) -> int:
        for number in range(first, first + count):
            self.authority.queue(enrol(self.devices[number], number))
        return count

    def _speak(self) -> None:
        """Let some devices say something: the next, a jump ahead, two things at once, a new life, rubbish."""
        for device in self.random.sample(self.devices, 3):
            sender = self.senders[device.issuer]
            match self.random.randrange(12):
                case 0:
                    sender.queue(device.read(sequence=device.sequence + self.random.randrange(1, 5)))
                case 1:
                    sender.queue(device.read())
                    sender.queue(device.read(sequence=device.sequence - 1, records=2))
                case 2:
                    sender.queue(device.read(epoch=self.random.randrange(2, 5)))
                case 3:
                    sender.queue(self.random.randbytes(self.random.choice((3, 80, 20_000))))
                case 4:
                    raw = device.read()
                    sender.queue(raw[:-1] + bytes([raw[-1] ^ 1]))
                case _:
                    sender.queue(device.read(records=self.random.randrange(1, 4)))

    def _send(self) -> None:
        """Send what has no receipt yet: late, twice, in any order, or not at all."""
        for sender in self.senders.values():
            waiting = list(sender.outbox.values())
            if self.trouble:
                waiting = [raw for raw in waiting if self.random.random() < 0.4]
                self.random.shuffle(waiting)
            for raw in waiting:
                for _ in range(2 if self.trouble and self.random.random() < 0.1 else 1):
                    self.inbox.deliver(sender.topic, raw)

    async def _misfortune(self) -> None:
        """Something goes wrong, or nothing does."""
        name = self.random.choice(list(self.tasks))
        match self.random.randrange(12):
            case 0 | 1 | 2:
                for _ in range(self.random.randrange(60)):
                    await asyncio.sleep(0)
                await self.stop(name)
            case 3 if name not in {"publisher", "projector", "courier", "bridge"}:
                self.zombies.append(self.tasks[name])  # Another takes over while it still runs.
                self.start(name)
            case 4:
                faults: list[Fault] = [None, None, None, "before", "after"]
                self.bus.fault = lambda _writer, _batch: self.random.choice(faults)
            case 5:
                self.bus.fault = lambda _writer, _batch: None
            case 6:
                rate = self.random.choice((0.0, 0.3, 1.0))
                self.mqtt.loses = lambda: self.random.random() < rate
            case 7:
                rate = self.random.choice((0.0, 0.0, 0.1))
                self.mqtt.fails = lambda: self.random.random() < rate
            case 8:
                for client in self.clients:
                    client.gone = self.random.random() < 0.5
            case 9:
                self.clock.shift_s += self.random.choice((-3600.0, -1.0, 1.0, 3600.0))
            case 10 if self.random.random() < 0.3:
                await self._wipe()

    async def _wipe(self) -> None:
        """What derives from the bus is wiped with the stage that keeps it, and must come again."""
        match self.random.randrange(3):
            case 0:
                await self.stop("projector")
                self.points.points.clear()
                self.bus.commits.pop(("projector", LOG, 0), None)
            case 1:
                await self.stop("courier")
                self.index.rows.clear()
                self.bus.commits = {key: at for key, at in self.bus.commits.items() if key[0] != "courier"}
            case _:
                await self.stop("publisher")
                self.files.files.clear()
                self.state.files.clear()

    # What must be true

    def check(self) -> None:
        """Check what holds at every moment."""
        seen = self._seen
        seen.take(self.bus)
        for sender in self.senders.values():
            missing = sender.receipted - seen.placed_hashes
            assert not missing, f"{sender.name}: {len(missing)} receipted statements are not in the log"
        for (size, root), (later, _) in zip(self.published, self.published[1:], strict=False):
            assert size <= later, "a smaller tree was published after a larger one"
            assert root == seen.root_at(size), "another tree was published"
        for files in self.witness_files:
            stored = files.read("latest")
            state: Any = decode(stored) if stored else [0, []]
            for note in state[1]:
                checkpoint = parse_checkpoint(parse_note(note).text)
                assert checkpoint.root == seen.root_at(checkpoint.size), "a witness knows another tree"

    def check_end(self) -> None:
        """Check what holds once everybody was answered."""
        seen = self._seen
        for partition in range(SHARDS):
            arrived = len(self.bus.values(STATEMENTS, partition))
            assert seen.consumed[partition] == arrived, "in is not out"
        for sender in self.senders.values():
            assert not sender.outbox
            for key, raw in sender.sent.items():
                in_log = key in seen.placed_hashes
                assert in_log or key in sender.parked, f"{sender.name}: lost {raw[:20].hex()}"
        size = len(self.bus.values(LOG))
        checkpoint = open_checkpoint(self.files.files["checkpoint"], POLICY).checkpoint
        assert (checkpoint.size, checkpoint.root) == (size, seen.root_at(size))
        findings = list(LogCheck(self.files.read, POLICY, AUTHORITIES).run())
        assert findings == []
        assert {place: (p.value, p.ref) for place, p in self.points.points.items()} == seen.points
        indexed = {key: [(row.log_offset, row.leaf) for row in rows] for key, rows in self.index.rows.items()}
        assert indexed == seen.leaves


class _Seen:
    """What the bus says, taken up bit by bit, and judged by plain means."""

    def __init__(self) -> None:
        self.consumed = [0] * SHARDS
        self.placed_hashes: set[bytes] = set()  # SHA-256 of every statement in a block that is in the log.
        self.points: dict[Place, tuple[float, int]] = {}
        self.leaves: dict[tuple[str, int, int], list[tuple[int, int]]] = {}  # Log offset and leaf.
        self._leaf_hashes: set[bytes] = set()
        self._blocks: list[list[tuple[Manifest, list[bytes]]]] = [[] for _ in range(SHARDS)]
        self._heights = [0] * SHARDS
        self._roots: dict[int, bytes] = {}
        self._outcomes = [0] * SHARDS
        self._entries: list[bytes] = []
        self._taken: Counter[tuple[str, int]] = Counter()

    def take(self, bus: MemoryBus) -> None:
        """Take up what is new on the bus."""
        for shard in range(SHARDS):
            for message in self._new(bus, BLOCKS, shard):
                self._take_block(shard, message)
            for message in self._new(bus, REFUSED, shard):
                refused, duplicates = unwrap_outcomes(message.value)
                self._outcomes[shard] += len(refused) + len(duplicates)
            told = sum(m.duplicates + sum(m.refused.values()) for m, _ in self._blocks[shard])
            assert told == self._outcomes[shard], (
                "the courier is told something else than the manifests count"
            )
        for message in self._new(bus, LOG, 0):
            self._take_entry(message)

    def _new(self, bus: MemoryBus, topic: str, partition: int) -> list[Message]:
        messages = bus.partitions[topic, partition][self._taken[topic, partition] :]
        self._taken[topic, partition] += len(messages)
        return messages

    def _take_block(self, shard: int, message: Message) -> None:
        leaves = decode_body(message.value)
        manifest = decode_manifest(leaves[0])
        assert (manifest.shard, manifest.height) == (shard, len(self._blocks[shard])), "a fork of a shard"
        assert manifest.offset_first == self.consumed[shard], "messages were skipped or taken twice"
        taken = manifest.accepted + manifest.duplicates + sum(manifest.refused.values())
        assert taken == manifest.offset_last + 1 - manifest.offset_first
        self.consumed[shard] = manifest.offset_last + 1
        for raw in leaves[1:]:
            leaf_hash = sha256(b"\0" + raw).digest()
            assert leaf_hash not in self._leaf_hashes, "a leaf is in the blocks twice"
            self._leaf_hashes.add(leaf_hash)
        self._blocks[shard].append((manifest, leaves))

    def root_at(self, size: int) -> bytes:
        """The root of the log's first entries, RFC 9162, 2.1.1, word by word."""
        assert size <= len(self._entries), "a tree larger than the log"
        if size not in self._roots:
            self._roots[size] = _root(self._entries[:size])
        return self._roots[size]

    def _take_entry(self, message: Message) -> None:
        index = len(self._entries)
        self._entries.append(sha256(b"\0" + message.value).digest())
        if index == 0:
            return
        entry = parse_signed_block(message.value)
        assert entry.height == self._heights[entry.shard], "an entry is missing from the log, or there twice"
        self._heights[entry.shard] += 1
        manifest, leaves = self._blocks[entry.shard][entry.height]
        for leaf, raw in enumerate(leaves[1:], 1):
            self.placed_hashes.add(sha256(raw).digest())
            statement = parse_statement(raw)
            known = self.leaves.setdefault((statement.issuer, statement.epoch, statement.sequence), [])
            assert len(known) == (leaf in manifest.equivocations), "a contradiction is not named as one"
            known.append((message.offset, leaf))
            if entry.shard and leaf not in manifest.equivocations:
                for record in decode_pack(statement.payload, statement.issuer):
                    place = statement.issuer, statement.subject, record.quantity, time_us(record)
                    self.points[place] = record.value, index * 2048 + leaf


def _root(hashes: list[bytes]) -> bytes:
    if len(hashes) <= 1:
        return hashes[0] if hashes else sha256(b"").digest()
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\1" + _root(hashes[:k]) + _root(hashes[k:])).digest()


def _raise_bugs(error: BaseException | None) -> None:
    """Raise what no stage may end with. A stage ends when others fail it or take over, never by itself."""
    assert error is not None, "a stage has ended"
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            _raise_bugs(inner)
    elif not isinstance(error, (UnavailableError, FencedError)):
        raise error


def simulate(seed: int) -> Simulation:
    """Run one city to its end; the same seed gives the same misfortunes."""
    before = global_random.getstate()
    global_random.seed(seed)  # For the jitter of retries.
    try:
        simulation = Simulation(seed)
        run(simulation.run())
    finally:
        global_random.setstate(before)
    return simulation
