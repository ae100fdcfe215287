"""`cityproof bench growth`: what it measures are logs, the measure can fail, and docs/growth.md says it."""

import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from pipeline.commands.bench.growth.city import SHARD, SparseCity, Trust
from pipeline.commands.bench.growth.meter import Cost, measure
from pipeline.commands.bench.growth.run import KEYS, RECORDS, Growth, grow
from pipeline.commands.bench.growth.works import LEAF, WORKS, proof_sizes
from pipeline.log.checkpoint import Checkpoint
from pipeline.log.merkle import check_consistency, consistency_path
from pipeline.log.tiles import TileAppender, TileReader
from pipeline.verify.point import verify_point
from pipeline.verify.prove import LEAVES_PER_ENTRY, Prover

DOCS = Path(__file__).resolve().parents[2] / "docs"


@cache
def small() -> Trust:
    """Few keys and a small block: what grows with the log does so all the same."""
    return Trust(40, 3, full_block=LEAF + 1)


def test_the_files_are_those_of_a_log_with_these_entries() -> None:
    """Tiles, bundles and root are as if every entry had been appended."""
    city = SparseCity(small(), 1000)
    appender = TileAppender()
    files = appender.append([city.tree.entry(index) for index in range(city.size)])
    assert {path: city.files.read(path) for path in files} == files
    assert city.tree.root(city.size) == appender.root()
    for missing in (
        "tile/0/003",
        "tile/0/003.p/251",
        "tile/0/004",
        "tile/1/000",
        "tile/2/000",
        "tile/entries/004",
    ):
        assert city.files.read(missing) is None


@pytest.mark.parametrize("size", [1, 255, 256, 257, 700])
def test_a_smaller_size_is_consistent_with_the_present_one(size: int) -> None:
    """What a witness has cosigned of it before."""
    city = SparseCity(small(), 1000)
    path = consistency_path(size, city.size, city.tree.read_hash)
    check_consistency(size, city.tree.root(size), city.size, city.tree.root(city.size), path)


def test_a_log_of_a_hundred_million_blocks_is_read_as_any_other() -> None:
    """Every tile on the way to an entry is checked against the checkpoint; a point in it is proved."""
    city = SparseCity(small(), 10**8)
    reader = TileReader(city.files.read, Checkpoint("x", city.size, city.tree.root(city.size)))
    assert city.size > 10**8
    assert reader.read_entry(city.places[3]) == city.new_entry
    assert reader.read_entry(city.places[3] + 1) == city.filler_entry
    quantity, at_us = city.record(LEAF)
    for place in city.places:
        ref = place * LEAVES_PER_ENTRY + LEAF
        data = Prover(city.files.read, city.trust.policy).prove(ref, quantity, at_us)
        point = verify_point(data, city.trust.policy, city.trust.authorities)
        assert (point.entry, point.leaf, point.manifest.shard) == (place, LEAF, SHARD)


def test_nothing_grows_faster_than_the_logarithm() -> None:
    """From 10^3 to 10^8 blocks, by every count; times are for the bench, which runs alone."""
    growth = grow([10**3, 10**8], [100, 1000], small(), 1)
    assert [fault for fault in growth.faults() if "seconds" not in fault] == []
    assert set(growth.costs) == {
        "prove a point",
        "verify a proof",
        "take a shard over",
        "seal a block",
        "start the log",
        "place a block",
        "start the publisher",
        "publish a block",
        "start the courier",
        "deliver a block's receipts",
        "start the projector",
        "project a block",
    }
    for name, costs in growth.costs.items():
        assert all(cost.reads or cost.hashes for cost in costs), name
    assert [cost.signatures for cost in growth.costs["prove a point"]] == [4, 4]  # At most 15 are allowed.


def test_what_starts_without_a_snapshot_is_seen_to_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure is of the stages' own reads: take their snapshots away, and they read it all."""
    costs: dict[str, list[Cost]] = {}
    sizes = []
    for blocks in (10**3, 5 * 10**4):
        city = SparseCity(small(), blocks)
        monkeypatch.setattr(
            city, "_snapshot", [item for item in city._snapshot if not item.key.startswith(b"r")]
        )
        sizes.append(city.size)
        for name, cost in measure(WORKS[2], city, 1).items():
            costs.setdefault(name, []).append(cost)
    growth = Growth(sizes, [1, 1], costs, [1], {})
    named = {fault.partition(":")[0] for fault in growth.faults()}
    assert {"start the log, reads", "start the log, hashes"} <= named
    assert "place a block, reads" not in named


