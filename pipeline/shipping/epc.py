"""One name for one thing: EPC URIs and Digital Links as the Digital Link that event hashes are made of.

A canonical GS1 Digital Link with the key and its finest qualifier, without attributes; what is no identifier
of GS1 stays as it is. Check digits are derived where an EPC URI leaves them out, and not checked elsewhere:
two parties must come to the same name for what a third has written.

Source: GS1 CBV 2.0, 8.9.2; EPC Tag Data Standard 2.0, 6.3 (pure identity URIs), 8 (class and pattern URIs).
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from pipeline.shipping.digital_link import CANONICAL, QUALIFIERS
from pipeline.shipping.gs1 import check_digit

_EPC = re.compile(
    r"urn:epc:(?P<kind>id|class|idpat):(?P<scheme>[a-z]+):(?P<company>\d{6,12})\.(?P<rest>[^/?#]*)"
)
# In an EPC URI these may stand as they are, in a Digital Link not.
_ENCODED = str.maketrans({character: f"%{ord(character):02X}" for character in "!()*+,:"})
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "gtin": "01", "itip": "8006", "cpid": "8010", "gln": "414", "party": "417", "gsrnp": "8017",
        "gsrn": "8018", "gcn": "255", "sscc": "00", "gdti": "253", "ginc": "401", "gsin": "402",
        "grai": "8003", "giai": "8004", "cpv": "22", "lot": "10", "ser": "21",
    }
)  # fmt: skip
_NOT_FINEST = {"22", "10"}  # Left out where something finer follows.


def canonical_identifier(uri: str) -> str:
    """Return the constrained canonical Digital Link of an identifier, or the text as it is."""
    if uri.startswith("urn:epc:"):
        return _from_epc(uri) or uri
    if uri.startswith(("https://", "http://")):
        return _from_link(uri) or uri
    return uri


def _from_epc(uri: str) -> str | None:
    found = _EPC.fullmatch(uri)
    if not found:
        return None
    parts = found["rest"].split(".", _SEPARATORS.get(found["scheme"], 0))
    if len(parts) != _SEPARATORS.get(found["scheme"], 0) + 1:
        return None
    path = _path(found["scheme"], found["company"], parts)
    return None if path is None else f"{CANONICAL}/{path}"


# Dots behind the company prefix that separate something; a serial may have more of them.
_SEPARATORS: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("sgtin", "lgtin", "sgln", "grai", "gdti", "cpi", "sgcn", "upui"), 1),
        "itip": 3,
    }
)


def _path(scheme: str, company: str, parts: list[str]) -> str | None:
    """Return the path of a Digital Link; None for a scheme that is none of GS1's keys."""
    reference, *_, last = [*parts, ""] if len(parts) == 1 else parts
    serial = "" if last == "*" else last.translate(_ENCODED)

    def checked(digits: str) -> str:
        return digits + check_digit(digits)

    def finer(identifier: str) -> str:
        return f"/{identifier}/{serial}" if serial else ""

    plain = company + reference
    if scheme in {"sgtin", "lgtin", "itip", "upui", "sscc"}:
        plain = reference[:1] + company + reference[1:]  # The indicator, or extension digit, goes first.
    if not plain.isdigit() and scheme not in {"giai", "ginc", "cpi"}:
        return None
    encoded = plain.translate(_ENCODED)
    paths = {
        "sgtin": lambda: f"01/{checked(plain)}{finer('21')}",
        "lgtin": lambda: f"01/{checked(plain)}{finer('10')}",
        "upui": lambda: f"01/{checked(plain)}{finer('235')}",
        "itip": lambda: f"8006/{checked(plain)}{''.join(parts[1:3])}{finer('21')}",
        "sscc": lambda: f"00/{checked(plain)}",
        "sgln": lambda: f"414/{checked(plain)}{'' if serial == '0' else finer('254')}",
        "pgln": lambda: f"417/{checked(plain)}",
        "grai": lambda: f"8003/0{checked(plain)}{serial}",
        "gdti": lambda: f"253/{checked(plain)}{serial}",
        "sgcn": lambda: f"255/{checked(plain)}{serial}",
        "giai": lambda: f"8004/{encoded}",
        "ginc": lambda: f"401/{encoded}",
        "gsin": lambda: f"402/{checked(plain)}",
        "gsrn": lambda: f"8018/{checked(plain)}",
        "gsrnp": lambda: f"8017/{checked(plain)}",
        "cpi": lambda: f"8010/{encoded}{finer('8011')}",
    }
    return paths[scheme]() if scheme in paths else None


def _from_link(uri: str) -> str | None:
    """Return the canonical form of a Digital Link; segments keep their encoding."""
    try:
        segments = [_WORDS.get(segment, segment) for segment in urlsplit(uri).path.strip("/").split("/")]
    except ValueError:
        return None
    for start in range(len(segments) - 2, -1, -2):
        if segments[start] in QUALIFIERS and segments[start + 1][:4].isdigit():
            break
    else:
        return None
    key, value, *rest = segments[start:]
    if key == "01":
        value = value.zfill(14)
    pairs = [pair for pair in zip(rest[::2], rest[1::2], strict=True) if pair[0] in QUALIFIERS[key]]
    finest = [pair for pair in pairs if pair[0] not in _NOT_FINEST] or [p for p in pairs if p[0] == "10"]
    return "/".join([CANONICAL, key, value, *(part for pair in finest for part in pair)])
