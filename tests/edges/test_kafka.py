"""What only the bus on Kafka has to fear: a client that cancels what one waits for."""

import asyncio
from typing import Any

import pytest

from pipeline.edges.kafka import KafkaSender, KafkaWriter
from pipeline.ports import Append
from pipeline.wire.errors import UnavailableError

MESSAGE = [Append("log", 0, b"entry")]


class Producer:
    """Gives up whatever it is asked for, as aiokafka does when its connection is closed."""

    def __getattr__(self, _name: str) -> Any:
        async def give_up(*_: object, **__: object) -> None:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future

        return give_up

    def create_batch(self) -> Any:
        class Batch:
            def append(self, **_: object) -> object:
                return object()

        return Batch()


class Hanging(Producer):
    """Never answers."""

    def __getattr__(self, _name: str) -> Any:
        async def wait(*_: object, **__: object) -> None:
            await asyncio.Event().wait()

        return wait


async def test_what_the_client_gives_up_is_an_error_and_no_silent_end() -> None:
    """A task that is cancelled from below looks as if it had been told to end: its group goes on without."""
    giving_up: Any = Producer()
    writer, sender = KafkaWriter(giving_up, "", "log"), KafkaSender(giving_up, "")
    for work in (writer.append, sender.send):
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(work(MESSAGE))
        (error,) = caught.value.exceptions
        assert isinstance(error, UnavailableError)
        assert "given it up" in str(error)


async def test_what_we_cancel_is_cancelled() -> None:
    """Who stops a service hears no error of it."""
    hanging: Any = Hanging()
    sending = asyncio.create_task(KafkaSender(hanging, "").send(MESSAGE))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
