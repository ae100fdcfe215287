"""One short demo, run as a person would, for all tests of commands to look at."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SECONDS = 4


def cityproof(
    *arguments: str, cwd: Path | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run the command as a process of its own."""
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    environment = os.environ | {"COLUMNS": "200", "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, env=environment, check=False)


@dataclass(frozen=True)
class Demo:
    """What a demo left."""

    root: Path
    exit_code: int
    output: str
    summary: dict[str, Any]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A demo of a few seconds, headless, faults and all."""
    root = tmp_path_factory.mktemp("demo") / "city"
    summary = root.parent / "summary.json"
    arguments = ("demo", "--seconds", str(SECONDS), "--seed", "7", "--headless", "--no-open")
    done = cityproof(*arguments, "--dir", str(root), "--summary", str(summary))
    assert summary.exists(), done.stderr.decode()
    found = json.loads(summary.read_text(encoding="utf-8"))
    return Demo(root, done.returncode, done.stdout.decode(), found)
