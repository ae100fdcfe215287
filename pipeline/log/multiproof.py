"""One proof for many leaves of a tree: each hash stands in it once, and one pass checks it.

What the leaves themselves do not give is the hash of every node that holds none of them and whose parent
holds one: the largest nodes in the gaps between the leaves. In their order from left to right they are
folded as they come, in O(log n) memory, and nothing has to say where they stand.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from pipeline.log.merkle import EMPTY_ROOT, BlockTree, ReadHash, edge_hash
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason


def gap_nodes(start: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (level, index) of the largest nodes of the tree that make up the leaves `start` up to `end`.

    A node (level, index) covers the leaves index * 2^level up to (index + 1) * 2^level, or up to the right
    edge where there are no more: one of these may come last, where `end` is the tree's size.
    """
    while start < end:
        aligned = (start & -start).bit_length() - 1 if start else size.bit_length()
        level = aligned if end == size else min(aligned, (end - start).bit_length() - 1)
        yield level, start >> level
        start = min(start + (1 << level), size)


def gap_hashes(start: int, end: int, size: int, read_hash: ReadHash) -> list[bytes]:
    """Return the hashes of the gap's nodes, from the stored hashes of complete subtrees."""
    return [
        read_hash(level, index)
        if (index + 1) << level <= size
        else edge_hash(index << level, size, read_hash)
        for level, index in gap_nodes(start, end, size)
    ]


def prove_leaves(tree: BlockTree, indices: Sequence[int]) -> list[bytes]:
    """Return what a tree's root needs besides the leaf hashes at these ascending indices."""
    hashes: list[bytes] = []
    after = 0
    for index in [*indices, tree.size]:
        # A node at the right edge stands on every level above its own, too.
        hashes += [
            tree.levels[min(level, len(tree.levels) - 1)][place]
            for level, place in gap_nodes(after, index, tree.size)
        ]
        after = index + 1
    return hashes


class ProvenLeaves:
    """The tree of a multi-proof, built from left to right: leaves that are given, and nodes between them.

    Args:
        size: Number of leaves of the tree.
    """

    __slots__ = ("_at", "_peaks", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._at = 0
        self._peaks: list[bytes] = []

    def add(self, index: int, leaf_hash: bytes, hashes: Iterator[bytes]) -> None:
        """Add a leaf, taking the hashes of the gap before it from `hashes`.

        Raises:
            VerificationError: INDEX_OUTSIDE, unless it lies behind the last one and inside the tree;
                PATH_SHORT, HASH_SIZE.
        """
        if not self._at <= index < self._size:
            raise VerificationError(Reason.INDEX_OUTSIDE, f"{index} in a tree of size {self._size}")
        if self._at < index:
            self._skip(index, hashes)
        peaks, at, node = self._peaks, index, leaf_hash
        while at & 1:
            node = sha256(b"\x01" + peaks.pop() + node).digest()
            at >>= 1
        peaks.append(node)
        self._at = index + 1

    def root(self, hashes: Iterator[bytes]) -> bytes:
        """Return the root, taking the hashes of the gap behind the last leaf from `hashes`, all there are.

        Raises:
            VerificationError: PATH_SHORT, PATH_LONG, HASH_SIZE.
        """
        self._skip(self._size, hashes)
        if next(hashes, None) is not None:
            raise VerificationError(Reason.PATH_LONG, "hashes are left over")
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = sha256(b"\x01" + peak + root).digest()
        return root

    def _skip(self, end: int, hashes: Iterable[bytes]) -> None:
        """Take the nodes of the gap from here to `end`."""
        peaks = self._peaks
        hashes = iter(hashes)
        for level, index in gap_nodes(self._at, end, self._size):
            node = next(hashes, None)
            if node is None:
                raise VerificationError(Reason.PATH_SHORT, f"the gap before leaf {end} lacks a hash")
            if len(node) != 32:
                raise VerificationError(Reason.HASH_SIZE, f"{len(node)} bytes")
            if (index + 1) << level <= self._size:
                at = index
                while at & 1:
                    node = sha256(b"\x01" + peaks.pop() + node).digest()
                    at >>= 1
            peaks.append(node)
        self._at = end
