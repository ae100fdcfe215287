"""The command `cityproof`. Each command loads what it needs when it runs: `verify` starts in a blink."""

import os
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec

if find_spec("rich") is None:
    os.environ.setdefault("TYPER_USE_RICH", "0")  # A light install verifies without it.

import typer

from pipeline.cli import access, bench, city, keys, logs, proofs, run, shipment, trace
from pipeline.wire.errors import InputError, PipelineError

UNUSABLE = 2


def _merge(into: typer.Typer, other: typer.Typer) -> None:
    """Take over another application's commands; groups of one name become one."""
    into.registered_commands += other.registered_commands
    groups = {group.name: group.typer_instance for group in into.registered_groups}
    for group in other.registered_groups:
        known = groups.get(group.name)
        if known is not None and group.typer_instance is not None:
            _merge(known, group.typer_instance)
        else:
            into.registered_groups.append(group)


app = typer.Typer(
    name="cityproof",
    help="Sensor readings that anyone can verify: from the device's signature to the cosigned log.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for part in (proofs.app, logs.app, city.app):
    _merge(app, part)
app.add_typer(run.run_app, name="run")
app.add_typer(keys.key_app, name="key")
app.add_typer(keys.device_app, name="device")
app.add_typer(trace.trace_app, name="trace")
app.add_typer(shipment.shipment_app, name="shipment")
app.add_typer(access.access_app, name="access")
app.add_typer(bench.bench_app, name="bench")


def main() -> None:
    """Run the command line; every error of ours is one line, and exits with 2."""
    for entry_point in entry_points(group="cityproof.commands"):
        _merge(app, entry_point.load())
    try:
        app()
    except* InputError as group:
        _fail(group)
    except* PipelineError as group:
        _fail(group)


def _fail(group: BaseExceptionGroup[PipelineError]) -> None:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    sys.stderr.write(f"cityproof: {error}\n")
    sys.exit(UNUSABLE)
