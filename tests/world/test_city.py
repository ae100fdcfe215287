"""The city whole: one seed one stream, a truth for each scenario, and a process that ends as it should."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, pairwise
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import numpy as np
import pytest

from devices.sensors import make_sensor
from devices.world.air.minute import AirMinute, MeanField, Weather
from devices.world.city import City
from devices.world.model import TICK_S, Station, Tick
from devices.world.scenarios import scenario, scenarios
from devices.world.stream import encode_stations, encode_tick, read_world
from pipeline.wire.senml import decode_pack, encode_pack

MINUTES = 8
PIPE_SIZE = 65_536  # What Linux keeps between two processes.


class Process(Protocol):
    """A started world with its two pipes."""

    pid: int
    returncode: int
    stdout: BinaryIO
    stderr: BinaryIO

    def wait(self, timeout: float) -> int: ...
    def kill(self) -> None: ...
    def send_signal(self, number: int) -> None: ...
    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]: ...


@contextmanager
def world(tmp_path: Path, *options: str) -> Iterator[Process]:
    command = [sys.executable, "-m", "devices.world", "--truth", str(tmp_path / "truth.json"), *options]
    process = cast("Process", subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def first_minutes() -> tuple[City, list[Tick]]:
    city = City(scenario("stack-leak"), 3)
    return city, list(islice(city.run(), MINUTES))


def test_another_process_with_this_seed_says_the_same(
    tmp_path: Path, first_minutes: tuple[City, list[Tick]]
) -> None:
    """Byte for byte its stream is the one made here; when its reader goes it ends with 0, without a word."""
    city, ticks = first_minutes
    expected = b"".join(
        [encode_stations(city.stations), *(encode_tick(tick, city.stations) for tick in ticks)]
    )
    with world(tmp_path, "--scenario", "stack-leak", "--seed", "3") as process:
        assert process.stdout.read(len(expected)) == expected
        process.stdout.close()
        assert process.wait(20) == 0
        assert process.stderr.read() == b""


def test_another_seed_is_another_city() -> None:
    """Another seed has another leak, river bed, fleet and network, on the same map."""
    one, other = City(scenario("stack-leak"), 3), City(scenario("stack-leak"), 4)
    assert one.stations == other.stations
    for part in ("leaks", "reaches", "base_flow_m3_s", "dispersion_s"):
        assert one.truth()[part] != other.truth()[part], part


def test_every_station_has_a_finite_value_for_all_it_measures(first_minutes: tuple[City, list[Tick]]) -> None:
    """Minute after minute, but for the speed where nobody drove; and nothing else is in a tick."""
    city, ticks = first_minutes
    for tick, following in pairwise(ticks):
        assert following.time_s == tick.time_s + TICK_S
    for tick in ticks:
        assert tick.values.keys() == {station.name for station in city.stations}
        for station in city.stations:
            values = tick.values[station.name]
            assert set(station.quantities) - values.keys() <= {"speed"}
            assert all(isfinite(values[q]) for q in station.quantities if q in values)


def test_readings_of_a_city_are_packs_the_wire_admits(first_minutes: tuple[City, list[Tick]]) -> None:
    """Sensor by sensor, what is measured in the first minutes encodes and decodes."""
    city, ticks = first_minutes
    count = 0
    for station in city.stations:
        sensor = make_sensor(station, 3)
        found = [record for tick in ticks for record in sensor.measure(tick)]
        assert decode_pack(encode_pack(station.issuer, found), station.issuer) == found
        count += len(found)
    assert count > 700 * (MINUTES - 3)


@pytest.mark.parametrize("name", list(scenarios()))
def test_the_truth_holds_what_the_scenario_promises(name: str) -> None:
    """The lists a scenario names are filled, the other events' lists are empty, and all of it is JSON."""
    city = City(scenario(name), 1)
    truth = json.loads(json.dumps(city.truth()))
    events = {"leaks", "haze", "spills", "injections", "breakdowns"}
    assert {event for event in events if truth[event]} == set(scenario(name).truth)
    assert (truth["scenario"], truth["seed"]) == (name, 1)
    assert truth["start_s"] == truth["until_s"] == scenario(name).start.timestamp()
    assert sum(source["kind"] == "stack" and source["listed"] for source in truth["sources"]) == 20


