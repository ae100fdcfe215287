"""The world's process: `python -m devices.world --scenario NAME --seed S --truth FILE` streams to stdout."""

import argparse
import json
import sys
from pathlib import Path

from devices.world.city import City
from devices.world.stream import encode_stations, encode_tick


def main() -> None:
    """Write the stations and then ticks until nobody reads any more; a slow reader makes it wait."""
    parser = argparse.ArgumentParser(prog="python -m devices.world")
    parser.add_argument("--scenario", default="calm")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--truth", type=Path)
    arguments = parser.parse_args()
    city = City(arguments.scenario, arguments.seed)
    if arguments.truth:
        arguments.truth.write_text(json.dumps(city.truth()), encoding="utf-8")
    out = sys.stdout.buffer
    try:
        out.write(encode_stations(city.stations))
        for tick in city.run():
            out.write(encode_tick(tick, city.stations))
            out.flush()
    except BrokenPipeError:
        sys.stderr.close()


if __name__ == "__main__":
    main()
