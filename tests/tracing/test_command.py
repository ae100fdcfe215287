"""`cityproof trace air` on files: an answer, or an error that names the row and the remedy."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.air_files import read_observations, read_wind
from pipeline.commands.trace_air import Options, run
from pipeline.wire.errors import InputError

HEADER = "time,sensor,x_m,y_m,z_m,quantity,value,unit"
SITES: Mapping[str, tuple[float, float]] = {"n": (0, 40), "e": (40, 0), "s": (0, -40), "w": (-40, 0)}


def write(path: Path, *lines: str) -> Path:
    """Write a file's lines."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def readings(sites: Mapping[str, tuple[float, float]] = SITES, more: str = "", fields: str = "") -> list[str]:
    """Return an hour of readings in which only the eastern sensor smells anything."""
    lines = [HEADER + more]
    for minute in range(60):
        for name, (x, y) in sites.items():
            value = 2000.0 + (500.0 if name == "e" else 0.0) + 5.0 * math.sin(minute * (x + 3 * y + 7))
            lines.append(f"2026-03-02T08:{minute:02}:00Z,{name},{x},{y},2,so2,{value:.2f},ug/m3{fields}")
    return lines


def files(folder: Path, lines: Sequence[str] | None = None) -> tuple[Path, Path, Options]:
    """Write an hour of wind from the west, and return files and options that go with it."""
    return (
        write(folder / "o.csv", *(lines or readings())),
        write(folder / "w.csv", "time,speed_m_s,from_deg", "2026-03-02T08:00:00Z,3,270"),
        Options(
            out=folder / "a.json",
            candidates=write(folder / "c.csv", "name,x_m,y_m", "west,20,0", "north,0,30"),
            bounds="-60,-60,60,60",
            release_from="2026-03-02T08:00:00Z",
            release_to="2026-03-02T09:00:00Z",
            source_height="1,3",
            background="2000",
            max_sources=1,
            wind_error_deg=5.0,
        ),
    )


def answer(observations: Path, wind: Path, options: Options) -> dict[str, Any]:
    """Run the command, and return what it wrote."""
    assert run(observations, wind, options) == 0
    found: dict[str, Any] = json.loads(options.out.read_text(encoding="utf-8"))
    return found


def test_it_writes_an_answer_whose_parts_agree(tmp_path: Path) -> None:
    """Probabilities sum to one, the upwind candidate leads, regions are polygons, what is assumed is said."""
    found = answer(*files(tmp_path))
    (event,) = found["events"]
    assert sum(event["p_count"]) == pytest.approx(1.0)
    listed = {candidate["name"]: candidate["probability"] for candidate in event["candidates"]}
    assert listed["west"] > listed["north"]
    assert sum(listed.values()) + event["unknown_location"] == pytest.approx(1.0)
    (source,) = event["sources"]
    assert source["x_m"] < 40.0 + found["posterior"]["dx"]  # At the sensor, or upwind of it.
    assert source["rate_g_s"]["low"] < source["rate_g_s"]["median"] < source["rate_g_s"]["high"]
    assert source["regions"]["0.9"]["type"] == "MultiPolygon"
    assert (tmp_path / found["posterior"]["logp"]).is_file()
    assert event["e_value"] > 1.0
    assert event["onset"]["median"] == "2026-03-02T08:00:00Z"
    assert any("10 m" in warning for warning in found["warnings"])


FIELDS = {
    "schema", "interval_level", "crs", "events", "posterior", "background", "sensors", "gaps", "warnings",
    "all_points", "difference", "inputs", "settings", "seconds",
}  # fmt: skip


