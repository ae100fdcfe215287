"""`cityproof doctor` on real servers: each wrong setting is named, with its remedy, and nothing else is."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Collection, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.authorization import Authorization
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.domain.permission import Permission
from influxdb_client.domain.permission_resource import PermissionResource

from pipeline.edges.checkup import Check, Verdict
from pipeline.edges.influx_checkup import check_influx
from pipeline.edges.kafka import KafkaBus
from pipeline.edges.kafka_checkup import check_clock, check_kafka
from pipeline.edges.mqtt_checkup import check_broker
from pipeline.services import COMPACTED, PARTITIONS, SYNCED
from pipeline.wire.broker import BrokerUrl
from tests.support.own_kafka import own_kafka
from tests.support.secured_mosquitto import (
    CHECKOUT,
    await_listener,
    cityproof,
    native_servers,
    secured_mosquitto,
)
from tests.support.servers import servers

IN_FLIGHT_MIN = 1024
NATIVE = native_servers()

pytestmark = pytest.mark.needs("servers", "mosquitto")


def named(checks: Sequence[Check], verdict: Verdict = Verdict.WRONG) -> list[str]:
    """The first words of what was found wrong; every one has its remedy."""
    assert all(check.remedy for check in checks if check.verdict is not Verdict.GOOD)
    return [check.what for check in checks if check.verdict is verdict]


# Kafka.


@asynccontextmanager
async def topics(
    at: str, partitions: Mapping[str, int], compacted: Collection[str], synced: Collection[str]
) -> AsyncGenerator[str]:
    prefix = f"test-{token_hex(6)}."
    async with KafkaBus.open(at, partitions, compacted=compacted, synced=synced, prefix=prefix):
        yield prefix


async def look(at: str, prefix: str, **more: Any) -> Sequence[Check]:
    return await check_kafka(at, PARTITIONS, compacted=COMPACTED, synced=SYNCED, prefix=prefix, **more)


async def test_topics_as_they_are_made_are_good() -> None:
    """So is what the cluster says of replicas and disks."""
    at = servers()["kafka"]
    async with topics(at, PARTITIONS, COMPACTED, SYNCED) as prefix:
        checks = [check for check in await look(at, prefix) if prefix in check.about]
        assert len(checks) > 40
        assert {check.verdict for check in checks} == {Verdict.GOOD}


async def test_each_wrong_setting_of_a_topic_is_named() -> None:
    """What would delete evidence, take a device's clock, refuse a block, or lose it with the power."""
    at = servers()["kafka"]
    async with topics(at, PARTITIONS, COMPACTED, SYNCED) as prefix:
        wrong = {
            "message.timestamp.type": "CreateTime", "retention.ms": "604800000", "retention.bytes": "1000000",
            "max.message.bytes": "1000000", "cleanup.policy": "compact", "min.insync.replicas": "2",
        }  # fmt: skip
        wanted = sorted(
            [*(f"{key} is {value}" for key, value in wrong.items()), f"flush.messages is {2**63 - 1}"]
        )
        admin = AIOKafkaAdminClient(bootstrap_servers=at)
        await admin.start()
        try:
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, prefix + "log", wrong)])
        finally:
            await admin.close()
        checks: list[Check] = []
        async with asyncio.timeout(20):
            while len(named(checks)) < len(
                wanted
            ):  # A broker hears of it a little later than it is answered.
                checks = [one for one in await look(at, prefix) if one.about == f"Kafka topic {prefix}log"]
    assert sorted(named(checks)) == wanted
    (remedy,) = [check.remedy for check in checks if check.what.startswith("retention.ms")]
    assert remedy.endswith(f"--entity-name {prefix}log --add-config retention.ms=-1")


async def test_topics_of_another_log_are_named() -> None:
    """Another number of partitions is another log; a topic that is missing could not be looked at."""
    at = servers()["kafka"]
    async with topics(at, {"statements": 3, "blocks": 5}, COMPACTED, SYNCED) as prefix:
        checks = [check for check in await look(at, prefix) if prefix in check.about]
    assert named(checks) == ["3 partitions"]
    missing = [check.about for check in checks if check.verdict is Verdict.UNKNOWN]
    assert missing == [f"Kafka topic {prefix}{topic}" for topic in ("refused", "state", "log")]


