"""What a machine lacks is named as not run, and is a failure where it is required."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
SAMPLE = """
import pytest

def test_runs_everywhere() -> None:
    assert True is True

def test_reads_vectors(shared) -> None:
    assert (shared / "vectors" / "MANIFEST.md").is_file()

@pytest.mark.{marker}
def test_marked() -> None:
    assert True is True
"""


def run_pytest(
    folder: Path, shared: Path, *arguments: str, require: str = "", marker: str = "serial"
) -> tuple[int, str]:
    (folder / "tests").mkdir()
    shutil.copy(CONFTEST, folder / "tests")
    (folder / "tests" / "test_sample.py").write_text(SAMPLE.format(marker=marker), encoding="utf-8")
    (folder / "pytest.ini").write_text(
        "[pytest]\naddopts = --import-mode=importlib\nmarkers =\n  serial\n  needs\n", encoding="utf-8"
    )
    environment = os.environ | {"CITYPROOF_SHARED": str(shared), "CITYPROOF_REQUIRE": require}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments, "tests"]
    ended = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, encoding="utf-8"
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    (folder / "vectors").mkdir(parents=True)
    (folder / "vectors" / "MANIFEST.md").write_text("sources and licences\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "two workers"])
def test_what_is_missing_is_named_as_not_run(tmp_path: Path, workers: list[str]) -> None:
    """Without the folder the other tests run, and the summary says how many did not, and why."""
    code, output = run_pytest(tmp_path, tmp_path / "nowhere", *workers)

    assert code == 0, output
    assert "2 passed" in output
    assert "not run here: 1 tests that need vectors: no folder ../shared" in output


def test_what_is_there_is_run(tmp_path: Path, vectors: Path) -> None:
    """With the folder everything runs, and nothing is named."""
    code, output = run_pytest(tmp_path, vectors, require="vectors")

    assert code == 0, output
    assert "3 passed" in output
    assert "not run here" not in output


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "two workers"])
def test_what_is_required_and_missing_fails(tmp_path: Path, workers: list[str]) -> None:
    """CITYPROOF_REQUIRE turns an absence into a failure that names it."""
    code, output = run_pytest(tmp_path, tmp_path / "nowhere", *workers, require="vectors")

    assert code == pytest.ExitCode.USAGE_ERROR, output
    assert "CITYPROOF_REQUIRE is not met: vectors: no folder ../shared" in output


def test_a_requirement_without_a_check_fails(tmp_path: Path, vectors: Path) -> None:
    """A misspelt requirement would otherwise be met by everyone."""
    code, output = run_pytest(tmp_path, vectors, require="vector")

    assert code == pytest.ExitCode.USAGE_ERROR, output
    assert "CITYPROOF_REQUIRE names vector" in output


def test_a_test_that_needs_what_nobody_checks_fails(tmp_path: Path, vectors: Path) -> None:
    """The same for the tests' side."""
    code, output = run_pytest(tmp_path, vectors, marker='needs("moon")')

    assert code == pytest.ExitCode.USAGE_ERROR, output
    assert "needs moon" in output


def test_an_empty_selection_of_the_rest_names_only_its_own(tmp_path: Path) -> None:
    """A run that chose other tests does not claim that it left these out."""
    code, output = run_pytest(tmp_path, tmp_path / "nowhere", "-m", "serial")

    assert code == 0, output
    assert "not run here" not in output
