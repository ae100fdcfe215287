"""What all tests share: the folder of other people's vectors, and what some tests need of the machine.

A test that needs more than Python says so: by the `shared` fixture (it needs "vectors") or by
`@pytest.mark.needs("git")`. What the machine lacks is not run, and the summary names it. Where
CITYPROOF_REQUIRE names it, as in CITYPROOF_REQUIRE=vectors,git, its absence fails the whole run.
A new requirement is one line in REQUIREMENTS.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import hypothesis
import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("CITYPROOF_SHARED") or CHECKOUT.parent / "shared")
XDG_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
CACHE = Path(os.environ.get("CITYPROOF_CACHE") or XDG_CACHE / "cityproof")
PEERS = CHECKOUT / ".venv" / "peers" / "bin" / "python"  # Has other people's packages, and none of ours.

# Every run draws the same examples: what is red is red for everyone, and a busy machine is no failure.
hypothesis.settings.register_profile("cityproof", deadline=None, derandomize=True)
hypothesis.settings.load_profile("cityproof")


def lack_of_vectors() -> str | None:
    """Say why the shared folder cannot be used, or None."""
    if (SHARED / "vectors" / "MANIFEST.md").is_file():
        return None
    return "no folder ../shared beside the checkout; CITYPROOF_SHARED can name another"


def lack_of_git() -> str | None:
    """Say why git cannot be asked which files are tracked, or None."""
    try:
        inside = subprocess.run(["git", "rev-parse"], cwd=CHECKOUT, check=False, capture_output=True)
    except FileNotFoundError:
        return "no git"
    return None if inside.returncode == 0 else "not a git checkout"


def lack_of_mosquitto() -> str | None:
    """Say why Mosquitto cannot be run, or None."""
    folders = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"))
    return None if shutil.which("mosquitto", path=folders) else "no mosquitto; Debian: apt install mosquitto"


def lack_of_go() -> str | None:
    """Say why the Go programs of tests/interop cannot be run, or None."""
    if shutil.which("go") is None:
        return "no go; it must be 1.25 or newer"
    return None if (CACHE / "interop" / "tlog").is_file() else "its programs are not built: make interop"


def lack_of_node() -> str | None:
    """Say why epcis2.js cannot be asked, or None."""
    if shutil.which("node") is None:
        return "no node"
    return None if (CACHE / "interop" / "node" / ".done").is_file() else "no epcis2.js: make interop"


def lack_of_browser() -> str | None:
    """Say why pages cannot be opened in a browser, or None."""
    if find_spec("playwright") is None:
        return "no playwright: make setup"
    return None if shutil.which("chromium") else "no chromium; Debian: apt install chromium"


def lack_of_pictures() -> str | None:
    """Say why printed pages cannot be looked at, or None."""
    missing = [tool for tool in ("pdftoppm", "zbarimg", "fc-match") if shutil.which(tool) is None]
    if not missing:
        found = subprocess.run(["fc-list", ":lang=zh-cn"], check=False, capture_output=True).stdout
        missing = [] if found else ["a Chinese font"]
    packages = "poppler-utils zbar-tools fontconfig fonts-wqy-microhei"
    return f"no {', '.join(missing)}; Debian: apt install {packages}" if missing else None


def lack_of_peers() -> str | None:
    """Say why other people's Python cannot be asked, or None."""
    return None if PEERS.is_file() else "locks/peers.txt is not installed: make setup"


def lack_of_strace() -> str | None:
    """Say why no process can be killed at its syscalls, or None."""
    if shutil.which("strace") is None:
        return "no strace; Debian: apt install strace"
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], check=False, capture_output=True)
    return None if tried.returncode == 0 else "strace may not trace here (ptrace is forbidden)"


def lack_of_tmpfs() -> str | None:
    """Say why no small disk can be made, to be filled, or None."""
    folder = tempfile.mkdtemp()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    try:
        mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
        if mounted:
            subprocess.run(["umount", folder], check=True)
    except FileNotFoundError:
        mounted = False
    finally:
        os.rmdir(folder)  # noqa: PTH106 - it refuses what is not empty
    return None if mounted else "file systems may not be mounted here (only root may)"


