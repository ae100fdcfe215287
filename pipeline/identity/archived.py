"""The registry out of a log's files: from the snapshot that stands among them, and the bodies behind it."""

from pipeline.identity.records import State
from pipeline.identity.registry import Registry
from pipeline.identity.snapshot import decode_registry
from pipeline.log.block import decode_body
from pipeline.log.manifest import decode_manifest
from pipeline.log.tiles import ReadFile, block_path
from pipeline.wire.errors import MissingError

REGISTRY_PATH = "registry"
REGISTRY_SHARD = 0


def read_registry(read: ReadFile, state: State) -> Registry:
    """Return the registry in a state, unchecked: whoever builds on it is checked by others.

    Reads the snapshot and the bodies between it and the state: 63 at most, if a publisher keeps the files.

    Args:
        read: Path -> the file's bytes, or None where it is missing.
        state: Number of registry blocks.

    Raises:
        MissingError: A body is missing; without a snapshot all are needed.
        VerificationError: SNAPSHOT_SHAPE, or a body is damaged.
    """
    data = read(REGISTRY_PATH)
    registry = decode_registry(data) if data else Registry()
    if registry.blocks > state:
        return registry.at(state)
    load_blocks(registry, read, state)
    return registry


def load_blocks(registry: Registry, read: ReadFile, state: State) -> None:
    """Bring a registry to a later state, or to the one it is in, from the bodies between.

    Raises:
        MissingError: A body is missing.
        VerificationError: One is damaged.
    """
    while registry.blocks < state:
        leaves = read_leaves(read, registry.blocks)
        registry.load_block(leaves, decode_manifest(leaves[0]).equivocations)


def read_leaves(read: ReadFile, height: int) -> list[bytes]:
    """Return the leaves of the registry block at a height.

    Raises:
        MissingError: Its body is missing.
        VerificationError: It is damaged.
    """
    path = block_path(REGISTRY_SHARD, height)
    body = read(path)
    if body is None:
        raise MissingError(path)
    return decode_body(body)
