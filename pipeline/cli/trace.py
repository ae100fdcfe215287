"""`cityproof trace`: from readings to where the pollution came from."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import LATEST, Authorities, Config, Policy, need
from pipeline.wire.errors import InputError

trace_app = typer.Typer(no_args_is_help=True, help="Trace pollution to its source.")


@trace_app.command(
    "air",
    epilog="Example: cityproof trace air --observations o.csv --wind w.csv --candidates c.csv --out a.json",
)
def trace_air(
    out: Annotated[Path, typer.Option(help="Where the answer goes, as JSON.")],
    observations: Annotated[
        Path | None, typer.Option(help="time,sensor,x_m,y_m,z_m,quantity,value,unit; or lon,lat.")
    ] = None,
    wind: Annotated[Path | None, typer.Option(help="time,speed_m_s,from_deg; one row is valid.")] = None,
    candidates: Annotated[Path | None, typer.Option(help="name,x_m,y_m: what may be the source.")] = None,
    bounds: Annotated[str | None, typer.Option(help="Where to look: x0,y0,x1,y1 in metres.")] = None,
    origin: Annotated[str | None, typer.Option(help="lon,lat that x and y are counted from.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="Readings from here on; ISO 8601.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Readings before this.")] = None,
    release_from: Annotated[str | None, typer.Option(help="When it began, if that is known.")] = None,
    release_to: Annotated[str | None, typer.Option(help="When it ended, if that is known.")] = None,
    quantity: Annotated[str | None, typer.Option(help="Which, if there are several.")] = None,
    source_height: Annotated[
        str | None, typer.Option(help="LOW,HIGH of sources, metres above ground; default: 1,4.5.")
    ] = None,
    background: Annotated[
        str, typer.Option(help="fit, or what clean air reads, in the readings' unit.")
    ] = "fit",
    max_sources: Annotated[int, typer.Option(min=1, max=5, help="How many at once are tried.")] = 2,
    wind_error_deg: Annotated[
        float, typer.Option(min=0.5, help="How wrong the direction may be, sd.")
    ] = 10.0,
    seed: Annotated[int, typer.Option(help="Kept in the answer; nothing is drawn by chance.")] = 0,
    report: Annotated[Path | None, typer.Option(help="A printable page, as HTML.")] = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Trace a city's stored points: its folder.")
    ] = None,
    area: Annotated[str | None, typer.Option(help="Of stored points: sensors of this area only.")] = None,
    config: Config = None,
    policy: Policy = None,
    authorities: Authorities = None,
) -> None:
    """Say where a release came from, since when and how strong: from files, or from stored points."""
    need("numba", "tracing")
    if report is not None:
        need("plotly", "tracing")
    from pipeline.commands.trace_air import Options, run

    options = Options(
        out=out, candidates=candidates, bounds=bounds, origin=origin, first=first, end=end,
        release_from=release_from, release_to=release_to, quantity=quantity, source_height=source_height,
        background=background, max_sources=max_sources, wind_error_deg=wind_error_deg, seed=seed,
        report=report,
    )  # fmt: skip
    if observations is None and wind is None and (directory or area or config):
        from pipeline.commands.reading import trust_file
        from pipeline.commands.stores import city_of
        from pipeline.commands.trace_stored import Trust, run_stored
        from pipeline.commands.verify import load_authorities, load_policy

        city = city_of(directory or LATEST, config)
        root = str(city.folder.root)
        trust = Trust(
            load_policy(trust_file(root, policy, "policy.txt")),
            load_authorities(trust_file(root, authorities, "authorities.txt")),
        )
        raise typer.Exit(run_stored(city, trust, area, options))
    if observations is None or wind is None:
        remedy = "Name both files, or a city's folder with --dir and neither."
        raise InputError("--observations, --wind", "one of them is missing", remedy)
    raise typer.Exit(run(observations, wind, options))


@trace_app.command("rerun", epilog="Example: cityproof trace rerun a.trace")
def trace_rerun(
    file: Annotated[Path, typer.Argument(help="What `cityproof trace air --dir` left.")],
    policy: Policy = None,
    authorities: Authorities = None,
) -> None:
    """Verify a trace's evidence and trace again. Exit 0: the posterior is the same; 1: it is another one."""
    need("numba", "tracing")
    from pipeline.commands.trace_stored import Trust, rerun
    from pipeline.commands.verify import beside, load_authorities, load_policy

    trust = Trust(
        load_policy(policy or beside([file], "policy.txt")),
        load_authorities(authorities or beside([file], "authorities.txt")),
    )
    raise typer.Exit(rerun(file, trust))


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
