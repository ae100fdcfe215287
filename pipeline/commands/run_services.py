"""`cityproof run bridge`, `aggregator` and so on: services of a city on servers, in this process."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from pipeline.commands.stopping import heed_signals, run_until_stopped
from pipeline.counts import Board
from pipeline.edges.journal import open_journal, tell
from pipeline.servers import open_site
from pipeline.services import run_services
from pipeline.settings import HealthSettings, load_settings
from pipeline.wire.errors import FencedError, PipelineError, UnavailableError

# EX_TEMPFAIL of sysexits.h: a server did not answer, or another process has taken over. Either way a new
# start finds out where we are.
TRY_AGAIN = 75


async def run(names: Collection[str], config: Path | None, member: str | None = None) -> int:
    """Run services until Ctrl-C or SIGTERM.

    Args:
        names: Which services.
        config: The file of settings, if there is one.
        member: This process's name among the aggregators, if it keeps one from start to start.

    Returns:
        Exit code 0, or 75: to be started again.
    """
    settings = load_settings(config).settings
    process = member or (next(iter(names)) if len(names) == 1 else "all")
    stopping = heed_signals()
    open_journal(process)
    status = 0
    try:
        async with open_site(settings, process, member) as site, _tell_health(settings.health, site.board):
            task = asyncio.create_task(run_services(site, names))
            try:
                print(f"running {', '.join(names)}", flush=True)
                tell("started", {"services": list(names)})
                await run_until_stopped(stopping, task)
            finally:
                # A stop in the middle of anything leaves what a crash there leaves, and no more.
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
    except* (FencedError, UnavailableError) as group:
        status = TRY_AGAIN
        tell(f"{_first(group)}. To be started again.", {"exit": status}, level=logging.ERROR)
    else:
        tell("stopped")
    return status


@asynccontextmanager
async def _tell_health(settings: HealthSettings, board: Board) -> AsyncGenerator[None]:
    """Answer those who ask how this process is, where the settings say so."""
    if not settings.port:
        yield
        return
    from pipeline.edges.http_server import health_app, serve
    from pipeline.edges.metrics import Metrics

    app = health_app(lambda: board.unready(time.monotonic()), Metrics(board).page)
    async with serve(app, settings.host, settings.port):
        yield


def _first(group: BaseExceptionGroup[PipelineError]) -> BaseException:
    """Return the error to tell of: that others have taken over explains whatever else went wrong."""
    fenced = group.subgroup(FencedError)
    error: BaseException = fenced or group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
