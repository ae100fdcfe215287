"""Options that several of the devices' commands have, and how they end on Ctrl-C."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

Broker = Annotated[
    str,
    typer.Option(help="The MQTT broker: mqtt://HOST:PORT, or mqtts://HOST:PORT?ca=FILE&access=FOLDER."),
]
Policy = Annotated[Path, typer.Option(help="The policy file of the log whose receipts count.")]
BROKER = "mqtt://127.0.0.1:1883"


@contextmanager
def stop_on_signal() -> Iterator[Event]:
    """Yield an event that Ctrl-C and SIGTERM set."""
    stopping = Event()
    before = {
        number: signal.signal(number, lambda *_: stopping.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
