"""Reading a log's published files, from a city's folder or over HTTP, as provers and checkers want them."""

from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pipeline.log.tiles import ReadFile
from pipeline.wire.errors import InputError, UnavailableError

TOKEN_SIZE_MIN = 32


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


def is_url(where: str) -> bool:
    """Tell whether a log is named by a URL, and not by a folder."""
    return where.startswith(("http://", "https://"))


@contextmanager
def open_log(where: str, token_file: Path | None) -> Generator[ReadFile]:
    """Open a log's files for reading: those of a city's folder, or those behind a URL.

    Raises:
        InputError: There is no log, the token cannot be read, or this install speaks no HTTP.
    """
    if not is_url(where):
        yield reader_of(Path(where))
        return
    if find_spec("httpx") is None:
        remedy = "Install cityproof[service], or name a folder."
        raise InputError(where, "this install does not speak HTTP", remedy)
    from pipeline.edges.http_client import HttpFiles

    with closing(HttpFiles(where, read_token(token_file) if token_file else None)) as files:
        yield files


def trust_file(where: str, given: Path | None, name: str) -> Path:
    """Return the trusted file of this name: the one given, or beside the log's folder, or here."""
    return given or (Path() if is_url(where) else Path(where)) / name


def read_token(path: Path) -> str:
    """Return the token in an auditor's token file.

    Raises:
        InputError: It cannot be read, or is short.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("--auditor-token-file", str(error), "Name a file that holds the token.") from error
    if len(token) < TOKEN_SIZE_MIN:
        raise InputError("--auditor-token-file", "the token is short", "Make one of 32 characters or more.")
    return token
