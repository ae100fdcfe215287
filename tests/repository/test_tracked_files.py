"""What is tracked names no machine, no index and no secret, and is of a size one can read."""

import re
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SIZE_MAX = 500_000
# Written so that they do not match themselves.
INDEX_ADDRESS = re.compile(
    rb"p[y]pi\.org|py[t]honhosted|p[y]pi\.tuna|n[p]mjs\.org|c[r]ates\.io|proxy\.g[o]lang|(--|_)(extra-)?i[n]dex-url"
    rb"|--f[i]nd-links|--i[n]dex\b|--t[r]usted-host"
)
HOME_PATH = re.compile(rb"(?<![\w.~-])/(h[o]me|U[s]ers|r[o]ot)/\w")
PRIVATE_KEY = re.compile(rb"BEGIN [A-Z ]*P[R]IVATE KEY")

pytestmark = pytest.mark.needs("git")


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, check=True, capture_output=True).stdout
    paths = [CHECKOUT / name.decode() for name in listing.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


def lines_with(pattern: re.Pattern[bytes]) -> list[str]:
    return [
        f"{path.relative_to(CHECKOUT)}:{number}: {line[:120]!r}"
        for path in tracked_files()
        for number, line in enumerate(path.read_bytes().splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_file_names_an_index() -> None:
    """Where packages come from is the business of whoever installs."""
    assert lines_with(INDEX_ADDRESS) == []


def test_no_file_names_a_home() -> None:
    """No absolute path of the machine it was written on."""
    beside = re.compile(re.escape(str(CHECKOUT.parent).encode()) + rb"/(m[a]in|s[h]ared)\b")

    assert lines_with(HOME_PATH) == []
    assert lines_with(beside) == []


def test_no_file_holds_a_private_key() -> None:
    """Keys are made where they are used."""
    assert lines_with(PRIVATE_KEY) == []


def test_no_file_is_large() -> None:
    """Generated data stay out of the repository."""
    assert [
        str(path.relative_to(CHECKOUT)) for path in tracked_files() if path.stat().st_size > SIZE_MAX
    ] == []
