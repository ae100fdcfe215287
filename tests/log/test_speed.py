"""What the tree and the framing cost, as ratios to the hashing they cannot do without."""

import time
from collections.abc import Callable
from hashlib import sha256
from statistics import median

import pytest

from pipeline.log.block import decode_body, encode_body
from pipeline.log.merkle import BlockTree, hash_leaves, root_of

pytestmark = pytest.mark.serial

LEAVES = 1025  # A full block.
REPEATS = 8  # Blocks a round: long enough to time, short enough to interleave.
ROUNDS = 7


def node_inputs(leaf_hashes: list[bytes]) -> list[bytes]:
    """Return what each node hash of the tree is over."""
    inputs, level = [], leaf_hashes
    while len(level) > 1:
        pairs = [b"\x01" + level[at] + level[at + 1] for at in range(0, len(level) - 1, 2)]
        inputs += pairs
        level = [sha256(pair).digest() for pair in pairs] + level[len(level) - len(level) % 2 :]
    return inputs


def seconds(work: Callable[[], object]) -> float:
    """Time some blocks of work."""
    start = time.process_time()
    for _ in range(REPEATS):
        work()
    return time.process_time() - start


def ratio(subject: Callable[[], object], bare: Callable[[], object]) -> float:
    """Median of interleaved rounds, each subject to its own bare loop, both in processor time."""
    return median(seconds(subject) / seconds(bare) for _ in range(ROUNDS))


def test_building_a_tree_costs_little_more_than_its_hashes() -> None:
    """A full block's leaf and node hashes: at most 1.5 times the bare calls of hashlib on ready inputs."""
    entries = [b"%d" % index * 60 for index in range(LEAVES)]
    leaf_inputs = [b"\x00" + entry for entry in entries]
    inputs = node_inputs(hash_leaves(entries))
    assert len(inputs) == LEAVES - 1

    def bare() -> list[bytes]:
        return [sha256(data).digest() for data in leaf_inputs] + [sha256(data).digest() for data in inputs]

    assert bare()[-1] == BlockTree(hash_leaves(entries)).root
    assert ratio(lambda: BlockTree(hash_leaves(entries)), bare) <= 1.5


def test_nodes_alone_too() -> None:
    """The same without the leaves, where our own work weighs most."""
    hashes = hash_leaves([b"%d" % index for index in range(LEAVES)])
    inputs = node_inputs(hashes)
    assert ratio(lambda: BlockTree(hashes), lambda: [sha256(data).digest() for data in inputs]) <= 1.5


def test_checking_a_body_again_costs_little_more_than_its_tree() -> None:
    """Splitting a body into its leaves, as the log does for every block: half of their hashing at most."""
    leaves = [b"%d" % index * 60 for index in range(LEAVES)]
    body = encode_body(leaves)
    assert ratio(lambda: root_of(hash_leaves(decode_body(body))), lambda: root_of(hash_leaves(leaves))) <= 1.5
