"""`cityproof bench audit`: how many of an intruder's changes a continuous audit finds, and how soon.

A whole city runs here, on its embedded broker and stores; `cityproof audit --follow` and an intruder, who
alters, deletes and inserts points at random, run beside it as processes that know nothing of one another.
How soon: from a change to the look that noticed it, and to the arrival of the finding at the log.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import uvloop

from pipeline.commands.demo.auditor import enrol_auditor
from pipeline.commands.reading import reader_of
from pipeline.commands.verify import load_authorities, load_policy
from pipeline.edges.mqtt import MqttPublisher
from pipeline.embedded import RunningCity, embedded_city
from pipeline.folder import AUTHORITY, CityFolder, CityKeys, open_city
from pipeline.log.checkpoint import open_checkpoint
from pipeline.log.tiles import CHECKPOINT_PATH, TileReader
from pipeline.verify.logged_findings import LoggedFinding, read_findings
from pipeline.wire.enrolment import Enrolment, encode_enrolment
from pipeline.wire.keys import SeedSigner
from pipeline.wire.possession import sign_possession
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.statement import CONTENT_ENROLMENT, CONTENT_SENML, sign_statement
from pipeline.wire.topics import registry_topic, statements_topic

DEVICES = 8
STATEMENTS = 200  # Of each device.
RECORDS = 5
CHANGES = 100  # Of each kind.
PAUSE_S = 0.02
INTERVAL_S = 0.5
WAIT_S = 60.0
EPOCH = 1_800_000_000
QUANTITIES = ("no2", "o3", "so2", "pm2_5", "pm10")

Change = dict[str, Any]


class _Device:
    """A sensor that signs readings of one minute after the other."""

    def __init__(self, number: int) -> None:
        self.signer = SeedSigner(sha256(b"bench audit %d" % number).digest())
        self.issuer = f"urn:dev:ops:32473-bench-{number}"

    def enrolment(self) -> bytes:
        """Return the payload by which the city's authority enrols it."""
        return encode_enrolment(
            Enrolment(
                issuer=self.issuer,
                public_key=self.signer.public_key,
                department="bench",
                controller="bench",
                data_class="environment",
                kind="air",
                subject="station",
                area="bench",
                longitude=121.5,
                latitude=31.2,
                height_m=3.0,
                accuracy={},
                calibrated_until_s=2_000_000_000,
                valid_from_s=0,
                possession=sign_possession(self.signer, AUTHORITY, self.issuer),
            )
        )

    def read(self, sequence: int) -> bytes:
        """Return its next statement."""
        at_s = float(EPOCH + 60 * sequence)
        records = [Record(quantity, "ug/m3", 20.0 + sequence % 7, at_s) for quantity in QUANTITIES[:RECORDS]]
        return sign_statement(
            self.signer,
            issuer=self.issuer,
            subject="station",
            content_type=CONTENT_SENML,
            epoch=EPOCH,
            sequence=sequence,
            previous=bytes(32),
            payload=encode_pack(self.issuer, records),
        )


async def _fill(city: RunningCity, keys: CityKeys) -> None:
    """Let devices be enrolled and measure, until every point is stored."""
    devices = [_Device(number) for number in range(DEVICES)]
    async with MqttPublisher.open(city.host, city.port, "bench") as sender:
        for number, device in enumerate(devices):
            enrolment = sign_statement(
                keys.authority,
                issuer=AUTHORITY,
                subject=device.issuer,
                content_type=CONTENT_ENROLMENT,
                epoch=1,
                sequence=number,
                previous=bytes(32),
                payload=device.enrolment(),
            )
            await sender.publish(registry_topic(AUTHORITY), enrolment)
        await asyncio.sleep(2)  # For the registry block that a reading's check needs.
        for sequence in range(STATEMENTS):
            sends = (sender.publish(statements_topic(d.issuer), d.read(sequence)) for d in devices)
            await asyncio.gather(*sends)
        deadline = monotonic() + WAIT_S
        while True:
            if (await city.stages.points.counts()).stored == DEVICES * STATEMENTS * RECORDS:
                return
            assert monotonic() < deadline, "every reading is stored within a minute"
            await asyncio.sleep(0.1)


