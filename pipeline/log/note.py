"""Signed notes (C2SP signed-note v1.0.0): a text, a blank line, signature lines. And the keys that sign them.

Two signature types are spoken: Ed25519 over the text (0x01, a log) and the timestamped cosignature of a
checkpoint (0x04, a witness; C2SP tlog-cosignature v1.0.1). Lines of other types are kept and ignored.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from pipeline.wire import keys
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

NOTE_SIZE_MAX = 128 * 1024  # Room for 16 post-quantum signatures, which others may add.
SIGNATURES_MAX = 64
NAME_SIZE_MAX = 255  # As tlog-cosignature bounds names in its binary form.

TYPE_ED25519 = 0x01
TYPE_COSIGNATURE = 0x04
TIME_MAX_S = 2**63 - 1

_PREFIX = "\N{EM DASH} "
_KEY_ID_SIZE = 4
_TIME_SIZE = 8
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")  # All below U+0020 but the newline.


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line. `value` is what follows the 4-byte key id."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        """Return the line, newline included."""
        return f"{_PREFIX}{self.name} {encode_base64(self.key_id + self.value)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note, of which nothing is verified. `text` ends with its newline."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A verifier key ("vkey"): name, signature type and Ed25519 public key."""

    name: str
    type: int
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that lead a signature: a hint, no proof."""
        material = self.name.encode() + b"\n" + bytes([self.type]) + self.public_key
        return sha256(material).digest()[:_KEY_ID_SIZE]

    def verify(self, text: str, value: bytes) -> int | None:
        """Check one signature of this key over a note's text.

        Returns:
            The time of a cosignature in POSIX seconds; None for a plain signature, which has none.

        Raises:
            VerificationError: NOTE_SIGNATURE.
        """
        time_s, message, signature = None, text.encode(), value
        if self.type == TYPE_COSIGNATURE:
            time_s, signature = int.from_bytes(value[:_TIME_SIZE], "big"), value[_TIME_SIZE:]
            if time_s > TIME_MAX_S:
                raise VerificationError(Reason.NOTE_SIGNATURE, f"{self.name}: a time beyond 2^63 - 1")
            message = cosigned_message(text, time_s)
        try:
            keys.verify(self.public_key, message, signature)
        except VerificationError as error:
            raise VerificationError(Reason.NOTE_SIGNATURE, f"by {self.name}") from error
        return time_s


@dataclass(frozen=True, slots=True)
class NoteSigner:
    """A name and the Ed25519 key that signs under it."""

    name: str
    signer: keys.Signer

    def key(self, key_type: int = TYPE_ED25519) -> NoteKey:
        """Return the verifier key that others put into their policy."""
        return NoteKey(self.name, key_type, self.signer.public_key)

    def sign(self, text: str) -> Signature:
        """Sign a note's text (type 0x01)."""
        return Signature(self.name, self.key().key_id, self.signer.sign(text.encode()))

    def cosign(self, text: str, time_s: int) -> Signature:
        """Cosign a checkpoint's text (type 0x04): "consistent with all I saw before, as of this time"."""
        value = time_s.to_bytes(_TIME_SIZE, "big") + self.signer.sign(cosigned_message(text, time_s))
        return Signature(self.name, self.key(TYPE_COSIGNATURE).key_id, value)


def cosigned_message(text: str, time_s: int) -> bytes:
    """Return the bytes that a cosignature of type 0x04 signs (tlog-cosignature, Ed25519 signed message)."""
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def encode_note(text: str, signatures: Iterable[Signature]) -> bytes:
    """Return the note: text, blank line, signature lines."""
    return (text + "\n" + "".join(signature.line() for signature in signatures)).encode()


def parse_note(raw: bytes) -> Note:
    """Parse a note; nothing is verified.

    Raises:
        VerificationError: OVERSIZE, NOTE_SHAPE.
    """
    if len(raw) > NOTE_SIZE_MAX:
        raise VerificationError(Reason.OVERSIZE, f"a note of {len(raw)} bytes")
    decoded = _decode_text(raw)
    text, blank, lines = decoded.rpartition("\n\n")  # The text may hold blank lines: the last one counts.
    if not blank:
        raise VerificationError(Reason.NOTE_SHAPE, "no blank line between text and signatures")
    return Note(text + "\n", _parse_lines(lines))


