"""What Mosquitto asks before it lets anyone in: the files of passwords and of rights, in a city's folder.

A name is that of a device, person or service, as the log knows it; Mosquitto knows it percent-encoded. Who
has a password may publish its own statements and hear its own receipts and refusals; an authority may publish
to the registry too, under its own name. The pipeline's services have rights of their own, by names that no
statement can bear.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from secrets import token_bytes
from urllib.parse import unquote

from pipeline.edges.files import replace_file
from pipeline.wire.errors import InputError
from pipeline.wire.topics import broker_user, receipts_topic, refusals_topic, registry_topic, statements_topic

# PBKDF2 makes guessing slow where people choose; these passwords are 256 random bits. 101 is Mosquitto's own.
ROUNDS = 101
SALT_BYTES = 12

RIGHTS = """\
# Who may do what at the broker. Written by `cityproof init` and `cityproof access`; Mosquitto reads it again
# at SIGHUP. What is not named here is forbidden.

user bridge
topic read statements/+
topic read registry/+

user courier
topic write receipts/+
topic write refusals/+

user doctor
topic readwrite doctor/#
"""
SECRET = 0o600
SERVICES = frozenset({"bridge", "courier", "doctor"})

_AUTHORITY = re.compile(r"^user (\S+)\n(?:topic .*\n)*?topic write registry/(?!\+)", re.MULTILINE)


class BrokerRights:
    """The two files, of which the broker reads nothing before it is told to."""

    def __init__(self, folder: Path) -> None:
        self.passwords = folder / "passwords"
        self.rights = folder / "rights"

    def names(self) -> Mapping[str, bool]:
        """Return every name that has a password, and whether it is an authority's."""
        authorities = self._authorities()
        return {unquote(user): user in authorities for user in self._hashes()}

    def add(self, passwords: Mapping[str, str], *, authority: bool = False) -> None:
        """Let names in, each with its password; one that was in before has a new one, and its rights.

        Raises:
            InputError: The files cannot be written.
        """
        hashes, authorities = dict(self._hashes()), set(self._authorities())
        for name, password in passwords.items():
            user = broker_user(name)
            hashes[user] = hash_password(password)
            if authority:
                authorities.add(user)
        self._write(hashes, authorities)

    def remove(self, name: str) -> bool:
        """Let a name in no more; tell whether it was in.

        Raises:
            InputError: The files cannot be written.
        """
        hashes, authorities = dict(self._hashes()), set(self._authorities())
        known = hashes.pop(broker_user(name), None) is not None
        self._write(hashes, authorities - {broker_user(name)})
        return known

    def _hashes(self) -> Mapping[str, str]:
        lines = _read(self.passwords).splitlines()
        return {user: rest for user, _, rest in (line.rpartition(":$7$") for line in lines) if user}

    def _authorities(self) -> frozenset[str]:
        return frozenset(_AUTHORITY.findall(_read(self.rights)))

    def _write(self, hashes: Mapping[str, str], authorities: set[str]) -> None:
        names = {user: unquote(user) for user in sorted(hashes.keys() - SERVICES)}
        blocks = [_rights_of(user, name, user in authorities) for user, name in names.items()]
        # Rights first: a name without a password has no use of them, and a crash leaves nobody with too many.
        replace_file(self.rights, (RIGHTS + "".join(blocks)).encode(), SECRET)
        lines = [f"{user}:$7${rest}\n" for user, rest in sorted(hashes.items())]
        replace_file(self.passwords, "".join(lines).encode(), SECRET)


def _rights_of(user: str, name: str, is_authority: bool) -> str:  # noqa: FBT001
    lines = ["", f"user {user}", f"topic write {statements_topic(name)}"]
    lines += [f"topic read {receipts_topic(name)}", f"topic read {refusals_topic(name)}"]
    if is_authority:
        lines.append(f"topic write {registry_topic(name)}")
    return "\n".join(lines) + "\n"


def hash_password(password: str) -> str:
    """Return what Mosquitto keeps of a password behind `$7$`: rounds, salt, PBKDF2 with HMAC-SHA-512."""
    salt = token_bytes(SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ROUNDS)
    return f"{ROUNDS}${b64encode(salt).decode()}${b64encode(digest).decode()}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"cannot be read: {error}", "Run this as who runs the broker.") from error
