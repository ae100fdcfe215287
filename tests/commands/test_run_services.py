"""A service says which server is away, and that it is to be started again; mistakes are a person's."""

import json
import socket
from pathlib import Path

from tests.commands.conftest import cityproof


def test_a_server_that_is_away_is_exit_75(tmp_path: Path) -> None:
    """The supervisor's cue: one line of the journal, no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Nobody listens there.
        path = tmp_path / "city.toml"
        path.write_text(f'[kafka]\nservers = "127.0.0.1:{taken.getsockname()[1]}"\n')
        done = cityproof("run", "log", "--config", str(path))
    assert done.returncode == 75
    last = json.loads(done.stderr.decode().splitlines()[-1])
    assert last["event"].startswith("Kafka did not answer: connecting")
    assert last["event"].endswith("To be started again.")
    assert (last["service"], last["level"], last["exit"]) == ("log", "error", 75)
    assert b"Traceback" not in done.stderr


def test_settings_and_a_folder_exclude_one_another(tmp_path: Path) -> None:
    """`run all` is embedded in a folder, or on servers; one of the two is named."""
    both = cityproof("run", "all", "--config", str(tmp_path / "city.toml"), "--dir", str(tmp_path))
    none = cityproof("run", "all")
    assert (both.returncode, none.returncode) == (2, 2)
    assert both.stderr.startswith(b"cityproof: --config: ")
    assert none.stderr.startswith(b"cityproof: --dir: ")
