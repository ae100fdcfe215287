"""One proof for many leaves of a tree: each hash stands in it once, and one pass checks it.

What the leaves themselves do not give is the hash of every node that holds none of them and whose parent
holds one: the largest nodes in the gaps between the leaves. In their order from left to right they are
folded as they come, in O(log n) memory, and nothing has to say where they stand.
"""

from collections.abc import Iterator, Sequence
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

    All hashes have 32 bytes; whoever cuts them out of a file sees to that.

    Args:
        size: Number of leaves of the tree.
    """

    __slots__ = ("_at", "_peaks", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._at = 0
        self._peaks: list[bytes] = []

    def skip(self, index: int, hashes: Iterator[bytes]) -> None:
        """Take the hashes of the gap before a leaf from `hashes`.

        Raises:
            VerificationError: INDEX_OUTSIDE, unless it lies behind the last leaf and inside the tree;
                PATH_SHORT.
        """
        if not self._at <= index < self._size:
            raise VerificationError(Reason.INDEX_OUTSIDE, f"{index} in a tree of size {self._size}")
        if self._at < index:
            self._take(index, hashes)

    def add(self, index: int, leaf_hash: bytes, hashes: Iterator[bytes]) -> None:
        """Add a leaf, behind the hashes of the gap before it.

        Raises:
            VerificationError: As `skip`.
        """
        if index != self._at or index == self._size:
            self.skip(index, hashes)
        peaks, node, span = self._peaks, leaf_hash, 1
        while index & span:
            node = sha256(b"\x01" + peaks.pop() + node).digest()
            span <<= 1
        peaks.append(node)
        self._at = index + 1

    def root(self, hashes: Iterator[bytes]) -> bytes:
        """Return the root, taking the hashes of the gap behind the last leaf from `hashes`, all there are.

        Raises:
            VerificationError: PATH_SHORT, PATH_LONG.
        """
        self._take(self._size, hashes)
        if next(hashes, None) is not None:
            raise VerificationError(Reason.PATH_LONG, "hashes are left over")
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = sha256(b"\x01" + peak + root).digest()
        return root

    def _take(self, end: int, hashes: Iterator[bytes]) -> None:
        """Take the nodes of the gap from here to `end`, those of `gap_nodes`: this is what takes the time.

        Up to where they are largest each one completes subtrees that stand before it; then none does.
        """
        at, peaks, take = self._at, self._peaks, hashes.__next__
        try:
            while at and at + (span := at & -at) <= end:
                node = take()
                above = span
                while at & above:
                    node = sha256(b"\x01" + peaks.pop() + node).digest()
                    above <<= 1
                peaks.append(node)
                at += span
            if end == self._size and at < end:  # At the right edge one node covers all that is left.
                peaks.append(take())
                at = end
            while at < end:
                peaks.append(take())
                at += 1 << (end - at).bit_length() - 1
        except StopIteration:
            raise VerificationError(Reason.PATH_SHORT, f"the gap before leaf {end} lacks a hash") from None
        self._at = end
