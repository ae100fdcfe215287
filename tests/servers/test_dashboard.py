"""The dashboard and what feeds it: it asks for figures that there are, of every service."""

import json
import re
from pathlib import Path

from pipeline.counts import Board
from pipeline.edges.metrics import Metrics

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
BOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "cityproof.json").read_text(encoding="utf-8"))
PROMETHEUS = (DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
OF_EVERY_TARGET = {"up"}
WORDS = {"sum", "max", "by", "rate", "or", "stage", "shard", "reason", "instance", "job", "cityproof", "m"}


def figures() -> dict[str, set[str]]:
    """Every figure of a process that has counted something, and its labels."""
    board = Board()
    found: dict[str, set[str]] = {}
    with board.running("aggregator", "1") as counts:
        counts.take(3)
        counts.settle(given=1, duplicates=1, refused={"key_unknown": 1})
        counts.turn()
        page = Metrics(board).page().decode()
    for line in page.splitlines():
        if match := re.match(r"([a-z_]+)(?:\{(.*)\})? ", line):
            found[match[1]] = set(re.findall(r'(\w+)="', match[2] or ""))
    return found


def test_every_panel_asks_for_figures_that_there_are() -> None:
    """By their names, and by labels that they have or that Prometheus gives them."""
    known = figures()
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            named = set(re.findall(r"[a-z_]+", re.sub(r'"[^"]*"', "", target["expr"]))) - WORDS
            assert named, panel["title"]
            assert named <= known.keys() | OF_EVERY_TARGET, panel["title"]
            grouped = {
                label
                for words in re.findall(r"by \(([^)]*)\)", target["expr"])
                for label in words.split(", ")
            }
            labels = set.union({"instance", "job"}, *(known.get(name, set()) for name in named))
            assert grouped <= labels, panel["title"]


def test_every_figure_of_ours_is_on_it() -> None:
    """What is counted is shown."""
    shown = json.dumps(BOARD)
    assert [name for name in figures() if name.startswith("cityproof_") and name not in shown] == []


def test_panels_do_not_lie_over_one_another() -> None:
    """Each place on the board is one panel's, and each panel says in words what it shows."""
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        place = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not place & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        assert panel["description"].endswith(".")
        taken |= place


def test_prometheus_asks_every_service() -> None:
    """Those of docker-compose.yml that run a stage, at the port that they are told."""
    told = dict(line.split("=", 1) for line in (DEPLOY / "city.env").read_text().splitlines() if "=" in line)
    text = (DEPLOY.parent / "docker-compose.yml").read_text()
    running = re.findall(
        r"^  ([a-z0-9-]+):\n    <<: \*service\n    command: \[run, (?!files)", text, re.MULTILINE
    )
    targets = re.findall(r"^ +- ([a-z0-9-]+):(\d+)$", PROMETHEUS, re.MULTILINE)
    assert len(running) >= 7
    assert targets == [(name, told["CITYPROOF_HEALTH_PORT"]) for name in running]


def test_grafana_finds_its_source() -> None:
    """Every panel names the one that is provisioned."""
    source = (DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text()
    (uid,) = re.findall(r"uid: (\S+)", source)
    assert {panel["datasource"]["uid"] for panel in BOARD["panels"]} == {uid}
