"""The authorities file: who may enrol what, and the bounds that a verifier holds a city to.

A text file beside the policy, one rule a line, `#` for comments:

    authority <uri> <base64 public key> <kinds> <areas>
    bound <name> <seconds>

`kinds` and `areas` are comma-separated names, or `*`. The genesis entry of the log names the SHA-256 of the
file, so another file is another city.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import check_public_key, key_id
from pipeline.wire.names import is_issuer
from pipeline.wire.reasons import Reason
from pipeline.wire.roles import CONTENT_TYPES

AUTHORITIES_SIZE_MAX = 64 * 1024
ANY = "*"
BOUNDS = ("registry_lag_s", "cosign_delay_s", "checkpoint_age_s")

_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Authority:
    """A department that may enrol: its URI, its key, and the kinds and areas it answers for."""

    issuer: str
    public_key: bytes
    kinds: frozenset[str]
    areas: frozenset[str]

    def answers_for(self, kind: str, area: str) -> bool:
        """Tell whether a signer of this kind in this area is this authority's to enrol, rotate and revoke."""
        return (ANY in self.kinds or kind in self.kinds) and (ANY in self.areas or area in self.areas)


@dataclass(frozen=True, slots=True)
class Authorities:
    """The parsed file. `by_key` finds an authority by (issuer, key id); `bounds_s` holds every bound."""

    by_key: Mapping[tuple[str, bytes], Authority]
    bounds_s: Mapping[str, int]
    file_hash: bytes


def format_authorities(authorities: list[Authority], bounds_s: Mapping[str, int]) -> str:
    """Write the file that `parse_authorities` reads."""
    lines = ["# Who may enrol what in this city, and the bounds a verifier holds it to."]
    lines += map(format_authority, authorities)
    lines += [f"bound {name} {bounds_s[name]}" for name in BOUNDS]
    return "\n".join(lines) + "\n"


def format_authority(authority: Authority) -> str:
    """Write the line of one authority."""
    key = base64.b64encode(authority.public_key).decode()
    kinds, areas = ",".join(sorted(authority.kinds)), ",".join(sorted(authority.areas))
    return f"authority {authority.issuer} {key} {kinds} {areas}"


def parse_authorities(raw: bytes) -> Authorities:
    """Parse an authorities file.

    Raises:
        VerificationError: OVERSIZE; AUTHORITIES_SHAPE and KEY_INVALID, with the line.
    """
    if len(raw) > AUTHORITIES_SIZE_MAX:
        raise VerificationError(Reason.OVERSIZE, f"an authorities file of {len(raw)} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise VerificationError(Reason.AUTHORITIES_SHAPE, "not UTF-8") from error
    by_key: dict[tuple[str, bytes], Authority] = {}
    bounds_s: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        try:
            _parse_line(line.split("#")[0].split(), by_key, bounds_s)
        except VerificationError as error:
            raise VerificationError(error.reason, f"line {number}: {error.detail}") from error
    if not by_key:
        raise _broken("no authority")
    if missing := [name for name in BOUNDS if name not in bounds_s]:
        raise _broken(f"bound {missing[0]} is missing")
    return Authorities(by_key, bounds_s, hashlib.sha256(raw).digest())


def _parse_line(
    words: list[str], by_key: dict[tuple[str, bytes], Authority], bounds_s: dict[str, int]
) -> None:
    match words:
        case []:
            pass
        case ["authority", issuer, key, kinds, areas]:
            if not is_issuer(issuer):
                raise _broken(f"{issuer!r} is not a URI")
            authority = Authority(issuer, _parse_key(key), parse_kinds(kinds), parse_names(areas))
            if any(known.public_key == authority.public_key for known in by_key.values()):
                raise _broken("a key stands twice")
            by_key[issuer, key_id(authority.public_key)] = authority
        case ["bound", name, seconds]:
            if name not in BOUNDS or name in bounds_s:
                raise _broken(f"the bound {name!r} is unknown or stands twice")
            if not _SECONDS.fullmatch(seconds):
                raise _broken(f"{seconds!r} is not a number of seconds")
            bounds_s[name] = int(seconds)
        case _:
            raise _broken("not: authority <uri> <key> <kinds> <areas>, or: bound <name> <seconds>")


def parse_kinds(text: str) -> frozenset[str]:
    """Return the sensor kinds and roles of an authority's line.

    Raises:
        VerificationError: AUTHORITIES_SHAPE.
    """
    kinds = parse_names(text)
    if unknown := kinds - {ANY, *CONTENT_TYPES}:
        raise _broken(f"neither a sensor kind nor a role: {min(unknown)!r}")
    return kinds


def parse_names(text: str) -> frozenset[str]:
    """Return the names of one column of an authority's line.

    Raises:
        VerificationError: AUTHORITIES_SHAPE.
    """
    names = frozenset(text.split(","))
    if not all(names) or (ANY in names and len(names) > 1):
        raise _broken(f"not names separated by commas, or {ANY} alone: {text!r}")
    return names


def _parse_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if base64.b64encode(key).decode() != text:  # b64decode lets trailing bits pass.
        raise _broken("the key is not the one base64 of its bytes")
    check_public_key(key)
    return key


def _broken(problem: str) -> VerificationError:
    return VerificationError(Reason.AUTHORITIES_SHAPE, problem)
