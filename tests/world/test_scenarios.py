"""The scenarios: the ten that were agreed, complete, in two languages, and frozen."""

import hashlib
import json

import numpy as np
import pytest

from devices.world import facilities
from devices.world.district import stations
from devices.world.scenarios import LeakPlan, Scenario, scenario, scenarios, version
from pipeline.wire.errors import InputError

NAMES = [
    "calm",
    "haze",
    "drift",
    "rush",
    "stack-leak",
    "two-sources",
    "unlisted-source",
    "river-spill",
    "network-contamination",
    "broken-reefer",
]
FROZEN = (1, "f67778c579a3d3ff")
LEAKY = [name for name in NAMES if scenario(name).leaks]


def test_the_agreed_scenarios_are_there() -> None:
    """All ten, in their order, none besides."""
    assert list(scenarios()) == NAMES


def test_the_difficulty_is_frozen() -> None:
    """Every number of every scenario, defaults included, is that of its version."""
    resolved = [
        found.model_dump(mode="json", exclude={"title", "description"}) for found in scenarios().values()
    ]
    digest = hashlib.sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest()
    assert (version(), digest[:16]) == FROZEN, "raise `version` in scenarios.toml, then write both here"


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_speaks_both_languages_and_has_a_start(name: str) -> None:
    """Title and description in English and Chinese; a start on a whole minute with its offset."""
    found = scenario(name)
    assert found.name == name
    for words in (found.title, found.description):
        assert words.en.isascii()
        assert any("\u4e00" <= character <= "\u9fff" for character in words.zh)
    assert found.start.utcoffset() is not None
    assert found.start.timestamp() % 60.0 == 0.0


def test_an_unknown_scenario_is_an_input_error_that_names_the_known() -> None:
    """A wrong name says what there is."""
    with pytest.raises(InputError, match="stack-leak") as refused:
        scenario("earthquake")
    assert refused.value.place == "scenario earthquake"


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": "red"},
        {"leaks": [{"quantity": "so2", "place": "listed", "onset_s": [9.0, 3.0]}]},
        {"leaks": [{"quantity": "soot"}]},
        {"start": "2026-01-01T00:00:00"},
        {"air": {"wind": {"sped_m_s": [1.0, 2.0]}}},
        {"fleet": {"trucks": 0}},
    ],
    ids=["unknown", "range-reversed", "quantity", "no-offset", "air-typo", "no-trucks"],
)
def test_a_mistake_in_the_file_is_refused(wrong: dict[str, object]) -> None:
    """Unknown settings, reversed ranges and times without an offset do not load."""
    plan = scenario("calm").model_dump() | wrong
    with pytest.raises(ValueError, match="validation error"):
        Scenario.model_validate(plan)


@pytest.mark.parametrize("name", LEAKY)
def test_leaks_keep_to_their_plan(name: str) -> None:
    """Over 50 seeds: as many leaks as planned, inside every range, on the list or off it, apart."""
    found = scenario(name)
    plants = {plant.name: plant for plant in facilities.PLANTS}
    sensors = [station for station in stations(trucks=1, drift=1.0) if station.kind == "air"]
    chosen = set()
    for seed in range(50):
        wind_from_deg = 7.2 * seed
        leaks = facilities.draw_leaks(seed, 0.0, found.leaks, sensors, wind_from_deg)
        (plan,) = found.leaks
        assert len(leaks) == plan.count
        for leak in leaks:
            assert plan.onset_s[0] <= leak.onset_s <= plan.onset_s[1]
            assert plan.duration_s[0] <= leak.end_s - leak.onset_s <= plan.duration_s[1]
            assert plan.rate_g_s[0] <= leak.rate_g_s <= plan.rate_g_s[1]
            assert plan.height_m[0] <= leak.z_m <= plan.height_m[1]
            nearest = min(np.hypot(p.x_m - leak.x_m, p.y_m - leak.y_m) for p in facilities.PLANTS)
            if plan.place == "listed":
                assert leak.plant is not None
                assert (leak.x_m, leak.y_m) == (plants[leak.plant].x_m, plants[leak.plant].y_m)
            else:
                assert leak.plant is None
                assert nearest >= 250.0
            blown = np.radians(wind_from_deg + 180.0)
            ahead = [(s.x_m - leak.x_m) * np.sin(blown) + (s.y_m - leak.y_m) * np.cos(blown) for s in sensors]
            assert sum(100.0 < metres < 2600.0 for metres in ahead) >= 3
            chosen.add((leak.x_m, leak.y_m))
        if len(leaks) == 2:
            assert np.hypot(leaks[0].x_m - leaks[1].x_m, leaks[0].y_m - leaks[1].y_m) >= 800.0
    assert len(chosen) > 12


def test_a_leak_emits_in_its_window_only() -> None:
    """The source that the air is given has the leak's rate, place and window, and nothing else."""
    plan = LeakPlan(
        quantity="so2",
        place="listed",
        onset_s=(60.0, 60.0),
        duration_s=(600.0, 600.0),
        rate_g_s=(5.0, 5.0),
        height_m=(9.0, 9.0),
    )
    (leak,) = facilities.draw_leaks(1, 1000.0, (plan,), stations(trucks=1, drift=1.0), 90.0)
    source = leak.source()
    assert source.rates_g_s == {"so2": pytest.approx(5.0)}
    assert source.schedule.windows_s == ((leak.onset_s, leak.end_s),)
    assert (leak.onset_s, leak.end_s) == (1060.0, 1660.0)
    assert source.z_m == 9.0
