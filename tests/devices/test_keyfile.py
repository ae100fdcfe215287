"""Key files: for their owner alone, never overwritten, whole or not there."""

import os
import stat
from pathlib import Path

import pytest

from devices.keyfile import create_key, create_next, load_key, load_next, load_or_create_key, next_path
from pipeline.wire.errors import InputError

NAME = "urn:dev:ops:32473-test-1"


def test_a_new_key_is_its_owners_alone(tmp_path: Path) -> None:
    """A key file is made with mode 0600 whatever the umask, and gives the same key when read again."""
    path = tmp_path / "device.key"
    before = os.umask(0)
    try:
        made = create_key(path, NAME)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    read, name = load_key(path)
    assert (read.public_key, name) == (made.public_key, NAME)
    assert load_or_create_key(path, NAME).public_key == made.public_key
    assert [entry.name for entry in tmp_path.iterdir()] == ["device.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o602, 0o666])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    """Any right of group or others is an error that names the file and the remedy."""
    path = tmp_path / "device.key"
    create_key(path, NAME)
    path.chmod(mode)
    with pytest.raises(InputError) as refused:
        load_key(path)
    assert refused.value.place == str(path)
    assert "others may use this key" in refused.value.problem
    assert refused.value.remedy == f"Run: chmod 600 {path}"


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """Making a key where one stands is an error, and the old one stays."""
    path = tmp_path / "device.key"
    create_key(path, NAME)
    text = path.read_text()
    with pytest.raises(InputError, match="there is a key already"):
        create_key(path, NAME)
    assert path.read_text() == text


def test_a_key_of_another_name_is_refused(tmp_path: Path) -> None:
    """A device does not sign with a key file that was made for another."""
    path = tmp_path / "device.key"
    create_key(path, NAME)
    with pytest.raises(InputError, match=f"this is the key of {NAME}"):
        load_or_create_key(path, "urn:dev:ops:32473-test-2")


@pytest.mark.parametrize("text", ["", "cityproof key 1\n", "\xff\x00"])
def test_a_damaged_key_is_refused(tmp_path: Path, text: str) -> None:
    """What is no key file is an input error, not a traceback."""
    path = tmp_path / "device.key"
    path.write_text(text, encoding="latin-1")
    path.chmod(0o600)
    with pytest.raises(InputError) as refused:
        load_key(path)
    assert refused.value.place == str(path)


def test_a_draft_of_a_crash_is_replaced(tmp_path: Path) -> None:
    """What a crash left beside the key's place does not hinder the next start."""
    path = tmp_path / "device.key"
    (tmp_path / "device.key.new").write_text("half a k")
    made = load_or_create_key(path, NAME)
    assert load_key(path)[0].public_key == made.public_key
    assert [entry.name for entry in tmp_path.iterdir()] == ["device.key"]


def test_a_missing_key_says_what_to_do(tmp_path: Path) -> None:
    """A path without a file is an input error."""
    with pytest.raises(InputError, match="cannot read the key"):
        load_key(tmp_path / "nothing.key")


def test_the_next_key_stands_beside_the_key_until_the_one_after_it(tmp_path: Path) -> None:
    """A rotation leaves the key as it is; the following one puts the next key in its place."""
    path = tmp_path / "device.key"
    first = create_key(path, NAME)
    assert load_next(path) is None
    second = create_next(path, (5, 7), (5, 7))
    assert next_path(path).stat().st_mode & 0o777 == 0o600
    read = load_next(path)
    assert read is not None
    assert (read.signer.public_key, read.starts) == (second.signer.public_key, (5, 7))
    assert load_key(path)[0].public_key == first.public_key

    third = create_next(path, (5, 9), (5, 8))
    assert load_key(path)[0].public_key == second.signer.public_key
    read = load_next(path)
    assert read is not None
    assert (read.signer.public_key, read.starts) == (third.signer.public_key, (5, 9))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["device.key", "device.key.next"]


@pytest.mark.parametrize(("starts", "at"), [((5, 7), (5, 7)), ((5, 8), (5, 6)), ((6, 0), (4, 9))])
def test_a_rotation_under_way_is_not_overwritten(
    tmp_path: Path, starts: tuple[int, int], at: tuple[int, int]
) -> None:
    """Before the device has come to the start of its next key there is no other: both are needed still."""
    path = tmp_path / "device.key"
    create_key(path, NAME)
    create_next(path, (5, 7), (5, 7))
    before = next_path(path).read_bytes()
    with pytest.raises(InputError, match="under way"):
        create_next(path, starts, at)
    assert next_path(path).read_bytes() == before


@pytest.mark.parametrize("last", ["", "starts 5", "starts 5 7 9", "starts -1 0"])
def test_a_damaged_next_key_is_refused(tmp_path: Path, last: str) -> None:
    """Without its start nobody knows which of the two keys signs."""
    path = tmp_path / "device.key"
    create_key(path, NAME)
    create_next(path, (5, 7), (5, 7))
    text = next_path(path).read_text()
    next_path(path).write_text(text.replace("starts 5 7", last))
    with pytest.raises(InputError, match="damaged"):
        load_next(path)
