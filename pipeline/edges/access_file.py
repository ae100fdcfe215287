"""Access files of services: the name and password that the broker knows them by, for nobody else's eyes."""

import os
import ssl
import stat
from pathlib import Path
from secrets import token_urlsafe

from pipeline.edges.files import replace_file
from pipeline.edges.mqtt import Access
from pipeline.wire.broker import BrokerUrl, access_file_name, decode_access, encode_access
from pipeline.wire.errors import InputError
from pipeline.wire.topics import broker_user

OTHERS = stat.S_IRWXG | stat.S_IRWXO
PASSWORD_BYTES = 32


def load_access(at: BrokerUrl, name: str) -> Access | None:
    """Return what a broker is shown by `name`; None where it lets anybody in.

    Raises:
        InputError: Certificates or access file cannot be used.
    """
    if not at.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=at.ca)
    except OSError as error:
        problem = f"cannot read certificates: {error.strerror or error}"
        raise InputError(at.ca or "the system", problem, "Name the city's ca.crt.") from error
    password = None if at.access is None else _load_password(Path(at.access), name)
    return Access(broker_user(name), password, context)


def _load_password(place: Path, name: str) -> str:
    path = place / access_file_name(name) if place.is_dir() else place
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read().decode("utf-8", errors="replace")
    except OSError as error:
        remedy = f"Make it: cityproof access add {name} --out FOLDER"
        raise InputError(str(path), f"cannot read it: {error.strerror}", remedy) from error
    if mode & OTHERS:
        raise InputError(str(path), f"others may read it (mode {mode:04o})", f"Run: chmod 600 {path}")
    owner, password = decode_access(text)
    if owner != name:
        raise InputError(str(path), f"this is the access of {owner}, not of {name}", "Name another file.")
    return password


def create_access(folder: Path, name: str) -> str:
    """Write an access file with a new password into a folder, and return the password.

    Raises:
        InputError: It cannot be written.
    """
    password = token_urlsafe(PASSWORD_BYTES)
    replace_file(folder / access_file_name(name), encode_access(name, password).encode(), 0o600)
    return password
