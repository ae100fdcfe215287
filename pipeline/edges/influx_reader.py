"""Reading the point store on InfluxDB 2: Flux queries, answered as CSV, in bounded memory.

Whoever may write to the bucket may write anything: other measurements, tags and fields of their own, times
between microseconds, a value without its reference. What is not as the projector writes it is a point of a
kind that no device has, so that an audit sees it and finds nobody who signed it.
"""

import csv
import io
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.dialect import Dialect
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from pipeline.ports import Point, Series, Span
from pipeline.verify.audit import PointPlace, StoredValue
from pipeline.wire.errors import InputError, UnavailableError

TIMEOUT_MS = 60_000
PAGE_POINTS = 20_000
DEVICES_FILTERED = 32  # More are not named in a query: what else its times hold is read and passed over.
WINDOWS_MAX = 16
GAP_NS = 3600 * 10**9
EARLIEST_NS, LATEST_NS = -9223372036854775806, 9223372036854775806  # What InfluxDB can hold.
NO_REF = -1
CSV = Dialect(header=True, delimiter=",", comment_prefix="#", annotations=[], date_time_format="RFC3339Nano")
TAGS = frozenset({"device", "subject", "quantity"})
_NO_TAGS = frozenset({"", "result", "table"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def escape_flux(text: str) -> str:
    """Return a text as a Flux string literal, in which nothing is interpolated."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'"{escaped}"'


def stored_tag(text: str) -> str:
    """Return a name as `encode_tag` of the writing half has it stored."""
    return text.replace("%", "%25").replace("\\", "%5C")


def decode_tag(stored: str) -> str:
    """Return the name that a stored tag stands for; the inverse of `stored_tag`, and nothing more."""
    return stored.replace("%5C", "\\").replace("%25", "%")


@lru_cache(maxsize=4096)
def _second_ns(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return round((moment - _EPOCH).total_seconds()) * 10**9


def parse_ns(text: str) -> int:
    """Return RFC 3339 in UTC, as InfluxDB writes it, as nanoseconds since 1970."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return _second_ns(whole) + int(fraction.ljust(9, "0") or 0)


@dataclass(frozen=True, slots=True)
class _Stored:
    """A series by the names that the store has."""

    measurement: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a row stands: its series, and its nanosecond."""

    series: Series
    time_ns: int


@dataclass(slots=True)
class _Fields:
    value: float | None = None
    ref: int | None = None


class InfluxReader:
    """`ports.PointReader`. Each call sees what is stored by then."""

    def __init__(self, client: InfluxDBClient, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def series(self) -> list[Series]:
        """Return every series, ordered by device, quantity and subject."""
        return self._series("")

    def find_series(self, device: str, quantity: str) -> list[Series]:
        """Return the series of a device's quantity: one a subject it has measured."""
        return self._series(_named(device, quantity))

    def spans(self) -> list[Span]:
        """Return the span of every series that has points, in the order of `series`."""
        select = f'data = {self._from()} |> filter(fn: (r) => r._field == "value")\n'
        yields = (f'data |> {name}() |> yield(name: "{name}")' for name in ("count", "first", "last"))
        found: dict[Series, dict[str, Any]] = {}
        for row in self._rows(select + "\n".join(yields)):
            of = row["result"]
            found.setdefault(_series_of(row), {})[of] = (
                int(row["_value"]) if of == "count" else parse_ns(row["_time"]) // 1000
            )
        return [
            Span(series, of["count"], of["first"], of["last"])
            for series, of in sorted(found.items(), key=lambda item: _order(item[0]))
        ]

    def at(self, device: str, quantity: str, time_us: int) -> Point | None:
        """Return the point at exactly this time; of several subjects' the latest in the log."""
        start_ns = time_us * 1000
        points = self._points(_named(device, quantity), start_ns, start_ns + 1)
        return max(points, key=lambda point: point.ref, default=None)

    def find(self, places: Sequence[PointPlace]) -> Mapping[PointPlace, StoredValue]:
        """Return what is stored at places; those without a point are left out."""
        wanted = set(places)
        found: dict[PointPlace, StoredValue] = {}
        for window in _windows(places):
            devices = {place.device for place in window}
            names = " or ".join(f"r.device == {escape_flux(stored_tag(name))}" for name in sorted(devices))
            where = names if len(devices) <= DEVICES_FILTERED else ""
            start_ns, end_ns = window[0].time_us * 1000, window[-1].time_us * 1000 + 1
            for point in self._points(where, start_ns, end_ns, wanted):
                place = PointPlace(point.device, point.subject, point.quantity, point.time_us)
                found.setdefault(place, StoredValue(point.value, point.ref))
        return found

    def nearest(self, device: str, quantity: str, time_us: int) -> list[int]:
        """Return the times of the last point before this time and of the first one after it, if any."""
        of, at_ns = _named(device, quantity), time_us * 1000
        before = self._query(of, EARLIEST_NS, at_ns, "last()")
        after = self._query(of, at_ns + 1, LATEST_NS, "first()")
        times = [[parse_ns(row["_time"]) // 1000 for row in self._rows(query)] for query in (before, after)]
        return [*sorted(times[0])[-1:], *sorted(times[1])[:1]]

    def range(self, series: Series, first_us: int, last_us: int, limit: int) -> list[Point]:
        """Return up to `limit` points of a series, in time order, both ends of the range included."""
        names = {"device": series.device, "subject": series.subject, "quantity": series.quantity}
        tags = {name: stored_tag(text) for name, text in names.items()}
        points, _ = self._page(_Stored(series.kind, tags), first_us * 1000, last_us * 1000 + 1, limit)
        return points

    def scan(self) -> Iterator[Point]:
        """Yield every stored point, by series and time, in bounded memory."""
        rows = self._rows(self._query("", EARLIEST_NS, LATEST_NS, "first()"))
        found = {_series_of(row): _Stored(row["_measurement"], _tags_of(row)) for row in rows}
        for series in sorted(found, key=_order):
            start_ns: int | None = EARLIEST_NS
            while start_ns is not None:
                points, start_ns = self._page(found[series], start_ns, LATEST_NS, PAGE_POINTS)
                yield from points

    def count_below(self, ref: int) -> int:
        """Return how many points have a smaller ref, those without any included."""
        of_field = '|> filter(fn: (r) => r._field == "{}") '
        total = "|> count() |> group() |> sum()"
        beyond = f"|> filter(fn: (r) => r._value >= {ref}) "
        queries = {
            "values": of_field.format("value") + total,
            "refs": of_field.format("ref") + total,
            "beyond": of_field.format("ref") + beyond + total,
        }
        lines = [f'{self._from()} {query} |> yield(name: "{name}")' for name, query in queries.items()]
        counts = {row["result"]: int(row["_value"]) for row in self._rows("\n".join(lines))}
        # A point that lacks one of the two fields shows in the other's count.
        return max(counts.get("values", 0), counts.get("refs", 0)) - counts.get("beyond", 0)

    def beyond(self, ref: int, limit: int) -> list[Point]:
        """Return up to `limit` points with this ref or a larger one."""
        query = (
            f'{self._from()} |> filter(fn: (r) => r._field == "ref") '
            f"|> filter(fn: (r) => r._value >= {ref}) |> limit(n: {limit}) |> group() |> limit(n: {limit})"
        )
        places = {_place_of(row): int(row["_value"]) for row in self._rows(query)}
        values: dict[PointPlace, StoredValue] = dict(self.find([_audited(place) for place in places]))
        return [
            _point(place, _Fields(stored.value, own))
            for place, own in places.items()
            if (stored := values.get(_audited(place))) is not None
        ]

    def writers(self) -> list[str]:
        """Return which tokens may write the bucket, by their descriptions; none where ours may not ask."""
        try:
            known = self._client.authorizations_api().find_authorizations()
        except (ApiException, HTTPError, OSError):
            return []
        return sorted(
            f"InfluxDB token {token.description or token.id}" for token in known if _may_write(token)
        )

    def _from(self, start_ns: int = EARLIEST_NS, end_ns: int = LATEST_NS) -> str:
        span = f"start: time(v: {start_ns}), stop: time(v: {end_ns})"
        return f"from(bucket: {escape_flux(self._bucket)}) |> range({span})"

    def _query(self, where: str, start_ns: int, end_ns: int, then: str = "") -> str:
        filters = '|> filter(fn: (r) => r._field == "value" or r._field == "ref")'
        if where:
            filters = f"|> filter(fn: (r) => {where}) {filters}"
        query = f"{self._from(max(start_ns, EARLIEST_NS), min(end_ns, LATEST_NS))} {filters}"
        return f"{query} |> {then}" if then else query

    def _series(self, where: str) -> list[Series]:
        rows = self._rows(self._query(where, EARLIEST_NS, LATEST_NS, "first()"))
        return sorted({_series_of(row) for row in rows}, key=_order)

    def _points(
        self, where: str, start_ns: int, end_ns: int, wanted: set[PointPlace] | None = None
    ) -> list[Point]:
        return _merge(self._rows(self._query(where, start_ns, end_ns)), wanted)

    def _page(
        self, series: "_Stored", start_ns: int, end_ns: int, limit: int
    ) -> tuple[list[Point], int | None]:
        """Return the first points of a series from a time on, and where the next page begins, if one does."""
        where = [f"r._measurement == {escape_flux(series.measurement)}"]
        where += [f"r[{escape_flux(name)}] == {escape_flux(text)}" for name, text in series.tags.items()]
        query = self._query(" and ".join(where), start_ns, end_ns, f"limit(n: {limit})")
        rows = [row for row in self._rows(query) if _tags_of(row) == series.tags]
        lengths: dict[str, list[int]] = {"value": [], "ref": []}
        for row in rows:
            lengths[row["_field"]].append(parse_ns(row["_time"]))
        full = [times[-1] for times in lengths.values() if len(times) == limit]
        if not full:
            return _merge(rows)[:limit], None
        last_ns = min(full)
        return _merge(row for row in rows if parse_ns(row["_time"]) <= last_ns)[:limit], last_ns + 1

    def _rows(self, query: str) -> Iterator[dict[str, str]]:
        """Yield the rows of an answer as they come, each by the names of its table.

        Raises:
            InputError: The bucket is not there, or the token does not open it.
            UnavailableError: InfluxDB did not answer, or not to the end.
        """
        try:
            answer = self._client.query_api().query_raw(query, dialect=CSV)
            with closing(answer):
                answer.auto_close = False
                names: list[str] = []
                for row in csv.reader(io.TextIOWrapper(answer, "utf-8", newline="")):
                    if not row:
                        names = []
                    elif not names:
                        names = row
                    else:
                        named = dict(zip(names, row, strict=False))
                        if "error" in named:
                            raise UnavailableError("InfluxDB", named["error"])
                        yield named
        except ApiException as error:
            if error.status in {401, 403, 404}:
                raise InputError(
                    "InfluxDB",
                    f"it answers {error.status} to a query of the bucket {self._bucket}",
                    "Name a bucket that is there, and a token that may read it.",
                ) from error
            raise UnavailableError("InfluxDB", f"it answers {error.status}: {error.message}") from error
        except (HTTPError, OSError) as error:
            raise UnavailableError("InfluxDB", str(error)) from error


@contextmanager
def read_influx(url: str, token: str, org: str, bucket: str) -> Generator[InfluxReader]:
    """Open a bucket for reading; nothing is asked of it yet.

    Args:
        url: Where InfluxDB is.
        token: Allows to read the bucket.
        org: The organisation that the bucket belongs to.
        bucket: Where the points are.
    """
    with InfluxDBClient(url, token, org=org, timeout=TIMEOUT_MS) as client:
        yield InfluxReader(client, bucket)


def _named(device: str, quantity: str) -> str:
    names = escape_flux(stored_tag(device)), escape_flux(stored_tag(quantity))
    return f"r.device == {names[0]} and r.quantity == {names[1]}"


def _order(series: Series) -> tuple[str, str, str, str]:
    return series.device, series.quantity, series.subject, series.kind


def _tags_of(row: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in row.items() if text and name[:1] != "_" and name not in _NO_TAGS}


def _series_of(row: Mapping[str, str]) -> Series:
    """Return a row's series. Tags that are not ours make it one of a kind that no device has."""
    kind, tags = row["_measurement"], _tags_of(row)
    foreign = ", ".join(f"{name}={tags[name]}" for name in sorted(tags.keys() - TAGS))
    if foreign:
        kind += " with " + foreign
    device, subject, quantity = (decode_tag(tags.get(name, "")) for name in ("device", "subject", "quantity"))
    return Series(kind, device, subject, quantity)


def _place_of(row: Mapping[str, str]) -> _Place:
    return _Place(_series_of(row), parse_ns(row["_time"]))


def _audited(place: _Place) -> PointPlace:
    series = place.series
    return PointPlace(series.device, series.subject, series.quantity, place.time_ns // 1000)


def _merge(rows: Iterable[Mapping[str, str]], wanted: set[PointPlace] | None = None) -> list[Point]:
    """Join values with their references, and return points by series and time."""
    found: dict[_Place, _Fields] = {}
    for row in rows:
        place = _place_of(row)
        if wanted is not None and _audited(place) not in wanted:
            continue
        fields = found.setdefault(place, _Fields())
        if row["_field"] == "value":
            fields.value = float(row["_value"])
        else:
            fields.ref = int(row["_value"])
    ordered = sorted(found.items(), key=lambda item: (*_order(item[0].series), item[0].time_ns))
    return [_point(place, fields) for place, fields in ordered]


def _point(place: _Place, fields: _Fields) -> Point:
    series, (time_us, beside_ns) = place.series, divmod(place.time_ns, 1000)
    kind = f"{series.kind} {beside_ns} ns late" if beside_ns else series.kind
    value = float("nan") if fields.value is None else fields.value
    ref = NO_REF if fields.ref is None else fields.ref
    return Point(kind, series.device, series.subject, series.quantity, time_us, value, ref)


def _windows(places: Sequence[PointPlace]) -> Iterator[list[PointPlace]]:
    """Yield places in time order, apart where the widest gaps between them are."""
    ordered = sorted(places, key=lambda place: place.time_us)
    gaps = [(later.time_us - place.time_us, at) for at, (place, later) in enumerate(pairwise(ordered), 1)]
    wide = sorted((gap for gap in gaps if gap[0] * 1000 > GAP_NS), reverse=True)[: WINDOWS_MAX - 1]
    cuts = [0, *sorted(at for _, at in wide), len(ordered)]
    yield from (ordered[start:end] for start, end in pairwise(cuts) if start < end)


def _may_write(authorization: Any) -> bool:
    return authorization.status == "active" and any(
        each.action == "write" and each.resource.type == "buckets" for each in authorization.permissions
    )
