"""What the loggers of a fleet of trucks read: `python -m devices.fleet_readings …`, CSV on stdout.

Columns: logger, accuracy (°C, 95 %), time_s, sequence, temperature. The arguments are those of the world's
process, which is started for it; a statement holds what was read in two minutes.
"""

import csv
import subprocess
import sys
from typing import BinaryIO, cast

from devices.sensors import accuracy, make_sensor
from devices.world.stream import read_world

PACK_S = 120.0


def main() -> int:
    """Run the fleet's world, and write what sensors make of it."""
    seed = int(sys.argv[sys.argv.index("--seed") + 1])
    command = [sys.executable, "-m", "devices.world.fleet", *sys.argv[1:]]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as world:
        stations, ticks = read_world(cast("BinaryIO", world.stdout))
        sensors = [make_sensor(station, seed) for station in stations]
        exact = {station.issuer: accuracy(station)["temperature"] for station in stations}
        writer = csv.writer(sys.stdout)
        first_s: float | None = None
        for tick in ticks:
            first_s = tick.time_s if first_s is None else first_s
            sequence = int((tick.time_s - first_s) // PACK_S)
            for sensor in sensors:
                issuer = sensor.station.issuer
                for record in sensor.measure(tick):
                    writer.writerow([issuer, exact[issuer], record.time_s, sequence, record.value])
    return world.returncode


if __name__ == "__main__":
    sys.exit(main())
