"""`cityproof bench tracing`: field trials traced, and scored beside what others reach."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from pipeline.commands.bench import folds
from pipeline.commands.bench.hours import lines, score_hours
from pipeline.commands.bench.robustness import HARMS, harmed
from pipeline.commands.bench.scores import HEADER, Score, row, score
from pipeline.commands.bench.trials import Trial, aded, prairie_grass
from pipeline.tracing.settings import Settings, fingerprint
from pipeline.wire.errors import InputError

DRAWS, DRAWS_FULL = 1, 3
FAR_M = 200.0
EVERY = 5  # Of the runs at Prairie Grass, to learn on
# What others reach on the same data: median error, share of rates within a factor of two.
ANCHORS = (
    "ADED, pyELQ 17.2 m, rate x2 65 %; plain grid Bayes 8.4 m, 71 %; lognormal errors 5.5 m, log score -6.80",
    "Prairie Grass, plain grid Bayes 11 m on all arcs, 60 m on arcs from 200 m",
)


def run(data: Path, *, full: bool, as_json: bool) -> int:
    """Trace every trial, and print one table; `full`: more draws, folds, bagging and harm as well."""
    _check(data)
    found: dict[str, list[Score]] = {}
    if not as_json:
        print(
            f"settings {fingerprint(Settings(0.0, 0.0, (0.0, 0.0, 0.0, 0.0)))}", HEADER, sep="\n", flush=True
        )
    for name, scored in _rows(data, full=full):
        found[name] = scored
        if not as_json:
            print(row(name, scored), flush=True)
    week = score_hours(list(aded(data / "aded2022")))
    if as_json:
        table = {name: [asdict(one) for one in scores] for name, scores in found.items()}
        print(json.dumps(table | {"ADED 2022, no hours given": asdict(week)}))
        return 0
    print(*lines(week), *ANCHORS, sep="\n")
    print(f"folds {folds.fingerprint(folds.LEARNT)}: {json.dumps(folds.LEARNT)}")
    return 0


def _check(data: Path) -> None:
    if not (data / "aded2022").is_dir():
        raise InputError(
            str(data), "no field trials there", "Name the folder that holds aded2022 with --data."
        )


def _rows(data: Path, *, full: bool) -> Iterator[tuple[str, list[Score]]]:
    week, grass, draws = list(aded(data / "aded2022")), data / "prairie-grass", DRAWS_FULL if full else DRAWS
    arcs = {"": list(prairie_grass(grass, 0.0, draws)), " >= 200 m": list(prairie_grass(grass, FAR_M, draws))}
    score(week[1])  # Compiled code is loaded once a process.
    yield "ADED 2022", _scored(week)
    for far, trials in arcs.items():
        yield f"Prairie Grass{far}", _scored(trials)
    if not full:
        return
    yield "ADED, learnt on Prairie Grass", _scored(folds.retold(week, folds.LEARNT["Prairie Grass"]))
    for far, trials in arcs.items():
        yield f"Prairie Grass{far}, learnt on ADED", _scored(folds.retold(trials, folds.LEARNT["ADED"]))
    yield "ADED, bagged", [folds.bagged(trial, n) for n, trial in enumerate(week)]
    for name, harm in HARMS.items():
        yield f"ADED, {name}", _scored(list(harmed(week, harm)))


def _scored(trials: list[Trial]) -> list[Score]:
    return [score(trial) for trial in trials]


def learn(data: Path) -> int:
    """Choose settings on each data set alone, and print them as `folds.LEARNT` is to hold them."""
    _check(data)
    grass = data / "prairie-grass"
    sets = {
        "ADED": list(aded(data / "aded2022")),
        "Prairie Grass": [
            trial for least_m in (0.0, FAR_M) for trial in list(prairie_grass(grass, least_m, 1))[::EVERY]
        ],
    }
    learnt = {}
    for name, trials in sets.items():
        print(name, flush=True)
        learnt[name] = folds.learn(trials, lambda line: print("  " + line, flush=True))
    print(json.dumps(learnt), folds.fingerprint(learnt))
    return 0
