"""Whether InfluxDB keeps what it is given: its bucket, how long it keeps, what the token opens, its clock."""

import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from urllib3.exceptions import HTTPError

from pipeline.edges.checkup import Check, expect, unknown

TIMEOUT_MS = 10_000
DIFFERENCE_MAX_S = 3.0  # It tells whole seconds.
EMPTY, LOCKED_OUT = 400, frozenset({401, 403, 404})


def check_influx(url: str, token: str, org: str, bucket: str) -> Sequence[Check]:
    """Look at InfluxDB and at a city's bucket in it; nothing is written."""
    about = f"InfluxDB {url}"
    with InfluxDBClient(url, token, org=org, timeout=TIMEOUT_MS) as client:
        try:
            return [
                _check_clock(client, about),
                *_check_bucket(client, f"{about}, bucket {bucket}", org, bucket),
            ]
        except ApiException as error:
            return [unknown(about, f"it answers {error.status}", "Look into its log.")]
        except (HTTPError, OSError) as error:
            return [unknown(about, f"it does not answer: {error}", "Start it, or name another: influx.url.")]


def _check_clock(client: InfluxDBClient, about: str) -> Check:
    api: Any = client.api_client
    _, _, headers = api.call_api("/health", "GET", response_type="object", _return_http_data_only=False)
    told_s = parsedate_to_datetime({key.lower(): value for key, value in headers.items()}["date"]).timestamp()
    difference_s = told_s - time.time()
    return expect(
        about,
        f"its clock and this machine's differ by {abs(difference_s):.0f} s",
        "Have all machines keep the time: chrony, or systemd-timesyncd.",
        holds=abs(difference_s) < DIFFERENCE_MAX_S,
    )


def _check_bucket(client: InfluxDBClient, about: str, org: str, bucket: str) -> list[Check]:
    try:
        found = client.buckets_api().find_bucket_by_name(bucket)
    except ApiException as error:
        if error.status not in LOCKED_OUT:
            raise
        found = None
    if found is None:
        remedy = "Run: cityproof init --servers, or give the token that opens it."
        return [expect(about, "the token opens no such bucket", remedy, holds=False)]
    kept_s = max((rule.every_seconds or 0 for rule in found.retention_rules or []), default=0)
    kept = "for ever" if kept_s == 0 else f"for {kept_s / 86_400:g} days, and deletes them then"
    writes = WriteService(client.api_client)
    try:
        writes.post_write(org, bucket, b"", precision="us")
        status = 204
    except ApiException as error:
        status = error.status or 0
    return [
        expect(
            about,
            f"it keeps points {kept}",
            f"influx bucket update --name {bucket} --retention 0, and cityproof rebuild what is gone.",
            holds=kept_s == 0,
        ),
        expect(
            about,
            "the token may write" if status in (204, EMPTY) else f"writing is answered with {status}",
            "Give a token that may write the bucket: cityproof init --servers makes one.",
            holds=status in (204, EMPTY),
        ),
    ]
