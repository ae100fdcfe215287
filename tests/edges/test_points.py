"""The point store against its definition: at each place the point that is latest in the log."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.edges.sqlite_points import PointCounts, SqlitePoints, read_points
from pipeline.ports import Point, Series, Span
from pipeline.verify.audit import PointPlace, StoredValue
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
    batches = [[item._replace(ref=next(refs)) for item in batch] for batch in batches]
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


# Reading, which is the same of every store.


def series_of(point: Point) -> Series:
    return Series(point.kind, point.device, point.subject, point.quantity)


def place_of(point: Point) -> PointPlace:
    return PointPlace(point.device, point.subject, point.quantity, point.time_us)


async def test_the_reader_finds_series_and_points(open_points: Open, tmp_path: Path) -> None:
    """By device, quantity and exact time; the nearest times around it; ranges with both ends."""
    async with open_points(tmp_path) as points:
        written = [a_point(t, t) for t in (10, 20, 30, 40)]
        written += [
            a_point(20, 98, 8.0, subject="elsewhere"),
            a_point(25, 99, 7.0, subject="elsewhere"),
            a_point(20, 1, 9.0, quantity="o3"),
        ]
        await points.store.write(written)
        with points.reader() as reader:
            series = [Series("air", DEVICE, *names) for names in
                      (("elsewhere", "no2"), ("site", "no2"), ("site", "o3"))]  # fmt: skip
            assert list(reader.series()) == series
            assert list(reader.find_series(DEVICE, "no2")) == series[:2]
            assert list(reader.spans()) == [
                Span(series[0], 2, 20, 25), Span(series[1], 4, 10, 40), Span(series[2], 1, 20, 20),
            ]  # fmt: skip
            assert reader.at(DEVICE, "no2", 30) == a_point(30, 30)
            assert reader.at(DEVICE, "no2", 31) is None
            assert reader.at(DEVICE, "no2", 20) == a_point(20, 98, 8.0, subject="elsewhere"), (
                "the latest in the log"
            )
            assert reader.nearest(DEVICE, "no2", 24) == [20, 25]
            assert reader.nearest(DEVICE, "no2", 5) == [10]
            assert reader.nearest(DEVICE, "no2", 99) == [40]
            assert reader.nearest(DEVICE, "co", 20) == []
            assert [p.time_us for p in reader.range(series[1], 20, 40, 10)] == [20, 30, 40]
            assert [p.time_us for p in reader.range(series[1], 20, 40, 2)] == [20, 30]


HOUR_US = 3_600_000_000


@settings(max_examples=20)
@given(
    points=st.lists(point, max_size=20),
    hours=st.lists(st.integers(-5, 5), min_size=20, max_size=20),
    limit=st.integers(0, 35),
)
def test_the_reader_says_what_was_written(
    open_points: Open,
    tmp_path_factory: pytest.TempPathFactory,
    points: list[Point],
    hours: list[int],
    limit: int,
) -> None:
    """Scan, find, count and what is beyond a ref agree with the definition; before 1970, and hours apart."""
    placed = {
        (series_of(p), p.time_us): p
        for ref, (p, hour) in enumerate(zip(points, hours, strict=False))
        for p in [p._replace(time_us=p.time_us + hour * HOUR_US, ref=ref)]
    }
    stored = sorted(placed.values(), key=lambda p: (p.device, p.quantity, p.subject, p.kind, p.time_us))
    places = [PointPlace(d, "site", q, t + h * HOUR_US) for d in ("urn:dev:org:32473-1", "nobody")
              for q in ("no2", "o3") for t in range(4) for h in range(-5, 6)]  # fmt: skip

    async def run() -> None:
        async with open_points(tmp_path_factory.mktemp("points")) as opened:
            await opened.store.write(sorted(placed.values(), key=lambda p: p.ref))
            with opened.reader() as reader:
                scanned = list(reader.scan())
                assert len(scanned) == len(stored)
                assert set(scanned) == set(stored)
                values = {place_of(p): StoredValue(p.value, p.ref) for p in stored}
                assert reader.find(places) == {p: values[p] for p in places if p in values}
                assert reader.find([]) == {}
                assert reader.count_below(limit) == sum(p.ref < limit for p in stored)
                assert set(reader.beyond(limit, 100)) == {p for p in stored if p.ref >= limit}
                assert len(reader.beyond(0, 3)) == min(3, len(stored))
                for series in {series_of(p) for p in stored}:
                    of = [p for p in stored if series_of(p) == series]
                    assert list(reader.range(series, -(10**17), 10**17, 100)) == of

    asyncio.run(run())


async def test_every_name_can_be_asked_for(open_points: Open, tmp_path: Path) -> None:
    """What is syntax in a query's language is a name in it."""
    subjects = [
        'say "no2"',
        "a\\",
        "100 %",
        "%5C",
        "%25",
        "${device}",
        "\u4e00\u53f7\u7ad9 #1",
        "a b,c=d value=1",
    ]
    async with open_points(tmp_path) as points:
        await points.store.write([a_point(5, n, subject=text) for n, text in enumerate(subjects)])
        with points.reader() as reader:
            assert {s.subject for s in reader.series()} == set(subjects)
            asked = [PointPlace(DEVICE, text, "no2", 5) for text in subjects]
            assert reader.find(asked) == {place: StoredValue(1.0, n) for n, place in enumerate(asked)}
            for number, text in enumerate(subjects):
                series = Series("air", DEVICE, text, "no2")
                assert list(reader.range(series, 5, 5, 9)) == [a_point(5, number, subject=text)]
        quoted = [a_point(5, n)._replace(device=text) for n, text in enumerate(subjects)]
        await points.store.write(quoted)
        with points.reader() as reader:
            assert [reader.at(p.device, "no2", 5) for p in quoted] == quoted


async def test_an_intruders_change_is_seen_and_made_good_by_a_rewrite(
    open_points: Open, tmp_path: Path
) -> None:
    """The reader says what the store holds; projecting the same point again restores its value."""
    async with open_points(tmp_path) as points:
        await points.store.write([a_point(1, 5, 2.5)])
        points.intrude(a_point(1, 5, 99.0))
        with points.reader() as reader:
            assert reader.at(DEVICE, "no2", 1) == a_point(1, 5, 99.0)
            await points.store.write([a_point(1, 5, 2.5)])
            assert reader.at(DEVICE, "no2", 1) == a_point(1, 5, 2.5)
            assert list(reader.scan()) == [a_point(1, 5, 2.5)]


# What the embedded store has for itself.


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
