"""The tree against RFC 9162's definition: every leaf and every pair of sizes of all small trees."""

from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.log import merkle
from pipeline.log.merkle import (
    EMPTY_ROOT,
    BlockTree,
    Tree,
    check_consistency,
    check_inclusion,
    consistency_path,
    hash_leaf,
    hash_leaves,
    hash_node,
    inclusion_path,
    inclusion_path_at,
    root_from_path,
    root_of,
)
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

SIZE_MAX = 33  # One leaf beyond a power of two, so that every shape of right edge is met.
ENTRIES = [b"entry %d" % number for number in range(SIZE_MAX)]
SIZES = range(1, SIZE_MAX + 1)


def leaf(index: int) -> bytes:
    """Leaf hash of an entry, as RFC 9162, 2.1.1 words it."""
    return sha256(b"\x00" + ENTRIES[index]).digest()


def split(size: int) -> int:
    """Largest power of two smaller than size."""
    k = 1
    while 2 * k < size:
        k *= 2
    return k


@cache
def mth(start: int, end: int) -> bytes:
    """Merkle tree hash of ENTRIES[start:end] (2.1.1)."""
    if start == end:
        return sha256().digest()
    if end - start == 1:
        return leaf(start)
    k = split(end - start)
    return sha256(b"\x01" + mth(start, start + k) + mth(start + k, end)).digest()


def path(index: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D_n) (2.1.3.1)."""
    if end - start == 1:
        return []
    k = split(end - start)
    if index < k:
        return [*path(index, start, start + k), mth(start + k, end)]
    return [*path(index - k, start + k, end), mth(start, start + k)]


def subproof(m: int, start: int, end: int, *, whole: bool) -> list[bytes]:
    """SUBPROOF(m, D_n, b) (2.1.4.1)."""
    if m == end - start:
        return [] if whole else [mth(start, end)]
    k = split(end - start)
    if m <= k:
        return [*subproof(m, start, start + k, whole=whole), mth(start + k, end)]
    return [*subproof(m - k, start + k, end, whole=False), mth(start, start + k)]


def read_from(size: int) -> Callable[[int, int], bytes]:
    """A store of the complete subtrees of a tree, and of nothing else."""

    def read_hash(level: int, index: int) -> bytes:
        start, end = index << level, (index + 1) << level
        assert end <= size, "asked for a subtree that is not complete"
        return mth(start, end)

    return read_hash


def refusal(check: Callable[..., object], *arguments: object) -> Reason | None:
    """Reason of a refusal; None where there is none."""
    try:
        check(*arguments)
    except VerificationError as error:
        return error.reason
    return None


def flips(data: bytes) -> list[bytes]:
    """Every way to flip one bit."""
    return [
        data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        for at in range(len(data))
        for bit in range(8)
    ]


def test_hashes_are_prefixed() -> None:
    """Leaf, node and empty root are those of RFC 9162, 2.1.1."""
    assert hash_leaf(b"x") == sha256(b"\x00x").digest()
    assert hash_leaves([b"x", b""]) == [sha256(b"\x00x").digest(), sha256(b"\x00").digest()]
    assert hash_node(b"l" * 32, b"r" * 32) == sha256(b"\x01" + b"l" * 32 + b"r" * 32).digest()
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", [0, *SIZES])
def test_every_way_to_the_root_gives_the_definition(size: int) -> None:
    """root_of, BlockTree, and Tree grown leaf by leaf and through its bytes agree with MTH at every size."""
    leaves = [leaf(index) for index in range(size)]
    grown = Tree()
    for index, leaf_hash in enumerate(leaves):
        assert grown.root() == mth(0, index)
        grown.append(leaf_hash)
        grown = Tree.from_bytes(grown.to_bytes())
    tree = BlockTree(leaves)

    assert root_of(leaves) == tree.root == grown.root() == mth(0, size)
    assert tree.size == grown.size == size


@pytest.mark.parametrize(
    "state", [b"", bytes(7), bytes(9), b"\0" * 7 + b"\1", b"\0" * 7 + b"\1" + bytes(33), bytes(40)]
)
def test_state_of_another_length_is_refused(state: bytes) -> None:
    """A stored tree holds exactly one hash for each set bit of its size."""
    assert refusal(Tree.from_bytes, state) is Reason.HASH_SIZE


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_is_provable_at_its_index_only(size: int) -> None:
    """The path is the definition's, however it is made, and holds for its own index only."""
    root, leaves = mth(0, size), [leaf(place) for place in range(size)]
    tree = BlockTree(leaves)
    shapes = {Reason.PATH_LONG, Reason.PATH_SHORT, Reason.ROOT_MISMATCH}
    for index in range(size):
        wanted = path(index, 0, size)
        assert inclusion_path(leaves, index) == tree.path(index) == wanted
        assert inclusion_path_at(index, size, read_from(size)) == wanted
        check_inclusion(leaf(index), index, size, wanted, root)
        assert root_from_path(leaf(index), index, size, wanted) == root
        for other in set(range(size)) - {index}:
            assert refusal(check_inclusion, leaf(index), other, size, wanted, root) in shapes
        for other in (-1, size, size + 1):
            assert refusal(check_inclusion, leaf(index), other, size, wanted, root) is Reason.INDEX_OUTSIDE


