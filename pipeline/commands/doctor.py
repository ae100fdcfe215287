"""`cityproof doctor`: every server and setting that could lose data, or let others in, and the remedy."""

import asyncio
import json
import logging
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from pipeline.edges.checkup import Check, Verdict, expect, unknown
from pipeline.edges.influx_checkup import check_influx
from pipeline.edges.kafka import KafkaBus
from pipeline.edges.kafka_checkup import check_clock, check_kafka
from pipeline.edges.mqtt_checkup import check_broker
from pipeline.folder import CityFolder
from pipeline.servers import read_token
from pipeline.services import COMPACTED, SYNCED, partitions
from pipeline.settings import Settings, load_settings
from pipeline.stages.bridge import RECEIVE_MAX
from pipeline.wire.errors import InputError, PipelineError
from pipeline.wire.topics import LOG

IN_FLIGHT_MIN = 2 * RECEIVE_MAX  # While one batch is on its way to Kafka, the next one comes in.
FREE_BYTES_MIN = 2 * 1024**3
OTHERS = stat.S_IRWXG | stat.S_IRWXO
WRONG, CANNOT_SAY = 1, 3


async def run(config: Path | None, mosquitto: Sequence[Path], *, everything: bool, as_json: bool) -> int:
    """Look at everything and tell; 1 where something is wrong, 3 where something could not be looked at."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # What it says of a server, a check says.
    settings = load_settings(config).settings
    checks = [*_check_folder(CityFolder(settings.folder))]
    checks += await check_broker(settings.broker, IN_FLIGHT_MIN, mosquitto)
    checks += await _check_kafka(settings)
    checks += await _check_influx(settings)
    _tell(checks, everything=everything, as_json=as_json)
    verdicts = {check.verdict for check in checks}
    return WRONG if Verdict.WRONG in verdicts else CANNOT_SAY if Verdict.UNKNOWN in verdicts else 0


def _tell(checks: Sequence[Check], *, everything: bool, as_json: bool) -> None:
    if as_json:
        rows = [
            {"about": one.about, "found": one.what, "verdict": one.verdict, "remedy": one.remedy}
            for one in checks
        ]
        print(json.dumps(rows, ensure_ascii=False))
        return
    for check in checks:
        if everything or check.verdict is not Verdict.GOOD:
            print(f"{check.verdict:8} {check.about}: {check.what}")
            if check.remedy:
                print(f"{'':8} -> {check.remedy}")
    counted = {verdict: sum(check.verdict is verdict for check in checks) for verdict in Verdict}
    print(
        f"{len(checks)} checks: {counted[Verdict.GOOD]} good, {counted[Verdict.WRONG]} wrong, "
        f"{counted[Verdict.UNKNOWN]} could not be made"
    )


def _check_folder(folder: CityFolder) -> list[Check]:
    about = f"folder {folder.root}"
    if not folder.policy.exists():
        return [unknown(about, "there is no city in it", f"Make it: cityproof init --dir {folder.root}")]
    checks: list[Check] = []
    for path in (folder.log, folder.state):
        disk = shutil.disk_usage(path)
        what = f"{disk.free / 1024**3:.1f} of {disk.total / 1024**3:.1f} GiB are free"
        checks.append(expect(str(path), what, "Give its disk more room.", holds=disk.free >= FREE_BYTES_MIN))
    secrets = [*folder.root.glob("keys/**/*"), *folder.root.glob("broker/*")]
    for path in secrets:
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_file() and path != folder.broker_ca and mode & OTHERS:
            checks.append(
                expect(
                    str(path), f"others may read it (mode {mode:04o})", f"Run: chmod 600 {path}", holds=False
                )
            )
    if all(check.verdict is Verdict.GOOD for check in checks):
        checks.append(expect(about, "keys and passwords are their owner's alone", "", holds=True))
    return checks


async def _check_kafka(settings: Settings) -> list[Check]:
    kafka = settings.kafka
    topics = partitions(kafka.shards)
    checks = [
        *await check_kafka(kafka.servers, topics, compacted=COMPACTED, synced=SYNCED, prefix=kafka.prefix)
    ]
    if not any(check.verdict is Verdict.UNKNOWN for check in checks):
        try:
            async with KafkaBus.open(kafka.servers, topics, prefix=kafka.prefix) as bus:
                last = await bus.last(LOG, 0)
        except PipelineError as error:
            checks.append(unknown(f"Kafka {kafka.servers}", str(error), "Look into its log."))
        else:
            if last is not None:  # Else no time of its clock can be known.
                checks.append(check_clock(kafka.servers, last.timestamp_ms))
    return checks


async def _check_influx(settings: Settings) -> list[Check]:
    influx = settings.influx
    try:
        token = read_token(settings)
    except InputError as error:
        return [unknown(error.place, error.problem, error.remedy)]
    return [*await asyncio.to_thread(check_influx, influx.url, token, influx.org, influx.bucket)]
