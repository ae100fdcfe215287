"""`cityproof bench`: ratios, each measured in one run."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, need


class Compared(StrEnum):
    """What the pipeline is measured beside."""

    TELEGRAF = "telegraf"


bench_app = typer.Typer(no_args_is_help=True, help="Measure ratios, each in one run.")


@bench_app.command(epilog="Example: cityproof bench sealing --json")
def sealing(as_json: AsJson = False) -> None:
    """Measure what sealing costs beside bare signature checks. Exit 0: the goals are met; 1: not all."""
    from pipeline.commands.bench.sealing import run

    raise typer.Exit(run(as_json=as_json))


@bench_app.command("evidence", epilog="Example: cityproof bench evidence --hours 24 --json")
def bench_evidence(
    hours: Annotated[float, typer.Option(min=0.1, help="How long the city has run.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Measure evidence beside its raw statements and bare signature checks. Exit 0: the goals are met."""
    from pipeline.commands.bench.evidence import run

    raise typer.Exit(run(hours, as_json=as_json))


@bench_app.command(epilog="Example: cityproof bench growth --json")
def growth(as_json: AsJson = False) -> None:
    """Measure proofs, blocks and starts from 10^3 to 10^8 blocks. Exit 0: none outgrows log n; 1: one."""
    from pipeline.commands.bench.growth.run import run

    raise typer.Exit(run(as_json=as_json))


@bench_app.command("fsck", epilog="Example: cityproof bench fsck --json")
def bench_fsck(as_json: AsJson = False) -> None:
    """Measure what fsck costs beside bare signature checks. Exit 0: the goals are met; 1: not all."""
    from pipeline.commands.bench.fsck import run

    raise typer.Exit(run(as_json=as_json))


@bench_app.command("audit", epilog="Example: cityproof bench audit --json")
def bench_audit(as_json: AsJson = False) -> None:
    """Measure how many of an intruder's changes an audit finds, and how soon. Exit 0: all, and no other."""
    from pipeline.commands.bench.audit import run

    raise typer.Exit(run(as_json=as_json))


@bench_app.command("tracing", epilog="Example: cityproof bench tracing --data ../shared/tracing-data")
def bench_tracing(
    data: Annotated[Path, typer.Option(help="The folder of field trials.")] = Path("../shared/tracing-data"),
    full: Annotated[
        bool,
        typer.Option(help="Three draws of samplers instead of one; folds, bagging and robustness as well."),
    ] = False,
    learn: Annotated[
        bool, typer.Option(help="Choose settings on each data set alone, for the folds.")
    ] = False,
    scaling: Annotated[
        bool, typer.Option(help="Time and memory against sensors, minutes and cells instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Trace field trials whose releases are known, and score the answers beside what others reach."""
    need("numba", "tracing")
    if scaling:
        from pipeline.commands.bench import scaling as ladders

        raise typer.Exit(ladders.run(as_json=as_json))
    from pipeline.commands.bench import tracing

    raise typer.Exit(tracing.learn(data) if learn else tracing.run(data, full=full, as_json=as_json))


@bench_app.command("pipeline", epilog="Example: cityproof bench pipeline --compare telegraf --json")
def bench_pipeline(
    devices: Annotated[int, typer.Option(min=1, max=10_000, help="How many send.")] = 200,
    seconds: Annotated[float, typer.Option(min=2, help="How long each measurement lasts.")] = 60.0,
    compare: Annotated[
        Compared | None, typer.Option(help="Measure this beside it: the same records, unsigned.")
    ] = None,
    growth: Annotated[
        bool, typer.Option("--growth", help="From 10 to 1,000 devices, and from 1 to 8 shards.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure the services on the servers of `make stack`. Exit 0: the goals are met; 1: not all."""
    import uvloop

    from pipeline.commands.bench.pipeline import growth as growing
    from pipeline.commands.bench.pipeline.run import run

    if growth:
        raise typer.Exit(uvloop.run(growing.run(seconds, as_json=as_json)))

    raise typer.Exit(uvloop.run(run(devices, seconds, compare=compare is not None, as_json=as_json)))


@bench_app.command("fleet", epilog="Example: cityproof bench fleet --trucks 200 --hours 72 --json")
def bench_fleet(
    trucks: Annotated[int, typer.Option(min=20, max=999, help="How many trucks.")] = 200,
    hours: Annotated[float, typer.Option(min=6, help="For how long.")] = 72.0,
    seed: Annotated[int, typer.Option(help="Decides everything that is random.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Judge simulated trucks beside the truth. Exit 0: all found, nothing false, no dead logger in limits."""
    need("numpy", "demo")
    from pipeline.commands.bench.fleet import run

    raise typer.Exit(run(trucks, hours, seed, as_json=as_json))


@bench_app.command("hostile", epilog="Example: cityproof bench hostile --messages 100000 --json")
def bench_hostile(
    messages: Annotated[int, typer.Option(min=200, help="Of each class, and as many good ones.")] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Mix bad messages of every class with good ones. Exit 0: all stored, all kept, at 0.4 of the rate."""
    import uvloop

    from pipeline.commands.bench.pipeline.hostile import run

    raise typer.Exit(uvloop.run(run(messages, as_json=as_json)))
