"""Snapshots of what stages remember, on the compacted topic `state`: a start reads one and what came later.

Of each shard its aggregator's memory of sequences, written in the transaction of the block that it includes;
in shard 0 the registry too, written by the log with the entry of that block.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.identity.registry import Registry
from pipeline.identity.snapshot import decode_registry, encode_registry
from pipeline.ports import Append, Bus
from pipeline.wire.topics import STATE

SNAPSHOT_EVERY = 64  # Blocks of a shard.
CHUNK_BYTES = 512 * 1024
REGISTRY_SHARD = 0
REGISTRY_KEY = b"registry"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A memory as bytes, at a height of its shard, and the offset of a block from which on to read."""

    height: int
    block_offset: int
    data: bytes


def wrap_snapshot(shard: int, snapshot: Snapshot, kind: bytes = b"") -> list[Append]:
    """Cut a snapshot: key = kind, chunk number; value = height, block's offset, number of chunks, bytes."""
    data = snapshot.data
    chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
    head = b"".join(n.to_bytes(8, "big") for n in (snapshot.height, snapshot.block_offset, len(chunks)))
    return [
        Append(STATE, shard, head + chunk, kind + number.to_bytes(4, "big"))
        for number, chunk in enumerate(chunks)
    ]


async def read_snapshot(bus: Bus, shard: int, kind: bytes = b"") -> Snapshot | None:
    """Return the last snapshot, if there is one."""
    rows = await bus.compacted(STATE, shard)
    first = rows.get(kind + bytes(4))
    if first is None:
        return None
    height, block_offset, chunks = (int.from_bytes(first[i : i + 8], "big") for i in (0, 8, 16))
    data = b"".join(rows[kind + number.to_bytes(4, "big")][24:] for number in range(chunks))
    return Snapshot(height, block_offset, data)


def registry_snapshot(registry: Registry, block_offset: int) -> Sequence[Append]:
    """Return the snapshot that is due after a registry block at this offset; nothing where none is."""
    if registry.blocks % SNAPSHOT_EVERY:
        return ()
    snapshot = Snapshot(registry.blocks - 1, block_offset, encode_registry(registry))
    return wrap_snapshot(REGISTRY_SHARD, snapshot, REGISTRY_KEY)


async def read_registry(bus: Bus) -> tuple[Registry, int]:
    """Return the registry of the log's last snapshot, and the offset of the last block that it includes.

    Whoever goes on from there reads that block again and passes over it. Without a snapshot: an empty
    registry, and offset 0.
    """
    snapshot = await read_snapshot(bus, REGISTRY_SHARD, REGISTRY_KEY)
    if snapshot is None:
        return Registry(), 0
    registry = decode_registry(snapshot.data)
    assert registry.blocks == snapshot.height + 1, "a snapshot of another state"
    return registry, snapshot.block_offset
