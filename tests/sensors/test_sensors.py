"""Sensors by kind: every station has one, readings are what the wire admits, and a seed decides them."""

import subprocess
import sys
from dataclasses import replace
from statistics import stdev

import pytest

from devices.sensors import SHEETS, accuracy, make_sensor
from devices.world.district import stations
from devices.world.model import TICK_S, Station, Tick
from pipeline.wire.quantities import KINDS, QUANTITIES
from pipeline.wire.senml import Record, decode_pack, encode_pack

STATIONS = stations(trucks=2, drift=1.0)
ONE_OF_EACH = [
    next(station for station in STATIONS if (station.kind, station.beam_end is not None) == kind)
    for kind in (
        ("air", False),
        ("air", True),
        ("weather", False),
        ("water", False),
        ("traffic", False),
        ("cold", False),
    )
]
TRUE = {
    "pm2_5": 35.0, "pm10": 60.0, "so2": 8.0, "no2": 30.0, "o3": 60.0, "co": 500.0, "ch4": 2.0,
    "wind_speed": 2.5, "wind_from": 135.0, "temperature": 18.0, "humidity": 65.0, "pressure": 1013.0,
    "rain": 0.1,
    "ph": 7.4, "dissolved_oxygen": 7.0, "ammonia_nitrogen": 0.5, "permanganate_index": 4.0,
    "total_phosphorus": 0.1, "total_nitrogen": 2.0, "free_chlorine": 0.5, "turbidity": 20.0,
    "conductivity": 0.05, "flow_river": 20.0, "flow_pipe": -30.0, "network_pressure": 350e3,
    "vehicles": 10.0, "occupancy": 15.0, "speed": 9.0, "queue": 20.0, "signal_phase": 1.0, "green_time": 30.0,
    "door": 1.0, "light": 100.0, "shock": 0.5, "lon": 119.05, "lat": 31.52, "battery": 90.0,
}  # fmt: skip
EXACT = {"door", "signal_phase", "green_time"}


def ticks(station: Station, count: int, start_s: float = 1_773_100_800.0) -> list[Tick]:
    values = {quantity: TRUE[quantity] for quantity in station.quantities}
    return [Tick(start_s + TICK_S * n, {station.name: values}) for n in range(count)]


def measured(station: Station, seed: int, count: int) -> list[Record]:
    sensor = make_sensor(station, seed)
    return [record for tick in ticks(station, count) for record in sensor.measure(tick)]


def test_every_quantity_of_every_kind_has_a_sheet() -> None:
    """The data sheets cover the wire's table of kinds, and nothing that is not in it."""
    for kind, quantities in KINDS.items():
        if quantities:
            assert set(SHEETS[kind]) == set(quantities), kind
    assert set(SHEETS) == {kind for kind, quantities in KINDS.items() if quantities} | {"air beam"}
    assert set(SHEETS["air beam"]) <= set(KINDS["air"])


@pytest.mark.parametrize("station", STATIONS, ids=lambda station: station.name)
def test_every_station_measures_all_it_says(station: Station) -> None:
    """An interval's readings are one record a quantity, in its signed unit, at the interval's beginning."""
    minutes = int(station.interval_s / TICK_S)
    found = measured(station, 1, minutes)
    assert [record.quantity for record in found] == list(station.quantities)
    assert all(record.unit == QUANTITIES[record.quantity].unit for record in found)
    assert {record.time_s for record in found} == {1_773_100_800.0}
    assert accuracy(station).keys() == set(station.quantities)


@pytest.mark.parametrize("station", ONE_OF_EACH, ids=lambda station: f"{station.kind}-{station.name}")
def test_readings_pass_the_wire_unchanged(station: Station) -> None:
    """What a sensor reads is encoded as a pack and comes out to the last bit."""
    found = measured(station, 7, 5)
    assert decode_pack(encode_pack(station.issuer, found), station.issuer) == found


@pytest.mark.parametrize("station", ONE_OF_EACH, ids=lambda station: f"{station.kind}-{station.name}")
def test_a_seed_decides_every_reading(station: Station) -> None:
    """The same seed reads the same; another one differs somewhere."""
    assert measured(station, 3, 60) == measured(station, 3, 60)
    assert measured(station, 3, 60) != measured(station, 4, 60)


@pytest.mark.parametrize("station", ONE_OF_EACH, ids=lambda station: f"{station.kind}-{station.name}")
def test_what_one_quantity_reads_does_not_depend_on_the_others(station: Station) -> None:
    """A station that measures one quantity only reads it as one that measures all."""
    last = station.quantities[-1]
    alone = make_sensor(replace(station, quantities=(last,)), 5)
    together = make_sensor(station, 5)
    for tick in ticks(station, 10):
        assert alone.measure(tick) == [r for r in together.measure(tick) if r.quantity == last]


