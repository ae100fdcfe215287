"""The devices' commands: `simulate`, `replay`, `scenarios`, and the group `device`.

They read, call one function, and print.

`cityproof` loads them by entry point, and prints every error of ours in one line.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from devices.device_cli import device_app
from devices.options import BROKER, Broker, Policy, stop_on_signal
from devices.reporter import Reporter, Style
from pipeline.wire.errors import InputError

INCOMPLETE = 1

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.add_typer(device_app, name="device")

Enrol = Annotated[
    Path, typer.Option("--enrol", help="The key file of the authority that enrols the devices.")
]
Folder = Annotated[Path, typer.Option("--dir", help="Where keys and outbox stay between runs.")]
Status = Annotated[Style, typer.Option(help="A line every second: for people, as JSON, or none.")]


@app.command(
    epilog="Example: cityproof simulate --scenario haze --policy policy.txt --enrol authority.key --dir fleet"
)
def simulate(
    policy: Policy,
    enrol: Enrol,
    directory: Folder,
    broker: Broker = BROKER,
    scenario: Annotated[
        str, typer.Option(help="What happens in the city; see `cityproof scenarios`.")
    ] = "calm",
    seed: Annotated[int, typer.Option(help="Decides everything that is random.")] = 7,
    speed: Annotated[
        float, typer.Option(min=0.0, help="Simulated seconds per second; 0: as fast as receipts allow.")
    ] = 60.0,
    seconds: Annotated[
        float | None, typer.Option(min=0.0, help="Stop measuring after so many seconds.")
    ] = None,
    faults: Annotated[str, typer.Option(help="none, all, or NAME[:DEVICES],…")] = "none",
    truth: Annotated[
        Path | None,
        typer.Option(help="Where the truth goes, for scoring alone; default: truth.json in --dir."),
    ] = None,
    rotate: Annotated[int, typer.Option(min=0, help="So many devices change their keys meanwhile.")] = 0,
    status: Status = "text",
) -> None:
    """Run a city's sensors against any broker: they measure, sign, publish, and wait for receipts."""
    from devices.inputs import open_site
    from devices.simulator import Plan
    from devices.simulator import simulate as run
    from devices.world import scenarios as known

    known.scenario(scenario)
    site = open_site(broker, policy, enrol, directory)
    plan = Plan(scenario, seed, speed, seconds, faults, truth or directory / "truth.json", rotate)
    with stop_on_signal() as stopping, Reporter(status, stopping) as reporter:
        reporter.end(run(site, plan, stopping, reporter.report))


@app.command(
    epilog="Example: cityproof replay week.csv --mapping aded2022 --policy policy.txt --enrol key --dir week"
)
def replay(
    table: Annotated[Path, typer.Argument(help="A CSV: long rows, or wide with --mapping.")],
    policy: Policy,
    enrol: Enrol,
    directory: Folder,
    broker: Broker = BROKER,
    mapping: Annotated[
        str | None,
        typer.Option(help="A mapping file, or the name of one that comes with cityproof: aded2022."),
    ] = None,
    position: Annotated[
        str | None, typer.Option(help="LONGITUDE,LATITUDE,HEIGHT_M of devices whose rows have none.")
    ] = None,
    status: Status = "text",
) -> None:
    """Import a CSV of measurements: signed by devices marked as imported, and published like any other.

    Long rows have the columns time, device, quantity, value, unit, and may have kind, subject, area,
    longitude, latitude, height_m, and longitude2, latitude2, height2_m for the far end of a beam. An
    interrupted import goes on where it stopped.
    """
    from devices.inputs import open_site
    from devices.replay import Import
    from devices.replay import replay as run

    site = open_site(broker, policy, enrol, directory)
    wanted = Import(table, mapping, _position(position))
    with stop_on_signal() as stopping, Reporter(status, stopping) as reporter:
        summary = run(site, wanted, stopping, reporter.report)
        reporter.end(summary)
    if summary["waiting"] or summary["parked"]:
        raise typer.Exit(INCOMPLETE)


@app.command(epilog="Example: cityproof scenarios")
def scenarios(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,  # noqa: FBT002
) -> None:
    """List what can happen in the simulated city."""
    from devices.world import scenarios as known

    listed = known.scenarios()
    if as_json:
        rows = [{"name": one.name, "title": one.title.model_dump()} for one in listed.values()]
        typer.echo(json.dumps({"version": known.version(), "scenarios": rows}, ensure_ascii=False))
        return
    width = max(map(len, listed))
    for one in listed.values():
        typer.echo(f"{one.name:{width}}  {one.title.en} ({one.title.zh})\n{'':{width}}  {one.description.en}")


def _position(text: str | None) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        longitude, latitude, height_m = map(float, text.split(","))
    except ValueError as error:
        raise InputError(
            "--position", f"{text!r} is no place", "Write LONGITUDE,LATITUDE,HEIGHT_M."
        ) from error
    return longitude, latitude, height_m
