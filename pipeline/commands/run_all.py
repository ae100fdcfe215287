"""`cityproof run all`: the whole pipeline in one process, for devices to publish to."""

import asyncio
import signal
from pathlib import Path

from pipeline.embedded import embedded_city
from pipeline.folder import open_city


async def run(directory: Path, port: int) -> int:
    """Run until Ctrl-C or SIGTERM."""
    folder, keys = open_city(directory)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with embedded_city(folder, keys, port, lambda _size: None) as city:
        print(f"listening on mqtt://{city.host}:{city.port}", flush=True)
        print(f"policy {folder.policy}, authority's key {folder.authority_key}", flush=True)
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait({stopped, city.stages.task}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if city.stages.task.done():
            city.stages.task.result()
    return 0
