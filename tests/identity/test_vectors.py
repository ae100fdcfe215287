"""The published vectors of the registry: each statement's outcome, every state's root, proofs."""

import importlib.util
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from pipeline.identity.authorities import parse_authorities
from pipeline.identity.registry import Registry
from pipeline.log.policy import parse_policy
from pipeline.verify.point import verify_point
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import SeedSigner
from pipeline.wire.possession import sign_possession
from pipeline.wire.reasons import Reason
from pipeline.wire.roles import CONTENT_TYPES
from pipeline.wire.statement import parse_statement, verify_statement

FOLDER = Path(__file__).resolve().parents[1] / "vectors"
VECTORS: Any = json.loads((FOLDER / "registry.json").read_text(encoding="utf-8"))
AUTHORITIES = parse_authorities(VECTORS["authorities"].encode())


def test_the_file_is_what_its_generator_writes() -> None:
    """Nobody has edited it by hand."""
    spec = importlib.util.spec_from_file_location("make_registry", FOLDER / "make_registry.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert made.render() == (FOLDER / "registry.json").read_text(encoding="utf-8")


def refusal(act: Callable[..., object], *arguments: object) -> str | None:
    """Why something is refused, or None."""
    try:
        act(*arguments)
    except VerificationError as refused:
        return refused.reason.value
    return None


def check_signer(registry: Registry, raw: bytes) -> None:
    """Check that a statement's key may sign such content in the registry's present state, and signed it."""
    statement = parse_statement(raw)
    record = registry.check_key(statement, VECTORS["arrival_ms"])
    verify_statement(statement, record.public_key)
    if statement.content_type not in CONTENT_TYPES[record.kind]:
        raise VerificationError(Reason.STATEMENT_CONTENT_TYPE)


def test_the_life_of_some_keys() -> None:
    """Every statement is taken or refused, each state has its root, and who may sign follows from it."""
    registry, outcomes = Registry(), {case["blocks"]: case["reasons"] for case in VECTORS["outcomes"]}
    assert len(VECTORS["stated"]) > 20
    for case in VECTORS["stated"]:
        leaves = [b"", bytes.fromhex(case["bytes"])]
        tried = deepcopy(registry)
        assert refusal(tried.apply_block, leaves, (), AUTHORITIES) == case["reason"], case["name"]
        if case["reason"] is None:
            registry = tried
        assert (registry.blocks, registry.root.hex()) == (case["blocks"], case["root"])
        for signed in VECTORS["signed"]:
            expected = outcomes[registry.blocks][signed["name"]]
            found = refusal(check_signer, registry, bytes.fromhex(signed["bytes"]))
            assert found == expected, (registry.blocks, signed["name"])


def test_possession() -> None:
    """Ed25519 gives the same signature every time."""
    case = VECTORS["possession"]
    signer = SeedSigner(bytes.fromhex(VECTORS["seeds"][case["key"]]))
    assert sign_possession(signer, case["authority"], case["issuer"]).hex() == case["signature"]


@pytest.mark.parametrize("case", VECTORS["proofs"], ids=lambda case: case["name"])
def test_proofs(case: dict[str, Any]) -> None:
    """Valid, or refused for the reason that is published."""
    policy, data = parse_policy(VECTORS["policy"].encode()), bytes.fromhex(case["bytes"])
    assert refusal(verify_point, data, policy, AUTHORITIES) == case["reason"]
