"""`cityproof access add`, `remove`, `list`: who the MQTT broker lets in."""

import json
from collections.abc import Iterable
from pathlib import Path

from pipeline.edges.access_file import create_access
from pipeline.edges.broker_rights import SERVICES, BrokerRights
from pipeline.folder import CityFolder
from pipeline.wire.errors import InputError
from pipeline.wire.names import is_issuer

READ_AGAIN = "Mosquitto reads this at its next start, or at once when it is sent SIGHUP."


def grant(rights: BrokerRights, names: Iterable[str], out: Path, *, authority: bool = False) -> None:
    """Let names in, each with a new password, which is written for it before the broker is told."""
    # A crash between the two leaves passwords that the broker does not take; the next call makes new ones.
    passwords = {name: create_access(out, name) for name in names}
    if passwords:
        rights.add(passwords, authority=authority)


def add(directory: Path, names: Iterable[str], out: Path, *, authority: bool) -> int:
    """Let names in."""
    rights = _rights(directory)
    wanted = sorted(set(names))
    for name in wanted:
        if not is_issuer(name):
            problem = f"{name!r} is no name of a device, person or authority"
            raise InputError("NAME", problem, "Give a device's URN, or a URI.")
    if not wanted:
        raise InputError("NAME", "nobody is named", "Name whom to let in, or a file of names: --from.")
    grant(rights, wanted, out, authority=authority)
    print(f"{len(wanted)} in; passwords in {out}, for each its own. {READ_AGAIN}")
    return 0


def remove(directory: Path, names: Iterable[str]) -> int:
    """Let names in no more; 1 where one was not in."""
    rights = _rights(directory)
    status = 0
    for name in names:
        if name in SERVICES:
            raise InputError("NAME", f"the pipeline's {name} needs its access", "Name somebody else.")
        if not rights.remove(name):
            print(f"{name} was not in")
            status = 1
    print(READ_AGAIN)
    return status


def show(directory: Path, *, as_json: bool) -> int:
    """Say who is let in, and as what."""
    rows = [{"name": name, "as": _role(name, known)} for name, known in _rights(directory).names().items()]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    for row in rows:
        print(f"{row['as']:10} {row['name']}")
    return 0


def read_names(path: Path) -> list[str]:
    """Return the names in a file, a line each.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "--from", f"cannot read {path}: {error}", "Name a file with a name a line."
        ) from error


def _role(name: str, is_authority: bool) -> str:  # noqa: FBT001
    return "service" if name in SERVICES else "authority" if is_authority else "own topics"


def _rights(directory: Path) -> BrokerRights:
    folder = CityFolder(directory)
    if not folder.broker_ca.exists():
        raise InputError(
            "--dir", f"{directory} has no files for a broker", f"Make them: cityproof init --dir {directory}"
        )
    return BrokerRights(folder.broker)
