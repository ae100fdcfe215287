"""What a city says has become of every statement, against what its devices say."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Demo, cityproof


@pytest.fixture
def city(demo: Demo, tmp_path: Path) -> Path:
    """A copy of the demo's city, to be spoilt."""
    return Path(shutil.copytree(demo.root, tmp_path / "city"))


def reconcile(city: Path) -> tuple[int, list[dict[str, Any]]]:
    done = cityproof("reconcile", "--dir", str(city), "--json")
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return done.returncode, rows


FATES = ("stored", "superseded", "waiting", "refused", "missing")


def test_every_published_statement_has_one_fate(demo: Demo, city: Path) -> None:
    """The parts make the whole for every signer; of what the demo refuses there is a reason each."""
    code, rows = reconcile(city)
    assert (code, sum(row["missing"] for row in rows)) == (0, 0)
    for row in rows:
        assert row["published"] == sum(row[fate] for fate in FATES), row
        assert row["refused"] == sum(row["reasons"].values())
    assert sum(row["stored"] for row in rows) > 100
    assert sum(row["waiting"] for row in rows) == 0
    refused = set().union(*(row["reasons"] for row in rows))
    assert refused <= set(demo.summary["refused"])


def test_points_that_are_gone_are_missing(city: Path) -> None:
    """So many statements as had a point deleted, and of whom; exit 1."""
    _, before = reconcile(city)
    devices = [row for row in before if row["issuer"].startswith("urn:dev:")]
    device = max(devices, key=lambda row: int(row["stored"]))["issuer"]
    with closing(sqlite3.connect(city / "state" / "points.db")) as connection, connection:
        of = "series IN (SELECT id FROM series WHERE device = ?)"
        (refs,) = connection.execute(
            f"SELECT count(DISTINCT ref) FROM points WHERE {of}", (device,)
        ).fetchone()
        connection.execute(f"DELETE FROM points WHERE {of}", (device,))
    code, rows = reconcile(city)
    assert code == 1
    missing = {row["issuer"]: row["missing"] for row in rows if row["missing"]}
    assert missing.keys() == {device}
    assert missing[device] >= refs
    assert all(row["published"] == sum(row[fate] for fate in FATES) for row in rows)
