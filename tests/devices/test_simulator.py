"""The simulator against a broker and a log on loopback: what it says it published is what arrived."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, Self

import pytest

from devices.faults import FAULTS
from devices.inputs import open_site
from devices.simulator import Plan, simulate
from devices.world.model import Station, Tick
from pipeline.wire.errors import InputError
from pipeline.wire.senml import decode_pack
from pipeline.wire.statement import parse_statement
from tests.devices.fakes import Broker, FakeLog

START_S = 1_741_046_400.0
AIR = ("pm2_5", "o3", "no2")
COLD = ("temperature", "door")


class FakeFeed:
    """A world of 40 stations that stays as it is, and ends the run when its ticks are over."""

    def __init__(self, ticks: int, stopping: Event) -> None:
        self.stations = [station(number, "cold" if number < 4 else "air") for number in range(40)]
        self._ticks = ticks
        self._given = 0
        self._stopping = stopping

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()

    def next_tick(self, _wait_s: float) -> Tick | None:
        if self._given == self._ticks:
            self._stopping.set()
            return None
        self._given += 1
        values = {one.name: dict.fromkeys(one.quantities, 20.0) for one in self.stations}
        for one in self.stations[:4]:
            values[one.name]["door"] = 1.0
        return Tick(START_S + 60.0 * (self._given - 1), values)


def station(number: int, kind: str) -> Station:
    return Station(
        name=f"{kind}-{number}",
        kind=kind,
        issuer=f"urn:dev:ops:32473-{kind}-{number}",
        subject=f"{kind}/{number}",
        department="ecology",
        area="centre",
        longitude=119.0,
        latitude=31.5,
        height_m=3.0,
        x_m=0.0,
        y_m=0.0,
        interval_s=60.0,
        quantities=COLD if kind == "cold" else AIR,
    )


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(broker: Broker, fake_log: FakeLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that simulates so many minutes as fast as receipts allow, and drains."""

    def simulate_ticks(ticks: int, faults: str = "none", rotated: int = 0) -> dict[str, Any]:
        stopping = Event()
        monkeypatch.setattr("devices.simulator.Feed", lambda *_: FakeFeed(ticks, stopping))
        site = open_site(broker.url, fake_log.policy, fake_log.authority_key, tmp_path / "fleet")
        plan = Plan("calm", 7, 0.0, None, faults, tmp_path / "truth.json", rotated)
        return simulate(site, plan, stopping, lambda _status: None)

    return simulate_ticks


def records_in(log: FakeLog) -> int:
    return sum(
        len(decode_pack(parse_statement(raw).payload, issuer)) for (issuer, _, _), raw in log.stored.items()
    )


def test_every_record_is_accounted_for(run: Run, fake_log: FakeLog, tmp_path: Path) -> None:
    """With every fault at work: published = stored + refused, by reason as injected, and nothing waits."""
    summary = run(30, "all")
    assert summary["waiting"] == 0
    assert summary["receipted"] == records_in(fake_log) == 30 * (36 * len(AIR) + 4 * len(COLD))
    assert summary["published"] == fake_log.published
    assert summary["refused"] == summary["answered"] == dict(sorted(fake_log.refused.items()))
    assert summary["published"] == summary["receipted"] + sum(summary["refused"].values())
    assert len(summary["refused"]) >= 4
    assert summary["parked"] == {}
    assert len(fake_log.enrolled) == summary["devices"] == 40
    assert sorted(name for names in summary["faulty"].values() for name in names) == sorted(FAULTS)
    assert summary["simulated_to_s"] - summary["simulated_from_s"] == 1800.0
    folder = tmp_path / "fleet"
    assert json.loads((folder / "summary.json").read_text()) == summary
    with (folder / "sends.csv").open() as file:
        sends = list(csv.DictReader(file))
    assert sum(int(row["records"]) for row in sends) == summary["receipted"]
    assert len({row["leaf_hash"] for row in sends}) == len(sends) == summary["statements"]


