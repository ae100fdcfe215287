"""Names that stand in statements: issuers are device URNs or URIs, subjects and labels short plain text."""

import re

NAME_SIZE_MAX = 128  # Bytes of UTF-8.

# RFC 9039, 3.2: the hexadecimal of mac and ow is lower case, a product has no dash, components follow "_".
_DEVICE_URN = re.compile(
    r"urn:dev:(?:(?:mac|ow):(?:[0-9a-f]{2})+"
    r"|(?:org|os):[1-9][0-9]*-[A-Za-z0-9.-]+(?::[A-Za-z0-9.-]+)*"
    r"|ops:[1-9][0-9]*-[A-Za-z0-9.]+-[A-Za-z0-9.-]+(?::[A-Za-z0-9.-]+)*"
    r"|(?!(?:mac|ow|org|os|ops):)[a-z][a-z0-9]*(?::[A-Za-z0-9.-]+)+)"
    r"(?:_[A-Za-z0-9.-]+)*"
)
_URI = re.compile(
    r"(?!urn:dev:)[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
)
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # Controls, and surrogates that no UTF-8 has.


def is_device(name: object) -> bool:
    """Tell whether this is a device URN (RFC 9039) of at most 128 characters."""
    return isinstance(name, str) and len(name) <= NAME_SIZE_MAX and _DEVICE_URN.fullmatch(name) is not None


def is_issuer(name: object) -> bool:
    """Tell whether this is a device URN, or another URI (RFC 3986), of at most 128 characters."""
    if not isinstance(name, str) or len(name) > NAME_SIZE_MAX:
        return False
    return is_device(name) or _URI.fullmatch(name) is not None


def is_label(name: object) -> bool:
    """Tell whether this is text of 1 to 128 bytes without control characters (U+0000 to 1F, 7F to 9F)."""
    return isinstance(name, str) and not _NO_TEXT.search(name) and 0 < len(name.encode()) <= NAME_SIZE_MAX
