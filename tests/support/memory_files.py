"""`ports.Files` in memory: what was not synced when its writer was stopped is there or not, file by file."""

import asyncio
from collections.abc import Callable, Mapping


class MemoryFiles:
    """A folder.

    Args:
        survives: Whether a file is there that was written, but not synced yet, when the writer was stopped.
        step: Called before, within and after every write; what it raises stops the writer there.
    """

    def __init__(
        self, survives: Callable[[], bool] = lambda: False, step: Callable[[], None] = lambda: None
    ) -> None:
        self.files: dict[str, bytes] = {}
        self.step = step
        self._survives = survives

    async def write(self, path: str, data: bytes) -> None:
        await self.write_many({path: data})

    async def write_many(self, files: Mapping[str, bytes]) -> None:
        written: dict[str, bytes] = {}
        try:
            for path, data in files.items():
                self.step()
                written[path] = data
            self.step()
            await asyncio.sleep(0)
        except BaseException:
            self.files |= {path: data for path, data in written.items() if self._survives()}
            raise
        self.files |= files
        self.step()
        await asyncio.sleep(0)

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)
