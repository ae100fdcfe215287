"""The point store on InfluxDB 2, over its client's transport and with batching of our own.

Its measurement is the sensor kind; tags are device, subject and quantity; `value` is a float field, `ref` an
integer one; times are whole microseconds. What is written again at one place replaces what was there, so
points have to come in log order, which is how the projector sends them.
"""

import asyncio
import gzip
import logging
import os
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from urllib3.exceptions import HTTPError

from pipeline.durable import step
from pipeline.ports import Point
from pipeline.wire.errors import InputError, UnavailableError

LINES_MAX = 5000  # Of one request.
GZIP_LEVEL = 1  # 8 to 9 times smaller for a third of a microsecond a line.
TIMEOUT_MS = 20_000
RETRY_FIRST_S = 0.25
RETRY_MAX_S = 15.0
REFUSED = frozenset({400, 404, 413, 422})  # The points are at fault, or their size: asking again is no use.
LOCKED_OUT = frozenset({401, 403})
_LOGGER = logging.getLogger(__name__)
_TAG = str.maketrans({"%": "%25", "\\": "%5C", ",": "\\,", "=": "\\=", " ": "\\ "})


def encode_tag(text: str) -> str:
    """Return a tag's value in line protocol, which has no way to write a backslash at its end.

    `%` and the backslash are percent-encoded, so that every text has one value and comes back.
    """
    return text.translate(_TAG)


@lru_cache(maxsize=65_536)  # About 25 MB.
def _encode_series(kind: str, device: str, subject: str, quantity: str) -> str:
    """Return what the lines of a series begin with."""
    return f"{kind},device={encode_tag(device)},quantity={encode_tag(quantity)},subject={encode_tag(subject)}"


def encode_lines(points: Sequence[Point]) -> list[str]:
    """Return points in line protocol; of those at one place the last one."""
    lines: dict[tuple[str, int], str] = {}
    for kind, device, subject, quantity, time_us, value, ref in points:
        series = _encode_series(kind, device, subject, quantity)
        lines[series, time_us] = f"{series} value={value!r},ref={ref}i {time_us}"
    return list(lines.values())


class InfluxPoints:
    """`ports.PointStore`. A write waits as long as InfluxDB is away, and holds its caller up meanwhile."""

    def __init__(self, service: WriteService, org: str, bucket: str, rejected: Path) -> None:
        self._service = service
        self._org = org
        self._bucket = bucket
        self._rejected = rejected

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, token: str, org: str, bucket: str, rejected: Path
    ) -> "AsyncGenerator[InfluxPoints]":
        """Connect.

        Args:
            url: Where InfluxDB is.
            token: Allows to read and write the bucket.
            org: The organisation that the bucket belongs to.
            bucket: Where the points are.
            rejected: A file that gets, as lines, the points which InfluxDB will not take.

        Raises:
            InputError: The bucket is not there, or the token does not open it.
            UnavailableError: InfluxDB does not answer.
        """
        client = InfluxDBClient(url, token, org=org, timeout=TIMEOUT_MS)
        try:
            found = await asyncio.to_thread(_find_bucket, client, bucket)
            if not found:
                raise InputError(
                    f"InfluxDB {url}",
                    f"there is no bucket {bucket} of {org} for this token",
                    "Make it (cityproof init does), or give the token that opens it.",
                )
            yield cls(WriteService(client.api_client), org, bucket, rejected)
        finally:
            await asyncio.to_thread(client.close)

    async def write(self, points: Sequence[Point]) -> int:
        """Store points durably, in the order of the log. Idempotent. Returns how many were rejected.

        What InfluxDB will not take goes to the file of rejected points, one by one; the others are stored.

        Raises:
            InputError: The token does not allow it.
        """
        lines = encode_lines(points)
        starts = range(0, len(lines), LINES_MAX)
        return sum([await self._write(lines[start : start + LINES_MAX]) for start in starts])

    async def _write(self, lines: Sequence[str]) -> int:
        """Send lines; return how many were rejected."""
        if await self._is_stored(lines):
            return 0
        if len(lines) > 1:
            middle = len(lines) // 2
            return await self._write(lines[:middle]) + await self._write(lines[middle:])
        await asyncio.to_thread(_keep, self._rejected, lines[0])
        return 1

    async def _is_stored(self, lines: Sequence[str]) -> bool:
        """Send lines until they are answered; tell whether they were taken."""
        body = await asyncio.to_thread(gzip.compress, "\n".join(lines).encode(), GZIP_LEVEL)
        delay_s = RETRY_FIRST_S
        while True:
            try:
                # A crash before the answer leaves some or all of the lines stored; they are sent again.
                await asyncio.to_thread(
                    self._service.post_write,
                    self._org,
                    self._bucket,
                    body,
                    precision="us",
                    content_encoding="gzip",
                )
            except ApiException as error:
                if error.status in REFUSED:
                    return False
                if error.status in LOCKED_OUT:
                    raise InputError(
                        "InfluxDB", f"it answers {error.status}", "Give a token that may write the bucket."
                    ) from error
                problem = f"it answers {error.status}"
            except (HTTPError, OSError) as error:
                problem = str(error)
            else:
                return True
            _LOGGER.warning("InfluxDB does not take points, trying again: %s", problem)
            await asyncio.sleep(delay_s * random.uniform(0.5, 1))  # noqa: S311 - no secret
            delay_s = min(2 * delay_s, RETRY_MAX_S)


def _find_bucket(client: InfluxDBClient, bucket: str) -> bool:
    try:
        return client.buckets_api().find_bucket_by_name(bucket) is not None
    except ApiException as error:
        if error.status in LOCKED_OUT:
            return False
        raise UnavailableError("InfluxDB", f"it answers {error.status}") from error
    except (HTTPError, OSError) as error:
        raise UnavailableError("InfluxDB", str(error)) from error


def _keep(path: Path, line: str) -> None:
    # A crash before the line is there leaves the point to come again: the projector has not committed.
    with path.open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
        step("influx.rejected")
