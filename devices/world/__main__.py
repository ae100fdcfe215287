"""The world's process: `python -m devices.world --scenario NAME --seed S --truth FILE` streams to stdout.

It waits while nobody reads, and ends on SIGTERM, on Ctrl-C, or when the reader has gone. The truth is
written before the first tick, then every simulated hour, and at the end; each time a whole file takes the
place of the last.
"""

import argparse
import json
import os
import signal
import sys
from datetime import datetime
from pathlib import Path

from devices.world.city import City
from devices.world.model import TICK_S
from devices.world.scenarios import scenario
from devices.world.stream import encode_stations, encode_tick
from pipeline.wire.errors import InputError

UNUSABLE = 2
TRUTH_EVERY_S = 3600.0


def main() -> int:
    """Write the stations and then ticks for as long as somebody reads."""
    parser = argparse.ArgumentParser(prog="python -m devices.world", description=__doc__)
    parser.add_argument("--scenario", required=True, help="a name from `cityproof scenarios`")
    parser.add_argument("--seed", type=int, required=True, help="decides everything that is random")
    parser.add_argument("--truth", type=Path, help="where to leave what only scoring may read")
    parser.add_argument("--start", type=_time_s, help="another start: ISO 8601 with its offset from UTC")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        city = City(scenario(arguments.scenario), arguments.seed, arguments.start)
    except InputError as error:
        print(f"cityproof world: {error}", file=sys.stderr)  # noqa: T201 - a process speaks so
        return UNUSABLE
    try:
        _stream(city, arguments.truth)
    except BrokenPipeError:
        # The reader has gone: let the interpreter's own flush at exit go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        _write_truth(city, arguments.truth)
    return 0


def _stream(city: City, truth: Path | None) -> None:
    out = sys.stdout.buffer
    _write_truth(city, truth)
    out.write(encode_stations(city.stations))
    out.flush()
    for tick in city.run():
        if tick.time_s % TRUTH_EVERY_S < TICK_S:
            _write_truth(city, truth)
        out.write(encode_tick(tick, city.stations))
        out.flush()


def _write_truth(city: City, path: Path | None) -> None:
    if path is None:
        return
    # A crash before the rename leaves the older truth whole, and a file that the next write overwrites.
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(city.truth(), indent=1, ensure_ascii=False), encoding="utf-8")
    fresh.replace(path)


def _time_s(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} lacks its offset from UTC, such as Z")
    return moment.timestamp() // TICK_S * TICK_S


if __name__ == "__main__":
    sys.exit(main())
