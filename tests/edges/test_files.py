"""What every folder of the published log keeps, and what local files promise besides."""

import asyncio
import os
from pathlib import Path
from typing import Self

import pytest

from pipeline.edges import files as edge
from pipeline.edges.files import DRAFTS, LocalFiles, held_folder, write_synced
from pipeline.ports import Files
from pipeline.wire.errors import InputError, UnavailableError


async def test_what_is_written_is_read(files: Files) -> None:
    """Whole files of any bytes, in folders of any depth, also over an older file."""
    written = {
        "checkpoint": b"a",
        "tile/0/x001/x234/067": bytes(range(256)),
        "tile/0/000.p/5": b"",
        "big": bytes(10**6),
    }
    await files.write_many(written)
    await files.write("checkpoint", b"a newer one")
    assert {path: files.read(path) for path in written} == written | {"checkpoint": b"a newer one"}


async def test_a_missing_file_is_none(files: Files) -> None:
    """A file that is not there, in a folder that is or is not."""
    await files.write("tile/0/000", b"x")
    assert [files.read(path) for path in ("nothing", "tile/0/001", "no/folder", "tile")] == [None] * 4


async def test_nothing_to_write_is_written(files: Files) -> None:
    """An empty set of files is no error."""
    await files.write_many({})


# Local files.


OUTSIDE = ("", "/etc/passwd", "../x", "a/../../x", "a/..", ".", f"{DRAFTS}/0")
ANOTHER_NAME = ("./a", "a//b", "a/", "a/./b", "a/.hidden", "a\0b")


@pytest.mark.parametrize("path", [*OUTSIDE, *ANOTHER_NAME])
async def test_no_path_leads_out(tmp_path: Path, path: str) -> None:
    """Paths that leave the folder, or come to a place by another name, are refused to readers and writers."""
    (tmp_path / "x").write_bytes(b"outside")
    files = LocalFiles(tmp_path / "log")
    with pytest.raises(InputError, match="not a path inside the folder"):
        files.read(path)
    with pytest.raises(InputError, match="not a path inside the folder"):
        await files.write_many({"good": b"x", path: b"x"})
    assert files.read("good") is None, "nothing of the set is written"


async def test_a_reader_never_sees_part_of_a_file(tmp_path: Path) -> None:
    """While a file is being replaced, whoever reads gets an old one or a new one, whole."""
    files = LocalFiles(tmp_path)
    whole = [bytes([n]) * 100_000 for n in range(40)]
    await files.write("checkpoint", whole[0])
    seen: list[bytes | None] = []

    async def replace() -> None:
        for data in whole[1:]:
            await files.write("checkpoint", data)

    task = asyncio.create_task(replace())
    while not task.done():
        seen.append(await asyncio.to_thread(files.read, "checkpoint"))
    await task
    assert set(seen) <= set(whole)
    assert files.read("checkpoint") == whole[-1]


async def test_no_draft_is_left(tmp_path: Path) -> None:
    """After writes nothing but the files is there; what a crash left is removed at the next start."""
    files = LocalFiles(tmp_path)
    await files.write_many({f"tile/{n}": b"x" for n in range(5)})
    assert not list((tmp_path / DRAFTS).iterdir())
    (tmp_path / DRAFTS / "3").write_bytes(b"torn")
    again = LocalFiles(tmp_path)
    assert not list((tmp_path / DRAFTS).iterdir())
    await again.write("tile/0", b"y")
    assert again.read("tile/0") == b"y"


async def test_a_disk_that_fails_is_said(tmp_path: Path) -> None:
    """A write that cannot be done raises, and leaves the old file; the next one may succeed."""
    files = LocalFiles(tmp_path)
    await files.write("a/b", b"old")
    with pytest.raises(UnavailableError, match="write: File exists"):
        await files.write("a/b/c", b"x")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with pytest.raises(UnavailableError, match="write: "):
        await files.write_many({"a/b": b"new", "folder": b"x"})
    assert files.read("a/b") == b"new", "each file is as it was, or whole"
    assert not list((tmp_path / DRAFTS).iterdir()), "a full disk is not filled up with drafts"
    await files.write("a/b", b"newer")
    assert files.read("a/b") == b"newer"


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A file where the folder should be: the message names it."""
    (tmp_path / "log").write_bytes(b"")
    with pytest.raises(InputError, match="log: cannot be used") as refused:
        LocalFiles(tmp_path / "log")
    assert refused.value.place == str(tmp_path / "log")


async def test_every_step_is_synced_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each draft's bytes before its rename, new folders' names at once, every folder after the renames."""
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def name_of(descriptor: int) -> str:
        return Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path).as_posix()

    def spy_fsync(descriptor: int) -> None:
        calls.append(f"sync {name_of(descriptor)}")
        fsync(descriptor)

    def spy_replace(self: Path, target: Path) -> Path:
        calls.append(f"rename {self.relative_to(tmp_path)} {target.relative_to(tmp_path)}")
        return replace(self, target)

    files = LocalFiles(tmp_path)
    monkeypatch.setattr("pipeline.edges.files.os.fsync", spy_fsync)
    monkeypatch.setattr(Path, "replace", spy_replace)
    await files.write_many({"a/x": b"1", "b": b"2"})
    assert calls == [
        "sync .",  # The name of the folder a.
        f"sync {DRAFTS}/0",
        f"sync {DRAFTS}/1",
        f"rename {DRAFTS}/0 a/x",
        f"rename {DRAFTS}/1 b",
        "sync a",
        "sync .",
    ]


def test_a_file_is_written_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system writes less than it was asked to, the rest follows; an existing file stays."""
    data = bytes(range(256)) * 40

    class ShortWriter:
        def __init__(self, descriptor: int) -> None:
            self._descriptor = descriptor

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            os.close(self._descriptor)

        def write(self, view: memoryview) -> int:
            return os.write(self._descriptor, view[:1000])

    monkeypatch.setattr(
        "pipeline.edges.files.os.fdopen", lambda descriptor, *_, **__: ShortWriter(descriptor)
    )
    write_synced(tmp_path / "x", data, 0o600)
    assert (tmp_path / "x").read_bytes() == data
    with pytest.raises(FileExistsError):
        write_synced(tmp_path / "x", b"", 0o600)


def test_a_folder_is_held_by_one_only(tmp_path: Path) -> None:
    """The second is told so, and nothing of the first's is touched; afterwards it is free again."""
    with (
        held_folder(tmp_path / "state"),
        pytest.raises(InputError, match="another process is using"),
        held_folder(tmp_path / "state"),
    ):
        raise AssertionError("held twice")
    with held_folder(tmp_path / "state"):
        pass


def test_a_folder_that_cannot_be_made_is_not_held(tmp_path: Path) -> None:
    """A file stands in its place."""
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be used"), held_folder(tmp_path / "state"):
        raise AssertionError("held")


async def test_folders_are_not_remembered_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log has ever more of them; what was forgotten is there all the same."""
    monkeypatch.setattr(edge, "FOLDERS_KEPT", 3)
    files = LocalFiles(tmp_path)
    for number in range(9):
        for again in range(2):
            await files.write(f"block/x00{number}/00{again}", b"body")
        assert len(files._folders) <= 3
    assert all(files.read(f"block/x00{number}/001") for number in range(9))
