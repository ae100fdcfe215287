"""Key files: one secret seed each, readable by their owner alone, written durably before first use."""

import os
import stat
from pathlib import Path
from secrets import token_bytes

from pipeline.wire.errors import InputError
from pipeline.wire.keys import SeedSigner, decode_key_file, encode_key_file

SEED_SIZE = 32
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def load_key(path: Path) -> tuple[SeedSigner, str]:
    """Return the signer of a key file and the name it belongs to.

    Raises:
        InputError: The file is missing, open to others, or no key file.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & OTHERS:
                raise InputError(
                    str(path), f"others may use this key (mode {mode:04o})", f"Run: chmod 600 {path}"
                )
            text = file.read().decode("utf-8", errors="replace")
    except OSError as error:
        raise InputError(str(path), f"cannot read the key: {error.strerror}", "Name a key file.") from error
    try:
        seed, name = decode_key_file(text)
    except InputError as error:
        raise InputError(str(path), error.problem, error.remedy) from None
    return SeedSigner(seed), name


def create_key(path: Path, name: str) -> SeedSigner:
    """Make a new key for `name`, durable before it is returned.

    Raises:
        InputError: The file exists already (a key is never overwritten), or cannot be written.
    """
    seed = token_bytes(SEED_SIZE)
    draft = path.with_name(path.name + ".new")
    try:
        if path.exists():
            raise InputError(
                str(path), "there is a key already", "Choose another name; a key is never overwritten."
            )
        draft.unlink(missing_ok=True)
        # A crash up to the rename leaves at most a draft that no one has used; the next start removes it.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(encode_key_file(seed, name))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        # A crash here may lose the rename, and with it a key that has signed nothing yet.
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise InputError(
            str(path), f"cannot write the key: {error.strerror}", "Choose a folder you own."
        ) from error
    return SeedSigner(seed)


def load_or_create_key(path: Path, name: str) -> SeedSigner:
    """Return the key of `name`, made on first use.

    Raises:
        InputError: As `load_key` and `create_key`, or the file is another name's.
    """
    if not path.exists():
        return create_key(path, name)
    signer, owner = load_key(path)
    if owner != name:
        raise InputError(str(path), f"this is the key of {owner}, not of {name}", "Use another --dir.")
    return signer