def parse_signatures(raw: bytes) -> tuple[Signature, ...]:
    """Parse signature lines without a note, as a witness answers them.

    Raises:
        VerificationError: OVERSIZE, NOTE_SHAPE.
    """
    if len(raw) > NOTE_SIZE_MAX:
        raise VerificationError(Reason.OVERSIZE, f"signature lines of {len(raw)} bytes")
    return _parse_lines(_decode_text(raw))


def verified(note: Note, known: Iterable[NoteKey]) -> list[tuple[NoteKey, int | None]]:
    """Return the known keys that have signed, in the order of the lines, each with its cosignature's time.

    A line whose name and key id belong to no known key is ignored, as the specification asks.

    Raises:
        VerificationError: NOTE_SIGNATURE, where a known key's signature does not verify.
    """
    by_id = {(key.name, key.key_id): key for key in known}
    signers = []
    for signature in note.signatures:
        key = by_id.get((signature.name, signature.key_id))
        if key is not None:
            signers.append((key, key.verify(note.text, signature.value)))
    return signers


def encode_vkey(key: NoteKey) -> str:
    """Return `name+hex key id+base64(type, public key)`."""
    return f"{key.name}+{key.key_id.hex()}+{encode_base64(bytes([key.type]) + key.public_key)}"


def parse_vkey(text: str) -> NoteKey:
    """Parse a verifier key of a type we speak.

    Raises:
        VerificationError: NOTE_KEY, KEY_INVALID.
    """
    name, _, rest = text.partition("+")
    key_id, _, material = rest.partition("+")  # Base64 holds "+" too: the first two separate.
    try:
        decoded = decode_base64(material)
    except VerificationError as error:
        raise VerificationError(Reason.NOTE_KEY, f"not name+id+key: {text[:200]!r}") from error
    if not is_name(name):
        raise VerificationError(Reason.NOTE_KEY, f"not a key name: {name[:100]!r}")
    key_type = int.from_bytes(decoded[:1], "big")
    if key_type not in {TYPE_ED25519, TYPE_COSIGNATURE}:
        raise VerificationError(Reason.NOTE_KEY, f"{name}: signature type {key_type:#04x}")
    key = NoteKey(name, key_type, decoded[1:])
    if key.key_id.hex() != key_id:
        raise VerificationError(Reason.NOTE_KEY, f"{name}: key id {key_id[:16]!r} is not {key.key_id.hex()}")
    keys.check_public_key(key.public_key)
    return key


def is_name(name: str) -> bool:
    """Tell whether this can be a key name or origin: 1 to 255 bytes, no space of any kind, plus, control."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:  # A lone surrogate.
        return False
    return 0 < size <= NAME_SIZE_MAX and not any(c.isspace() or c == "+" or c < " " for c in name)


def encode_base64(data: bytes) -> str:
    """Return standard base64 with padding (RFC 4648, 4)."""
    return b64encode(data).decode()


def decode_base64(text: str) -> bytes:
    """Decode standard base64 of which there is one spelling only: padded, trailing bits zero.

    Raises:
        VerificationError: NOTE_SHAPE.
    """
    try:
        data = b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise VerificationError(Reason.NOTE_SHAPE, f"not base64: {text[:100]!r}") from error
    if encode_base64(data) != text:  # b64decode lets trailing bits pass.
        raise VerificationError(Reason.NOTE_SHAPE, f"not the one base64 of its bytes: {text[:100]!r}")
    return data


def _decode_text(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise VerificationError(Reason.NOTE_SHAPE, "not UTF-8") from error
    if _CONTROL.search(text):
        raise VerificationError(Reason.NOTE_SHAPE, "a control character")
    return text


def _parse_lines(block: str) -> tuple[Signature, ...]:
    if not block.endswith("\n"):
        raise VerificationError(Reason.NOTE_SHAPE, "no signature line, or the last one has no newline")
    lines = block[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise VerificationError(Reason.NOTE_SHAPE, f"{len(lines)} signatures, more than {SIGNATURES_MAX}")
    return tuple(map(_parse_line, lines))


def _parse_line(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_PREFIX).partition(" ")
    if not line.startswith(_PREFIX) or not is_name(name):
        raise VerificationError(Reason.NOTE_SHAPE, f"not a signature line: {line[:100]!r}")
    value = decode_base64(encoded)
    if len(value) <= _KEY_ID_SIZE:
        raise VerificationError(Reason.NOTE_SHAPE, f"no signature after the key id of {name}")
    return Signature(name, value[:_KEY_ID_SIZE], value[_KEY_ID_SIZE:])
