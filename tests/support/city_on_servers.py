"""A city as processes on servers of its own, under load, with an account of all it did at the end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.edges.influx_reader import InfluxReader, read_influx
from pipeline.folder import SHARDS
from pipeline.identity.authorities import parse_authorities
from pipeline.log.block import decode_body
from pipeline.log.manifest import decode_manifest
from pipeline.log.note import parse_note
from pipeline.log.policy import parse_policy
from pipeline.verify.point import verify_point
from pipeline.verify.prove import Prover
from pipeline.wire.errors import UnavailableError
from pipeline.wire.senml import decode_pack, time_us
from pipeline.wire.statement import CONTENT_SENML, parse_statement, records_in
from tests.support.own_servers import OwnServers

CHECKOUT = Path(__file__).resolve().parents[2]
SERVICES: Mapping[str, Sequence[str]] = {
    "bridge": ["bridge"],
    "aggregator": ["aggregator", "--name", "one"],
    "another aggregator": ["aggregator", "--name", "two"],
    "log": ["log"],
    "publisher": ["publisher"],
    "courier": ["courier"],
    "projector": ["projector"],
}
PROVED = 25
SETTLE_S = 90.0
Points = Mapping[tuple[str, str, str, int], tuple[float, int]]


def cityproof(
    *arguments: str, stdout: int | None = None, stderr: int | None = None
) -> "subprocess.Popen[bytes]":
    """Start a command."""
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    return subprocess.Popen(command, env=environment, stdout=stdout, stderr=stderr)


def leaves_of(city: Path) -> list[bytes]:
    """Every statement of every block body, as published."""
    bodies = [path for path in (city / "log" / "block").rglob("*") if path.is_file()]
    return [raw for path in bodies for raw in decode_body(path.read_bytes())[1:]]


def checkpoint_size(city: Path) -> int:
    """How many entries are published."""
    try:
        note = parse_note((city / "log" / "checkpoint").read_bytes())
    except FileNotFoundError:
        return 0
    return int(note.text.splitlines()[1])


@dataclass
class Scene:
    """Servers, services and devices; a supervisor that starts again what exits 75."""

    folder: Path
    servers: OwnServers
    city: Path
    config: Path
    processes: dict[str, "subprocess.Popen[bytes]"]
    devices: "subprocess.Popen[bytes] | None" = None
    health: int = 0

    @classmethod
    def open(cls, folder: Path, *, disks_mb: int = 0) -> "Scene":
        """Make a city, and start servers for it."""
        servers = OwnServers(folder / "servers", disks_mb=disks_mb)
        city = folder / "city"
        assert cityproof("init", "--dir", str(city), stdout=subprocess.DEVNULL).wait() == 0
        servers.start_all()
        return cls(folder, servers, city, servers.settings(city), {})

    def start(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a service."""
        words = [*SERVICES[name], "--config", str(self.config)]
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", "pipeline.cli", "run", *words]
            surroundings = {**os.environ, "PYTHONPATH": str(CHECKOUT), **(environment or {})}
            self.processes[name] = subprocess.Popen(
                command, env=surroundings, stdout=subprocess.DEVNULL, stderr=log
            )

    def start_all(self) -> None:
        for name in SERVICES:
            self.start(name)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    def supervise(self, but: str = "") -> None:
        """Start again what has ended; only exit 75 asks for that, and SIGKILL by us."""
        for name, process in list(self.processes.items()):
            code = process.poll() if name != but else None
            if code is not None:
                log = (self.folder / f"{name}.log").read_text()
                assert code in {75, -9}, f"{name} ended with {code}: {log[-3000:]}"
                self.start(name)

    def simulate(self, seconds: float) -> None:
        """Let devices speak for so long; at the end they say what they hold receipts for, ever."""
        port = self.servers.ports["mosquitto"]
        arguments = ["--policy", self.city / "policy.txt", "--enrol", self.city / "keys" / "authority.key"]
        arguments += ["--dir", self.city / "devices", "--broker", f"mqtt://127.0.0.1:{port}"]
        words = [*map(str, arguments), "--seconds", str(seconds), "--status", "json"]
        self.devices = cityproof("simulate", *words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def await_growth(self, seconds: float, since: int | None = None) -> float:
        """Wait, services supervised, until something new is published; return how long that took."""
        began_s = time.monotonic()
        size = checkpoint_size(self.city) if since is None else since
        while checkpoint_size(self.city) <= size:
            self.supervise()
            assert time.monotonic() - began_s < seconds, f"nothing new is published after {seconds} s"
            time.sleep(0.05)
        return time.monotonic() - began_s

    def await_fresh(self, seconds: float) -> float:
        """Wait until every shard of readings shows a block of what arrived from now on; return how long.

        Services are supervised meanwhile.
        """
        began_s, now_ms = time.monotonic(), time.time() * 1000
        due = set(range(1, SHARDS))
        while due:
            self.supervise()
            due -= {
                manifest.shard
                for path in (self.city / "log" / "block").rglob("*")
                if path.is_file() and path.stat().st_mtime * 1000 >= now_ms
                for manifest in [decode_manifest(decode_body(path.read_bytes())[0])]
                if manifest.arrival_last_ms > now_ms
            }
            took_s = time.monotonic() - began_s
            assert took_s < seconds, f"nothing new in shards {sorted(due)} after {seconds} s"
            time.sleep(0.05)
        return time.monotonic() - began_s

    def await_points(self, seconds: float) -> float:
        """Wait until InfluxDB holds more than it did when it first answered; return how long that took."""
        began_s, before = time.monotonic(), -1
        while True:
            self.supervise()
            with suppress(UnavailableError):
                number = self.count_points()
                if before >= 0 and number > before:
                    return time.monotonic() - began_s
                before = number if before < 0 else before
            assert time.monotonic() - began_s < seconds, f"no new points after {seconds} s"
            time.sleep(0.1)

    def kill_devices(self) -> None:
        """End the devices where they stand; what they have not been answered is in their outboxes."""
        assert self.devices is not None
        self.devices.kill()
        self.devices.communicate()

    def told(self, wait_s: float = 180.0) -> dict[str, Any]:
        """What the devices say once they have ended; services are supervised meanwhile."""
        assert self.devices is not None
        deadline_s = time.monotonic() + wait_s
        while self.devices.poll() is None:
            self.supervise()
            assert time.monotonic() < deadline_s, "the devices wait for receipts"
            time.sleep(0.1)
        output, _ = self.devices.communicate()
        last: dict[str, Any] = json.loads(output.splitlines()[-1])
        return last

    def open_points(self) -> AbstractContextManager[InfluxReader]:
        url = f"http://127.0.0.1:{self.servers.ports['influx']}"
        return read_influx(url, self.servers.token, "city", "points")

    def count_points(self) -> int:
        """How many points InfluxDB holds."""
        with self.open_points() as reader:
            return reader.count_below(1 << 60)

    def stored(self) -> Points:
        """What InfluxDB holds."""
        with self.open_points() as reader:
            return {(p.device, p.subject, p.quantity, p.time_us): (p.value, p.ref) for p in reader.scan()}

    def await_stored(self, places: int) -> Points:
        """Wait until so many points are stored."""
        deadline_s = time.monotonic() + SETTLE_S
        while True:
            stored = self.stored()
            if len(stored) >= places or time.monotonic() > deadline_s:
                return stored
            self.supervise()
            time.sleep(0.5)

    def account(self, told: dict[str, Any]) -> None:
        """Nothing receipted is lost or twice, all of it is stored and can be proved, fsck is clean."""
        waiting = told["waiting"], told["ever"]["waiting"], told["refused"], told["parked"]
        assert waiting == (0, 0, {}, {})
        receipted = told["ever"]["receipted"]
        deadline_s = time.monotonic() + SETTLE_S
        while (found := sum(map(records_in, map(parse_statement, leaves_of(self.city))))) < receipted:
            self.supervise()
            assert time.monotonic() < deadline_s, f"{found} of {receipted} are published"
            time.sleep(0.5)
        leaves = leaves_of(self.city)
        statements = [parse_statement(raw) for raw in leaves]
        assert max(Counter((s.issuer, s.epoch, s.sequence) for s in statements).values()) == 1
        assert sum(map(records_in, statements)) == receipted
        signed = {
            (s.issuer, s.subject, record.quantity, time_us(record)): record.value
            for s in statements
            if s.content_type == CONTENT_SENML
            for record in decode_pack(s.payload, s.issuer)
        }
        stored = self.await_stored(len(signed))
        assert {place: value for place, (value, _) in stored.items()} == signed
        policy = parse_policy((self.city / "policy.txt").read_bytes())
        authorities = parse_authorities((self.city / "authorities.txt").read_bytes())
        prover = Prover(lambda path: (self.city / "log" / path).read_bytes(), policy)
        every = max(1, len(stored) // PROVED)
        for (device, _, quantity, at_us), (value, ref) in sorted(stored.items())[::every]:
            proven = verify_point(prover.prove(ref, quantity, at_us), policy, authorities)
            assert (proven.statement.issuer, proven.record.value) == (device, value)
        assert cityproof("fsck", str(self.city), stdout=subprocess.DEVNULL).wait() == 0

    def stop(self) -> dict[str, int]:
        """Stop the services as a supervisor does; return their exit codes."""
        for process in self.processes.values():
            process.terminate()
        codes = {name: process.wait(30) for name, process in self.processes.items()}
        self.processes.clear()
        return codes

    def end(self) -> None:
        """End everything."""
        for process in [*self.processes.values(), *([self.devices] if self.devices else [])]:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self.servers.end()
