"""A Kafka of a test's own, started as `make stack` starts it, to be misconfigured or paused."""

import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.support.secured_mosquitto import CHECKOUT, native_servers


@contextmanager
def own_kafka(folder: Path, settings: str = "") -> Generator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Its address and its process; settings are appended to those of deploy/."""
    native = native_servers()  # Loaded for this call: where things stand is changed in it.
    shutil.copytree(CHECKOUT / "deploy", folder / "deploy")
    with (folder / "deploy" / "kafka" / "server.properties").open("a") as file:
        file.write(settings)
    native.STACK, native.HERE = folder / "stack", folder / "deploy" / "native"
    native.STACK.mkdir()
    processes: list[subprocess.Popen[bytes]] = []

    def launch(name: str, command: list[str]) -> int:
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return processes[0].pid

    native.launch = launch
    at = native.start_kafka()["kafka"]
    try:
        native.await_answer("kafka", at)
        yield at, processes[0]
    finally:
        processes[0].kill()
        processes[0].wait()
