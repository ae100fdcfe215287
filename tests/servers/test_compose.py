"""docker-compose.yml as Compose itself reads it: containers and `make stack` differ in no setting."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.services import SERVICES
from pipeline.settings import load_settings
from tests.conftest import CACHE
from tests.support.secured_mosquitto import CHECKOUT, native_servers

DEPLOY = CHECKOUT / "deploy"
ONE_SHOTS = {"keys", "prepare", "doctor", "mosquitto-data"}
ADDRESSES = {"listeners", "advertised.listeners", "controller.quorum.voters", "log.dirs"}

pytestmark = pytest.mark.needs("go")


@pytest.fixture(scope="module")
def compose() -> Mapping[str, Any]:
    """The file as Compose's own reader has it, which checks it against the specification's schema."""
    program = CACHE / "interop" / "compose"
    done = subprocess.run([program, CHECKOUT / "docker-compose.yml"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def mosquitto_lines(text: str) -> list[str]:
    """What a file of settings says, but for where it listens, keeps its data, and who it runs as."""
    lines = [line.strip() for line in text.splitlines()]
    own = ("#", "listener ", "persistence_location ", "user ")
    return sorted(line for line in lines if line and not line.startswith(own))


def properties(text: str) -> dict[str, str]:
    pairs = [line.partition("=") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def source_of(service: Mapping[str, Any], target: str) -> Path:
    (found,) = [volume for volume in service["volumes"] if volume["target"] == target]
    assert found["read_only"]
    return Path(found["source"])


def test_the_schema_is_in_force(tmp_path: Path) -> None:
    """A word that the specification does not have is refused: else reading it would show nothing."""
    path = tmp_path / "docker-compose.yml"
    path.write_text((CHECKOUT / "docker-compose.yml").read_text().replace("mem_limit:", "memory_limit:", 1))
    done = subprocess.run([CACHE / "interop" / "compose", path], capture_output=True, check=False)
    assert (done.returncode, b"additional properties 'memory_limit' not allowed" in done.stderr) == (1, True)


def test_mosquitto_is_told_the_same(compose: Mapping[str, Any], tmp_path: Path) -> None:
    """The folder that its one file includes holds what the native start puts together."""
    service = compose["services"]["mosquitto"]
    main = compose["configs"][service["configs"][0]["source"]]["content"].splitlines()
    include = [line.split()[1] for line in main if line.startswith("include_dir ")]
    assert [line.split()[0] for line in main] == ["include_dir", "persistence_location"]
    folder = source_of(service, include[0])
    assert folder == DEPLOY / "mosquitto"
    contained = "".join(path.read_text() for path in sorted(folder.glob("*.conf")))
    native = native_servers().mosquitto_settings(1, tmp_path, tls=True)
    assert mosquitto_lines(contained) == mosquitto_lines(native)
    (city,) = [volume for volume in service["volumes"] if volume["target"] == service["working_dir"]]
    assert (city["source"], city["volume"]["subpath"]) == ("city", "broker")


def test_kafka_is_told_the_same(compose: Mapping[str, Any], tmp_path: Path) -> None:
    """The same file, to which both append addresses and folders, and nothing else; the same heap."""
    service, native = compose["services"]["kafka"], native_servers()
    assert source_of(service, "/mnt/shared/config") == DEPLOY / "kafka"
    told = service["environment"]
    shared = native.environment()
    assert {name: told[name] for name in shared} == shared
    appended = {name for name in told.keys() - shared.keys() if name.startswith("KAFKA_")}
    assert {name.removeprefix("KAFKA_").lower().replace("_", ".") for name in appended} == ADDRESSES
    deployed = properties((DEPLOY / "kafka" / "server.properties").read_text())
    started = properties(native.kafka_settings(1, 2, tmp_path))
    assert {name: value for name, value in started.items() if name not in ADDRESSES} == deployed
    assert started.keys() == deployed.keys() | ADDRESSES


def test_influxdb_is_told_the_same(
    compose: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the environment alone; the native command adds an address and folders."""
    service, native = compose["services"]["influxdb"], native_servers()
    assert service["environment"] == native.environment()
    assert (service["command"], service["entrypoint"]) == (None, None)
    launched: list[list[str]] = []

    def launch(_name: str, command: list[str]) -> int:
        launched.append(command)
        return 1

    monkeypatch.setattr(native, "launch", launch)
    native.STACK = tmp_path
    native.start_influxdb()
    flags = [word for word in launched[0] if word.startswith("--")]
    assert flags == ["--http-bind-address", "--bolt-path", "--engine-path", "--sqlite-path"]


