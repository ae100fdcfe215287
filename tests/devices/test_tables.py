"""Tables: every value that is not empty, under the right device; what is wrong is named by row and column."""

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devices.tables import Table, load_mapping, mapping_names
from pipeline.wire.errors import InputError

HEADER = "time,device,quantity,value,unit"
GOOD = "2025-03-04T00:05:00Z,roof-1,pm2_5,12.5,ug/m3"


WRONG_KIND = """
time = "t"
[[device]]
issuer = "urn:dev:ops:1-a-b"
kind = "air"
subject = "s"
position = [1, 2, 3]
columns = { a = "ph" }
"""


def write(path: Path, *lines: str) -> Path:
    table = path / "table.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


def test_long_rows_become_readings(tmp_path: Path) -> None:
    """Each row is a reading of its device, at its time, in the signed unit; empty values are left out."""
    table = Table(
        write(
            tmp_path,
            HEADER + ",longitude,latitude,height_m",
            GOOD + ",119.5,31.5,3",
            "1741046760.25,roof-1,o3,60,ug/m3,,,",
            "2025-03-04T08:06:00+08:00,roof-1,pm2_5,,ug/m3,,,",
            '2025-03-04T08:06:00+08:00,"urn:dev:ops:32473-cold-9",door,1,/,1,2,3',
        ),
        None,
    )
    survey = table.survey()
    assert (survey.values, survey.rows) == (3, 5)
    roof = survey.sources["urn:dev:ops:32473-imported-roof-1"]
    assert (roof.kind, roof.subject, roof.position) == ("air", "imported/roof-1", (119.5, 31.5, 3.0))
    assert roof.first_s == datetime(2025, 3, 4, 0, 5, tzinfo=UTC).timestamp()
    assert survey.sources["urn:dev:ops:32473-cold-9"].kind == "cold"
    readings = [(one.row, one.record) for one in table.readings()]
    assert readings[0] == (2, ("pm2_5", "ug/m3", 12.5, 1741046700.0))
    assert readings[1] == (3, ("o3", "ug/m3", 60.0, 1741046760.25))
    assert readings[2] == (5, ("door", "/", 1.0, 1741046760.0))


def test_a_beam_end_is_read(tmp_path: Path) -> None:
    """The far end of a beam is taken from its three columns."""
    header = HEADER + ",longitude,latitude,height_m,longitude2,latitude2,height2_m"
    survey = Table(write(tmp_path, header, GOOD + ",1,2,3,4,5,6"), None).survey()
    (source,) = survey.sources.values()
    assert (source.position, source.beam_end) == ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))


def row(**changes: str) -> str:
    cells = dict(zip(HEADER.split(","), GOOD.split(","), strict=True)) | changes
    return ",".join(cells.values())


@pytest.mark.parametrize(
    ("line", "column", "problem"),
    [
        (row(time="yesterday"), "time", "is no time"),
        (row(time="2025-03-04 00:05"), "time", "time zone"),
        (row(time="12"), "time", "is no time"),
        (row(time="nan"), "time", "is no time"),
        (row(time=""), "time", "is no time"),
        (row(device=""), "device", "is no device"),
        (row(device="roof one"), "device", "is no device"),
        (row(device="urn:dev:ops:x"), "device", "is no device"),
        (row(quantity="pm25"), "quantity", "is unknown"),
        (row(value="12,5"), "", "as many cells"),
        (row(value="twelve"), "value", "is no number"),
        (row(value="nan"), "value", "is no number"),
        (row(value="1e999"), "value", "is no number"),
        (row(unit="mg/m3"), "unit", "signed in ug/m3"),
        (row(quantity="door", unit="/", value="0.5"), "value", "false or true"),
        ("2025-03-04T00:05:00Z,roof-1", "", "as many cells"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path: Path, line: str, column: str, problem: str) -> None:
    """The error names the file, the row, the column and a remedy, before anything was signed."""
    path = write(tmp_path, HEADER, GOOD, line)
    with pytest.raises(InputError) as refused:
        Table(path, None).survey()
    assert refused.value.place == f"{path}, row 3" + (f", column {column}" if column else "")
    assert problem in refused.value.problem
    assert refused.value.remedy


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    """A header without what is needed says what it lacks, and what it has."""
    with pytest.raises(InputError) as refused:
        Table(write(tmp_path, "time,device,value", "1,2,3"), None).survey()
    assert "lacks quantity, unit" in refused.value.problem
    assert refused.value.remedy == "It has: time, device, value."


def test_a_device_of_no_or_two_kinds_is_an_error(tmp_path: Path) -> None:
    """Quantities that fit no kind of sensor, or several, need a word from the person."""
    nothing = write(tmp_path, HEADER, GOOD, row(quantity="ph", unit="pH"))
    with pytest.raises(InputError, match="fits no kind of sensor"):
        Table(nothing, None).survey()
    several = write(tmp_path, HEADER, row(quantity="temperature", unit="Cel"))
    with pytest.raises(InputError, match="fits weather and water and cold"):
        Table(several, None).survey()
    told = write(tmp_path, HEADER + ",kind", row(quantity="temperature", unit="Cel") + ",cold")
    (source,) = Table(told, None).survey().sources.values()
    assert source.kind == "cold"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'a,"b\n'], ids=["not UTF-8", "an open quote"])
