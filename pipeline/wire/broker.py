"""How an MQTT broker is named, and what a client shows it: a URL, and a file with a name and a password.

`mqtt://HOST:PORT` is for a broker that nobody else reaches. `mqtts://HOST:PORT?ca=FILE&access=FOLDER` is TLS
(1883 and 8883 where no port is given): `ca` holds the certificates that may vouch for the broker, else the
system's do; `access` is an access file, or a folder with one for each name.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit

from pipeline.wire.errors import InputError

ACCESS_TITLE = "cityproof broker access 1"
URL_SIZE_MAX = 4096  # Characters: it may hold two paths.
PORTS = {"mqtt": 1883, "mqtts": 8883}
FORM = "Write mqtt://HOST:PORT, or mqtts://HOST:PORT?ca=FILE&access=FOLDER."

_ACCESS = re.compile(rf"{ACCESS_TITLE}\nname ([^\n]+)\npassword ([A-Za-z0-9_-]{{22,128}})\n", re.ASCII)


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Where a broker is and how it is spoken to; `ca` and `access` are paths."""

    host: str
    port: int
    tls: bool = False
    ca: str | None = None
    access: str | None = None


def parse_broker_url(place: str, url: str) -> BrokerUrl:
    """Read a broker's URL; `place` is what a mistake in it is told to be in.

    Raises:
        InputError: It is no such URL, or would send a password in the clear.
    """
    if len(url) > URL_SIZE_MAX or not url.isprintable():
        raise InputError(place, "not a broker's address: it is too long, or cannot be printed", FORM)
    try:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(place, f"not a broker's address: {url}", FORM) from error
    known = parts.scheme in PORTS and given.keys() <= {"ca", "access"} and all(given.values())
    if not host or not known or parts.path.strip("/") or parts.username or parts.fragment:
        raise InputError(place, f"not a broker's address: {url}", FORM)
    tls = parts.scheme == "mqtts"
    if given and not tls:
        raise InputError(place, "ca and access are for mqtts://: a password is sent over TLS only", FORM)
    return BrokerUrl(host, port or PORTS[parts.scheme], tls, given.get("ca"), given.get("access"))


def access_file_name(name: str) -> str:
    """Return how the access file of a name is called in a folder of them."""
    return f"{quote(name, safe='')}.access"


def encode_access(name: str, password: str) -> str:
    """Return the text of an access file: title, name and password, a line each."""
    return f"{ACCESS_TITLE}\nname {name}\npassword {password}\n"


def decode_access(text: str) -> tuple[str, str]:
    """Return name and password of an access file.

    Raises:
        InputError: The text is not exactly what `encode_access` writes.
    """
    match = _ACCESS.fullmatch(text)
    if match is None:
        raise InputError("access file", "it is damaged or not one of cityproof", "Have a new one made.")
    return match[1], match[2]
