"""`cityproof run bridge`, `aggregator` and so on: services of a city on servers, in this process."""

import asyncio
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from pipeline.commands.stopping import heed_signals, run_until_stopped
from pipeline.folder import SHARDS
from pipeline.servers import open_site
from pipeline.services import run_services
from pipeline.settings import load_settings
from pipeline.wire.errors import InputError, UnavailableError

TRY_AGAIN = (
    75  # EX_TEMPFAIL of sysexits.h: a server did not answer, and a new start will find out where we are.
)


def parse_shards(text: str | None) -> Sequence[int]:
    """Return the shards that a person named; all, where none are.

    Raises:
        InputError: One is no shard of this city, or named twice.
    """
    if text is None:
        return range(SHARDS)
    words = text.split(",")
    if any(not (word.isascii() and word.isdigit() and int(word) < SHARDS) for word in words):
        raise InputError(
            "--shards", f"not shards of this city: {text}", f"Name some of 0 to {SHARDS - 1}: 0,1,2."
        )
    shards = [int(word) for word in words]
    if len(set(shards)) != len(shards):
        raise InputError("--shards", f"a shard is named twice: {text}", "Name each once.")
    return shards


async def run(names: Collection[str], config: Path | None, shards: str | None) -> int:
    """Run services until Ctrl-C or SIGTERM; exit 75 where a server did not answer, to be started again."""
    settings, sealed = load_settings(config).settings, parse_shards(shards)
    stopping = heed_signals()
    status = 0
    try:
        async with open_site(settings, sealed) as site:
            task = asyncio.create_task(run_services(site, names))
            try:
                print(f"running {', '.join(names)}", flush=True)
                await run_until_stopped(stopping, task)
            finally:
                # A stop in the middle of anything leaves what a crash there leaves, and no more.
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
    except* UnavailableError as group:
        status = TRY_AGAIN
        sys.stderr.write(f"cityproof: {_first(group)}. To be started again.\n")
    return status


def _first(group: BaseExceptionGroup[UnavailableError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
