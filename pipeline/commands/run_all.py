"""`cityproof run all`: the whole pipeline in one process, for devices to publish to."""

import asyncio
from pathlib import Path

from pipeline.commands.stopping import heed_signals, run_until_stopped
from pipeline.embedded import embedded_city
from pipeline.folder import SHARDS, open_city


async def run(directory: Path, port: int, webhook: str | None = None) -> int:
    """Run until Ctrl-C or SIGTERM; with a webhook, alarms of shipments go there."""
    folder, _ = open_city(directory)
    stopping = heed_signals()
    async with embedded_city(folder, port, lambda _size: None) as city:
        print(f"listening on mqtt://{city.host}:{city.port}", flush=True)
        print(f"policy {folder.policy}, authority's key {folder.authority_key}", flush=True)
        if webhook is None:
            await run_until_stopped(stopping, city.stages.task)
            return 0
        from pipeline.commands.run_alarms import watch

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch(city.stages.bus, SHARDS, folder, webhook))
            await run_until_stopped(stopping, city.stages.task)
            watching.cancel()
    return 0
