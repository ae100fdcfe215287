"""`cityproof shipment export`: a judged shipment for other people's programs, as EPCIS 2.0 and as CSV."""

import csv
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from pipeline.commands.shipment import EXITS
from pipeline.commands.shipment_account import load_account
from pipeline.commands.shipment_log import Source
from pipeline.commands.shipment_report import write_files
from pipeline.commands.times import format_time
from pipeline.shipping.account import Account
from pipeline.shipping.epcis_export import export
from pipeline.wire.errors import InputError
from pipeline.wire.quantities import QUANTITIES

COLUMNS = ("time", "quantity", "value", "unit", "logger", "epoch", "sequence", "holder", "outside")


def run(
    source: Source,
    name: str,
    profile: str | None,
    epcis: Path | None,
    table: Path | None,
    evidence: Path | None,
    evidence_uri: str,
) -> int:
    """Write what is asked for. Exit 0: in limits; 1: breach; 3: undetermined."""
    if epcis is None and table is None:
        raise InputError("shipment export", "nothing to write", "Give --epcis FILE, --csv FILE, or both.")
    told = load_account(source, name, profile, evidence_uri)
    files: dict[Path, bytes] = {}
    if epcis is not None:
        files[epcis] = (json.dumps(export(told.account), ensure_ascii=False, indent=2) + "\n").encode()
    if table is not None:
        files[table] = _csv(told.account)
    if evidence is not None:
        files[evidence] = told.evidence
    write_files(files)
    print(f"{told.account.judgement.verdict.upper()}  {name}")
    for path, content in files.items():
        print(f"    {path}: {len(content)} bytes")
    return EXITS[told.account.judgement.verdict]


def _csv(account: Account) -> bytes:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(account))
    return text.getvalue().encode()


def _rows(account: Account) -> Iterator[tuple[object, ...]]:
    """Yield every reading in time order: the columns that `shipment judge --readings` reads, and more.

    `outside` names the limits that the value lies beyond.
    """
    shipment, rows = account.shipment, []
    limits = account.profile.limit
    for track, trip in zip(account.judgement.tracks, account.trips, strict=True):
        for quantity, readings in trip.readings.items():
            for one in readings:
                beyond = [
                    limit.words for limit in limits if limit.quantity == quantity and limit.outside(one.value)
                ]
                rows.append(
                    (one.time_us, quantity, one.value, QUANTITIES[quantity].unit, track.loggers[one.logger],
                     one.epoch, one.sequence, shipment.holder_at(one.time_us) or "", "; ".join(beyond))
                )  # fmt: skip
    rows.sort(key=lambda row: (row[0], row[4], row[1]))
    for time_us, *rest in rows:
        yield format_time(time_us), *rest
