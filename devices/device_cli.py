"""`cityproof device …`: who holds a key asks, a person approves, the authority's key signs, the log has it.

`list` and `show`, which read a log, are the pipeline's and stand beside these.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from devices.options import BROKER, Broker, Policy, stop_on_signal
from pipeline.wire.errors import InputError
from pipeline.wire.names import is_issuer, is_label

if TYPE_CHECKING:
    from devices.descriptions import Description
    from devices.desk import Desk
    from pipeline.wire.changes import Change
    from pipeline.wire.enrolment import Enrolment
    from pipeline.wire.rotation import SequencePlace

INCOMPLETE = 1
POLICY = Path("policy.txt")
HASHES_MAX = 400  # So many fit into one statement, whatever the reason says.

device_app = typer.Typer(no_args_is_help=True, help="Enrol, rotate and revoke keys of devices and services.")

Key = Annotated[Path, typer.Option(help="The authority's key file; its outbox stands beside it.")]
AuthorityUri = Annotated[str, typer.Option("--authority", help="The URI of the authority that is asked.")]
Out = Annotated[Path, typer.Option(help="Where the request goes, for the authority.")]
SignedOut = Annotated[
    Path | None, typer.Option("--out", help="Sign into this file, for `device send`, and send nothing.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]
Text = str | None


@device_app.command(
    epilog="Example: cityproof device enrol --authority https://eeb.city.example/ --key air-7.key "
    "--out air-7.request --issuer urn:dev:ops:32473-air-7 --kind air --subject station-7 --area centre "
    "--department ecology --position 119.97,31.81,3 --accuracy pm2_5=2,no2=5"
)
def enrol(
    authority: AuthorityUri,
    out: Out,
    key: Annotated[
        Path | None, typer.Option(help="The key file of the one enrolled; made if missing.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--from", help="A .toml or .csv that describes many, with --keys.")
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="The folder of their keys; made if missing.")] = None,
    issuer: Annotated[Text, typer.Option(help="A device's URN; the URI of a person or service.")] = None,
    kind: Annotated[Text, typer.Option(help="What it measures, or the role: air, water, auditor, …")] = None,
    subject: Annotated[Text, typer.Option(help="What it speaks about.")] = None,
    area: Annotated[Text, typer.Option(help="Where that is.")] = None,
    department: Annotated[Text, typer.Option(help="Whose it is.")] = None,
    controller: Annotated[
        Text, typer.Option(help="Who answers for its data; default: the department.")
    ] = None,
    data_class: Annotated[Text, typer.Option(help="Who may read it; default: that of its kind.")] = None,
    position: Annotated[Text, typer.Option(help="LONGITUDE,LATITUDE,HEIGHT_M; sensors have one.")] = None,
    beam_end: Annotated[Text, typer.Option(help="The far end of a beam, likewise.")] = None,
    accuracy: Annotated[Text, typer.Option(help="QUANTITY=HALF_WIDTH,… in signed units.")] = None,
    calibrated_until: Annotated[Text, typer.Option(help="ISO 8601.")] = None,
    valid_from: Annotated[Text, typer.Option(help="ISO 8601; default: now.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask an authority to enrol a key. Writes a request, which the key signs; a person approves it."""
    from devices.descriptions import describe, read_descriptions
    from devices.requests import Request, write_request

    if table is not None:
        if keys is None or key is not None:
            raise InputError("--from", "many devices have many keys", "Name their folder: --keys DIR.")
        described = [(one, _key_in(keys, one.issuer)) for one in read_descriptions(table)]
    else:
        if key is None:
            raise InputError(
                "--key", "whose key is to be enrolled?", "Name a key file; it is made if missing."
            )
        fields = {
            "issuer": issuer, "kind": kind, "subject": subject, "area": area, "department": department,
            "controller": controller, "data_class": data_class, "accuracy": accuracy,
            "calibrated_until": calibrated_until, "valid_from": valid_from,
            **_position("--position", position, ("longitude", "latitude", "height_m")),
            **_position("--beam-end", beam_end, ("longitude2", "latitude2", "height2_m")),
        }  # fmt: skip
        given = {name: value for name, value in fields.items() if value is not None}
        described = [(describe(given, "device enrol"), key)]
    changes = [_enrolment(one, path, authority) for one, path in described]
    write_request(out, Request(authority, changes))
    _say_request(changes, authority, out, as_json=as_json)


