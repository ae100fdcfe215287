"""Whoever verifies waits for nothing heavy: what the pure rooms load, and how long it takes."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PURE = ["pipeline/wire", "pipeline/log", "pipeline/identity", "pipeline/verify"]
HEAVY = {"amqtt", "matplotlib", "numba", "numpy", "pandas", "rich", "scipy", "uvloop", "wntr"}
LOAD = """
import importlib, json, sys, time
started_s = time.process_time()
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps([time.process_time() - started_s, sorted(sys.modules)]))
"""


def load_in_a_process_of_its_own(modules: list[str]) -> tuple[float, set[str]]:
    command = [sys.executable, "-c", LOAD, *modules]
    printed = subprocess.run(command, cwd=CHECKOUT, check=True, stdout=subprocess.PIPE).stdout
    elapsed_s, loaded = json.loads(printed)
    return elapsed_s, {name.partition(".")[0] for name in loaded}


def modules_in(*folders: str) -> list[str]:
    files = [path for folder in folders for path in sorted((CHECKOUT / folder).glob("*.py"))]
    names = [".".join(path.relative_to(CHECKOUT).with_suffix("").parts) for path in files]
    return [name.removesuffix(".__init__") for name in names]


def test_the_pure_rooms_load_nothing_heavy() -> None:
    """Nothing in wire, log, identity or verify pulls in simulation, drivers or the terminal's colours."""
    _, loaded = load_in_a_process_of_its_own(modules_in(*PURE))

    assert {"pipeline", "nacl"} <= loaded
    assert loaded & (HEAVY | {"paho"}) == set()


def test_a_device_loads_nothing_heavy() -> None:
    """A device as firmware would be runs without what simulates the city around it."""
    _, loaded = load_in_a_process_of_its_own(modules_in("devices"))

    assert {"devices", "paho"} <= loaded
    assert loaded & HEAVY == set()


@pytest.mark.serial
def test_the_pure_rooms_load_fast() -> None:
    """A verifier's modules take the processor less than half of the half second a verification may take."""
    times_s = [load_in_a_process_of_its_own(modules_in(*PURE))[0] for _ in range(3)]

    assert statistics.median(times_s) < 0.25
