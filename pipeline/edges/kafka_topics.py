"""Kafka's topics: made as evidence needs them, checked, and known by their ids.

aiokafka has no request that returns a topic's id; the one here is Kafka's Metadata, version 12 (KIP-516).
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from io import BytesIO
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

from pipeline.wire.errors import InputError, UnavailableError

MESSAGE_BYTES_MAX = 2 * 1024 * 1024  # A block's body has 1 MiB at most, a refusal's batch less.
ATTEMPTS = 16  # Of six seconds in all.
REPLICAS_SAFE = 3  # With fewer, one power cut may take what the broker has acknowledged and not synced.

_NO_ERROR, _TOPIC_EXISTS = 0, 36
_ID_SIZE = 16


async def ensure_topics(
    admin: AIOKafkaAdminClient,
    partitions: Mapping[str, int],
    compacted: Collection[str],
    synced: Collection[str],
    replicas: int | None,
) -> Mapping[str, bytes]:
    """Make the topics that are missing, and return the id of each.

    Args:
        admin: Connected to the cluster.
        partitions: How many partitions each topic has.
        compacted: The topics that keep the last value of each key only.
        synced: The topics of which nothing that was acknowledged may be lost, to a power cut either.
        replicas: On how many brokers a topic that is made lies; None: three, or as many as there are.

    Raises:
        InputError: A topic has another number of partitions than the log was begun with.
        UnavailableError: Kafka refused, or did not answer.
    """
    replicas = replicas or most_replicas(admin)
    new = [
        NewTopic(
            name,
            count,
            replicas,
            topic_configs=topic_settings(replicas, compact=name in compacted, sync=name in synced),
        )
        for name, count in partitions.items()
    ]
    # A crash between two topics leaves some of them; the next start makes the others.
    answer: Any = await admin.create_topics(new)
    for name, code, message in answer.topic_errors:
        if code not in (_NO_ERROR, _TOPIC_EXISTS):
            raise UnavailableError("Kafka", f"topic {name} cannot be made: {message}")
    found = await _describe(admin, list(partitions))
    for name, count in partitions.items():
        if found[name][1] != count:
            raise InputError(
                f"Kafka topic {name}",
                f"it has {found[name][1]} partitions, not {count}",
                "Keep the number of shards that the log was begun with, or name another cluster.",
            )
    return {name: topic_id for name, (topic_id, _) in found.items()}


def most_replicas(admin: AIOKafkaAdminClient) -> int:
    """Return on how many brokers a topic can lie: more than three are not needed."""
    brokers = admin._client.cluster.brokers()  # noqa: SLF001 - no public way in
    return max(1, min(REPLICAS_SAFE, len(brokers)))


def topic_settings(replicas: int, *, compact: bool, sync: bool) -> dict[str, str]:
    """Return a topic's settings: evidence is never deleted, and its time is the broker's."""
    settings = {
        "cleanup.policy": "compact" if compact else "delete",
        "message.timestamp.type": "LogAppendTime",  # Of a compacted topic too: one clock.
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": str(MESSAGE_BYTES_MAX),
        "min.insync.replicas": str(max(1, replicas - 1)),
    }
    if sync and replicas < REPLICAS_SAFE:
        settings["flush.messages"] = "1"
    return settings


class _Id(AbstractType[bytes]):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(_ID_SIZE)


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
    API_VERSION = 12  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Id),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Id), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        no_tags: dict[int, bytes] = {}
        topics = [(bytes(_ID_SIZE), name, no_tags) for name in self._topics]
        may_create, ask_for_rights = False, False
        return request_struct_class(topics, may_create, ask_for_rights, no_tags)


async def _describe(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, tuple[bytes, int]]:
    """Return each topic's id and number of partitions, once every partition has its leader."""
    found: dict[str, tuple[bytes, int]] = {}
    for attempt in range(ATTEMPTS):
        await asyncio.sleep(0.05 * attempt)  # A topic just made is known everywhere only a little later.
        answer: Any = await admin._send_request(_MetadataRequest(topics))  # noqa: SLF001 - no public way in
        for code, name, topic_id, _, partitions, *_ in answer.topics:
            if code == _NO_ERROR and all(leader >= 0 for _, _, leader, *_ in partitions):
                found[name] = topic_id, len(partitions)
        if len(found) == len(topics):
            return found
    missing = sorted(set(topics) - found.keys())
    raise UnavailableError("Kafka", f"topic {missing[0]} has no leader")
