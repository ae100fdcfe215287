"""Who watches a log: fsck, monitor, audit, findings."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import (
    LATEST,
    AsJson,
    AuditorToken,
    Authorities,
    Config,
    Folder,
    FolderArgument,
    Log,
    Policy,
)
from pipeline.wire.errors import InputError

app = typer.Typer()


@app.command(
    epilog="Example: cityproof fsck demo/latest; "
    "cityproof fsck https://log.city.example --auditor-token-file token --policy policy.txt"
)
def fsck(
    log: Log = str(LATEST),
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="How many check blocks; default: one a processor.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Derive a whole log again from its files, and name every wrong place. Exit 0: clean; 1: not."""
    from pipeline.commands.fsck import Question, run

    question = Question(log, policy, authorities, auditor_token_file, processes)
    raise typer.Exit(run(question, as_json=as_json))


@app.command(
    epilog="Example: cityproof monitor demo/latest --once; "
    "cityproof monitor https://log.city.example --auditor-token-file token --policy policy.txt"
)
def monitor(
    log: Log = str(LATEST),
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    state: Annotated[
        Path | None, typer.Option(help="Where it remembers; default: monitor/ in the folder, or here.")
    ] = None,
    once: Annotated[bool, typer.Option(help="Check what is new, and end.")] = False,
    interval_s: Annotated[float, typer.Option(min=0.1, help="How often it looks.")] = 5.0,
    gap_s: Annotated[float, typer.Option(min=0, help="How long a statement may stay away.")] = 60.0,
    skew_s: Annotated[float, typer.Option(min=0, help="How far clocks and arrival may be apart.")] = 300.0,
    as_json: AsJson = False,
) -> None:
    """Follow a log and report what is wrong. Exit 0: in order; 1: something was reported; 2: not checked."""
    from pipeline.commands.monitor import Question, run
    from pipeline.verify.monitor import Patience

    patience = Patience(gap_s=gap_s, skew_s=skew_s)
    question = Question(log, policy, authorities, auditor_token_file, state, once, interval_s, patience)
    raise typer.Exit(asyncio.run(run(question, as_json=as_json)))


@app.command(
    epilog="Example: cityproof audit demo/latest; "
    "cityproof audit city --follow --broker mqtt://127.0.0.1:1883 --key keys/auditor.key"
)
def audit(
    directory: FolderArgument = LATEST,
    follow: Annotated[bool, typer.Option(help="Compare again and again, until Ctrl-C.")] = False,
    broker: Annotated[
        str | None, typer.Option(help="State what is found in the log, by this broker: mqtt://HOST:PORT.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The auditor's key file; default: keys/auditor.key in the folder.")
    ] = None,
    interval_s: Annotated[float, typer.Option(min=0.1, help="How long it rests between two looks.")] = 2.0,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Compare every stored point with what its device signed. Exit 0: all agree; 1: some do not."""
    from pipeline.commands.audit import Stating, run, state
    from pipeline.commands.stores import city_of

    city = city_of(directory, config)
    if broker is None:
        if follow or key is not None:
            raise InputError("--broker", "it is needed to state findings", "Name one: mqtt://HOST:PORT.")
        raise typer.Exit(run(city, as_json=as_json))
    import uvloop

    raise typer.Exit(uvloop.run(state(city, Stating(key, broker, follow, interval_s), as_json=as_json)))


@app.command(epilog="Example: cityproof findings demo/latest --json")
def findings(
    log: Log = str(LATEST),
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """List what auditors have stated in the log about stored points that do not say what was signed."""
    from pipeline.commands.findings import run

    raise typer.Exit(run(log, policy, authorities, auditor_token_file, as_json=as_json))


@app.command(epilog="Example: cityproof rebuild points --config city.toml --from 120000")
def rebuild(
    what: Annotated[str, typer.Argument(help="points, archive (block bodies and tiles) or receipts.")],
    directory: Folder = LATEST,
    first: Annotated[
        int, typer.Option("--from", min=0, help="Of points: begin at this entry of the log.")
    ] = 0,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make again from the bus what follows from it; the service that writes it must be stopped."""
    import uvloop

    from pipeline.commands.rebuild import run

    raise typer.Exit(uvloop.run(run(what, directory, config, first, as_json=as_json)))


@app.command(epilog="Example: cityproof reconcile --config city.toml --json")
def reconcile(directory: Folder = LATEST, config: Config = None, as_json: AsJson = False) -> None:
    """Say what became of every statement: stored, superseded, waiting, refused. Exit 1: some are missing."""
    import uvloop

    from pipeline.commands.reconcile import run

    raise typer.Exit(uvloop.run(run(directory, config, as_json=as_json)))
