"""Writes rounds into every embedded store until it is killed or has done ROUNDS. Says what was acknowledged.

Round n appends two messages to `statements` and one to `log`, commits a group, writes two points, two index
rows, a finding, an alarm with a statement, and two files. It goes on behind what it finds on the bus, as a
stage does.

`python crash_child.py FOLDER`
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.edges.files import LocalFiles
from pipeline.edges.keyfile import load_or_create_key
from pipeline.edges.sqlite_alarms import SqliteAlarms
from pipeline.edges.sqlite_bus import SqliteBus
from pipeline.edges.sqlite_findings import SqliteFindings
from pipeline.edges.sqlite_index import SqliteReceiptIndex
from pipeline.edges.sqlite_points import SqlitePoints
from pipeline.ports import Append, ChainState, KeptStatement, LeafPlace, Point
from pipeline.stages.auditor import Signatory
from pipeline.wire.finding import Finding, FoundPlace
from pipeline.wire.keys import SeedSigner
from pipeline.wire.reasons import Reason

ROUNDS = 6
TOPICS = {"statements": 2, "log": 1}
ISSUER = "urn:dev:org:32473-1"
SIGNER = SeedSigner(bytes(32))


def batch(number: int) -> list[Append]:
    value = b"%d" % number
    return [Append("statements", 0, value), Append("statements", 1, value * 5000), Append("log", 0, value)]


def points(number: int) -> list[Point]:
    return [Point("air", ISSUER, "site", quantity, number, 0.5, number) for quantity in ("no2", "o3")]


def rows(number: int) -> list[LeafPlace]:
    return [LeafPlace(ISSUER, 0, 2 * number + n, number, 1, number, n + 1) for n in (0, 1)]


def finding(number: int) -> Finding:
    return Finding(
        reason=Reason.POINT_MISSING,
        place=FoundPlace(ISSUER, "site", "no2", number),
        signed=0.5,
        stored=None,
        ref=(number, 1),
        noticed_ms=number,
        unnoticed_ms=None,
        size=number,
        root=bytes(32),
        credentials=("root",),
    )


def files(number: int) -> dict[str, bytes]:
    return {f"tile/{number}": b"%d" % number * 3000, "checkpoint": b"%d" % number * 3000}


async def main(folder: Path, say: Callable[[str, object], None]) -> None:
    public_key = load_or_create_key(folder / "keys" / "log.key", "log").public_key
    say("key", public_key.hex())
    log = LocalFiles(folder / "log")
    async with (
        SqliteBus.open(folder / "bus.db", TOPICS) as bus,
        bus.writer("bridge") as writer,
        SqlitePoints.open(folder / "points.db") as store,
        SqliteReceiptIndex.open(folder / "receipts.db") as index,
        SqliteFindings.open(folder / "findings.db") as outbox,
        SqliteAlarms.open(folder / "alarms.db") as alarms,
    ):
        say("open", 0)
        last = await bus.last("log", 0)
        for number in range(int(last.value) + 1 if last else 0, ROUNDS):
            await writer.append(batch(number))
            say("appended", number)
            await bus.commit("courier", "log", 0, number + 1)
            say("resumes", number)
            await store.write(points(number))
            say("points", number)
            await index.put(rows(number))
            say("rows", number)
            chain = await outbox.chain() or ChainState(1, 0, bytes(32))
            await outbox.add(*Signatory("https://audit.example/", SIGNER, chain).sign([finding(number)]))
            say("finding", number)
            kept = [KeptStatement("shipment", b"%d" % number, number, 1)]
            await alarms.take(number, kept, [(f"alarm_{number}", b"%d" % number)], [])
            say("alarm", number)
            await log.write_many(files(number))
            say("files", number)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), lambda what, which: print(what, which, flush=True)))
