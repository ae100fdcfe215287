"""The tree over sorted records, changed in place, against RFC 9162's words after every change."""

from hashlib import sha256
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.identity.record_tree import RecordTree

EMPTY = sha256(b"").digest()


def tree_root(leaf_hashes: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word by word, from leaf hashes."""
    if len(leaf_hashes) < 2:
        return leaf_hashes[0] if leaf_hashes else EMPTY
    k = 1 << (len(leaf_hashes) - 1).bit_length() - 1
    return sha256(b"\1" + tree_root(leaf_hashes[:k]) + tree_root(leaf_hashes[k:])).digest()


def hashed(number: int) -> bytes:
    """Some leaf hash."""
    return sha256(number.to_bytes(4, "big")).digest()


def root_by_path(tree: RecordTree, place: tuple[str, bytes], leaf_hash: bytes) -> bytes:
    """Where a record's path leads."""
    sides, hashes = tree.path(place)
    for level, sibling in enumerate(hashes):
        pair = sibling + leaf_hash if sides >> level & 1 else leaf_hash + sibling
        leaf_hash = sha256(b"\1" + pair).digest()
    return leaf_hash


places = st.tuples(st.sampled_from(["urn:a", "urn:b", "urn:ä", "urn:\U0001f600"]), st.binary(max_size=2))


@given(st.lists(st.lists(st.tuples(places, st.integers(0, 9)), max_size=20), max_size=8))
def test_the_root_is_that_of_all_records_in_their_order(
    blocks: list[list[tuple[tuple[str, bytes], int]]],
) -> None:
    """Added and changed in any order, settled after any number of changes: each path leads to the root."""
    tree, records = RecordTree(), dict[tuple[str, bytes], bytes]()
    assert tree.root() == EMPTY
    for block in blocks:
        for place, number in block:
            tree.put(place, hashed(number))
            records[place] = hashed(number)
        expected = tree_root([records[place] for place in sorted(records)])
        assert tree.root() == expected
        assert tree.root() == expected  # Nothing is left to settle.
        for place, leaf_hash in records.items():
            assert root_by_path(tree, place, leaf_hash) == expected


def test_a_change_costs_its_path() -> None:
    """Of 5,000 records a change in place makes 13 hashes new, and one behind all others no more."""
    tree, random = RecordTree(), Random(7)
    for number in range(5000):
        tree.put(("urn:x", number.to_bytes(4, "big")), hashed(number))
    tree.root()
    before = [list(level) for level in tree._levels]
    tree.put(("urn:x", random.randrange(5000).to_bytes(4, "big")), hashed(1))
    tree.root()
    changed = [
        sum(a != b for a, b in zip(*levels, strict=True)) for levels in zip(before, tree._levels, strict=True)
    ]
    assert changed == [1] * 14
    before = [list(level) for level in tree._levels]
    tree.put(("urn:y", b""), hashed(2))
    tree.root()
    kept = [
        sum(a == b for a, b in zip(*levels, strict=False))
        for levels in zip(before, tree._levels, strict=True)
    ]
    assert all(len(level) - same <= 1 for level, same in zip(before, kept, strict=True))
