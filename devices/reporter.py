"""How a run shows itself: a live line with a bar for people, JSON lines for programs, or nothing."""

import json
import os
import sys
from threading import Event
from typing import Any, Literal, Self

import typer

Style = Literal["text", "json", "none"]


class Reporter:
    """Shows statuses.

    Args:
        style: For whom.
        stopping: Set where nobody reads the JSON lines any more.
    """

    def __init__(self, style: Style, stopping: Event) -> None:
        self._style = style
        self._stopping = stopping
        self._bar: Any = None

    def __enter__(self) -> Self:
        if self._style == "text":
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[line]}"))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task("starting", total=None, line="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def report(self, status: dict[str, Any]) -> None:
        """Show a status."""
        if self._style == "json":
            self._write(status)
        elif self._bar is not None:
            done = status.get("before", 0) + status["published"] - status["waiting"]
            self._bar.update(
                self._bar.task_ids[0],
                description=status["phase"],
                total=status.get("values"),
                completed=done,
                line=_line(status),
            )

    def end(self, summary: dict[str, Any]) -> None:
        """Show how it ended."""
        if self._style == "json":
            brief = {name: value for name, value in summary.items() if name != "by_device"}
            self._write({"phase": "done"} | brief)
        elif self._bar is not None:
            self._bar.stop()
            typer.echo(_line(summary))
            if waiting := summary["ever"]["waiting"]:
                typer.echo(f"{waiting} records wait in the outbox: the next run with this --dir sends them.")

    def _write(self, status: dict[str, Any]) -> None:
        try:
            typer.echo(json.dumps(status))
        except BrokenPipeError:  # Whoever started us is gone: drain, and end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._stopping.set()


def _line(status: dict[str, Any]) -> str:
    refused = sum(status["answered"].values()) + sum(status["parked"].values())
    line = f"{status['published']:,} records published, {status['receipted']:,} receipted,"
    line += f" {status['waiting']:,} waiting, {refused:,} refused"
    link = status.get("link", "connected")
    return line if link == "connected" else f"{line} ({link})"