@pytest.mark.parametrize("size", SIZES)
def test_a_path_of_another_length_is_refused(size: int) -> None:
    """A hash more is PATH_LONG, a hash less PATH_SHORT, wherever it stands."""
    root = mth(0, size)
    for index in range(size):
        wanted = path(index, 0, size)
        for at in range(len(wanted) + 1):
            longer = [*wanted[:at], root, *wanted[at:]]
            assert refusal(check_inclusion, leaf(index), index, size, longer, root) is Reason.PATH_LONG
        for at in range(len(wanted)):
            shorter = wanted[:at] + wanted[at + 1 :]
            assert refusal(check_inclusion, leaf(index), index, size, shorter, root) is Reason.PATH_SHORT


def test_no_bit_of_an_inclusion_proof_may_change() -> None:
    """Flip any one bit of leaf, root or path, for every leaf of a lopsided tree: ROOT_MISMATCH."""
    size = 11
    root = mth(0, size)
    for index in range(size):
        proof = path(index, 0, size)
        for changed in flips(leaf(index)):
            assert refusal(check_inclusion, changed, index, size, proof, root) is Reason.ROOT_MISMATCH
        for changed in flips(root):
            assert refusal(check_inclusion, leaf(index), index, size, proof, changed) is Reason.ROOT_MISMATCH
        for at, sibling in enumerate(proof):
            for changed in flips(sibling):
                bad = [*proof[:at], changed, *proof[at + 1 :]]
                assert refusal(check_inclusion, leaf(index), index, size, bad, root) is Reason.ROOT_MISMATCH


@pytest.mark.parametrize("wrong", [b"", bytes(31), bytes(33), bytes(64)])
def test_every_hash_has_32_bytes(wrong: bytes) -> None:
    """Leaf, root and siblings of another length are HASH_SIZE, even where they would hash alike."""
    good, root = path(1, 0, 3), mth(0, 3)
    assert refusal(check_inclusion, wrong, 1, 3, good, root) is Reason.HASH_SIZE
    assert refusal(check_inclusion, leaf(1), 1, 3, good, wrong) is Reason.HASH_SIZE
    assert refusal(check_inclusion, leaf(1), 1, 3, [wrong, good[1]], root) is Reason.HASH_SIZE
    assert refusal(root_from_path, leaf(1), 1, 3, [good[0], wrong]) is Reason.HASH_SIZE
    assert refusal(check_inclusion, wrong, 0, 1, [], wrong) is Reason.HASH_SIZE
    proof = subproof(2, 0, 3, whole=True)
    assert refusal(check_consistency, 2, wrong, 3, root, proof) is Reason.HASH_SIZE
    assert refusal(check_consistency, 2, mth(0, 2), 3, wrong, proof) is Reason.HASH_SIZE
    assert refusal(check_consistency, 2, mth(0, 2), 3, root, [wrong]) is Reason.HASH_SIZE