def test_an_answer_has_every_field(tmp_path: Path) -> None:
    """Whoever reads it by a program finds what was promised."""
    found = answer(*files(tmp_path))
    assert found.keys() >= FIELDS
    assert found["events"][0].keys() >= {
        "p_count", "onset", "end", "sources", "candidates", "unknown_location", "e_value",
    }  # fmt: skip
    assert found["posterior"].keys() >= {"x0", "y0", "dx", "dy", "nx", "ny", "logp"}
    assert found["inputs"]["points"] == 240
    assert {sensor["sensor"] for sensor in found["sensors"]} == set(SITES)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("2026-03-02T08:00:00Z,n,0,40,2,so2,much,ug/m3", "value is no number"),
        ("yesterday,n,0,40,2,so2,1,ug/m3", "is no time"),
        ("2026-03-02T08:00:00Z,n,0,40,2,pm10,1,ppm", "no molar mass"),
        ("2026-03-02T08:00:00Z,n,0,40,2,so2,,ug/m3", "value is empty"),
        ("2026-03-02T08:00:00Z,n,,,2,so2,1,ug/m3", "has no place"),
        ("2026-03-02T08:00:00Z,n,0,40,2,so2,1,ppm.m", "of a point"),
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
    assert read_observations(path, "co").quantity == "co"


def test_wind_without_rows_columns_or_values_is_refused(tmp_path: Path) -> None:
    """Missing wind is an error, not calm; a row without it is named."""
    with pytest.raises(InputError, match="One row is enough"):
        read_wind(write(tmp_path / "w.csv", "time,speed_m_s,from_deg"))
    with pytest.raises(InputError, match="no column from_deg"):
        read_wind(write(tmp_path / "v.csv", "time,speed_m_s"))
    path = write(tmp_path / "u.csv", "time,speed_m_s,from_deg", "2026-03-02T08:00:00Z,,270")
    with pytest.raises(InputError, match="speed_m_s is empty") as caught:
        read_wind(path)
    assert caught.value.place == f"{path}, row 2"


def test_a_release_without_readings_is_refused(tmp_path: Path) -> None:
    """Times that do not overlap are named."""
    observations, wind, options = files(tmp_path)
    late = replace(options, release_from="2026-04-01T00:00:00Z", release_to="2026-04-02T00:00:00Z")
    with pytest.raises(InputError, match="overlap"):
        run(observations, wind, late)


def test_wind_of_other_hours_is_refused(tmp_path: Path) -> None:
    """Two rows of another day are no wind of this one."""
    observations, wind, options = files(tmp_path)
    write(wind, "time,speed_m_s,from_deg", "2026-03-05T08:00:00Z,3,270", "2026-03-05T09:00:00Z,3,270")
    with pytest.raises(InputError, match="same hours"):
        run(observations, wind, options)


def test_columns_that_change_nothing_are_named(tmp_path: Path) -> None:
    """What the answer does not use is said; an empty column is nobody's loss."""
    observations, wind, options = files(tmp_path)
    write(wind, "time,speed_m_s,from_deg,gust_m_s,sigma_u_m_s", "2026-03-02T08:00:00Z,3,270,7.5,")
    (said,) = [text for text in answer(observations, wind, options)["warnings"] if "change nothing" in text]
    assert said.endswith(": gust_m_s")


def test_longitude_and_latitude_are_metres_from_the_origin(tmp_path: Path) -> None:
    """A degree of latitude at 40 degrees is 111,035 m on WGS 84, one of longitude 85,394 m."""
    path = write(
        tmp_path / "o.csv",
        "time,sensor,lon,lat,z_m,quantity,value,unit",
        "2026-03-02T08:00:00Z,a,116,40,2,so2,1,ug/m3",
        "2026-03-02T08:00:00Z,b,116.001,40.001,2,so2,1,ug/m3",
    )
    places = read_observations(path, None).observations.sensors_m
    assert places[0] == pytest.approx((0.0, 0.0, 2.0))
    assert places[1] == pytest.approx((85.394, 111.035, 2.0), abs=0.01)


