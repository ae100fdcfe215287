"""`cityproof run alarms`, and `run all --webhook`: open shipments are judged on the stream, alarms told."""

import asyncio
from pathlib import Path
from random import Random

from pipeline.commands.run_services import TRY_AGAIN
from pipeline.commands.stopping import heed_signals, run_until_stopped
from pipeline.edges.clock import SYSTEM_CLOCK
from pipeline.edges.keyfile import load_or_create_key
from pipeline.edges.sqlite_alarms import SqliteAlarms
from pipeline.edges.webhook import open_webhook, public_key_text
from pipeline.folder import CityFolder
from pipeline.ports import Bus
from pipeline.stages import alarms
from pipeline.wire.errors import FencedError, UnavailableError

NAME = "https://alarms.demo.cityproof.example/"


async def watch(bus: Bus, shards: int, folder: CityFolder, url: str) -> None:
    """Watch a city's shipments and tell this URL, until cancelled.

    Raises:
        InputError: It is no URL, or another process watches already.
    """
    signer = load_or_create_key(folder.root / "keys" / "alarms.key", NAME)
    async with (
        SqliteAlarms.open(folder.state / "alarms.db") as store,
        open_webhook(url, signer) as receiver,
    ):
        print(f"alarms go to {url}, signed by {public_key_text(signer)}", flush=True)
        await alarms.run(bus, shards, store, receiver, SYSTEM_CLOCK, Random())  # noqa: S311 - jitter


async def run(config: Path | None, url: str) -> int:
    """Watch a city on servers until Ctrl-C or SIGTERM. Exit 75: to be started again."""
    from pipeline.servers import open_site
    from pipeline.settings import load_settings

    settings = load_settings(config).settings
    stopping = heed_signals()
    status = 0
    try:
        async with open_site(settings, "alarms", None) as site:
            task = asyncio.create_task(watch(site.bus, site.shards, site.folder, url))
            try:
                await run_until_stopped(stopping, task)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
    except* (FencedError, UnavailableError) as group:
        print(f"{group.exceptions[0]}. To be started again.", flush=True)
        status = TRY_AGAIN
    return status
