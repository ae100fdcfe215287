"""export, verify and inspect on a city's folder: evidence, tables that refer into it, what is told."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from pipeline.commands import rows
from tests.commands.conftest import cityproof
from tests.support.city import AUTHORITIES_TEXT, device_in, leaf_hash, policy_text
from tests.support.evidence_files import Example, judge

FIRST, END = "2027-01-15T08:03:00Z", "2027-01-15T08:08:00+00:00"


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A city's folder: six devices, twelve minutes, one statement signed twice."""
    root = tmp_path_factory.mktemp("city")
    example = Example(12)
    device = example.devices[0]
    other = device.read(sequence=4, records=3, previous=leaf_hash(example.raws[device.issuer][3]))
    example.log.add(1, [other], equivocations=(1,))
    example.log.publish()
    for path, data in example.log.files.items():
        file = root / "log" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (root / "policy.txt").write_text(policy_text(), encoding="ascii")
    (root / "authorities.txt").write_text(AUTHORITIES_TEXT, encoding="ascii")
    return root


DEVICE, HONEST = device_in(1).issuer, device_in(1, 1).issuer


def export(city: Path, out: Path, *arguments: str) -> tuple[int, str, str]:
    """Run the command; what it says without the terminal's progress."""
    done = cityproof("export", str(city), "--out", str(out), *arguments)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_evidence_and_tables_that_refer_into_it(city: Path, tmp_path: Path) -> None:
    """Each row is a record of the evidence: its value, and where it stands."""
    out, table, parquet = (tmp_path / name for name in ("a.evidence", "a.csv", "a.parquet"))
    tables = ("--csv", str(table), "--parquet", str(parquet))
    code, output, _ = export(city, out, "--device", HONEST, "--from", FIRST, "--to", END, *tables)
    assert code == 0
    assert output.splitlines() == [
        f"{out}: 7 statements, {out.stat().st_size} bytes",
        f"  {HONEST}: complete, 7 statements, shown until 2027-01-15T08:08:01Z",
    ]
    statements, verified = judge(out.read_bytes())
    assert verified.signers[0].complete
    with table.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    # Of the statements on either side of the span no record is asked for.
    assert [row["time"] for row in found[:3]] == [
        "2027-01-15T08:03:00Z",
        "2027-01-15T08:03:01Z",
        "2027-01-15T08:04:00Z",
    ]
    assert len(found) == 10
    by_place = {(p.entry, p.leaf): p.statement for p in statements}
    for row in found:
        statement = by_place[int(row["entry"]), int(row["leaf"])]
        assert (int(row["epoch"]), int(row["sequence"])) == (statement.epoch, statement.sequence)
        assert float(row["value"]) == 20.25 + int(row["record"])
        assert (row["device"], row["quantity"], row["unit"], row["area"]) == (HONEST, "no2", "ug/m3", "north")
        assert row["evidence"] == "a.evidence"
    columns = pyarrow.parquet.read_table(parquet)
    assert columns.schema.metadata == {b"evidence": b"a.evidence"}
    assert [
        {**{k: str(v) for k, v in row.items()}, "evidence": "a.evidence"} for row in columns.to_pylist()
    ] == found
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.evidence", "a.parquet"]


