"""Private keys as Go's note package has them; the C2SP specifications know public ones only."""

from pathlib import Path

from pipeline.log.note import NoteSigner, encode_base64
from pipeline.wire.keys import SeedSigner


def write_go_key(path: Path, name: str, seed: bytes) -> NoteSigner:
    """Write a key file and return our signer of the same key."""
    signer = NoteSigner(name, SeedSigner(seed))
    key_id = signer.key().key_id.hex()
    path.write_text(f"PRIVATE+KEY+{name}+{key_id}+{encode_base64(bytes([1]) + seed)}\n", encoding="ascii")
    return signer
