"""What is wiped under load is made again from Kafka: points one by one, archive and tiles byte for byte."""

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pipeline.edges.influx import encode_lines
from tests.support.city_on_servers import Scene, checkpoint_size, cityproof

pytestmark = [pytest.mark.needs("servers", "mosquitto"), pytest.mark.serial, pytest.mark.timeout(600)]
SECONDS = 12.0
STOPPED_S = 6.0
SOON_S = 180.0  # Services begin all at once, on a machine that may be busy.
RSS_MAX = 250e6


@pytest.fixture
def scene(tmp_path: Path) -> Generator[Scene]:
    """A city under load."""
    scene = Scene.open(tmp_path)
    try:
        scene.start_all()
        scene.simulate(SECONDS)
        scene.await_growth(SOON_S)
        yield scene
    finally:
        scene.end()


def rss_of(pid: int) -> int:
    """The bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def rebuild(scene: Scene, what: str) -> None:
    assert cityproof("rebuild", what, "--config", str(scene.config), stdout=subprocess.DEVNULL).wait() == 0


def files(city: Path) -> dict[str, bytes]:
    """The published files but for the checkpoint, whose cosignatures tell the time, and partial tiles."""
    return {
        str(path.relative_to(city / "log")): path.read_bytes()
        for path in (city / "log").rglob("*")
        if path.is_file() and path.name != "checkpoint" and ".p" not in str(path)
    }


def ask(scene: Scene, *words: str) -> tuple[int, Any]:
    """Ask a command about the city on its servers; return its exit code and what it says."""
    process = cityproof(*words, "--config", str(scene.config), stdout=subprocess.PIPE)
    output, _ = process.communicate()
    return process.returncode, json.loads(output) if "--json" in words else output


def look_at_it(scene: Scene) -> None:
    """`series`, `prove`, `audit` and `reconcile` read InfluxDB; one altered point, and it alone, is named."""
    code, series = ask(scene, "series", "--json")
    assert (code, sum(row["points"] for row in series)) == (0, scene.count_points())
    proof = scene.folder / "a.proof"
    row = next(row for row in series if row["points"] > 1)
    place = ["--device", row["device"], "--quantity", row["quantity"], "--at", row["last"]]
    assert ask(scene, "prove", *place, "--out", str(proof))[0] == 0
    policy = ["--policy", str(scene.city / "policy.txt")]
    policy += ["--authorities", str(scene.city / "authorities.txt")]
    assert cityproof("verify", str(proof), *policy, stdout=subprocess.DEVNULL).wait() == 0
    code, accounts = ask(scene, "reconcile", "--json")
    assert code == 0
    fates = ("stored", "superseded", "waiting", "refused", "missing")
    for account in accounts:
        assert account["published"] == account["stored"] + account["superseded"], account
        assert account["published"] == sum(account[fate] for fate in fates)
    assert ask(scene, "audit", "--json")[0] == 0
    with scene.open_points() as reader:
        point = next(reader.scan())
    url = f"http://127.0.0.1:{scene.servers.ports['influx']}/api/v2/write?org=city&bucket=points&precision=us"
    line = encode_lines([point._replace(value=point.value + 1)])[0].encode()
    request = urllib.request.Request(url, line, {"Authorization": f"Token {scene.servers.token}"})
    urllib.request.urlopen(request, timeout=10).close()
    code, found = ask(scene, "audit", "--json")
    assert (code, [each["reason"] for each in found["findings"]]) == (1, ["point_altered"])
    assert found["findings"][0]["device"] == point.device


def test_influxdb_stopped_wiped_and_rebuilt(scene: Scene) -> None:
    """Stopped under load: the projector waits in bounded memory. Wiped: the same points, one by one."""
    scene.servers.kill("influx")
    end_s, largest = time.monotonic() + STOPPED_S, 0
    while time.monotonic() < end_s:
        largest = max(largest, rss_of(scene.processes["projector"].pid))
        scene.supervise()
        time.sleep(0.2)
    assert largest < RSS_MAX
    scene.servers.start("influx")
    scene.account(scene.told())
    before = scene.stored()
    assert scene.stop()["projector"] == 0
    scene.servers.kill("influx")
    scene.servers.wipe_influx()
    scene.servers.start("influx")
    scene.servers.set_up_influx()
    assert scene.stored() == {}
    rebuild(scene, "points")
    assert scene.stored() == before
    look_at_it(scene)


def test_archive_tiles_and_state_are_made_again(scene: Scene) -> None:
    """Byte for byte, by the services alone; the checkpoint goes on from where it was."""
    scene.account(scene.told())
    scene.stop()
    before, size = files(scene.city), checkpoint_size(scene.city)
    shutil.rmtree(scene.city / "log")
    shutil.rmtree(scene.city / "state")
    rebuild(scene, "archive")
    rebuild(scene, "receipts")
    assert files(scene.city) == before
    assert checkpoint_size(scene.city) == size
    scene.start_all()
    scene.simulate(SECONDS)
    scene.await_growth(SOON_S)
    scene.account(scene.told())
    assert {path: data for path, data in files(scene.city).items() if path in before} == before
