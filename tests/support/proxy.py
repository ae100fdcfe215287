"""A TCP proxy of a test's own: it passes, cuts, slows down or swallows what goes through it."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

CHUNK = 65_536
SLOW_BYTES_S = 200_000
SLOW_DELAY_S = 0.2


class Mode(Enum):
    """What becomes of connections."""

    PASS = "passes"
    CUT = "closes what is open, refuses what is new"
    SLOW = "passes little, late"
    HALF_OPEN = "keeps connections and passes nothing"


class Proxy:
    """Listens on a port and speaks to another; runs in a thread of its own."""

    def __init__(self, port: int, target: int) -> None:
        self._port = port
        self._target = target
        self._mode = Mode.PASS
        self._open = asyncio.Event()  # Unless half-open.
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._call(self._listen)

    def set(self, mode: Mode) -> None:
        """Change what becomes of connections; those that stood during a half-open time end with it."""
        self._call(self._change, mode)

    def stop(self) -> None:
        self._call(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Callable[..., "asyncio.Future[None] | object"], *arguments: object) -> None:
        asyncio.run_coroutine_threadsafe(work(*arguments), self._loop).result(10)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)

    async def _change(self, mode: Mode) -> None:
        before, self._mode = self._mode, mode
        (self._open.clear if mode is Mode.HALF_OPEN else self._open.set)()
        if Mode.CUT in {mode, before} or before is Mode.HALF_OPEN:
            self._abort()

    async def _close(self) -> None:
        self._server.close()
        self._abort()
        await asyncio.sleep(0.05)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.05)

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._mode is Mode.CUT:
                return
            with suppress(OSError):
                other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._target)
                self._writers.add(other_writer)
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._pump(reader, other_writer))
                        group.create_task(self._pump(other_reader, writer))
                finally:
                    self._writers.discard(other_writer)
                    other_writer.transport.abort()
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if self._mode is Mode.SLOW:
                    await asyncio.sleep(SLOW_DELAY_S + len(data) / SLOW_BYTES_S)
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
