"""What one carries away and checks: proofs, evidence, series."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import LATEST, AsJson, AuditorToken, Authorities, Config, Folder, Log, Policy

app = typer.Typer()


@app.command(epilog="Example: cityproof verify demo/latest/proofs/*.proof")
def verify(
    files: Annotated[list[Path], typer.Argument(help="Point proofs, evidence, equivocations.")],
    policy: Policy = None,
    authorities: Authorities = None,
    as_json: AsJson = False,
) -> None:
    """Verify proofs offline. Exit 0: all valid; 1: one is invalid; 2: one could not be checked."""
    from pipeline.commands.verify import run

    raise typer.Exit(run(files, policy, authorities, as_json=as_json))


@app.command(epilog="Example: cityproof inspect demo/latest/proofs/0000.proof")
def inspect(
    file: Annotated[str, typer.Argument(help="A file with any object of ours, or - for standard input.")],
    policy: Policy = None,
    authorities: Authorities = None,
) -> None:
    """Decode an object step by step, and name the first check that fails."""
    from pipeline.commands.inspect import run

    raise typer.Exit(run(file, policy, authorities))


@app.command(
    epilog="Example: cityproof prove --device urn:dev:ops:32473-air-01 --quantity no2 "
    "--at 2026-03-02T08:00:00Z --out no2.proof"
)
def prove(
    device: Annotated[str, typer.Option(help="The device's URN.")],
    quantity: Annotated[str, typer.Option(help="What it measured.")],
    at: Annotated[str, typer.Option(help="When: ISO 8601, UTC unless it says otherwise.")],
    out: Annotated[Path, typer.Option(help="Where the proof goes.")],
    directory: Folder = LATEST,
    url: Annotated[
        str | None, typer.Option(help="The URL of a log's files, which is searched for the point.")
    ] = None,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    config: Config = None,
) -> None:
    """Carry a stored point away as a file that anyone can verify offline."""
    from pipeline.commands.prove import Question, Trust, run, run_remote
    from pipeline.commands.stores import city_of

    question = Question(device, quantity, at, out)
    trust = Trust(policy, authorities, auditor_token_file)
    if url:
        raise typer.Exit(run_remote(url, trust, question))
    raise typer.Exit(run(city_of(directory, config), trust, question))


Names = list[str] | None


@app.command(
    epilog="Example: cityproof export demo/latest --device urn:dev:ops:32473-air-01 "
    "--from 2026-03-02T08:00:00Z --to 2026-03-02T09:00:00Z --out hour.evidence --csv hour.csv"
)
def export(
    out: Annotated[Path, typer.Option(help="Where the evidence goes.")],
    log: Log = str(LATEST),
    device: Annotated[Names, typer.Option(help="A device's URN; may be given several times.")] = None,
    subject: Annotated[Names, typer.Option(help="What statements are about; several times.")] = None,
    area: Annotated[Names, typer.Option(help="An area of enrolments; several times.")] = None,
    quantity: Annotated[Names, typer.Option(help="What was measured; several times.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="ISO 8601, inside; UTC unless it says.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="ISO 8601, outside.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the records as CSV, too.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write the records as Parquet, too.")] = None,
    equivocations: Annotated[
        Path | None, typer.Option(help="A folder for evidence against signers who signed twice.")
    ] = None,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
) -> None:
    """Carry all that answers a query away, with proofs and what is shown of its completeness."""
    from pipeline.commands.export import Question, run

    asked = [tuple(names or ()) for names in (device, subject, area, quantity)]
    question = Question(
        log, asked[0], asked[1], asked[2], asked[3], first, end, out, csv, parquet, equivocations, policy,
        authorities, auditor_token_file,
    )  # fmt: skip
    raise typer.Exit(run(question))


@app.command(epilog="Example: cityproof series --dir demo/latest")
def series(
    directory: Folder = LATEST,
    device: Annotated[str | None, typer.Option(help="Only this device's.")] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List what there is: devices, quantities, spans, numbers of points."""
    from pipeline.commands.series import run
    from pipeline.commands.stores import city_of

    raise typer.Exit(run(city_of(directory, config), device, as_json=as_json))
