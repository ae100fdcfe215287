"""Replay: other people's measurements enter by the same door, signed by devices marked as imported.

The table is checked whole before anything is signed. It is then signed in portions; how far it has come is
committed together with the statements of each portion, so an interrupted import goes on exactly there.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

from devices.device import Signed
from devices.fleet import DATA_CLASSES, RETRIED, Fleet
from devices.inputs import Site
from devices.journal import Journal, Report
from devices.link import Link
from devices.outbox import Outbox
from devices.packer import Packer
from devices.tables import Position, Reading, Source, Survey, Table, load_mapping
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.errors import InputError
from pipeline.wire.keys import Signer
from pipeline.wire.possession import sign_possession

PACK_RECORDS_MAX = 100
PORTION_READINGS_MAX = 20_000
TURN_S = 0.05
START_S = 60.0


@dataclass(frozen=True, slots=True)
class Import:
    """What is imported: a CSV, its mapping if it is wide, and where devices without a position stand."""

    table: Path
    mapping: str | None
    position: Position | None


def replay(site: Site, wanted: Import, stopping: Event, report: Report) -> dict[str, Any]:
    """Sign and publish a table until all of it is answered, or `stopping` is set; return the summary.

    Raises:
        InputError: The table or its mapping is wrong, or the broker, the log or the folder cannot be used.
        UnavailableError: The outbox's disk failed.
    """
    table = Table(wanted.table, load_mapping(wanted.mapping) if wanted.mapping else None)
    survey = table.survey()
    sources = list(survey.sources.values())
    for source in sources:
        source.position = source.position or wanted.position
        if source.position is None:
            problem = f"{source.issuer} has no position"
            raise InputError(
                str(wanted.table), problem, "Add columns longitude, latitude, height_m, or --position."
            )
    with Outbox(site.outbox) as outbox, Journal(site.folder, report) as journal:
        fleet = Fleet(outbox, site.log, Random(), first_sent=journal.first_sent)
        outbox.retry(RETRIED)
        authority = site.authority[1]
        fleet.join([(*site.authority, authority)], authority=True)
        fleet.join(site.signers((source.issuer, source.subject) for source in sources))
        with Link(site.broker, f"cityproof-{authority}", fleet.subscriptions, Random()) as link:
            _replay(site, table, survey, fleet, link, journal, outbox, stopping)
        return journal.summarise(fleet, outbox, table=wanted.table.name, values=survey.values)


def _replay(
    site: Site,
    table: Table,
    survey: Survey,
    fleet: Fleet,
    link: Link,
    journal: Journal,
    outbox: Outbox,
    stopping: Event,
) -> None:
    authority = site.authority[1]
    note = f"imported, {survey.digest.hex()}"
    done_row = int(outbox.note(note) or b"1")
    before = 0

    def report(phase: str) -> None:
        journal.tick(phase, fleet, link.problem, values=survey.values, before=before)

    enrolments = [
        _enrolment(source, authority, fleet.members[source.issuer].device.signer)
        for source in survey.sources.values()
    ]
    deadline_s = time.monotonic() + START_S
    fleet.enrol(link, authority, enrolments, deadline_s, stopping, lambda: report("enrolling"))
    rotations = site.rotations(fleet)
    fleet.rotate(link, authority, rotations, deadline_s, stopping, lambda: report("rotating"))
    packers = {issuer: Packer(PACK_RECORDS_MAX) for issuer in survey.sources}
    for last_row, portion in _portions(table, PACK_RECORDS_MAX * (1 if table.wide else len(packers))):
        if last_row <= done_row:
            before += len(portion)
            continue
        while not fleet.room and not stopping.is_set():
            fleet.turn(link, wait_s=TURN_S)
            report("importing")
        if stopping.is_set():
            break
        # What is signed and how far the import has come become durable together: see Outbox.commit.
        fleet.turn(link, _sign(portion, packers, fleet), notes={note: str(last_row).encode()})
        report("importing")
    stopping.clear()
    while not fleet.idle and not stopping.is_set():
        fleet.turn(link, wait_s=TURN_S)
        report("draining")
    journal.report("draining", fleet, link.problem, values=survey.values, before=before)


def _portions(table: Table, rows: int) -> Iterator[tuple[int, list[Reading]]]:
    """Yield (last row, readings) of consecutive portions of a table: the same ones each time."""
    size = min(rows, PORTION_READINGS_MAX)
    portion: list[Reading] = []
    counted = 0
    for row, readings in groupby(table.readings(), key=lambda reading: reading.row):
        portion += readings
        counted += 1
        if counted == size:
            yield row, portion
            portion, counted = [], 0
    if portion:
        yield portion[-1].row, portion


def _sign(portion: list[Reading], packers: dict[str, Packer], fleet: Fleet) -> list[Signed]:
    packs = [(one.issuer, pack) for one in portion for pack in packers[one.issuer].add([one.record])]
    packs += [(issuer, pack) for issuer, packer in packers.items() for pack in packer.flush()]
    return [fleet.members[issuer].device.sign_records(pack) for issuer, pack in packs]


def _enrolment(source: Source, authority: str, signer: Signer) -> Enrolment:
    assert source.position is not None, "checked before anything was opened"
    longitude, latitude, height_m = source.position
    end = source.beam_end or (None, None, None)
    return Enrolment(
        issuer=source.issuer,
        public_key=signer.public_key,
        department=source.department,
        controller=source.controller,
        data_class=DATA_CLASSES[source.kind],
        kind=source.kind,
        subject=source.subject,
        area=source.area,
        longitude=longitude,
        latitude=latitude,
        height_m=height_m,
        longitude2=end[0],
        latitude2=end[1],
        height2_m=end[2],
        accuracy={},
        calibrated_until_s=0,  # Nothing is known of it.
        origin="imported",
        valid_from_s=int(min(source.first_s, time.time())),
        possession=sign_possession(signer, authority, source.issuer),
    )
