"""`cityproof shipment`: what goes where, who holds it, and was it kept as it had to be?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import LATEST, AsJson, AuditorToken, Authorities, Folder, Policy

if TYPE_CHECKING:
    from pipeline.commands.shipment_log import Source
    from pipeline.commands.shipment_state import Party

shipment_app = typer.Typer(no_args_is_help=True, help="State, judge and show shipments.")

Name = Annotated[str, typer.Argument(metavar="SHIPMENT", help="The name that its shipper chose.")]
Url = Annotated[str | None, typer.Option(help="The URL of a log's files, in place of a folder.")]
Key = Annotated[Path, typer.Option(help="The key file of who states it; its outbox stands beside it.")]
Broker = Annotated[str, typer.Option(help="The MQTT broker: mqtt://HOST:PORT.")]
At = Annotated[str | None, typer.Option(help="When it happened, ISO 8601; default: now.")]
After = Annotated[
    str | None,
    typer.Option(help="Leaf hash of the statement that it follows, where the log cannot be read."),
]
BROKER = "mqtt://127.0.0.1:1883"


def _source(
    directory: Path, url: str | None, policy: Path | None, authorities: Path | None, token: Path | None
) -> "Source":
    from pipeline.commands.shipment_log import Source

    return Source(url or str(directory), policy, authorities, token)


def _party(
    name: str,
    key: Path,
    source: "Source",
    broker: str,
    at: str | None,
    after: str | None = None,
    *,
    as_json: bool,
) -> "Party":
    from pipeline.cli.options import need
    from pipeline.commands.shipment_state import Party

    need("uvloop", "service")
    return Party(name, key, source, broker, at, after, as_json)


@shipment_app.command("profiles", epilog="Example: cityproof shipment profiles --json")
def shipment_profiles(as_json: AsJson = False) -> None:
    """List the limits profiles that come along: limits, durations, sources."""
    from pipeline.commands.shipment import profiles

    raise typer.Exit(profiles(as_json=as_json))


@shipment_app.command(
    "create",
    epilog="Example: cityproof shipment create urn:example:s1 --key shipper.key --to https://clinic.example/ "
    "--carrier https://carrier.example/ --goods 09506000134352,L7,42 --stop plant,119.97,31.81 "
    "--stop clinic,120.01,31.79 --logger urn:dev:ops:32473-truck-001 --profile eu-gdp-2-8",
)
def shipment_create(
    name: Name,
    key: Key,
    to: Annotated[str, typer.Option(help="The consignee.")],
    goods: Annotated[list[str], typer.Option(help="GTIN[,LOT[,SERIAL]], or an SSCC; several times.")],
    stop: Annotated[list[str], typer.Option(help="NAME,LONGITUDE,LATITUDE[,GLN]; from first to last.")],
    logger: Annotated[list[str], typer.Option(help="A logger that goes along; several times.")],
    profile: Annotated[str, typer.Option(help="The limits: a profile's name, or a .toml file.")],
    carrier: Annotated[list[str] | None, typer.Option(help="Who may carry it; several times.")] = None,
    at: At = None,
    directory: Folder = LATEST,
    url: Url = None,
    broker: Broker = BROKER,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """State what goes from where to whom, and commit its limits. Exit 0: in the log; 1: refused; 3: waits."""
    from pipeline.commands.shipment_state import Consignment, create_shipment

    source = _source(directory, url, policy, authorities, auditor_token_file)
    party = _party(name, key, source, broker, at, as_json=as_json)
    raise typer.Exit(create_shipment(party, Consignment(to, carrier or [], goods, stop, logger), profile))


@shipment_app.command(
    "limits", epilog="Example: cityproof shipment limits urn:example:s1 --key shipper.key --profile own.toml"
)
def shipment_limits(
    name: Name,
    key: Key,
    profile: Annotated[str, typer.Option(help="A profile's name, or a .toml file of your own.")],
    at: At = None,
    after: After = None,
    directory: Folder = LATEST,
    url: Url = None,
    broker: Broker = BROKER,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """Commit other limits, before the goods are loaded."""
    from pipeline.commands.shipment_state import limits

    source = _source(directory, url, policy, authorities, auditor_token_file)
    raise typer.Exit(limits(_party(name, key, source, broker, at, after, as_json=as_json), profile))


@shipment_app.command("load", epilog="Example: cityproof shipment load urn:example:s1 --key shipper.key")
def shipment_load(
    name: Name,
    key: Key,
    at: At = None,
    after: After = None,
    directory: Folder = LATEST,
    url: Url = None,
    broker: Broker = BROKER,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """State that the goods are loaded: readings count from here, and the limits are fixed."""
    from pipeline.commands.shipment_state import load

    source = _source(directory, url, policy, authorities, auditor_token_file)
    raise typer.Exit(load(_party(name, key, source, broker, at, after, as_json=as_json)))


@shipment_app.command(
    "handover",
    epilog="Example: cityproof shipment handover urn:example:s1 --key shipper.key "
    "--to https://carrier.example/ --place plant,119.97,31.81",
)
def shipment_handover(
    name: Name,
    key: Key,
    to: Annotated[str, typer.Option(help="To which party.")],
    place: Annotated[str, typer.Option(help="NAME,LONGITUDE,LATITUDE[,GLN].")],
    at: At = None,
    after: After = None,
    directory: Folder = LATEST,
    url: Url = None,
    broker: Broker = BROKER,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """Offer the goods that you hold; they are yours until the other side accepts."""
    from pipeline.commands.shipment_state import hand_over

    source = _source(directory, url, policy, authorities, auditor_token_file)
    raise typer.Exit(hand_over(_party(name, key, source, broker, at, after, as_json=as_json), to, place))


@shipment_app.command("accept", epilog="Example: cityproof shipment accept urn:example:s1 --key carrier.key")
def shipment_accept(
    name: Name,
    key: Key,
    at: At = None,
    after: After = None,
    directory: Folder = LATEST,
    url: Url = None,
    broker: Broker = BROKER,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """Accept what is offered to you: from here on you hold it."""
    from pipeline.commands.shipment_state import accept

    source = _source(directory, url, policy, authorities, auditor_token_file)
    raise typer.Exit(accept(_party(name, key, source, broker, at, after, as_json=as_json)))


@shipment_app.command(
    "refuse", epilog="Example: cityproof shipment refuse urn:example:s1 --key carrier.key --why 'a torn film'"
)
def shipment_refuse(
    name: Name,
    key: Key,
    why: Annotated[str, typer.Option(help="A few words for people; they stay in the log.")],
    at: At = None,
    after: After = None,
    directory: Folder = LATEST,
    url: Url = None,
    broker: Broker = BROKER,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """Refuse what is offered to you, and say why."""
    from pipeline.commands.shipment_state import refuse

    source = _source(directory, url, policy, authorities, auditor_token_file)
    raise typer.Exit(refuse(_party(name, key, source, broker, at, after, as_json=as_json), why))


@shipment_app.command(
    "loggers",
    epilog="Example: cityproof shipment loggers urn:example:s1 --key carrier.key "
    "--leaves urn:dev:ops:32473-truck-001 --joins urn:dev:ops:32473-truck-002",
)
def shipment_loggers(
    name: Name,
    key: Key,
    joins: Annotated[list[str] | None, typer.Option(help="A logger that joins; several times.")] = None,
    leaves: Annotated[
        list[str] | None, typer.Option(help="One that leaves; the first that joins goes on for the first.")
    ] = None,
    at: At = None,
    after: After = None,
    directory: Folder = LATEST,
    url: Url = None,
    broker: Broker = BROKER,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """State which loggers join and leave the goods that you hold."""
    from pipeline.commands.shipment_state import change_loggers

    source = _source(directory, url, policy, authorities, auditor_token_file)
    party = _party(name, key, source, broker, at, after, as_json=as_json)
    raise typer.Exit(change_loggers(party, joins or [], leaves or []))


@shipment_app.command("deliver", epilog="Example: cityproof shipment deliver urn:example:s1 --key clinic.key")
def shipment_deliver(
    name: Name,
    key: Key,
    at: At = None,
    after: After = None,
    directory: Folder = LATEST,
    url: Url = None,
    broker: Broker = BROKER,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """State, as the consignee who holds them, that the goods are delivered: readings count up to here."""
    from pipeline.commands.shipment_state import deliver

    source = _source(directory, url, policy, authorities, auditor_token_file)
    raise typer.Exit(deliver(_party(name, key, source, broker, at, after, as_json=as_json)))


@shipment_app.command("release", epilog="Example: cityproof shipment release urn:example:s1 --key clinic.key")
def shipment_release(
    name: Name,
    key: Key,
    verdict: Annotated[str | None, typer.Option(help="Leaf hash of the verdict; default: the last.")] = None,
    at: At = None,
    after: After = None,
    directory: Folder = LATEST,
    url: Url = None,
    broker: Broker = BROKER,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """Take the delivered goods for good, on the grounds of a verdict in the log."""
    from pipeline.commands.shipment_state import decide

    source = _source(directory, url, policy, authorities, auditor_token_file)
    raise typer.Exit(decide(_party(name, key, source, broker, at, after, as_json=as_json), verdict, None))


@shipment_app.command(
    "reject", epilog="Example: cityproof shipment reject urn:example:s1 --key clinic.key --why 'too warm'"
)
def shipment_reject(
    name: Name,
    key: Key,
    why: Annotated[str, typer.Option(help="A few words for people; they stay in the log.")],
    verdict: Annotated[str | None, typer.Option(help="Leaf hash of the verdict; default: the last.")] = None,
    at: At = None,
    after: After = None,
    directory: Folder = LATEST,
    url: Url = None,
    broker: Broker = BROKER,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """Do not take the delivered goods, on the grounds of a verdict in the log, and say why."""
    from pipeline.commands.shipment_state import decide

    source = _source(directory, url, policy, authorities, auditor_token_file)
    raise typer.Exit(decide(_party(name, key, source, broker, at, after, as_json=as_json), verdict, why))


@shipment_app.command("send", epilog="Example: cityproof shipment send --key carrier.key")
def shipment_send(
    key: Key,
    directory: Folder = LATEST,
    broker: Broker = BROKER,
    policy: Policy = None,
    as_json: AsJson = False,
) -> None:
    """Send what was stated without a network. Exit 0: it is in the log; 1: refused; 3: it still waits."""
    from pipeline.commands.shipment_state import send_waiting

    source = _source(directory, None, policy, None, None)
    raise typer.Exit(send_waiting(key, source, broker, as_json=as_json))


@shipment_app.command(
    "judge",
    epilog="Examples: cityproof shipment judge urn:example:s1 --key clinic.key --out s1.evidence; "
    "cityproof shipment judge --readings trip.csv --profile eu-gdp-2-8 --json",
)
def shipment_judge(
    name: Annotated[
        str | None, typer.Argument(metavar="SHIPMENT", help="One in the log; or give --readings.")
    ] = None,
    readings: Annotated[
        Path | None, typer.Option(help="time,quantity,value,unit; also epoch,sequence if signed.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="A profile's name, or a .toml file; for a shipment: the committed one.")
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", help="When it began; default: first reading.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="When it ended; default: last reading.")] = None,
    key: Annotated[Path | None, typer.Option(help="State the verdict in the log with this key.")] = None,
    out: Annotated[Path | None, typer.Option(help="Carry the evidence away, with the verdict.")] = None,
    directory: Folder = LATEST,
    url: Url = None,
    broker: Broker = BROKER,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """Judge a shipment, or a logger's readings. Exit 0: in limits; 1: breach; 2: cannot; 3: undetermined."""
    from pipeline.wire.errors import InputError

    if readings is not None and profile is not None and name is None:
        from pipeline.commands.shipment import run as judge_readings

        raise typer.Exit(judge_readings(readings, profile, first, end, as_json=as_json))
    if name is None or readings is not None:
        remedy = "Name a shipment in the log, or give --readings with --profile."
        raise InputError("shipment judge", "what is to be judged?", remedy)
    from pipeline.commands.shipment_judge import run

    source = _source(directory, url, policy, authorities, auditor_token_file)
    raise typer.Exit(run(source, name, profile, key, broker, out, as_json=as_json))