def test_the_truth_of_a_leak_is_what_the_air_got(first_minutes: tuple[City, list[Tick]]) -> None:
    """The truth's leak is a source of the air by name, place and rate, and is silent before its onset."""
    city, ticks = first_minutes
    truth = cast("dict[str, Any]", city.truth())
    (leak,) = truth["leaks"]
    source = next(source for source in truth["sources"] if source["name"] == leak["source"])
    assert (source["x_m"], source["y_m"]) == (leak["x_m"], leak["y_m"])
    assert source["rates_g_s"] == {leak["quantity"]: leak["rate_g_s"]}
    assert truth["until_s"] == ticks[-1].time_s + TICK_S
    assert leak["onset_s"] > ticks[-1].time_s
    assert city.air is not None
    assert not city.air.rates_g_s[leak["source"]].get("so2")


def test_a_world_that_nobody_reads_waits_and_ends_when_told(tmp_path: Path) -> None:
    """Unread it fills its pipe and stands still; SIGTERM ends it with 0 and leaves the truth up to there."""
    options = ("--scenario", "broken-reefer", "--seed", "1", "--start", "2026-08-01T06:30:00+08:00")
    with world(tmp_path, *options) as process:
        _, received = read_world(process.stdout)
        first = next(received)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3.0)  # Time for an hour or more, if nothing held it.
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    truth = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))
    assert first.time_s == truth["start_s"] == 1_785_537_000.0
    assert len(truth["breakdowns"]) == 4
    ticks = (truth["until_s"] - truth["start_s"]) / TICK_S
    assert 1 <= ticks <= (PIPE_SIZE + 131_072) / 6000  # The reader's buffer; the bytes of a tick at least.
    assert [file.name for file in tmp_path.iterdir()] == ["truth.json"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--scenario", "earthquake", "--seed", "1"), "Choose one of: calm"),
        (("--scenario", "calm", "--seed", "1", "--start", "2026-08-01T06:30:00"), "lacks its offset"),
        (("--scenario", "calm"), "--seed"),
    ],
    ids=["scenario", "start", "seed"],
)
def test_wrong_arguments_are_answered_with_the_remedy(
    options: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    """Exit code 2 and a sentence, no traceback, no truth."""
    with world(tmp_path, *options) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert said in errors.decode()
    assert "Traceback" not in errors.decode()
    assert not list(tmp_path.iterdir())


class Stillness:
    """An air that costs nothing: every minute is like the first."""

    def __init__(self, stations: list[Station]) -> None:
        self.minute = AirMinute(
            time_s=0.0,
            species={s.name: dict.fromkeys(s.quantities, 1.0) for s in stations if s.kind == "air"},
            weather={
                s.name: Weather(2.0, 90.0, 20.0, 1013.0, 60.0, 0.0) for s in stations if s.kind == "weather"
            },
            rates_g_s={},
            field=MeanField((-2.0, 0.0), 0.3, -100.0, 50.0, 800.0),
            by_source=np.zeros((0, 0, 0)),
        )

    def advance(self, *_: object) -> AirMinute:
        return self.minute


@pytest.mark.serial
def test_a_day_without_the_air_takes_ten_seconds_at_most() -> None:
    """All but the air, and the stream: three hours, times eight, take at most 10 s of CPU time."""
    city = City(scenario("river-spill"), 2)
    city.__dict__["_field"] = Stillness(city.stations)
    began = time.process_time()
    for tick in islice(city.run(), 180):
        encode_tick(tick, city.stations)
    assert 8.0 * (time.process_time() - began) <= 10.0


@pytest.mark.serial
def test_a_day_with_the_air_takes_a_minute_at_most() -> None:
    """50 receptors, all sources: a day takes at most 60 s of CPU time, by the best of three 20 minutes."""
    ticks = City(scenario("stack-leak"), 2).run()
    next(ticks)
    took_s = []
    for _ in range(3):
        began = time.process_time()
        for _ in islice(ticks, 20):
            pass
        took_s.append(time.process_time() - began)
    assert 72.0 * min(took_s) <= 60.0
