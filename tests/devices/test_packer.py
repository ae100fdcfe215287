"""Packing: every record once, in order, in packs that a statement may carry."""

from hypothesis import given
from hypothesis import strategies as st

from devices.packer import Packer
from pipeline.wire.senml import Record


def record(quantity: str, time_s: float, value: float = 1.0) -> Record:
    return Record(quantity, "ug/m3", value, time_s)


@given(
    places=st.lists(st.tuples(st.sampled_from(["pm2_5", "o3"]), st.integers(0, 30)), max_size=60),
    records_max=st.integers(1, 10),
    span_s=st.sampled_from([1.0, 5.0, float("inf")]),
    first_span_s=st.none() | st.just(2.0),
)
def test_every_record_once_in_order_in_admissible_packs(
    places: list[tuple[str, int]], records_max: int, span_s: float, first_span_s: float | None
) -> None:
    """No record is lost, moved or doubled; no pack is too long, too wide in time, or names a place twice."""
    packer = Packer(records_max, span_s, first_span_s)
    records = [record(quantity, float(time_s), float(at)) for at, (quantity, time_s) in enumerate(places)]
    packs = [pack for one in records for pack in packer.add([one])] + packer.flush()
    assert [one for pack in packs for one in pack] == records
    for number, pack in enumerate(packs):
        assert 1 <= len(pack) <= records_max
        limit_s = span_s if number or first_span_s is None else first_span_s
        assert all(abs(one.time_s - pack[0].time_s) < limit_s for one in pack)
        assert len({(one.quantity, one.time_s) for one in pack}) == len(pack)
    assert packer.flush() == []


def test_packs_are_as_full_as_they_may_be() -> None:
    """A pack ends for a reason only: its number, its span, or a place that it has."""
    packer = Packer(3, 10.0)
    packs = packer.add(record("o3", float(time_s)) for time_s in (0, 1, 2, 3, 4, 13, 13))
    assert [[one.time_s for one in pack] for pack in packs] == [[0.0, 1.0, 2.0], [3.0, 4.0], [13.0]]
    assert [one.time_s for one in packer.flush()[0]] == [13.0]
