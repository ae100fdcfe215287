"""Archived blocks: read at their path, believed only if they are what the log signed."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.log.archive import read_block
from pipeline.log.block import parse_signed_block
from pipeline.wire.errors import UnavailableError, VerificationError
from pipeline.wire.reasons import Reason

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "log.json").read_text("utf-8")
)
VECTOR = VECTORS["blocks"][2]
BLOCK = parse_signed_block(bytes.fromhex(VECTOR["signed_block"]))
BODY = bytes.fromhex(VECTOR["body"])


def test_a_block_is_read_at_its_path() -> None:
    """Shard 3, height 1; leaves and tree come back."""
    leaves, tree = read_block({"block/3/001": BODY}.get, BLOCK)
    assert [leaf.hex() for leaf in leaves] == VECTOR["leaves"]
    assert tree.root.hex() == VECTOR["root"]


def test_a_missing_body_is_no_verdict() -> None:
    """It could not be checked: the error names the path."""
    with pytest.raises(UnavailableError, match=r"^log files did not answer: block/3/001 is missing$"):
        read_block(dict[str, bytes]().get, BLOCK)


def test_another_blocks_body_is_refused() -> None:
    """A true body of the same log in this one's place."""
    other = bytes.fromhex(VECTORS["blocks"][3]["body"])
    with pytest.raises(VerificationError) as refused:
        read_block({"block/3/001": other}.get, BLOCK)
    assert refused.value.reason is Reason.MANIFEST_MISMATCH
