"""A log on the bus as aggregators and the log stage leave it: blocks, and their entries in one order."""

from typing import Any

from pipeline.log.block import encode_body
from pipeline.log.manifest import Manifest, encode_manifest
from pipeline.ports import Append, Message
from pipeline.stages.log import Ledger
from pipeline.wire.topics import BLOCKS
from tests.support.city import AUTHORITIES, LOG, ORIGIN, SHARDS, TOPIC_ID, Device, ForgedLog, device_in, enrol
from tests.support.memory_bus import MemoryBus


class PlacedLog:
    """Grows on a bus, block by block. `entries`, `bodies`, `leaves` say what must come of it downstream."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.forged = ForgedLog()
        self.ledger = Ledger(ORIGIN, SHARDS, LOG.signer, TOPIC_ID, AUTHORITIES)
        self.entries: list[bytes] = []
        self.bodies: dict[tuple[int, int], bytes] = {}
        self.leaves: list[list[bytes]] = [[]]  # Per entry; the genesis has none.
        self.enrolled = 0
        self._append(self.ledger.genesis())

    def enrol(self, *devices: Device) -> None:
        """Place a registry block that enrols these."""
        raws = [enrol(device, self.enrolled + n) for n, device in enumerate(devices)]
        self.enrolled += len(devices)
        self.place(self.forged.enrol(*raws), raws)

    def read(self, shard: int, statements: list[bytes], **forged: Any) -> Manifest:
        """Place a block of readings."""
        manifest = self.forged.add(shard, statements, **forged)
        self.place(manifest, statements)
        return manifest

    def place(self, manifest: Manifest, statements: list[bytes]) -> None:
        """Put a block on the bus, and its entry behind all others."""
        body = encode_body([encode_manifest(manifest), *statements])
        offset = self.bus.put(Append(BLOCKS, manifest.shard, body))[0]
        self.bodies[manifest.shard, manifest.height] = body
        self.leaves.append(statements)
        self._append(self.ledger.step(Message(BLOCKS, manifest.shard, offset, 0, body)))

    def _append(self, entry: Append) -> None:
        self.entries.append(entry.value)
        self.bus.put(entry)


def grown(bus: MemoryBus, blocks: int = 6) -> PlacedLog:
    """A log with two devices, one a shard, and some blocks of readings in turns."""
    log = PlacedLog(bus)
    devices = [device_in(1), device_in(2)]
    log.enrol(*devices)
    for number in range(blocks):
        device = devices[number % 2]
        log.read(device.shard, [device.read(records=2) for _ in range(number % 3 + 1)])
    return log
