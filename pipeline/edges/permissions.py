"""Who may write a file, by what this machine says of it."""

import grp
import pwd
import stat
from pathlib import Path


def who_may_write(path: Path) -> list[str]:
    """Return, for people, whose processes could have written a file, or put another one in its place.

    Raises:
        OSError: There is no such file.
    """
    return list(dict.fromkeys(["user root", *_writers(path), *_writers(path.parent)]))


def _writers(path: Path) -> list[str]:
    status = path.stat()
    names = [f"user {_user(status.st_uid)}"]
    if status.st_mode & stat.S_IWGRP:
        names.append(f"group {_group(status.st_gid)}")
    if status.st_mode & stat.S_IWOTH:
        names.append("anyone on this machine")
    return names


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
