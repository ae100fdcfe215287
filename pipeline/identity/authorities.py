"""The authorities file: who may enrol what, and the bounds that a verifier holds a city to.

A text file beside the policy, one rule a line, `#` for comments:

    authority <uri> <base64 public key> <kinds> <areas>
    bound <name> <seconds>

`kinds` and `areas` are comma-separated names, or `*`. The genesis entry of the log names the SHA-256 of the
file, so another file is another city.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import check_public_key, key_id
from pipeline.wire.reasons import Reason

ANY = "*"
BOUNDS = ("registry_lag_s", "cosign_delay_s", "checkpoint_age_s")


@dataclass(frozen=True, slots=True)
class Authority:
    """A department that may enrol: its URI, its key, and the kinds and areas it answers for."""

    issuer: str
    public_key: bytes
    kinds: frozenset[str]
    areas: frozenset[str]

    def may_enrol(self, kind: str, area: str) -> bool:
        """Tell whether a sensor of this kind in this area is this authority's to enrol."""
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
    for authority in authorities:
        key = base64.b64encode(authority.public_key).decode()
        kinds, areas = ",".join(sorted(authority.kinds)), ",".join(sorted(authority.areas))
        lines.append(f"authority {authority.issuer} {key} {kinds} {areas}")
    lines += [f"bound {name} {bounds_s[name]}" for name in BOUNDS]
    return "\n".join(lines) + "\n"


def parse_authorities(text: str) -> Authorities:
    """Parse an authorities file.

    Raises:
        VerificationError: AUTHORITIES_SHAPE, with the line; KEY_INVALID for a key outside the main subgroup.
    """
    by_key: dict[tuple[str, bytes], Authority] = {}
    bounds_s: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        match line.split("#")[0].split():
            case []:
                continue
            case ["authority", issuer, key, kinds, areas]:
                authority = Authority(issuer, _key(key, number), _names(kinds), _names(areas))
                place = (issuer, key_id(authority.public_key))
                if place in by_key or any(a.public_key == authority.public_key for a in by_key.values()):
                    raise VerificationError(Reason.AUTHORITIES_SHAPE, f"line {number}: a key stands twice")
                by_key[place] = authority
            case ["bound", name, seconds] if name in BOUNDS and name not in bounds_s and seconds.isascii():
                if not seconds.isdigit():
                    raise VerificationError(
                        Reason.AUTHORITIES_SHAPE, f"line {number}: {seconds} is not a number"
                    )
                bounds_s[name] = int(seconds)
            case _:
                raise VerificationError(Reason.AUTHORITIES_SHAPE, f"line {number}: {line.strip()}")
    if not by_key:
        raise VerificationError(Reason.AUTHORITIES_SHAPE, "no authority")
    if missing := [name for name in BOUNDS if name not in bounds_s]:
        raise VerificationError(Reason.AUTHORITIES_SHAPE, f"bound {missing[0]} is missing")
    return Authorities(by_key, bounds_s, hashlib.sha256(text.encode()).digest())


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split(","))


def _key(text: str, number: int) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if base64.b64encode(key).decode() != text:
        raise VerificationError(Reason.AUTHORITIES_SHAPE, f"line {number}: the key is not canonical base64")
    check_public_key(key)
    return key