def costs_of(values: Callable[[int], int], sizes: list[int]) -> Growth:
    """A growth in which one count is this function of the size."""
    series = [Cost(values(size), 0, 0, 0, 0, 0) for size in sizes]
    return Growth(sizes, [1] * len(sizes), {"work": series}, [1], {})


@pytest.mark.parametrize(
    ("values", "grows"),
    [
        (lambda _size: 7, False),
        (lambda size: size.bit_length(), False),
        (lambda size: 40 - size.bit_length(), False),
        (lambda size: size, True),
        (lambda size: int(size**0.5), True),
        (lambda size: size.bit_length() ** 2, True),
        (lambda size: size // 10**8, True),
    ],
)
def test_a_fault_is_whatever_outgrows_the_logarithm(values: Callable[[int], int], grows: bool) -> None:
    """Roots, squares of the logarithm, and what costs nothing at first do."""
    assert bool(list(costs_of(values, [10**3, 10**5, 10**8]).faults())) is grows


@pytest.fixture(scope="module")
def full() -> SparseCity:
    """A log of 10^6 blocks: 10-record statements, 1,024 of them a block, 1,000 keys, three cosignatures."""
    return SparseCity(Trust(KEYS, RECORDS), 10**6)


def test_a_point_proof_of_a_million_blocks_has_at_most_3600_bytes(full: SparseCity) -> None:
    """Wherever the point is in the log; it verifies."""
    sizes = proof_sizes(full)
    assert max(sizes) <= 3600
    assert min(sizes) > 2000
    quantity, at_us = full.record(LEAF)
    ref = full.places[2] * LEAVES_PER_ENTRY + LEAF
    data = Prover(full.files.read, full.trust.policy).prove(ref, quantity, at_us)
    point = verify_point(data, full.trust.policy, full.trust.authorities)
    assert len(point.checkpoint.cosignatures) == 3
    assert point.manifest.accepted == 1024
    assert len(full.trust.enrolments) == 1000


def writer() -> ModuleType:
    """docs/write_growth.py, which is no module of a package."""
    spec = importlib.util.spec_from_file_location("write_growth", DOCS / "write_growth.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_size_that_proofs_have(full: SparseCity) -> None:
    """Sizes are the same on every machine: whoever changes them makes the page again."""
    page = (DOCS / "growth.md").read_text(encoding="utf-8")
    (blocks,) = re.findall(r"^\| blocks \| (.*) \|\n\| --- .*\n\| bytes ", page, re.MULTILINE)
    (sizes,) = re.findall(r"^\| bytes \| (.*) \|$", page, re.MULTILINE)
    listed = dict(zip(blocks.split(" | "), sizes.split(" | "), strict=True))
    assert listed[f"{full.size:,}"] == f"{max(proof_sizes(full)):,}"


def measured() -> Mapping[str, Any]:
    """What the command prints, of costs that say which is which."""
    series = [Cost(1, 2000, 3, 4000, 5, 6, 0.007), Cost(10, 20_000, 30, 40_000, 50, 60, 0.07)]
    growth = Growth(
        [1000, 10**8], [3000, 3500], {"prove a point": series, "a < b": series}, [10, 100], {"s": series}
    )
    return {"keys": 1000, "records": 10, "runs": 5, **asdict(growth), "faults": []}


def test_the_page_is_written_from_what_was_measured() -> None:
    """Times in milliseconds, counts at both ends, the limit of signatures as it was met."""
    page = writer().page(measured())
    assert "| bytes | 3,000 | 3,500 |" in page
    assert "| prove a point | 7.00 | 70.00 |" in page
    assert "| prove a point | 1 → 10 | 2 → 20 | 3 → 30 | 4 → 40 | 5 → 50 | 6 → 60 |" in page
    assert "verifies 60\nsignatures" in page
    assert "| s: reads | 1 | 10 |" in page


def test_the_picture_is_a_small_svg_inside_its_frame() -> None:
    """Well-formed, and every line and label within the frame; so is the one in docs."""
    texts = [writer().picture(measured()), (DOCS / "growth.svg").read_text(encoding="utf-8")]
    for text in texts:
        root = ET.fromstring(text)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        points = [
            tuple(map(float, point.split(",")))
            for line in root.iter("{http://www.w3.org/2000/svg}polyline")
            for point in line.attrib["points"].split()
        ]
        labels = [
            (float(label.attrib["x"]), float(label.attrib["y"]))
            for label in root.iter("{http://www.w3.org/2000/svg}text")
        ]
        assert len(points) >= 6
        assert all(0 < x < width and 0 < y < height for x, y in [*points, *labels])
        assert len(text) < 20_000
    assert "a &lt; b" in texts[0]