def test_a_beam_is_the_mean_along_its_path(tmp_path: Path) -> None:
    """ppm·m over a beam of 50 m is a fiftieth of that, and the beam's end is kept."""
    header = HEADER + ",x2_m,y2_m,z2_m"
    row = "2026-03-02T08:00:00Z,a,0,0,2,ch4,{},{},30,40,2"
    along = read_observations(write(tmp_path / "o.csv", header, row.format(100, "ppm.m")), None).observations
    mean = read_observations(write(tmp_path / "p.csv", header, row.format(2, "ppm")), None).observations
    assert along.value_g_m3 == pytest.approx(mean.value_g_m3)
    assert along.ends_m is not None
    assert along.ends_m[0] == pytest.approx((30.0, 40.0, 2.0))


def test_a_beam_through_a_plume_finds_it(tmp_path: Path) -> None:
    """Of two crossing beams the one east of the source reads something: the source is west of it."""
    lines = [HEADER + ",x2_m,y2_m,z2_m"]
    beams = {
        "east": (40, -30, 40, 30, 2300),
        "west": (-40, -30, -40, 30, 2000),
        "mid": (0, -40, 0, -20, 2000),
    }
    for minute in range(60):
        for name, (x, y, x2, y2, mean) in beams.items():
            value = mean + 4.0 * math.sin(minute * (x + y2))
            lines.append(f"2026-03-02T08:{minute:02}:00Z,{name},{x},{y},2,so2,{value},ug/m3,{x2},{y2},2")
    (event,) = answer(*files(tmp_path, lines))["events"]
    assert -40.0 < event["sources"][0]["x_m"] < 42.0
    assert event["p_count"][0] < 0.5


def test_below_the_detection_limit_nothing_is_known_but_a_limit(tmp_path: Path) -> None:
    """All censored: a wide region, no source is as likely as before or likelier, and it is said."""
    lines = readings(more=",detection_limit", fields=",5000")
    found = answer(*files(tmp_path, lines))
    (event,) = found["events"]
    assert event["p_count"][0] >= 0.5
    assert event["sources"][0]["area_0.9_m2"] > 0.3 * 120.0 * 120.0
    assert any("below its detection limit" in text for text in found["warnings"])
    assert any("not resolved" in text for text in found["warnings"])


def test_one_sensor_gives_a_wide_answer_that_says_so(tmp_path: Path) -> None:
    """What cannot be known is named rather than guessed."""
    found = answer(*files(tmp_path, readings({"e": (40, 0)})))
    assert found["events"][0]["sources"][0]["area_0.9_m2"] > 500.0
    assert any(text.startswith("one sensor") for text in found["warnings"])


def test_noses_find_the_side_that_the_smell_comes_from(tmp_path: Path) -> None:
    """Who is east of the source in a west wind smells it, the others do not."""
    lines = [HEADER + ",positive,detection_limit"]
    sites = {"east": (50, 0), "far_east": (58, 8), "north": (0, 45), "south": (0, -45), "west": (-50, 0)}
    for tens in range(6):
        for name, (x, y) in sites.items():
            yes = int("east" in name)
            lines.append(f"2026-03-02T08:{tens}0:00Z,{name},{x},{y},1.5,so2,,ug/m3,{yes},30")
    (event,) = answer(*files(tmp_path, lines))["events"]
    assert {one["name"]: one["probability"] for one in event["candidates"]}["west"] > 0.3
    assert event["candidates"][-1]["name"] == "north"


def test_noise_gain_and_response_reach_the_readings(tmp_path: Path) -> None:
    """`sd` is converted as values are, `response_s` makes a reading older, a smell has its own spread."""
    header = HEADER + ",sd,gain_sd,response_s,interval_s"
    row = "2026-03-02T08:00:00Z,a,0,0,2,so2,7,ug/m3,2,0.1,90,30"
    seen = read_observations(write(tmp_path / "o.csv", header, row), None).observations
    assert seen.sd_g_m3 == pytest.approx([2e-6])
    assert seen.gain_sd == pytest.approx([0.1])
    assert seen.start_s[0] % 3600 == 3600 - 90
    assert seen.interval_s[0] == 30