def test_lost_messages_are_sent_again(run: Run, fake_log: FakeLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one message in eight is lost on its way, all are receipted in the end, each once."""
    count = 0
    monkeypatch.setattr("devices.schedule.backoff_s", lambda _attempt, _random: 0.5)

    def lose(topic: str, _raw: bytes) -> bool:
        nonlocal count
        count += topic.startswith("statements/")
        return topic.startswith("statements/") and count % 8 == 0

    fake_log.lose = lose
    summary = run(10)
    assert summary["resent"] > 0
    assert summary["waiting"] == 0
    assert summary["published"] == summary["receipted"] == records_in(fake_log) == 10 * 116


def test_a_second_run_goes_on_where_the_first_ended(run: Run, fake_log: FakeLog) -> None:
    """Started again on its folder a fleet enrols nobody anew, keeps its epochs, signs no minute twice."""
    first = run(5)
    enrolled = dict(fake_log.enrolled)
    second = run(8)
    assert fake_log.enrolled == enrolled
    assert (first["published"], second["published"]) == (5 * 116, 3 * 116)
    assert second["ever"] == {"receipted": 8 * 116 + 40, "waiting": 0, "parked": {}}
    assert len({(issuer, epoch) for issuer, epoch, _ in fake_log.stored}) == 40
    places = [
        (issuer, record.quantity, record.time_s)
        for (issuer, _, _), raw in fake_log.stored.items()
        for record in decode_pack(parse_statement(raw).payload, issuer)
    ]
    assert len(set(places)) == len(places) == 8 * 116


def test_a_missing_policy_is_an_input_error(tmp_path: Path) -> None:
    """Before anything starts, a policy that cannot be read or names no log is refused."""
    with pytest.raises(InputError) as refused:
        open_site("mqtt://localhost", tmp_path / "policy.txt", tmp_path / "key", tmp_path / "fleet")
    assert refused.value.place == "--policy"
    (tmp_path / "policy.txt").write_text("quorum none\n")
    with pytest.raises(InputError, match="names 0 logs"):
        open_site("mqtt://localhost", tmp_path / "policy.txt", tmp_path / "key", tmp_path / "fleet")


def signers_of(log: FakeLog, issuer: str) -> list[str]:
    """Return the key ids of what was stored of a device, in its order."""
    stored = sorted((place, raw) for place, raw in log.stored.items() if place[0] == issuer)
    return [parse_statement(raw).kid.hex() for _, raw in stored]


def test_a_device_rotates_amid_a_run_and_its_backlog_is_taken_in(run: Run, fake_log: FakeLog) -> None:
    """The device that is often offline gets a new key: both keys' statements are stored, none is refused."""
    summary = run(30, "offline", 1)
    ((issuer, faults),) = summary["faulty"].items()
    (rotation,) = summary["rotations"]
    assert (rotation["issuer"], faults) == (issuer, ["offline"])
    kids = signers_of(fake_log, issuer)
    switch = rotation["starts"][1]
    assert kids == [rotation["old"]] * switch + [rotation["new"]] * (len(kids) - switch)
    assert len(kids) > switch
    assert (summary["parked"], summary["waiting"]) == ({}, 0)
    assert summary["receipted"] == summary["published"] == records_in(fake_log)
    assert fake_log.refused == {}


def test_a_rotated_device_goes_on_with_its_new_key(run: Run, fake_log: FakeLog) -> None:
    """The next run signs with the new key from its first statement, and another rotation takes its place."""
    (first,) = run(20, rotated=1)["rotations"]
    (second,) = run(40, rotated=1)["rotations"]
    assert (first["issuer"], first["new"]) == (second["issuer"], second["old"])
    kids = signers_of(fake_log, first["issuer"])
    runs = [kid for at, kid in enumerate(kids) if at == 0 or kids[at - 1] != kid]
    assert runs == [first["old"], first["new"], second["new"]]
    assert fake_log.refused == {}


def test_a_rotation_that_no_one_had_stated_yet_is_stated_at_the_next_start(
    run: Run, fake_log: FakeLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the next key's file and the authority's statement costs nothing."""
    with monkeypatch.context() as patch:
        patch.setattr("devices.simulator._Run._state_rotations", _crash)
        with pytest.raises(InterruptedError):
            run(20, rotated=1)
    (following,) = (tmp_path / "fleet" / "keys").glob("*.next")
    assert run(40)["parked"] == {}
    issuer = following.name.removesuffix(".key.next").replace("%3A", ":")
    assert len(set(signers_of(fake_log, issuer))) == 2
    assert fake_log.refused == {}


def _crash(_run: object, rotations: list[object], _stopping: Event) -> None:
    if rotations:
        raise InterruptedError
