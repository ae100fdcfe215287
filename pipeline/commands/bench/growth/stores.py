"""The bus and the receipts index in SQLite, with that many rows on disk: what opening and looking up reads.

Rows cannot be made as they are read here, so these stop at 10^6. Both are B-trees: a level more a few hundred
times the rows.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

from pipeline.commands.bench.growth.meter import Cost
from pipeline.edges.sqlite_bus import SqliteBus
from pipeline.edges.sqlite_index import SqliteReceiptIndex
from pipeline.ports import Append, LeafPlace
from pipeline.wire.topics import LOG

SIGNERS = 1000
BATCH = 10_000
VALUE = bytes(24)
IO = Path("/proc/self/io")  # Linux only: how often and how much this process has read.


def measure_stores(sizes: Sequence[int]) -> dict[str, list[Cost]]:
    """Return what opening a store and looking one row up costs, at every number of rows."""
    costs: dict[str, list[Cost]] = {
        "open the bus, read its last message": [],
        "open the index, find a receipt": [],
    }
    for rows in sizes:
        with TemporaryDirectory() as folder:
            bus, index = asyncio.run(_measure(Path(folder), rows))
        for store, cost in zip(costs.values(), (bus, index), strict=True):
            store.append(cost)
    return costs


async def _measure(folder: Path, rows: int) -> tuple[Cost, Cost]:
    async with _bus(folder) as bus, bus.writer("bench") as writer:
        for start in range(0, rows, BATCH):
            await writer.append([Append(LOG, 0, VALUE)] * min(BATCH, rows - start))
    places = _places(rows)
    async with SqliteReceiptIndex.open(folder / "index.db") as index:
        while batch := list(islice(places, BATCH)):
            await index.put(batch)

    before, began_s = _read_so_far(), process_time()
    async with _bus(folder) as bus:
        message = await bus.last(LOG, 0)
    bus_cost = _cost(before, began_s)
    assert message is not None
    assert message.offset == rows - 1, "every row is there"

    middle = next(islice(_places(rows), rows // 2, None))
    before, began_s = _read_so_far(), process_time()
    async with SqliteReceiptIndex.open(folder / "index.db") as index:
        found = await index.find(middle.issuer, middle.epoch, middle.sequence)
    index_cost = _cost(before, began_s)
    assert list(found) == [middle], "and found again"
    return bus_cost, index_cost


@asynccontextmanager
async def _bus(folder: Path) -> AsyncGenerator[SqliteBus]:
    async with SqliteBus.open(folder / "bus.db", {LOG: 1}) as bus:
        yield bus


def _places(rows: int) -> Iterator[LeafPlace]:
    """Yield the leaf of each of so many blocks, its signers taking turns."""
    for block in range(rows):
        yield LeafPlace(
            f"urn:dev:ops:32473-growth-{block % SIGNERS}", 1, block // SIGNERS, block, 1, block, 1
        )


def _read_so_far() -> Counter[str]:
    if not IO.exists():
        return Counter()
    fields = dict(line.split(": ") for line in IO.read_text().splitlines())
    return Counter(reads=int(fields["syscr"]), bytes=int(fields["rchar"]))


def _cost(before: Counter[str], began_s: float) -> Cost:
    spent_s = process_time() - began_s
    read = _read_so_far() - before
    return Cost(read["reads"], read["bytes"], 0, 0, 0, 0, spent_s)
