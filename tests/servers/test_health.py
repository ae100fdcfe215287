"""A service tells how it is, and what it has counted; the counts of all services add up."""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.city_on_servers import SERVICES, Scene
from tests.support.own_servers import free_port

pytestmark = [pytest.mark.needs("servers", "mosquitto"), pytest.mark.serial, pytest.mark.timeout(600)]
SECONDS = 6
Figures = dict[tuple[str, str], float]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Generator[Scene]:
    """A city on servers of its own."""
    scene = Scene.open(tmp_path_factory.mktemp("health"))
    yield scene
    scene.end()


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def figures(port: int) -> Figures:
    """Return each family's sum by stage."""
    found: Figures = {}
    for family in text_string_to_metric_families(ask(port, "/metrics")[1]):
        for sample in family.samples:
            if "stage" in sample.labels and not sample.name.endswith("_created"):
                key = sample.name.removeprefix("cityproof_").removesuffix("_total"), sample.labels["stage"]
                found[key] = found.get(key, 0) + sample.value
    return found


def until(condition: Any, seconds: float = 20.0) -> None:
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s, "it does not come about"
        time.sleep(0.1)


def answers(port: int, path: str) -> int:
    try:
        return ask(port, path)[0]
    except OSError:
        return 0


def test_counts_add_up_over_all_services(scene: Scene) -> None:
    """What one gives the next one takes; each has settled all that it took; health says ready."""
    ports = {name: free_port() for name in SERVICES}
    for name, port in ports.items():
        scene.start(name, {"CITYPROOF_HEALTH_PORT": str(port)})
    for port in ports.values():
        until(lambda port=port: answers(port, "/health/ready") == 200)
        assert ask(port, "/health/live")[0] == 200
    scene.simulate(SECONDS)
    told = scene.told()
    scene.account(told)

    def rest() -> bool:
        found = [figures(port) for port in ports.values()]
        return all(value == 0 for each in found for (name, _), value in each.items() if name == "waiting")

    until(rest)
    total: Figures = {}
    for port in ports.values():
        for key, value in figures(port).items():
            total[key] = total.get(key, 0) + value
    for stage in {stage for _, stage in total}:
        settled = sum(total.get((name, stage), 0) for name in ("given", "refused", "duplicates", "waiting"))
        assert total["taken", stage] == settled, stage
    assert total["given", "bridge"] == total["taken", "aggregator"] > 100
    assert total["given", "aggregator"] == total["given", "courier"]
    assert total["given", "log"] + 1 == total["given", "publisher"], "the genesis is an entry, too"
    assert total["given", "projector"] == len(scene.stored())
    assert scene.stop() == dict.fromkeys(SERVICES, 0)
    last = (scene.folder / "log.log").read_text().splitlines()
    assert [json.loads(line)["event"] for line in last] == ["started", "stopped"]
    assert json.loads(last[0])["service"] == "log"


def test_a_service_that_is_held_up_is_live_and_not_ready(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The publisher cannot begin without Kafka: it ends, to be started again. Nobody answers for it then."""
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = f"127.0.0.1:{taken.getsockname()[1]}"
        scene.start("publisher", {"CITYPROOF_KAFKA_SERVERS": away, "CITYPROOF_HEALTH_PORT": str(port)})
        assert scene.processes["publisher"].wait(30) == 75
    assert answers(port, "/health/live") == 0
    line = json.loads((scene.folder / "publisher.log").read_text().splitlines()[-1])
    assert (line["level"], line["exit"]) == ("error", 75)
    assert "Kafka did not answer" in line["event"]
