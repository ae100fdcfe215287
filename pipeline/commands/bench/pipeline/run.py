"""`cityproof bench pipeline`: records a second through real servers, what they take, and how soon they prove.

Statements signed beforehand go through Mosquitto, bridge, Kafka, aggregator, log, publisher and projector
into InfluxDB, every service a process of its own. With `--compare telegraf` the same records, unsigned, go
through Mosquitto and Telegraf into InfluxDB, before and after, on the same machine.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass

from pipeline.commands.bench.pipeline.city import BenchCity, enrol, run_city
from pipeline.commands.bench.pipeline.load import RECORDS, Lines, Statements, to_packets
from pipeline.commands.bench.pipeline.measure import (
    WAITING_MAX,
    Stored,
    Throughput,
    measure_latency,
    measure_throughput,
)
from pipeline.commands.bench.pipeline.meter import Meter
from pipeline.commands.bench.pipeline.sender import Sender
from pipeline.commands.bench.pipeline.stack import InfluxMeter, Stack, find_stack
from pipeline.commands.bench.pipeline.telegraf import run_telegraf

SHARDS = 4  # For readings; the registry has one more.
WARM_UP_S = (3.0, 10.0)  # Virtual machines compile meanwhile.
WARM_UP_PER_S = 12_000  # Messages signed for each of its seconds.
SPARE = 1.5  # Of what the warm-up lets expect.
LATENCY_LOAD = 0.5
SENDER = "sender"
SERVERS = ("mosquitto", "kafka", "influx")
GOALS = {"of_telegraf": 0.5, "p50_s": 1.0, "p99_s": 2.0, "rss_bytes": 250e6}


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of the pipeline: what it sustained, and at a part of that load when records were provable."""

    devices: int
    shards: int
    throughput: Throughput
    latency_records_per_s: float
    p50_s: float
    p99_s: float
    bytes_per_record: Mapping[str, float]
    outcomes: Mapping[str, int]


