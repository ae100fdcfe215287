"""Devices' passwords for the broker: each name's own, for its owner's eyes, and those missing are named."""

from pathlib import Path
from random import Random

import pytest

from devices.access import load_accesses
from devices.link import Link
from pipeline.wire.broker import access_file_name, encode_access
from pipeline.wire.errors import InputError

ONE, TWO = "urn:dev:ops:32473-air-1", "urn:dev:ops:32473-air-2"


def write(folder: Path, name: str, owner: str | None = None, mode: int = 0o600) -> Path:
    path = folder / access_file_name(name)
    path.touch(mode)
    path.write_text(encode_access(owner or name, "p" * 43))
    return path


def test_a_folder_has_a_file_for_each_name(tmp_path: Path) -> None:
    """And a file may stand for the one name that is asked for."""
    path = write(tmp_path, ONE)
    write(tmp_path, TWO)
    assert load_accesses(tmp_path, [TWO, ONE, ONE]) == {ONE: "p" * 43, TWO: "p" * 43}
    assert load_accesses(path, [ONE]) == {ONE: "p" * 43}


def test_names_without_access_are_written_down(tmp_path: Path) -> None:
    """The remedy is a command that can be run with the file as it is."""
    write(tmp_path, ONE)
    with pytest.raises(InputError, match="no access for 1 names, such as urn:dev:ops:32473-air-2") as refused:
        load_accesses(tmp_path, [ONE, TWO])
    assert (tmp_path / "wanted.txt").read_text() == f"{TWO}\n"
    assert f"cityproof access add --from {tmp_path / 'wanted.txt'} --out {tmp_path}" in refused.value.remedy


def test_an_access_file_is_its_owners(tmp_path: Path) -> None:
    """Open to others, or another name's, it is refused; a missing one says how it is made."""
    with pytest.raises(InputError, match="0644"):
        load_accesses(write(tmp_path, ONE, mode=0o644), [ONE])
    with pytest.raises(InputError, match=f"the access of {ONE}, not of {TWO}"):
        load_accesses(write(tmp_path, TWO, owner=ONE), [TWO])
    with pytest.raises(InputError, match="cityproof access add"):
        load_accesses(tmp_path / "none", [TWO])


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """Before anything is connected to."""
    with pytest.raises(InputError, match=r"--broker: cannot read certificates from .*ca\.crt"):
        Link(f"mqtts://localhost?ca={tmp_path / 'ca.crt'}", "client", [], Random(1))
