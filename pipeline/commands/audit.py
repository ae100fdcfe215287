"""`cityproof audit`: compare every stored point with the leaf that it refers to."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.commands.reading import reader_of
from pipeline.commands.times import format_time
from pipeline.commands.verify import load_policy
from pipeline.edges.sqlite_points import PointReader, read_points
from pipeline.folder import CityFolder
from pipeline.log.checkpoint import open_checkpoint
from pipeline.log.tiles import CHECKPOINT_PATH, TileReader
from pipeline.verify.audit import PointFinding, PointPlace, StoreAudit, StoredValue
from pipeline.wire.errors import UnavailableError

AGREES, DIFFERS = 0, 1


def audit_store(directory: Path) -> tuple[list[PointFinding], int, int]:
    """Return the findings, how many stored points agree with their leaf, and how many have none.

    Raises:
        InputError: There is no log or no point store.
        VerificationError: The log itself is wrong.
    """
    folder = CityFolder(directory)
    read = reader_of(directory)
    note = read(CHECKPOINT_PATH)
    if note is None:
        raise UnavailableError("log files", "no checkpoint is published yet")
    tiles = TileReader(read, open_checkpoint(note, load_policy(folder.policy)).checkpoint)
    with read_points(folder.points) as points:
        audit = StoreAudit(read, tiles, _Finder(points))
        findings = list(audit.run())
        foreign = points.counts().stored - audit.matched
    return findings, audit.matched, foreign


class _Finder:
    """Looks places up in a point store."""

    def __init__(self, points: PointReader) -> None:
        self._points = points

    def __call__(self, places: Sequence[PointPlace]) -> Mapping[PointPlace, StoredValue]:
        found: dict[PointPlace, StoredValue] = {}
        for place in places:
            stored = self._points.stored(place.device, place.subject, place.quantity, place.time_us)
            if stored is not None:
                found[place] = StoredValue(*stored)
        return found


def run(directory: Path, *, as_json: bool) -> int:
    """Audit a city's point store. Exit 0: every point is what its device signed; 1: some are not."""
    findings, matched, foreign = audit_store(directory)
    if as_json:
        rows = [_row(finding) for finding in findings]
        print(json.dumps({"compared": matched, "without_leaf": foreign, "findings": rows}))
    else:
        for finding in findings:
            place = finding.place
            where = f"{place.device} {place.quantity} {format_time(place.time_us)}"
            print(f"{finding.reason.value}: {where}: signed {finding.signed}, stored {finding.stored}")
        print(f"{matched} points compared with their leaves, {len(findings)} differ, {foreign} have no leaf")
    return DIFFERS if findings or foreign else AGREES


def _row(finding: PointFinding) -> dict[str, object]:
    place = finding.place
    return {
        "device": place.device,
        "subject": place.subject,
        "quantity": place.quantity,
        "time_us": place.time_us,
        "reason": finding.reason.value,
        "signed": finding.signed,
        "stored": finding.stored,
    }
