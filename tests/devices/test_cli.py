"""The devices' commands: helpful, and never a traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from devices.cli import app
from devices.world.scenarios import scenarios
from pipeline.wire.errors import InputError
from tests.devices.fakes import Broker, FakeLog
from tests.devices.test_replay import long_table

runner = CliRunner()


@pytest.mark.parametrize("command", ["simulate", "replay", "scenarios"])
def test_every_help_has_an_example(command: str) -> None:
    """--help of each command shows how it is called."""
    result = runner.invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert f"Example: cityproof {command}" in result.stdout


def test_scenarios_are_listed() -> None:
    """Every scenario is listed with both of its titles, and as JSON for programs."""
    text = runner.invoke(app, ["scenarios"]).stdout
    listed = json.loads(runner.invoke(app, ["scenarios", "--json"]).stdout)
    assert [one["name"] for one in listed["scenarios"]] == list(scenarios())
    for name, scenario in scenarios().items():
        assert name in text
        assert scenario.title.en in text
        assert scenario.title.zh in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policy", "nothing.txt"], ["--policy", "nothing.txt", "Name the policy.txt"]),
        (["--enrol", "nothing.key"], ["nothing.key", "cannot read the key"]),
        (["--broker", "localhost"], ["--broker", "Write mqtt://HOST:PORT, or mqtts://"]),
        (["--position", "here"], ["--position", "Write LONGITUDE,LATITUDE,HEIGHT_M."]),
        (["--mapping", "nothing"], ["--mapping", "aded2022"]),
    ],
)
def test_a_wrong_setting_is_an_input_error(
    fake_log: FakeLog, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    """A wrong setting raises an error that names it and the remedy."""
    settings = {
        "--policy": str(fake_log.policy),
        "--enrol": str(fake_log.authority_key),
        "--dir": str(tmp_path / "fleet"),
        "--position": "1,2,3",
        "--status": "none",
    }
    settings |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    flat = [word for pair in settings.items() for word in pair]
    result = runner.invoke(app, ["replay", str(long_table(tmp_path, 10)), *flat])
    assert isinstance(result.exception, InputError)
    for word in words:
        assert word in str(result.exception)


def test_the_command_line_prints_one_line_and_exits_2(tmp_path: Path) -> None:
    """Through `cityproof`, a wrong setting of a device's command is one line on stderr, and exit 2."""
    words = ["simulate", "--policy", "nothing.txt", "--enrol", "nothing.key", "--dir", str(tmp_path)]
    command = [sys.executable, "-m", "pipeline.cli", *words]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("cityproof: --policy: cannot read nothing.txt")


def test_an_unknown_scenario_names_those_there_are(tmp_path: Path) -> None:
    """The name of a scenario is checked before anything starts."""
    words = ["simulate", "--scenario", "flood", "--policy", "p", "--enrol", "k", "--dir", str(tmp_path)]
    result = runner.invoke(app, words)
    assert isinstance(result.exception, InputError)
    assert "stack-leak" in str(result.exception)


def test_replay_reports_as_json(broker: Broker, fake_log: FakeLog, tmp_path: Path) -> None:
    """With --status json each line is an object; the last one says how it ended."""
    settings = [
        "--broker",
        broker.url,
        "--policy",
        str(fake_log.policy),
        "--enrol",
        str(fake_log.authority_key),
    ]
    settings += ["--dir", str(tmp_path / "fleet"), "--position", "1,2,3", "--status", "json"]
    result = runner.invoke(app, ["replay", str(long_table(tmp_path, 100)), *settings])
    assert result.exit_code == 0, result.output
    statuses = [json.loads(line) for line in result.stdout.splitlines()]
    assert statuses[-1]["phase"] == "done"
    assert (statuses[-1]["published"], statuses[-1]["receipted"], statuses[-1]["values"]) == (100, 100, 100)
    assert {status["phase"] for status in statuses} <= {"enrolling", "importing", "draining", "done"}
