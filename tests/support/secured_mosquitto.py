"""Mosquitto as a city runs it: deploy's settings, TLS, passwords and rights, on a loopback port."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]


def native_servers() -> Any:
    """deploy/native/servers.py, which is a program."""
    path = CHECKOUT / "deploy" / "native" / "servers.py"
    spec = importlib.util.spec_from_file_location("native_servers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cityproof(*arguments: str | Path) -> str:
    """Run the command; return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def await_listener(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a server on loopback listens."""
    deadline_s = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, "it has ended"
            assert time.monotonic() < deadline_s, "it does not listen"
            time.sleep(0.02)
        else:
            return


@dataclass(frozen=True)
class SecuredBroker:
    """A city's folder, and its broker."""

    city: Path
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    def url(self, access: Path) -> str:
        ca = self.city / "broker" / "ca.crt"
        return f"mqtts://localhost:{self.port}?ca={ca}&access={access}"

    def grant(self, out: Path, *names: str, authority: bool = False) -> None:
        """Let names in, as a person would, and have the broker read it."""
        flags = ["--authority"] if authority else []
        cityproof("access", "add", *names, "--dir", self.city, "--out", out, *flags)
        self.read_again()

    def read_again(self) -> None:
        before = self.log.read_text().count("Reloading config")
        self.process.send_signal(signal.SIGHUP)
        deadline_s = time.monotonic() + 10
        while self.log.read_text().count("Reloading config") == before:
            assert time.monotonic() < deadline_s, "Mosquitto does not reload"
            time.sleep(0.02)


@contextmanager
def secured_mosquitto(folder: Path) -> Generator[SecuredBroker]:
    """A new city with its broker."""
    city, data = folder / "city", folder / "mosquitto"
    cityproof("init", "--dir", city)
    data.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    log = data / "mosquitto.log"
    settings = native_servers().mosquitto_settings(port, data, tls=True)
    (data / "mosquitto.conf").write_text(f"{settings}log_dest stderr\n")
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin")
    assert program is not None
    with log.open("wb") as stderr:
        command = [program, "-c", str(data / "mosquitto.conf")]
        process = subprocess.Popen(command, stderr=stderr, cwd=city / "broker")
    try:
        await_listener(port, process)
        yield SecuredBroker(city, port, process, log)
    finally:
        process.kill()
        process.wait()