async def test_each_wrong_setting_of_a_broker_is_named(tmp_path: Path) -> None:
    """And a disk that has less room than is asked for."""
    careless = (
        "auto.create.topics.enable=true\nunclean.leader.election.enable=true\nmessage.max.bytes=1000012\n"
        "offsets.retention.minutes=10080\n"
    )
    with own_kafka(tmp_path, careless) as (at, _):
        async with topics(at, {"statements": 5}, COMPACTED, SYNCED):
            checks = await look(at, "none.", free_bytes_min=2**60)
    found = named(checks)
    assert found[:-1] == [
        "auto.create.topics.enable is true",
        "unclean.leader.election.enable is true",
        "offsets.retention.minutes is 10080",
        "message.max.bytes is 1000012",
    ]
    assert found[-1].endswith("GiB are free")


async def test_a_kafka_that_is_away_could_not_be_looked_at() -> None:
    """That is no proof of anything wrong, and not of anything good either."""
    (check,) = await look(f"127.0.0.1:{NATIVE.free_port()}", "")
    assert (check.verdict, check.what[:18]) == (Verdict.UNKNOWN, "it does not answer")


def test_a_clock_that_is_ahead_is_named() -> None:
    """An hour is; a second may be our own."""
    assert check_clock("k", int((time.time() + 1) * 1000)).verdict is Verdict.GOOD
    ahead = check_clock("k", int((time.time() + 3600) * 1000))
    assert (ahead.verdict, ahead.what) == (Verdict.WRONG, "its clock is ahead of this machine's by 3600 s")


# InfluxDB.


@contextmanager
def bucket(kept_s: int) -> Generator[tuple[str, str]]:
    """A bucket, and a token that may read it only."""
    at = servers()
    name = f"test-{token_hex(6)}"
    with InfluxDBClient(f"http://{at['influx']}", at["influx_token"], org=at["influx_org"]) as client:
        rules = BucketRetentionRules(type="expire", every_seconds=kept_s)
        made = client.buckets_api().create_bucket(bucket_name=name, retention_rules=rules)
        resource = PermissionResource(type="buckets", id=made.id, org_id=made.org_id)
        wanted = Authorization(org_id=made.org_id, permissions=[Permission(action="read", resource=resource)])
        yield name, str(client.authorizations_api().create_authorization(authorization=wanted).token)


def look_at_influx(token: str, name: str) -> Sequence[Check]:
    at = servers()
    return check_influx(f"http://{at['influx']}", token, at["influx_org"], name)


def test_a_bucket_that_forgets_and_a_token_that_cannot_write_are_named() -> None:
    """One that keeps for ever, with a token that may write, is good."""
    token = servers()["influx_token"]
    with bucket(0) as (name, reading):
        assert named(look_at_influx(token, name)) == []
        assert named(look_at_influx(reading, name)) == ["writing is answered with 403"]
        assert named(look_at_influx("no token", name)) == ["the token opens no such bucket"]
    with bucket(7 * 86_400) as (name, _):
        assert named(look_at_influx(token, name)) == ["it keeps points for 7 days, and deletes them then"]
    assert named(look_at_influx(token, "none")) == ["the token opens no such bucket"]
    (check,) = check_influx(f"http://127.0.0.1:{NATIVE.free_port()}", token, "city", "points")
    assert check.verdict is Verdict.UNKNOWN


# Mosquitto.


@contextmanager
def careless(folder: Path, settings: str) -> Generator[tuple[BrokerUrl, Path]]:
    """A Mosquitto with settings of one's own."""
    port = NATIVE.free_port()
    path = folder / "mosquitto.conf"
    path.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n{settings}")
    process = subprocess.Popen(
        [NATIVE.find_program("mosquitto", ""), "-c", str(path)], stderr=subprocess.DEVNULL
    )
    try:
        await_listener(port, process)
        yield BrokerUrl("127.0.0.1", port), path
    finally:
        process.kill()
        process.wait()


