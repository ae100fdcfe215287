"""A city on the stack's servers, each service a process of its own, for as long as a measurement takes."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

from pipeline.commands.bench.pipeline.load import enrolments, to_packets
from pipeline.commands.bench.pipeline.sender import Sender
from pipeline.commands.bench.pipeline.stack import InfluxMeter, Stack
from pipeline.folder import AUTHORITY, CityFolder, open_city
from pipeline.log.block import decode_body
from pipeline.log.manifest import decode_manifest
from pipeline.log.tiles import block_path
from pipeline.wire.errors import UnavailableError
from pipeline.wire.keys import SeedSigner

SERVICES = ("bridge", "aggregator", "log", "publisher", "courier", "projector")
READY_S = 60.0
AGAIN_S = 2.0
BRIDGE = "bridge"  # Its name at the broker, behind the prefix: its session is kept there.


@dataclass(frozen=True, slots=True)
class BenchCity:
    """A running city.

    Attributes:
        config: Its file of settings.
        pids: Its services' processes, by their names.
        prefix: Stands before its names in Kafka.
        bucket_id: Its bucket in InfluxDB.
    """

    folder: CityFolder
    authority: str
    authority_key: SeedSigner
    config: Path
    pids: Mapping[str, int]
    prefix: str
    bucket_id: str

    def enrolled(self) -> int:
        """Return how many devices the published log enrols."""
        enrolled = height = 0
        while (path := self.folder.log / block_path(0, height)).exists():
            enrolled += len(decode_body(path.read_bytes())) - 1
            height += 1
        return enrolled

    def outcomes(self) -> "Counter[str]":
        """Return how many messages the published log accepted, dropped as duplicates, refused by reason."""
        found: Counter[str] = Counter()
        for path in (self.folder.log / "block").rglob("*"):
            if path.is_file():
                manifest = decode_manifest(decode_body(path.read_bytes())[0])
                if manifest.shard:
                    found.update(accepted=manifest.accepted, duplicates=manifest.duplicates)
                found.update(manifest.refused)
        return found

    def archive_bytes(self) -> int:
        """Return what the published log takes on disk."""
        return sum(path.stat().st_size for path in self.folder.log.rglob("*") if path.is_file())


@asynccontextmanager
async def run_city(stack: Stack, influx: InfluxMeter, shards: int = 4) -> AsyncGenerator[BenchCity]:
    """Run a city with so many shards for readings; of it stay its topics, which Kafka keeps."""
    prefix = f"bench-{token_hex(4)}."
    bucket_id = influx.make_bucket(prefix)
    with TemporaryDirectory(prefix="cityproof-bench-") as folder:
        city, keys = open_city(Path(folder) / "city")
        config = _write_settings(Path(folder), city, stack, prefix, shards)
        services = {name: _start(name, config, Path(folder) / f"{name}.log") for name in SERVICES}
        try:
            for name, process in services.items():
                _await_start(name, process, Path(folder) / f"{name}.log")
            pids = {name: process.pid for name, process in services.items()}
            yield BenchCity(city, AUTHORITY, keys.authority, config, pids, prefix, bucket_id)
        finally:
            for process in services.values():
                process.terminate()
            for process in services.values():
                process.communicate()
            influx.remove_bucket(bucket_id)
            await Sender.forget(stack.mosquitto, prefix + BRIDGE)


async def enrol(stack: Stack, city: BenchCity, devices: int) -> None:
    """Enrol the fleet, again until it is: what comes before the bridge has subscribed goes nowhere.

    Raises:
        UnavailableError: It takes too long.
    """
    statements = enrolments(devices, city.authority, city.authority_key)
    deadline_s = time.monotonic() + READY_S
    async with Sender.open(stack.mosquitto, "bench-authority") as sender:
        while city.enrolled() < devices:
            if time.monotonic() > deadline_s:
                raise UnavailableError("the bench's city", "it enrols nobody")
            await sender.send_all(to_packets(statements, sender.sent))
            await asyncio.sleep(AGAIN_S)


def _write_settings(folder: Path, city: CityFolder, stack: Stack, prefix: str, shards: int) -> Path:
    host, _, port = stack.mosquitto.rpartition(":")
    token = city.root / "keys" / "influx.token"
    token.touch(0o600)
    token.write_text(stack.token)
    path = folder / "city.toml"
    path.write_text(
        f'folder = "{city.root}"\n[mqtt]\nhost = "{host}"\nport = {port}\n'
        f'[kafka]\nservers = "{stack.kafka}"\nprefix = "{prefix}"\nshards = {shards + 1}\n'
        f'[influx]\nurl = "http://{stack.influx}"\norg = "{stack.org}"\nbucket = "{prefix}"\n'
    )
    return path


def _start(name: str, config: Path, journal: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "pipeline.cli", "run", name, "--config", str(config)]
    with journal.open("wb") as file:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, env=os.environ)


def _await_start(name: str, process: "subprocess.Popen[bytes]", journal: Path) -> None:
    """Wait for the line that a service prints once it runs."""
    assert process.stdout is not None, "it is a pipe"
    if not process.stdout.readline():
        code, told = process.wait(), journal.read_text(errors="replace")[-500:]
        raise UnavailableError("the bench's city", f"{name} ended with {code}: {told}")


def await_true(what: str, condition: Callable[[], bool]) -> None:
    """Look until something holds."""
    deadline_s = time.monotonic() + READY_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise UnavailableError("the bench's city", f"it takes too long: {what}")
        time.sleep(0.1)
