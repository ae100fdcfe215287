"""Keys from the first to the last: `key new` and `device …`, each a process, on one running city."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import cityproof

pytestmark = pytest.mark.timeout(240)

AUTHORITY = "https://eeb.demo.cityproof.example/"
AIR = "urn:dev:ops:32473-air-7"
ROOF = "urn:dev:ops:32473-imported-roof"


@dataclass(frozen=True)
class City:
    """A running city, and how commands find it."""

    root: Path
    broker: str

    @property
    def sending(self) -> tuple[str, ...]:
        """Return the options of a command by which an authority states something."""
        return ("--key", str(self.root / "keys/authority.key"), *self.log, "--yes", "--json")

    @property
    def log(self) -> tuple[str, ...]:
        """Return the options of a command that sends."""
        return ("--broker", self.broker, "--policy", str(self.root / "policy.txt"))


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """Run `cityproof run all` on a free port while the tests of this file last."""
    root = tmp_path_factory.mktemp("keys") / "city"
    command = [sys.executable, "-m", "pipeline.cli", "run", "all", "--dir", str(root), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield City(root, process.stdout.readline().split()[-1])
        process.terminate()


def told(*arguments: str, code: int = 0) -> Any:
    """Run a command, hold it to its exit code, and return its JSON."""
    done = cityproof(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def complaint(*arguments: str, stdin: bytes = b"") -> str:
    """Run a command that a person has given something wrong, and return its one line."""
    done = cityproof(*arguments, stdin=stdin)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.decode().splitlines()
    return line


def enrol(folder: Path, issuer: str, kind: str = "air", authority: str = AUTHORITY) -> Path:
    """Have a device write a request; return the file. Its key stands beside it."""
    request = folder / "enrol.request"
    sensor = ("--position", "119.97,31.81,3", "--accuracy", "no2=5") if kind == "air" else ()
    told(
        "device", "enrol", "--authority", authority, "--key", str(folder / "device.key"), "--issuer", issuer,
        "--kind", kind, "--subject", "station-7", "--area", "centre", "--department", "ecology", *sensor,
        "--out", str(request), "--json",
    )  # fmt: skip
    return request


def wait_for(city: City, issuer: str, statements: int) -> Any:
    """Return what `device show` says as soon as it tells of so many statements."""
    for _ in range(60):
        done = cityproof("device", "show", issuer, str(city.root), "--json")
        if done.returncode == 0 and len((found := json.loads(done.stdout))["statements"]) >= statements:
            return found
    raise AssertionError(issuer)


def test_a_key_lives_and_ends_by_an_authoritys_word(city: City, tmp_path: Path) -> None:
    """Enrolled, rotated, the old key revoked, a statement admitted: each receipted, and told by the log."""
    (enrolled,) = told("device", "approve", str(enrol(tmp_path, AIR)), *city.sending)
    assert (enrolled["change"], enrolled["outcome"]) == ("enrolment", "in the log")
    assert (enrolled["issuer"], enrolled["position"]) == (AIR, [119.97, 31.81, 3.0])

    request = tmp_path / "rotate.request"
    key = str(tmp_path / "device.key")
    asked = ("device", "rotate", "--authority", AUTHORITY, "--key", key, "--start", "1900000000,7")
    told(*asked, "--out", str(request), "--json")
    assert (tmp_path / "device.key.next").stat().st_mode & 0o077 == 0
    (rotated,) = told("device", "approve", str(request), *city.sending)
    assert (rotated["old_key"], rotated["starts"]) == (enrolled["key"], [1900000000, 7])
    assert rotated["outcome"] == "in the log"

    about = (AIR, "--why", "was copied")
    (revoked,) = told("device", "revoke", *about, "--key-id", enrolled["key"], *city.sending)
    assert revoked["outcome"] == "in the log"
    (admitted,) = told("device", "admit", *about, "ab" * 32, *city.sending)
    assert admitted["outcome"] == "in the log"

    found = wait_for(city, AIR, 4)
    assert [one["statement"] for one in found["statements"]] == [
        "enrolment",
        "rotation",
        "revocation",
        "admission",
    ]
    assert {one["authority"] for one in found["statements"]} == {AUTHORITY}
    old, new = found["keys"]
    assert (old["key"], old["state"], old["ends"]) == (enrolled["key"], "revoked", [1900000000, 7])
    assert (new["key"], new["state"], new["starts"]) == (rotated["key"], "valid", [1900000000, 7])
    listed = told("device", "list", str(city.root), "--state", "revoked", "--json")
    assert [row["key"] for row in listed if row["issuer"] == AIR] == [enrolled["key"]]
    assert cityproof("fsck", str(city.root)).returncode == 0

    # What cannot be again is refused by the log, and told with its reason.
    (again,) = told("device", "admit", AIR, "ab" * 32, "--why", "twice", *city.sending, code=1)
    assert again["outcome"] == "refused: admission_known"
    other = ("--key-id", "00" * 8, "--why", "unknown")
    (unknown,) = told("device", "revoke", AIR, *other, *city.sending, code=1)
    assert unknown["outcome"] == "refused: key_unknown"


def replay(city: City, folder: Path, hour: int, code: int) -> Any:
    """Import one more reading of the roof's device, and return how that ended."""
    table = folder / f"{hour}.csv"
    table.write_text(f"time,device,quantity,value,unit\n2026-03-02T{hour:02}:00:00Z,roof,no2,31.5,ug/m3\n")
    key = ("--enrol", str(city.root / "keys/authority.key"), "--dir", str(folder / "fleet"))
    where = ("--position", "121.47,31.23,3", "--status", "json")
    done = cityproof("replay", str(table), *city.log, *key, *where)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_fleet_goes_on_with_its_new_key_and_sends_again_what_was_admitted(
    city: City, tmp_path: Path
) -> None:
    """Rotated while it is stopped, then revoked: its backlog is refused, listed, admitted, taken in."""
    fleet = ("--dir", str(tmp_path / "fleet"))
    assert replay(city, tmp_path, 1, 0)["receipted"] == 1
    (row,) = wait_for(city, ROOF, 1)["keys"]
    request = str(tmp_path / "roof.request")
    asked = ("device", "rotate", "--authority", AUTHORITY, "--issuer", row["issuer"], *fleet)
    told(*asked, "--out", request, "--json")
    assert "under way" in complaint(*asked, "--out", request)
    (rotated,) = told("device", "approve", request, *city.sending)
    assert rotated["old_key"] == row["key"]
    assert rotated["starts"][1] == 1, "one statement was signed before"
    assert replay(city, tmp_path, 2, 0)["receipted"] == 1

    why = ("--why", "stolen")
    told("device", "revoke", row["issuer"], "--key-id", rotated["key"], *why, *city.sending)
    assert replay(city, tmp_path, 3, 1)["parked"] == {"key_revoked": 1}
    listed = told("device", "refused", *fleet, "--json")
    (held,) = [one for one in listed if one["reason"] == "key_revoked"]
    assert (held["issuer"], held["sequence"], held["records"]) == (row["issuer"], 2, 1)
    hashes = tmp_path / "hashes.txt"
    hashes.write_text(held["leaf_hash"] + "\n")
    told("device", "admit", row["issuer"], f"@{hashes}", "--why", "read out", *city.sending)
    assert replay(city, tmp_path, 3, 0)["parked"] == {}
    listed = told("device", "refused", *fleet, "--json")
    assert [one for one in listed if one["issuer"] == row["issuer"]] == []