@device_app.command(
    epilog="Example: cityproof device rotate --authority https://eeb.city.example/ --dir fleet "
    "--issuer urn:dev:ops:32473-air-7 --out air-7.request"
)
def rotate(
    authority: AuthorityUri,
    out: Out,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="The folder of a stopped fleet: its key and place are there.")
    ] = None,
    issuer: Annotated[Text, typer.Option(help="Which device of the fleet.")] = None,
    key: Annotated[Path | None, typer.Option(help="Without --dir: the device's key file.")] = None,
    starts: Annotated[
        Text, typer.Option("--start", help="EPOCH,SEQUENCE of the first statement by the new key.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask an authority for a new key. The new one is made beside the old one, and both sign the request."""
    from devices.keyfile import create_next, load_key
    from devices.requests import Request, write_request
    from pipeline.wire.rotation import make_rotation

    if directory is not None and issuer is not None:
        path, place, at = _place_in(directory, issuer, starts)
    elif key is not None and starts is not None:
        path, place, at = key, _parse_place(starts), _parse_place(starts)
    else:
        remedy = "Give --dir with --issuer, or --key with --start."
        raise InputError("device rotate", "which key, and from where on?", remedy)
    following = create_next(path, place, at)
    old, name = load_key(path)
    rotation = make_rotation(
        old, following.signer, authority=authority, issuer=name, starts=place, valid_from_s=int(time.time())
    )
    write_request(out, Request(authority, [rotation]))
    _say_request([rotation], authority, out, as_json=as_json)


@device_app.command(
    epilog="Example: cityproof device approve air-7.request --key keys/authority.key --policy policy.txt"
)
def approve(
    requests: Annotated[list[Path], typer.Argument(help="What `device enrol` or `rotate` has written.")],
    key: Key,
    policy: Policy = POLICY,
    broker: Broker = BROKER,
    out: SignedOut = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Show what is asked for, and state it if you agree. Exit 0: it is in the log; 1: not all of it."""
    from devices.desk import Desk
    from devices.requests import read_request

    desk = Desk(key)
    changes: list[Change] = []
    for path in requests:
        request = read_request(path)
        if request.authority != desk.authority:
            problem = f"it asks {request.authority}, and this key is {desk.authority}'s"
            raise InputError(str(path), problem, "Give it to the authority it names.")
        changes += request.changes
    _state(desk, changes, policy, broker, out, yes=yes, as_json=as_json)


@device_app.command(
    epilog="Example: cityproof device revoke urn:dev:ops:32473-air-7 --key-id 2d40cd46c195d6b3 --why stolen "
    "--key keys/authority.key --policy policy.txt"
)
def revoke(
    issuer: Annotated[str, typer.Argument(help="Whose key it is.")],
    key_id: Annotated[str, typer.Option(help="Which key: 16 hexadecimal digits, see `device show`.")],
    why: Annotated[str, typer.Option(help="A few words for people; they stay in the log.")],
    key: Key,
    policy: Policy = POLICY,
    broker: Broker = BROKER,
    out: SignedOut = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """State that a key counts no more. What the log took in before stays; this cannot be taken back."""
    from devices.desk import Desk
    from pipeline.wire.keys import KEY_ID_SIZE
    from pipeline.wire.revocation import Revocation

    _check_about(issuer, why)
    change = Revocation(issuer, _parse_hex("--key-id", key_id, KEY_ID_SIZE), why)
    _state(Desk(key), [change], policy, broker, out, yes=yes, as_json=as_json)


@device_app.command(
    epilog="Example: cityproof device admit urn:dev:ops:32473-air-7 LEAF_HASH --why 'backlog, checked' "
    "--key keys/authority.key --policy policy.txt"
)
def admit(
    issuer: Annotated[str, typer.Argument(help="Who signed the statements.")],
    hashes: Annotated[
        list[str],
        typer.Argument(help="Their leaf hashes, as `device refused` lists them; @FILE: one a line."),
    ],
    why: Annotated[str, typer.Option(help="A few words for people; they stay in the log.")],
    key: Key,
    policy: Policy = POLICY,
    broker: Broker = BROKER,
    out: SignedOut = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Let statements in that were refused for a revoked or rotated key: when they come again, they count."""
    from devices.desk import Desk
    from pipeline.wire.admission import Admission
    from pipeline.wire.statement import HASH_SIZE

    _check_about(issuer, why)
    words = [word for given in hashes for word in _words_of(given)]
    leaves = sorted({_parse_hex("LEAF_HASH", word, HASH_SIZE) for word in words})
    parts = [leaves[at : at + HASHES_MAX] for at in range(0, len(leaves), HASHES_MAX)]
    changes = [Admission(issuer, part, why) for part in parts]
    _state(Desk(key), changes, policy, broker, out, yes=yes, as_json=as_json)


@device_app.command(epilog="Example: cityproof device send approved.statements --policy policy.txt")
def send(
    file: Annotated[Path, typer.Argument(help="What an authority has signed with --out.")],
    policy: Policy = POLICY,
    broker: Broker = BROKER,
    as_json: AsJson = False,
) -> None:
    """Send what an authority signed on a machine without a network. Exit 0: it is in the log; 1: not all."""
    from devices.desk import read_statements
    from devices.desk import send as run
    from devices.inputs import read_log_key

    statements = read_statements(file)
    with stop_on_signal() as stopping:
        answers = run(broker, read_log_key(policy), statements, stopping)
    rows = [{"leaf_hash": leaf_hash.hex(), "refused": why} for leaf_hash, why in answers.items()]
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        for row in rows:
            typer.echo(
                f"{row['leaf_hash']}: {'refused: ' + row['refused'] if row['refused'] else 'in the log'}"
            )
    if len(answers) < len(statements) or any(answers.values()):
        raise typer.Exit(INCOMPLETE)


@device_app.command(epilog="Example: cityproof device refused --dir fleet --json")
def refused(
    directory: Annotated[Path, typer.Option("--dir", help="The folder of a stopped fleet.")],
    as_json: AsJson = False,
) -> None:
    """List what a fleet holds that the log has refused: whose, which, why. `admit` takes the leaf hashes."""
    from devices.outbox import Outbox

    with Outbox(_outbox_in(directory)) as outbox:
        rows = [
            {
                "issuer": held.signed.issuer,
                "epoch": held.signed.epoch,
                "sequence": held.signed.sequence,
                "leaf_hash": held.signed.leaf_hash.hex(),
                "records": held.signed.records,
                "reason": held.parked,
            }
            for held in outbox.parked()
        ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        typer.echo("{leaf_hash}  {reason}: {issuer}, epoch {epoch}, sequence {sequence}".format(**row))
    typer.echo(f"{len(rows)} statements refused")


def _state(
    desk: "Desk",
    changes: "Sequence[Change]",
    policy: Path,
    broker: str,
    out: Path | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Show changes, ask, and have the authority state them; exit 1 where one is not in the log then."""
    from devices.desk import write_statements
    from devices.inputs import read_log_key
    from devices.tell import outcomes, tell_changes

    if not as_json:
        tell_changes(changes)
    if not yes and not typer.confirm(f"State this as {desk.authority}?", err=True):
        typer.echo("Nothing was signed.", err=True)
        raise typer.Exit(INCOMPLETE)
    if out is not None:
        write_statements(out, desk.sign(changes))
        answers = dict.fromkeys(range(len(changes)), "signed")
    else:
        with stop_on_signal() as stopping:
            refused = desk.state(broker, read_log_key(policy), changes, stopping)
            rest = "waiting" if stopping.is_set() else "in the log"
        reasons = {id(change): f"refused: {why}" for change, why in refused}
        answers = {number: reasons.get(id(change), rest) for number, change in enumerate(changes)}
    rows = outcomes(changes, answers.values())
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
    else:
        for row in rows:
            typer.echo(f"{row['change']} of {row['issuer']}: {row['outcome']}")
        if out is not None:
            typer.echo(f"To be sent from a machine with a network: cityproof device send {out}")
    if any(answer not in {"signed", "in the log"} for answer in answers.values()):
        raise typer.Exit(INCOMPLETE)


def _say_request(changes: "Sequence[Change]", authority: str, out: Path, *, as_json: bool) -> None:
    from devices.tell import describe_change, tell_changes

    if as_json:
        rows = [describe_change(change) for change in changes]
        typer.echo(json.dumps({"authority": authority, "request": str(out), "changes": rows}))
        return
    tell_changes(changes)
    typer.echo(f"For {authority}: cityproof device approve {out} --key KEY --policy POLICY")


def _enrolment(one: "Description", path: Path, authority: str) -> "Enrolment":
    from devices.keyfile import load_or_create_key

    return one.enrolment(load_or_create_key(path, one.issuer), authority, time.time())


def _key_in(keys: Path, issuer: str) -> Path:
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    return keys / f"{quote(issuer, safe='')}.key"


def _outbox_in(directory: Path) -> Path:
    path = directory / "outbox.db"
    if not path.exists():
        raise InputError("--dir", f"{directory} holds no outbox", "Name the --dir of `simulate` or `replay`.")
    return path


def _place_in(
    directory: Path, issuer: str, starts: str | None
) -> tuple[Path, "SequencePlace", "SequencePlace"]:
    """Return a device's key file, from where on its next key is to sign, and where the device stands."""
    from devices.inputs import key_path
    from devices.outbox import Outbox

    with Outbox(_outbox_in(directory)) as outbox:
        chain = outbox.chain(issuer)
    if chain is None:
        raise InputError("--issuer", f"this fleet has no {issuer}", "Name one of its devices.")
    at = chain.epoch, chain.sequence
    place = _parse_place(starts) if starts is not None else at
    if place < at:
        problem = f"it has signed up to epoch {chain.epoch}, sequence {chain.sequence - 1}, with its old key"
        raise InputError("--start", problem, "Start no earlier than behind that.")
    return key_path(directory, issuer), place, at


def _parse_place(text: str) -> "SequencePlace":
    try:
        epoch, sequence = map(int, text.split(","))
    except ValueError as error:
        raise InputError("--start", f"{text!r} is no place", "Write EPOCH,SEQUENCE.") from error
    return epoch, sequence


def _position(option: str, text: str | None, names: tuple[str, str, str]) -> dict[str, str]:
    if text is None:
        return {}
    parts = text.split(",")
    if len(parts) != len(names):
        raise InputError(option, f"{text!r} is no place", "Write LONGITUDE,LATITUDE,HEIGHT_M.")
    return dict(zip(names, parts, strict=True))


def _words_of(given: str) -> list[str]:
    if not given.startswith("@"):
        return [given]
    try:
        return Path(given[1:]).read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(given, f"cannot read it: {error}", "Name a file of leaf hashes.") from error


def _parse_hex(place: str, text: str, size: int) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != size:
        raise InputError(place, f"{text!r} is not {size} bytes in hexadecimal", f"Write {2 * size} digits.")
    return value


def _check_about(issuer: str, why: str) -> None:
    if not is_issuer(issuer):
        raise InputError("ISSUER", f"{issuer!r} is no name of a signer", "Write its URN or URI.")
    if not is_label(why):
        raise InputError("--why", "it is empty, too long or more than a line", "Write 128 bytes at most.")
