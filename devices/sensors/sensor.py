"""A sensor: the chains of one station's quantities, and the interval at which it gives readings."""

from collections.abc import Mapping

from devices.sensors.chain import REFERENCE_CEL, REFERENCE_HUMIDITY, Chain
from devices.world.model import TICK_S, Station, Tick
from pipeline.wire.quantities import QUANTITIES
from pipeline.wire.senml import Record


class Sensor:
    """Gives a record a quantity when a signed interval ends; its time is the interval's beginning."""

    def __init__(self, station: Station, chains: Mapping[str, Chain]) -> None:
        self.station = station
        self._chains = chains
        self._begun_s: float | None = None

    def measure(self, tick: Tick) -> list[Record]:
        """Take one minute; return the readings if an interval ends with it, else nothing.

        Intervals are aligned to UTC. One that was not felt from its first minute gives no readings.
        """
        values = tick.values.get(self.station.name)
        if values is None:
            self._begun_s = None
            for chain in self._chains.values():
                chain.forget()
            return []
        interval_s = self.station.interval_s
        if tick.time_s % interval_s < TICK_S:
            self._begun_s = tick.time_s
        others = {
            **values,
            "ambient_cel": tick.ambient_cel - REFERENCE_CEL,
            "ambient_humidity": tick.ambient_humidity - REFERENCE_HUMIDITY,
        }
        for quantity, chain in self._chains.items():
            if quantity in values:
                chain.feel(values[quantity], others)
        if (tick.time_s + TICK_S) % interval_s >= TICK_S:
            return []
        readings = [(quantity, chain.read()) for quantity, chain in self._chains.items()]
        if self._begun_s is None:
            return []
        return [
            Record(quantity, QUANTITIES[quantity].unit, value, self._begun_s)
            for quantity, value in readings
            if value is not None
        ]