def lack_of_servers() -> str | None:
    """Say why there are no Mosquitto, Kafka and InfluxDB to test on, or None."""
    try:
        servers = json.loads((CACHE / "stack" / "servers.json").read_text())
        for name in ("kafka", "influx"):
            host, _, port = servers[name].rpartition(":")
            socket.create_connection((host, int(port)), timeout=1).close()
    except (OSError, KeyError):
        return "no Mosquitto, Kafka, InfluxDB; make stack starts them"
    return None


REQUIREMENTS: Mapping[str, Callable[[], str | None]] = {
    "vectors": lack_of_vectors,
    "git": lack_of_git,
    "mosquitto": lack_of_mosquitto,
    "servers": lack_of_servers,
    "tmpfs": lack_of_tmpfs,
    "go": lack_of_go,
    "node": lack_of_node,
    "pictures": lack_of_pictures,
    "browser": lack_of_browser,
    "peers": lack_of_peers,
    "strace": lack_of_strace,
}

LACKS = pytest.StashKey[dict[str, str]]()  # Requirement: why it is missing here.
NOT_RUN = pytest.StashKey[dict[str, int]]()  # Requirement: how many tests were left out for it.


class Worker(Protocol):
    """What pytest-xdist's controller knows of a worker that has ended."""

    config: pytest.Config


def pytest_configure(config: pytest.Config) -> None:
    """Find out once what this machine lacks, and stop if that is required."""
    required = set(os.environ.get("CITYPROOF_REQUIRE", "").replace(",", " ").split())
    unknown = required - REQUIREMENTS.keys()
    if unknown:
        raise pytest.UsageError(
            f"CITYPROOF_REQUIRE names {', '.join(sorted(unknown))}; there is only {', '.join(REQUIREMENTS)}"
        )
    lacks = {name: lack for name, find_lack in REQUIREMENTS.items() if (lack := find_lack()) is not None}
    missing = [f"{name}: {lacks[name]}" for name in sorted(required & lacks.keys())]
    if missing:
        raise pytest.UsageError(f"CITYPROOF_REQUIRE is not met: {'; '.join(missing)}")
    config.stash[LACKS] = lacks
    config.stash[NOT_RUN] = {}


def needs_of(item: pytest.Item) -> set[str]:
    """Return the requirements that a test names."""
    needs = {str(name) for marker in item.iter_markers("needs") for name in marker.args}
    unknown = needs - REQUIREMENTS.keys()
    if unknown:
        raise pytest.UsageError(
            f"{item.nodeid} needs {', '.join(sorted(unknown))}, unknown to tests/conftest.py"
        )
    if isinstance(item, pytest.Function) and "shared" in item.fixturenames:
        needs.add("vectors")
    return needs


@pytest.hookimpl(trylast=True)  # After -m and -k have made their choice.
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot run here, and count it; put what measures time last."""
    lacks = config.stash[LACKS]
    not_run: Counter[str] = Counter()
    runnable, left_out = [], []
    for item in items:
        missing = sorted(needs_of(item) & lacks.keys())
        if missing:
            not_run[missing[0]] += 1
            left_out.append(item)
        else:
            runnable.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    config.stash[NOT_RUN] = dict(not_run)
    items[:] = sorted(runnable, key=lambda item: item.get_closest_marker("serial") is not None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the count from a pytest-xdist worker to its controller, which collects nothing itself."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["not_run"] = session.config.stash[NOT_RUN]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Worker) -> None:
    """Take the count of a pytest-xdist worker; all of them collect the same tests."""
    output = getattr(node, "workeroutput", {})  # A worker that crashed has none.
    node.config.stash[NOT_RUN] = output.get("not_run", {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was not run, and why."""
    for name, count in sorted(config.stash[NOT_RUN].items()):
        lack = config.stash[LACKS][name]
        terminalreporter.write_line(f"not run here: {count} tests that need {name}: {lack}", yellow=True)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of shared vectors and data; a test that asks for it is run only where it is."""
    return SHARED
