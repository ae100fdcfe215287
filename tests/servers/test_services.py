"""Every service as a process of its own on Mosquitto, Kafka and InfluxDB; each is killed in the middle of it.

Simulated devices keep every statement until they hold its receipt, and say at the end what they hold. What
the log and InfluxDB then hold is read back and compared, leaf by leaf and point by point.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex

import pytest

from pipeline.identity.authorities import parse_authorities
from pipeline.log.block import decode_body
from pipeline.log.policy import parse_policy
from pipeline.verify.point import verify_point
from pipeline.verify.prove import Prover
from pipeline.wire.senml import decode_pack, time_us
from pipeline.wire.statement import CONTENT_SENML, parse_statement, records_in
from tests.edges.implementations import Places, influx_bucket, influx_points
from tests.support.servers import servers

CHECKOUT = Path(__file__).resolve().parents[2]
SERVICES = {
    "bridge": ["bridge"],
    "aggregator": ["aggregator", "--name", "one"],
    "another aggregator": ["aggregator", "--name", "two"],
    "log": ["log"],
    "publisher": ["publisher"],
    "courier": ["courier"],
    "projector": ["projector"],
}
SECONDS = 18
PAUSE_S = 2.0
SETTLE_S = 40.0
PROVED = 25


def cityproof(*arguments: str, stdout: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, stdout=stdout)


@contextmanager
def mosquitto(folder: Path) -> Generator[int]:
    """One of our own, with the settings of deploy/: sessions of other tests are not ours."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    settings = (CHECKOUT / "deploy" / "mosquitto" / "mosquitto.conf").read_text()
    own = f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence_location {folder}/\nuser root\n"
    (folder / "mosquitto.conf").write_text(f"{settings}\n{own}")
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin")
    assert program is not None
    process = subprocess.Popen([program, "-c", str(folder / "mosquitto.conf")], stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


class Processes:
    """The services, each started again as a supervisor would."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        words = SERVICES[name]
        self._running[name] = cityproof("run", *words, "--config", str(self._config))

    def kill(self, name: str) -> None:
        self._running[name].kill()
        assert self._running[name].wait() == -9, f"{name} had ended by itself"

    def stop(self) -> dict[str, int]:
        for process in self._running.values():
            process.terminate()
        return {name: process.wait(30) for name, process in self._running.items()}

    def end(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


def settings(folder: Path, port: int) -> Path:
    at = servers()
    path = folder / "city.toml"
    path.write_text(
        f'folder = "{folder / "city"}"\n[mqtt]\nport = {port}\n'
        f'[kafka]\nservers = "{at["kafka"]}"\nprefix = "test-{token_hex(6)}."\n'
        f'[influx]\nurl = "http://{at["influx"]}"\norg = "{at["influx_org"]}"\n'
        f'bucket = "{influx_bucket(folder)}"\n'
    )
    token = folder / "city" / "keys" / "influx.token"
    token.touch(0o600)
    token.write_text(at["influx_token"])
    return path


def simulate(city: Path, port: int) -> "subprocess.Popen[bytes]":
    arguments = ["--policy", city / "policy.txt", "--enrol", city / "keys" / "authority.key"]
    arguments += ["--dir", city / "devices", "--broker", f"mqtt://127.0.0.1:{port}"]
    words = [*map(str, arguments), "--seconds", str(SECONDS), "--status", "json"]
    return cityproof("simulate", *words, stdout=subprocess.PIPE)


def leaves_of(city: Path) -> list[bytes]:
    """Every statement of every block body, as published."""
    bodies = [path for path in (city / "log" / "block").rglob("*") if path.is_file()]
    return [raw for path in bodies for raw in decode_body(path.read_bytes())[1:]]


def signed_places(leaves: list[bytes]) -> set[tuple[str, str, str, int, float]]:
    """Device, subject, quantity, time and value of every reading that was signed."""
    found: set[tuple[str, str, str, int, float]] = set()
    for statement in map(parse_statement, leaves):
        if statement.content_type == CONTENT_SENML:
            issuer, subject = statement.issuer, statement.subject
            for record in decode_pack(statement.payload, issuer):
                found.add((issuer, subject, record.quantity, time_us(record), record.value))
    return found


async def settled(folder: Path, city: Path, expected: int) -> Places:
    """What InfluxDB holds once every block is published and every reading is stored, or time is up."""
    deadline = time.monotonic() + SETTLE_S
    async with influx_points(folder) as points:
        while True:
            leaves = leaves_of(city)
            stored = await points.read()
            complete = sum(records_in(parse_statement(raw)) for raw in leaves) == expected
            if (complete and len(stored) == len(signed_places(leaves))) or time.monotonic() > deadline:
                return stored
            await asyncio.sleep(0.5)


@pytest.mark.needs("servers", "mosquitto")
def test_every_service_is_killed_once_and_nothing_is_lost_or_twice(tmp_path: Path) -> None:
    """What devices hold receipts for is one leaf and one set of points each; proofs hold; fsck is clean."""
    city = tmp_path / "city"
    assert cityproof("init", "--dir", str(city)).wait() == 0

    async def make_bucket() -> None:
        async with influx_points(tmp_path):
            pass

    asyncio.run(make_bucket())
    with ExitStack() as stack:
        port = stack.enter_context(mosquitto(tmp_path))
        processes = Processes(settings(tmp_path, port))
        stack.callback(processes.end)
        for name in SERVICES:
            processes.start(name)
        devices = simulate(city, port)
        stack.callback(devices.kill)
        deadline = time.monotonic() + SETTLE_S
        while not leaves_of(city) and time.monotonic() < deadline:
            time.sleep(0.1)
        for name in SERVICES:
            time.sleep(PAUSE_S)
            processes.kill(name)
            processes.start(name)
        output, _ = devices.communicate(timeout=120)
        told = json.loads(output.splitlines()[-1])
        assert (told["waiting"], told["ever"]["waiting"], told["refused"], told["parked"]) == (0, 0, {}, {})
        stored = asyncio.run(settled(tmp_path, city, told["ever"]["receipted"]))
        assert processes.stop() == dict.fromkeys(SERVICES, 0)

    leaves = leaves_of(city)
    assert max(Counter(leaves).values()) == 1
    statements = [parse_statement(raw) for raw in leaves]
    identities = Counter((s.issuer, s.epoch, s.sequence) for s in statements)
    assert max(identities.values()) == 1
    assert sum(map(records_in, statements)) == told["ever"]["receipted"] > len(SERVICES) * 100
    in_influx = {(place[1], place[2], place[3], place[4], value) for place, (value, _) in stored.items()}
    assert in_influx == signed_places(leaves)

    policy = parse_policy((city / "policy.txt").read_bytes())
    authorities = parse_authorities((city / "authorities.txt").read_bytes())
    prover = Prover(lambda path: (city / "log" / path).read_bytes(), policy)
    for (_, device, _, quantity, at_us), (value, ref) in sorted(stored.items())[:: len(stored) // PROVED]:
        found = verify_point(prover.prove(ref, quantity, at_us), policy, authorities)
        assert (found.statement.issuer, found.record.value) == (device, value)
    assert cityproof("fsck", str(city)).wait() == 0
