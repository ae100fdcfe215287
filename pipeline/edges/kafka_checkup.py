"""Whether Kafka keeps what it is given: settings of topics and brokers, replicas, disks, its clock.

aiokafka has no request for the disks; the one here is Kafka's DescribeLogDirs, version 4 (KIP-827).
"""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from pipeline.edges.checkup import Check, expect, unknown
from pipeline.edges.kafka_topics import MESSAGE_BYTES_MAX, most_replicas, topic_settings

REQUEST_TIMEOUT_MS = 10_000
FREE_MIN = 0.1  # Of a disk: what a broker does at zero is stop.
FREE_BYTES_MIN = 2 * 1024**3
OFFSETS_MINUTES_MIN = 90 * 24 * 60
AHEAD_MAX_S = 2.0


async def check_kafka(
    servers: str,
    partitions: Mapping[str, int],
    *,
    compacted: Collection[str],
    synced: Collection[str],
    prefix: str,
    free_bytes_min: int = FREE_BYTES_MIN,
) -> Sequence[Check]:
    """Look at the cluster and at a city's topics in it.

    Args:
        servers: `host:port`, several with commas between them.
        partitions: How many partitions each topic has.
        compacted: The topics that keep the last value of each key only.
        synced: The topics of which a power cut takes nothing that was acknowledged.
        prefix: Stands before every name in Kafka.
        free_bytes_min: So much room is enough on each disk, if it is a tenth of it.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=REQUEST_TIMEOUT_MS)
    about = f"Kafka {servers}"
    try:
        await admin.start()
        checks = [*await _check_brokers(admin), *await _check_disks(admin, free_bytes_min)]
        described = await admin.describe_topics([prefix + topic for topic in partitions])
        known = {topic["topic"]: topic for topic in described if not topic["error_code"]}
        for topic, count in partitions.items():
            name = prefix + topic
            if name not in known:
                checks.append(
                    unknown(f"Kafka topic {name}", "it is not there yet", "Run: cityproof init --servers")
                )
                continue
            compact, sync = topic in compacted, topic in synced
            checks += await _check_topic(admin, known[name], count, compact=compact, sync=sync)
    except (KafkaError, TimeoutError) as error:
        return [unknown(about, f"it does not answer: {error!r}", "Start it, or name another: kafka.servers.")]
    finally:
        await admin.close()
    return checks


def check_clock(servers: str, newest_ms: int) -> Check:
    """Compare the newest append time (POSIX ms) with our clock."""
    about = f"Kafka {servers}"
    ahead_s = newest_ms / 1000 - time.time()
    remedy = "Have all machines keep the time: chrony, or systemd-timesyncd."
    what = (
        f"its clock is ahead of this machine's by {ahead_s:.0f} s"
        if ahead_s > 0
        else "its clock is not ahead"
    )
    return expect(about, what, remedy, holds=ahead_s < AHEAD_MAX_S)


async def _check_brokers(admin: AIOKafkaAdminClient) -> list[Check]:
    checks: list[Check] = []
    replicas = most_replicas(admin)
    brokers = sorted(broker.nodeId for broker in admin._client.cluster.brokers())  # noqa: SLF001
    for broker in brokers:
        found = await _settings(admin, ConfigResourceType.BROKER, str(broker))
        about = f"Kafka broker {broker}"

        def look(
            name: str, wanted: str, *, holds: bool, about: str = about, found: Mapping[str, str] = found
        ) -> None:
            what = f"{name} is {found.get(name)}"
            checks.append(expect(about, what, f"Set {name}={wanted} in server.properties.", holds=holds))

        def number(name: str, found: Mapping[str, str] = found) -> int:
            return int(found.get(name) or 0)

        look("auto.create.topics.enable", "false", holds=found.get("auto.create.topics.enable") == "false")
        unclean = "unclean.leader.election.enable"
        look(unclean, "false", holds=found.get(unclean) == "false")
        for name in ("offsets.topic.replication.factor", "transaction.state.log.replication.factor"):
            look(name, str(replicas), holds=number(name) >= replicas)
        isr = "transaction.state.log.min.isr"
        look(isr, str(max(1, replicas - 1)), holds=number(isr) >= max(1, replicas - 1))
        retention = "offsets.retention.minutes"
        look(retention, "5256000", holds=number(retention) >= OFFSETS_MINUTES_MIN)
        look(
            "message.max.bytes",
            str(MESSAGE_BYTES_MAX),
            holds=number("message.max.bytes") >= MESSAGE_BYTES_MAX,
        )
    return checks


async def _check_topic(
    admin: AIOKafkaAdminClient, described: Mapping[str, Any], partitions: int, *, compact: bool, sync: bool
) -> list[Check]:
    name = described["topic"]
    about = f"Kafka topic {name}"
    replicas = min(len(partition["replicas"]) for partition in described["partitions"])
    wanted, found = topic_settings(replicas, compact=compact, sync=sync), await _topic_settings(admin, name)
    checks = [
        expect(
            about,
            f"{key} is {found.get(key)}",
            f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config {key}={value}",
            holds=found.get(key) == value,
        )
        for key, value in wanted.items()
    ]
    most = most_replicas(admin)
    in_sync = min(len(partition["isr"]) for partition in described["partitions"])
    least = int(wanted["min.insync.replicas"])
    checks += [
        expect(
            about,
            f"{len(described['partitions'])} partitions",
            f"Name the cluster or prefix that this log was begun with: there it has {partitions}.",
            holds=len(described["partitions"]) == partitions,
        ),
        expect(
            about,
            f"it lies on {replicas} of {most} brokers that could have it",
            "kafka-reassign-partitions.sh can spread it over more.",
            holds=replicas >= most,
        ),
        expect(
            about,
            f"{in_sync} brokers have all of it; {least} have to",
            "Start the brokers that are away, and look why they were.",
            holds=in_sync >= least,
        ),
    ]
    return checks


async def _topic_settings(admin: AIOKafkaAdminClient, name: str) -> Mapping[str, str]:
    return await _settings(admin, ConfigResourceType.TOPIC, name)


async def _settings(admin: AIOKafkaAdminClient, kind: ConfigResourceType, name: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    answers: Any = await admin.describe_configs([ConfigResource(kind, name)])
    for answer in answers:
        for _code, _message, _kind, _name, entries in answer.resources:
            found |= {entry[0]: entry[1] for entry in entries}
    return found


async def _check_disks(admin: AIOKafkaAdminClient, free_bytes_min: int) -> list[Check]:
    checks: list[Check] = []
    for broker in admin._client.cluster.brokers():  # noqa: SLF001 - no public way in
        answer: Any = await admin._send_request(_DisksRequest(), broker.nodeId)  # noqa: SLF001
        for code, folder, _topics, total, usable, *_ in answer.results:
            about = f"Kafka broker {broker.nodeId}, {folder}"
            if code or total <= 0:
                checks.append(unknown(about, "it does not say how full its disk is", "Look there."))
                continue
            what = f"{usable / 1024**3:.1f} of {total / 1024**3:.1f} GiB are free"
            enough = usable >= max(free_bytes_min, FREE_MIN * total) or usable >= 20 * free_bytes_min
            checks.append(expect(about, what, "A full disk stops it: give it more.", holds=enough))
    return checks


class _DisksResponse(Response):  # type: ignore[misc]
    API_KEY = 35  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
    API_VERSION = 4  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "results",
            CompactArray(
                ("error_code", Int16),
                ("log_dir", CompactString("utf-8")),
                (
                    "topics",
                    CompactArray(
                        ("name", CompactString("utf-8")),
                        (
                            "partitions",
                            CompactArray(
                                ("partition_index", Int32),
                                ("partition_size", Int64),
                                ("offset_lag", Int64),
                                ("is_future_key", Boolean),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("total_bytes", Int64),
                ("usable_bytes", Int64),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DisksRequestStruct(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 35
    API_VERSION = 4
    RESPONSE_TYPE = _DisksResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                ("partitions", CompactArray(Int32)),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DisksRequest(Request[_DisksRequestStruct]):  # type: ignore[misc]
    API_KEY = 35

    def build(self, request_struct_class: type[_DisksRequestStruct]) -> _DisksRequestStruct:
        no_tags: dict[int, bytes] = {}
        return request_struct_class([], no_tags)
