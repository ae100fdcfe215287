"""One proof for many leaves, against the definition: every set of leaves of every small tree."""

import random
from collections.abc import Callable
from hashlib import sha256
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.log.merkle import BlockTree
from pipeline.log.multiproof import ProvenLeaves, gap_hashes, gap_nodes, prove_leaves
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def definition(leaves: list[bytes], given: set[int], first: int = 0) -> tuple[bytes, list[bytes]]:
    """Root, and the hashes of the largest nodes that hold none of the leaves given; RFC 9162, 2.1.1."""
    if len(leaves) == 1:
        root, parts = leaves[0], list[bytes]()
    else:
        k = 1 << (len(leaves) - 1).bit_length() - 1
        left, left_parts = definition(leaves[:k], given, first)
        right, right_parts = definition(leaves[k:], given, first + k)
        root, parts = node(left, right), left_parts + right_parts
    if given.isdisjoint(range(first, first + len(leaves))):
        return root, [root]
    return root, parts


def leaves_of(size: int) -> list[bytes]:
    return [sha256(b"\0leaf %d" % n).digest() for n in range(size)]


def check(size: int, leaves: dict[int, bytes], hashes: list[bytes]) -> bytes:
    """The root that leaves and hashes lead to."""
    tree, left = ProvenLeaves(size), iter(hashes)
    for index, leaf in sorted(leaves.items()):
        tree.add(index, leaf, left)
    return tree.root(left)


SETS = [
    (size, chosen)
    for size in range(1, 10)
    for count in range(size + 1)
    for chosen in combinations(range(size), count)
]


def test_every_set_of_leaves_of_every_small_tree() -> None:
    """The proof holds exactly the largest nodes without a leaf given, and leads to the root."""
    for size, chosen in SETS:
        leaves = leaves_of(size)
        root, expected = definition(leaves, set(chosen))
        hashes = prove_leaves(BlockTree(leaves), chosen)
        assert hashes == expected, (size, chosen)
        assert check(size, {n: leaves[n] for n in chosen}, hashes) == root


def test_a_tree_without_leaves_has_the_empty_root() -> None:
    """RFC 9162, 2.1.1: the hash of nothing."""
    assert check(0, {}, []) == sha256().digest()


@given(size=st.integers(1, 3000), seed=st.integers(0), share=st.sampled_from([0.001, 0.05, 0.5, 0.99]))
def test_larger_trees_and_stored_hashes(size: int, seed: int, share: float) -> None:
    """The same from the hashes of complete subtrees, which is all that tiles have."""
    chance = random.Random(seed)
    chosen = [n for n in range(size) if chance.random() < share]
    leaves = leaves_of(size)
    tree = BlockTree(leaves)
    root, expected = definition(leaves, set(chosen))
    assert prove_leaves(tree, chosen) == expected
    stored: list[bytes] = []
    after = 0
    for index in [*chosen, size]:
        stored += gap_hashes(after, index, size, lambda level, at: tree.levels[level][at])
        after = index + 1
    assert stored == expected
    assert check(size, {n: leaves[n] for n in chosen}, expected) == root


def test_stored_hashes_are_those_of_complete_subtrees_only() -> None:
    """A tile has no hash of a node that the right edge cuts."""
    for size in range(1, 70):
        for level, index in gap_nodes(0, size - 1, size):
            assert (index + 1) << level <= size
        asked: list[tuple[int, int]] = []

        def read(level: int, at: int, asked: list[tuple[int, int]] = asked) -> bytes:
            asked.append((level, at))
            return b""

        gap_hashes(size // 3, size, size, read)
        assert all((at + 1) << level <= size for level, at in asked)


def test_nothing_may_be_exchanged() -> None:
    """Another leaf, hash, place or size leads to another root or to none."""
    leaves = leaves_of(23)
    tree = BlockTree(leaves)
    chosen = (2, 3, 11, 20)
    hashes = prove_leaves(tree, chosen)
    given = {n: leaves[n] for n in chosen}
    assert check(23, given, hashes) == tree.root
    for at in range(len(hashes)):
        for byte in range(32):
            changed = bytearray(hashes[at])
            changed[byte] ^= 1 << byte % 8
            assert check(23, given, [*hashes[:at], bytes(changed), *hashes[at + 1 :]]) != tree.root
    for at in chosen:
        assert check(23, given | {at: sha256(leaves[at]).digest()}, hashes) != tree.root


@pytest.mark.parametrize(
    ("indices", "change", "reason"),
    [
        ((3, 5), lambda h: h[:-1], Reason.PATH_SHORT),
        ((3, 5), lambda _: [], Reason.PATH_SHORT),
        ((3, 5), lambda h: [*h, bytes(32)], Reason.PATH_LONG),
    ],
)
def test_a_proof_has_exactly_its_hashes(
    indices: tuple[int, ...], change: Callable[[list[bytes]], list[bytes]], reason: Reason
) -> None:
    """One missing, none, one more."""
    leaves = leaves_of(11)
    hashes = prove_leaves(BlockTree(leaves), indices)
    with pytest.raises(VerificationError) as refused:
        check(11, {n: leaves[n] for n in indices}, change(hashes))
    assert refused.value.reason is reason


@pytest.mark.parametrize("indices", [[5, 5], [5, 4], [11], [-1]])
def test_leaves_come_in_order_and_inside_the_tree(indices: list[int]) -> None:
    """Each behind the one before."""
    tree = ProvenLeaves(11)
    *first, last = indices
    for index in first:
        tree.add(index, bytes(32), iter([bytes(32)] * 20))
    with pytest.raises(VerificationError) as refused:
        tree.add(last, bytes(32), iter([bytes(32)] * 20))
    assert refused.value.reason is Reason.INDEX_OUTSIDE


@pytest.mark.parametrize("size", [1, 2, 5])
def test_behind_the_last_leaf_there_is_no_other(size: int) -> None:
    """Not even right behind it."""
    tree = ProvenLeaves(size)
    for index in range(size):
        tree.add(index, bytes(32), iter([]))
    for step in (tree.skip, lambda index, hashes: tree.add(index, bytes(32), hashes)):
        with pytest.raises(VerificationError) as refused:
            step(size, iter([bytes(32)]))
        assert refused.value.reason is Reason.INDEX_OUTSIDE


def test_where_there_is_no_gap_nothing_is_taken() -> None:
    """A leaf may follow on the one before, or be the first."""
    leaves = leaves_of(3)
    tree, hashes = ProvenLeaves(3), iter([leaves[2]])
    for index in (0, 1):
        tree.skip(index, hashes)
        tree.add(index, leaves[index], hashes)
    assert tree.root(hashes) == node(node(leaves[0], leaves[1]), leaves[2])
