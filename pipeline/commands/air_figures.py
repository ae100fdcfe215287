"""Figures of a trace: the only place that knows plotly."""

import math
from datetime import UTC, datetime

import numpy as np
import plotly.graph_objects as go

from pipeline.tracing.events import Event
from pipeline.tracing.grid import smallest_region
from pipeline.tracing.problem import Candidate, Observations, Wind
from pipeline.tracing.views import Field, Polar, Sectors

SIZE = {"height": 420, "margin": {"l": 60, "r": 20, "t": 40, "b": 50}}
CONFIG = {"displayModeBar": False}
SERIES_MOST = 10  # Of many sensors those that rise highest are drawn.
POINTS_MOST = 4000  # Of one line; more would only make the page heavy.


def short_names(names: tuple[str, ...]) -> list[str]:
    """Return names without what they all begin with, up to a mark between words."""
    first, last = min(names), max(names)
    alike = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    cut = max(first.rfind(mark, 0, alike) for mark in "-:/. ") + 1 if len(names) > 1 else 0
    return [name[cut:] for name in names]


def place_map(event: Event, seen: Observations, candidates: tuple[Candidate, ...], title: str) -> go.Figure:
    """Return where the source is: 90 % and 50 % regions over sensors and candidates."""
    figure = go.Figure()
    for n, source in enumerate(event.sources):
        mass = np.exp(source.log_mass)
        level = np.zeros_like(mass)
        for share, value in ((0.9, 1.0), (0.5, 2.0)):
            level[smallest_region(mass, share)] = value
        figure.add_trace(
            go.Heatmap(
                x=source.grid.x_m, y=source.grid.y_m, z=np.where(level > 0.0, level, math.nan), zmin=0.0,
                zmax=2.0, colorscale=[[0, "#ffffff"], [0.5, "#f6c48b"], [1, "#d7301f"]], showscale=False,
                opacity=0.85, name=f"{n + 1}", hoverinfo="x+y",
            )
        )  # fmt: skip
        figure.add_trace(_marks([source.x_m], [source.y_m], [f"{n + 1}"], "x", "#7f0000"))
    if seen.ends_m is not None:
        for begin, end in zip(seen.sensors_m, seen.ends_m, strict=True):
            if np.isfinite(end).all():
                line = {"x": [begin[0], end[0]], "y": [begin[1], end[1]]}
                figure.add_trace(go.Scatter(**line, mode="lines", line={"color": "#2b6cb0", "width": 2}))
    figure.add_trace(
        _marks(
            list(seen.sensors_m[:, 0]),
            list(seen.sensors_m[:, 1]),
            short_names(seen.names),
            "circle",
            "#2b6cb0",
        )
    )
    if candidates:
        xs, ys = [one.x_m for one in candidates], [one.y_m for one in candidates]
        figure.add_trace(_marks(xs, ys, [one.name for one in candidates], "diamond", "#444444"))
    _zoom(figure, event)
    return _square(figure, title)


def _zoom(figure: go.Figure, event: Event) -> None:
    """Show the sources' surroundings: of a wide district they are a dot."""
    x, y = [], []
    for source in event.sources:
        rows, columns = np.nonzero(smallest_region(np.exp(source.log_mass), 0.9))
        x += [source.grid.x_m[columns.min()], source.grid.x_m[columns.max()]]
        y += [source.grid.y_m[rows.min()], source.grid.y_m[rows.max()]]
    around = max(1.5 * max(max(x) - min(x), max(y) - min(y)), 60.0)
    figure.update_xaxes(range=[min(x) - around, max(x) + around])
    figure.update_yaxes(range=[min(y) - around, max(y) + around])


def _marks(x: list[float], y: list[float], text: list[str], symbol: str, colour: str) -> go.Scatter:
    marker = {"symbol": symbol, "size": 9, "color": colour}
    return go.Scatter(
        x=x, y=y, text=text, mode="markers+text", textposition="top center", marker=marker,
        textfont={"size": 10}, hoverinfo="text+x+y",
    )  # fmt: skip


def _square(figure: go.Figure, title: str) -> go.Figure:
    figure.update_layout(title=title, showlegend=False, plot_bgcolor="#fafafa", **SIZE)
    figure.update_xaxes(title="x / m", constrain="domain")
    figure.update_yaxes(title="y / m", scaleanchor="x", scaleratio=1)
    return figure


