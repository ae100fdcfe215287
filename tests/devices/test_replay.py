"""Replay: a table enters by the same door, whole, once, however often it is interrupted."""

import csv
from collections import Counter
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import pytest

from devices.inputs import open_site
from devices.replay import Import, replay
from pipeline.wire.errors import InputError
from pipeline.wire.senml import decode_pack
from pipeline.wire.statement import parse_statement
from tests.devices.fakes import Broker, FakeLog


def run(
    broker: Broker, log: FakeLog, wanted: Import, folder: Path, stopping: Event | None = None
) -> dict[str, Any]:
    """Replay until all is answered, or `stopping` is set."""
    site = open_site(broker.url, log.policy, log.authority_key, folder)
    return replay(site, wanted, stopping or Event(), lambda _status: None)


def values_in(log: FakeLog) -> Counter[tuple[str, str, float, float]]:
    return Counter(
        (issuer, record.quantity, record.time_s, record.value)
        for (issuer, _, _), raw in log.stored.items()
        for record in decode_pack(parse_statement(raw).payload, issuer)
    )


def test_the_aded_week_replays_whole(broker: Broker, fake_log: FakeLog, tmp_path: Path, shared: Path) -> None:
    """All of the week's values are stored once, as many as the CSV has, in packs of up to 100 records."""
    path = shared / "tracing-data" / "aded2022" / "aded2022_obs_wind_1min.csv"
    summary = run(broker, fake_log, Import(path, "aded2022", None), tmp_path / "fleet")
    with path.open(encoding="utf-8-sig") as file:
        filled = sum(bool(cell) for cells in csv.reader(file) for cell in cells[1:]) - 10
    assert summary["published"] == summary["receipted"] == summary["values"] == filled
    stored = values_in(fake_log)
    assert stored.total() == len(stored) == filled
    sizes = [len(decode_pack(parse_statement(raw).payload, key[0])) for key, raw in fake_log.stored.items()]
    assert max(sizes) == 100
    assert len(sizes) < filled / 95


def long_table(path: Path, rows: int) -> Path:
    random = Random(4)
    table = path / "long.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "device", "quantity", "value", "unit"])
        for number in range(rows):
            device = f"roof-{random.randrange(4)}"
            writer.writerow([1_741_046_400 + number, device, "o3", random.randrange(100) / 4, "ug/m3"])
    return table


def test_an_interrupted_import_goes_on(broker: Broker, fake_log: FakeLog, tmp_path: Path) -> None:
    """Stopped and started again, and again once it is complete: every value is stored exactly once."""
    wanted = Import(long_table(tmp_path, 20_000), None, (1.0, 2.0, 3.0))
    stopping = Event()

    def stop_at_a_reading(topic: str, _raw: bytes) -> bool:
        if topic.startswith("statements/"):
            stopping.set()
        return False

    fake_log.lose = stop_at_a_reading
    first = run(broker, fake_log, wanted, tmp_path / "fleet", stopping)
    assert 0 < first["published"] < 20_000
    second = run(broker, fake_log, wanted, tmp_path / "fleet")
    third = run(broker, fake_log, wanted, tmp_path / "fleet")
    assert third["published"] == 0
    assert third["ever"] == {"receipted": 20_000 + 4, "waiting": 0, "parked": {}}
    assert first["published"] + second["published"] >= 20_000
    stored = values_in(fake_log)
    assert stored.total() == len(stored) == 20_000


def test_imported_devices_say_so(broker: Broker, fake_log: FakeLog, tmp_path: Path) -> None:
    """The enrolment of a replayed device is marked as imported, and stands where the person said."""
    run(broker, fake_log, Import(long_table(tmp_path, 10), None, (1.0, 2.0, 3.0)), tmp_path / "fleet")
    assert len(fake_log.enrolments) == 4
    for enrolment in fake_log.enrolments:
        assert (enrolment.origin, enrolment.kind) == ("imported", "air")
        assert (enrolment.longitude, enrolment.latitude, enrolment.height_m) == (1.0, 2.0, 3.0)
        assert enrolment.valid_from_s <= 1_741_046_410


def test_a_device_without_a_place_is_an_input_error(
    broker: Broker, fake_log: FakeLog, tmp_path: Path
) -> None:
    """Nobody guesses a position: where neither table nor option gives one, nothing is signed."""
    with pytest.raises(InputError, match="has no position"):
        run(broker, fake_log, Import(long_table(tmp_path, 10), None, None), tmp_path / "fleet")
    assert fake_log.published == 0
