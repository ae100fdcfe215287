"""Key files of the log, its witnesses and services: one secret seed each, for their owner's eyes only."""

import os
import stat
from pathlib import Path
from secrets import token_bytes

from pipeline.durable import step
from pipeline.edges.files import sync_folder, write_synced
from pipeline.wire.errors import InputError
from pipeline.wire.keys import SEED_SIZE, SeedSigner, decode_key_file, encode_key_file

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def load_key(path: Path) -> tuple[SeedSigner, str]:
    """Return the signer of a key file and the name it belongs to.

    Raises:
        InputError: The file is missing, open to others, or no key file.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read().decode("utf-8", errors="replace")
    except OSError as error:
        raise InputError(str(path), f"cannot read the key: {error.strerror}", "Name a key file.") from error
    if mode & OTHERS:
        raise InputError(str(path), f"others may use this key (mode {mode:04o})", f"Run: chmod 600 {path}")
    try:
        seed, name = decode_key_file(text)
    except InputError as error:
        raise InputError(str(path), error.problem, error.remedy) from None
    return SeedSigner(seed), name


def load_or_create_key(path: Path, name: str) -> SeedSigner:
    """Return the key of `name`; on first use a new one, durable before it is returned.

    Raises:
        InputError: The file cannot be used or written, or is another name's.
    """
    if not path.exists():
        _create(path, encode_key_file(token_bytes(SEED_SIZE), name))
    signer, owner = load_key(path)
    if owner != name:
        raise InputError(str(path), f"this is the key of {owner}, not of {name}", "Name another folder.")
    return signer


def _create(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        # A crash up to the rename leaves a draft that nobody has used; the next start removes it.
        write_synced(draft, text.encode(), 0o600)
        step("key.draft")
        draft.replace(path)
        # A crash before this may undo the rename, and with it a key that has signed nothing.
        step("key.rename")
        sync_folder(path.parent)
    except OSError as error:
        problem = f"cannot write the key: {error.strerror}"
        raise InputError(str(path), problem, "Name a folder you own.") from error
