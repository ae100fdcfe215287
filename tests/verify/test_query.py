"""Queries: one way to write each, and what each one asks for."""

from typing import Any

import pytest

from pipeline.verify.completeness import Span
from pipeline.verify.query import TIME_MAX_US, Query, describe_query, parse_query, query_fields
from pipeline.wire.errors import VerificationError
from pipeline.wire.quantities import QUANTITIES
from pipeline.wire.reasons import Reason

DEVICE, OTHER = "urn:dev:ops:32473-air-1", "urn:dev:ops:32473-air-2"
FULL: dict[int, Any] = {
    1: [DEVICE, OTHER],
    2: ["station 1", "车站"],
    3: ["north"],
    4: ["no2", "o3"],
    5: 0,
    6: TIME_MAX_US,
}


def test_a_query_goes_there_and_back() -> None:
    """What is not restricted is not there."""
    query = parse_query(FULL)
    assert query == Query(
        frozenset({DEVICE, OTHER}),
        frozenset({"station 1", "车站"}),
        frozenset({"north"}),
        frozenset({"no2", "o3"}),
        Span(0, TIME_MAX_US),
    )
    assert query_fields(query) == FULL
    assert query_fields(Query()) == {}
    assert parse_query({}) == Query()


@pytest.mark.parametrize(
    "change",
    [
        {0: 1},
        {7: 1},
        {"1": [DEVICE]},
        {1: []},
        {1: DEVICE},
        {1: [OTHER, DEVICE]},
        {1: [DEVICE, DEVICE]},
        {1: [DEVICE, 5]},
        {1: ["https://bureau.example/"]},
        {2: [""]},
        {2: ["a\x00"]},
        {3: ["x" * 129]},
        {4: ["no3"]},
        {5: -1},
        {5: True},
        {5: 1.0},
        {6: TIME_MAX_US + 1},
        {5: 10, 6: 10},
        {5: 11, 6: 10},
    ],
)
def test_what_is_no_query(change: dict[Any, Any]) -> None:
    """Names in another order, twice, of no such thing; times that are none."""
    with pytest.raises(VerificationError) as refused:
        parse_query(FULL | change)
    assert refused.value.reason is Reason.EVIDENCE_QUERY


def test_times_reach_to_the_end_of_those_that_packs_admit() -> None:
    """2^33 seconds; either bound may stand alone."""
    assert TIME_MAX_US == 2**33 * 10**6
    assert parse_query({5: 10}).span == Span(10, None)
    assert parse_query({6: 10}).span == Span(None, 10)


def test_every_quantity_may_be_asked_for() -> None:
    """All of the table at once."""
    assert parse_query({4: sorted(QUANTITIES)}).quantities == QUANTITIES.keys()


def test_what_is_asked_for_is_said_to_people() -> None:
    """A line for each restriction, none where there is none."""
    assert describe_query(parse_query(FULL)) == [
        f"device {DEVICE}, {OTHER}",
        "subject station 1, 车站",
        "area north",
        "quantity no2, o3",
    ]
    assert describe_query(Query()) == []


def test_only_a_map_is_a_query() -> None:
    """Nothing else."""
    others: list[object] = [[], 0, None, "all"]
    for fields in others:
        with pytest.raises(VerificationError):
            parse_query(fields)


def test_what_is_asked_for() -> None:
    """One name of each kind must fit, and the time from the first to before the end."""
    query = Query(frozenset({DEVICE}), frozenset({"a"}), frozenset({"north"}), frozenset({"no2"}), Span(5, 9))
    assert query.wants_signer(DEVICE, "north")
    assert not query.wants_signer(OTHER, "north")
    assert not query.wants_signer(DEVICE, "south")
    assert query.wants_subject("a")
    assert not query.wants_subject("b")
    assert [query.wants_record("no2", time) for time in (4, 5, 8, 9)] == [False, True, True, False]
    assert not query.wants_record("o3", 6)
    everything = Query()
    assert everything.wants_signer(OTHER, "x")
    assert everything.wants_subject("x")
    assert everything.wants_record("o3", 0)