def test_many_are_enrolled_from_a_table(city: City, tmp_path: Path) -> None:
    """A CSV of 20 devices: a key each, one request, one approval; the log has them all."""
    issuers = [f"urn:dev:ops:32473-many-{number}" for number in range(20)]
    table = tmp_path / "devices.csv"
    rows = [f"{issuer},air,roof,centre,ecology,119,31,{n},no2=5" for n, issuer in enumerate(issuers)]
    heading = "issuer,kind,subject,area,department,longitude,latitude,height_m,accuracy"
    table.write_text("\n".join([heading, *rows]))
    request = str(tmp_path / "many.request")
    asked = ("device", "enrol", "--authority", AUTHORITY, "--from", str(table), "--out", request)
    told(*asked, "--keys", str(tmp_path / "keys"), "--json")
    assert len({path.read_bytes() for path in (tmp_path / "keys").iterdir()}) == 20
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "keys").iterdir())
    outcomes = told("device", "approve", request, *city.sending)
    assert [one["issuer"] for one in outcomes] == issuers
    assert {one["outcome"] for one in outcomes} == {"in the log"}
    wait_for(city, issuers[-1], 1)
    listed = told("device", "list", str(city.root), "--json")
    assert set(issuers) <= {row["issuer"] for row in listed}


def test_an_authority_without_a_network_signs_into_a_file(city: City, tmp_path: Path) -> None:
    """An auditor's key from `key new`: approved into a file, sent by who has no key, twice without harm."""
    name = "https://audit.city.example/"
    made = told(
        "key", "new", "--role", "auditor", "--name", name, "--out", str(tmp_path / "device.key"), "--json"
    )
    request, signed = enrol(tmp_path, name, "auditor"), str(tmp_path / "signed")
    (approved,) = told("device", "approve", str(request), "--out", signed, *city.sending)
    assert (approved["outcome"], approved["public_key"]) == ("signed", made["public_key"])
    for _ in range(2):
        (sent,) = told("device", "send", signed, *city.log, "--json")
        assert sent["refused"] is None
    assert wait_for(city, name, 1)["keys"][0]["kind"] == "auditor"


