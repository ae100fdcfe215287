"""Ed25519 keys: sign, verify, name and keep them. The one place that verifies a signature.

Pure Ed25519 of RFC 8032 through libsodium, which refuses non-canonical scalars and small-order points.
"""

import hashlib
import re
from typing import Protocol

from nacl import bindings
from nacl.exceptions import BadSignatureError

from pipeline.wire.errors import InputError, VerificationError
from pipeline.wire.reasons import Reason

PUBLIC_KEY_SIZE = 32
SEED_SIZE = 32
SIGNATURE_SIZE = 64
KEY_ID_SIZE = 8
KEY_FILE_TITLE = "cityproof key 1"
NAME_SIZE_MAX = 128  # Characters of the name in a key file.

_KEY_FILE = re.compile(KEY_FILE_TITLE + r"\nname (.+)\nseed ([0-9a-f]{64})\npublic [0-9a-f]{64}\n")


class Signer(Protocol):
    """Something that holds an Ed25519 private key: a seed here, a secure element elsewhere."""

    @property
    def public_key(self) -> bytes:
        """The 32-byte public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of a message."""
        ...


class SeedSigner:
    """A `Signer` that keeps the key in memory."""

    def __init__(self, seed: bytes) -> None:
        """Derive the key pair from the 32-byte seed (RFC 8032, 5.1.5)."""
        assert len(seed) == SEED_SIZE, "an Ed25519 seed has 32 bytes"
        self._public_key, self._secret_key = bindings.crypto_sign_seed_keypair(seed)

    @property
    def public_key(self) -> bytes:
        """The 32-byte public key."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of a message."""
        return bindings.crypto_sign(message, self._secret_key)[:SIGNATURE_SIZE]


def key_id(public_key: bytes) -> bytes:
    """Return the first 8 bytes of SHA-256(public key): a hint for looking up, never a proof."""
    return hashlib.sha256(public_key).digest()[:KEY_ID_SIZE]


def check_public_key(public_key: bytes) -> None:
    """Check that a key may be enrolled: a canonical point of the main subgroup, not of small order.

    Raises:
        VerificationError: `key_invalid`.
    """
    if len(public_key) != PUBLIC_KEY_SIZE or not bindings.crypto_core_ed25519_is_valid_point(public_key):
        raise VerificationError(Reason.KEY_INVALID)


def verify(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Check an Ed25519 signature (RFC 8032, 5.1.7, without the cofactor, as libsodium does it).

    Raises:
        VerificationError: `key_invalid` for a key that is not 32 bytes, else `signature_invalid`.
    """
    if len(public_key) != PUBLIC_KEY_SIZE:
        raise VerificationError(Reason.KEY_INVALID)
    if len(signature) != SIGNATURE_SIZE:
        raise VerificationError(Reason.SIGNATURE_INVALID)
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        raise VerificationError(Reason.SIGNATURE_INVALID) from None


def encode_key_file(seed: bytes, name: str) -> str:
    """Return the text of a key file: title, name, seed and public key, one a line, hexadecimal in lower case.

    Raises:
        InputError: The name is empty, too long or not one printable line.
    """
    if not _is_name(name):
        problem = f"{name[:NAME_SIZE_MAX]!r} is not a name"
        raise InputError("key name", problem, "Give one printable line of up to 128 characters.")
    public_key = SeedSigner(seed).public_key
    return f"{KEY_FILE_TITLE}\nname {name}\nseed {seed.hex()}\npublic {public_key.hex()}\n"


def decode_key_file(text: str) -> tuple[bytes, str]:
    """Return seed and name of a key file. The public key in it guards against a damaged seed.

    Raises:
        InputError: The text is not exactly what `encode_key_file` writes.
    """
    match = _KEY_FILE.fullmatch(text)
    if match and _is_name(match[1]):
        seed = bytes.fromhex(match[2])
        if text == encode_key_file(seed, match[1]):
            return seed, match[1]
    raise InputError("key file", "it is damaged or not one of cityproof", "Restore it, or enrol a new key.")


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_SIZE_MAX and name.isprintable() and name == name.strip()
