"""trace air --dir and trace rerun, on what a demo leaves: only what is proven counts, and again."""

import json
import shutil
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Demo, cityproof

QUANTITY = "so2"


@pytest.fixture(scope="session")
def city(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demo's city, in which one point more is altered than the demo's intruder has altered."""
    root = tmp_path_factory.mktemp("traced") / "city"
    shutil.copytree(demo.root, root)
    altered = json.loads((root / "state" / "altered.json").read_text(encoding="utf-8"))
    known = [(one["device"], one["time_us"]) for one in altered]
    with closing(sqlite3.connect(root / "state" / "points.db")) as connection, connection:
        rows = connection.execute(
            "SELECT device, series, time_us, value FROM points JOIN series ON series.id = series"
            " WHERE quantity = ?",
            (QUANTITY,),
        ).fetchall()
        device, series, time_us, value = next(row for row in rows if (row[0], row[2]) not in known)
        connection.execute(
            "UPDATE points SET value = ? WHERE series = ? AND time_us = ?", (value + 1.5, series, time_us)
        )
    altered.append({"device": device, "quantity": QUANTITY, "time_us": time_us, "is": value + 1.5})
    (root.parent / "altered.json").write_text(json.dumps(altered), encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def traced(city: Path) -> Path:
    """A trace over the points of that city."""
    out = city.parent / "a.json"
    done = cityproof(
        "trace", "air", "--dir", str(city), "--quantity", QUANTITY, "--source-height", "8,30",
        "--max-sources", "1", "--out", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    for name in ("policy.txt", "authorities.txt"):
        (out.parent / name).write_bytes((city / name).read_bytes())
    return out


def told(path: Path) -> dict[str, Any]:
    """Return the answer."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_altered_points_are_left_out_and_named(traced: Path) -> None:
    """What intruders wrote, also of the wind, is not among what is traced; the difference is told."""
    answer = told(traced)
    written = json.loads((traced.parent / "altered.json").read_text(encoding="utf-8"))
    used = {QUANTITY, "wind_speed", "wind_from"}
    expected = sorted((one["device"], one["is"]) for one in written if one["quantity"] in used)
    altered = [one for one in answer["inputs"]["left_out"] if one["reason"] == "altered in the store"]
    assert sorted((one["device"], one["stored"]) for one in altered) == expected
    of_it = sum(one["quantity"] == QUANTITY for one in altered)
    assert of_it >= 1
    assert all(one["stored"] != one["signed"] for one in altered)
    assert answer["inputs"]["verified"] == answer["inputs"]["points"]
    assert answer["all_points"]["points"] == answer["inputs"]["points"] + of_it
    assert answer["difference"] is not None
    assert any("left out and named" in text for text in answer["warnings"])


def test_the_evidence_is_verified_by_whoever_wants_to(traced: Path) -> None:
    """`cityproof verify` knows nothing of traces, and finds it valid."""
    done = cityproof("verify", str(traced.with_suffix(".evidence")))
    assert done.returncode == 0
    assert done.stdout.decode().startswith("VALID")


def test_a_rerun_gives_the_same_posterior(traced: Path) -> None:
    """From the one file, with the policy beside it."""
    done = cityproof("trace", "rerun", str(traced.with_suffix(".trace")))
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert "the same posterior within 0.001" in done.stdout.decode()


def test_a_trace_names_its_settings_and_its_code(traced: Path) -> None:
    """Whoever disagrees can see what was computed, and with what."""
    with zipfile.ZipFile(traced.with_suffix(".trace")) as archive:
        question = json.loads(archive.read("question.json"))
    assert question["settings"]["source_height_m"] == [8.0, 30.0]
    assert len(question["code"]["tracing_sha256"]) == 64
    assert question["tolerance"] == 1e-3


def test_another_question_is_not_the_same_posterior(traced: Path, tmp_path: Path) -> None:
    """Settings that were changed afterwards give another answer, and the rerun says so."""
    changed = tmp_path / "b.trace"
    with (
        zipfile.ZipFile(traced.with_suffix(".trace")) as archive,
        zipfile.ZipFile(changed, "w") as other,
    ):
        for name in archive.namelist():
            data = archive.read(name)
            if name == "question.json":
                question = json.loads(data)
                question["settings"]["wind_error_deg"] = 45.0
                question["settings"]["source_height_m"] = [1.0, 2.0]
                data = json.dumps(question).encode()
            other.writestr(name, data)
    trust = [
        option
        for name in ("policy", "authorities")
        for option in (f"--{name}", str(traced.parent / f"{name}.txt"))
    ]
    done = cityproof("trace", "rerun", str(changed), *trust)
    assert done.returncode == 1
    assert "ANOTHER" in done.stdout.decode() or "events" in done.stdout.decode()


def test_evidence_that_was_swapped_is_refused(traced: Path, tmp_path: Path) -> None:
    """A flipped bit in the evidence: the trace's question names another one."""
    changed = tmp_path / "c.trace"
    with (
        zipfile.ZipFile(traced.with_suffix(".trace")) as archive,
        zipfile.ZipFile(changed, "w") as other,
    ):
        for name in archive.namelist():
            data = bytearray(archive.read(name))
            if name == "inputs.evidence":
                data[len(data) // 2] ^= 1
            other.writestr(name, bytes(data))
    trust = [
        option
        for name in ("policy", "authorities")
        for option in (f"--{name}", str(traced.parent / f"{name}.txt"))
    ]
    done = cityproof("trace", "rerun", str(changed), *trust)
    assert done.returncode == 2
    assert "not the one that its question names" in done.stderr.decode()
