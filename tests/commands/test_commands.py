"""The commands, each run as a process of its own on what one demo left."""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from shutil import copytree
from typing import Any

import pytest

from tests.commands.conftest import Demo, cityproof

# Starting the world and its sensors takes the longest; on a machine that others use, longer than a test may.
pytestmark = pytest.mark.timeout(240)

KEYS = [
    "published", "stored", "superseded", "waiting", "refused", "duplicates", "blocks", "log_size", "verified",
    "failed", "altered", "altered_found", "findings_in_log", "rotated", "revoked", "latency_p50_s",
    "latency_p99_s",
]  # fmt: skip


def test_a_demo_accounts_for_every_record(demo: Demo) -> None:
    """Published = stored + superseded + waiting + refused; refused by reason = injected; nothing waits."""
    summary = demo.summary
    assert demo.exit_code == 0, demo.output
    assert set(KEYS) <= summary.keys()
    assert json.loads(demo.output) == summary
    assert summary["waiting"] == 0
    refused = sum(summary["refused"].values())
    assert summary["published"] == summary["stored"] + summary["superseded"] + refused
    assert summary["refused"] == summary["injected"]
    assert refused > 0
    assert summary["stored"] > 1000
    assert summary["duplicates"] > 0


def test_a_demo_proves_points_and_finds_what_was_altered(demo: Demo) -> None:
    """500 proofs verify; of 20 altered points 20 are found, and no other."""
    summary = demo.summary
    assert (summary["verified"], summary["failed"]) == (500, 0)
    assert (summary["altered"], summary["altered_found"], summary["false_alarms"]) == (20, 20, 0)
    assert summary["findings_in_log"] == 20


def test_a_demo_rotates_a_key_and_revokes_the_old_one(demo: Demo) -> None:
    """A device signed with both keys, all of it in the log; the log tells by whose word the old one ended."""
    assert (demo.summary["rotated"], demo.summary["revoked"]) == (1, 1)
    done = cityproof("device", "list", str(demo.root), "--json")
    rows = json.loads(done.stdout)
    (old,) = [row for row in rows if row["state"] == "revoked"]
    keys = [row for row in rows if row["issuer"] == old["issuer"]]
    assert len(keys) == 2
    (new,) = [row for row in keys if row["state"] == "valid"]
    assert old["ends"] == new["starts"]
    shown = json.loads(cityproof("device", "show", old["issuer"], str(demo.root), "--json").stdout)
    stated = [one["statement"] for one in shown["statements"]]
    assert stated == ["enrolment", "rotation", "revocation"]


def test_a_demo_leaves_what_a_verifier_needs(demo: Demo) -> None:
    """Log, trust files, proofs, truth; keys that nobody else may read."""
    for name in ("log/checkpoint", "policy.txt", "authorities.txt", "proofs/0000.proof", "truth.json"):
        assert (demo.root / name).is_file(), name
    for key in (demo.root / "keys").iterdir():
        assert key.stat().st_mode & 0o077 == 0, key


def proofs(demo: Demo, count: int) -> list[str]:
    return [str(demo.root / "proofs" / f"{number:04}.proof") for number in range(count)]


def test_verify_says_what_was_signed_by_whom(demo: Demo) -> None:
    """Exit 0; device, value, authority, entry and witnesses are named; JSON says the same."""
    done = cityproof("verify", *proofs(demo, 3))
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().count("VALID ") == 3
    assert b"cosigned by eeb, transport, outsider" in done.stdout
    rows = json.loads(cityproof("verify", "--json", *proofs(demo, 3)).stdout)
    assert [row["valid"] for row in rows] == [True] * 3
    for row in rows:
        assert f"{row['quantity']} = {row['value']} {row['unit']}" in done.stdout.decode()


