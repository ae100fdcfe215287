"""RFC 9162 Merkle tree over SHA-256: build it, prove from it, check what it proves.

Pure: bytes in, bytes out. What an entry is, who signs a root, where hashes are stored: decided elsewhere.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Self, TypeAlias

from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

# (level, index) -> hash of the complete subtree over the leaves index * 2^level up to (index + 1) * 2^level.
ReadHash: TypeAlias = Callable[[int, int], bytes]

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()  # RFC 9162, 2.1.1: the root of a tree without leaves.


def hash_leaf(entry: bytes) -> bytes:
    """Return the 32-byte leaf hash of an entry (RFC 9162, 2.1.1)."""
    return sha256(b"\x00" + entry).digest()


def hash_leaves(entries: Iterable[bytes]) -> list[bytes]:
    """Return the leaf hash of each entry."""
    return [sha256(b"\x00" + entry).digest() for entry in entries]


def hash_node(left: bytes, right: bytes) -> bytes:
    """Return the 32-byte hash of the node over two subtrees (RFC 9162, 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root of the tree over these leaf hashes: n - 1 hashes of nodes, O(n) memory."""
    level = leaf_hashes
    while len(level) > 1:
        level = _level_above(level)
    return level[0] if level else EMPTY_ROOT


def inclusion_path(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Return the siblings from leaf `index` up to the root (RFC 9162, 2.1.3.1).

    For many paths of one tree keep a `BlockTree`.

    Raises:
        VerificationError: INDEX_OUTSIDE.
    """
    return BlockTree(leaf_hashes).path(index)


def _level_above(level: Sequence[bytes]) -> list[bytes]:
    """Hash neighbours in pairs; an odd last node rises as it is: RFC 9162's split at powers of two."""
    pairs = iter(level)
    # The hot loop of sealing and of every re-check: calling hash_node here would cost a quarter more.
    above = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)]
    if len(level) % 2:
        above.append(level[-1])
    return above


class BlockTree:
    """A finished tree with all its levels: O(n) hashes to build, then O(log n) list look-ups a path.

    `levels[k][i]` covers the leaves i * 2^k up to (i + 1) * 2^k, or as many of them as there are.
    """

    __slots__ = ("levels",)

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        self.levels: list[Sequence[bytes]] = [leaf_hashes]
        while len(self.levels[-1]) > 1:
            self.levels.append(_level_above(self.levels[-1]))

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self.levels[0])

    @property
    def root(self) -> bytes:
        """Root hash, 32 bytes."""
        return self.levels[-1][0] if self.levels[0] else EMPTY_ROOT

    def path(self, index: int) -> list[bytes]:
        """Return the siblings from leaf `index` up to the root (RFC 9162, 2.1.3.1).

        Raises:
            VerificationError: INDEX_OUTSIDE.
        """
        _check_index(index, self.size)
        path = []
        for level in self.levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):  # At the right edge a node may have none.
                path.append(level[sibling])
            index >>= 1
        return path


class Tree:
    """An append-only tree that remembers its right edge only: O(log n) memory, about one hash an append."""

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[
            bytes
        ] = []  # Roots of the complete subtrees, largest first: one for each set bit of size.

    def append(self, leaf_hash: bytes) -> None:
        """Append one leaf."""
        node, complete = leaf_hash, self.size
        while complete & 1:
            node = hash_node(self._peaks.pop(), node)
            complete >>= 1
        self._peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return the root at the present size."""
        return _fold(self._peaks) if self._peaks else EMPTY_ROOT

    def to_bytes(self) -> bytes:
        """Return the state: size (8 bytes, big-endian), then the complete subtrees' roots, largest first."""
        return self.size.to_bytes(8, "big") + b"".join(self._peaks)

    @classmethod
    def from_bytes(cls, state: bytes) -> Self:
        """Return the tree that `to_bytes` described.

        Raises:
            VerificationError: HASH_SIZE, unless the bytes hold exactly the hashes that the size calls for.
        """
        tree = cls()
        tree.size = int.from_bytes(state[:8], "big")
        if len(state) != 8 + HASH_SIZE * tree.size.bit_count():
            raise VerificationError(Reason.HASH_SIZE, f"{len(state)} bytes for a tree of size {tree.size}")
        tree._peaks = [state[at : at + HASH_SIZE] for at in range(8, len(state), HASH_SIZE)]
        return tree


def inclusion_path_at(index: int, size: int, read_hash: ReadHash) -> list[bytes]:
    """Return the path of leaf `index` in the tree of this size, from stored hashes (RFC 9162, 2.1.3.1).

    Reads O(log size) hashes of complete subtrees, all of them inside the tree of this size.

    Raises:
        VerificationError: INDEX_OUTSIDE.
    """
    _check_index(index, size)
    return _path_above(0, index, size, read_hash)


def consistency_path(size1: int, size2: int, read_hash: ReadHash) -> list[bytes]:
    """Return the hashes that show the tree of size1 to be a prefix of that of size2 (RFC 9162, 2.1.4.1).

    Empty where there is nothing to show: equal sizes, or size1 = 0, which a witness accepts and
    `check_consistency` never does.

    Raises:
        VerificationError: SIZE_ORDER, unless 0 <= size1 <= size2.
    """
    if not 0 <= size1 <= size2:
        raise VerificationError(Reason.SIZE_ORDER, f"{size1} and {size2}")
    if size1 in {0, size2}:
        return []
    # The last complete subtree of the smaller tree: both roots are reached from it.
    level = _trailing_zeros(size1)
    node = (size1 - 1) >> level
    path = _path_above(level, node, size2, read_hash)
    return [read_hash(level, node), *path] if node else path  # Alone it is root1, which the checker has.


