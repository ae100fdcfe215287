"""Writes growth.md and growth.svg from what `cityproof bench growth --json` printed into a file.

python docs/write_growth.py growth.json
"""

import json
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import log10
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PROOF_BYTES_MAX = 3600
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 980, 430, 60, 40, 60, 50
PLOT_PX = 300
GAP_PX = 90
LABEL_PX = 13  # From one label to the next at least.
COLOURS = ("#1b6ca8", "#c1440e", "#2e7d32", "#7b1fa2", "#b8860b", "#00796b", "#ad1457", "#455a64")

PAGE = """# Growth

<!-- Made by docs/write_growth.py from what `cityproof bench growth --json` measured. -->

What proofs, blocks and starts cost while a log grows from 10³ to 10⁸ blocks. `cityproof bench growth`
measures it again, prints every count, and fails where anything grows by more than log n.

![Size of a proof and processor time against the size of the log](growth.svg)

**What is real and what is not.** The stages and the prover are those of the pipeline, started as always and
left to read what they ask for. A log of 10⁸ blocks cannot be stored for this, so the files and the bus are
made as they are read: nearly all entries are one and the same, and the hash of a complete subtree of such
entries follows from its height. Keys, signatures, the blocks behind the last snapshots and the block that is
proved, sealed, placed and published are real. The city has {keys} keys, five shards of which one is the
registry's, one registry block in 64 blocks, and three witnesses that answer at once.

## Sizes

A point proof: {records}-record statements, a full block of 1,024, a registry of {keys} keys, three
cosignatures; the largest of seven places in the log. At 10⁶ blocks it may have {proof_max} bytes.

{proofs}

## Processor time

Milliseconds, the median of {runs} runs, everything that is read being in memory; Python {python} on
{machine}. A full block has 1,024 statements of {records} records.

{times}

## Counts

Reads are files, or messages of the bus; hashes are calls of SHA-256, signatures are Ed25519 verifications.
From the smallest log to the largest:

{counts}

A start reads the last snapshots, of the shard's sequences and of the registry, and the blocks behind each: 63
here, which is the most there can be. Neither depends on how long the log is: they grow with the number of
devices and keys. A proof made from archive and tiles with nothing cached verifies {prove_signatures}
signatures, those of the checkpoint.

## Stores

The embedded bus and the receipts index are SQLite files. Their rows are on disk here and so end at 10⁶; both
are B-trees, which need a level more a few hundred times the rows. Reads are system calls on opening the file
and looking up one row.

{stores}
"""


