"""`ports.Files` in memory: a crash in the middle of a write leaves any part of it, each file whole or not."""

import asyncio
from collections.abc import Callable, Mapping


class MemoryFiles:
    """A folder.

    Args:
        survives: Whether a file survives that was written, but not yet synced, when the writer was stopped.
    """

    def __init__(self, survives: Callable[[], bool] = lambda: False) -> None:
        self.files: dict[str, bytes] = {}
        self.writes: list[str] = []
        self._survives = survives

    async def write(self, path: str, data: bytes) -> None:
        await self.write_many({path: data})

    async def write_many(self, files: Mapping[str, bytes]) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.files |= {path: data for path, data in files.items() if self._survives()}
            raise
        self.files |= files
        self.writes += files
        await asyncio.sleep(0)  # A crash here leaves all of it.

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)
