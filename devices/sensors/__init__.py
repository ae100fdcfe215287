"""Simulated instruments: what a device reads where the world has a truth. One kind a file, one line here."""

from collections.abc import Mapping
from random import Random

from devices.sensors import air, cold, traffic, water, weather
from devices.sensors.chain import Chain, Sheet
from devices.sensors.sensor import Sensor
from devices.world.model import Station

SHEETS: Mapping[str, Mapping[str, Sheet]] = {
    "air": air.STATION,
    "air beam": air.BEAM,
    "weather": weather.SHEETS,
    "water": water.SHEETS,
    "traffic": traffic.SHEETS,
    "cold": cold.SHEETS,
}


def make_sensor(station: Station, seed: int) -> Sensor:
    """Return the instrument of a station; its errors follow from the seed, quantity by quantity."""
    sheets = _sheets(station)
    chains = {
        quantity: Chain(sheets[quantity], Random(f"{seed} {station.issuer} {quantity}"), station.drift)
        for quantity in station.quantities
    }
    return Sensor(station, chains)


def accuracy(station: Station) -> dict[str, float]:
    """Return how far 95 % of a fresh instrument's readings near zero are off at most, by quantity."""
    sheets = _sheets(station)
    return {quantity: sheets[quantity].accuracy(station.interval_s) for quantity in station.quantities}


def _sheets(station: Station) -> Mapping[str, Sheet]:
    return SHEETS[f"{station.kind} beam" if station.beam_end else station.kind]
