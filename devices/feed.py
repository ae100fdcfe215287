"""The feed: the world's process, started, read ahead by a few ticks, and ended."""

import subprocess
import sys
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import BinaryIO, Self, cast

from devices.world.model import Tick
from devices.world.stream import read_world
from pipeline.wire.errors import UnavailableError

TICKS_AHEAD = 4
END_S = 5.0


class Feed:
    """The ticks of a scenario. The world waits while nobody takes them: nothing piles up.

    Raises:
        UnavailableError: The process does not start, or breaks off.
    """

    def __init__(self, scenario: str, seed: int, truth: Path) -> None:
        command = [sys.executable, "-m", "devices.world", "--scenario", scenario, "--seed", str(seed)]
        self._process = subprocess.Popen(
            [*command, "--truth", str(truth)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the simulator, which then ends the world.
        )
        self._queue: Queue[Tick | UnavailableError] = Queue(TICKS_AHEAD)
        self._stopping = Event()
        try:
            self.stations, self._ticks = read_world(cast("BinaryIO", self._process.stdout))
        except UnavailableError:
            self._end()
            self._close()
            raise
        self._thread = Thread(target=self._read, name="feed", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._thread.join()

    def next_tick(self, wait_s: float) -> Tick | None:
        """Return the next tick, or None if it is not there after `wait_s`.

        Raises:
            UnavailableError: The world's process has ended.
        """
        try:
            tick = self._queue.get(timeout=wait_s) if wait_s > 0 else self._queue.get_nowait()
        except Empty:
            return None
        if isinstance(tick, UnavailableError):
            raise tick
        return tick

    def _end(self) -> None:
        self._stopping.set()
        self._process.terminate()  # It still writes the truth as far as it went.
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _close(self) -> None:
        cast("BinaryIO", self._process.stdout).close()

    def _read(self) -> None:
        try:
            for tick in self._ticks:
                self._put(tick)
            self._put(UnavailableError("the world's process", "it has ended"))
        except UnavailableError as error:
            self._put(error)
        finally:
            self._close()

    def _put(self, tick: Tick | UnavailableError) -> None:
        while not self._stopping.is_set():
            try:
                self._queue.put(tick, timeout=0.2)
            except Full:
                continue
            return
