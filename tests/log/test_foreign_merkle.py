"""Other people's trees: transparency-dev/merkle's proofs with every negative, and RFC 6962's roots.

They refuse size 0 in consistency proofs, as ours does; the witness protocol, which accepts it with an empty
proof, makes that exception for itself. Eleven consistency cases have "don't care" in place of roots, one of
them to be accepted: ours takes hashes of 32 bytes only, so a hash of the words stands in for them.
"""

import json
from base64 import b64decode
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pipeline.log.merkle import check_consistency, check_inclusion, hash_leaf, root_of
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

INCLUSION = {
    Reason.HASH_SIZE,
    Reason.INDEX_OUTSIDE,
    Reason.PATH_LONG,
    Reason.PATH_SHORT,
    Reason.ROOT_MISMATCH,
}
CONSISTENCY = (INCLUSION - {Reason.INDEX_OUTSIDE}) | {Reason.SIZE_ORDER}


def cases(folder: Path) -> dict[str, dict[str, Any]]:
    """Every case below a folder, by its path there."""
    return {
        str(path.relative_to(folder)): json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))
    }


def decoded(case: dict[str, Any], *names: str) -> list[bytes]:
    """Decode the named fields."""
    return [b64decode(case[name] or "") for name in names]


def hashes(case: dict[str, Any]) -> list[bytes]:
    """Decode the proof."""
    return [b64decode(value) for value in case["proof"] or []]


def roots(case: dict[str, Any]) -> list[bytes]:
    """Decode both roots; equal words stay equal."""
    decoded_roots = decoded(case, "root1", "root2")
    return [sha256(root).digest() if root.startswith(b"don't care") else root for root in decoded_roots]


def test_inclusion_as_transparency_dev_has_it(shared: Path) -> None:
    """All 98 inclusion cases: 6 hold, 92 are refused, each with a reason of an inclusion proof."""
    verdicts = {}
    for name, case in cases(shared / "vectors/merkle/testdata/inclusion").items():
        leaf_hash, root = decoded(case, "leafHash", "root")
        arguments = leaf_hash, case["leafIdx"], case["treeSize"], hashes(case), root
        if case["wantErr"]:
            with pytest.raises(VerificationError) as refused:
                check_inclusion(*arguments)
            assert refused.value.reason in INCLUSION, name
        else:
            check_inclusion(*arguments)
        verdicts[name] = case["wantErr"]
    assert (len(verdicts), sum(verdicts.values())) == (98, 92)


def test_consistency_as_transparency_dev_has_it(shared: Path) -> None:
    """All 98 consistency cases: 6 hold, 92 are refused, each with a reason of a consistency proof."""
    verdicts = {}
    for name, case in cases(shared / "vectors/merkle/testdata/consistency").items():
        root1, root2 = roots(case)
        arguments = case["size1"], root1, case["size2"], root2, hashes(case)
        if case["wantErr"]:
            with pytest.raises(VerificationError) as refused:
                check_consistency(*arguments)
            assert refused.value.reason in CONSISTENCY, name
        else:
            check_consistency(*arguments)
        verdicts[name] = case["wantErr"]
    assert (len(verdicts), sum(verdicts.values())) == (98, 92)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("inclusion/single-entry/empty-root-and-leaf.json", Reason.HASH_SIZE),
        ("consistency/additional/size1-is-zero-and-size2-is-not-zero.json", Reason.SIZE_ORDER),
        ("consistency/additional/size1-is-greater-than-size2.json", Reason.SIZE_ORDER),
        ("consistency/additional/sizes-are-equal-zero-and-proof-is-empty.json", Reason.SIZE_ORDER),
        ("consistency/additional/sizes-are-equal-one-but-roots-are-not.json", Reason.ROOT_MISMATCH),
        ("consistency/1/trailing-garbage.json", Reason.HASH_SIZE),
        ("consistency/1/trailing-root1.json", Reason.PATH_LONG),
        ("consistency/1/truncated-proof.json", Reason.PATH_SHORT),
        ("consistency/1/empty-proof.json", Reason.PATH_SHORT),
        ("consistency/1/swapped-roots.json", Reason.ROOT_MISMATCH),
    ],
)
def test_what_the_foreign_negatives_are_refused_for(shared: Path, name: str, reason: Reason) -> None:
    """A sample of the negatives, each refused for what its name says and not by accident."""
    case = json.loads((shared / "vectors/merkle/testdata" / name).read_text())
    check: Callable[[], None]
    if name.startswith("inclusion"):
        leaf_hash, root = decoded(case, "leafHash", "root")
        check = partial(check_inclusion, leaf_hash, case["leafIdx"], case["treeSize"], hashes(case), root)
    else:
        root1, root2 = roots(case)
        check = partial(check_consistency, case["size1"], root1, case["size2"], root2, hashes(case))
    with pytest.raises(VerificationError) as refused:
        check()
    assert refused.value.reason is reason


def test_roots_of_rfc_6962(shared: Path) -> None:
    """The nine roots over 0 to 8 published entries."""
    vectors = json.loads((shared / "vectors/merkle/rfc6962_roots.json").read_text())
    leaves = [hash_leaf(bytes.fromhex(entry)) for entry in vectors["leaf_inputs_hex"]]
    ours = [root_of(leaves[:size]).hex() for size in range(len(leaves) + 1)]
    assert ours == vectors["root_hashes_hex_by_size"]