@pytest.mark.parametrize("size2", SIZES)
def test_every_growth_is_provable(size2: int) -> None:
    """The consistency proof is the definition's, holds for its roots only, and no other length does."""
    root2, other = mth(0, size2), sha256(b"other").digest()
    for size1 in range(1, size2 + 1):
        root1, proof = mth(0, size1), subproof(size1, 0, size2, whole=True)
        assert consistency_path(size1, size2, read_from(size2)) == proof
        check_consistency(size1, root1, size2, root2, proof)

        for at in range(len(proof) + 1):
            longer = [*proof[:at], root1, *proof[at:]]
            assert refusal(check_consistency, size1, root1, size2, root2, longer) is Reason.PATH_LONG
        for at in range(len(proof)):
            shorter = proof[:at] + proof[at + 1 :]
            assert refusal(check_consistency, size1, root1, size2, root2, shorter) is Reason.PATH_SHORT
        assert refusal(check_consistency, size1, other, size2, root2, proof) is Reason.ROOT_MISMATCH
        assert refusal(check_consistency, size1, root1, size2, other, proof) is Reason.ROOT_MISMATCH


def test_a_proof_of_consistency_holds_for_its_sizes_only() -> None:
    """Other sizes with the same proof and roots are refused, unless the proof has the same shape there."""
    shapes = {Reason.PATH_LONG, Reason.PATH_SHORT, Reason.ROOT_MISMATCH, Reason.SIZE_ORDER}
    size1, size2 = 6, 11
    proof = subproof(size1, 0, size2, whole=True)
    roots = mth(0, size1), mth(0, size2)
    for other in set(range(-1, 20)) - {size1}:
        assert refusal(check_consistency, other, roots[0], size2, roots[1], proof) in shapes
    accepted = [
        other
        for other in range(-1, 20)
        if refusal(check_consistency, size1, roots[0], other, roots[1], proof) is None
    ]
    # The sizes a proof does not bind are bound by the signed checkpoint: RFC 9162 proofs name no size.
    assert size2 in accepted
    for other in accepted:
        assert len(subproof(size1, 0, other, whole=True)) == len(proof)


def test_no_bit_of_a_consistency_proof_may_change() -> None:
    """Flip any one bit of a root or of the path: ROOT_MISMATCH."""
    for size1, size2 in ((6, 11), (8, 11), (7, 8), (5, 5)):
        roots, proof = (mth(0, size1), mth(0, size2)), subproof(size1, 0, size2, whole=True)
        for changed in flips(roots[0]):
            assert refusal(check_consistency, size1, changed, size2, roots[1], proof) is Reason.ROOT_MISMATCH
        for changed in flips(roots[1]):
            assert refusal(check_consistency, size1, roots[0], size2, changed, proof) is Reason.ROOT_MISMATCH
        for at, node in enumerate(proof):
            for changed in flips(node):
                bad = [*proof[:at], changed, *proof[at + 1 :]]
                assert (
                    refusal(check_consistency, size1, roots[0], size2, roots[1], bad) is Reason.ROOT_MISMATCH
                )


@pytest.mark.parametrize(("size1", "size2"), [(0, 0), (0, 5), (-1, 5), (6, 5), (-2, -1)])
def test_sizes_out_of_order_are_refused(size1: int, size2: int) -> None:
    """Size 0 always fails in the checker; a smaller tree cannot extend a larger one."""
    assert refusal(check_consistency, size1, EMPTY_ROOT, size2, EMPTY_ROOT, []) is Reason.SIZE_ORDER


