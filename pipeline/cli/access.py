"""`cityproof access`: who the MQTT broker lets in."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AsJson

access_app = typer.Typer(
    no_args_is_help=True, help="Say whom the MQTT broker lets in, each by its own password."
)

City = Annotated[Path, typer.Option("--dir", help="The city's folder, with the broker's files.")]
CITY = Path("city")


@access_app.command(epilog="Example: cityproof access add urn:dev:ops:32473-air-7 --dir city --out air-7")
def add(
    out: Annotated[Path, typer.Option(help="The folder where each one's access file goes, mode 0600.")],
    names: Annotated[
        list[str] | None, typer.Argument(help="Devices, services, people: as the log knows them.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--from", help="A file with a name a line.")] = None,
    authority: Annotated[
        bool, typer.Option(help="They are authorities: the registry is theirs to write.")
    ] = False,
    directory: City = CITY,
) -> None:
    """Let names in, each with a new password; one that was in has to use the new one."""
    from pipeline.commands.access import add as run
    from pipeline.commands.access import read_names

    wanted = [*(names or []), *(read_names(file) if file else [])]
    raise typer.Exit(run(directory, wanted, out, authority=authority))


@access_app.command(epilog="Example: cityproof access remove urn:dev:ops:32473-air-7 --dir city")
def remove(
    names: Annotated[list[str], typer.Argument(help="Whom to let in no more.")], directory: City = CITY
) -> None:
    """Let names in no more. Their keys are another matter: see `device revoke`."""
    from pipeline.commands.access import remove as run

    raise typer.Exit(run(directory, names))


@access_app.command("list", epilog="Example: cityproof access list --dir city --json")
def list_all(directory: City = CITY, as_json: AsJson = False) -> None:
    """List who is let in, and as what."""
    from pipeline.commands.access import show

    raise typer.Exit(show(directory, as_json=as_json))
