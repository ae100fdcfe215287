"""`cityproof trace air` on files: an answer, or an error that names the row and the remedy."""

import json
import math
from pathlib import Path

import pytest

from pipeline.commands.air_files import read_observations, read_wind
from pipeline.commands.trace_air import Question, run
from pipeline.wire.errors import InputError

HEADER = "time,sensor,x_m,y_m,z_m,quantity,value,unit"
SITES = {"n": (0, 40), "e": (40, 0), "s": (0, -40), "w": (-40, 0)}


def write(path: Path, *lines: str) -> Path:
    """Write a file's lines."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def files(folder: Path) -> Question:
    """Write an hour of wind from the west, in which only the eastern sensor smells anything."""
    lines = [HEADER]
    for minute in range(60):
        for name, (x, y) in SITES.items():
            value = 2000.0 + (500.0 if name == "e" else 0.0) + 5.0 * math.sin(minute * (x + 3 * y + 7))
            lines.append(f"2026-03-02T08:{minute:02}:00Z,{name},{x},{y},2,so2,{value:.2f},ug/m3")
    return Question(
        observations=write(folder / "o.csv", *lines),
        wind=write(folder / "w.csv", "time,speed_m_s,from_deg", "2026-03-02T08:00:00Z,3,270"),
        candidates=write(folder / "c.csv", "name,x_m,y_m", "west,20,0", "north,0,30"),
        bounds="-60,-60,60,60",
        release_from=None,
        release_to=None,
        quantity=None,
        source_height="1,3",
        background="0.002",
        wind_error_deg=5.0,
        out=folder / "a.json",
    )


def test_it_writes_an_answer_whose_parts_agree(tmp_path: Path) -> None:
    """Probabilities sum to one, the upwind candidate leads, regions are polygons, what is assumed is said."""
    question = files(tmp_path)
    assert run(question) == 0
    answer = json.loads(question.out.read_text(encoding="utf-8"))
    (event,) = answer["events"]
    assert sum(event["p_count"]) == pytest.approx(1.0)
    listed = {candidate["name"]: candidate["probability"] for candidate in event["candidates"]}
    assert listed["west"] > listed["north"]
    assert sum(listed.values()) + event["unknown_location"] == pytest.approx(1.0)
    (source,) = event["sources"]
    assert source["x_m"] < 40.0 + answer["posterior"]["dx"]  # At the sensor, or upwind of it.
    assert source["rate_g_s"]["low"] < source["rate_g_s"]["median"] < source["rate_g_s"]["high"]
    assert source["regions"]["0.9"]["type"] == "MultiPolygon"
    assert (tmp_path / answer["posterior"]["logp"]).is_file()
    assert any("10 m" in warning for warning in answer["warnings"])


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("2026-03-02T08:00:00Z,n,0,40,2,so2,much,ug/m3", "value is no number"),
        ("yesterday,n,0,40,2,so2,1,ug/m3", "is no time"),
        ("2026-03-02T08:00:00Z,n,0,40,2,pm10,1,ppm", "no molar mass"),
        ("2026-03-02T08:00:00Z,n,0,40,2,so2,,ug/m3", "value is empty"),
    ],
)
def test_a_bad_reading_is_named_by_its_row(tmp_path: Path, row: str, problem: str) -> None:
    """File, row, what is wrong."""
    path = write(tmp_path / "o.csv", HEADER, row)
    with pytest.raises(InputError, match=problem) as caught:
        read_observations(path, None)
    assert caught.value.place == f"{path}, row 2"


def test_two_quantities_need_a_choice(tmp_path: Path) -> None:
    """One trace is of one quantity."""
    path = write(
        tmp_path / "o.csv",
        HEADER,
        "2026-03-02T08:00:00Z,n,0,40,2,so2,1,ug/m3",
        "2026-03-02T08:00:00Z,n,0,40,2,co,1,ug/m3",
    )
    with pytest.raises(InputError, match="--quantity"):
        read_observations(path, None)
    assert read_observations(path, "co")[1] == "co"


def test_wind_without_rows_or_columns_is_refused(tmp_path: Path) -> None:
    """Missing wind is an error, not calm."""
    with pytest.raises(InputError, match="One row is enough"):
        read_wind(write(tmp_path / "w.csv", "time,speed_m_s,from_deg"))
    with pytest.raises(InputError, match="no column from_deg"):
        read_wind(write(tmp_path / "v.csv", "time,speed_m_s"))


def test_a_release_without_readings_is_refused(tmp_path: Path) -> None:
    """Times that do not overlap are named."""
    question = files(tmp_path)
    late = Question(
        question.observations, question.wind, None, None, "2026-04-01T00:00:00Z", "2026-04-02T00:00:00Z",
        None, "1,3", "fit", 5.0, question.out,
    )  # fmt: skip
    with pytest.raises(InputError, match="overlap"):
        run(late)


def test_columns_that_change_nothing_are_named(tmp_path: Path) -> None:
    """What the answer does not use is said; an empty column is nobody's loss."""
    question = files(tmp_path)
    write(question.wind, "time,speed_m_s,from_deg,gust_m_s,sigma_w_m_s", "2026-03-02T08:00:00Z,3,270,7.5,")
    assert run(question) == 0
    warnings = json.loads(question.out.read_text(encoding="utf-8"))["warnings"]
    (said,) = [text for text in warnings if "change nothing" in text]
    assert said.endswith(": gust_m_s")


def test_a_beam_is_refused_rather_than_taken_for_a_point(tmp_path: Path) -> None:
    """Its end is given, so a point sensor's answer would be wrong."""
    path = write(tmp_path / "o.csv", HEADER + ",x2_m", "2026-03-02T08:00:00Z,a,0,0,2,so2,3,ug/m3,90")
    with pytest.raises(InputError, match="beam"):
        read_observations(path, None)
