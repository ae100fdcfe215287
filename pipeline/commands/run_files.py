"""`cityproof run files`: serve a log's published files over HTTP, block bodies to auditors only."""

from pathlib import Path

from pipeline.commands.reading import read_token, reader_of
from pipeline.commands.stopping import heed_signals
from pipeline.edges.http_server import files_app, serve


async def run(directory: Path, auditor_token_file: Path | None, host: str, port: int) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    app = files_app(reader_of(directory), read_token(auditor_token_file) if auditor_token_file else None)
    stopping = heed_signals()
    async with serve(app, host, port) as (at_host, at_port):
        print(f"serving the log of {directory} at http://{at_host}:{at_port}", flush=True)
        await stopping.wait()
    return 0
