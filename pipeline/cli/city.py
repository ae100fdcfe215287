"""A city of one's own: its settings, its keys, the demo."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, Config, need

app = typer.Typer()


@app.command(epilog="Example: cityproof config --config city.toml > copy.toml")
def config(file: Config = None, as_json: AsJson = False) -> None:
    """Print the settings of a city on servers, and where each is from: default, file or environment."""
    from pipeline.commands.config import run

    raise typer.Exit(run(file, as_json=as_json))


@app.command(epilog="Example: cityproof init --dir city --host broker.city.example")
def init(
    directory: Annotated[Path, typer.Option("--dir", help="The city's folder, made if it is missing.")],
    hosts: Annotated[
        list[str] | None,
        typer.Option("--host", help="A name or address by which devices reach the MQTT broker."),
    ] = None,
    servers: Annotated[
        bool, typer.Option("--servers", help="Prepare InfluxDB and Kafka too, which have to be running.")
    ] = False,
    config: Config = None,
) -> None:
    """Make a city's keys, trust files, passwords and certificates; what is there stays."""
    need("cryptography", "service")
    from pipeline.commands.init import run, run_with_servers

    if servers:
        raise typer.Exit(run_with_servers(directory, hosts or [], config))
    raise typer.Exit(run(directory, hosts or []))


@app.command(epilog="Example: cityproof doctor --config city.toml --mosquitto-conf mosquitto.conf")
def doctor(
    config: Config = None,
    mosquitto: Annotated[
        list[Path] | None,
        typer.Option("--mosquitto-conf", help="A file of Mosquitto's settings: what it keeps stands there."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Tell what is good, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look for what could lose data: servers, settings, clocks, disks. Exit 1: something; 3: cannot say."""
    import uvloop

    from pipeline.commands.doctor import run

    raise typer.Exit(uvloop.run(run(config, mosquitto or [], everything=everything, as_json=as_json)))


@app.command(epilog="Example: cityproof demo --seconds 30 --seed 7 --scenario stack-leak")
def demo(
    seconds: Annotated[float | None, typer.Option(min=1, help="Stop after so long; else at Ctrl-C.")] = None,
    scenario: Annotated[str, typer.Option(help="What happens; see `cityproof scenarios`.")] = "calm",
    seed: Annotated[int, typer.Option(help="Decides everything that is random.")] = 7,
    speed: Annotated[float, typer.Option(min=0, help="Simulated seconds a second.")] = 60.0,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="A city's folder to begin or go on in; default: a new one.")
    ] = None,
    headless: Annotated[bool, typer.Option(help="No table: the summary alone, on standard output.")] = False,
    summary: Annotated[Path | None, typer.Option(help="Write the summary to this file, as JSON.")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve the log's public files at this port meanwhile."),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", hidden=True)] = False,  # noqa: ARG001 - for the page to come
) -> None:
    """Run a whole city here: sensors, broker, log, witnesses; then prove, alter and find."""
    import uvloop

    from pipeline.commands.demo.run import Plan, default_root, run

    plan = Plan(directory or default_root(), scenario, seed, speed, seconds, headless, summary, port)
    raise typer.Exit(uvloop.run(run(plan)))
