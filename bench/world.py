"""Measure how far the simulated air and a Gaussian plume disagree.

    python bench/world.py --seeds 20

lets every scenario but `calm` run for two hours with each seed, a quarter of the seeds from the scenario's
usual start, the others 6, 12 and 18 hours later, and compares what each source adds at each receptor, hour by
hour, with Briggs's urban plume in the true mean wind (tests/world/air/comparison.py). Prints the tables of
docs/world.md; brackets hold 95 % of 2000 draws of as many seeds. Exit 1 where FAC2 leaves what reality shows.
"""

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np

from devices.world.scenarios import scenarios
from tests.world.air.comparison import SHARE, Pairs, Scores, joined, run, scores

AS_REALITY = 0.5, 0.9
DRAWS = 2000
STARTS_H = 0, 6, 12, 18
SHARES = 0.03, 0.1, 0.3, 1.0


def main() -> int:
    """Run, print, and say whether all is as it should be."""
    names = [name for name in scenarios() if name != "calm"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20, help="how many, from 1 on")
    parser.add_argument("--hours", type=int, default=2, help="of each run")
    parser.add_argument("--scenario", action="append", choices=names, help="only this one; may be repeated")
    arguments = parser.parse_args()
    found = {name: measure(name, arguments.seeds, arguments.hours) for name in arguments.scenario or names}
    by_seed = [joined(of_one_seed) for of_one_seed in zip(*found.values(), strict=True)]
    every = joined(by_seed)
    print(table("scenario", found))
    print(
        table(
            "source",
            {str(kind): [of_kind(pairs, kind) for pairs in by_seed] for kind in np.unique(every.kind)},
        )
    )
    print(table("start", {f"+{start_h} h": of_start(by_seed, start_h) for start_h in STARTS_H}))
    print(thresholds(every))
    fac2 = [scores(joined(of_seeds)).fac2 for of_seeds in found.values()]
    return 0 if AS_REALITY[0] <= min(fac2) and max(fac2) <= AS_REALITY[1] else 1


def measure(name: str, seeds: int, hours: int) -> list[Pairs]:
    """Return the pairs of each seed of a scenario."""
    found = []
    for seed in range(1, seeds + 1):
        began = time.process_time()
        found.append(run(name, seed, hours, STARTS_H[seed % len(STARTS_H)]))
        fac2 = scores(found[-1]).fac2 if found[-1].hours else float("nan")
        print(
            f"{name} {seed}: FAC2 {fac2:.2f}, {time.process_time() - began:.1f} s",
            file=sys.stderr,
            flush=True,
        )
    return found


def of_kind(pairs: Pairs, kind: str) -> Pairs:
    """Return the pairs of one kind of source."""
    chosen = pairs.kind == kind
    return Pairs(pairs.world[chosen], pairs.model[chosen], pairs.kind[chosen], pairs.hours)


def of_start(by_seed: Sequence[Pairs], start_h: int) -> list[Pairs]:
    """Return those seeds' pairs that started so many hours late."""
    return [pairs for seed, pairs in enumerate(by_seed, 1) if STARTS_H[seed % len(STARTS_H)] == start_h]


def table(what: str, found: dict[str, list[Pairs]]) -> str:
    """Return a row for each entry: the scores of all its seeds, with intervals."""
    head = f"| {what} | hours | pairs | FAC2 | FB | NMSE | MG | VG |\n|---|---|---|---|---|---|---|---|\n"
    return head + "".join(
        row(name, seen) for name, of_seeds in found.items() if (seen := in_plumes(of_seeds))
    )


def in_plumes(of_seeds: Sequence[Pairs]) -> list[Pairs]:
    """Return those with pairs to score."""
    return [pairs for pairs in of_seeds if np.any(pairs.model >= SHARE)]


def row(name: str, of_seeds: Sequence[Pairs]) -> str:
    """Return one row of a table."""
    every = joined(of_seeds)
    low, high = intervals(of_seeds)
    cells = [f"{name}", f"{every.hours}", f"{scores(every).number}"]
    for score, at_least, at_most in zip(scores(every)[1:], low, high, strict=True):
        cells.append(f"{score:.2f} [{at_least:.2f}, {at_most:.2f}]")
    return f"| {' | '.join(cells)} |\n"


def intervals(of_seeds: Sequence[Pairs]) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the intervals that hold 95 % of the scores of drawn seeds; without the number."""
    draw = np.random.default_rng(1)
    drawn = [
        scores(joined([of_seeds[i] for i in draw.integers(len(of_seeds), size=len(of_seeds))]))
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(np.array(drawn)[:, 1:], (0.025, 0.975), axis=0)
    return low, high


def thresholds(pairs: Pairs) -> str:
    """Return what FAC2 would be with other thresholds."""
    lines = [
        "| threshold, detection limits | pairs | FAC2, model above | pairs | FAC2, either above |",
        "|---" * 5 + "|",
    ]
    for share in SHARES:
        above: list[Scores] = [scores(pairs, share), scores(pairs, share, either=True)]
        lines.append(f"| {share} | " + " | ".join(f"{one.number} | {one.fac2:.2f}" for one in above) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
