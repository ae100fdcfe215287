"""Files of the published log: whole files, written durably or not at all."""

import asyncio
import fcntl
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path, PurePosixPath

from pipeline.durable import step
from pipeline.wire.errors import InputError, UnavailableError

DRAFTS = (
    ".drafts"  # One folder for all temporary files: what a crash leaves is found without walking the archive.
)
LOCK = ".lock"
FOLDERS_KEPT = 4096


class LocalFiles:
    """`ports.Files` over a folder. One process writes it; anyone may read."""

    def __init__(self, root: Path) -> None:
        """Make the folder and drop the drafts of a process that ended in the middle of a write.

        Raises:
            InputError: The folder cannot be made or written.
        """
        self._root = root
        self._drafts = root / DRAFTS
        self._numbers = count()
        self._folders: set[Path] = set()  # Known to exist, durably; some of them.
        try:
            self._make_folder(self._drafts)
            for stale in self._drafts.iterdir():
                stale.unlink()
        except OSError as error:
            problem = f"cannot be used: {error.strerror}"
            raise InputError(str(root), problem, "Name a folder that you may write.") from error

    async def write(self, path: str, data: bytes) -> None:
        """Write a whole file atomically and durably.

        Raises:
            UnavailableError: The disk failed or is full; the file is as it was, or whole.
        """
        await self.write_many({path: data})

    async def write_many(self, files: Mapping[str, bytes]) -> None:
        """Write several files, each atomically and in this order; all are durable when it returns.

        Raises:
            UnavailableError: The disk failed or is full; each file is as it was, or whole.
        """
        if files:
            wanted = {self._resolve(path): data for path, data in files.items()}
            await asyncio.to_thread(self._write, wanted)

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or None where it is missing.

        Raises:
            UnavailableError: The disk failed.
        """
        target = self._resolve(path)
        try:
            return target.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise UnavailableError(str(target), f"read: {error.strerror}") from error

    def _resolve(self, path: str) -> Path:
        """Return where a file lies.

        Raises:
            InputError: The path leads out of the folder or to its drafts.
        """
        parts = PurePosixPath(path).parts
        if not parts or "/".join(parts) != path or "\0" in path or any(part[0] == "." for part in parts):
            raise InputError(
                path, "not a path inside the folder", "Use names and single slashes, no dots in front."
            )
        return self._root.joinpath(*parts)

    def _write(self, files: Mapping[Path, bytes]) -> None:
        drafts = [self._drafts / str(next(self._numbers)) for _ in files]
        try:
            for target in files:
                self._make_folder(target.parent)
            for draft, data in zip(drafts, files.values(), strict=True):
                # A crash from here to the rename leaves a draft, whole or torn, that the next start removes.
                write_synced(draft, data, 0o644)
                step(f"files.{self._root.name}.draft")
            for draft, target in zip(drafts, files, strict=True):
                # A crash between renames leaves the earlier files new and the later ones old, each whole; the
                # stage that wrote them writes them again.
                step(f"files.{self._root.name}.rename")
                draft.replace(target)
            for folder in dict.fromkeys(target.parent for target in files):
                # A crash before this may undo renames in the folder. Nobody was told of them yet.
                step(f"files.{self._root.name}.sync")
                sync_folder(folder)
            step(f"files.{self._root.name}.synced")
        except OSError as error:
            for draft in drafts:
                with suppress(OSError):
                    draft.unlink(missing_ok=True)
            raise UnavailableError(str(self._root), f"write: {error.strerror}") from error

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and those above it, each durable in the one above.

        One that is there already may be the work of a process that ended before its name was durable.
        """
        if folder in self._folders:
            return
        if folder == self._root:
            folder.mkdir(parents=True, exist_ok=True)
        else:
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
        if len(self._folders) >= FOLDERS_KEPT:  # There are as many as the log is long, and few are in use.
            self._folders.clear()
        self._folders.add(folder)


@contextmanager
def held_folder(root: Path) -> Generator[None]:
    """Make a folder and hold it, so that no other process does, until the context or this process ends.

    To be entered before the folder is opened as `LocalFiles`, which drops drafts of whoever came before.

    Raises:
        InputError: Another process holds it, or it cannot be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        problem = f"cannot be used: {error.strerror}"
        raise InputError(str(root), problem, "Name a folder that you may write.") from error
    with os.fdopen(descriptor):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # Gone with the process, however it ends.
        except BlockingIOError as error:
            problem = "another process is using this folder"
            raise InputError(str(root), problem, "Stop the other, or name another folder.") from error
        yield


def write_synced(path: Path, data: bytes, mode: int) -> None:
    """Write a new file and sync its bytes; its name is not durable before its folder is synced.

    Raises:
        OSError: The file exists, or the disk failed or is full.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        os.fsync(descriptor)


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """Put a whole file in the place of what is there, durably; its folder is made if it is missing.

    Raises:
        InputError: It cannot be written.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        # A crash up to the rename leaves the file as it was, and a draft that the next call removes.
        write_synced(draft, data, mode)
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        problem = f"cannot be written: {error.strerror}"
        raise InputError(str(path), problem, "Choose a folder you may write to.") from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: The disk failed.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