def test_no_csv_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    """What is no CSV in UTF-8 is said to be none."""
    path = tmp_path / "table.csv"
    path.write_bytes((HEADER + "\n" + GOOD + "\n").encode() + content)
    with pytest.raises(InputError, match="is no CSV in UTF-8"):
        Table(path, None).survey()
    with pytest.raises(InputError, match="cannot be read"):
        Table(tmp_path / "nothing.csv", None).survey()


def test_the_digest_tells_tables_apart(tmp_path: Path) -> None:
    """The same table has the same digest, another value or another mapping has another."""
    mapping = load_mapping("aded2022")
    header = ["time_utc", *(column for device in mapping.device for column in device.columns)]
    path = write(tmp_path, ",".join(header), "2022-05-09 00:00:00+00:00" + ",1" * (len(header) - 1))
    first = Table(path, mapping).survey().digest
    assert Table(path, mapping).survey().digest == first
    assert Table(path, mapping.model_copy(update={"area": "x"})).survey().digest != first
    write(tmp_path, ",".join(header), "2022-05-09 00:00:00+00:00" + ",2" * (len(header) - 1))
    assert Table(path, mapping).survey().digest != first


@pytest.mark.parametrize("name", mapping_names())
def test_every_mapping_of_ours_loads(name: str) -> None:
    """Each committed mapping is well formed, with distinct devices and columns."""
    mapping = load_mapping(name)
    columns = [column for device in mapping.device for column in device.columns]
    assert len(set(columns)) == len(columns)
    assert len({device.issuer for device in mapping.device}) == len(mapping.device)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("time = ", "is no TOML"),
        ('time = "t"', "Field required"),
        ('time = "t"\ndevice = []', "at least 1"),
        (WRONG_KIND, "does not measure 'ph'"),
        ('time = "t"\nplace = 3', "Field required"),
    ],
)
def test_a_wrong_mapping_is_an_input_error(tmp_path: Path, text: str, problem: str) -> None:
    """A mapping file that breaks the form says where."""
    path = tmp_path / "mapping.toml"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        load_mapping(str(path))
    assert problem in refused.value.problem


def test_a_missing_mapping_names_those_there_are() -> None:
    """A name that is neither a file nor a mapping of ours lists ours."""
    with pytest.raises(InputError, match="aded2022"):
        load_mapping("nothing")


def test_the_aded_week_is_read_whole(shared: Path) -> None:
    """Every value of the week that is not empty is a reading, and the positions are the published ones."""
    folder = shared / "tracing-data" / "aded2022"
    mapping = load_mapping("aded2022")
    table = Table(folder / "aded2022_obs_wind_1min.csv", mapping)
    columns = {
        (device.issuer, quantity): column
        for device in mapping.device
        for column, quantity in device.columns.items()
    }
    found = [
        (one.record.time_s, columns[one.issuer, one.record.quantity], one.record.value)
        for one in table.readings()
    ]
    expected: list[tuple[float, str, float]] = []
    names: list[str] = []
    with (folder / "aded2022_obs_wind_1min.csv").open(encoding="utf-8-sig") as file:
        for cells in csv.reader(file):
            if cells[0] == "time_utc":
                names = cells[1:]
                continue
            time_s = datetime.strptime(cells[0], "%Y-%m-%d %H:%M:%S%z").timestamp()
            expected += [
                (time_s, name, float(cell)) for name, cell in zip(names, cells[1:], strict=True) if cell
            ]
    assert len(expected) == 100_162
    assert sorted(found) == sorted(expected)
    assert table.survey().values == len(expected)
    with (folder / "sensor_locations.csv").open(encoding="utf-8-sig") as file:
        published = {
            place["name"]: (float(place["lon"]), float(place["lat"]), float(place["height"]))
            for place in csv.DictReader(file)
        }
    own = {device.subject.removeprefix("aded2022/"): device.position for device in mapping.device}
    assert {name: own[name] for name in published} == published
