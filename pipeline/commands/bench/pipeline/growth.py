"""`cityproof bench pipeline --growth`: what more devices, and more shards, do to rate, latency and costs."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict

from pipeline.commands.bench.pipeline.measure import Throughput
from pipeline.commands.bench.pipeline.run import Measured, largest_service, measure_city
from pipeline.commands.bench.pipeline.stack import InfluxMeter, find_stack

DEVICES = (10, 50, 200, 1000)
SHARDS = (1, 2, 4, 8)
USUAL_DEVICES, USUAL_SHARDS = 200, 4
SETTINGS = [(devices, USUAL_SHARDS) for devices in DEVICES] + [
    (USUAL_DEVICES, shards) for shards in SHARDS if shards != USUAL_SHARDS
]
HEAD = (
    "devices",
    "shards",
    "records/s",
    "p50 s",
    "p99 s",
    "CPU s/10^6",
    "MB",
    "kafka B",
    "log B",
    "influx B",
)


async def run(seconds: float, *, as_json: bool) -> int:
    """Print a row for every number of devices, and of shards for readings."""
    stack = find_stack()
    measured: list[Measured] = []
    if not as_json:
        print("".join(word.rjust(11) for word in HEAD), flush=True)
    with closing(InfluxMeter(stack)) as influx:
        for devices, shards in SETTINGS:
            city = await measure_city(stack, influx, devices, seconds, shards)
            measured.append(city)
            if not as_json:
                print("".join(word.rjust(11) for word in _row(city)), flush=True)
    if as_json:
        print(json.dumps([asdict(city) for city in measured], indent=1))
    return 0


def _row(city: Measured) -> Sequence[str]:
    found: Throughput = city.throughput
    return (
        str(city.devices),
        str(city.shards),
        f"{found.records_per_s:,.0f}",
        f"{city.p50_s:.2f}",
        f"{city.p99_s:.2f}",
        f"{sum(found.cpu_s_per_million.values()):.1f}",
        f"{largest_service(found) / 1e6:.0f}",
        *(f"{size:.1f}" for size in city.bytes_per_record.values()),
    )
