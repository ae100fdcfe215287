"""docs/cityproof.cddl against every vector and a fresh example of every object, and against broken ones."""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cbor2
import pycddl
import pytest

from tests.docs.examples import examples

CHECKOUT = Path(__file__).resolve().parents[2]
TEXT = (CHECKOUT / "docs" / "cityproof.cddl").read_text(encoding="utf-8")
VECTORS = CHECKOUT / "tests" / "vectors"
BODIES = dict(re.findall(r"^([a-z0-9-]+) = (.*?)(?=^[a-z0-9-]+ = |\Z)", TEXT, re.MULTILINE | re.DOTALL))
EVIDENCE_RULES = {0: "evidence-head", 1: "evidence-key", 2: "evidence-admission"}  # Other frames are no CBOR.
COMPOSED = ("{", "[", "#")  # How the rule of a map, an array or a tag begins.
KIND_RULES = dict.fromkeys(("loaded", "accepted", "delivered"), "plain")
# What pycddl 0.6.4 overlooks: what stands in byte strings inside arrays, maps and arrays inside arrays, and
# whatever is in an empty map. These parts are therefore taken out here and checked each by its own rule.
PARTS: dict[str, Callable[[Any], list[tuple[str, Any]]]] = {
    "statement": lambda v: [("reading", v)],
    "rotation-statement": lambda v: _sign1(v, "authority-header", "empty", "rotation"),
    "revocation-statement": lambda v: _sign1(v, "authority-header", "empty", "revocation"),
    "admission-statement": lambda v: _sign1(v, "authority-header", "empty", "admission"),
    "finding-statement": lambda v: _sign1(v, "finding-header", "empty", "finding"),
    "shipment-statement": lambda v: _sign1(v, "shipment-header", "empty", "shipment"),
    "epcis-statement": lambda v: _sign1(v, "epcis-header", "empty", "epcis-event"),
    "compact-verdict": lambda v: [
        ("shipment-statement", cbor2.loads(v[0])),
        ("enrolment-statement", cbor2.loads(v[1])),
        *(("rotation-statement", cbor2.loads(raw)) for raw in v[2:]),
    ],
    "epcis-event": lambda v: [("epcis-namespaces", v[3])] if 3 in v else [],
    "shipment": lambda v: [(f"shipment-{KIND_RULES.get(v[1], v[1])}", v)],
    "shipment-created": lambda v: [
        *(("goods", item) for item in v[6]),
        *(("stop", item) for item in v[7]),
    ],
    "shipment-offered": lambda v: [("stop", v[12])],
    "shipment-verdict": lambda v: [("rule-verdict", item) for item in v[26]],
    "finding": lambda v: [("point-place", v[2]), ("leaf-place", v[5]), ("tree-head", v[8])],
    "rotation": lambda v: [("sequence-place", v[4])],
    "enrolment": lambda v: [("sensor-enrolment" if 9 in v else "role-enrolment", v)],
    "registry-record": lambda v: [("admission-record" if len(v) == 3 else "key-record", v)],
    "key-record": lambda v: [("sequence-place", v[5]), ("key-end", v[6])],
    "registry-snapshot": lambda v: [
        *(("key-state", row) for row in v[1]),
        *(("admission-state", row) for row in v[2]),
    ],
    "key-state": lambda v: [("sequence-place", v[4]), ("key-end", v[5])],
    "key-status": lambda v: [("key-end", v[0])],
    "admission-proof": lambda v: [
        ("admission-statement", cbor2.loads(v[0])),
        ("tree-path", v[1]),
    ],
    "reading": lambda v: _sign1(v, "reading-header", "empty", "pack"),
    "pack": lambda v: [("first-record", v[0]), *(("record", record) for record in v[1:])],
    "enrolment-statement": lambda v: _sign1(v, "authority-header", "empty", "enrolment"),
    "receipts-message": lambda v: [("device-receipt", item) for item in v],
    "device-receipt": lambda v: [("receipt", cbor2.loads(v[2]))],
    "signed-block": lambda v: _sign1(v, "block-header", "empty", None),
    "receipt": lambda v: _sign1(v, "block-header", "receipt-proofs", None),
    "receipt-proofs": lambda v: [("inclusion-proof", cbor2.loads(proof)) for proof in v[396][-1]],
    "genesis": lambda v: _sign1(v, "genesis-header", "empty", "genesis-fields"),
    "point-proof": lambda v: [
        ("reading", cbor2.loads(v[1])),
        ("manifest", cbor2.loads(v[4])),
        ("signed-block", cbor2.loads(v[5])),
        ("enrolment-statement", cbor2.loads(v[7])),
        *(("tree-path", v[key]) for key in (3, 6, 8)),
        *(("rotation-statement", cbor2.loads(raw)) for raw in v.get(10, ())),
        *([("key-status", v[11])] if 11 in v else []),
        *([("admission-proof", v[12])] if 12 in v else []),
    ],
    "evidence-head": lambda v: [("query", v[1]), ("genesis", cbor2.loads(v[3]))],
    "evidence-key": lambda v: [
        ("enrolment-statement", cbor2.loads(v[7])),
        ("tree-path", v[8]),
        *(("rotation-statement", cbor2.loads(raw)) for raw in v.get(10, ())),
        *([("key-status", v[11])] if 11 in v else []),
    ],
    "evidence-admission": lambda v: [("admission-proof", v[12])],
    "equivocation": lambda v: [
        ("statement", cbor2.loads(v[1])),
        ("statement", cbor2.loads(v[2])),
        *(("log-place", v[key]) for key in (3, 4) if key in v),
        *([("enrolment-statement", cbor2.loads(v[7]))] if 7 in v else []),
        *(("rotation-statement", cbor2.loads(raw)) for raw in v.get(10, ())),
    ],
    "log-place": lambda v: [
        ("tree-path", v[0]),
        ("manifest", cbor2.loads(v[1])),
        ("signed-block", cbor2.loads(v[2])),
        ("tree-path", v[3]),
    ],
    "log-key": lambda v: [("shard-position", item) for item in v],
    "outcomes": lambda v: [("outcome", item) for item in v],
    "outcome": lambda v: [("duplicate-row" if v[0] else "refused-row", v)],
    "state-snapshot": lambda v: [("signer-state", item) for item in v],
    "signer-state": lambda v: [("epoch-state", item) for item in v[2]],
    "epoch-state": lambda v: [
        *(("sequence-range", item) for item in v[2]),
        *(("other-leaf", item) for item in v[4]),
    ],
}


