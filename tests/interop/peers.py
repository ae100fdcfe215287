"""Checks what it reads with other people's Python: cwt, pycose, pymerkle. Knows nothing of ours.

Run by the interpreter of the environment that `make interop` made of locks/peers.txt, where our packages are
not. Reads one JSON object with the task's name and its data, writes its results.
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false

import json
import sys
from collections.abc import Callable
from typing import Any

from cwt import COSE, COSEKey
from pycose.algorithms import CoseAlgorithm, EdDSA
from pycose.keys import OKPKey
from pycose.keys.curves import Ed25519
from pycose.messages import Sign1Message
from pymerkle import InclusionProof, InmemoryTree, InvalidProof, verify_inclusion

Json = dict[str, Any]


@CoseAlgorithm.register_attribute()
class FullySpecifiedEd25519(EdDSA):  # type: ignore[misc]
    """Algorithm -19 (RFC 9864), for which pycose has EdDSA (-8) only."""

    identifier = -19
    fullname = "ED25519"


def check_with_cwt(raw: bytes, public_key: bytes, key_id: bytes, detached: bytes | None) -> bytes | None:
    """Return the payload that cwt has verified, or None where it refuses."""
    key = COSEKey.new({1: 1, 2: key_id, 3: -19, -1: 6, -2: public_key})
    try:
        payload = COSE.new().decode(raw, keys=[key], detached_payload=detached)
    except Exception:  # noqa: BLE001 - it has no one type of its own for what it refuses
        return None
    assert isinstance(payload, bytes)
    return payload


def check_with_pycose(raw: bytes, public_key: bytes, key_id: bytes, detached: bytes | None) -> bytes | None:
    """Return the payload that pycose has verified, or None where it refuses."""
    try:
        message = Sign1Message.decode(raw)
        message.key = OKPKey(crv=Ed25519, x=public_key, optional_params={"KID": key_id})
        verified = message.verify_signature(detached)
    except Exception:  # noqa: BLE001 - what is inside may be anything, and it checks little of it
        return None
    return (detached or message.payload) if verified else None


def check_cose(data: Json) -> Json:
    """Verify COSE_Sign1 objects with both libraries; give what each has verified."""
    checks: dict[str, Callable[..., bytes | None]] = {"cwt": check_with_cwt, "pycose": check_with_pycose}
    results: Json = {name: [] for name in checks}
    for item in data["objects"]:
        fields = [bytes.fromhex(item[name]) for name in ("bytes", "public_key", "key_id")]
        detached = bytes.fromhex(item["detached"]) if "detached" in item else None
        for name, check in checks.items():
            payload = check(*fields, detached)
            results[name].append(payload.hex() if payload is not None else None)
    return results


def check_tree(data: Json) -> Json:
    """Build pymerkle's tree of the entries; give its roots, and verify inclusion proofs with it.

    Its consistency proofs are made of other hashes than those of RFC 9162.
    """
    tree = InmemoryTree(algorithm="sha256")
    tree.append_entries([bytes.fromhex(entry) for entry in data["entries"]])
    accepted = []
    for item in data["inclusions"]:
        index, size = item["index"] + 1, item["size"]
        leaf, *path = (bytes.fromhex(node) for node in (item["leaf"], *item["path"]))
        rule = tree.prove_inclusion(index, size).rule  # Which hashes are left ones; that is not in a path.
        proof = InclusionProof("sha256", True, size, index, rule, [leaf, *path])
        try:
            verify_inclusion(leaf, bytes.fromhex(item["root"]), proof, index=index, size=size)
            accepted.append(True)
        except InvalidProof:
            accepted.append(False)
    return {"roots": [tree.get_root(size).hex() for size in data["sizes"]], "accepted": accepted}


TASKS = {"cose": check_cose, "tree": check_tree}

if __name__ == "__main__":
    task = json.load(sys.stdin)
    json.dump(TASKS[task["task"]](task), sys.stdout)