def test_nothing_is_signed_without_a_persons_yes(city: City, tmp_path: Path) -> None:
    """The person sees every field, and anything but y leaves nothing behind."""
    issuer = "urn:dev:ops:32473-unwanted-1"
    request = str(enrol(tmp_path, issuer))
    key = ("--key", str(city.root / "keys/authority.key"))
    done = cityproof("device", "approve", request, *key, *city.log, stdin=b"n\n")
    assert done.returncode == 1
    for words in (issuer, "no2 ±5.0", "119.97, 31.81, 3.0", "station-7"):
        assert words in done.stdout.decode()
    assert b"Nothing was signed." in done.stderr
    line = complaint("device", "show", issuer, str(city.root))
    assert f"the log has no key of {issuer}" in line


def test_a_request_for_another_authority_or_a_changed_one_is_not_signed(city: City, tmp_path: Path) -> None:
    """Each is refused with its reason before anyone is asked."""
    request = enrol(tmp_path, "urn:dev:ops:32473-else-1", authority="https://other.example/")
    assert "it asks https://other.example/" in complaint("device", "approve", str(request), *city.sending)
    request = enrol(tmp_path, "urn:dev:ops:32473-else-1")
    changed = request.read_bytes().replace(b"32473-else-1", b"32473-else-2")
    request.write_bytes(changed)
    assert "possession_invalid" in complaint("device", "approve", str(request), *city.sending)
    request.write_bytes(changed[:-1])
    assert "it is no request" in complaint("device", "approve", str(request), *city.sending)


@pytest.mark.parametrize(
    ("role", "name", "line"),
    [
        ("log", "city.example/log", "log city.example/log+"),
        ("witness", "eeb.example/witness", "witness eeb eeb.example/witness+"),
        ("authority", "https://eeb.example/", "authority https://eeb.example/ "),
    ],
)
def test_a_new_key_comes_with_the_line_that_others_trust_it_by(
    tmp_path: Path, role: str, name: str, line: str
) -> None:
    """The file is its owner's alone and never overwritten; the line is that of the policy or authorities."""
    path = tmp_path / "new.key"
    made = told("key", "new", "--role", role, "--name", name, "--out", str(path), "--json")
    assert made["line"].startswith(line)
    assert path.stat().st_mode & 0o777 == 0o600
    again = ("key", "new", "--role", role, "--name", name, "--out", str(path))
    assert "never overwritten" in complaint(*again)


def test_wrong_settings_are_one_line_that_names_the_remedy(tmp_path: Path) -> None:
    """No traceback, exit 2, and what to write instead."""
    new = ("key", "new", "--out", str(tmp_path / "k"))
    assert "Name one of: authority, log" in complaint(*new, "--role", "king", "--name", "https://a.example/")
    assert "Write a URL without" in complaint(*new, "--role", "log", "--name", "a b")
    assert "neither a sensor kind nor a role" in complaint(
        *new, "--role", "authority", "--name", "https://a.example/", "--kinds", "smell"
    )
    ask = ("device", "enrol", "--authority", AUTHORITY, "--out", str(tmp_path / "r"))
    assert "The fields are issuer" in complaint(*ask, "--key", str(tmp_path / "k"), "--issuer", AIR)
    assert "Name their folder" in complaint(*ask, "--from", "devices.csv")
    revoke = ("device", "revoke", AIR, "--key", "none.key", "--why", "lost")
    assert "16 digits" in complaint(*revoke, "--key-id", "12")
    assert "Write valid, rotated or revoked" in complaint("device", "list", "--state", "lost")


@pytest.mark.parametrize(
    "command",
    [
        ("key", "new"),
        *(("device", name) for name in
          ("enrol", "approve", "rotate", "revoke", "admit", "send", "refused", "list", "show")),
    ],
)  # fmt: skip
def test_every_help_has_an_example(command: tuple[str, str]) -> None:
    """--help shows how the command is called."""
    done = cityproof(*command, "--help")
    assert done.returncode == 0
    assert f"Example: cityproof {' '.join(command)} " in done.stdout.decode()
