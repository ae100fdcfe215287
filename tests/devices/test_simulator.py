"""The simulator against a broker and a log on loopback: what it says it published is what arrived."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from devices.inputs import open_site
from devices.simulator import Plan, simulate
from pipeline.wire.errors import InputError
from pipeline.wire.senml import decode_pack
from pipeline.wire.statement import parse_statement
from tests.devices.fakes import Broker, FakeLog

ENOUGH = 3000  # Records: a few simulated minutes of the city.

Status = dict[str, Any]


def run(broker: Broker, log: FakeLog, folder: Path, enough: Callable[[Status], bool], faults: str) -> Status:
    """Simulate as fast as receipts allow until `enough` of the statuses, then drain."""
    stopping = Event()

    def report(status: Status) -> None:
        if status["phase"] == "measuring" and enough(status):
            stopping.set()

    site = open_site(broker.url, log.policy, log.authority_key, folder)
    plan = Plan("calm", 7, 0.0, 40.0, faults, folder / "truth.json")
    return simulate(site, plan, stopping, report)


def records_in(log: FakeLog) -> int:
    return sum(
        len(decode_pack(parse_statement(raw).payload, issuer)) for (issuer, _, _), raw in log.stored.items()
    )


def test_every_record_is_accounted_for(broker: Broker, fake_log: FakeLog, tmp_path: Path) -> None:
    """With every fault at work: published = stored + refused, by reason as injected, and nothing waits."""
    folder = tmp_path / "fleet"
    summary = run(broker, fake_log, folder, lambda status: status["published"] >= ENOUGH, "all")
    assert summary["waiting"] == 0
    assert summary["published"] == fake_log.published >= ENOUGH
    assert summary["receipted"] == records_in(fake_log)
    assert summary["refused"] == summary["answered"] == dict(sorted(fake_log.refused.items()))
    assert summary["published"] == summary["receipted"] + sum(summary["refused"].values())
    assert summary["parked"] == {}
    assert len(fake_log.enrolled) == summary["devices"]
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert (folder / "truth.json").exists()
    with (folder / "sends.csv").open() as file:
        sends = list(csv.DictReader(file))
    assert sum(int(row["records"]) for row in sends) == summary["receipted"]
    assert len({row["leaf_hash"] for row in sends}) == len(sends) == summary["statements"]


def test_lost_messages_are_sent_again(
    broker: Broker, fake_log: FakeLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one message in eight is lost on its way, all are receipted in the end, each once."""
    count = 0

    monkeypatch.setattr("devices.schedule.backoff_s", lambda _attempt, _random: 0.5)

    def lose(topic: str, _raw: bytes) -> bool:
        nonlocal count
        count += topic.startswith("statements/")
        return topic.startswith("statements/") and count % 8 == 0

    fake_log.lose = lose
    summary = run(broker, fake_log, tmp_path / "fleet", lambda status: status["published"] > 0, "none")
    assert summary["resent"] > 0
    assert summary["waiting"] == 0
    assert summary["published"] == summary["receipted"] == records_in(fake_log)


def test_a_second_run_goes_on_where_the_first_ended(
    broker: Broker, fake_log: FakeLog, tmp_path: Path
) -> None:
    """Started again on its folder a fleet enrols nobody anew, keeps its epochs, signs no minute twice."""
    first = run(broker, fake_log, tmp_path / "fleet", lambda status: status["published"] > 0, "none")
    enrolled = dict(fake_log.enrolled)
    second = run(broker, fake_log, tmp_path / "fleet", lambda status: status["published"] > 0, "none")
    assert fake_log.enrolled == enrolled
    assert second["waiting"] == 0
    assert second["simulated_to_s"] > first["simulated_to_s"]
    assert second["ever"]["receipted"] >= first["receipted"] + second["receipted"]
    epochs = {(issuer, epoch) for issuer, epoch, _ in fake_log.stored}
    assert len(epochs) == first["devices"]
    places = [
        (issuer, record.quantity, record.time_s)
        for (issuer, _, _), raw in fake_log.stored.items()
        for record in decode_pack(parse_statement(raw).payload, issuer)
    ]
    assert len(set(places)) == len(places)


def test_a_missing_policy_is_an_input_error(tmp_path: Path) -> None:
    """Before anything starts, a policy that cannot be read or names no log is refused."""
    with pytest.raises(InputError) as refused:
        open_site("mqtt://localhost", tmp_path / "policy.txt", tmp_path / "key", tmp_path / "fleet")
    assert refused.value.place == "--policy"
    (tmp_path / "policy.txt").write_text("quorum none\n")
    with pytest.raises(InputError, match="names 0 logs"):
        open_site("mqtt://localhost", tmp_path / "policy.txt", tmp_path / "key", tmp_path / "fleet")