@pytest.mark.parametrize("station", ONE_OF_EACH, ids=lambda station: f"{station.kind}-{station.name}")
def test_a_day_of_readings_lies_around_the_truth(station: Station) -> None:
    """Over a day no quantity is off by more than an instrument of its kind may be, and states are exact."""
    for record in measured(station, 11, 1440):
        truth = TRUE[record.quantity]
        sheet = SHEETS["air beam" if station.beam_end else station.kind][record.quantity]
        crossed = sum(1.4 * abs(share) * TRUE.get(other, 0.0) for other, share in sheet.cross.items())
        spread = sheet.noise + sheet.zero + sheet.drift + (sheet.noise_share + sheet.gain) * abs(truth)
        assert abs(record.value - truth) <= 5.0 * spread + crossed + sheet.step, record
        if record.quantity in EXACT:
            assert record.value == truth


def test_intervals_are_aligned_and_whole() -> None:
    """A sensor that begins within an interval waits for the next; each interval gives one reading."""
    gauge = next(station for station in STATIONS if station.interval_s == 300.0)
    sensor = make_sensor(gauge, 1)
    times = [
        record.time_s
        for tick in ticks(gauge, 14, start_s=1_773_100_800.0 + 120.0)
        for record in sensor.measure(tick)
        if record.quantity == "ph"
    ]
    assert times == [1_773_100_800.0 + 300.0, 1_773_100_800.0 + 600.0]


def test_a_silent_station_reads_nothing_and_forgets() -> None:
    """Where the world has no values a sensor gives none, nor for the interval it broke off in."""
    gauge = next(station for station in STATIONS if station.interval_s == 300.0)
    sensor = make_sensor(gauge, 1)
    series = ticks(gauge, 15)
    for dead in (2, 3):
        series[dead] = Tick(series[dead].time_s, {})
    times = {record.time_s for tick in series for record in sensor.measure(tick)}
    assert times == {1_773_100_800.0 + 300.0, 1_773_100_800.0 + 600.0}


def test_a_missing_quantity_leaves_the_others() -> None:
    """A minute without a speed gives every other record."""
    approach = next(station for station in STATIONS if station.kind == "traffic")
    values = {quantity: TRUE[quantity] for quantity in approach.quantities if quantity != "speed"}
    found = make_sensor(approach, 1).measure(Tick(60.0, {approach.name: values}))
    assert [r.quantity for r in found] == [q for q in approach.quantities if q != "speed"]


def test_ozone_and_heat_disturb_a_cell_as_its_sheet_says() -> None:
    """More ozone and a hotter street raise what an NO2 cell reads, beyond its noise, for every instrument."""
    station = ONE_OF_EACH[0]
    for seed in range(10):
        clean, dirty = make_sensor(station, seed), make_sensor(station, seed)
        plain = {quantity: TRUE[quantity] for quantity in station.quantities}
        means = []
        for sensor, o3, ambient_cel in ((clean, 0.0, 20.0), (dirty, 200.0, 40.0)):
            series = [
                Tick(TICK_S * n, {station.name: {**plain, "o3": o3}}, ambient_cel, 50.0) for n in range(200)
            ]
            found = [r.value for tick in series for r in sensor.measure(tick) if r.quantity == "no2"]
            means.append(sum(found) / len(found))
        expected = 200.0 * 0.06 + 20.0 * 0.10
        assert 0.55 * expected < means[1] - means[0] < 1.45 * expected


def test_a_device_needs_no_arrays() -> None:
    """Sensors run where a device runs: importing and using them loads neither numpy nor the world's parts."""
    program = (
        "import sys; import devices.sensors; "
        "print(sorted(m for m in sys.modules if m.split('.')[0] in {'numpy', 'numba', 'scipy', 'wntr'} "
        "or m.startswith('devices.world.')))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "['devices.world.model']"


def test_a_station_that_ages_fast_drifts_more() -> None:
    """With a drift of 8 the SO2 zeros of 60 stations spread several times wider after a day."""
    spreads = []
    for drift in (0.0, 8.0):
        last = []
        for seed in range(60):
            station = replace(ONE_OF_EACH[0], quantities=("so2",), drift=drift)
            sensor = make_sensor(station, seed)
            series = [Tick(TICK_S * n, {station.name: {"so2": 100.0, "no2": 0.0}}) for n in range(1440)]
            last.append([r.value for tick in series for r in sensor.measure(tick)][-1])
        spreads.append(stdev(last))
    assert spreads[1] > 1.2 * spreads[0]
