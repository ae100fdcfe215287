"""cwt, pycose and pymerkle check what we sign, and what is in our vectors for others to test with."""

import json
import random
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pipeline.log.merkle import BlockTree, hash_leaf
from tests.conftest import PEERS

pytestmark = pytest.mark.needs("peers")

PROGRAM = Path(__file__).with_name("peers.py")
VECTORS = Path(__file__).resolve().parents[1] / "vectors"
LOG: Any = json.loads((VECTORS / "log.json").read_text(encoding="utf-8"))
WIRE: Any = json.loads((VECTORS / "wire.json").read_text(encoding="utf-8"))
LOG_KEY = {"public_key": LOG["keys"]["log"]["public_key"], "key_id": LOG["keys"]["log"]["key_id"]}


def ask(task: str, **data: object) -> Any:
    """Run the program in its own environment."""
    command = [str(PEERS), "-I", "-W", "ignore", str(PROGRAM)]
    given = json.dumps({"task": task, **data})
    ended = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def signed_by_devices() -> list[dict[str, str]]:
    """Statements, by the public key that their key id is of."""
    keys = {pair["key_id"]: pair["public_key"] for pair in WIRE["keys"]["pairs"]}
    key_id = WIRE["statements"]["key_id"]
    return [
        {"bytes": made["bytes"], "payload": made["payload"], "public_key": keys[key_id], "key_id": key_id}
        for made in WIRE["statements"]["made"]
    ]


def signed_by_the_log() -> list[dict[str, str]]:
    """Genesis and blocks; of receipts, whose payload is detached, the root that it must be."""
    blocks = [{"bytes": block["signed_block"], "payload": block["root"]} for block in LOG["blocks"]]
    receipts = [
        {"bytes": receipt["bytes"], "payload": block["root"], "detached": block["root"]}
        for block in LOG["blocks"]
        for receipt in block["receipts"]
    ]
    return [item | LOG_KEY for item in blocks + receipts]


def test_they_verify_what_devices_and_the_log_sign() -> None:
    """Statements, blocks and receipts: the payload that each of both libraries gives is the one signed."""
    objects = signed_by_devices() + signed_by_the_log()
    assert len(objects) >= 20

    found = ask("cose", objects=objects)

    payloads = [item["payload"] for item in objects]
    assert found == {"cwt": payloads, "pycose": payloads}


def test_they_refuse_what_was_changed() -> None:
    """One bit of every byte of protected header, payload and signature; the root of another block."""
    good = signed_by_devices()[0]
    raw, payload = bytes.fromhex(good["bytes"]), bytes.fromhex(good["payload"])
    protected = bytes.fromhex(WIRE["statements"]["made"][0]["protected"])
    parts = [(raw.index(part), len(part)) for part in (protected, payload, raw[-64:])]
    places = [start + number for start, length in parts for number in range(length)]
    changed = []
    for place in places:
        mutant = bytearray(raw)
        mutant[place] ^= 1 << place % 8
        changed.append(good | {"bytes": mutant.hex()})
    receipt = signed_by_the_log()[-1]
    changed.append(receipt | {"detached": sha256(b"another root").hexdigest()})

    found = ask("cose", objects=changed)

    assert len(changed) == len(protected) + len(payload) + 64 + 1
    assert found == {name: [None] * len(changed) for name in ("cwt", "pycose")}


def test_pymerkle_has_our_roots_and_accepts_our_inclusion_proofs() -> None:
    """The roots of every size up to 300, proofs anywhere in these trees; none of them with a hash changed."""
    entries = [b"entry %d" % n for n in range(300)]
    leaves = [hash_leaf(entry) for entry in entries]
    trees = {size: BlockTree(leaves[:size]) for size in range(1, 301)}
    chance = random.Random(7)
    good, bad = [], []
    for size in (1, 2, 3, 255, 256, 257, 300):
        for index in sorted({0, size // 2, size - 1, chance.randrange(size)}):
            path = trees[size].path(index)
            item = {"index": index, "size": size, "leaf": leaves[index].hex(), "root": trees[size].root.hex()}
            good.append(item | {"path": [node.hex() for node in path]})
            for number, node in enumerate(path):
                other = [*path[:number], sha256(node).digest(), *path[number + 1 :]]
                bad.append(item | {"path": [node.hex() for node in other]})

    found = ask("tree", entries=[entry.hex() for entry in entries], sizes=list(trees), inclusions=good + bad)

    assert found["roots"] == [tree.root.hex() for tree in trees.values()]
    assert found["accepted"] == [True] * len(good) + [False] * len(bad)
    assert len(bad) > 100


def test_pymerkle_accepts_the_proofs_in_our_receipts() -> None:
    """The leaf is the statement's hash, the root what the log signed."""
    for block in LOG["blocks"]:
        leaves = [bytes.fromhex(leaf) for leaf in block["leaves"]]
        inclusions = [
            {
                "index": receipt["index"],
                "size": len(leaves),
                "leaf": receipt["leaf_hash"],
                "path": receipt["path"],
                "root": block["root"],
            }
            for receipt in block["receipts"]
        ]
        found = ask("tree", entries=block["leaves"], sizes=[len(leaves)], inclusions=inclusions)
        assert found == {"roots": [block["root"]], "accepted": [True] * len(inclusions)}
