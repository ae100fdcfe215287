"""`cityproof run files`: serve a log's published files over HTTP, block bodies to auditors only."""

import asyncio
import signal
from pathlib import Path

from pipeline.commands.reading import reader_of
from pipeline.edges.http_server import files_app, serve
from pipeline.wire.errors import InputError


async def run(directory: Path, auditor_token_file: Path | None, host: str, port: int) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    app = files_app(reader_of(directory), _read_token(auditor_token_file) if auditor_token_file else None)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with serve(app, host, port) as (at_host, at_port):
        print(f"serving the log of {directory} at http://{at_host}:{at_port}", flush=True)
        await stopping.wait()
    return 0


def _read_token(path: Path) -> str:
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("--auditor-token-file", str(error), "Name a file that holds the token.") from error
    if len(token) < 32:
        raise InputError("--auditor-token-file", "the token is short", "Make one of 32 characters or more.")
    return token
