"""Telegraf beside us: from Mosquitto into InfluxDB, nothing verified, nothing sealed, no Kafka.

A persistent session at QoS 1, which it acknowledges behind InfluxDB's answer, and its faster parser.
"""

import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

from pipeline.commands.bench.pipeline.city import await_true
from pipeline.commands.bench.pipeline.sender import Sender
from pipeline.commands.bench.pipeline.stack import InfluxMeter, Stack
from pipeline.wire.errors import InputError

CLIENT_ID = "bench-telegraf"
CONNECTED = b"] Connected ["
CONFIG = """
[agent]
  flush_interval = "1s"
  metric_batch_size = 5000
  metric_buffer_limit = 200000
  omit_hostname = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://{mosquitto}"]
  topics = ["lines/+"]
  topic_tag = ""
  qos = 1
  persistent_session = true
  client_id = "{client_id}"
  max_undelivered_messages = 10000
  data_format = "influx"
  influx_parser_type = "upstream"
  influx_timestamp_precision = "1us"
[[outputs.influxdb_v2]]
  urls = ["http://{influx}"]
  token = "{token}"
  organization = "{org}"
  bucket = "{bucket}"
"""


@dataclass(frozen=True, slots=True)
class RunningTelegraf:
    """Its process, and its bucket in InfluxDB."""

    pids: Mapping[str, int]
    bucket_id: str


@asynccontextmanager
async def run_telegraf(stack: Stack, influx: InfluxMeter) -> AsyncGenerator[RunningTelegraf]:
    """Run Telegraf with a bucket of its own.

    Raises:
        InputError: It has not been built.
    """
    if not stack.telegraf.exists():
        raise InputError("--compare telegraf", f"there is no {stack.telegraf}", "Build it: make telegraf.")
    bucket = f"bench-{token_hex(4)}"
    bucket_id = influx.make_bucket(bucket)
    with TemporaryDirectory(prefix="cityproof-bench-") as folder:
        config, log = Path(folder) / "telegraf.conf", Path(folder) / "telegraf.log"
        config.touch(0o600)
        config.write_text(
            CONFIG.format(
                mosquitto=stack.mosquitto,
                influx=stack.influx,
                token=stack.token,
                org=stack.org,
                bucket=bucket,
                client_id=CLIENT_ID,
            )
        )
        process = _start(stack.telegraf, config, log)
        try:
            await_true("Telegraf's connection", lambda: CONNECTED in log.read_bytes())
            yield RunningTelegraf({"telegraf": process.pid}, bucket_id)
        finally:
            process.terminate()
            process.wait()
            influx.remove_bucket(bucket_id)
            await Sender.forget(stack.mosquitto, CLIENT_ID)


def _start(program: Path, config: Path, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        return subprocess.Popen([program, "--config", config], stdout=output, stderr=output)
