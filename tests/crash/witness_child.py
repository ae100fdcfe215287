"""`cityproof run witness` in a forked process, which strace kills at a syscall of one of its threads."""

import asyncio
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pipeline.commands import run_witness
from pipeline.ports import WitnessAnswer

HOST = "127.0.0.1"
HEAD = "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nConnection: close\r\n"
ANSWER_S = 20.0
IDLE_S = (
    0.05  # After an answer there are a few more calls; where one is missed, that costs a place to die at.
)

_PR_SET_PTRACER = 0x59616D61
_PR_SET_PTRACER_ANY = ctypes.c_ulong(-1)
_CALL = re.compile(r"^(?:\d+ +)?([a-z_0-9]+)\(", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """The nth call of a syscall by one thread: 0 is the one that serves, 1 the one that writes files."""

    thread: int
    syscall: str
    nth: int


class WitnessProcess:
    """The process, listening; killed at the end of the context."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            _live(folder, name, writing)
        os.close(writing)
        with os.fdopen(reading) as output:
            lines = [output.readline() for _ in range(2)]  # Its address; its line for a policy.
        found = re.search(r":(\d+)\n", lines[1])
        assert found, "it did not start"
        self.port = int(found[1])
        self.ended: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Return its exit status, negative for the signal that killed it."""
        if self.ended is None:
            self.ended = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.ended

    def is_alive(self) -> bool:
        """Tell whether it runs still."""
        if self.ended is None:
            pid, code = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.ended = os.waitstatus_to_exitcode(code)
        return self.ended is None

    def threads(self) -> list[int]:
        """Its threads by age: the one that serves, the one that writes."""
        return sorted(int(task.name) for task in Path(f"/proc/{self.pid}/task").iterdir())

    def submit(self, *requests: bytes) -> list[WitnessAnswer | None]:
        """Send requests at once, each over its own connection; None where no whole answer came."""
        sockets = [socket.create_connection((HOST, self.port), ANSWER_S) for _ in requests]
        for connection, body in zip(sockets, requests, strict=True):
            head = f"{HEAD}Content-Length: {len(body)}\r\n\r\n"
            with suppress(ConnectionError):
                connection.sendall(head.encode() + body)
        return [_receive(connection) for connection in sockets]


def _receive(connection: socket.socket) -> WitnessAnswer | None:
    received = b""
    with connection, suppress(ConnectionError):
        while chunk := connection.recv(65536):
            received += chunk
    head, blank, body = received.partition(b"\r\n\r\n")
    if not blank:
        return None
    fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
    if len(body) != int(fields["content-length"]):
        return None
    return WitnessAnswer(int(head.split()[1]), fields["content-type"], body)


def _live(folder: Path, name: str, output: int) -> None:
    """Run the command as the child, and never return."""
    status = 3
    try:
        sys.stdout = os.fdopen(output, "w")
        # Where the system lets only parents trace, allow it to strace, which will be our sibling.
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _PR_SET_PTRACER_ANY, 0, 0, 0)
        asyncio.run(_run(folder, name))
        status = 0
    except BaseException:  # noqa: BLE001 - the child says what happened, and ends
        traceback.print_exc()
    finally:
        os._exit(status)


async def _run(folder: Path, name: str) -> None:
    # One thread for files, so that every place in it is met again in the next process.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    state, guard, policy = folder / "witness", folder / "guard", folder / "policy.txt"
    await run_witness.run(state, guard, name, policy, HOST, 0)


class Strace:
    """strace on one thread of a process."""

    def __init__(self, thread: int, *arguments: str) -> None:
        command = ["strace", "-p", str(thread), *arguments]
        self._process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        assert self._process.stderr is not None
        said = self._process.stderr.readline()
        assert "attached" in said, said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # Detaches.
        self._process.communicate()


def count_calls(process: WitnessProcess, requests: Sequence[bytes], output: Path) -> list[Place]:
    """Return every place that the process passes while it answers these requests, after which it idles."""
    threads = process.threads()
    assert len(threads) == 2, "one thread serves, one writes files"
    traces = [output / str(number) for number in range(2)]
    with Strace(threads[0], "-o", str(traces[0])), Strace(threads[1], "-o", str(traces[1])):
        process.submit(*requests)
        time.sleep(IDLE_S)
    assert process.threads() == threads
    places = []
    for number, trace in enumerate(traces):
        calls = Counter(_CALL.findall(trace.read_text(encoding="utf-8", errors="replace")))
        calls.pop("restart_syscall", None)  # Where strace came in.
        places += [Place(number, name, nth + 1) for name in sorted(calls) for nth in range(calls[name])]
    return places


def kill_at(process: WitnessProcess, place: Place, requests: Sequence[bytes]) -> list[WitnessAnswer | None]:
    """Submit requests to a process that is killed right before it makes this call."""
    inject = f"inject={place.syscall}:signal=KILL:when={place.nth}"
    thread = process.threads()[place.thread]
    with Strace(thread, "-o", os.devnull, "-e", f"trace={place.syscall}", "-e", inject):
        answers = process.submit(*requests)
        if None in answers:
            process.wait()  # Whoever breaks off an answer is dead, or will be at once.
        else:
            time.sleep(IDLE_S)
        return answers