@asynccontextmanager
async def _child(*arguments: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _lines(process: asyncio.subprocess.Process, into: list[Change]) -> None:
    assert process.stdout is not None, "it was asked for"
    async for line in process.stdout:
        change: Change = json.loads(line)
        into.append(change)


def _findings(folder: CityFolder) -> list[LoggedFinding]:
    """Return the findings that are under a checkpoint."""
    read = reader_of(folder.root)
    note = read(CHECKPOINT_PATH)
    assert note is not None, "the city has published"
    tiles = TileReader(read, open_checkpoint(note, load_policy(folder.policy)).checkpoint)
    return list(read_findings(read, tiles, load_authorities(folder.authorities)))


def _place(change: Change) -> tuple[str, ...]:
    return tuple(str(change[name]) for name in ("reason", "device", "subject", "quantity", "time_us"))


async def _watch_an_intruder(
    folder: CityFolder, city: RunningCity
) -> tuple[list[Change], list[LoggedFinding]]:
    """Return what was changed, and what stands in the log in the end."""
    broker = f"mqtt://{city.host}:{city.port}"
    following = ("audit", str(folder.root), "--follow", "--broker", broker, "--interval-s", str(INTERVAL_S))
    intruding = (str(folder.points), str(CHANGES), "7", str(PAUSE_S))
    told: list[Change] = []
    changes: list[Change] = []
    async with _child("-m", "pipeline.cli", *following, "--json") as auditor:
        listening = asyncio.create_task(_lines(auditor, told))
        await asyncio.sleep(3)  # Its first look finds nothing: the audit is under way.
        async with _child("-m", "pipeline.commands.bench.intruder", *intruding) as intruder:
            await _lines(intruder, changes)
        deadline = monotonic() + WAIT_S
        while True:
            logged = await asyncio.to_thread(_findings, folder)
            if len(logged) >= len(changes) or monotonic() > deadline:
                break
            await asyncio.sleep(0.5)
        await asyncio.sleep(2 * INTERVAL_S)  # Time for a false one.
        listening.cancel()
    return changes, await asyncio.to_thread(_findings, folder)


async def _measure() -> tuple[list[Change], list[LoggedFinding]]:
    with TemporaryDirectory(prefix="cityproof-bench-") as root:
        folder, keys = open_city(Path(root))
        async with embedded_city(folder, 0, lambda _size: None) as city:
            await enrol_auditor(city, keys)
            await _fill(city, keys)
            return await _watch_an_intruder(folder, city)


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    cuts = quantiles(seconds, n=100)
    return {"p50_s": round(cuts[49], 2), "p99_s": round(cuts[98], 2), "max_s": round(max(seconds), 2)}


def run(*, as_json: bool) -> int:
    """Print how many changes were found, and how soon. Exit 0: all of them and no other; 1: not so."""
    changes, logged = uvloop.run(_measure())
    changed_ms = {_place(change): int(change["at_ms"]) for change in changes}
    found: dict[tuple[str, ...], LoggedFinding] = {}
    for item in logged:
        found[item.finding.reason.value, *map(str, item.finding.place)] = item
    hits = changed_ms.keys() & found.keys()
    noticed_s = [(found[place].finding.noticed_ms - changed_ms[place]) / 1000 for place in hits]
    arrived_s = [(found[place].arrival_ms - changed_ms[place]) / 1000 for place in hits]
    kinds = {place[0]: sum(other[0] == place[0] for other in hits) for place in changed_ms}
    result = {
        "points": DEVICES * STATEMENTS * RECORDS,
        "changed": len(changed_ms),
        "found": kinds,
        "false": len(found.keys() - changed_ms.keys()),
        "told_twice": len(logged) - len(found),
        "noticed": _spread(noticed_s),
        "in_the_log": _spread(arrived_s),
    }
    if as_json:
        print(json.dumps(result, indent=1))
    else:
        for name, value in result.items():
            print(f"{name:<12} {value}")
    held = len(hits) == len(changed_ms) == len(logged)
    return 0 if held else 1
