"""`cityproof trace`: from readings to where the pollution came from."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import need

trace_app = typer.Typer(no_args_is_help=True, help="Trace pollution to its source.")


@trace_app.command(
    "air",
    epilog="Example: cityproof trace air --observations o.csv --wind w.csv --candidates c.csv --out a.json",
)
def trace_air(
    observations: Annotated[Path, typer.Option(help="time,sensor,x_m,y_m,z_m,quantity,value,unit")],
    wind: Annotated[Path, typer.Option(help="time,speed_m_s,from_deg; one row is valid.")],
    out: Annotated[Path, typer.Option(help="Where the answer goes, as JSON.")],
    candidates: Annotated[Path | None, typer.Option(help="name,x_m,y_m: what may be the source.")] = None,
    bounds: Annotated[str | None, typer.Option(help="Where to look: x0,y0,x1,y1 in metres.")] = None,
    release_from: Annotated[
        str | None, typer.Option(help="When it began; default: with the readings.")
    ] = None,
    release_to: Annotated[str | None, typer.Option(help="When it ended; default: with the readings.")] = None,
    quantity: Annotated[str | None, typer.Option(help="Which, if the file has several.")] = None,
    source_height: Annotated[str, typer.Option(help="LOW,HIGH in metres.")] = "1,4.5",
    background: Annotated[str, typer.Option(help="fit, or what clean air holds, in g/m3.")] = "fit",
    wind_error_deg: Annotated[
        float, typer.Option(min=0.5, help="How wrong the direction may be, sd.")
    ] = 10.0,
) -> None:
    """Say where a release came from and how strong it was, from readings and wind in CSV files."""
    need("numba", "tracing")
    from pipeline.commands.trace_air import Question, run

    raise typer.Exit(
        run(
            Question(
                observations, wind, candidates, bounds, release_from, release_to, quantity, source_height,
                background, wind_error_deg, out,
            )
        )
    )  # fmt: skip


@trace_app.command(
    "network",
    epilog="Example: cityproof trace network --inp Net3.inp --observations o.csv --out a.json",
)
def trace_network(
    inp: Annotated[Path, typer.Option(help="The network, as EPANET's input file.")],
    observations: Annotated[
        Path, typer.Option(help="time,node,quantity,value,unit; or time,node,positive; sd if known.")
    ],
    out: Annotated[Path, typer.Option(help="Where the answer goes, as JSON.")],
    start: Annotated[
        str | None, typer.Option(help="When the file's hour 0 is; default: midnight before, UTC.")
    ] = None,
    quantity: Annotated[str | None, typer.Option(help="Which, if the file has several.")] = None,
    background: Annotated[str, typer.Option(help="fit, or what clean water holds, in g/m3.")] = "fit",
    demand_cv: Annotated[float, typer.Option(min=0.0, max=1.0, help="How far demands err.")] = 0.1,
    members: Annotated[int, typer.Option(min=1, max=200, help="Draws of the demands.")] = 16,
    decay: Annotated[float, typer.Option(min=0.0, help="What decays, per day.")] = 0.0,
    false_rates: Annotated[
        str, typer.Option(help="P,N: how often a clean sample is positive, a dirty one not.")
    ] = "0.05,0.05",
    seed: Annotated[int, typer.Option(help="Decides the draws of the demands.")] = 7,
) -> None:
    """Say where in a network of pipes a contamination entered, since when, and where to sample next."""
    need("numba", "tracing")
    need("epanet", "tracing")
    from pipeline.commands.trace_network import Question, run

    raise typer.Exit(
        run(
            Question(
                inp, observations, out, start, quantity, background, demand_cv, members, decay, false_rates,
                seed,
            )
        )
    )  # fmt: skip
