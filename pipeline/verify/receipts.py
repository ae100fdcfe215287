"""Holding a log to its receipts: whether every block that it has signed a receipt for is in it.

A receipt is the log's promise, and checkable without the log; so a log that leaves out what it has receipted
is consistent in itself, and only who holds the receipt can tell. Receipt and entry together convict it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf

from pipeline.log.block import parse_signed_block
from pipeline.log.checkpoint import OpenedCheckpoint
from pipeline.log.merkle import root_from_path
from pipeline.log.receipt import check_receipt, parse_receipt
from pipeline.log.tiles import TILE_WIDTH, TileReader, block_path
from pipeline.verify.entries import Finding, finding_of
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason


@dataclass(frozen=True, slots=True)
class HeldReceipt:
    """A receipt, the leaf hash of the statement it is for, and when it came (POSIX seconds)."""

    receipt: bytes
    leaf_hash: bytes
    received_s: float


@dataclass(frozen=True, slots=True)
class _Promise:
    """What a verified receipt says: a block, by its protected header and root, and a leaf in it."""

    shard: int
    height: int
    leaf: int
    block: tuple[bytes, bytes]
    received_s: float

    @property
    def path(self) -> str:
        return f"{block_path(self.shard, self.height)} leaf {self.leaf}"


def check_kept(
    held: Iterable[HeldReceipt], tiles: TileReader, opened: OpenedCheckpoint, cosign_delay_s: int
) -> Iterator[Finding]:
    """Yield every receipt that this log does not keep, and every one that is none of its own.

    A block may come under a checkpoint later than its receipts, but no later than `cosign_delay_s`. Another
    block at its place is wrong at any time. One pass over the entries; memory grows with the receipts.

    Raises:
        VerificationError, MissingError: A tile or an entry is not the tree's, or is missing.
    """
    promises: list[_Promise] = []
    for one in held:
        try:
            promises.append(_promise_of(one, opened))
        except VerificationError as error:
            yield finding_of("receipt", error)
    there = _blocks_at({(promise.shard, promise.height) for promise in promises}, tiles)
    cosigned_s = min((cosignature.time_s for cosignature in opened.cosignatures), default=-inf)
    for promise in promises:
        block, waited_s = there.get((promise.shard, promise.height)), cosigned_s - promise.received_s
        if block is None and waited_s > cosign_delay_s:
            yield Finding(
                promise.path, Reason.RECEIPT_BROKEN, f"not there {waited_s:.0f} s after its receipt"
            )
        elif block is not None and block != promise.block:
            yield Finding(promise.path, Reason.RECEIPT_BROKEN, "the log has another block there")


def _promise_of(held: HeldReceipt, opened: OpenedCheckpoint) -> _Promise:
    origin, public_key = opened.checkpoint.origin, opened.log.public_key
    place = check_receipt(held.receipt, held.leaf_hash, origin=origin, public_key=public_key)
    claim = parse_receipt(held.receipt)
    root = root_from_path(held.leaf_hash, claim.index, claim.size, claim.path)
    return _Promise(place.shard, place.height, place.index, (claim.protected, root), held.received_s)


def _blocks_at(
    places: set[tuple[int, int]], tiles: TileReader
) -> Mapping[tuple[int, int], tuple[bytes, bytes]]:
    """Return protected header and root of the blocks at these places (shard, height), as far as there are."""
    found: dict[tuple[int, int], tuple[bytes, bytes]] = {}
    for bundle in range(-(-tiles.size // TILE_WIDTH)):
        for raw in tiles.read_entries(bundle):
            try:
                block = parse_signed_block(raw)
            except VerificationError:
                continue  # The genesis; what else is no block, fsck names.
            if (block.shard, block.height) in places:
                found[block.shard, block.height] = block.protected, block.root
    return found
