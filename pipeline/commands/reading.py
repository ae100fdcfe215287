"""Reading a log's published files from a city's folder, as provers and checkers want them."""

from pathlib import Path

from pipeline.log.tiles import ReadFile
from pipeline.wire.errors import InputError


def reader_of(directory: Path) -> ReadFile:
    """Return the reader of the files below `<directory>/log`.

    Raises:
        InputError: There is no log.
    """
    log = directory / "log"
    if not log.is_dir():
        raise InputError(
            "--dir", f"{directory} holds no log", "Name the folder that a demo or a city left behind."
        )

    def read(path: str) -> bytes | None:
        try:
            return (log / path).read_bytes()
        except FileNotFoundError:
            return None

    return read
