"""A hash tree over sorted records that come and change one by one.

The tree is RFC 9162's over all leaves in the order of their places. Its levels are kept: a record that
changed costs its path; one that came in between moves all behind it, whose nodes are hashed again.
"""

from bisect import bisect_left
from typing import TypeAlias

from pipeline.log.merkle import EMPTY_ROOT, hash_node

RecordPlace: TypeAlias = tuple[str, bytes]  # Issuers by code point, then key ids and leaf hashes bytewise.


class RecordTree:
    """The tree. `put` only notes what changed; `root` and `path` hash what that moved, once."""

    __slots__ = ("_changed", "_levels", "_moved_from", "_places")

    def __init__(self) -> None:
        self._places: list[RecordPlace] = []
        self._levels: list[list[bytes]] = [[]]
        self._changed: set[int] = set()
        self._moved_from = 0

    def put(self, place: RecordPlace, leaf_hash: bytes) -> None:
        """Add the record of this place, or change it."""
        leaves = self._levels[0]
        at = bisect_left(self._places, place)
        if at < len(leaves) and self._places[at] == place:
            leaves[at] = leaf_hash
            self._changed.add(at)
        else:
            self._places.insert(at, place)
            leaves.insert(at, leaf_hash)
            self._moved_from = min(self._moved_from, at)

    def root(self) -> bytes:
        """Return the root, 32 bytes."""
        self._settle()
        return self._levels[-1][0] if self._places else EMPTY_ROOT

    def path(self, place: RecordPlace) -> tuple[int, list[bytes]]:
        """Return the sides and hashes of the path from a record that is there up to the root.

        Bit n of the sides is 1 where hash n is the left one.
        """
        self._settle()
        node = bisect_left(self._places, place)
        assert self._places[node] == place, "no such record"
        sides, hashes = 0, list[bytes]()
        for level in self._levels[:-1]:
            sibling = node ^ 1
            if sibling < len(level):  # At the right edge a node may have none.
                sides |= (node & 1) << len(hashes)
                hashes.append(level[sibling])
            node >>= 1
        return sides, hashes

    def _settle(self) -> None:
        """Hash again what the changes since the last time have touched, level by level."""
        changed, moved_from, number = self._changed, self._moved_from, 0
        while len(self._levels[number]) > 1:
            below = self._levels[number]
            number += 1
            if number == len(self._levels):
                self._levels.append([])
            above = self._levels[number]
            moved_from >>= 1
            changed = {at >> 1 for at in changed}
            for at in changed:
                if at < moved_from:
                    above[at] = hash_node(below[2 * at], below[2 * at + 1])
            pairs = iter(below[2 * moved_from :])
            above[moved_from:] = [hash_node(left, right) for left, right in zip(pairs, pairs, strict=False)]
            if len(below) % 2:  # An odd last node rises as it is (RFC 9162, 2.1.1).
                above.append(below[-1])
        self._changed, self._moved_from = set(), len(self._places)
