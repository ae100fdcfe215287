"""Reading a log's published files, from a city's folder or over HTTP, as provers and checkers want them."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.log.tiles import ReadFile
from pipeline.wire.errors import InputError, UnavailableError


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """A `tiles.ReadFile` over the folder of a log; it can be handed to another process."""

    folder: Path

    def __call__(self, path: str) -> bytes | None:
        """Return a file's bytes, or None where it is missing.

        Raises:
            UnavailableError: The disk failed, or the file may not be read.
        """
        try:
            return (self.folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UnavailableError(str(self.folder / path), f"read: {error.strerror}") from error


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
    return FolderFiles(log)
