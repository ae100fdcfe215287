"""The devices' commands: helpful, and never a traceback."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from devices.cli import app
from devices.world.scenarios import scenarios
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
        (["--broker", "localhost"], ["--broker", "Write mqtt://HOST:PORT."]),
        (["--position", "here"], ["--position", "Write LONGITUDE,LATITUDE,HEIGHT_M."]),
        (["--mapping", "nothing"], ["--mapping", "aded2022"]),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_2(
    fake_log: FakeLog, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    """A wrong setting ends with 2 and one line that names it and the remedy."""
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
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("cityproof: ")
    for word in words:
        assert word in result.stderr


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
