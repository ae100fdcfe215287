"""The intruder of `cityproof bench audit`: alters, deletes and inserts points, one after the other.

A program of its own, which asks none of our code. Says of each change what, where and when, in JSON lines.
"""

import json
import random
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

SELECT = """
    SELECT series, device, subject, quantity, time_us, value, ref
    FROM points JOIN series ON series.id = series
"""
UPDATE = "UPDATE points SET value = ? WHERE series = ? AND time_us = ?"
DELETE = "DELETE FROM points WHERE series = ? AND time_us = ?"
INSERT = "INSERT INTO points VALUES (?, ?, ?, ?)"


def main() -> None:
    """Change points: `python -m pipeline.commands.bench.intruder POINTS.db COUNT_OF_EACH SEED PAUSE_S`."""
    store, count, seed, pause_s = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    chance = random.Random(seed)  # noqa: S311 - a measurement that can be repeated, not a secret
    kinds = ["point_altered", "point_missing", "point_unexpected"] * count
    chance.shuffle(kinds)
    with closing(sqlite3.connect(store, timeout=10, isolation_level=None)) as connection:
        rows = chance.sample(connection.execute(SELECT).fetchall(), len(kinds))
        for kind, (series, device, subject, quantity, time_us, value, ref) in zip(kinds, rows, strict=True):
            at_us = time_us
            if kind == "point_altered":
                connection.execute(UPDATE, (value + chance.choice([-0.001, 1.0, 100.0]), series, time_us))
            elif kind == "point_missing":
                connection.execute(DELETE, (series, time_us))
            else:
                at_us += chance.randrange(1, 400_000)
                connection.execute(INSERT, (series, at_us, value, ref))
            place = {"device": device, "subject": subject, "quantity": quantity, "time_us": at_us}
            print(json.dumps({"reason": kind, **place, "at_ms": time.time_ns() // 1_000_000}), flush=True)
            time.sleep(pause_s)


if __name__ == "__main__":
    main()
