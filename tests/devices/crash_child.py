"""A fleet that is killed: run by test_crashes.py as a process of its own, forking one child a crash.

Every step that a crash may follow or precede has a name: each statement that writes to the outbox, each
durable call of a key file, the first publish of a turn. A child dies by SIGKILL at its nth step. What it
published stands in a file that is written without any buffer, so the parent knows it whenever the child dies.
"""

import os
import signal
import sqlite3
import stat
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, cast
from unittest.mock import patch

from devices.fleet import Fleet, LogKey
from devices.inputs import Site
from devices.link import Arrival, Link
from devices.outbox import Outbox
from pipeline.wire.keys import SeedSigner
from pipeline.wire.messages import encode_receipts, encode_refusal
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import Record
from pipeline.wire.statement import parse_statement
from pipeline.wire.topics import receipts_topic, refusals_topic
from tests.devices.fakes import ORIGIN, FakeLink, Receipts

ISSUERS = [f"urn:dev:ops:32473-test-{number}" for number in range(3)]
TURNS = 5


class Steps:
    """Counts steps, and kills this process at the one that was chosen."""

    def __init__(self, folder: Path, last: int) -> None:
        self._last = last
        self._count = 0
        self._names = os.open(folder / "steps", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def step(self, name: str) -> None:
        self._count += 1
        if self._count == self._last:
            os.write(self._names, name.encode() + b"\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **named: Any) -> Any:
            self.step(f"before {name}")
            result = call(*arguments, **named)
            self.step(f"after {name}")
            return result

        return stepped


class Crashing(sqlite3.Connection):
    """A connection of which every statement is two steps."""

    steps: Steps
    written = "nothing"

    def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
        if sql.startswith(("SELECT", "PRAGMA")):
            return super().execute(sql, *more)
        return cast("sqlite3.Cursor", self.steps.around(self._name(sql), super().execute)(sql, *more))

    def executemany(self, sql: str, rows: Iterable[Any]) -> sqlite3.Cursor:
        if not (rows := list(rows)):
            return super().executemany(sql, rows)
        return cast("sqlite3.Cursor", self.steps.around(self._name(sql), super().executemany)(sql, rows))

    def _name(self, sql: str) -> str:
        """Name a statement by what it writes, and a commit by the last thing written in it."""
        if sql in {"BEGIN IMMEDIATE", "COMMIT"}:
            return f"{sql} after {self.written}"
        self.written = " ".join(sql.split()[:4])
        return self.written

    def executescript(self, sql: str) -> sqlite3.Cursor:
        return cast("sqlite3.Cursor", self.steps.around("schema", super().executescript)(sql))


class AnsweringLink(FakeLink):
    """Writes down what is published, and answers two of three: every ninth with a refusal, else a receipt."""

    def __init__(self, folder: Path, steps: Steps, random: Random) -> None:
        super().__init__()
        self._sent = os.open(folder / "sent", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._receipts = Receipts()
        self._steps = steps
        self._random = random
        self._first = True

    def receive(self, wait_s: float, limit: int) -> list[Arrival]:
        self._first = True  # A turn begins by receiving.
        return super().receive(wait_s, limit)

    def publish(self, topic: str, payload: bytes) -> bool:
        assert topic.startswith("statements/")
        statement = parse_statement(payload)
        if self._first:
            self._steps.step("before publish")
        os.write(self._sent, payload.hex().encode() + b"\n")
        if self._first:
            self._steps.step("after publish")
        self._first = False
        if self._random.random() < 1 / 3:
            return True  # Lost on the way: no answer.
        if statement.sequence % 9 == 5:
            refusal = encode_refusal(sha256(payload).digest(), Reason.PACK_VALUE)
            self.arrivals.append(Arrival(refusals_topic(statement.issuer), refusal))
        else:
            receipt = self._receipts.sign([payload])[0]
            message = encode_receipts([(statement.epoch, statement.sequence, receipt)])
            self.arrivals.append(Arrival(receipts_topic(statement.issuer), message))
        return True


def run(folder: Path, last: int, *, drain: bool) -> None:
    """Run the fleet on a folder; every value is drawn anew, so that a sequence used twice shows."""
    steps = Steps(folder, last)
    Crashing.steps = steps
    connect = partial(sqlite3.connect, factory=Crashing)
    fsync_file, fsync_folder = (steps.around(f"fsync of {kind}", os.fsync) for kind in ("file", "folder"))

    def fsync(file: int) -> None:
        (fsync_folder if stat.S_ISDIR(os.fstat(file).st_mode) else fsync_file)(file)

    clock = [0.0]
    for name, stand_in in {
        "sqlite3.connect": connect,
        "os.fsync": fsync,
        "pathlib.Path.replace": steps.around("rename", Path.replace),
        "time.monotonic": lambda: clock[0],
    }.items():
        patch(name, stand_in).start()
    site = Site("", LogKey(ORIGIN, Receipts().signer.public_key), (SeedSigner(bytes(32)), ""), folder)
    link = AnsweringLink(folder, steps, Random(last))
    with Outbox(site.outbox) as outbox:
        fleet = Fleet(outbox, site.log, Random(last))
        fleet.join(site.signers((issuer, f"station/{issuer[-1]}") for issuer in ISSUERS))
        for _ in range(TURNS):
            clock[0] += 1.0
            signed = [
                member.device.sign_records([Record("pm2_5", "ug/m3", os.urandom(1)[0] / 7, time.time())])
                for member in fleet.members.values()
            ]
            fleet.turn(cast("Link", link), signed)
        while drain and not fleet.idle:
            clock[0] += 10.0
            fleet.turn(cast("Link", link))


def main() -> None:
    """Crash at the steps named on the command line, one child each, and drain at the end."""
    folder = Path(sys.argv[1])
    for last in map(int, sys.argv[2:]):
        child = os.fork()
        if child == 0:
            run(folder, last, drain=False)
            os._exit(0)
        os.waitpid(child, 0)
    run(folder, -1, drain=True)


if __name__ == "__main__":
    main()
