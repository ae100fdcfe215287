"""One printable page of a trace, in Chinese and English: what, where, when, how much, how sure, what next."""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.commands.air_answer import Inputs, iso
from pipeline.commands.air_figures import (
    as_html,
    field_map,
    place_map,
    polar_map,
    sector_map,
    series,
    short_names,
)
from pipeline.commands.air_limits import exceedances
from pipeline.tracing.events import Event, Found
from pipeline.tracing.problem import Settings
from pipeline.tracing.views import blind_area, conditional_probability, footprint, polar_plot
from pipeline.wire.quantities import QUANTITIES

GAPS_NAMED = 12
LIMITS_NAMED = 6
STYLE = """
body{font:14px/1.45 "Noto Sans","Noto Sans CJK SC","Microsoft YaHei",sans-serif;max-width:1000px;
margin:24px auto;padding:0 16px;color:#1a202c}h1{font-size:22px;margin:0 0 4px}
h2{font-size:16px;margin:22px 0 6px;border-bottom:2px solid #cbd5e0}
table{border-collapse:collapse;width:100%}td,th{border:1px solid #e2e8f0;
padding:4px 8px;text-align:left;vertical-align:top}th{background:#f7fafc;font-weight:600}.big{font-size:17px}
.warn{background:#fffaf0;border-left:4px solid #dd6b20;padding:6px 10px;margin:4px 0}.zh{color:#2d3748}
.two{display:grid;grid-template-columns:1fr 1fr;gap:8px}.note{color:#4a5568;font-size:12px}
@media print{body{margin:0;max-width:none}.figure,.two,table{break-inside:avoid}}
"""


def write_report(
    path: Path, answer: dict[str, Any], inputs: Inputs, found: Found, settings: Settings
) -> None:
    """Write the page. It holds everything: it opens and prints without a network."""
    page = "\n".join(_page(answer, inputs, found, settings))
    path.write_text(page, encoding="utf-8")


def _page(answer: dict[str, Any], inputs: Inputs, found: Found, settings: Settings) -> Iterator[str]:
    quantity = QUANTITIES.get(inputs.quantity)
    names = (quantity.name_zh, quantity.name_en) if quantity else (inputs.quantity, inputs.quantity)
    yield "<!doctype html><html lang='zh'><head><meta charset='utf-8'>"
    yield f"<title>{escape(names[0])}溯源报告 / Trace of {escape(names[1])}</title>"
    yield f"<style>{STYLE}</style></head><body>"
    yield f"<h1>{escape(names[0])}污染溯源报告 · Where {escape(names[1])} came from</h1>"
    yield f"<p class='note'>{answer['from']} – {answer['to']} (UTC) · {escape(answer['crs'])}</p>"
    yield from _headline(answer)
    script = True
    for n, event in enumerate(found.events):
        yield from _event(answer["events"][n], event, n)
        title = "可能位置:50 % 与 90 % 区域 · Where it is: regions of 50 % and 90 %"
        yield _figure(place_map(event, inputs.observations, inputs.candidates, title), script=script)
        script = False
    yield _head("监测数据与风 · Readings and wind")
    yield _figure(series(inputs.observations, inputs.wind, found.events, ""), script=script)
    yield from _views(inputs, found, settings)
    yield from _limits(inputs)
    yield from _missing(answer)
    yield from _evidence(answer)
    yield "</body></html>"


def _head(text: str) -> str:
    return f"<h2>{text}</h2>"


def _figure(figure: Any, *, script: bool = False) -> str:
    return f"<div class='figure'>{as_html(figure, with_script=script)}</div>"


def _headline(answer: dict[str, Any]) -> Iterator[str]:
    """Yield what a reader in a hurry takes away."""
    count = sum(event["p_count"][0] < 0.5 for event in answer["events"])
    if not count:
        yield "<p class='big'>未发现释放事件。<br>No release is seen in these readings.</p>"
        return
    yield f"<p class='big'>发现 {count} 次释放事件。<br>{count} release{'s' if count > 1 else ''} found.</p>"