def test_paths_are_made_inside_the_tree_only() -> None:
    """Whoever makes a path refuses an index outside, and sizes out of order."""
    leaves = [leaf(index) for index in range(5)]
    for index in (-1, 5):
        assert refusal(inclusion_path, leaves, index) is Reason.INDEX_OUTSIDE
        assert refusal(BlockTree(leaves).path, index) is Reason.INDEX_OUTSIDE
        assert refusal(inclusion_path_at, index, 5, read_from(5)) is Reason.INDEX_OUTSIDE
    assert refusal(inclusion_path, [], 0) is Reason.INDEX_OUTSIDE
    assert refusal(consistency_path, 6, 5, read_from(5)) is Reason.SIZE_ORDER
    assert refusal(consistency_path, -1, 5, read_from(5)) is Reason.SIZE_ORDER


def test_from_size_0_there_is_nothing_to_show() -> None:
    """The maker gives the empty proof that the witness protocol asks for; no hash is read."""
    assert consistency_path(0, 5, read_from(0)) == []
    assert consistency_path(5, 5, read_from(0)) == []


@given(size=st.integers(1, 2**62), data=st.data())
def test_huge_trees_are_proved_from_few_hashes(size: int, data: st.DataObject) -> None:
    """In a tree of 2^62 equal leaves a proof reads at most twice its height and verifies."""
    perfect = [hash_leaf(b"")]
    for _ in range(62):
        perfect.append(sha256(b"\x01" + perfect[-1] + perfect[-1]).digest())
    reads: list[tuple[int, int]] = []

    def read_hash(level: int, index: int) -> bytes:
        assert index >= 0
        assert (index + 1) << level <= size
        reads.append((level, index))
        return perfect[level]

    def root(size: int) -> bytes:
        peaks = [perfect[bit] for bit in range(63) if size >> bit & 1]
        node = peaks[0]
        for peak in peaks[1:]:
            node = sha256(b"\x01" + peak + node).digest()
        return node

    index = data.draw(st.integers(0, size - 1))
    smaller = data.draw(st.integers(1, size))
    check_inclusion(perfect[0], index, size, inclusion_path_at(index, size, read_hash), root(size))
    assert len(reads) <= 2 * 62
    reads.clear()
    proof = consistency_path(smaller, size, read_hash)
    check_consistency(smaller, root(smaller), size, root(size), proof)
    assert len(reads) <= 2 * 62


def test_appending_costs_one_hash_a_leaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """n leaves cost n - popcount(n) node hashes, and the tree holds popcount(n) hashes."""
    calls = 0

    def counted(data: bytes = b"") -> object:
        nonlocal calls
        calls += 1
        return sha256(data)

    monkeypatch.setattr(merkle, "sha256", counted)
    size, leaf_hash, tree = 1000, bytes(32), Tree()
    for _ in range(size):
        tree.append(leaf_hash)
    assert calls == size - size.bit_count()
    assert len(tree.to_bytes()) == 8 + 32 * size.bit_count()

    calls = 0
    root_of([leaf_hash] * size)
    assert calls == size - 1
    calls = 0
    built = BlockTree([leaf_hash] * size)
    assert calls == size - 1
    calls = 0
    for index in range(size):
        built.path(index)
    assert calls == 0


def test_levels_hold_every_complete_subtree() -> None:
    """levels[k][i] is the subtree over leaves i * 2^k to (i + 1) * 2^k, or to the right edge."""
    size = 21
    tree = BlockTree([leaf(index) for index in range(size)])
    for level, hashes in enumerate(tree.levels):
        starts: Sequence[int] = range(0, size, 1 << level)
        assert len(hashes) == len(starts)
        for start, node in zip(starts, hashes, strict=True):
            assert node == mth(start, min(size, start + (1 << level)))
    assert all(len(above) < len(below) for below, above in pairwise(tree.levels))
