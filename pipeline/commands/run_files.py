"""`cityproof run files`: serve a log's published files over HTTP, block bodies to auditors only."""

import asyncio
import signal
from pathlib import Path

from pipeline.commands.reading import read_token, reader_of
from pipeline.edges.http_server import files_app, serve


async def run(directory: Path, auditor_token_file: Path | None, host: str, port: int) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    app = files_app(reader_of(directory), read_token(auditor_token_file) if auditor_token_file else None)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with serve(app, host, port) as (at_host, at_port):
        print(f"serving the log of {directory} at http://{at_host}:{at_port}", flush=True)
        await stopping.wait()
    return 0
