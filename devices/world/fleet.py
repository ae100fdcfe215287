"""The trucks alone, for days: `python -m devices.world.fleet --trucks N --hours H --seed S --truth FILE`.

No air is computed: the weather is a fair summer's, warm by the sun. Ticks go to stdout as those of the whole
world do. The truth holds the temperature in every box, minute by minute, for scoring and nothing else.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from devices.world import district
from devices.world.model import TICK_S, Tick
from devices.world.scenarios import FleetPlan, scenario
from devices.world.stream import encode_stations, encode_tick
from devices.world.trucks import Trucks

COOLEST_CEL, WARMTH_K = 23.0, 10.0  # At night, and more when the sun is highest.
HUMIDITY = 65.0
FAILING, DYING, OPEN = 0.06, 0.04, 0.05  # Of the trucks.
FIRST_S, LAST_S = 3600.0, 4 * 3600.0  # Breakdowns begin from the first hour on, up to so long before the end.


def plan_of(trucks: int, hours: float) -> FleetPlan:
    """Return a fleet of which some compressors fail, some loggers die, and some doors are left open."""
    return FleetPlan(
        trucks=trucks,
        failing_compressors=round(trucks * FAILING),
        dying_loggers=round(trucks * DYING),
        doors_left_open=round(trucks * OPEN),
        onset_s=(FIRST_S, max(FIRST_S, hours * 3600.0 - LAST_S)),
    )


def main() -> int:
    """Write the stations, then ticks for as long as asked; and the truth."""
    parser = argparse.ArgumentParser(prog="python -m devices.world.fleet", description=__doc__)
    parser.add_argument("--trucks", type=int, required=True, help="how many")
    parser.add_argument("--hours", type=float, required=True, help="how long")
    parser.add_argument("--seed", type=int, required=True, help="decides everything that is random")
    parser.add_argument("--truth", type=Path, required=True, help="where to leave what only scoring may read")
    arguments = parser.parse_args()
    start_s = scenario("broken-reefer").start.timestamp()
    fleet = Trucks(arguments.seed, start_s, plan_of(arguments.trucks, arguments.hours))
    stations = [
        replace(station, quantities=("temperature",))
        for station in district.stations(arguments.trucks, 1.0)
        if station.kind == "cold"
    ]
    boxes: list[list[float]] = []
    out = sys.stdout.buffer
    out.write(encode_stations(stations))
    for minute in range(round(arguments.hours * 3600.0 / TICK_S)):
        time_s = start_s + minute * TICK_S
        sun = district.sunlight(time_s)
        ambient_cel = COOLEST_CEL + WARMTH_K * sun
        boxes.append([round(value, 3) for value in fleet.air_cel])
        values = dict(fleet.advance(time_s, ambient_cel=ambient_cel, ambient_humidity=HUMIDITY, sun=sun))
        out.write(encode_tick(Tick(time_s, values, ambient_cel, HUMIDITY), stations))
    out.flush()
    truth = {"start_s": start_s, **fleet.truth(), "issuers": [s.issuer for s in stations], "air_cel": boxes}
    arguments.truth.write_text(json.dumps(truth), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
