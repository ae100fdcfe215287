"""The servers of `make stack`: where they are, what they count, what they keep on disk."""

import json
import os
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from pipeline.wire.errors import InputError

_STORED = re.compile(rb"^storage_writer_ok_points_sum\{[^}]*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stack:
    """Three servers of this machine, with their processes."""

    folder: Path
    mosquitto: str
    kafka: str
    influx: str
    pids: Mapping[str, int]
    org: str
    token: str

    @property
    def telegraf(self) -> Path:
        """Where the stack's script has built Telegraf."""
        return self.folder.parent / "telegraf-1.37.2" / "telegraf"

    def kafka_bytes(self, prefix: str) -> int:
        """Return what the topics with this prefix take on disk."""
        parts = (self.folder / "kafka" / "logs").glob(f"{prefix}*-*/*.log")
        return sum(path.stat().st_size for path in parts)


def find_stack() -> Stack:
    """Return the servers that `make stack` has started.

    Raises:
        InputError: None are running.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("CITYPROOF_CACHE") or home / "cityproof") / "stack"
    try:
        found: dict[str, Any] = json.loads((folder / "servers.json").read_text())
    except OSError as error:
        raise InputError("the servers", "none are running here", "Start them: make stack.") from error
    pids = {name: found[f"{name}_pid"] for name in ("mosquitto", "kafka", "influx")}
    return Stack(
        folder,
        found["mosquitto"],
        found["kafka"],
        found["influx"],
        pids,
        found["influx_org"],
        found["influx_token"],
    )


class InfluxMeter:
    """What InfluxDB says of itself, over one connection."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._connection = HTTPConnection(stack.influx, timeout=30)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def stored(self) -> int:
        """Return how many points were stored since the server's start, by whomever."""
        found = _STORED.search(self._metrics())
        return int(float(found[1])) if found else 0

    def disk_bytes(self, bucket_id: str) -> int:
        """Return what a bucket takes on disk."""
        pattern = rb'^storage_(?:shard_disk|wal)_size\{bucket="%s"[^}]*\} (\S+)$' % bucket_id.encode()
        return sum(int(float(size)) for size in re.findall(pattern, self._metrics(), re.MULTILINE))

    def _metrics(self) -> bytes:
        self._connection.request("GET", "/metrics")
        return self._connection.getresponse().read()

    def count_points(self, bucket: str) -> int:
        """Return how many points a bucket holds."""
        flux = (
            f'from(bucket: "{bucket}") |> range(start: 0, stop: 2262-01-01T00:00:00Z) '
            '|> filter(fn: (r) => r._field == "value") |> group() |> count() |> keep(columns: ["_value"])'
        )
        path = f"/api/v2/query?org={self._stack.org}"
        rows = self._ask("POST", path, {"query": flux, "type": "flux"}).decode().split()
        return int(rows[1].rpartition(",")[2]) if len(rows) > 1 else 0

    def make_bucket(self, name: str) -> str:
        """Make a bucket and return its id."""
        orgs = json.loads(self._ask("GET", f"/api/v2/orgs?org={self._stack.org}"))
        body = {"orgID": orgs["orgs"][0]["id"], "name": name}
        return str(json.loads(self._ask("POST", "/api/v2/buckets", body))["id"])

    def remove_bucket(self, bucket_id: str) -> None:
        """Remove a bucket with all that is in it."""
        self._ask("DELETE", f"/api/v2/buckets/{bucket_id}")

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> bytes:
        request = urllib.request.Request(
            f"http://{self._stack.influx}{path}",
            json.dumps(body).encode() if body else None,
            {"Authorization": f"Token {self._stack.token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            raw: bytes = answer.read()
        return raw
