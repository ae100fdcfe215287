"""GS1 keys: which application identifiers there are, their characters, lengths and check digits.

Source: GS1 General Specifications, 3.2 (application identifiers), 7.9.1 (check digit), 7.11 (character sets).
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

_TEXT = r"[!\"%&'()*+,\-./0-9:;<=>?A-Z_a-z]"  # Character set 82
_PART = r"[#\-/0-9A-Z]"  # Character set 39


class Key(NamedTuple):
    """What a value looks like, and how many leading digits end with a check digit; 0: none do."""

    pattern: re.Pattern[str]
    checked: int = 0


def _key(pattern: str, checked: int = 0) -> Key:
    return Key(re.compile(pattern), checked)


# By application identifier.
KEYS: Mapping[str, Key] = {
    "00": _key(r"\d{18}", 18),  # SSCC
    "01": _key(r"\d{14}", 14),  # GTIN
    "253": _key(rf"\d{{13}}{_TEXT}{{0,17}}", 13),  # GDTI
    "255": _key(r"\d{13}\d{0,12}", 13),  # GCN
    "401": _key(rf"\d{{4}}{_TEXT}{{0,26}}"),  # GINC
    "402": _key(r"\d{17}", 17),  # GSIN
    "414": _key(r"\d{13}", 13),  # GLN
    "417": _key(r"\d{13}", 13),  # Party GLN
    "8003": _key(rf"0\d{{13}}{_TEXT}{{0,16}}", 14),  # GRAI
    "8004": _key(rf"\d{{4}}{_TEXT}{{0,26}}"),  # GIAI
    "8006": _key(r"\d{14}\d{4}", 14),  # ITIP
    "8010": _key(rf"\d{{4}}{_PART}{{0,26}}"),  # CPID
    "8017": _key(r"\d{18}", 18),  # GSRNP
    "8018": _key(r"\d{18}", 18),  # GSRN
    "22": _key(rf"{_TEXT}{{1,20}}"),  # Consumer product variant
    "10": _key(rf"{_TEXT}{{1,20}}"),  # Batch or lot
    "21": _key(rf"{_TEXT}{{1,20}}"),  # Serial
    "235": _key(rf"{_TEXT}{{1,28}}"),  # Third-party-controlled serial
    "254": _key(rf"{_TEXT}{{1,20}}"),  # GLN extension
    "8011": _key(r"[1-9]\d{0,11}|0"),  # CPID serial
}


def check_digit(digits: str) -> str:
    """Return the check digit that follows these digits: weights 3 and 1 from the right, modulo 10."""
    total = sum(int(digit) * (1 if place % 2 else 3) for place, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def check_key(identifier: str, value: str) -> None:
    """Check a value of an application identifier, by its number.

    Raises:
        VerificationError: GS1_KEY.
    """
    key = KEYS.get(identifier)
    if key is None:
        raise VerificationError(Reason.GS1_KEY, f"no application identifier ({identifier}) is known here")
    if not (value.isascii() and key.pattern.fullmatch(value)):
        raise VerificationError(Reason.GS1_KEY, f"({identifier}) {value[:40]!r} has another form")
    digits = value[: key.checked]
    if digits and check_digit(digits[:-1]) != digits[-1]:
        right = check_digit(digits[:-1])
        raise VerificationError(Reason.GS1_KEY, f"({identifier}) {value}: the check digit would be {right}")


def full_gtin(digits: str) -> str:
    """Return a GTIN of 8, 12, 13 or 14 digits as one of 14.

    Raises:
        VerificationError: GS1_KEY.
    """
    if len(digits) not in {8, 12, 13, 14}:
        raise VerificationError(Reason.GS1_KEY, f"a GTIN has 8, 12, 13 or 14 digits, not {digits[:40]!r}")
    gtin = digits.zfill(14)
    check_key("01", gtin)
    return gtin
