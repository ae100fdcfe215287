"""`cityproof rebuild`: make again from the bus what follows from it: points, archive and tiles, receipts.

The service that usually writes them must not be running: each holds a folder of its own, and so does this.
"""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.commands.progress import Progress, progress_bar
from pipeline.counts import Counts
from pipeline.edges.sqlite_index import SqliteReceiptIndex
from pipeline.folder import CityFolder
from pipeline.services import Site, run_services
from pipeline.stages import courier, projector
from pipeline.stages.follow import log_end
from pipeline.wire.errors import InputError

LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many of what were made again."""

    number: int
    unit: str


Rebuild = Callable[[Site, int, Progress], Awaitable[Rebuilt]]


async def run(what: str, directory: Path, config: Path | None, first: int, *, as_json: bool) -> int:
    """Make it again, from an entry of the log on.

    Raises:
        InputError: There is no such thing to make, or the service that makes it is running.
        UnavailableError: A server does not answer.
    """
    if what not in TARGETS:
        raise InputError("WHAT", f"nothing is called {what}", f"Name one of: {', '.join(TARGETS)}.")
    if first and what != "points":
        raise InputError("--from", f"{what} is made again as a whole", "Leave it out.")
    began_s = time.monotonic()
    async with open_idle_site(directory, config) as site:
        with progress_bar(f"rebuilding {what}", "log", shown=not as_json) as progress:
            done = await TARGETS[what](site, first, progress)
    seconds = time.monotonic() - began_s
    rate = round(done.number / seconds)
    if as_json:
        print(json.dumps({"what": what, done.unit: done.number, "seconds": seconds, "per_second": rate}))
    else:
        print(f"{what}: {done.number:,} {done.unit} in {seconds:.1f} s, {rate:,} a second")
    return 0


@asynccontextmanager
async def open_idle_site(directory: Path, config: Path | None) -> AsyncGenerator[Site]:
    """Open the city of a file of settings where there is one, and else a stopped one in a folder."""
    if config is None:
        from pipeline.embedded import open_stopped_site

        async with open_stopped_site(CityFolder(directory)) as site:
            yield site
        return
    from pipeline.servers import open_site
    from pipeline.settings import load_settings

    async with open_site(load_settings(config).settings, "rebuild") as site:
        yield site


async def _points(site: Site, first: int, progress: Progress) -> Rebuilt:
    _, end = await log_end(site.bus)
    with site.held("projector"):
        # A crash from here on leaves the projector to go on from where this has come.
        await projector.rewind(site.bus, first)
    counts = await _serve(site, "projector", end, lambda: projector.position(site.bus), progress)
    return Rebuilt(counts.given, "points")


async def _archive(site: Site, _first: int, progress: Progress) -> Rebuilt:
    size, _ = await log_end(site.bus)
    published = 0

    def hear(new: int) -> None:
        nonlocal published
        published = new

    async def position() -> int:
        return published

    with site.held("publisher"):
        # A crash after this leaves the publisher to begin at the genesis: it writes the same files again.
        shutil.rmtree(site.folder.state / "publisher", ignore_errors=True)
    counts = await _serve(replace(site, on_published=hear), "publisher", size, position, progress)
    return Rebuilt(counts.given, "entries")


async def _receipts(site: Site, _first: int, progress: Progress) -> Rebuilt:
    _, end = await log_end(site.bus)
    path = site.folder.state / "receipts.db"
    counts = Counts()
    async with SqliteReceiptIndex.open(path) as index:

        async def position() -> int:
            return reached

        reached = 0

        def hear(log_offset: int) -> None:
            nonlocal reached
            reached = log_offset

        await _watch(courier.reindex(site.bus, site.shards, index, counts, hear), end, position, progress)
    return Rebuilt(counts.given, "receipts")


async def _serve(
    site: Site, service: str, end: int, position: Callable[[], Awaitable[int]], progress: Progress
) -> Counts:
    """Run a service until it has come so far; return what it has counted."""
    await _watch(run_services(site, [service]), end, position, progress)
    return site.board.all()[service, ""]


async def _watch(
    work: Coroutine[Any, Any, None], end: int, position: Callable[[], Awaitable[int]], progress: Progress
) -> None:
    task = asyncio.create_task(work)
    try:
        while (reached := await position()) < end and not task.done():
            progress(reached, end)
            await asyncio.wait([task], timeout=LOOK_S)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled():
        task.result()


TARGETS: Mapping[str, Rebuild] = {"points": _points, "archive": _archive, "receipts": _receipts}