def test_a_background_that_is_given_is_taken_off(tmp_path: Path) -> None:
    """Row by row, in the row's unit."""
    path = write(tmp_path / "o.csv", HEADER + ",background", "2026-03-02T08:00:00Z,a,0,0,2,so2,7,ug/m3,5")
    seen = read_observations(path, None).observations
    assert seen.value_g_m3 == pytest.approx([2e-6])
    assert seen.above_zero == (True,)


def test_several_anemometers_are_averaged_and_their_disagreement_is_told(tmp_path: Path) -> None:
    """Two that agree within reason give their mean; two at right angles are told."""
    header = "time,x_m,y_m,z_m,speed_m_s,from_deg"
    rows = ["2026-03-02T08:00:00Z,0,0,10,2,350", "2026-03-02T08:00:00Z,90,0,10,2,10"]
    wind, said = read_wind(write(tmp_path / "w.csv", header, *rows))
    assert math.cos(math.radians(wind.from_deg[0])) == pytest.approx(1.0)
    assert wind.speed_m_s[0] == pytest.approx(2.0)  # Air that passes, whatever way
    assert not [text for text in said if "differ" in text]
    rows[1] = "2026-03-02T08:00:00Z,90,0,10,2,80"
    _, said = read_wind(write(tmp_path / "w.csv", header, *rows))
    assert [text for text in said if "differ by 45 degrees" in text]


def test_wind_that_blows_the_other_way_is_noticed(tmp_path: Path) -> None:
    """Gas comes to one sensor only while it is upwind of all: turned round, the wind would explain it."""
    lines, gusts = [HEADER], ["time,speed_m_s,from_deg"]
    for minute in range(60):
        bearing = 6.0 * minute
        gusts.append(f"2026-03-02T08:{minute:02}:00Z,3,{(bearing + 180.0) % 360.0}")
        for name, (x, y) in SITES.items():
            off = math.remainder(math.degrees(math.atan2(x, y)) - bearing - 180.0, 360.0)
            value = (
                2000.0
                + 3000.0 * math.exp(-0.5 * (off / 10.0) ** 2)
                + 5.0 * math.sin(minute * (x + 3 * y + 7))
            )
            lines.append(f"2026-03-02T08:{minute:02}:00Z,{name},{x},{y},2,so2,{value:.2f},ug/m3")
    observations, wind, options = files(tmp_path, lines)
    write(wind, *gusts)
    assert any("contradict the wind" in text for text in answer(observations, wind, options)["warnings"])


def test_too_few_readings_to_tell_when_it_began_are_traced_all_the_same(tmp_path: Path) -> None:
    """Samples of ten minutes, one each: hours are not asked for, and it is said."""
    lines = [HEADER + ",interval_s"]
    for n in range(12):
        y = 10.0 * (n - 5.5)
        value = 2000.0 * math.exp(-0.5 * (y / 12.0) ** 2)
        lines.append(f"2026-03-02T08:00:00Z,s{n},50,{y},1.5,so2,{value:.3f},ug/m3,600")
    observations, wind, options = files(tmp_path, lines)
    options = replace(options, release_from=None, release_to=None, background="0")
    found = answer(observations, wind, options)
    assert len(found["events"]) == 1
    assert abs(found["events"][0]["sources"][0]["y_m"]) < 20.0
    assert any("too few readings" in text for text in found["warnings"])


def test_a_report_says_what_was_found_and_needs_no_network(tmp_path: Path) -> None:
    """Both languages, the place, the limits in force, the van; nothing is loaded from elsewhere."""
    observations, wind, options = files(tmp_path)
    answer(observations, wind, replace(options, background="fit", report=tmp_path / "a.html"))
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    for words in ("二氧化硫", "Sulphur dioxide", "监测车去向", "90 % region", "GB 3095-2026", "indicative"):
        assert words in page
    assert 'src="http' not in page
