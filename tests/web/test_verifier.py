"""The browser's verifier agrees with ours: all vectors, foreign signatures, every bit of a proof."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.verify.point import verify_point
from pipeline.wire.errors import VerificationError
from tests.docs import examples

HERE = Path(__file__).parent
VECTORS = HERE.parent / "vectors"
STATIC = HERE.parents[1] / "pipeline" / "web" / "static"

pytestmark = pytest.mark.needs("node")


def node(script: str, *arguments: str, asked: dict[str, Any] | None = None) -> Any:
    """Return what a script says, as JSON."""
    command = ["node", "--no-warnings", str(HERE / script), *arguments]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_all_our_vectors() -> None:
    """What is valid is accepted, with the same values; what is not is refused for the same reason."""
    told = node("vectors.mjs", *(str(VECTORS / f"{name}.json") for name in ("wire", "log", "registry")))

    assert {group: wrong for group, wrong in told["wrong"].items() if wrong} == {}
    assert told["counts"]["cbor"] > 100
    assert told["counts"]["packs"] > 100
    assert told["counts"]["refusals"] > 100
    assert told["counts"]["proofs"] == len(json.loads((VECTORS / "registry.json").read_text())["proofs"])


def test_every_bit_of_a_point_proof() -> None:
    """The proof is valid; with any bit flipped both verifiers say the same, reason for reason."""
    proof = examples.point_proof()
    changed = [proof]
    expected = [""]
    for place in range(0, len(proof) * 8, 3):
        flipped = bytearray(proof)
        flipped[place // 8] ^= 1 << place % 8
        changed.append(bytes(flipped))
        try:
            verify_point(changed[-1], examples.policy(), examples.authorities())
            expected.append("")
        except VerificationError as error:
            expected.append(error.reason.value)

    told = node(
        "judge.mjs",
        asked={
            "policy": examples.policy_text().decode(),
            "authorities": examples.authorities_text().decode(),
            "proofs": [raw.hex() for raw in changed],
        },
    )

    apart = {i: (a, b) for i, (a, b) in enumerate(zip(told["proofs"], expected, strict=True)) if a != b}
    assert apart == {}
    assert len(set(expected)) > 30


def test_foreign_signatures(shared: Path) -> None:
    """Wycheproof as it says; CCTV by the rule that tests/wire/test_keys.py has beside its own."""
    groups = json.loads((shared / "vectors/wycheproof/ed25519_test.json").read_text())["testGroups"]
    cases, expected = [], []
    for group in groups:
        for test in group["tests"]:
            cases.append([group["publicKey"]["pk"], test["msg"], test["sig"]])
            expected.append("" if test["result"] == "valid" else "signature_invalid")
    for vector in json.loads((shared / "vectors/cctv-ed25519/ed25519vectors.json").read_text()):
        flags = set(vector["flags"] or [])
        cases.append([vector["key"], vector["msg"].encode().hex(), vector["sig"]])
        if flags & {"low_order_A", "non_canonical_A", "low_order_component_A"}:
            expected.append("key_invalid")
        elif flags & {"low_order_R", "non_canonical_R", "low_order_residue", "reencoded_k"}:
            expected.append("signature_invalid")
        else:
            expected.append("")

    assert node("judge.mjs", asked={"signatures": cases})["signatures"] == expected
    assert len(cases) == 151 + 914


def test_it_asks_nobody() -> None:
    """Nothing in the verifier can reach a network: it imports its own files and calls no fetch."""
    for path in (STATIC / "verifier").glob("*.js"):
        text = path.read_text(encoding="utf-8")
        for line in text.splitlines():
            if line.startswith(("import ", "} from ")) and " from " in line:
                assert line.rstrip(";").split(" from ")[1].startswith('"./'), (path.name, line)
        for word in ("fetch(", "XMLHttpRequest", "WebSocket", "import(", "eval("):
            assert word not in text, (path.name, word)