async def test_a_broker_as_it_comes_is_named_for_all_it_loses(tmp_path: Path) -> None:
    """Its window and its queue are seen in what it does, the rest in its settings."""
    with careless(tmp_path, "") as (at, path):
        outside, inside = (
            await check_broker(at, IN_FLIGHT_MIN, []),
            await check_broker(at, IN_FLIGHT_MIN, [path]),
        )
    assert named(outside) == [
        "20 messages were on their way at once",
        "of 6000 messages that waited it dropped 4980",
    ]
    assert named(outside, Verdict.UNKNOWN) == ["whether it writes to its disk cannot be seen from outside"]
    assert named(inside)[2:] == [
        "persistence is not set", "autosave_interval is not set", "max_queued_messages is not set",
        "max_inflight_messages is not set",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("persistence false", "persistence is false"),
        ("autosave_interval 0", "autosave_interval is 0"),
        ("autosave_interval 3600", "autosave_interval is 3600"),
        ("max_queued_messages 0", "max_queued_messages is 0"),
        ("max_inflight_messages 20", "max_inflight_messages is 20"),
        ("queue_qos0_messages true", "queue_qos0_messages is true"),
    ],
)
async def test_each_wrong_setting_of_mosquitto_is_named(tmp_path: Path, line: str, problem: str) -> None:
    """In a file that is otherwise deploy's; the last line counts, as it does for Mosquitto."""
    deployed = (CHECKOUT / "deploy" / "mosquitto" / "mosquitto.conf").read_text()
    path = tmp_path / "mosquitto.conf"
    path.write_text(f"{deployed}{line}\n")
    nobody = BrokerUrl("127.0.0.1", NATIVE.free_port())
    assert named([c for c in await check_broker(nobody, IN_FLIGHT_MIN, [path]) if "settings" in c.about]) == [
        problem
    ]


async def test_a_city_behind_tls_is_good_until_its_rights_are_gone(tmp_path: Path) -> None:
    """Deploy's settings with the files of `init`; a file of rights that grants everything is noticed."""
    with secured_mosquitto(tmp_path) as broker:
        city = broker.city
        at = BrokerUrl(
            "localhost",
            broker.port,
            tls=True,
            ca=str(city / "broker" / "ca.crt"),
            access=str(city / "keys" / "mqtt"),
        )
        settings = [tmp_path / "mosquitto" / "mosquitto.conf"]
        good = await check_broker(at, IN_FLIGHT_MIN, settings)
        assert {check.verdict for check in good} == {Verdict.GOOD}
        (city / "broker" / "rights").write_text("topic readwrite #\npattern readwrite #\n")
        broker.read_again()
        assert named(await check_broker(at, IN_FLIGHT_MIN, settings)) == ["a name reaches others' topics"]
    lax = tmp_path / "lax.conf"
    lines = settings[0].read_text().splitlines()
    lax.write_text("\n".join(line for line in lines if not line.startswith(("acl_file", "use_username"))))
    away = await check_broker(at, IN_FLIGHT_MIN, [lax])
    assert named(away) == ["use_username_as_clientid is not set", "acl_file is not set"]
    assert len(named(away, Verdict.UNKNOWN)) == 1


async def test_a_broker_for_everybody_on_a_network_is_named() -> None:
    """On loopback it is for who may use the machine."""
    checks = await check_broker(BrokerUrl("192.0.2.1.invalid", 1), IN_FLIGHT_MIN, [])
    assert named(checks) == ["anybody on its network may publish as anybody"]


# The command.


def doctor(config: Path, *more: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "pipeline.cli", "doctor", "--config", str(config), *more]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(command, env=environment, capture_output=True, check=False)


def test_the_command_says_all_of_it(tmp_path: Path) -> None:
    """Exit 1 with something wrong, by name; 3 where servers are away; a key that others may read is named."""
    at, city, config = servers(), tmp_path / "city", tmp_path / "city.toml"
    cityproof("init", "--dir", city)
    (city / "keys" / "log.key").chmod(0o644)
    config.write_text(
        f'folder = "{city}"\n[mqtt]\nport = {at["mosquitto"].rpartition(":")[2]}\n'
        f'[kafka]\nservers = "{at["kafka"]}"\nprefix = "test-{token_hex(6)}."\n'
        f'[influx]\nurl = "http://{at["influx"]}"\n'
    )
    done = doctor(config)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.decode().splitlines()
    assert f"wrong    {city}/keys/log.key: others may read it (mode 0644)" in lines
    assert f"         -> Run: chmod 600 {city}/keys/log.key" in lines
    assert " checks: " in lines[-1]

    (city / "keys" / "log.key").chmod(0o600)
    config.write_text(
        f'folder = "{city}"\n[mqtt]\nport = {NATIVE.free_port()}\n'
        f'[kafka]\nservers = "127.0.0.1:{NATIVE.free_port()}"\n'
        f'[influx]\nurl = "http://127.0.0.1:{NATIVE.free_port()}"\n'
    )
    away = doctor(config, "--json")
    assert (away.returncode, away.stderr) == (3, b"")
    rows = json.loads(away.stdout)
    assert {row["verdict"] for row in rows} == {"good", "unknown"}
    assert all(row["remedy"] for row in rows if row["verdict"] == "unknown")