def test_verify_tells_invalid_from_unusable(demo: Demo, tmp_path: Path) -> None:
    """1 with the reason for a changed proof; 2 for a file or a policy that cannot be read."""
    data = bytearray(Path(proofs(demo, 1)[0]).read_bytes())
    data[len(data) // 2] ^= 1
    broken = tmp_path / "broken.proof"
    broken.write_bytes(data)
    trust = ("--policy", str(demo.root / "policy.txt"), "--authorities", str(demo.root / "authorities.txt"))

    done = cityproof("verify", str(broken), proofs(demo, 1)[0], *trust)
    assert done.returncode == 1
    assert b"INVALID" in done.stdout
    assert b"VALID   " in done.stdout
    (row, _) = json.loads(cityproof("verify", "--json", str(broken), proofs(demo, 1)[0], *trust).stdout)
    assert row["valid"] is False
    assert row["reason"]

    assert cityproof("verify", str(tmp_path / "none.proof"), *trust).returncode == 2
    missing = cityproof("verify", str(broken), "--policy", str(tmp_path / "none.txt"))
    assert missing.returncode == 2
    assert missing.stderr.startswith(b"cityproof: --policy: cannot read")
    assert b"Traceback" not in missing.stderr


@pytest.mark.serial
def test_verify_starts_in_a_blink_and_loads_nothing_heavy(demo: Demo) -> None:
    """One proof in under half a second of processor time; no pandas, scipy, numba, no broker, no HTTP."""
    times_s = []
    for _ in range(5):
        before = getrusage(RUSAGE_CHILDREN)
        assert cityproof("verify", *proofs(demo, 1)).returncode == 0
        after = getrusage(RUSAGE_CHILDREN)
        times_s.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(times_s) < 0.5, times_s

    script = (
        "import sys\nfrom pipeline import cli\nsys.argv = ['cityproof', 'verify', sys.argv[1]]\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    found = subprocess.run([sys.executable, "-c", script, *proofs(demo, 1)], capture_output=True, check=True)
    loaded = set(json.loads(found.stdout.decode().splitlines()[-1].replace("'", '"')))
    heavy = {
        "pandas",
        "scipy",
        "numba",
        "numpy",
        "wntr",
        "amqtt",
        "paho",
        "httpx",
        "starlette",
        "uvloop",
        "sqlite3",
    }
    assert not loaded & heavy


def test_inspect_goes_through_the_steps_and_names_the_one_that_fails(demo: Demo, tmp_path: Path) -> None:
    """A proof from a file, from standard input, and one whose statement was changed."""
    path = proofs(demo, 1)[0]
    done = cityproof("inspect", path)
    assert done.returncode == 0, done.stdout
    assert b"step 9: record" in done.stdout
    data = Path(path).read_bytes()
    assert b"a point proof" in cityproof("inspect", "-", stdin=data, cwd=tmp_path).stdout
    note = cityproof("inspect", str(demo.root / "log" / "checkpoint"))
    assert b"a checkpoint (signed note)" in note.stdout
    nonsense = cityproof("inspect", "-", stdin=b"\xd2\x84nonsense")
    assert nonsense.returncode == 1
    assert b"FAILS: cbor_" in nonsense.stdout
    assert cityproof("inspect", str(tmp_path / "none")).returncode == 2


def some_point(demo: Demo) -> tuple[str, str, str]:
    rows = json.loads(cityproof("series", "--dir", str(demo.root), "--json").stdout)
    row = next(row for row in rows if row["kind"] == "air")
    return row["device"], row["quantity"], row["first"]


def test_prove_needs_no_store_behind_a_url(demo: Demo, tmp_path: Path) -> None:
    """Who may read the bodies finds the point in the log itself; what is not there is said."""
    device, quantity, at = some_point(demo)
    root = tmp_path / "city"
    copytree(demo.root / "log", root / "log")
    authorities = tmp_path / "authorities.txt"
    authorities.write_bytes((demo.root / "authorities.txt").read_bytes())
    policy, token = demo.root / "policy.txt", tmp_path / "token"
    token.write_text("a token of thirty-two characters")
    command = [sys.executable, "-m", "pipeline.cli", "run", "files", "--dir", str(root), "--port", "0"]
    trust = ("--policy", str(policy), "--authorities", str(authorities), "--auditor-token-file", str(token))
    proof = tmp_path / "point.proof"
    with subprocess.Popen(
        [*command, "--auditor-token-file", str(token)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            (url,) = re.findall(r"http://\S+", server.stdout.readline())
            wanted = ("--url", url, "--device", device, "--quantity", quantity, "--out", str(proof))
            done = cityproof("prove", *wanted, "--at", at, *trust)
            assert done.returncode == 0, done.stderr
            verified = cityproof("verify", str(proof), *trust[:4])
            assert verified.returncode == 0, verified.stderr
            missing = cityproof("prove", *wanted, "--at", "1999-01-01T00:00:00Z", *trust)
            assert (missing.returncode, b"the log has no" in missing.stderr) == (2, True)
        finally:
            server.terminate()


def test_prove_carries_a_stored_point_away(demo: Demo, tmp_path: Path) -> None:
    """The file verifies with policy and authorities beside it, in a folder of its own."""
    device, quantity, at = some_point(demo)
    out = tmp_path / "point.proof"
    arguments = ("--dir", str(demo.root), "--device", device, "--quantity", quantity)
    done = cityproof("prove", *arguments, "--at", at, "--out", str(out))
    assert done.returncode == 0, done.stderr
    for name in ("policy.txt", "authorities.txt"):
        (tmp_path / name).write_bytes((demo.root / name).read_bytes())
    assert cityproof("verify", "point.proof", cwd=tmp_path).returncode == 0

    for wrong, message in (
        (("--at", "yesterday"), b"is not a time"),
        (("--at", "1999-01-01T00:00:00Z"), b"The nearest are at"),
    ):
        refused = cityproof("prove", *arguments, *wrong, "--out", str(out))
        assert refused.returncode == 2
        assert message in refused.stderr
    nobody = cityproof(
        "prove",
        "--dir",
        str(demo.root),
        "--device",
        device,
        "--quantity",
        "gold",
        "--at",
        at,
        "--out",
        str(out),
    )
    assert nobody.returncode == 2
    assert b"This device has: " in nobody.stderr


def test_series_lists_what_there_is(demo: Demo) -> None:
    """Every stored point belongs to a series that is listed."""
    rows: list[dict[str, Any]] = json.loads(cityproof("series", "--dir", str(demo.root), "--json").stdout)
    assert sum(row["points"] for row in rows) == demo.summary["stored"]
    assert {"air", "weather", "water", "traffic", "cold"} == {row["kind"] for row in rows}
    missing = cityproof("series", "--dir", str(demo.root / "nowhere"))
    assert missing.returncode == 2


def test_fsck_is_clean_and_names_what_is_not(demo: Demo, tmp_path: Path) -> None:
    """0 on what the demo left; 1 and the file's name once a body is changed."""
    assert cityproof("fsck", str(demo.root)).returncode == 0
    city = tmp_path / "city"
    copytree(demo.root / "log", city / "log")
    for name in ("policy.txt", "authorities.txt"):
        (city / name).write_bytes((demo.root / name).read_bytes())
    body = next(path for path in sorted((city / "log" / "block" / "1").rglob("*")) if path.is_file())
    data = bytearray(body.read_bytes())
    data[-1] ^= 1
    body.write_bytes(data)
    done = cityproof("fsck", str(city), "--json")
    assert done.returncode == 1
    findings = json.loads(done.stdout)["findings"]
    assert str(body.relative_to(city / "log")) in findings[0]["path"]
    assert cityproof("fsck", str(tmp_path)).returncode == 2


def test_audit_names_exactly_what_the_intruder_altered(demo: Demo) -> None:
    """The store stays altered after the demo: twenty findings, with what was signed and what is stored."""
    done = cityproof("audit", str(demo.root), "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)["findings"]
    altered = json.loads((demo.root / "state" / "altered.json").read_text(encoding="utf-8"))
    assert {(f["device"], f["quantity"], f["time_us"]) for f in found} == {
        (a["device"], a["quantity"], a["time_us"]) for a in altered
    }
    assert {f["reason"] for f in found} == {"point_altered"}
    with closing(sqlite3.connect(demo.root / "state" / "points.db")) as store:
        query = (
            "SELECT value FROM points JOIN series ON series.id = series "
            "WHERE device = ? AND quantity = ? AND time_us = ?"
        )
        for finding in found:
            row = store.execute(
                query, (finding["device"], finding["quantity"], finding["time_us"])
            ).fetchone()
            assert row == (finding["stored"],)


def test_findings_stand_in_the_log_signed_by_an_enrolled_auditor(demo: Demo) -> None:
    """What the intruder altered, what it was, when it was noticed, who could have written; fsck is clean"""
    done = cityproof("findings", str(demo.root), "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    altered = json.loads((demo.root / "state" / "altered.json").read_text(encoding="utf-8"))
    assert {(f["device"], f["quantity"], f["time_us"], f["stored"]) for f in listed} == {
        (a["device"], a["quantity"], a["time_us"], a["is"]) for a in altered
    }
    for finding in listed:
        assert finding["auditor"] == "https://audit.demo.cityproof.example/"
        assert finding["signed"] != finding["stored"]
        assert finding["credentials"][0] == "user root"
    assert b"20 findings in the log" in cityproof("findings", str(demo.root)).stdout
    assert cityproof("fsck", str(demo.root)).returncode == 0


def test_stating_needs_a_broker(demo: Demo) -> None:
    """It says so in one line."""
    done = cityproof("audit", str(demo.root), "--follow")
    assert done.returncode == 2
    assert done.stderr.startswith(b"cityproof: --broker: ")


def test_a_monitor_goes_on_where_it_was(demo: Demo, tmp_path: Path) -> None:
    """The first look reads all, the second nothing; a log that is gone is not accused."""
    city = tmp_path / "city"
    copytree(demo.root, city)
    first = cityproof("monitor", str(city), "--once", "--skew-s", "1e9", "--json")
    *reports, last = map(json.loads, first.stdout.splitlines())
    assert {report["reason"] for report in reports} <= {"equivocation"}
    assert last == {"checked": demo.summary["log_size"], "size": demo.summary["log_size"], "standing": 0}
    again = cityproof("monitor", str(city), "--once", "--skew-s", "1e9", "--json")
    assert (again.returncode, json.loads(again.stdout)) == (0, last)
    (city / "log" / "checkpoint").unlink()
    gone = cityproof("monitor", str(city), "--once", "--skew-s", "1e9", "--json")
    assert gone.returncode == 2
    assert json.loads(gone.stdout.splitlines()[0])["reason"] == "log_silent"


def test_a_folder_in_use_is_refused_in_one_line(demo: Demo, tmp_path: Path) -> None:
    """No traceback, whatever is wrong with the folder."""
    file = tmp_path / "file"
    file.write_text("no folder", encoding="ascii")
    done = cityproof("run", "all", "--dir", str(file / "city"), "--port", "0")
    assert done.returncode == 2
    assert done.stderr.startswith(b"cityproof: ")
    assert b"Traceback" not in done.stderr


COMMANDS = [
    "verify",
    "inspect",
    "prove",
    "series",
    "fsck",
    "audit",
    "demo",
    "simulate",
    "replay",
    "scenarios",
    "config",
]


@pytest.mark.parametrize("command", [*COMMANDS, "run all", "run witness", "run files", "bench sealing"])
def test_every_help_has_an_example(command: str) -> None:
    """The example is of that very command."""
    done = cityproof(*command.split(), "--help")
    assert done.returncode == 0
    assert f"Example: cityproof {command}" in " ".join(done.stdout.decode().split())