def page(growth: Mapping[str, Any]) -> str:
    """Return growth.md."""
    sizes = [f"{size:,}" for size in growth["sizes"]]
    rows = [f"{size:,}" for size in growth["store_sizes"]]
    return PAGE.format(
        keys=f"{growth['keys']:,}",
        records=growth["records"],
        runs=growth["runs"],
        python=platform.python_version(),
        machine=platform.machine(),
        proof_max=f"{PROOF_BYTES_MAX:,}",
        proofs=_table(["blocks", *sizes], [["bytes", *(f"{size:,}" for size in growth["proof_bytes"])]]),
        times=_table(["blocks", *sizes], _time_rows(growth["costs"])),
        counts=_table(
            ["", "reads", "kB read", "written", "kB written", "hashes", "signatures"],
            _count_rows(growth["costs"]),
        ),
        prove_signatures=growth["costs"]["prove a point"][-1]["signatures"],
        stores=_table(["rows", *rows], list(_store_rows(growth["stores"]))),
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _time_rows(costs: Mapping[str, Sequence[Mapping[str, float]]]) -> list[list[str]]:
    return [[name, *(f"{1000 * cost['seconds']:.2f}" for cost in series)] for name, series in costs.items()]


def _count_rows(costs: Mapping[str, Sequence[Mapping[str, float]]]) -> list[list[str]]:
    return [
        [
            name,
            _span(series, "reads"),
            _span(series, "bytes_read", 1000),
            _span(series, "writes"),
            _span(series, "bytes_written", 1000),
            _span(series, "hashes"),
            _span(series, "signatures"),
        ]
        for name, series in costs.items()
    ]


def _span(series: Sequence[Mapping[str, float]], field: str, unit: int = 1) -> str:
    """Return the first and the last value, or one where they are the same."""
    first, last = (f"{series[at][field] / unit:,.0f}" for at in (0, -1))
    return first if first == last else f"{first} → {last}"


def _store_rows(stores: Mapping[str, Sequence[Mapping[str, float]]]) -> Iterator[list[str]]:
    for name, series in stores.items():
        yield [f"{name}: reads", *(f"{cost['reads']:,}" for cost in series)]
        yield ["kB", *(f"{cost['bytes_read'] / 1000:,.0f}" for cost in series)]
        yield ["ms", *(f"{1000 * cost['seconds']:.2f}" for cost in series)]


def picture(growth: Mapping[str, Any]) -> str:
    """Return growth.svg: the largest proof, and the processor time of everything, against the log's size."""
    sizes = [log10(size) for size in growth["sizes"]]
    proofs = [size / 1000 for size in growth["proof_bytes"]]
    left = _panel(LEFT, "largest point proof, kB", sizes, {"": proofs}, (0.0, 4.0), range(5), _plain)
    at_px = LEFT + PLOT_PX + GAP_PX
    times = {
        name: [log10(1000 * cost["seconds"]) for cost in series] for name, series in growth["costs"].items()
    }
    right = _panel(at_px, "processor time, ms", sizes, times, (-1.0, 2.5), range(-1, 3), _power)
    limit_px = _y_px(PROOF_BYTES_MAX / 1000, (0.0, 4.0))
    limit = (
        f'<path d="M{LEFT} {limit_px:.1f}h{PLOT_PX}" stroke="#999" stroke-dasharray="4 3"/>'
        f'<text x="{LEFT + 4}" y="{limit_px - 5:.1f}" fill="#666">limit at 10⁶: {PROOF_BYTES_MAX:,}</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="none">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n{left}\n{limit}\n{right}\n</svg>\n'
    )


def _plain(tick: int) -> str:
    return str(tick)


def _power(tick: int) -> str:
    return f"{10.0**tick:g}"


def _y_px(value: float, span: tuple[float, float]) -> float:
    return HEIGHT - BOTTOM - (value - span[0]) / (span[1] - span[0]) * (HEIGHT - TOP - BOTTOM)


def _panel(
    left_px: int,
    title: str,
    sizes: Sequence[float],
    series: Mapping[str, Sequence[float]],
    span: tuple[float, float],
    ticks: Sequence[int],
    shown: Any,
) -> str:
    def x_px(size: float) -> float:
        return left_px + (size - 3) / 5 * PLOT_PX

    bottom_px = HEIGHT - BOTTOM
    parts = [f'<text x="{left_px}" y="{TOP - 14}" fill="#000" font-weight="bold">{title}</text>']
    for tick in ticks:
        y_px = _y_px(tick, span)
        parts.append(f'<path d="M{left_px} {y_px:.1f}h{PLOT_PX}" stroke="#e5e5e5"/>')
        parts.append(
            f'<text x="{left_px - 6}" y="{y_px + 4:.1f}" fill="#444" text-anchor="end">{shown(tick)}</text>'
        )
    parts += [
        f'<text x="{x_px(power):.1f}" y="{bottom_px + 18}" fill="#444" text-anchor="middle">'
        f'10<tspan dy="-5" font-size="9">{power}</tspan></text>'
        for power in range(3, 9)
    ]
    parts.append(
        f'<text x="{left_px + PLOT_PX / 2}" y="{bottom_px + 38}" fill="#000" text-anchor="middle">'
        "blocks in the log</text>"
    )
    label_px = float(HEIGHT)
    for number, (name, values) in enumerate(sorted(series.items(), key=lambda item: item[1][-1])):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(
            f"{x_px(size):.1f},{_y_px(value, span):.1f}" for size, value in zip(sizes, values, strict=True)
        )
        parts.append(f'<polyline points="{points}" stroke="{colour}" stroke-width="2"/>')
        label_px = min(label_px - LABEL_PX, _y_px(values[-1], span) + 4)
        parts.append(
            f'<text x="{left_px + PLOT_PX + 10}" y="{label_px:.1f}" fill="{colour}">{escape(name)}</text>'
        )
    return "\n".join(parts)


def main() -> None:
    """Write the page and the picture."""
    growth = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for name, text in {"growth.md": page(growth), "growth.svg": picture(growth)}.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"docs/{name}\n")


if __name__ == "__main__":
    main()
