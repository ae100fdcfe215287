"""`cityproof shipment`: was it kept as it had to be?"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AsJson

shipment_app = typer.Typer(no_args_is_help=True, help="Judge whether a shipment was kept as it had to be.")


@shipment_app.command("profiles", epilog="Example: cityproof shipment profiles --json")
def shipment_profiles(as_json: AsJson = False) -> None:
    """List the limits profiles that come along: limits, durations, sources."""
    from pipeline.commands.shipment import profiles

    raise typer.Exit(profiles(as_json=as_json))


@shipment_app.command(
    "judge", epilog="Example: cityproof shipment judge --readings trip.csv --profile eu-gdp-2-8 --json"
)
def shipment_judge(
    readings: Annotated[Path, typer.Option(help="time,quantity,value,unit; also epoch,sequence if signed.")],
    profile: Annotated[str, typer.Option(help="A profile's name, or a .toml file of your own.")],
    first: Annotated[
        str | None, typer.Option("--from", help="When it began; default: first reading.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="When it ended; default: last reading.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge one logger's readings. Exit 0: in limits; 1: breach; 2: could not judge; 3: undetermined."""
    from pipeline.commands.shipment import run

    raise typer.Exit(run(readings, profile, first, end, as_json=as_json))
