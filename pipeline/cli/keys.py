"""`cityproof key` and `cityproof device`: keys, and what a log says of them."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import LATEST, AsJson, AuditorToken, Authorities, Log, Policy
from pipeline.wire.errors import InputError

key_app = typer.Typer(no_args_is_help=True, help="Keys of people and services.")
device_app = typer.Typer(no_args_is_help=True, help="Keys of devices and services: ask, approve, look up.")


@key_app.command(
    "new",
    epilog="Example: cityproof key new --role witness --name transport.example/witness --out witness.key",
)
def key_new(
    role: Annotated[str, typer.Option(help="authority, log, witness, or a role to be enrolled: auditor, …")],
    name: Annotated[str, typer.Option(help="Whose it is: a URI; of logs and witnesses without https://.")],
    out: Annotated[Path, typer.Option(help="Where the key file goes; never over another.")],
    kinds: Annotated[str, typer.Option(help="Of an authority: what it may enrol, a,b,c or *.")] = "*",
    areas: Annotated[str, typer.Option(help="Of an authority: where, a,b,c or *.")] = "*",
    as_json: AsJson = False,
) -> None:
    """Make a key (mode 0600), and print its public part as others need it."""
    from pipeline.commands.key_new import run

    raise typer.Exit(run(role, name, out, kinds, areas, as_json=as_json))


@device_app.command("list", epilog="Example: cityproof device list demo/latest --state revoked")
def device_list(
    log: Log = str(LATEST),
    state: Annotated[str | None, typer.Option(help="Only those: valid, rotated, revoked.")] = None,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """List every key in a log, its state, and the authority whose word made it so."""
    from pipeline.commands.devices import Question, run_list

    if state not in {None, "valid", "rotated", "revoked"}:
        raise InputError("--state", f"{state!r} is no state", "Write valid, rotated or revoked.")
    question = Question(log, policy, authorities, auditor_token_file)
    raise typer.Exit(run_list(question, state, as_json=as_json))


@device_app.command("show", epilog="Example: cityproof device show urn:dev:ops:32473-air-0001 demo/latest")
def device_show(
    issuer: Annotated[str, typer.Argument(help="A device's URN; the URI of a person or service.")],
    log: Log = str(LATEST),
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """Show one signer's chain of keys, and every statement about them."""
    from pipeline.commands.devices import Question, run_show

    question = Question(log, policy, authorities, auditor_token_file)
    raise typer.Exit(run_show(question, issuer, as_json=as_json))