def test_versions_are_those_of_the_native_servers(compose: Mapping[str, Any]) -> None:
    """Kafka's and InfluxDB's, to the last number; no image is whatever came last."""
    native = native_servers()
    images = {name: service["image"] for name, service in compose["services"].items()}
    assert images["kafka"] == f"apache/kafka:{native.LIBS.name.removeprefix('kafka-')}"
    assert images["influxdb"] == f"influxdb:{native.INFLUX_VERSION.removeprefix('v')}"
    assert images["mosquitto"].startswith("eclipse-mosquitto:2.")
    assert all(
        re.search(r":v?\d+\.\d+\.\d+$", image) or image == "cityproof:local" for image in images.values()
    )


def test_every_service_is_a_process_of_its_own(compose: Mapping[str, Any]) -> None:
    """All stages, one each, and two aggregators with a name each; whatever ends is started again."""
    ran = [
        service["command"]
        for service in compose["services"].values()
        if service["image"] == "cityproof:local"
    ]
    stages = [command[1] for command in ran if command[0] == "run" and command[1] in SERVICES]
    assert sorted(stages) == sorted([*SERVICES, "aggregator"])
    names = [command[-1] for command in ran if command[1] == "aggregator"]
    assert sorted(names) == ["aggregator-1", "aggregator-2"]


def test_every_container_is_bounded_and_watched(compose: Mapping[str, Any]) -> None:
    """Memory, restarts, logs; health where something lasts; ours may do nothing but their work."""
    for name, service in compose["services"].items():
        if name != "mosquitto-data":
            assert service["mem_limit"], name
            assert service["logging"]["options"]["max-size"], name
        assert service["restart"] == (
            "no" if name == "doctor" else "on-failure" if name in ONE_SHOTS else "unless-stopped"
        )
        if name not in ONE_SHOTS | {"prometheus", "grafana"}:
            assert service["healthcheck"]["test"][0] == "CMD", name
        if service["image"] == "cityproof:local":
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    assert dockerfile.index("\nUSER 10001:10001") < dockerfile.index("\nENTRYPOINT")
    assert dockerfile.count("--require-hashes") == 2


def test_no_secret_stands_in_any_file(compose: Mapping[str, Any]) -> None:
    """What is secret is made at the first start, and named by its file."""
    for service in compose["services"].values():
        for name in service.get("environment") or {}:
            assert not re.search("PASSWORD|TOKEN|SECRET|KEY", name) or name.endswith("_FILE"), name


def test_what_is_open_to_the_network_is_behind_tls_or_public(compose: Mapping[str, Any]) -> None:
    """Kafka, InfluxDB and Prometheus are nobody's but the services'."""
    published = {
        (name, port.get("host_ip", ""), port["published"])
        for name, service in compose["services"].items()
        for port in service.get("ports") or []
    }
    assert published == {("mosquitto", "", "8883"), ("files", "", "8802"), ("grafana", "127.0.0.1", "3000")}


def test_the_services_environment_is_settings(
    compose: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every variable is a setting that there is; addresses are those of the containers."""
    told = compose["services"]["bridge"]["environment"]
    for name in [name for name in os.environ if name.startswith("CITYPROOF_")]:
        monkeypatch.delenv(name)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    loaded = load_settings(None)
    origins = {origin for _, origin in loaded.rows.values()}
    assert origins - {"default"} == set(told)
    settings = loaded.settings
    assert {settings.mqtt.host, settings.kafka.servers.partition(":")[0]} <= compose["services"].keys()
    assert settings.mqtt.tls
    assert settings.broker.ca == "/city/broker/ca.crt"
