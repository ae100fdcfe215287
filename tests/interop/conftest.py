"""Other people's code in Go: the programs of tests/interop/go, and the logs that they are given."""

import fcntl
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import CACHE

BUILD = Path(__file__).with_name("go") / "build.sh"

GoProgram = Callable[[str], str]


@pytest.fixture(scope="session")
def go_program() -> GoProgram:
    """Return where a program is, brought up to date with its sources; `make interop` has built it before."""
    folder = CACHE / "interop"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Other workers of pytest-xdist want the same.
        offline = os.environ | {"GOPROXY": "off", "CITYPROOF_CACHE": str(CACHE)}
        built = subprocess.run([BUILD], env=offline, check=False, capture_output=True, text=True)
    assert built.returncode == 0, f"run `make interop`\n{built.stderr}"
    return lambda name: str(folder / name)
