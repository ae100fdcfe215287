"""A city whose broker asks for passwords: services and simulated devices, each by its own, over TLS."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import pytest

from tests.support.secured_mosquitto import CHECKOUT, SecuredBroker, cityproof, secured_mosquitto
from tests.support.servers import servers

SECONDS = 4

pytestmark = pytest.mark.needs("servers", "mosquitto")


def settings(broker: SecuredBroker) -> Path:
    at = servers()
    path = broker.city.parent / "city.toml"
    path.write_text(
        f'folder = "{broker.city}"\n[mqtt]\nhost = "localhost"\nport = {broker.port}\ntls = true\n'
        f'[kafka]\nservers = "{at["kafka"]}"\nprefix = "test-{token_hex(6)}."\n'
        f'[influx]\nurl = "http://{at["influx"]}"\norg = "{at["influx_org"]}"\n'
        f'bucket = "test-{token_hex(6)}"\n'
    )
    admin = broker.city / "keys" / "influx-admin.token"
    admin.touch(0o600)
    admin.write_text(at["influx_token"])
    return path


@contextmanager
def running(config: Path) -> Generator[None]:
    command = [sys.executable, "-m", "pipeline.cli", "run", "all", "--config", str(config)]
    process = subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"running")
        yield
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def simulate(broker: SecuredBroker, access: Path) -> "subprocess.CompletedProcess[bytes]":
    city = broker.city
    words = [
        "--policy",
        city / "policy.txt",
        "--enrol",
        city / "keys" / "authority.key",
        "--dir",
        city / "fleet",
    ]
    words += ["--broker", broker.url(access), "--seconds", SECONDS, "--status", "json"]
    command = [sys.executable, "-m", "pipeline.cli", "simulate", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120)


def test_a_city_behind_tls(tmp_path: Path) -> None:
    """A fleet is told whose access is missing, gets it, and has every statement in the log; the bucket has
    a token of its own."""
    with secured_mosquitto(tmp_path) as broker:
        config = settings(broker)
        told = cityproof("init", "--dir", broker.city, "--servers", "--config", config)
        assert "opens with the token in" in told
        assert (broker.city / "keys" / "influx.token").read_text() != servers()["influx_token"]
        access = tmp_path / "access"
        access.mkdir(0o700)
        for path in (broker.city / "keys" / "mqtt").glob("https*eeb*"):
            shutil.copy(path, access)
        refused = simulate(broker, access)
        assert (refused.returncode, b"it has no access for " in refused.stderr) == (2, True), refused.stderr
        cityproof("access", "add", "--from", access / "wanted.txt", "--dir", broker.city, "--out", access)
        broker.read_again()
        with running(config):
            done = simulate(broker, access)
            assert done.returncode == 0, done.stderr
            fleet = json.loads(done.stdout.splitlines()[-1])
    assert (fleet["waiting"], fleet["refused"], fleet["parked"]) == (0, {}, {})
    assert fleet["receipted"] > 100
