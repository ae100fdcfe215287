"""What authorities have stated in a log about keys, with the registry that follows from it."""

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.identity.authorities import Authorities
from pipeline.identity.changes import decode_change
from pipeline.identity.registry import Registry
from pipeline.log.archive import read_block
from pipeline.log.block import parse_signed_block
from pipeline.log.manifest import decode_manifest
from pipeline.log.merkle import hash_leaf
from pipeline.log.tiles import ReadFile, TileReader
from pipeline.wire.changes import Change
from pipeline.wire.statement import parse_statement

REGISTRY_SHARD = 0


class LoggedChange(NamedTuple):
    """A change, who stated it, and where it stands in the log; `arrival_ms` is the operator's word."""

    change: Change
    authority: str
    leaf_hash: bytes
    entry: int
    leaf: int
    arrival_ms: int


def read_changes(
    read: ReadFile, tiles: TileReader, authorities: Authorities, registry: Registry
) -> Iterator[LoggedChange]:
    """Yield every change in a log, in its order, and bring an empty registry to the log's last state.

    Every statement is checked, signatures and all, as verifiers of the log do.

    Args:
        read: Path -> the file's bytes, or None where it is missing; bodies of shard 0 alone are read.
        tiles: The log's tiles under a verified checkpoint.
        authorities: Who may state what.
        registry: An empty one.

    Raises:
        VerificationError: The log itself is wrong: run fsck.
        UnavailableError: A file of the log is missing, or does not answer.
    """
    for entry in range(1, tiles.size):
        block = parse_signed_block(tiles.read_entry(entry))
        if block.shard != REGISTRY_SHARD:
            continue
        leaves, _ = read_block(read, block)
        manifest = decode_manifest(leaves[0])
        registry.apply_block(leaves, manifest.equivocations, authorities)
        for leaf, raw in enumerate(leaves[1:], 1):
            if leaf in manifest.equivocations:
                continue
            statement = parse_statement(raw)
            change = decode_change(statement)
            place = entry, leaf, manifest.arrival_last_ms
            yield LoggedChange(change, statement.issuer, hash_leaf(raw), *place)
