"""A report as one HTML file: nothing from anywhere else, readable on a phone, printable on a page."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from pipeline.shipping.report import Code, Report, Table

_LANGUAGES = {"en": "en", "zh": "zh-Hans"}


def report_html(report: Report) -> str:
    """Return the page. All text in it is escaped; images are SVG of our own."""
    style = files("pipeline.shipping").joinpath("templates", "report.css").read_text(encoding="utf-8")
    summary = "".join(f"<li>{escape(line)}</li>" for line in report.summary)
    body = [
        f'<header class="{report.verdict.value}"><div><p class="kind">{escape(report.title)}</p>',
        f"<h1>{escape(report.verdict_word)}</h1><p>{escape(report.verdict_meaning)}</p></div>",
        f'<p class="name">{escape(report.name)}</p></header>',
        f'<ul class="summary">{summary}</ul>' if summary else "",
        f'<dl class="facts">{_pairs(report.facts)}</dl>',
        f'<section><h2>{escape(report.chart_title)}</h2><div class="scroll">{report.chart}</div></section>',
        f'<div class="two"><section><h2>{escape(report.map_title)}</h2>{report.map}</section>',
        f"<div>{_table(report.rules)}{_table(report.gaps)}</div></div>",
        _table(report.excursions),
        _table(report.custody),
        f"<section><h2>{escape(report.evidence_title)}</h2>",
        f'<div class="evidence"><dl>{_pairs(report.evidence)}</dl>{_codes(report.codes)}</div></section>',
        f"<footer>{escape(report.footer)}</footer>",
    ]
    return (
        f'<!doctype html>\n<html lang="{_LANGUAGES[report.language]}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)} {escape(report.name)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body><main>\n{''.join(body)}\n</main></body>\n</html>\n"
    )


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)


def _table(table: Table) -> str:
    if not table.rows:
        return ""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    rows = []
    for row in table.rows:
        cells = [f"<td>{escape(cell)}</td>" for cell in row.cells]
        if row.tone:
            cells[-1] = f'<td><span class="tone {row.tone}">{escape(row.cells[-1])}</span></td>'
        rows.append(f"<tr>{''.join(cells)}</tr>")
    more = f'<p class="more">{escape(table.more)}</p>' if table.more else ""
    return (
        f'<section><h2>{escape(table.title)}</h2><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{more}</section>"
    )


def _codes(codes: Sequence[Code]) -> str:
    def kind(code: Code) -> str:
        return "dense" if code.dense else "plain"

    figures = [
        f'<figure class="{kind(code)}">{code.svg}<figcaption>{escape(code.caption)}</figcaption></figure>'
        for code in codes
    ]
    return f'<div class="codes">{"".join(figures)}</div>'
