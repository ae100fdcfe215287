"""Mosquitto, Kafka and InfluxDB on this machine, without containers, with the settings that containers get.

    python deploy/native/servers.py provision     build or fetch what is not in the cache yet
    python deploy/native/servers.py start         start all three on free ports, and say where they are
    python deploy/native/servers.py start --city city    likewise; Mosquitto behind TLS, as that city has it
    python deploy/native/servers.py stop          end exactly those

The cache is CITYPROOF_CACHE, else ~/.cache/cityproof; data and addresses lie in its folder `stack`. Standard
library only. What it needs of the machine: Mosquitto (Debian), Java 17 and Maven for Kafka; Go, Rust, clang
and protobuf-compiler for InfluxDB, which takes some minutes once.
"""

import argparse
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(
    os.environ.get("CITYPROOF_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "cityproof"
)
STACK = CACHE / "stack"
SERVERS = STACK / "servers.json"
LIBS = CACHE / "kafka-4.1.1"
INFLUXD = CACHE / "influxd-2.7.12" / "influxd"
INFLUX_MODULE = "github.com/influxdata/influxdb/v2"
INFLUX_VERSION = "v2.7.12"
INFLUX_SUM = "h1:m25dUSO7h6nm3zFC4v/aCNeFFmnN/mlN/uPo1T63bmk="
PKG_CONFIG = "github.com/influxdata/pkg-config@v0.2.14"
START_S = 60.0
STOP_S = 20.0
SYSTEM = "/usr/local/sbin:/usr/sbin"


class StackError(Exception):
    """Something is missing or wrong; the text says what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["provision", "start", "stop"])
    parser.add_argument("--city", type=Path, help="a folder that `cityproof init` has made")
    given = parser.parse_args()
    actions = {"provision": provision, "start": lambda: start(given.city), "stop": stop}
    try:
        actions[given.action]()
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def provision() -> None:
    """Put Kafka and InfluxDB into the cache. A crash leaves no folder under its final name."""
    find_program("mosquitto", "apt install mosquitto")
    if not LIBS.is_dir():
        provision_kafka()
    if not INFLUXD.is_file():
        provision_influxdb()


def find_program(name: str, remedy: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM}")
    if found is None:
        raise StackError(f"There is no {name}. Debian: {remedy}")
    return found


def provision_kafka() -> None:
    mvn = find_program("mvn", "apt install maven openjdk-17-jre-headless")
    print("Fetching Kafka 4.1.1 (54 MB)", flush=True)
    folder = fresh(LIBS)
    pom = ["-f", str(HERE / "kafka-pom.xml"), "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    call([mvn, "-q", "-B", *pom])
    expected = dict(line.split()[::-1] for line in (HERE / "kafka.sha256").read_text().splitlines())
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    if found != expected:
        wrong = sorted(
            name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)
        )
        raise StackError(f"Kafka's files are not those of kafka.sha256: {', '.join(wrong)}")
    folder.rename(LIBS)


def provision_influxdb() -> None:
    go = find_program("go", "install Go 1.22 or newer")
    for name in ("cargo", "clang", "protoc"):
        find_program(name, "apt install clang protobuf-compiler; Rust by rustup")
    print("Building InfluxDB 2.7.12, which takes some minutes", flush=True)
    folder = fresh(INFLUXD.parent)
    answer = call([go, "mod", "download", "-json", f"{INFLUX_MODULE}@{INFLUX_VERSION}"], cwd=folder)
    module = json.loads(answer)
    if module["Sum"] != INFLUX_SUM:
        raise StackError(f"InfluxDB's source has the hash {module['Sum']}, not {INFLUX_SUM}")
    source = folder / "source"
    shutil.copytree(module["Dir"], source, copy_function=shutil.copyfile)  # The module cache is read-only.
    for path in [source, *source.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or path.suffix == ".sh" else 0o644)
    tools = folder / "tools"
    call([go, "install", PKG_CONFIG], env={"GOBIN": str(tools), "GOFLAGS": "-mod=mod"}, cwd=folder)
    wrapper = tools / "rustc-wrapper"
    # What newer compilers warn of is no error of ours.
    wrapper.write_text(
        '#!/bin/sh\ncase "$*" in *--cap-lints*) exec "$@";; *) exec "$@" --cap-lints warn;; esac\n'
    )
    wrapper.chmod(0o755)
    env = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PKG_CONFIG": str(tools / "pkg-config"),
        "RUSTUP_TOOLCHAIN": "stable",
        "RUSTC_WRAPPER": str(wrapper),
    }
    tags = "noasset,sqlite_foreign_keys,sqlite_json"
    call([go, "build", "-tags", tags, "-o", str(folder / "influxd"), "./cmd/influxd"], env=env, cwd=source)
    shutil.rmtree(source)
    shutil.rmtree(tools)
    folder.rename(INFLUXD.parent)


def fresh(target: Path) -> Path:
    folder = target.with_name(target.name + ".new")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def call(command: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, env={**os.environ, **(env or {})}, cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StackError(f"{' '.join(command)}\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def start(city: Path | None = None) -> None:
    """Start the servers; a crash leaves those that are named in the file so far, which `stop` ends."""
    provision()
    if SERVERS.exists():
        raise StackError(f"{SERVERS} names servers that were started before: make stack-stop")
    STACK.mkdir(parents=True, exist_ok=True)
    servers: dict[str, str | int] = {}
    try:
        servers |= start_mosquitto(city)
        write_private(SERVERS, json.dumps(servers))
        for launch in (start_kafka, start_influxdb):
            servers |= launch()
            write_private(SERVERS, json.dumps(servers))
        for name in ("mosquitto", "kafka", "influx"):
            await_answer(name, str(servers[name]))
        servers |= set_up_influxdb(str(servers["influx"]))
        write_private(SERVERS, json.dumps(servers))
    except BaseException:
        stop()
        raise
    for name in ("mosquitto", "kafka", "influx"):
        print(f"{name:10} {servers[name]}")


def start_mosquitto(city: Path | None) -> dict[str, str | int]:
    data, port = STACK / "mosquitto", free_port()
    data.mkdir(exist_ok=True)
    (data / "mosquitto.conf").write_text(mosquitto_settings(port, data, tls=city is not None))
    program = find_program("mosquitto", "apt install mosquitto")
    pid = launch("mosquitto", [program, "-c", str(data / "mosquitto.conf")], city and city / "broker")
    return {"mosquitto": f"127.0.0.1:{port}", "mosquitto_pid": pid}


def mosquitto_settings(port: int, data: Path, *, tls: bool) -> str:
    """Return deploy's settings, on loopback; without TLS anybody is let in, as tests and benches want."""
    folder = HERE.parent / "mosquitto"
    settings = (folder / "mosquitto.conf").read_text()
    listener = f"listener {port} 127.0.0.1\n"
    if tls:
        settings += (folder / "tls.conf").read_text().replace("listener 8883\n", listener)
    else:
        settings += f"{listener}allow_anonymous true\n"
    user = "user root\n" if os.geteuid() == 0 else ""
    return f"{settings}persistence_location {data}/\n{user}"


def environment() -> dict[str, str]:
    """Return what deploy tells Kafka and InfluxDB by their environment."""
    lines = (HERE.parent / "servers.env").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def kafka_settings(port: int, controller: int, data: Path) -> str:
    """Return deploy's settings, on loopback."""
    own = {
        "log.dirs": data / "logs",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
    }
    settings = (HERE.parent / "kafka" / "server.properties").read_text()
    return settings + "".join(f"{name}={value}\n" for name, value in own.items())


def start_kafka() -> dict[str, str | int]:
    data, port, controller = STACK / "kafka", free_port(), free_port()
    data.mkdir(exist_ok=True)
    path = data / "server.properties"
    path.write_text(kafka_settings(port, controller, data))
    java = [
        find_program("java", "apt install openjdk-17-jre-headless"),
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    ]
    java += [*environment()["KAFKA_HEAP_OPTS"].split(), "-cp", f"{LIBS}/*"]
    if not (data / "logs").exists():
        cluster = call([*java, "kafka.tools.StorageTool", "random-uuid"]).split()[-1]
        call([*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(path)])
    return {"kafka": f"127.0.0.1:{port}", "kafka_pid": launch("kafka", [*java, "kafka.Kafka", str(path)])}


def start_influxdb() -> dict[str, str | int]:
    data, port = STACK / "influxdb", free_port()
    data.mkdir(exist_ok=True)
    command = [str(INFLUXD), "--http-bind-address", f"127.0.0.1:{port}"]
    for name in ("bolt", "engine", "sqlite"):
        command += [f"--{name}-path", str(data / name)]
    return {"influx": f"127.0.0.1:{port}", "influx_pid": launch("influxdb", command)}


def set_up_influxdb(address: str) -> dict[str, str | int]:
    """Make organisation, bucket and token, once; they are kept beside its data."""
    path = STACK / "influxdb" / "credentials.json"
    if not path.exists():
        token = secrets.token_urlsafe(32)
        setup = {"username": "cityproof", "password": secrets.token_urlsafe(24), "token": token}
        setup |= {"org": "city", "bucket": "points"}
        request = urllib.request.Request(f"http://{address}/api/v2/setup", json.dumps(setup).encode())
        with urllib.request.urlopen(request, timeout=30):
            write_private(
                path, json.dumps({"influx_org": "city", "influx_bucket": "points", "influx_token": token})
            )
    credentials: dict[str, str | int] = json.loads(path.read_text())
    return credentials


def launch(name: str, command: Sequence[str], folder: Path | None = None) -> int:
    with (STACK / f"{name}.log").open("ab") as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=folder or STACK,
            env={**os.environ, **environment()},
        )
    return server.pid


