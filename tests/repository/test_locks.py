"""The locks belong to this pyproject.toml, name every file by its hash, and light uses stay light."""

import hashlib
import json
import re
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
USES = ["verify", "device", "service", "all", "dev"]
LOCKS = [*USES, "uv"]
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)")


def read_lock(name: str) -> str:
    return (CHECKOUT / "locks" / f"{name}.txt").read_text(encoding="utf-8")


def pins(name: str) -> dict[str, str]:
    found = (PIN.match(line) for line in read_lock(name).splitlines())
    return {match[1]: match[2] for match in found if match}


def normalised(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_belongs_to_this_pyproject(name: str) -> None:
    """The first line holds the SHA-256 of the dependency tables, so a change without `make lock` is seen."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tables = {key: project[key] for key in ("dependencies", "optional-dependencies", "requires-python")}
    canonical = json.dumps(tables, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(canonical.encode("utf-8")).hexdigest()

    assert f"sha256:{digest}" in read_lock(name).splitlines()[0], "run `make lock`"


@pytest.mark.parametrize("name", [*LOCKS, "peers"])
def test_every_pin_has_its_hashes(name: str) -> None:
    """A file other than the ones that were locked cannot be installed, and no address stands in a lock."""
    logical = read_lock(name).replace("\\\n", " ").splitlines()
    requirements = [line for line in logical if line.strip() and not line.lstrip().startswith("#")]

    assert requirements
    for line in requirements:
        assert PIN.match(line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), line
        assert "://" not in line, line


@pytest.mark.parametrize("name", USES)
def test_every_lock_takes_the_versions_that_are_tested(name: str) -> None:
    """What a light use installs is what the tests ran with."""
    tested = pins("dev")

    assert {package: version for package, version in pins(name).items() if tested[package] != version} == {}


@pytest.mark.parametrize("name", USES)
def test_a_lock_holds_what_its_use_declares(name: str) -> None:
    """No direct dependency is missing; the light uses are the only ones that leave something out."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared, waiting = set(project["dependencies"]), list(extras.get(name, []))
    while waiting:
        requirement = waiting.pop()
        inner = re.fullmatch(r"cityproof\[(.+)\]", requirement)
        if inner:
            waiting += [nested for extra in inner[1].split(",") for nested in extras[extra]]
        else:
            declared.add(requirement)

    assert {normalised(requirement) for requirement in declared} - pins(name).keys() == set()


@pytest.mark.parametrize("name", ["verify", "device"])
def test_a_light_lock_lists_light_things_only(name: str) -> None:
    """Whoever verifies or runs a device installs neither simulation nor servers nor a page's tools."""
    light = {
        "annotated-doc", "annotated-types", "cbor2", "cffi", "colorama", "paho-mqtt", "pycparser", "pydantic",
        "pydantic-core", "pynacl", "shellingham", "typer", "typing-extensions", "typing-inspection",
    }  # fmt: skip

    assert pins(name).keys() - light == set()
    assert ("paho-mqtt" in pins(name)) == (name == "device")