@shipment_app.command("show", epilog="Example: cityproof shipment show urn:example:s1 --dir demo/latest")
def shipment_show(
    name: Name,
    directory: Folder = LATEST,
    url: Url = None,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """Show what a log says of a shipment: where it stands, who held it when, what counts nothing and why."""
    from pipeline.commands.shipment_judge import show

    raise typer.Exit(
        show(_source(directory, url, policy, authorities, auditor_token_file), name, as_json=as_json)
    )


@shipment_app.command(
    "report", epilog="Example: cityproof shipment report urn:example:s1 --language zh --out reports"
)
def shipment_report(
    name: Name,
    out: Annotated[Path, typer.Option(help="The folder for HTML, PDF and evidence.")] = Path("reports"),
    language: Annotated[list[str] | None, typer.Option(help="en or zh; default: both.")] = None,
    pdf: Annotated[bool, typer.Option(help="Print it, too; needs cityproof[report].")] = True,
    evidence_url: Annotated[str, typer.Option(help="Where the evidence will be; exports name it.")] = "",
    profile: Annotated[
        str | None, typer.Option(help="The limits' .toml file, where the log has only its hash.")
    ] = None,
    directory: Folder = LATEST,
    url: Url = None,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
) -> None:
    """Report on a shipment, on one page: HTML and PDF. Exit 0: in limits; 1: breach; 3: undetermined."""
    from pipeline.commands.shipment_report import languages_of, run

    source = _source(directory, url, policy, authorities, auditor_token_file)
    raise typer.Exit(run(source, name, profile, out, languages_of(language), evidence_url, pdf=pdf))


@shipment_app.command(
    "export", epilog="Example: cityproof shipment export urn:example:s1 --epcis s1.json --csv s1.csv"
)
def shipment_export(
    name: Name,
    epcis: Annotated[Path | None, typer.Option(help="Write EPCIS 2.0 (JSON-LD).")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write every reading of the trip.")] = None,
    evidence: Annotated[Path | None, typer.Option(help="Write the evidence that both rest on.")] = None,
    evidence_url: Annotated[str, typer.Option(help="Where the evidence will be; default: its hash.")] = "",
    profile: Annotated[
        str | None, typer.Option(help="The limits' .toml file, where the log has only its hash.")
    ] = None,
    directory: Folder = LATEST,
    url: Url = None,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
) -> None:
    """Write a shipment for other programs. Exit 0: in limits; 1: breach; 3: undetermined."""
    from pipeline.commands.shipment_export import run

    source = _source(directory, url, policy, authorities, auditor_token_file)
    raise typer.Exit(run(source, name, profile, epcis, csv, evidence, evidence_url))


@shipment_app.command(
    "import", epilog="Example: cityproof shipment import partner.json --key carrier.key --dir demo/latest"
)
def shipment_import(
    document: Annotated[Path, typer.Argument(help="An EPCIS 2.0 document in JSON-LD.")],
    key: Key,
    directory: Folder = LATEST,
    broker: Broker = BROKER,
    policy: Policy = None,
    as_json: AsJson = False,
) -> None:
    """Sign a partner's EPCIS events into the log. Exit 0: all are in it; 1: refused; 3: some wait."""
    from pipeline.commands.shipment_import import run

    source = _source(directory, None, policy, None, None)
    raise typer.Exit(run(document, key, source, broker, as_json=as_json))


@shipment_app.command(
    "scan",
    epilog="Examples: cityproof shipment scan '(01)09506000134352(21)21-0001' --dir demo/latest; "
    "cityproof shipment scan 'CPV1:…' --authorities authorities.txt",
)
def shipment_scan(
    code: Annotated[str, typer.Argument(help="A verdict's code or a file with it, a Digital Link, a GTIN.")],
    directory: Folder = LATEST,
    url: Url = None,
    policy: Policy = None,
    authorities: Authorities = None,
    auditor_token_file: AuditorToken = None,
    as_json: AsJson = False,
) -> None:
    """Say what a code says: a verdict, offline; a product's history. Exit 1: breach, invalid, suspicious."""
    from pipeline.commands.shipment_scan import run

    source = _source(directory, url, policy, authorities, auditor_token_file)
    raise typer.Exit(run(code, source, as_json=as_json))
