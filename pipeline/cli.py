"""The command `cityproof`. Each command loads what it needs when it runs: `verify` starts in a blink."""

import asyncio
import os
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

if find_spec("rich") is None:
    os.environ.setdefault("TYPER_USE_RICH", "0")  # A light install verifies without it.

import typer

from pipeline.wire.errors import InputError, PipelineError

UNUSABLE = 2

app = typer.Typer(
    name="cityproof",
    help="Sensor readings that anyone can verify: from the device's signature to the cosigned log.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

run_app = typer.Typer(no_args_is_help=True, help="Run the pipeline.")
bench_app = typer.Typer(no_args_is_help=True, help="Measure ratios, each in one run.")
trace_app = typer.Typer(no_args_is_help=True, help="Trace pollution to its source.")
device_app = typer.Typer(no_args_is_help=True, help="Keys of devices and services: ask, approve, look up.")
key_app = typer.Typer(no_args_is_help=True, help="Keys of people and services.")
shipment_app = typer.Typer(no_args_is_help=True, help="Judge whether a shipment was kept as it had to be.")
app.add_typer(run_app, name="run")
app.add_typer(key_app, name="key")
app.add_typer(device_app, name="device")
app.add_typer(trace_app, name="trace")
app.add_typer(shipment_app, name="shipment")
app.add_typer(bench_app, name="bench")

LATEST = Path("demo/latest")

Folder = Annotated[Path, typer.Option("--dir", help="The city's folder, as a demo leaves it.")]
FolderArgument = Annotated[Path, typer.Argument(help="The city's folder, as a demo leaves it.")]
Policy = Annotated[
    Path | None, typer.Option(help="The policy you trust; default: policy.txt beside the files.")
]
Authorities = Annotated[
    Path | None, typer.Option(help="The authorities you trust; default: authorities.txt beside the files.")
]
Log = Annotated[str, typer.Argument(help="The city's folder, or the URL of its log's files.")]
AuditorToken = Annotated[
    Path | None, typer.Option(help="Holds the token that block bodies ask for, where the log is a URL.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]


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
) -> None:
    """Carry a stored point away as a file that anyone can verify offline."""
    from pipeline.commands.prove import Question, Trust, run, run_remote

    question = Question(device, quantity, at, out)
    trust = Trust(policy, authorities, auditor_token_file)
    raise typer.Exit(run_remote(url, trust, question) if url else run(directory, trust, question))


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
    as_json: AsJson = False,
) -> None:
    """List what there is: devices, quantities, spans, numbers of points."""
    from pipeline.commands.series import run

    raise typer.Exit(run(directory, device, as_json=as_json))


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
    as_json: AsJson = False,
) -> None:
    """Compare every stored point with what its device signed. Exit 0: all agree; 1: some do not."""
    from pipeline.commands.audit import Stating, run, state

    if broker is None:
        if follow or key is not None:
            raise InputError("--broker", "it is needed to state findings", "Name one: mqtt://HOST:PORT.")
        raise typer.Exit(run(directory, as_json=as_json))
    import uvloop

    raise typer.Exit(uvloop.run(state(directory, Stating(key, broker, follow, interval_s), as_json=as_json)))


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


Config = Annotated[
    Path | None,
    typer.Option("--config", envvar="CITYPROOF_CONFIG", help="A file of settings: see `cityproof config`."),
]


@app.command(epilog="Example: cityproof config --config city.toml > copy.toml")
def config(file: Config = None, as_json: AsJson = False) -> None:
    """Print the settings of a city on servers, and where each is from: default, file or environment."""
    from pipeline.commands.config import run

    raise typer.Exit(run(file, as_json=as_json))


@app.command(epilog="Example: cityproof init --dir city")
def init(
    directory: Annotated[Path, typer.Option("--dir", help="The city's folder, made if it is missing.")],
) -> None:
    """Make the keys and trust files of a city, before its services run; what is there stays."""
    from pipeline.commands.init import run

    raise typer.Exit(run(directory))


def _run_services(names: list[str], config: Path | None, shards: str | None = None) -> None:
    import uvloop

    from pipeline.commands.run_services import run

    raise typer.Exit(uvloop.run(run(names, config, shards)))


@run_app.command("bridge", epilog="Example: cityproof run bridge --config city.toml")
def run_bridge(config: Config = None) -> None:
    """Move statements from MQTT to Kafka, until Ctrl-C. Exit 75: start it again."""
    _run_services(["bridge"], config)


@run_app.command("aggregator", epilog="Example: cityproof run aggregator --config city.toml --shards 0,1")
def run_aggregator(
    config: Config = None,
    shards: Annotated[str | None, typer.Option(help="Those that this process seals; default: all.")] = None,
) -> None:
    """Check statements and seal them into blocks, until Ctrl-C. Exit 75: start it again."""
    _run_services(["aggregator"], config, shards)


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