def root_from_path(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion path leads to (RFC 9162, 2.1.3.2).

    Raises:
        VerificationError: HASH_SIZE, INDEX_OUTSIDE, PATH_LONG, PATH_SHORT.
    """
    _check_hashes(leaf_hash, *path)
    _check_index(index, size)
    inner, borders = _path_shape(index, size)
    _check_path_size(path, inner + borders)

    node = leaf_hash
    for level in range(inner):
        if index >> level & 1:
            node = sha256(b"\x01" + path[level] + node).digest()
        else:
            node = sha256(b"\x01" + node + path[level]).digest()
    for sibling in path[inner:]:
        node = sha256(b"\x01" + sibling + node).digest()
    return node


def check_inclusion(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that the tree with this size and root holds `leaf_hash` at `index` (RFC 9162, 2.1.3.2).

    Raises:
        VerificationError: HASH_SIZE, INDEX_OUTSIDE, PATH_LONG, PATH_SHORT, ROOT_MISMATCH.
    """
    _check_hashes(root)
    if root_from_path(leaf_hash, index, size, path) != root:
        raise VerificationError(Reason.ROOT_MISMATCH, f"leaf {index} of {size}")


def check_consistency(size1: int, root1: bytes, size2: int, root2: bytes, path: Sequence[bytes]) -> None:
    """Check that the tree of size1 and root1 is a prefix of that of size2 and root2 (RFC 9162, 2.1.4.2).

    Size 0 is always refused: everything extends the empty tree, so such a proof shows nothing.

    Raises:
        VerificationError: HASH_SIZE, SIZE_ORDER, PATH_LONG, PATH_SHORT, ROOT_MISMATCH.
    """
    _check_hashes(root1, root2, *path)
    if not 0 < size1 <= size2:
        raise VerificationError(Reason.SIZE_ORDER, f"{size1} and {size2}")
    if size1 == size2:
        _check_path_size(path, 0)
        if root1 != root2:
            raise VerificationError(Reason.ROOT_MISMATCH, f"two roots at size {size1}")
        return

    level = _trailing_zeros(size1)
    last = (size1 - 1) >> level  # The last complete subtree of the smaller tree.
    inner, borders = _path_shape(last, ((size2 - 1) >> level) + 1)
    _check_path_size(path, inner + borders + (last != 0))
    start, siblings = (path[0], path[1:]) if last else (root1, path)

    smaller = larger = start
    for height, sibling in enumerate(siblings):
        if height >= inner or last >> height & 1:  # A left sibling stands in both trees.
            smaller = hash_node(sibling, smaller)
            larger = hash_node(sibling, larger)
        else:  # A right sibling came later.
            larger = hash_node(larger, sibling)
    if smaller != root1:
        raise VerificationError(Reason.ROOT_MISMATCH, f"the root at size {size1}")
    if larger != root2:
        raise VerificationError(Reason.ROOT_MISMATCH, f"the root at size {size2}")


def _path_above(level: int, index: int, size: int, read_hash: ReadHash) -> list[bytes]:
    """Return the siblings from the complete subtree (level, index) up to the root at this size."""
    path = []
    while 1 << level < size:
        sibling = index ^ 1
        if (sibling + 1) << level <= size:
            path.append(read_hash(level, sibling))
        elif sibling << level < size:
            path.append(edge_hash(sibling << level, size, read_hash))
        level += 1
        index >>= 1
    return path


def edge_hash(start: int, size: int, read_hash: ReadHash) -> bytes:
    """Return the hash over the leaves from `start` to the right edge, which form no complete subtree."""
    peaks = []
    for level in reversed(range((size - start).bit_length())):
        if size >> level & 1:  # Below the alignment of start these are the bits of what is left.
            peaks.append(read_hash(level, start >> level))
            start += 1 << level
    return _fold(peaks)


def _fold(peaks: Sequence[bytes]) -> bytes:
    """Hash the roots of complete subtrees, largest first, into one root."""
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = hash_node(peak, root)
    return root


def _path_shape(index: int, size: int) -> tuple[int, int]:
    """Return how many siblings stand below the tree's right edge, and how many along it (all left ones)."""
    inner = (index ^ (size - 1)).bit_length()
    return inner, (index >> inner).bit_count()


def _trailing_zeros(size: int) -> int:
    return (size & -size).bit_length() - 1


def _check_index(index: int, size: int) -> None:
    if not 0 <= index < size:
        raise VerificationError(Reason.INDEX_OUTSIDE, f"{index} in a tree of size {size}")


def _check_hashes(*hashes: bytes) -> None:
    for value in hashes:
        if len(value) != HASH_SIZE:
            raise VerificationError(Reason.HASH_SIZE, f"{len(value)} bytes")


def _check_path_size(path: Sequence[bytes], expected: int) -> None:
    if len(path) > expected:
        raise VerificationError(Reason.PATH_LONG, f"{len(path)} hashes where {expected} lead to the root")
    if len(path) < expected:
        raise VerificationError(Reason.PATH_SHORT, f"{len(path)} hashes where {expected} lead to the root")
