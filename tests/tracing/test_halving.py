"""No step of quadrature matters: halved, it hardly changes a score."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.commands.bench.scores import score
from pipeline.commands.bench.trials import Trial, aded, prairie_grass

STEPS = ("direction_step", "width_step_ln", "swing_deg", "ring_ln", "spoke_deg", "puff_step", "rate_step")
LOG_SCORE, COVERAGE = 0.05, 0.03


@pytest.fixture(scope="module")
def trials(shared: Path) -> list[Trial]:
    """Return releases at METEC and runs of Prairie Grass."""
    folder = shared / "tracing-data"
    week = list(aded(folder / "aded2022"))
    grass = list(prairie_grass(folder / "prairie-grass", 0.0, 1))
    return [week[1], week[4], grass[20], grass[40]]


@pytest.fixture(scope="module")
def as_they_are(trials: list[Trial]) -> tuple[float, float]:
    """Return the mean log score and coverage with all steps as they are."""
    return scores(trials, {})


def scores(trials: list[Trial], steps: dict[str, float]) -> tuple[float, float]:
    """Return the mean log score and coverage with some steps changed."""
    found = [score(replace(one, settings=replace(one.settings, **steps), candidates=())) for one in trials]  # type: ignore[arg-type]
    return float(np.mean([one.log_density for one in found])), float(np.mean([one.covered for one in found]))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("step", STEPS)
def test_half_the_step_has_the_same_score(
    trials: list[Trial], as_they_are: tuple[float, float], step: str
) -> None:
    """The mean log score changes by less than 0.05, coverage by less than 0.03."""
    halved = scores(trials, {step: getattr(trials[0].settings, step) / 2.0})
    assert halved[0] == pytest.approx(as_they_are[0], abs=LOG_SCORE)
    assert halved[1] == pytest.approx(as_they_are[1], abs=COVERAGE)
