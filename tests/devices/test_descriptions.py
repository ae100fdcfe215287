"""Descriptions of what is to be enrolled: a CSV and a TOML say the same, and what is wrong is named."""

from pathlib import Path

import pytest

from devices.descriptions import read_descriptions
from devices.requests import Request, read_request, write_request
from pipeline.wire.errors import InputError
from pipeline.wire.keys import SeedSigner

AUTHORITY = "https://authority.example/ecology"
COLUMNS = "issuer,kind,subject,area,department,longitude,latitude,height_m,accuracy"
HEADING = f"{COLUMNS},calibrated_until,valid_from"
PLACE = "roof,centre,ecology,119.5,31.5,3"
ROW = f'urn:dev:ops:32473-a-1,air,{PLACE},"no2=5,o3=8",2027-01-01,2026-01-01T08:00:00+08:00'
TOML = """
kind = "air"
area = "centre"
department = "ecology"
valid_from = 2026-01-01T00:00:00Z
[[device]]
issuer = "urn:dev:ops:32473-a-1"
subject = "roof"
longitude = 119.5
latitude = 31.5
height_m = 3
accuracy = {no2 = 5, o3 = 8}
calibrated_until = 2027-01-01T00:00:00Z
"""


def test_a_csv_and_a_toml_say_the_same(tmp_path: Path) -> None:
    """Both give one enrolment, times with and without an offset, and it comes back from a request whole."""
    signer = SeedSigner(bytes(32))
    (tmp_path / "d.csv").write_text(f"{HEADING}\n{ROW}\n")
    (tmp_path / "d.toml").write_text(TOML)
    (first,), (second,) = read_descriptions(tmp_path / "d.csv"), read_descriptions(tmp_path / "d.toml")
    enrolment = first.enrolment(signer, AUTHORITY, 0.0)
    assert enrolment == second.enrolment(signer, AUTHORITY, 0.0)
    assert (enrolment.accuracy, enrolment.valid_from_s) == ({"no2": 5.0, "o3": 8.0}, 1_767_225_600)
    assert (enrolment.calibrated_until_s, enrolment.data_class) == (1_798_761_600, "environment")
    write_request(tmp_path / "r", Request(AUTHORITY, [enrolment]))
    assert read_request(tmp_path / "r") == Request(AUTHORITY, [enrolment])


def request(described: Path, out: Path) -> None:
    """Do what `device enrol --from` does."""
    signer = SeedSigner(bytes(32))
    changes = [one.enrolment(signer, AUTHORITY, 0.0) for one in read_descriptions(described)]
    write_request(out, Request(AUTHORITY, changes))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("d.csv", "issuer,kind\nurn:dev:ops:32473-a-1,air\n", ["device 1", "subject"]),
        ("d.csv", f"{HEADING},colour\n{ROW},red\n", ["device 1", "colour"]),
        ("d.csv", f"{HEADING}\n{ROW.replace('119.5', 'east')}\n", ["device 1", "longitude"]),
        ("d.csv", f"{HEADING}\n{ROW.replace('no2=5', 'no2')}\n", ["device 1", "The fields are"]),
        ("d.csv", f"{HEADING}\n", ["describes nothing"]),
        ("d.toml", "kind = ", ["cannot read"]),
        ("d.toml", TOML.replace("roof", "roof\\u0000"), []),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, text: str, words: list[str]) -> None:
    """Row and field are named; what no log accepts is refused when the request is written at the latest."""
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        request(tmp_path / name, tmp_path / "r")
    for word in words:
        assert word in str(caught.value)
    assert not (tmp_path / "r").exists()