def _sign1(v: Any, header: str, unprotected: str, payload: str | None) -> list[tuple[str, Any]]:
    # Inside a tag cbor2 gives tuples and frozen maps.
    protected, others, content, _ = v.value
    parts = [(header, cbor2.loads(protected)), (unprotected, _thaw(others))]
    return parts + ([(payload, cbor2.loads(content))] if payload else [])


def _thaw(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_thaw(item) for item in value]
    if hasattr(value, "items"):
        return {key: _thaw(item) for key, item in value.items()}
    return value


@cache
def schema(rule: str) -> pycddl.Schema:
    """Return the schema whose first rule is this one; embedded CBOR is left to PARTS."""
    return pycddl.Schema(f"start = {rule}\n" + re.sub(r" \.cbor [a-z-]+", "", TEXT))


def check(rule: str, value: Any) -> None:
    """Check a value and all its parts; raise pycddl.ValidationError otherwise."""
    if rule == "empty" and value != {}:
        raise pycddl.ValidationError("not an empty map")
    schema(rule).validate_cbor(cbor2.dumps(value))
    for part, content in PARTS.get(rule, lambda _: [])(value):
        check(part, content)


def walk(rule: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield a value and all its parts with their rules."""
    yield rule, value
    for part, content in PARTS.get(rule, lambda _: [])(value):
        yield from walk(part, content)


def optional_keys(rule: str) -> set[int]:
    """Return the keys that a map's rule marks with a question mark."""
    return {int(key) for key in re.findall(r"\? (-?\d+) =>", BODIES[rule])}


def other_type(value: Any) -> Any:
    """Return something of a type that no rule admits in this value's place."""
    match value:
        case bytes() | bool() | int() | float() | None:
            return "text"
        case str():
            return 0
        case list() | tuple():
            return {1: 1}
    return "text"


def broken(rule: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield this value with one thing wrong, at its own level; its parts are broken in their turn."""
    if not BODIES[rule].startswith(COMPOSED):
        return  # A choice of rules: the one that it is is broken in its turn.
    if isinstance(value, cbor2.CBORTag):
        items = list(value.value)
        yield "other tag", cbor2.CBORTag(17, items)
        yield "no tag", items
        yield "item missing", cbor2.CBORTag(18, items[:-1])
        yield "item more", cbor2.CBORTag(18, [*items, 0])
        yield "short signature", cbor2.CBORTag(18, [*items[:3], items[3][:-1]])
        for at, item in enumerate(items):
            yield f"item {at}", cbor2.CBORTag(18, [*items[:at], other_type(item), *items[at + 1 :]])
    elif isinstance(value, dict):
        if rule != "empty":
            yield "key more", {**value, 99: 0}
        for key, item in value.items():
            yield f"key {key}", {**value, key: other_type(item)}
            if key not in optional_keys(rule):
                yield f"no key {key}", {k: v for k, v in value.items() if k != key}
    elif isinstance(value, list):
        listing = BODIES[rule].startswith(("[+", "[*")) or rule == "pack"
        if not listing:
            yield "item missing", value[:-1]
            yield "item more", [*value, 0]
        for at, item in enumerate(value):
            yield f"item {at}", [*value[:at], other_type(item), *value[at + 1 :]]


def load_vectors(name: str) -> Any:
    """Return a file of vectors."""
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def vectors() -> list[tuple[str, str, bytes]]:
    """Return (name, rule, bytes) of every valid CBOR object in the vectors."""
    log, wire = load_vectors("log"), load_vectors("wire")
    found = [("genesis", "genesis", log["genesis"]["bytes"])]
    found += [(f"manifest {item['name']}", "manifest", item["bytes"]) for item in log["manifests"]]
    for block in log["blocks"]:
        name = f"block of {block['statements']}"
        found.append((name, "signed-block", block["signed_block"]))
        found.append((name, "manifest", block["leaves"][0]))
        found += [(name, "reading", leaf) for leaf in block["leaves"][1:]]
        found += [(f"{name}, receipt", "receipt", receipt["bytes"]) for receipt in block["receipts"]]
    packs = wire["packs"]["written"] + wire["packs"]["admitted"]
    found += [(f"pack {item['diagnostic']}", "pack", item["bytes"]) for item in packs]
    found += [
        (f"enrolment {item['diagnostic']}", "enrolment", item["bytes"])
        for item in wire["enrolments"]["admitted"]
    ]
    for item in wire["statements"]["made"]:
        rule = "reading" if item["content_type"] == 112 else "enrolment-statement"
        if item["payload"] == "80":  # Of this one only the envelope is right: an empty array is no pack.
            found.append((f"header {item['protected']}", "reading-header", item["protected"]))
        else:
            found.append((f"statement {item['leaf_hash']}", rule, item["bytes"]))
        found.append((f"signed {item['leaf_hash']}", "sig-structure", item["signing_input"]))
    registry = load_vectors("registry")
    for item in registry["stated"]:
        what = cbor2.loads(cbor2.loads(bytes.fromhex(item["bytes"])).value[0])[3]
        rule = what.removeprefix("application/vnd.cityproof.").removesuffix("+cbor")
        found.append((f"{item['name']}", f"{rule}-statement", item["bytes"]))
    proofs = [item for item in registry["proofs"] if item["reason"] is None]
    found += [(item["name"], "point-proof", item["bytes"]) for item in proofs]
    evidence = load_vectors("evidence")
    in_valid = {frame for case in evidence["cases"] if case["reason"] is None for frame in case["frames"]}
    for number in sorted(in_valid):
        frame = evidence["pool"][number]
        if frame["kind"] in EVIDENCE_RULES:
            found.append((f"frame {number}", EVIDENCE_RULES[frame["kind"]], frame["content"]))
    convicting = [item for item in evidence["equivocations"] if item["reason"] is None]
    found += [(item["name"], "equivocation", item["bytes"]) for item in convicting]
    found.append(("refusal", "refusal-message", wire["messages"]["refusal"]["bytes"]))
    return [(name, rule, bytes.fromhex(raw)) for name, rule, raw in found]


EXAMPLES = examples()
REACHED = {name: list(walk(name, cbor2.loads(raw))) for name, raw in EXAMPLES.items()}
BROKEN = [
    pytest.param(rule, wrong, id=f"{name}: {rule}: {what}")
    for name, parts in REACHED.items()
    for rule, value in parts
    for what, wrong in broken(rule, value)
    if name != "statement"
]


@pytest.mark.parametrize("rule", EXAMPLES)
def test_fresh_objects_are_as_the_schema_says(rule: str) -> None:
    """Whatever the code makes today is what the page describes."""
    schema(rule).validate_cbor(EXAMPLES[rule])
    check(rule, cbor2.loads(EXAMPLES[rule]))


def test_every_vector_is_as_the_schema_says() -> None:
    """So is every valid object of the published vectors."""
    for name, rule, raw in vectors():
        try:
            check(rule, cbor2.loads(raw))
        except pycddl.ValidationError as error:
            pytest.fail(f"{name}: {error}")
    # The receipts in this message are placeholders.
    schema("receipts-message").validate_cbor(
        bytes.fromhex(load_vectors("wire")["messages"]["receipts"]["bytes"])
    )


@pytest.mark.parametrize(("rule", "wrong"), BROKEN)
def test_what_is_broken_is_refused(rule: str, wrong: object) -> None:
    """A key or item missing, too many, or of another type does not pass: the schema says something."""
    with pytest.raises(pycddl.ValidationError):
        check(rule, wrong)


def test_every_rule_is_held_against_something() -> None:
    """No map, array or tag of the schema is left without an example."""
    composed = {rule for rule, body in BODIES.items() if body.startswith(COMPOSED)}
    inside_maps = {"chain", "position", "accuracy"}

    reached = {rule for parts in REACHED.values() for rule, _ in parts}
    assert composed - inside_maps == {rule for rule in reached if BODIES[rule].startswith(COMPOSED)}


def test_no_vectors_are_left_out() -> None:
    """A new file of vectors is a new line in `vectors`."""
    known = {"evidence.json", "log.json", "registry.json", "wire.json"}
    assert {path.name for path in VECTORS.glob("*.json")} == known
