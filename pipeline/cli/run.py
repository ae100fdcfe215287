"""`cityproof run`: the stages as services."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import LATEST, Config, Folder
from pipeline.wire.errors import InputError

run_app = typer.Typer(no_args_is_help=True, help="Run the pipeline.")


def _run_services(names: list[str], config: Path | None, member: str | None = None) -> None:
    import uvloop

    from pipeline.commands.run_services import run

    raise typer.Exit(uvloop.run(run(names, config, member)))


@run_app.command("bridge", epilog="Example: cityproof run bridge --config city.toml")
def run_bridge(config: Config = None) -> None:
    """Move statements from MQTT to Kafka, until Ctrl-C. Exit 75: start it again."""
    _run_services(["bridge"], config)


@run_app.command(
    "aggregator", epilog="Example: cityproof run aggregator --config city.toml --name aggregator-1"
)
def run_aggregator(
    config: Config = None,
    name: Annotated[
        str | None,
        typer.Option(help="Its own among the aggregators: started again, it has its shards back at once."),
    ] = None,
) -> None:
    """Check statements and seal them, until Ctrl-C; several share the shards. Exit 75: start it again."""
    _run_services(["aggregator"], config, name)


@run_app.command("log", epilog="Example: cityproof run log --config city.toml")
def run_log(config: Config = None) -> None:
    """Sign blocks in one order, until Ctrl-C. Exit 75: start it again."""
    _run_services(["log"], config)


@run_app.command("publisher", epilog="Example: cityproof run publisher --config city.toml")
def run_publisher(config: Config = None) -> None:
    """Publish the log with its cosigned checkpoint, until Ctrl-C. Exit 75: start it again."""
    _run_services(["publisher"], config)


@run_app.command("courier", epilog="Example: cityproof run courier --config city.toml")
def run_courier(config: Config = None) -> None:
    """Send devices their receipts and refusals, until Ctrl-C. Exit 75: start it again."""
    _run_services(["courier"], config)


@run_app.command("projector", epilog="Example: cityproof run projector --config city.toml")
def run_projector(config: Config = None) -> None:
    """Write what the log holds into InfluxDB, until Ctrl-C. Exit 75: start it again."""
    _run_services(["projector"], config)


@run_app.command(
    "alarms", epilog="Example: cityproof run alarms --config city.toml --webhook https://ops.example/alarms"
)
def run_alarms(
    webhook: Annotated[str, typer.Option(help="Where alarms go: signed, and again until they are taken.")],
    config: Config = None,
) -> None:
    """Judge open shipments while they travel, and tell what a limit is in for, until Ctrl-C."""
    import uvloop

    from pipeline.commands.run_alarms import run

    raise typer.Exit(uvloop.run(run(config, webhook)))


Webhook = Annotated[
    str | None, typer.Option(help="A URL that hears of alarms of shipments, signed by Standard Webhooks.")
]


@run_app.command("all", epilog="Example: cityproof run all --dir city --port 1883")
def run_all(
    directory: Annotated[
        Path | None, typer.Option("--dir", help="The city's folder, made if it is missing.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The broker's port, 1883; 0: any free one.")
    ] = None,
    webhook: Webhook = None,
    config: Config = None,
) -> None:
    """Run every stage in this process, until Ctrl-C: embedded in a folder, or on servers by --config."""
    if config is not None:
        if directory is not None or port is not None:
            raise InputError("--config", "it stands in for --dir and --port", "Give a folder or settings.")
        if webhook is not None:
            remedy = "Run it beside: cityproof run alarms --config CONFIG --webhook URL"
            raise InputError("--webhook", "on servers alarms are a process of their own", remedy)
        from pipeline.services import SERVICES

        _run_services(list(SERVICES), config)
    if directory is None:
        raise InputError("--dir", "there is no folder", "Name one, or a file of settings: --config.")
    import uvloop

    from pipeline.commands.run_all import run

    raise typer.Exit(uvloop.run(run(directory, 1883 if port is None else port, webhook)))


Host = Annotated[str, typer.Option(help="The address to listen on.")]


@run_app.command(
    "witness",
    epilog="Example: cityproof run witness --name eeb.example/witness --policy policy.txt "
    "--dir witness --guard /var/lib/witness-guard --port 8801",
)
def run_witness(
    name: Annotated[str, typer.Option(help="The witness's key name: a URL without its scheme.")],
    policy: Annotated[Path, typer.Option(help="A policy file: it cosigns for the logs named there.")],
    directory: Annotated[Path, typer.Option("--dir", help="Where its key and memory are.")],
    guard: Annotated[
        Path, typer.Option(help="A folder apart from --dir and its backups, which counts along.")
    ],
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8801,
) -> None:
    """Cosign checkpoints over HTTP (C2SP tlog-witness), as another department would, until Ctrl-C."""
    import uvloop

    from pipeline.commands.run_witness import run

    raise typer.Exit(uvloop.run(run(directory, guard, name, policy, host, port)))


@run_app.command("files", epilog="Example: cityproof run files --dir demo/latest --port 8802")
def run_files(
    directory: Folder = LATEST,
    auditor_token_file: Annotated[
        Path | None,
        typer.Option(help="Holds the token that block bodies ask for; without it nobody gets any."),
    ] = None,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8802,
) -> None:
    """Serve a log's checkpoint and tiles to everyone, and its block bodies to auditors, until Ctrl-C."""
    import uvloop

    from pipeline.commands.run_files import run

    raise typer.Exit(uvloop.run(run(directory, auditor_token_file, host, port)))


@run_app.command("web", epilog="Example: cityproof run web --dir demo/latest --port 8800")
def run_web(
    directory: Folder = LATEST,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8800,
) -> None:
    """Serve the page on which a browser verifies proofs, and the log's public files, until Ctrl-C."""
    import uvloop

    from pipeline.commands.run_web import run

    raise typer.Exit(uvloop.run(run(directory, host, port)))
