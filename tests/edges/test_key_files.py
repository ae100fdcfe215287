"""Key files of the log and of services: made once, for one name, for their owner's eyes."""

import os
import stat
from pathlib import Path

import pytest

from pipeline.edges.keyfile import load_key, load_or_create_key
from pipeline.wire.errors import InputError

NAME = "demo.test/log"


def test_a_key_is_made_once(tmp_path: Path) -> None:
    """The first use makes it, with nobody but its owner admitted; later uses find the same one."""
    path = tmp_path / "keys" / "log.key"
    old = os.umask(0)
    try:
        made = load_or_create_key(path, NAME)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_key(path, NAME).public_key == made.public_key
    signer, name = load_key(path)
    assert (signer.public_key, name) == (made.public_key, NAME)
    assert [entry.name for entry in path.parent.iterdir()] == ["log.key"]


def test_two_keys_differ(tmp_path: Path) -> None:
    """Every new key is drawn anew."""
    keys = {load_or_create_key(tmp_path / str(n), NAME).public_key for n in range(5)}
    assert len(keys) == 5


def test_the_draft_of_a_crash_is_replaced(tmp_path: Path) -> None:
    """What a crash left before the rename is nobody's key."""
    path = tmp_path / "log.key"
    (tmp_path / ".log.key.draft").write_bytes(b"torn")
    load_or_create_key(path, NAME)
    assert [entry.name for entry in tmp_path.iterdir()] == ["log.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    """The message says how to close it."""
    path = tmp_path / "log.key"
    load_or_create_key(path, NAME)
    path.chmod(mode)
    with pytest.raises(InputError, match=rf"others may use this key \(mode {mode:04o}\). Run: chmod 600"):
        load_or_create_key(path, NAME)


def test_another_names_key_is_refused(tmp_path: Path) -> None:
    """A key never signs under two names."""
    path = tmp_path / "log.key"
    load_or_create_key(path, NAME)
    with pytest.raises(InputError, match=f"this is the key of {NAME}, not of other"):
        load_or_create_key(path, "other")


def test_a_damaged_key_is_refused_and_kept(tmp_path: Path) -> None:
    """No new key takes the place of one that cannot be read; the message names the file."""
    path = tmp_path / "log.key"
    load_or_create_key(path, NAME)
    for damaged in (b"", b"\xff\xfe", path.read_bytes()[:-5]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="damaged") as refused:
            load_or_create_key(path, NAME)
        assert refused.value.place == str(path)
        assert path.read_bytes() == damaged


def test_a_folder_that_cannot_hold_keys_is_named(tmp_path: Path) -> None:
    """A file where the folder should be, and a missing key file."""
    (tmp_path / "keys").write_bytes(b"")
    with pytest.raises(InputError, match="cannot write the key"):
        load_or_create_key(tmp_path / "keys" / "log.key", NAME)
    with pytest.raises(InputError, match="cannot read the key"):
        load_key(tmp_path / "none.key")
