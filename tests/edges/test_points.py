"""The point store against its definition: at each place the point that is latest in the log."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.edges.sqlite_points import PointCounts, Series, SqlitePoints, read_points
from pipeline.ports import Point
from pipeline.wire.errors import InputError
from tests.edges.implementations import POINT_STORES, OpenPoints

Open = Callable[[Path], AbstractAsyncContextManager[OpenPoints]]

DEVICE = "urn:dev:org:32473-air-1"

# Few places, so that points meet; `ref` names the value, as a leaf does.
point = st.builds(
    lambda device, quantity, time_us, ref: Point(
        "air", device, "site", quantity, time_us, float(ref % 97), ref
    ),
    st.sampled_from(["urn:dev:org:32473-1", "urn:dev:org:32473-2"]),
    st.sampled_from(["no2", "o3"]),
    st.integers(0, 3),
    st.integers(0, 30),
)


def a_point(
    time_us: int, ref: int, value: float = 1.0, subject: str = "site", quantity: str = "no2"
) -> Point:
    return Point("air", DEVICE, subject, quantity, time_us, value, ref)


@settings(max_examples=30)
@given(batches=st.lists(st.lists(point, max_size=8), max_size=6))
def test_the_latest_in_the_log_stays(
    open_points: Open, tmp_path_factory: pytest.TempPathFactory, batches: list[list[Point]]
) -> None:
    """In the order of the log, and again from its beginning: the largest ref at a place is what is stored."""
    refs = iter(range(sum(map(len, batches))))
    batches = [[replace(item, ref=next(refs)) for item in batch] for batch in batches]
    expected = {
        (p.kind, p.device, p.subject, p.quantity, p.time_us): (p.value, p.ref) for b in batches for p in b
    }

    async def run() -> None:
        folder = tmp_path_factory.mktemp("points")
        async with open_points(folder) as points:
            for batch in [*batches, *batches]:
                await points.store.write(batch)
            assert await points.read() == expected

    asyncio.run(run())


@settings(max_examples=30)
@given(batches=st.lists(st.lists(point, max_size=8), max_size=6))
def test_in_the_embedded_store_the_latest_in_the_log_stays_whatever_the_order(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Point]]
) -> None:
    """Whatever the order, the batches and the repeats: the largest ref at a place is what is stored."""
    expected: dict[tuple[str, str, str, str, int], tuple[float, int]] = {}
    for item in (item for batch in batches for item in batch):
        place = item.kind, item.device, item.subject, item.quantity, item.time_us
        if place not in expected or expected[place][1] < item.ref:
            expected[place] = item.value, item.ref

    async def run() -> None:
        folder = tmp_path_factory.mktemp("points")
        async with POINT_STORES["sqlite"](folder) as points:
            for batch in [*batches, *batches]:
                await points.store.write(batch)
            assert await points.read() == expected

    asyncio.run(run())


async def test_points_survive_reopening(open_points: Open, tmp_path: Path) -> None:
    """What was written is there again, of the same bits."""
    values = [0.1, -1.0, 5e-324, 1.7976931348623157e308, 12345.678901234567]
    async with open_points(tmp_path) as points:
        await points.store.write([a_point(n, n, value) for n, value in enumerate(values)])
        await points.store.write([])
    async with open_points(tmp_path) as points:
        stored = await points.read()
    assert [stored["air", DEVICE, "site", "no2", n][0].hex() for n in range(5)] == [v.hex() for v in values]


async def test_series_do_not_mix(open_points: Open, tmp_path: Path) -> None:
    """Kind, device, subject and quantity each make a series of their own."""
    series = [
        ("air", "a", "s", "q"),
        ("water", "a", "s", "q"),
        ("air", "b", "s", "q"),
        ("air", "a", "t", "q"),
    ]
    series.append(("air", "a", "s", "p"))
    async with open_points(tmp_path) as points:
        await points.store.write([Point(*name, 5, 1.0, 1) for name in series])
        assert set(await points.read()) == {(*name, 5) for name in series}


async def test_every_name_comes_back(open_points: Open, tmp_path: Path) -> None:
    """Subjects are any text: what some store treats as syntax is kept apart, and comes back."""
    subjects = ["a,b=c d", "a\\", "\\ ", "100 %", "%5C", '"', "\u4e00\u53f7\u7ad9 #1", "a b,c=d\\ value=1"]
    async with open_points(tmp_path) as points:
        await points.store.write([a_point(5, n, subject=text) for n, text in enumerate(subjects)])
        stored = await points.read()
    assert {place[2]: ref for place, (_, ref) in stored.items()} == {
        text: n for n, text in enumerate(subjects)
    }


# The embedded store's own reader.


@settings(max_examples=30)
@given(points=st.lists(point, max_size=30), size=st.integers(1, 9))
def test_superseded_points_are_counted_once(
    tmp_path_factory: pytest.TempPathFactory, points: list[Point], size: int
) -> None:
    """Every other ref at a place is superseded, once, however often and in whatever batches it comes."""
    refs = {(p.device, p.quantity, p.time_us, p.ref) for p in points}
    places = {(p.device, p.quantity, p.time_us) for p in points}

    async def run() -> None:
        async with SqlitePoints.open(tmp_path_factory.mktemp("points") / "points.db") as store:
            for start in [*range(0, len(points), size)] * 2:
                await store.write(points[start : start + size])
            assert await store.counts() == PointCounts(len(places), len(refs) - len(places))

    asyncio.run(run())


async def test_the_reader_finds_series_and_points(tmp_path: Path) -> None:
    """By device, quantity and exact time; the nearest times around it; ranges with both ends."""
    path = tmp_path / "points.db"
    async with SqlitePoints.open(path) as store:
        await store.write([a_point(t, t) for t in (10, 20, 30, 40)])
        await store.write(
            [a_point(25, 99, 7.0, subject="elsewhere"), a_point(20, 98, 8.0, subject="elsewhere")]
        )
        await store.write([a_point(20, 1, 9.0, quantity="o3")])
    with read_points(path) as reader:
        assert [(s.subject, s.quantity) for s in reader.series()] == [
            ("elsewhere", "no2"), ("site", "no2"), ("site", "o3"),
        ]  # fmt: skip
        assert reader.at(DEVICE, "no2", 30) == a_point(30, 30)
        assert reader.at(DEVICE, "no2", 31) is None
        assert reader.at(DEVICE, "no2", 20) == a_point(20, 98, 8.0, subject="elsewhere"), (
            "the latest in the log"
        )
        assert reader.stored(DEVICE, "site", "no2", 20) == (1.0, 20)
        assert reader.stored(DEVICE, "nowhere", "no2", 20) is None
        assert reader.nearest(DEVICE, "no2", 24) == [20, 25]
        assert reader.nearest(DEVICE, "no2", 5) == [10]
        assert reader.nearest(DEVICE, "no2", 99) == [40]
        assert reader.nearest(DEVICE, "co", 20) == []
        (site,) = [s for s in reader.find_series(DEVICE, "no2") if s.subject == "site"]
        assert isinstance(site, Series)
        assert [p.time_us for p in reader.range(site, 20, 40, 10)] == [20, 30, 40]
        assert [p.time_us for p in reader.range(site, 20, 40, 2)] == [20, 30]


async def test_a_scan_is_complete_beside_a_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All points that stood there when the scan began come, each once, while others are being written."""
    monkeypatch.setattr("pipeline.edges.sqlite_points.SCAN_ROWS", 7)
    path = tmp_path / "points.db"
    async with SqlitePoints.open(path) as store:
        before = set(range(0, 100, 2))
        await store.write([a_point(t, t) for t in before])
        seen = []
        with read_points(path) as reader:
            for number, found in enumerate(reader.scan()):
                seen.append(found.time_us)
                if number < 60:
                    await store.write([a_point(2 * number + 1, 1000 + number)])
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen)
    assert before <= set(seen)


