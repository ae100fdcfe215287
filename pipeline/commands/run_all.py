"""`cityproof run all`: the whole pipeline in one process, for devices to publish to."""

from pathlib import Path

from pipeline.commands.stopping import heed_signals, run_until_stopped
from pipeline.embedded import embedded_city
from pipeline.folder import open_city


async def run(directory: Path, port: int) -> int:
    """Run until Ctrl-C or SIGTERM."""
    folder, _ = open_city(directory)
    stopping = heed_signals()
    async with embedded_city(folder, port, lambda _size: None) as city:
        print(f"listening on mqtt://{city.host}:{city.port}", flush=True)
        print(f"policy {folder.policy}, authority's key {folder.authority_key}", flush=True)
        await run_until_stopped(stopping, city.stages.task)
    return 0