def await_answer(name: str, address: str) -> None:
    host, _, port = address.rpartition(":")
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            if (
                name != "influx"
                or urllib.request.urlopen(f"http://{address}/health", timeout=5).status == 200
            ):
                return
        time.sleep(0.1)
    raise StackError(f"{name} does not answer at {address}; its log: {STACK / name}.log")


def stop() -> None:
    """End the servers that the file names, in the reverse order, and forget them; their data stay."""
    if not SERVERS.exists():
        return
    servers = json.loads(SERVERS.read_text())
    for name, program in (("influx", "influxd"), ("kafka", "kafka.Kafka"), ("mosquitto", "mosquitto")):
        pid = servers.get(f"{name}_pid")
        if pid and runs(pid, program):
            end(pid, program)
    SERVERS.unlink()


def runs(pid: int, program: str) -> bool:
    """Tell whether the process is still the server: a number may have gone to another."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(part.rpartition(b"/")[2] == program.encode() for part in command)


def end(pid: int, program: str) -> None:
    os.kill(pid, signal.SIGTERM)
    deadline_s = time.monotonic() + STOP_S
    while runs(pid, program) and time.monotonic() < deadline_s:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)
    if runs(pid, program):
        os.kill(pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_private(path: Path, text: str) -> None:
    descriptor = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    path.with_suffix(".new").replace(path)


if __name__ == "__main__":
    sys.exit(main())