async def test_an_intruders_change_is_seen_and_made_good_by_a_rewrite(tmp_path: Path) -> None:
    """The reader says what the file holds; projecting the same point again restores its value."""
    path = tmp_path / "points.db"
    async with SqlitePoints.open(path) as store:
        await store.write([a_point(1, 5, 2.5)])
        with closing(sqlite3.connect(path)) as intruder, intruder:
            intruder.execute("UPDATE points SET value = 99.0")
        with read_points(path) as reader:
            assert reader.at(DEVICE, "no2", 1) == a_point(1, 5, 99.0)
            await store.write([a_point(1, 5, 2.5)])
            assert reader.at(DEVICE, "no2", 1) == a_point(1, 5, 2.5)
            assert reader.counts() == PointCounts(1, 0)


def test_no_store_is_said(tmp_path: Path) -> None:
    """Reading where there is none names the file."""
    with (
        pytest.raises(InputError, match=r"points\.db: there is no such file"),
        read_points(tmp_path / "points.db"),
    ):
        pass


@pytest.mark.serial
async def test_fifty_thousand_points_a_second(tmp_path: Path) -> None:
    """New points and points written again, in the projector's batches: less than a second of a core."""
    batches = [[a_point(b * 5000 + n, b, subject=f"site {n % 200}") for n in range(5000)] for b in range(10)]
    async with SqlitePoints.open(tmp_path / "points.db") as store:
        for _ in range(2):
            start_s = time.process_time()  # Of all threads; what else the machine does is no matter.
            for batch in batches:
                await store.write(batch)
            assert time.process_time() - start_s < 1
