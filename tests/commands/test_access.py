"""`cityproof init` and `cityproof access`: what they make, and what they refuse."""

import json
import ssl
import time
from pathlib import Path

from tests.commands.conftest import cityproof


def test_a_second_init_changes_nothing(tmp_path: Path) -> None:
    """Keys, passwords and certificates that are in use stay; another host is another certificate only."""
    assert cityproof("init", "--dir", str(tmp_path / "city")).returncode == 0
    before = {path: path.read_bytes() for path in (tmp_path / "city").rglob("*") if path.is_file()}
    again = cityproof("init", "--dir", str(tmp_path / "city"))
    assert again.returncode == 0
    assert {path: path.read_bytes() for path in (tmp_path / "city").rglob("*") if path.is_file()} == before
    other = cityproof("init", "--dir", str(tmp_path / "city"), "--host", "broker.city.example")
    assert b"has to be started again" in other.stdout
    changed = {path.name for path, data in before.items() if path.read_bytes() != data}
    assert changed == {"server.pem"}


def test_the_certificate_is_the_brokers_for_two_years(tmp_path: Path) -> None:
    """As OpenSSL reads it: for the hosts that were named, signed by the city's authority."""
    host = ("--host", "broker.city.example", "--host", "192.0.2.7")
    assert cityproof("init", "--dir", str(tmp_path / "city"), *host).returncode == 0
    found = ssl._ssl._test_decode_cert(str(tmp_path / "city" / "broker" / "server.pem"))  # type: ignore[attr-defined]
    names = {name for _, name in found["subjectAltName"]}
    assert {"broker.city.example", "192.0.2.7", "localhost", "127.0.0.1", "mosquitto"} <= names
    assert 720 < (ssl.cert_time_to_seconds(found["notAfter"]) - time.time()) / 86_400 < 731
    assert found["issuer"] == ((("commonName", "cityproof broker city"),),)


def test_who_is_let_in_is_listed(tmp_path: Path) -> None:
    """Services, the city's own authority and auditor, and who was added since."""
    city = str(tmp_path / "city")
    assert cityproof("init", "--dir", city).returncode == 0
    names = tmp_path / "names.txt"
    names.write_text("urn:dev:ops:32473-air-1\nurn:dev:ops:32473-air-2\n")
    added = cityproof("access", "add", "--from", str(names), "--dir", city, "--out", str(tmp_path / "out"))
    assert added.returncode == 0, added.stderr
    assert b"2 in; passwords in" in added.stdout
    listed = json.loads(cityproof("access", "list", "--dir", city, "--json").stdout)
    assert {row["name"]: row["as"] for row in listed} == {
        "bridge": "service",
        "courier": "service",
        "doctor": "service",
        "https://eeb.demo.cityproof.example/": "authority",
        "https://audit.demo.cityproof.example/": "own topics",
        "urn:dev:ops:32473-air-1": "own topics",
        "urn:dev:ops:32473-air-2": "own topics",
    }
    removed = cityproof("access", "remove", "urn:dev:ops:32473-air-1", "--dir", city)
    assert removed.returncode == 0
    again = cityproof("access", "remove", "urn:dev:ops:32473-air-1", "--dir", city)
    assert (again.returncode, again.stdout.splitlines()[0]) == (1, b"urn:dev:ops:32473-air-1 was not in")


def test_mistakes_are_named(tmp_path: Path) -> None:
    """A folder without a broker's files, nobody, a name that is none, a service."""
    city = str(tmp_path / "city")
    none = cityproof("access", "list", "--dir", city)
    assert (none.returncode, none.stderr.split(b":")[1]) == (2, b" --dir")
    assert b"cityproof init --dir" in none.stderr
    assert cityproof("init", "--dir", city).returncode == 0
    for words, problem in {
        ("add", "--out", city): b"nobody is named",
        ("add", "air 7", "--out", city): b"'air 7' is no name",
        ("remove", "bridge"): b"the pipeline's bridge needs its access",
        ("add", "--from", "/nowhere", "--out", city): b"cannot read /nowhere",
    }.items():
        done = cityproof("access", *words, "--dir", city)
        assert (done.returncode, problem in done.stderr) == (2, True), done.stderr
