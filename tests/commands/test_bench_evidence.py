"""`cityproof bench evidence`: the city that it makes up is a city, and its evidence holds."""

from pipeline.commands.bench.evidence import (
    DEVICES,
    GOALS,
    SHARDS,
    lay_out,
    make_city,
    make_evidence,
    verify_bare,
    verify_evidence,
)
from pipeline.identity.authorities import Authorities
from pipeline.verify.fsck import LogCheck


def test_its_log_is_one_that_anyone_may_check() -> None:
    """Clean to the last byte; every device sends each interval, in blocks of a few statements."""
    city = make_city(3)
    check = LogCheck(city.log.files.get, city.policy, city.authorities)
    assert list(check.run()) == []
    assert check.tally.statements == DEVICES + 3 * DEVICES
    assert isinstance(city.authorities, Authorities)
    assert 3 * (SHARDS - 1) * 10 < len(city.log.entries) < 3 * DEVICES


def test_what_it_measures_is_the_same_statements() -> None:
    """One device's, all of them, by evidence and by the bare loop."""
    city = make_city(6)
    data = make_evidence(city, city.devices[0], 1, 5)
    assert verify_evidence(data, city) > 0
    assert len(city.raw) == len(lay_out(city, city.raw)) == 6
    assert verify_bare(lay_out(city, city.raw)) > 0


def test_the_size_goal_is_met_within_a_quarter_of_an_hour() -> None:
    """What stands in a file once weighs most in a short one; a day is well below."""
    city = make_city(92)
    data = make_evidence(city, city.devices[0], 1, 91)
    assert len(data) <= GOALS["size"] * sum(map(len, city.raw))
