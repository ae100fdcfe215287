"""The demo's live table."""

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipeline.commands.demo.watch import Watch
from pipeline.edges.sqlite_points import PointCounts

RECENT_RECORDS = 500


def live_table(title: str, devices: dict[str, Any], watch: Watch, points: PointCounts, rate: float) -> Group:
    """Return what one sees while the demo runs: from sensors on the left to proofs on the right."""
    table = Table(title=title, title_style="bold", expand=False)
    for heading in ("devices", "bus and log", "proofs", "refused, by reason"):
        table.add_column(heading, vertical="top", min_width=20)
    link = devices.get("link", "connected")
    columns = (
        [
            f"{devices.get('phase', 'starting')}",
            f"{devices.get('published', 0):>9,} records sent",
            f"{devices.get('receipted', 0):>9,} receipted",
            f"{devices.get('waiting', 0):>9,} waiting",
            "" if link == "connected" else f"link: {link}",
        ],
        [
            f"{watch.blocks:>9,} blocks",
            f"{watch.size:>9,} log entries",
            f"{rate:>9,.0f} records/s",
            f"{watch.duplicates:>9,} duplicates",
        ],
        [
            f"{points.stored:>9,} points stored",
            f"{watch.published_size:>9,} entries cosigned",
            f"p50 {watch.latencies.percentile(0.5, RECENT_RECORDS):5.2f} s from sent",
            f"p99 {watch.latencies.percentile(0.99, RECENT_RECORDS):5.2f} s to provable",
        ],
        [f"{count:>7,} {reason}" for reason, count in watch.refused.most_common(7)] or ["none yet"],
    )
    table.add_row(*("\n".join(lines) for lines in columns))
    recent = Text("\n".join(f"refused {reason}: {topic}" for topic, reason in watch.recent), style="dim")
    return Group(table, recent)
