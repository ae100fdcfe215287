"""`cityproof series`: what there is in a city's point store."""

import json

from pipeline.commands.stores import City
from pipeline.commands.times import format_time


def run(city: City, device: str | None, *, as_json: bool) -> int:
    """List the series, with their span and number of points."""
    with city.open_points() as points:
        rows = [row for row in points.spans() if device in (None, row.series.device)]
    if as_json:
        print(
            json.dumps(
                [
                    {
                        "kind": row.series.kind,
                        "device": row.series.device,
                        "subject": row.series.subject,
                        "quantity": row.series.quantity,
                        "points": row.points,
                        "first": format_time(row.first_us),
                        "last": format_time(row.last_us),
                    }
                    for row in rows
                ],
                ensure_ascii=False,
            )
        )
        return 0
    for row in rows:
        span = f"{format_time(row.first_us)} .. {format_time(row.last_us)}"
        series = row.series
        print(f"{series.device} {series.quantity:<16} {row.points:>7} points  {span}  {series.subject}")
    print(f"{len(rows)} series")
    return 0
