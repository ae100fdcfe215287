"""The world disagrees with a Gaussian plume as the real air does: not more, and above all not less.

`python bench/world.py` measures it on every scenario with twenty seeds; docs/world.md has the figures.
"""

from dataclasses import replace

import numpy as np
import pytest

from tests.world.air.comparison import Pairs, joined, run, scores


def test_scores_by_hand() -> None:
    """Four pairs with ratios 1, 2, 1/4 and nothing; a fifth is below the threshold for the model only."""
    pairs = Pairs(
        world=np.array([1.0, 2.0, 1.0, 0.0, 8.0]),
        model=np.array([1.0, 1.0, 4.0, 2.0, 0.05]),
        kind=np.full(5, "small"),
        hours=1,
    )
    found = scores(pairs, 0.1)
    assert (found.number, found.fac2) == (4, 0.5)
    assert found.fb == pytest.approx(2.0 * (4.0 - 8.0) / (4.0 + 8.0))
    assert found.nmse == pytest.approx((0.0 + 1.0 + 9.0 + 4.0) / 4.0 / (1.0 * 2.0))
    logs = np.log([1.0, 2.0, 0.25, 0.1 / 2.0])
    assert found.mg == pytest.approx(np.exp(logs.mean()))
    assert found.vg == pytest.approx(np.exp((logs**2).mean()))
    assert scores(pairs, 0.1, either=True).fac2 == pytest.approx(0.4)


def test_the_world_is_no_gaussian_plume() -> None:
    """Two hours of two seeds: within a factor of two for 40 to 90 %, biased by less than a factor of two.

    Paired with the plume of another place, the same concentrations agree far less: the measure sees places.
    """
    pairs = joined([run("stack-leak", seed, 2, 6.0 * seed) for seed in (1, 2)])
    found = scores(pairs)
    assert pairs.hours == 4
    assert found.number > 100
    assert 0.4 < found.fac2 < 0.9
    assert 0.5 < found.mg < 2.0
    assert found.vg > 1.1
    shuffled = np.random.default_rng(1).permutation(pairs.world)
    assert scores(replace(pairs, world=shuffled)).fac2 < 0.5 * found.fac2