def field_map(field: Field, seen: Observations, title: str, unit: str) -> go.Figure:
    """Return a field over the ground, in powers of ten."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(field.values)
    finite = logs[np.isfinite(logs)]
    low, high = (float(q) for q in np.quantile(finite, [0.02, 0.98])) if finite.size else (0.0, 1.0)
    high = max(high, low + 0.5)
    ticks = np.linspace(low, high, 5)
    bar = {"title": unit, "tickvals": list(ticks), "ticktext": [f"{10.0**t:.2g}" for t in ticks]}
    figure = go.Figure(
        go.Heatmap(
            x=field.grid.x_m, y=field.grid.y_m, z=np.where(np.isfinite(logs), logs, math.nan), zmin=low,
            zmax=high, colorscale="YlOrRd", colorbar=bar,
        )
    )  # fmt: skip
    figure.add_trace(
        _marks(
            list(seen.sensors_m[:, 0]),
            list(seen.sensors_m[:, 1]),
            short_names(seen.names),
            "circle",
            "#2b6cb0",
        )
    )
    return _square(figure, title)


def series(seen: Observations, wind: Wind, events: tuple[Event, ...], title: str) -> go.Figure:
    """Return readings and wind over time, events shaded."""
    figure = go.Figure()
    names = short_names(seen.names)
    rises = [float(np.ptp(seen.value_g_m3[seen.sensor == j])) for j in range(len(names))]
    for j in sorted(sorted(range(len(names)), key=lambda k: -rises[k])[:SERIES_MOST]):
        name, mine = names[j], np.flatnonzero(seen.sensor == j)
        mine = mine[:: max(mine.size // POINTS_MOST, 1)]
        figure.add_trace(
            go.Scatter(x=_times(seen.start_s[mine]), y=seen.value_g_m3[mine] * 1e6, name=name, mode="lines")
        )
    for event in events:
        figure.add_vrect(
            x0=_times([event.onset.median])[0], x1=_times([event.end.median])[0], fillcolor="#d7301f",
            opacity=0.12, line_width=0,
        )  # fmt: skip
    rows = np.flatnonzero((wind.start_s >= seen.start_s.min()) & (wind.start_s <= seen.start_s.max()))
    rows = rows[:: max(rows.size // POINTS_MOST, 1)]
    figure.add_trace(
        go.Scatter(
            x=_times(wind.start_s[rows]), y=wind.from_deg[rows], name="wind / °", mode="markers", yaxis="y2",
            marker={"size": 2, "color": "#999999"},
        )
    )  # fmt: skip
    side = {
        "overlaying": "y",
        "side": "right",
        "range": [0, 360],
        "dtick": 90,
        "title": "wind from / °",
        "showgrid": False,
    }
    legend = {"orientation": "h", "y": -0.15}
    figure.update_layout(title=title, yaxis={"title": "µg/m³"}, yaxis2=side, legend=legend, **SIZE)
    return figure


def _times(seconds: "np.ndarray[tuple[int, ...], np.dtype[np.float64]] | list[float]") -> list[datetime]:
    return [datetime.fromtimestamp(float(s), UTC) for s in seconds]


def polar_map(polar: Polar, title: str) -> go.Figure:
    """Return a bivariate polar plot: mean reading by wind direction (angle) and speed (radius)."""
    figure = go.Figure()
    width = float(polar.from_deg[1] - polar.from_deg[0])
    middle = polar.from_deg[:-1] + 0.5 * width
    values = polar.values * 1e6
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    for ring in range(polar.values.shape[0]):
        here = np.isfinite(values[ring])
        step = float(polar.speed_m_s[ring + 1] - polar.speed_m_s[ring])
        figure.add_trace(
            go.Barpolar(
                r=np.where(here, step, 0.0), base=float(polar.speed_m_s[ring]), theta=middle, width=width,
                marker={
                    "color": np.where(here, values[ring], low), "cmin": low, "cmax": high,
                    "colorscale": "Turbo", "showscale": ring == 0, "colorbar": {"title": "µg/m³"},
                },
            )
        )  # fmt: skip
    axis = {"direction": "clockwise", "rotation": 90}
    figure.update_layout(title=title, showlegend=False, polar={"angularaxis": axis}, **SIZE)
    return figure


def sector_map(sectors: Sectors, title: str) -> go.Figure:
    """Return the conditional probability function."""
    width = float(sectors.from_deg[1] - sectors.from_deg[0])
    figure = go.Figure(go.Barpolar(r=np.nan_to_num(sectors.share), theta=sectors.from_deg, width=width))
    axis = {"direction": "clockwise", "rotation": 90}
    figure.update_layout(title=title, showlegend=False, polar={"angularaxis": axis}, **SIZE)
    return figure


def as_html(figure: go.Figure, *, with_script: bool) -> str:
    """Return a figure as a part of a page; the first one brings plotly's script along."""
    text: str = figure.to_html(full_html=False, include_plotlyjs=with_script, config=CONFIG)
    return text