@run_app.command("all", epilog="Example: cityproof run all --dir city --port 1883")
def run_all(
    directory: Annotated[
        Path | None, typer.Option("--dir", help="The city's folder, made if it is missing.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The broker's port, 1883; 0: any free one.")
    ] = None,
    config: Config = None,
) -> None:
    """Run every stage in this process, until Ctrl-C: embedded in a folder, or on servers by --config."""
    if config is not None:
        if directory is not None or port is not None:
            raise InputError("--config", "it stands in for --dir and --port", "Give a folder or settings.")
        from pipeline.services import SERVICES

        _run_services(list(SERVICES), config)
    if directory is None:
        raise InputError("--dir", "there is no folder", "Name one, or a file of settings: --config.")
    import uvloop

    from pipeline.commands.run_all import run

    raise typer.Exit(uvloop.run(run(directory, 1883 if port is None else port)))


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


@bench_app.command(epilog="Example: cityproof bench sealing --json")
def sealing(as_json: AsJson = False) -> None:
    """Measure what sealing costs beside bare signature checks. Exit 0: the goals are met; 1: not all."""
    from pipeline.commands.bench.sealing import run

    raise typer.Exit(run(as_json=as_json))


@bench_app.command("evidence", epilog="Example: cityproof bench evidence --hours 24 --json")
def bench_evidence(
    hours: Annotated[float, typer.Option(min=0.1, help="How long the city has run.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Measure evidence beside its raw statements and bare signature checks. Exit 0: the goals are met."""
    from pipeline.commands.bench.evidence import run

    raise typer.Exit(run(hours, as_json=as_json))


@bench_app.command(epilog="Example: cityproof bench growth --json")
def growth(as_json: AsJson = False) -> None:
    """Measure proofs, blocks and starts from 10^3 to 10^8 blocks. Exit 0: none outgrows log n; 1: one."""
    from pipeline.commands.bench.growth.run import run

    raise typer.Exit(run(as_json=as_json))


@bench_app.command("fsck", epilog="Example: cityproof bench fsck --json")
def bench_fsck(as_json: AsJson = False) -> None:
    """Measure what fsck costs beside bare signature checks. Exit 0: the goals are met; 1: not all."""
    from pipeline.commands.bench.fsck import run

    raise typer.Exit(run(as_json=as_json))


@bench_app.command("audit", epilog="Example: cityproof bench audit --json")
def bench_audit(as_json: AsJson = False) -> None:
    """Measure how many of an intruder's changes an audit finds, and how soon. Exit 0: all, and no other."""
    from pipeline.commands.bench.audit import run

    raise typer.Exit(run(as_json=as_json))


@bench_app.command("tracing", epilog="Example: cityproof bench tracing --data ../shared/tracing-data")
def bench_tracing(
    data: Annotated[Path, typer.Option(help="The folder of field trials.")] = Path("../shared/tracing-data"),
    full: Annotated[bool, typer.Option(help="Three draws of samplers instead of one.")] = False,
    as_json: AsJson = False,
) -> None:
    """Trace field trials whose releases are known, and score the answers beside what others reach."""
    _need("numba", "tracing")
    from pipeline.commands.bench.tracing import run

    raise typer.Exit(run(data, full=full, as_json=as_json))


@trace_app.command(
    "air",
    epilog="Example: cityproof trace air --observations o.csv --wind w.csv --candidates c.csv --out a.json",
)
def trace_air(
    observations: Annotated[Path, typer.Option(help="time,sensor,x_m,y_m,z_m,quantity,value,unit")],
    wind: Annotated[Path, typer.Option(help="time,speed_m_s,from_deg; one row is valid.")],
    out: Annotated[Path, typer.Option(help="Where the answer goes, as JSON.")],
    candidates: Annotated[Path | None, typer.Option(help="name,x_m,y_m: what may be the source.")] = None,
    bounds: Annotated[str | None, typer.Option(help="Where to look: x0,y0,x1,y1 in metres.")] = None,
    release_from: Annotated[
        str | None, typer.Option(help="When it began; default: with the readings.")
    ] = None,
    release_to: Annotated[str | None, typer.Option(help="When it ended; default: with the readings.")] = None,
    quantity: Annotated[str | None, typer.Option(help="Which, if the file has several.")] = None,
    source_height: Annotated[str, typer.Option(help="LOW,HIGH in metres.")] = "1,4.5",
    background: Annotated[str, typer.Option(help="fit, or what clean air holds, in g/m3.")] = "fit",
    wind_error_deg: Annotated[
        float, typer.Option(min=0.5, help="How wrong the direction may be, sd.")
    ] = 10.0,
) -> None:
    """Say where a release came from and how strong it was, from readings and wind in CSV files."""
    _need("numba", "tracing")
    from pipeline.commands.trace_air import Question, run

    raise typer.Exit(
        run(
            Question(
                observations, wind, candidates, bounds, release_from, release_to, quantity, source_height,
                background, wind_error_deg, out,
            )
        )
    )  # fmt: skip


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


def _need(module: str, extra: str) -> None:
    """Say which extra to install where a module is missing."""
    if find_spec(module) is None:
        raise InputError(
            "this installation",
            f"{module} is missing",
            f"Install the extra: pip install 'cityproof[{extra}]'.",
        )


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


def _fail(group: BaseExceptionGroup[PipelineError]) -> None:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    sys.stderr.write(f"cityproof: {error}\n")
    sys.exit(UNUSABLE)


if __name__ == "__main__":
    main()
