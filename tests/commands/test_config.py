"""Settings: the environment wins over the file, the file over what is built in, and mistakes are named."""

import json
from pathlib import Path

import pytest

from pipeline.commands.config import run
from pipeline.settings import load_settings
from pipeline.wire.errors import InputError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "city.toml"
    path.write_text('folder = "there"\n[kafka]\nservers = "one:1,two:2"\nreplicas = 3\n')
    return path


def test_the_environment_wins_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting by setting: what the environment does not name stays as the file has it."""
    monkeypatch.setenv("CITYPROOF_KAFKA_REPLICAS", "2")
    monkeypatch.setenv("CITYPROOF_INFLUX_TOKEN_FILE", "/run/secrets/token")
    settings = load_settings(file).settings
    assert (settings.kafka.servers, settings.kafka.replicas) == ("one:1,two:2", 2)
    assert (settings.folder, settings.token_file) == (Path("there"), Path("/run/secrets/token"))


def test_it_is_said_where_each_setting_is_from(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Default, file or variable."""
    monkeypatch.setenv("CITYPROOF_MQTT_PORT", "1884")
    assert run(file, as_json=True) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows["mqtt.port"] == {"value": 1884, "from": "CITYPROOF_MQTT_PORT"}
    assert rows["kafka.replicas"] == {"value": 3, "from": str(file)}
    assert rows["mqtt.host"] == {"value": "127.0.0.1", "from": "default"}


def test_what_is_printed_can_be_given_back(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The listing is a file of settings."""
    run(file, as_json=False)
    saved = file.with_name("saved.toml")
    saved.write_text(capsys.readouterr().out)
    assert load_settings(saved).settings == load_settings(file).settings
    run(None, as_json=False)
    saved.write_text(capsys.readouterr().out)
    assert load_settings(saved).settings == load_settings(None).settings


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CITYPROOF_KAFKA_SERVER", "here:1", r"kafka\.server \(CITYPROOF_KAFKA_SERVER\): there is no such"),
        ("CITYPROOF_MQTT_PORT", "many", r"mqtt\.port \(CITYPROOF_MQTT_PORT\): .*integer"),
        ("CITYPROOF_KAFKA_SERVERS", "here", r"kafka\.servers \(CITYPROOF_KAFKA_SERVERS\): .*pattern"),
        ("CITYPROOF_KAFKA", "{", "environment: "),
    ],
)
def test_a_wrong_setting_is_named_with_its_source(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown, of another type, of another form."""
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=said):
        load_settings(None)


def test_a_secret_is_no_setting(file: Path) -> None:
    """A password in InfluxDB's address would be shown by `cityproof config`: it is refused, and not shown."""
    file.write_text('[influx]\nurl = "http://me:opensesame@here:8086"\n')
    with pytest.raises(InputError, match=r"influx\.url") as caught:
        load_settings(file)
    assert "opensesame" not in str(caught.value)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    """Missing, or no TOML."""
    with pytest.raises(InputError, match="No such file"):
        load_settings(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("folder = ")
    with pytest.raises(InputError, match="is no TOML"):
        load_settings(tmp_path / "bad.toml")
