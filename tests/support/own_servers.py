"""Mosquitto, Kafka and InfluxDB of a test's own, to be killed, wiped and started again; settings of deploy/.

What to run is in the cache that `make stack` fills.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.proxy import Proxy
from tests.support.servers import CACHE

CHECKOUT = Path(__file__).resolve().parents[2]
NAMES = ("mosquitto", "kafka", "influx")
START_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin")
    assert found is not None, name
    return found


class OwnServers:
    """Three servers in a folder. Each keeps its port and its data through every fault."""

    def __init__(self, folder: Path, *, disks_mb: int = 0) -> None:
        self.folder = folder
        self._disks_mb = disks_mb  # Of the disk that Kafka and InfluxDB each have for themselves; 0: none.
        self.ports = {name: free_port() for name in NAMES}  # Those of the proxies before them.
        self._own = {name: free_port() for name in NAMES}
        self.network: dict[str, Proxy] = {}
        self.token = secrets.token_urlsafe(32)
        self._controller = free_port()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start_all(self) -> None:
        """Start them for the first time, and make InfluxDB's bucket."""
        for name in NAMES:
            (self.folder / name).mkdir(parents=True)
            if self._disks_mb and name != "mosquitto":
                size = f"size={self._disks_mb}m"
                subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", self.folder / name], check=True)
        for name in NAMES:
            self.network[name] = Proxy(self.ports[name], self._own[name])
            self.network[name].start()
        self._format_kafka()
        for name in NAMES:
            self.start(name, wait=False)
        for name in NAMES:
            self.await_answer(name)
        self.set_up_influx()

    def start_mosquitto(self) -> int:
        """Start this one alone, without a proxy, and return its port."""
        (self.folder / "mosquitto").mkdir(parents=True)
        self.start("mosquitto")
        return self._own["mosquitto"]

    def start(self, name: str, *, wait: bool = True) -> None:
        """Start one, again or for the first time, and wait until it answers."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                self._command(name), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if wait:
            self.await_answer(name)

    def kill(self, name: str) -> None:
        """Kill one with SIGKILL."""
        self._running[name].kill()
        self._running[name].wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send one a signal: SIGSTOP pauses it, SIGCONT lets it go on."""
        self._running[name].send_signal(number)

    def end(self) -> None:
        """End them all."""
        for process in self._running.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        for proxy in self.network.values():
            proxy.stop()
        for name in NAMES:
            if (self.folder / name).is_mount():
                subprocess.run(["umount", self.folder / name], check=True)

    def fill(self, name: str) -> None:
        """Fill the disk of a server that has one of its own."""
        path = self.folder / name / "filler"
        with suppress(OSError), path.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 20))

    def free(self, name: str) -> None:
        """Make room on it again."""
        (self.folder / name / "filler").unlink()

    def runs(self, name: str) -> bool:
        """Tell whether a server runs; a full disk may have ended it."""
        return self._running[name].poll() is None

    def wipe_influx(self) -> None:
        """Take all that InfluxDB holds away; it must not run."""
        for path in (self.folder / "influx").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def set_up_influx(self) -> None:
        """Make organisation, bucket and token."""
        setup = {"username": "test", "password": secrets.token_urlsafe(16), "token": self.token}
        setup |= {"org": "city", "bucket": "points"}
        url = f"http://127.0.0.1:{self._own['influx']}/api/v2/setup"
        urllib.request.urlopen(urllib.request.Request(url, json.dumps(setup).encode()), timeout=30).close()

    def settings(self, city: Path) -> Path:
        """Write the settings of a city on these servers, and its token, and say where."""
        path = self.folder / "city.toml"
        path.write_text(
            f'folder = "{city}"\n[mqtt]\nport = {self.ports["mosquitto"]}\n'
            f'[kafka]\nservers = "127.0.0.1:{self.ports["kafka"]}"\n'
            f'[influx]\nurl = "http://127.0.0.1:{self.ports["influx"]}"\n'
        )
        token = city / "keys" / "influx.token"
        token.touch(0o600)
        token.write_text(self.token)
        return path

    def await_answer(self, name: str) -> None:
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s:
            try:
                if name == "influx":
                    urllib.request.urlopen(f"http://127.0.0.1:{self._own[name]}/health", timeout=5).close()
                else:
                    socket.create_connection(("127.0.0.1", self._own[name]), timeout=1).close()
            except OSError:
                assert self._running[name].poll() is None, (self.folder / f"{name}.log").read_text()[-2000:]
                time.sleep(0.05)
            else:
                return
        raise TimeoutError(name)

    def _command(self, name: str) -> Sequence[str]:
        data, port = self.folder / name, self._own[name]
        if name == "mosquitto":
            settings = (CHECKOUT / "deploy" / "mosquitto" / "mosquitto.conf").read_text()
            own = (
                f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence_location {data}/\nuser root\n"
            )
            (data / "mosquitto.conf").write_text(f"{settings}\n{own}")
            return [program("mosquitto"), "-c", str(data / "mosquitto.conf")]
        if name == "kafka":
            return [*self._java(), "kafka.Kafka", str(data / "server.properties")]
        (influxd,) = CACHE.glob("influxd-*/influxd")
        paths = [f"--{part}-path={data / part}" for part in ("bolt", "engine", "sqlite")]
        address = f"--http-bind-address=127.0.0.1:{port}"
        return [str(influxd), "--reporting-disabled", address, "--log-level=warn", *paths]

    def _java(self) -> list[str]:
        (libraries,) = CACHE.glob("kafka-*")
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [program("java"), quiet, "-Xmx256m", "-cp", f"{libraries}/*"]

    def _format_kafka(self) -> None:
        data, port = self.folder / "kafka", self._own["kafka"]
        own = {
            "log.dirs": data / "logs",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{self._controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.ports['kafka']}",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller}",
        }
        settings = (CHECKOUT / "deploy" / "kafka" / "server.properties").read_text()
        path = data / "server.properties"
        path.write_text(settings + "".join(f"{name}={value}\n" for name, value in own.items()))
        cluster = "4L6g3nShT-eMCtK--X86sw"  # Any 16 bytes do.
        tool = [*self._java(), "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(path)]
        subprocess.run(tool, check=True, capture_output=True)