def _event(told: dict[str, Any], event: Event, n: int) -> Iterator[str]:
    source = told["sources"][0]
    rate, listed = source["rate_g_s"], told["candidates"]
    yield _head(f"事件 {n + 1} · Event {n + 1}")
    yield "<table>"
    place = f"x {source['x_m']:.0f} m, y {source['y_m']:.0f} m"
    if "lon" in source:
        place += f" ({source['lon']:.6f}, {source['lat']:.6f})"
    area = source["area_0.9_m2"]
    much = f"{rate['median']:.3g} g/s (90 %: {rate['low']:.3g} – {rate['high']:.3g})"
    sure = f"存在释放 · a release: {1.0 - told['p_count'][0]:.1%}"
    rows = [
        ("何时 · When", f"{_span(told['onset'])}<br>→ {_span(told['end'])}"),
        ("何处 · Where", f"{place}<br>90 % 区域 · 90 % region: {area:,.0f} m²"),
        ("多少 · How much", f"{much} = {rate['median'] * 3.6:.3g} kg/h"),
        ("源数 · How many sources", ", ".join(f"{k}: {p:.1%}" for k, p in enumerate(told["p_count"]))),
        ("把握 · How sure", f"{sure}; e = e<sup>{told['log_e_value']:.1f}</sup>"),
    ]
    for k, other in enumerate(told["sources"][1:], 2):
        strength = f"{other['rate_g_s']['median']:.3g} g/s; P = {other['probability']:.1%}"
        at = f"x {other['x_m']:.0f} m, y {other['y_m']:.0f} m"
        rows.append((f"源 {k} · Source {k}", f"{at}; {strength}"))
    if listed:
        ranked = "<br>".join(f"{escape(one['name'])}: {one['probability']:.1%}" for one in listed[:5])
        ranked += f"<br>未列入清单的地点 · none of the list: {told['unknown_location']:.1%}"
        rows.append(("其他可能 · Alternatives", ranked))
    rows.append(("监测车去向 · Where to send the van", _van(event)))
    yield from (f"<tr><th style='width:24%'>{name}</th><td>{text}</td></tr>" for name, text in rows)
    yield "</table>"


def _span(span: dict[str, str]) -> str:
    if span["low"] == span["high"]:
        return span["median"]
    return f"{span['median']} ({span['low'][11:16]} – {span['high'][11:16]})"


def _van(event: Event) -> str:
    """Say where a van tells most: down the wind of the region's middle, and across it."""
    source = event.sources[0]
    mass = np.exp(source.log_mass)
    mass /= mass.sum()
    x, y = np.meshgrid(source.grid.x_m, source.grid.y_m)
    spread = np.cov(np.vstack((x.ravel(), y.ravel())), aweights=mass.ravel())
    sizes, axes = np.linalg.eigh(spread)
    bearing = float(np.degrees(np.arctan2(axes[0, 1], axes[1, 1]))) % 180.0
    length = 2.0 * float(np.sqrt(max(sizes[1], 0.0)))
    middle = f"({source.x_m:.0f}, {source.y_m:.0f}) m"
    along = f"{bearing:.0f}°–{bearing + 180.0:.0f}°"
    return (
        f"以 {middle} 为中心,沿 {along} 方向 ±{length:.0f} m 最不确定:在其下风侧横穿羽流走航。<br>"
        f"The place is least certain along {along}, ±{length:.0f} m around {middle}: "
        "drive across the plume downwind of there."
    )


def _views(inputs: Inputs, found: Found, settings: Settings) -> Iterator[str]:
    """Yield footprint, blind area, polar plot and conditional probability of the sensor that read most."""
    seen = inputs.observations
    within = found.events[0].settings if found.events else settings
    inside = np.flatnonzero((seen.start_s >= within.from_s) & (seen.start_s < within.to_s))
    if not inside.size:
        return
    top = int(inside[np.argmax(seen.value_g_m3[inside] - found.zeros_g_m3[seen.sensor[inside]])])
    sensor, start = int(seen.sensor[top]), float(seen.start_s[top])
    name = escape(short_names(seen.names)[sensor])
    yield _head("视图 · Views")
    yield "<div class='two'>"
    print_ = footprint(seen, inputs.wind, within, sensor, start, max(float(seen.interval_s[top]), 60.0))
    yield _figure(field_map(print_, seen, f"{name}, {iso(start)}: 足迹 · footprint", "s/m³"))
    hidden = blind_area(seen, inputs.wind, within)
    yield _figure(field_map(hidden, seen, "盲区:可察觉的最小源强 · Least rate noticed", "g/s"))
    if inputs.wind.start_s.size > 20 and (seen.sensor == sensor).sum() > 100:
        yield _figure(polar_map(polar_plot(seen, inputs.wind, sensor), f"{name}: 极坐标图 · polar plot"))
        sectors = conditional_probability(seen, inputs.wind, sensor)
        yield _figure(sector_map(sectors, f"{name}: CPF > {sectors.threshold_g_m3 * 1e6:.3g} µg/m³"))
    yield "</div>"


