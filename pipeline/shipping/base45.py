"""Base45 (RFC 9285): bytes in the characters that a QR code packs two into eleven bits."""

from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_VALUES = {character: value for value, character in enumerate(ALPHABET)}


def encode(data: bytes) -> str:
    """Return three characters for two bytes, two for a last one."""
    text = []
    for at in range(0, len(data) - 1, 2):
        rest, first = divmod(data[at] << 8 | data[at + 1], 45)
        third, second = divmod(rest, 45)
        text += [ALPHABET[first], ALPHABET[second], ALPHABET[third]]
    if len(data) % 2:
        second, first = divmod(data[-1], 45)
        text += [ALPHABET[first], ALPHABET[second]]
    return "".join(text)


def decode(text: str) -> bytes:
    """Return the bytes.

    Raises:
        VerificationError: VERDICT_CODE: another character, a length or a number that nothing encodes to.
    """
    data = bytearray()
    for at in range(0, len(text), 3):
        try:
            values = [_VALUES[character] for character in text[at : at + 3]]
        except KeyError as error:
            raise VerificationError(Reason.VERDICT_CODE, f"no Base45 character: {error.args[0]!r}") from None
        number = sum(value * 45**place for place, value in enumerate(values))
        size = len(values) - 1
        if not size or number >= 1 << 8 * size:
            raise VerificationError(Reason.VERDICT_CODE, f"characters {at} to {at + size} encode nothing")
        data += number.to_bytes(size)
    return bytes(data)
