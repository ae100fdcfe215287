"""How a command that runs for good is told to stop: Ctrl-C, or SIGTERM."""

import asyncio
import signal


def heed_signals() -> asyncio.Event:
    """Return an event that is set once this process is asked to stop."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    return stopping


async def run_until_stopped(stopping: asyncio.Event, task: asyncio.Task[None]) -> None:
    """Wait for the event, or raise what a task ended with before it."""
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait({stopped, task}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if task.done():
        task.result()