def _limits(inputs: Inputs) -> Iterator[str]:
    if inputs.observations.above_zero is not None:
        return
    table = exceedances(inputs.observations, inputs.quantity)
    if not table:
        return
    yield _head("超标情况 · Beside the limits in force")
    yield "<table><tr><th>传感器 · Sensor</th><th>时长 · Hours</th><th>起 · From</th>"
    yield "<th>均值 · Mean µg/m³</th><th>二级限值 · Class II</th><th>IAQI</th></tr>"
    for one in table[:LIMITS_NAMED]:
        mark = "<b>超标 · exceeded</b> " if one.exceeded else ""
        index = "–" if one.index is None else f"{one.index:.0f}"
        yield (
            f"<tr><td>{escape(one.sensor)}</td><td>{one.hours}</td><td>{iso(one.start_s)}</td>"
            f"<td>{mark}{one.ug_m3:.4g}</td><td>{one.limit_ug_m3:g}</td><td>{index}</td></tr>"
        )
    first = table[0]
    doubt = "该版本的限值待核实 · not confirmed for this edition." if first.unconfirmed else ""
    yield f"</table><p class='note'>{escape(first.edition)}, {escape(first.index_edition)}."
    yield f"{escape(first.source)}. {doubt}</p>"
    yield "<p class='note'>低成本传感器的数据仅供参考,不作达标判定。 · "
    yield "Readings of low-cost sensors are indicative: no compliance is judged by them.</p>"


def _missing(answer: dict[str, Any]) -> Iterator[str]:
    yield _head("缺失与提示 · What is missing, and what to mind")
    yield from (f"<div class='warn'>{escape(text)}</div>" for text in answer["warnings"])
    gaps = answer["gaps"]
    for gap in gaps[:GAPS_NAMED]:
        yield f"<div>{escape(str(gap['sensor']))}: {gap.get('from', '')} – {gap.get('to', '')}</div>"
    if len(gaps) > GAPS_NAMED:
        yield f"<div>… {len(gaps) - GAPS_NAMED} 处 · more</div>"
    suspects = [one for one in answer["sensors"] if (one["suspect_probability"] or 0.0) > 0.5]
    for one in suspects:
        yield (
            f"<div class='warn'>{escape(one['sensor'])}: 可能异常 · suspect, "
            f"P = {one['suspect_probability']:.0%}</div>"
        )
    if not (answer["warnings"] or gaps or suspects):
        yield "<p>无 · nothing</p>"


def _evidence(answer: dict[str, Any]) -> Iterator[str]:
    told = answer["inputs"]
    yield _head("证据 · Evidence")
    yield f"<p>数据点 · points: {told['points']}; 已验证 · verified: {told['verified']}.</p>"
    if told["evidence"]:
        name, again = escape(str(told["evidence"])), escape(str(told.get("trace")))
        yield f"<p>证据文件 · evidence: <code>{name}</code>; 重新计算 · to trace again: "
        yield f"<code>cityproof trace rerun {again}</code></p>"
    else:
        yield "<p>读数来自文件,未经验证。 · The readings came from files: nothing proves them.</p>"
    for one in told["left_out"][:GAPS_NAMED]:
        text = f"{one['device']} {one['time']}: {one['reason']}"
        yield f"<div class='warn'>已剔除 · left out: {escape(text)}</div>"
    difference = answer["difference"]
    if difference:
        yield f"<p>含全部数据点时 · with all points: {escape(_told(difference))}</p>"


def _told(difference: dict[str, Any]) -> str:
    """Say what all points would have changed."""
    if "moved_m" not in difference:
        return f"{difference['events']:+d} 事件 · events"
    shifts = [f"{name} {p:+.3f}" for name, p in difference["candidates"].items() if abs(p) >= 5e-4]
    moved = f"{difference['events']:+d} 事件 · events; 位移 · moved {difference['moved_m']:.1f} m; "
    return f"{moved}源强 · rate ×{difference['rate_ratio']:.3g}" + "".join(f"; {shift}" for shift in shifts)
