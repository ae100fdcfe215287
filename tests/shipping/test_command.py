"""`cityproof shipment`: answers for people and scripts, exit codes, and errors that name the row."""

import json
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest

from pipeline.commands.shipment import profiles, run
from pipeline.commands.shipment_files import builtin_profiles, load_profile
from pipeline.shipping.profile import parse_profile
from pipeline.wire.errors import InputError

HEADER = "time,quantity,value,unit"
ROWS = [f"2026-03-02T08:{minute:02}:00Z,temperature,5.{minute % 7},Cel" for minute in range(0, 60, 5)]
GSP = files("pipeline.shipping").joinpath("profiles", "china-gsp-2-8.toml").read_bytes()


def write(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_the_profiles_that_come_along(capsys: pytest.CaptureFixture[str]) -> None:
    """Each has the name of its file, a source, both languages, and the hash of its bytes."""
    assert profiles(as_json=True) == 0
    listed = {profile["name"]: profile for profile in json.loads(capsys.readouterr().out)}

    assert set(listed) == {
        "usp-controlled-room", "usp-controlled-cold", "eu-gdp-2-8", "who-q-tag-1", "who-q-tag-2",
        "china-gsp-2-8", "deep-frozen", "fresh-food",
    }  # fmt: skip
    for file in files("pipeline.shipping").joinpath("profiles").iterdir():
        profile = listed[file.name.removesuffix(".toml")]
        assert profile["digest"] == sha256(file.read_bytes()).hexdigest()
        assert profile["source"]
        assert profile["title"]["zh"]
    assert listed["eu-gdp-2-8"]["mean_kinetic"] is None

    assert profiles(as_json=False) == 0
    assert "major: temperature >= 30 °C, 10 h together" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "code", "verdict"),
    [
        (ROWS, 0, "in_limits"),
        ([*ROWS, "2026-03-02T09:00:00Z,temperature,8.1,Cel"], 1, "breach"),
        ([*ROWS, "2026-03-02T09:10:00Z,temperature,5,Cel"], 3, "undetermined"),
    ],
)
def test_three_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[str], code: int, verdict: str
) -> None:
    """Each has its exit code, for people and for scripts."""
    trip = write(tmp_path / "t.csv", *rows)

    assert run(trip, "eu-gdp-2-8", None, None, as_json=True) == code
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] == verdict
    assert answer["profile_digest"] == load_profile("eu-gdp-2-8").digest
    assert answer["readings"] == len(rows)
    assert run(trip, "eu-gdp-2-8", None, None, as_json=False) == code
    assert capsys.readouterr().out.startswith(verdict.upper())


def test_begin_and_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Readings outside the trip do not count; time of the trip without readings does."""
    trip = write(tmp_path / "t.csv", "2026-03-02T07:00:00Z,temperature,20,Cel", *ROWS)

    assert run(trip, "eu-gdp-2-8", "2026-03-02T08:00:00Z", None, as_json=False) == 0
    assert run(trip, "eu-gdp-2-8", "2026-03-02T07:30:00Z", None, as_json=False) == 3
    assert "nothing is known for 30 min from 2026-03-02T07:30:00Z" in capsys.readouterr().out


def test_missing_sequences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where readings are signed, the statements that are missing are named."""
    rows = [f"{row},3,{sequence}" for sequence, row in enumerate(ROWS)]
    trip = write(tmp_path / "t.csv", *rows[:4], *rows[6:], header=f"{HEADER},epoch,sequence")

    assert run(trip, "who-q-tag-1", None, None, as_json=True) == 0  # Fifteen minutes hide no hour.
    (gap,) = json.loads(capsys.readouterr().out)["gaps"]
    assert gap["missing"] == [{"epoch": 3, "first": 4, "last": 5}]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("noon,temperature,5,Cel", "'noon' is not a time. Write ISO 8601"),
        ("2026-03-02T08:00:00Z,warmth,5,Cel", "no quantity 'warmth'. docs/quantities.md"),
        ("2026-03-02T08:00:00Z,temperature,41,F", "temperature in 'F'. Give it in Cel"),
        ("2026-03-02T08:00:00Z,temperature,warm,Cel", "'warm' is no number"),
        ("2026-03-02T08:00:00Z,temperature,NaN,Cel", "NaN Cel cannot be"),
        ("2026-03-02T08:00:00Z,temperature,-300,Cel", "-300 Cel cannot be"),
        ("2026-03-02T08:00:00Z", "no quantity ''"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, row: str, message: str) -> None:
    """File, row, what is wrong and what to do."""
    trip = write(tmp_path / "t.csv", ROWS[1], row)

    with pytest.raises(InputError) as refused:
        run(trip, "eu-gdp-2-8", None, None, as_json=True)
    assert str(refused.value).startswith(f"{trip}, row 3: {message}")