def test_many_rows_come_in_batches(city: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is written when it is full, the rest at the end."""
    monkeypatch.setattr(rows, "BATCH", 3)
    path = tmp_path / "b.parquet"
    made = [rows.Row("t", "d", "s", "a", "k", "q", float(n), "u", n, 1, n, 2, 3, 0) for n in range(7)]
    with rows.parquet_rows(path, "x") as put:
        for row in made:
            put(row)
    table = pyarrow.parquet.read_table(path)
    assert [rows.Row(**row) for row in table.to_pylist()] == made
    assert pyarrow.parquet.ParquetFile(path).num_row_groups == 3


def test_verify_says_what_is_complete_and_what_is_not(city: Path, tmp_path: Path) -> None:
    """For people and for scripts; trust files beside the evidence."""
    for name in ("policy.txt", "authorities.txt"):
        (tmp_path / name).write_bytes((city / name).read_bytes())
    out = tmp_path / "all.evidence"
    assert export(city, out, "--from", FIRST, "--to", END)[0] == 0
    done = cityproof("verify", str(out))
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0
    assert lines[0] == f"VALID   {out}"
    assert f"        {HONEST}: complete, 7 statements, shown until 2027-01-15T08:08:01Z" in lines
    at = lines.index(f"        {DEVICE}: NOT COMPLETE, 8 statements, shown until 2027-01-15T08:08:01Z")
    assert lines[at + 1] == "          epoch 1, sequence 4 was signed twice: its key has a second user"

    (answer,) = json.loads(cityproof("verify", "--json", str(out)).stdout)
    assert answer["object"] == "evidence"
    assert (answer["valid"], answer["complete"], answer["statements"]) == (True, False, 43)
    assert answer["query"]["from"] == FIRST
    shown: dict[str, Any] = {signer["device"]: signer for signer in answer["signers"]}
    assert shown[DEVICE]["equivocations"] == [[1, 4]]
    assert (shown[HONEST]["complete"], shown[HONEST]["first"], shown[HONEST]["last"]) == (
        True,
        [1, 2],
        [1, 8],
    )


def test_verify_refuses_a_damaged_file(city: Path, tmp_path: Path) -> None:
    """Exit 1 and the reason; 2 where it cannot be read."""
    out = tmp_path / "a.evidence"
    assert export(city, out, "--device", HONEST)[0] == 0
    trust = ("--policy", str(city / "policy.txt"), "--authorities", str(city / "authorities.txt"))
    data = bytearray(out.read_bytes())
    data[-1] ^= 1
    out.write_bytes(data)
    done = cityproof("verify", str(out), *trust)
    assert done.returncode == 1
    assert done.stdout.decode().startswith(f"INVALID {out}: evidence_damaged: ")
    assert cityproof("verify", str(tmp_path / "none"), *trust).returncode == 2


def test_equivocations_convict(city: Path, tmp_path: Path) -> None:
    """A file each, which verifies by itself and says whose key it was."""
    out, folder = tmp_path / "a.evidence", tmp_path / "found"
    code, output, _ = export(city, out, "--equivocations", str(folder))
    assert code == 0
    assert output.splitlines()[-1] == "1 equivocations"
    (file,) = folder.iterdir()
    trust = ("--policy", str(city / "policy.txt"), "--authorities", str(city / "authorities.txt"))
    done = cityproof("verify", str(file), *trust)
    assert done.returncode == 0
    assert f"        {DEVICE} signed two statements as epoch 1, sequence 4" in done.stdout.decode()
    (answer,) = json.loads(cityproof("verify", "--json", str(file), *trust).stdout)
    assert (answer["object"], answer["device"]) == ("equivocation", DEVICE)
    assert sorted(answer["entries"]) == [10, 26]
    told = cityproof("inspect", str(file)).stdout.decode()
    assert "a signer's equivocation" in told
    assert "sequence 4" in told


def test_inspect_goes_through_the_frames(city: Path, tmp_path: Path) -> None:
    """The head, the keys, the blocks, the end."""
    out = tmp_path / "a.evidence"
    assert export(city, out, "--device", HONEST, "--from", FIRST, "--to", END)[0] == 0
    done = cityproof("inspect", str(out))
    told = [line.split()[0] for line in done.stdout.decode().splitlines() if line.startswith("  ")]
    assert done.returncode == 0
    assert [word for word in told if word in {"head", "key", "block", "end"}] == [
        "head", "key", *["block"] * 7, "end",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--from", "yesterday"), "--from: 'yesterday' is not a time"),
        (("--to", "2027-13-01"), "--to: '2027-13-01' is not a time"),
        (("--from", END, "--to", FIRST), "the query: it ends before it begins"),
        (("--quantity", "no3"), "the query: it names what no statement has"),
        (("--device", "truck"), "the query: it names what no statement has"),
        (("--csv", "/nowhere/a.csv"), "/nowhere/a.csv: cannot write: No such file or directory"),
    ],
)
def test_what_a_person_got_wrong_is_named(
    city: Path, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    """The option and the remedy, exit 2, no traceback, no file that looks like evidence."""
    code, output, problems = export(city, tmp_path / "a.evidence", *arguments)
    assert (code, output) == (2, "")
    assert told in problems
    assert "Traceback" not in problems
    assert list(tmp_path.iterdir()) == []


def test_a_missing_body_is_named(city: Path, tmp_path: Path) -> None:
    """Evidence is made of everything or not at all."""
    body = city / "log" / "block" / "1" / "003"
    kept = body.read_bytes()
    body.unlink()
    try:
        code, _, problems = export(city, tmp_path / "a.evidence", "--device", HONEST)
    finally:
        body.write_bytes(kept)
    assert code == 2
    assert "block/1/003" in problems
    assert list(tmp_path.iterdir()) == []
