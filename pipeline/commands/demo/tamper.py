"""The intruder of the demo: somebody who can write to the point store, and alters some of its values.

A program of its own, which asks none of our code. It leaves the list of what it altered in a file that only
the scoring reads, afterwards.
"""

import json
import random
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

SELECT = """
    SELECT series, device, quantity, time_us, value FROM points JOIN series ON series.id = series
"""


def main() -> None:
    """Alter points: `python -m pipeline.commands.demo.tamper POINTS.db COUNT SEED OUT.json`."""
    store, count, seed, out = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    chance = random.Random(seed)  # noqa: S311 - a demo that can be repeated, not a secret
    altered = []
    with closing(sqlite3.connect(store, timeout=10)) as connection, connection:
        rows = connection.execute(SELECT).fetchall()
        for series, device, quantity, time_us, value in chance.sample(rows, min(count, len(rows))):
            lie = round(value * chance.uniform(0.2, 0.8) + 0.125, 3)
            update = "UPDATE points SET value = ? WHERE series = ? AND time_us = ?"
            connection.execute(update, (lie, series, time_us))
            altered.append({"device": device, "quantity": quantity, "time_us": time_us, "is": lie})
    out.write_text(json.dumps(altered), encoding="utf-8")


if __name__ == "__main__":
    main()
