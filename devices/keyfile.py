"""Key files: one secret seed each, readable by their owner alone, written durably before first use.

Beside a key file may stand, as `<file>.next`, the key that follows it: a key file too, with one more line,
`starts <epoch> <sequence>`. It is durable before anyone is asked to state the rotation, so that a device
which starts again signs with the right one of both.
"""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes

from pipeline.wire.errors import InputError
from pipeline.wire.keys import SEED_SIZE, SeedSigner, decode_key_file, encode_key_file
from pipeline.wire.rotation import SequencePlace

OTHERS = stat.S_IRWXG | stat.S_IRWXO

_STARTS = re.compile(r"starts ([0-9]{1,16}) ([0-9]{1,16})", re.ASCII)


@dataclass(frozen=True, slots=True)
class NextKey:
    """The key that a signer changes to, and the (epoch, sequence) from which on it signs."""

    signer: SeedSigner
    starts: SequencePlace


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
    if path.exists():
        raise InputError(
            str(path), "there is a key already", "Choose another name; a key is never overwritten."
        )
    seed = token_bytes(SEED_SIZE)
    _write(path, encode_key_file(seed, name))
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


def load_next(path: Path) -> NextKey | None:
    """Return the key that follows that of a key file, or None where no rotation was begun.

    Raises:
        InputError: The file beside it is damaged.
    """
    try:
        text = next_path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(next_path(path)), f"cannot read the next key: {error}", "Restore it.") from error
    key, _, last = text.removesuffix("\n").rpartition("\n")
    match = _STARTS.fullmatch(last)
    if match is None:
        raise InputError(str(next_path(path)), "it is damaged or no next key", "Restore it.")
    seed, _ = decode_key_file(key + "\n")
    return NextKey(SeedSigner(seed), (int(match[1]), int(match[2])))


def create_next(path: Path, starts: SequencePlace, at: SequencePlace) -> NextKey:
    """Make the key that follows that of a key file, durable before it is returned.

    Where one was made before whose place has come, that one becomes the key of the file first.

    Args:
        path: The key file.
        starts: The first (epoch, sequence) that the new key signs.
        at: The next one that the device signs.

    Raises:
        InputError: A rotation is under way, or a file cannot be used.
    """
    before = load_next(path)
    if before is not None:
        if at < before.starts or starts == before.starts:
            problem = "a rotation of this key is under way"
            remedy = "Let the device come to its start first, or remove the file if nobody approved it."
            raise InputError(str(next_path(path)), problem, remedy)
        # A crash before the removal leaves the same key in both files: it takes over from itself.
        _write(path, next_path(path).read_text(encoding="utf-8").rpartition("starts ")[0])
        next_path(path).unlink()
    _, name = load_key(path)
    seed = token_bytes(SEED_SIZE)
    _write(next_path(path), encode_key_file(seed, name) + f"starts {starts[0]} {starts[1]}\n")
    return NextKey(SeedSigner(seed), starts)


def next_path(path: Path) -> Path:
    """Return where the key stands that follows that of a key file."""
    return path.with_name(path.name + ".next")


def _write(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".new")
    try:
        draft.unlink(missing_ok=True)
        # A crash up to the rename leaves at most a draft that no one has used; the next start removes it.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
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
