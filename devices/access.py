"""Access files: who a device is to the broker, for its own eyes as its key is."""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.wire.broker import access_file_name, decode_access
from pipeline.wire.errors import InputError

OTHERS = stat.S_IRWXG | stat.S_IRWXO
WANTED = "wanted.txt"


def load_accesses(place: Path, names: Iterable[str]) -> Mapping[str, str]:
    """Return the password of each name, from a file, or from a folder with a file each.

    Where some are missing in a folder, their names are written beside them, for who runs the broker.

    Raises:
        InputError: One is missing or unusable.
    """
    wanted = sorted(set(names))
    if not place.is_dir():
        return {name: _load(place, name) for name in wanted}
    missing = [name for name in wanted if not (place / access_file_name(name)).exists()]
    if missing:
        try:
            (place / WANTED).write_text("\n".join(missing) + "\n", encoding="utf-8")
        except OSError as error:
            problem = f"cannot write {WANTED} into it: {error.strerror}"
            raise InputError(str(place), problem, "Name a folder of your own.") from error
        raise InputError(
            str(place),
            f"it has no access for {len(missing)} names, such as {missing[0]}",
            f"Have who runs the broker make them: cityproof access add --from {place / WANTED} --out {place}",
        )
    return {name: _load(place / access_file_name(name), name) for name in wanted}


def _load(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read().decode("utf-8", errors="replace")
    except OSError as error:
        remedy = f"Have who runs the broker make it: cityproof access add {name} --out FOLDER"
        raise InputError(str(path), f"cannot read it: {error.strerror}", remedy) from error
    if mode & OTHERS:
        raise InputError(str(path), f"others may read it (mode {mode:04o})", f"Run: chmod 600 {path}")
    try:
        owner, password = decode_access(text)
    except InputError as error:
        raise InputError(str(path), error.problem, error.remedy) from None
    if owner != name:
        raise InputError(str(path), f"this is the access of {owner}, not of {name}", "Name a folder of them.")
    return password
