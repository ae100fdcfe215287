"""One stage of a city on servers as a process, forked from one that has all modules, for strace to kill."""

import asyncio
import ctypes
import multiprocessing
import os
import signal
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pipeline.edges.kafka import KafkaBus
from pipeline.edges.mqtt import MqttInbox
from pipeline.folder import CityFolder
from pipeline.ports import Inbox
from pipeline.services import COMPACTED, INBOX_TOPICS, PARTITIONS, Site, run_services

SHARD = 1  # The one whose aggregator is killed.
START_S = 30.0

_PR_SET_PTRACER = 0x59616D61
_PR_SET_PTRACER_ANY = ctypes.c_ulong(-1)
_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["tests.crash.stage_child"])


@dataclass(frozen=True)
class Where:
    """A city's folder, its bus and its broker."""

    folder: Path
    kafka: str
    prefix: str
    mosquitto_port: int

    def open_bus(self) -> AbstractAsyncContextManager[KafkaBus]:
        return KafkaBus.open(self.kafka, PARTITIONS, compacted=COMPACTED, prefix=self.prefix)

    def site(self, bus: KafkaBus, share: Callable[[Any], Awaitable[None]]) -> Site:
        def inbox() -> AbstractAsyncContextManager[Inbox]:
            return MqttInbox.open("127.0.0.1", self.mosquitto_port, f"{self.prefix}bridge", INBOX_TOPICS)

        def nothing() -> Any:
            raise AssertionError("not of this city")

        return Site(CityFolder(self.folder), bus, inbox, nothing, nothing, share=share)


class StageProcess:
    """A stage at work, to be killed."""

    def __init__(self, stage: str, where: Where) -> None:
        said, saying = _FORKING.Pipe(duplex=False)
        self._process = _FORKING.Process(target=_live, args=(stage, where, saying), daemon=True)
        self._process.start()
        saying.close()
        assert said.poll(START_S), "it did not start"
        assert said.recv() == "at work"
        assert self._process.pid is not None
        self.pid = self._process.pid

    def threads(self) -> list[int]:
        """Its threads by age: that of the loop, that of files."""
        return sorted(int(task.name) for task in Path(f"/proc/{self.pid}/task").iterdir())

    def exit_code(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        """End it, wherever it is."""
        self._process.kill()
        self._process.join()


def _live(stage: str, where: Where, saying: Connection) -> None:
    # Where the system lets only parents trace, allow it to strace, which is no parent of ours.
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _PR_SET_PTRACER_ANY, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_run(stage, where, saying))


async def _run(stage: str, where: Where, saying: Connection) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))  # All files in one thread, which is there from now on.
    await loop.run_in_executor(None, os.getpid)
    async with where.open_bus() as bus:
        site = where.site(bus, lambda work: work(SHARD))
        task = asyncio.create_task(run_services(site, [stage]))
        while not task.done() and (not site.board.all() or site.board.unready(time.monotonic())):
            await asyncio.wait([task], timeout=0.005)
        saying.send("at work")
        await task
