"""`cityproof run web`: serve the pages, and a log's public files beside them."""

from pathlib import Path

from pipeline.commands.reading import reader_of
from pipeline.commands.stopping import heed_signals
from pipeline.edges.http_server import serve, web_app
from pipeline.web import STATIC


async def run(directory: Path, host: str, port: int) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    stopping = heed_signals()
    async with serve(web_app(reader_of(directory), STATIC), host, port) as (at_host, at_port):
        print(f"pages and log of {directory} at http://{at_host}:{at_port}", flush=True)
        await stopping.wait()
    return 0