async def measure_city(
    stack: Stack, influx: InfluxMeter, devices: int, seconds: float, shards: int = SHARDS
) -> Measured:
    """Run a city with so many shards for readings, and measure it."""
    statements = Statements(devices)
    warm_up_s = min(max(seconds / 4, WARM_UP_S[0]), WARM_UP_S[1])
    packets = to_packets(statements.sign(int(warm_up_s * WARM_UP_PER_S)))
    async with run_city(stack, influx, shards) as city:
        say(f"city of {devices} devices, {shards} shards: enrolment and warm-up")
        await enrol(stack, city, devices)
        meter = meter_of(stack, city.pids)
        async with Sender.open(stack.mosquitto, "bench-devices") as sender:
            stored = Stored(influx)
            warm = await measure_throughput(sender, packets, stored, meter, warm_up_s)
            fleet = f"city of {devices} devices, {shards} shards"

            def sign_up_to(messages: float) -> list[bytes]:
                """Return what is signed and not sent, so many messages at least."""
                lacking = int(messages) - (len(packets) - sender.sent)
                if lacking > 0:
                    say(f"{fleet}: signing {lacking} statements")
                    packets.extend(to_packets(statements.sign(lacking), len(packets)))
                return packets[sender.sent :]

            left = sign_up_to(warm.records_per_s / RECORDS * seconds * SPARE + WAITING_MAX)
            say(f"{fleet}: throughput")
            meter.rss.clear()
            throughput = await measure_throughput(sender, left, stored, meter, seconds)
            half_per_s = LATENCY_LOAD * throughput.records_per_s / RECORDS
            count = max(1, int(half_per_s * seconds))
            left = sign_up_to(count)[:count]
            say(f"{fleet}: latency")
            latencies = await measure_latency(sender, left, stored, city.folder.log, half_per_s, devices)
        kept, outcomes = bytes_of(stack, influx, city), city.outcomes()
        records = sender.sent * RECORDS
    return Measured(
        devices,
        shards,
        throughput,
        half_per_s * RECORDS,
        latencies[len(latencies) // 2],
        latencies[len(latencies) * 99 // 100],
        {name: size / records for name, size in kept.items()},
        outcomes,
    )


async def measure_telegraf(stack: Stack, influx: InfluxMeter, devices: int, seconds: float) -> Throughput:
    """Run Telegraf, and measure it."""
    lines = Lines(devices)
    packets = to_packets(lines.make(int(WARM_UP_S[0] * WARM_UP_PER_S * 2)))
    async with run_telegraf(stack, influx) as telegraf:
        say("Telegraf: warm-up and throughput")
        meter = meter_of(stack, telegraf.pids)
        async with Sender.open(stack.mosquitto, "bench-lines") as sender:
            stored = Stored(influx)
            warm = await measure_throughput(sender, packets, stored, meter, WARM_UP_S[0])
            left = packets[sender.sent :]
            need = int(warm.records_per_s / RECORDS * seconds * SPARE) - len(left)
            left += to_packets(lines.make(max(need, 0)), len(packets))
            meter.rss.clear()
            throughput = await measure_throughput(sender, left, stored, meter, seconds)
    return throughput


def meter_of(stack: Stack, pids: Mapping[str, int]) -> Meter:
    """Return a meter of these processes, of the servers and of who sends."""
    return Meter({**pids, **stack.pids, SENDER: os.getpid()})


def bytes_of(stack: Stack, influx: InfluxMeter, city: BenchCity) -> Mapping[str, int]:
    """Return what the city's records take on disk."""
    return {
        "kafka": stack.kafka_bytes(city.prefix),
        "published log": city.archive_bytes(),
        "influx": influx.disk_bytes(city.bucket_id),
    }


def say(text: str) -> None:
    """Tell a person what is being done."""
    print(text, file=sys.stderr, flush=True)


async def run(devices: int, seconds: float, *, compare: bool, as_json: bool) -> int:
    """Measure, and print. Exit 0: the goals are met; 1: not all."""
    stack = find_stack()
    telegraf: list[Throughput] = []
    with closing(InfluxMeter(stack)) as influx:
        if compare:
            telegraf.append(await measure_telegraf(stack, influx, devices, seconds / 2))
        city = await measure_city(stack, influx, devices, seconds)
        if compare:
            telegraf.append(await measure_telegraf(stack, influx, devices, seconds / 2))
    figures = judge(city, telegraf)
    if as_json:
        print(
            json.dumps({"city": asdict(city), "telegraf": [asdict(t) for t in telegraf], **figures}, indent=1)
        )
    else:
        show(city, telegraf, figures)
    met = [
        figures[name] >= goal if name == "of_telegraf" else figures[name] <= goal
        for name, goal in GOALS.items()
        if name in figures
    ]
    return 0 if all(met) else 1


def judge(city: Measured, telegraf: Sequence[Throughput]) -> dict[str, float]:
    """Return the figures that have goals."""
    rss_bytes = float(largest_service(city.throughput))
    figures = {"p50_s": city.p50_s, "p99_s": city.p99_s, "rss_bytes": rss_bytes}
    if telegraf:
        mean = sum(found.records_per_s for found in telegraf) / len(telegraf)
        figures["of_telegraf"] = city.throughput.records_per_s / mean
    return figures


def largest_service(found: Throughput) -> int:
    """Return the most memory that a process of ours had."""
    return max(size for name, size in found.rss_bytes.items() if name not in (*SERVERS, SENDER))


def show(city: Measured, telegraf: Sequence[Throughput], figures: Mapping[str, float]) -> None:
    """Print for people."""
    found = city.throughput
    fleet = f"{city.devices} devices, {city.shards} shards"
    print(f"{found.records_per_s:,.0f} records/s over {found.seconds:.0f} s, {fleet}")
    provable = f"provable after {city.p50_s:.2f} s (p50), {city.p99_s:.2f} s (p99)"
    print(f"at {city.latency_records_per_s:,.0f} records/s {provable}")
    print_processes(found)
    for name, size in city.bytes_per_record.items():
        print(f"{name:<16}{size:8.1f} bytes a record")
    print(", ".join(f"{count:,} {name}" for name, count in city.outcomes.items()))
    for other in telegraf:
        print(f"Telegraf: {other.records_per_s:,.0f} records/s over {other.seconds:.0f} s")
        print_processes(other)
    if telegraf:
        print(f"of Telegraf: {figures['of_telegraf']:.2f}")


def print_processes(found: Throughput) -> None:
    """Print what each process took."""
    for name, cpu_s in found.cpu_s_per_million.items():
        print(f"  {name:<14}{cpu_s:8.2f} CPU s a million records{found.rss_bytes[name] / 1e6:8.0f} MB")
    print(f"  {'all':<14}{sum(found.cpu_s_per_million.values()):8.2f} CPU s a million records")