def test_wrong_files_are_named(tmp_path: Path) -> None:
    """No readings, two loggers, no columns, no file, no profile, a trip that ends first."""
    twice, good = write(tmp_path / "2.csv", ROWS[0], ROWS[0]), write(tmp_path / "good.csv", *ROWS)
    cases = [
        (write(tmp_path / "0.csv"), "eu-gdp-2-8", None, "no reading"),
        (twice, "eu-gdp-2-8", None, "row 3: temperature stands twice at this time. Judge one logger"),
        (write(tmp_path / "c.csv", header="time,value"), "eu-gdp-2-8", None, "no column quantity, unit"),
        (tmp_path / "none.csv", "eu-gdp-2-8", None, "cannot be read"),
        (good, "gdp", None, "no profile 'gdp'. Choose one of china-gsp-2-8"),
        (good, str(tmp_path / "own.toml"), None, "cannot be read"),
        (good, "eu-gdp-2-8", "2027-01-01T00:00:00Z", "the trip ends before it begins"),
    ]
    for trip, profile, first, message in cases:
        with pytest.raises(InputError) as refused:
            run(trip, profile, first, None, as_json=True)
        assert message in str(refused.value)


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    """A file is judged by like those that come along; a changed byte is another profile."""
    own = tmp_path / "own.toml"
    own.write_bytes(GSP.replace(b"value = 8", b"value = 6").replace(b'"china-gsp-2-8"', b'"own"'))
    trip = write(tmp_path / "t.csv", *ROWS, "2026-03-02T09:00:00Z,temperature,6.5,Cel")

    assert run(trip, str(own), None, None, as_json=True) == 1
    assert run(trip, "china-gsp-2-8", None, None, as_json=True) == 0
    assert load_profile(str(own)).digest not in {profile.digest for profile in builtin_profiles()}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"<"', b'"=="', "limit.0.when"),
        (b", single_s = 0", b"", "a limit needs single_s or cumulative_s"),
        (b'"temperature"', b'"warmth"', "no quantity 'warmth'"),
        (b"value = 2", b"value = nan", "limit.0.value"),
        (b"interval_s = 300", b"interval_s = 0", "recording.trips.0.interval_s"),
        (b"interval_s = 300", b"interval_s = 300, trip_below_s = 9", "only the last has none"),
        (b"recording", b"recoding", "recording: Field required"),
        (b'"critical"', b'"grave"', "limit.0.severity"),
        (b"value = 8", b"value =", "is no profile"),
        (b"limit", b"budget = [{ from_cel = 8, budget_s = 60 }, { from_cel = 9, budget_s = 60 }]\nlimit",
         "descend in budget_s"),
        (b"limit", b"freeze_thaw = {frozen_cel = 0, thawed_cel = 0, cycles_max = 0, shortest_s = 9}\nlimit",
         "frozen_cel lies below thawed_cel"),
        (b'">", value = 8', b'"<", value = 2', "a limit stands twice"),
    ],
)  # fmt: skip
def test_wrong_profiles_are_named(old: bytes, new: bytes, message: str) -> None:
    """The field, and what is wrong with it."""
    assert old in GSP
    with pytest.raises(InputError) as refused:
        parse_profile(GSP.replace(old, new, 1), "own.toml")
    assert message in str(refused.value)
