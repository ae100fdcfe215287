"""GS1 Digital Link: a GS1 key as a web address, uncompressed and in its canonical order.

    https://id.gs1.org/01/{GTIN-14}/10/{lot}/21/{serial}?17={YYMMDD}#{fragment}

Source: GS1 Digital Link Standard: URI Syntax 1.4.0, 4 (ABNF), 5 (canonical form).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pipeline.shipping.gs1 import check_key
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

CANONICAL = "https://id.gs1.org"
LINK_SIZE_MAX = 2048  # Characters.

# Qualifiers of each primary key, in the order in which they stand.
QUALIFIERS: Mapping[str, tuple[str, ...]] = {
    "01": ("22", "10", "21", "235"),
    "8006": ("22", "10", "21"),
    "414": ("254",),
    "8010": ("8011",),
    **dict.fromkeys(("00", "253", "255", "401", "402", "417", "8003", "8004", "8017", "8018"), ()),
}
_NOT_ENCODED = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class DigitalLink:
    """A key, what qualifies it, and attributes: (application identifier, value), values as they are."""

    key: tuple[str, str]
    qualifiers: tuple[tuple[str, str], ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()

    def value(self, identifier: str) -> str | None:
        """Return the value of the key or a qualifier, or None."""
        return dict((self.key, *self.qualifiers)).get(identifier)

    def uri(self, fragment: str = "", *, resolver: str = CANONICAL) -> str:
        """Return the address; `resolver` is whoever answers there."""
        path = "".join(f"/{name}/{quote(value, safe='')}" for name, value in (self.key, *self.qualifiers))
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in self.attributes)
        return resolver + path + (f"?{query}" if query else "") + (f"#{fragment}" if fragment else "")


def make_link(
    key: tuple[str, str],
    qualifiers: Sequence[tuple[str, str]] = (),
    attributes: Sequence[tuple[str, str]] = (),
) -> DigitalLink:
    """Return a link of checked parts, its qualifiers in their order.

    Raises:
        VerificationError: GS1_KEY.
    """
    order = QUALIFIERS.get(key[0])
    if order is None:
        raise VerificationError(Reason.GS1_KEY, f"({key[0]}) is no primary key")
    check_key(*key)
    for name, value in qualifiers:
        if name not in order:
            raise VerificationError(Reason.GS1_KEY, f"({name}) does not qualify ({key[0]})")
        check_key(name, value)
    if len({name for name, _ in qualifiers}) != len(qualifiers):
        raise VerificationError(Reason.GS1_KEY, "a qualifier stands twice")
    ordered = sorted(qualifiers, key=lambda qualifier: order.index(qualifier[0]))
    return DigitalLink(key, tuple(ordered), tuple(attributes))


def gtin_link(gtin: str, *, lot: str | None = None, serial: str | None = None) -> DigitalLink:
    """Return the link of a trade item.

    Raises:
        VerificationError: GS1_KEY.
    """
    pairs = [(name, value) for name, value in (("10", lot), ("21", serial)) if value is not None]
    return make_link(("01", gtin), pairs)


def parse_link(uri: str) -> DigitalLink:
    """Parse a Digital Link URI of any resolver; what stands before the key in its path is the resolver's.

    Raises:
        VerificationError: GS1_KEY: not a link, a key with a wrong check digit, qualifiers out of order.
    """
    if len(uri) > LINK_SIZE_MAX or _NOT_ENCODED.search(uri):
        raise VerificationError(Reason.GS1_KEY, "too long, or a % that encodes nothing")
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise VerificationError(Reason.GS1_KEY, "not a URI") from error
    segments = parts.path.split("/")[1:]
    if parts.scheme.lower() not in {"http", "https"} or not parts.netloc:
        raise VerificationError(Reason.GS1_KEY, "a Digital Link is an http(s) address")
    start = _start_of_key(segments)
    values = [unquote(segment) for segment in segments[start + 1 :: 2]]  # What is no UTF-8 is no key either.
    pairs = list(zip(segments[start::2], values, strict=True))
    if pairs[0][0] == "01":
        pairs[0] = ("01", pairs[0][1].zfill(14))
    link = make_link(pairs[0], pairs[1:], parse_qsl(parts.query, keep_blank_values=True))
    if list(link.qualifiers) != pairs[1:]:
        raise VerificationError(Reason.GS1_KEY, "the qualifiers are not in their order")
    return link


def _start_of_key(segments: Sequence[str]) -> int:
    """Return where the primary key stands, the last place that leaves pairs."""
    for start in range(len(segments) - 2, -1, -2):
        if segments[start] in QUALIFIERS:
            return start
    raise VerificationError(Reason.GS1_KEY, "no primary key in its path")
