"""A city on servers: its services between Mosquitto, Kafka and InfluxDB, in one process or in several."""

import os
import stat
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from pipeline.edges.access_file import load_access
from pipeline.edges.influx import InfluxPoints
from pipeline.edges.influx_reader import read_influx
from pipeline.edges.kafka import KafkaBus
from pipeline.edges.kafka_group import share_partitions
from pipeline.edges.mqtt import MqttInbox, MqttPublisher
from pipeline.folder import CityFolder
from pipeline.ports import Inbox, PointReader, PointStore
from pipeline.ports import Publisher as MqttSender
from pipeline.services import COMPACTED, INBOX_TOPICS, SYNCED, Site, Work, partitions
from pipeline.settings import Settings
from pipeline.wire.errors import InputError
from pipeline.wire.topics import STATEMENTS

OTHERS = stat.S_IRWXG | stat.S_IRWXO
AGGREGATORS = "aggregators"


@asynccontextmanager
async def open_site(settings: Settings, process: str, member: str | None = None) -> AsyncGenerator[Site]:
    """Connect to Kafka; the other servers are for the services that need them to connect to.

    Args:
        settings: Where they are.
        process: What the servers call this process in their logs.
        member: Its name among the aggregators, if it keeps one from start to start.

    Raises:
        InputError: Kafka holds a log of another number of shards.
        UnavailableError: Kafka does not answer.
    """
    folder, broker, kafka, influx = (
        CityFolder(settings.folder),
        settings.broker,
        settings.kafka,
        settings.influx,
    )

    def inbox() -> AbstractAsyncContextManager[Inbox]:
        access = load_access(broker, "bridge")
        return MqttInbox.open(broker.host, broker.port, kafka.prefix + "bridge", INBOX_TOPICS, access=access)

    def sender() -> AbstractAsyncContextManager[MqttSender]:
        access = load_access(broker, "courier")
        return MqttPublisher.open(broker.host, broker.port, kafka.prefix + "courier", access=access)

    def points() -> AbstractAsyncContextManager[PointStore]:
        token = read_token(settings)
        rejected = folder.state / "points.rejected"
        return InfluxPoints.open(influx.url, token, influx.org, influx.bucket, rejected)

    async def share(work: Work) -> None:
        group, topic = kafka.prefix + AGGREGATORS, kafka.prefix + STATEMENTS
        client_id = kafka.prefix + process
        await share_partitions(kafka.servers, group, topic, work, client_id=client_id, member=member)

    opened = KafkaBus.open(
        kafka.servers,
        partitions(kafka.shards),
        compacted=COMPACTED,
        synced=SYNCED,
        prefix=kafka.prefix,
        replicas=kafka.replicas,
        client_id=process,
    )
    async with opened as bus:
        yield Site(folder, bus, inbox, sender, points, kafka.shards, share)


@contextmanager
def read_site_points(settings: Settings) -> Generator[PointReader]:
    """Open the city's points for reading.

    Raises:
        InputError: The token cannot be read.
    """
    influx = settings.influx
    with read_influx(influx.url, read_token(settings), influx.org, influx.bucket) as reader:
        yield reader


def read_token(settings: Settings) -> str:
    """Return InfluxDB's token.

    Raises:
        InputError: It cannot be read, or others can.
    """
    path = settings.token_file
    try:
        with path.open(encoding="ascii") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            token = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"influx.token_file ({path})", f"cannot be read: {error}", "Write InfluxDB's token into it."
        ) from error
    if mode & OTHERS:
        raise InputError(
            f"influx.token_file ({path})",
            f"others may use this token (mode {mode:04o})",
            f"Run: chmod 600 {path}",
        )
    return token
