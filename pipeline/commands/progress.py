"""How far long work has come, on the terminal's standard error; nothing where rich is missing."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], None]  # So much of so much is done.


@contextmanager
def progress_bar(task: str, unit: str, *, shown: bool) -> Generator[Progress]:
    """Show a bar while the work in this context lasts."""
    if not shown or find_spec("rich") is None:
        yield lambda _done, _size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (f"{task}: {unit}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        number = progress.add_task(task, total=None)
        yield lambda done, size: progress.update(number, completed=done, total=size)
