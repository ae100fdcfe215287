"""`cityproof audit`: compare stored points with what was signed, once or for good, and state what differs."""

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine, Generator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.commands.findings import describe, phrase
from pipeline.commands.reading import reader_of
from pipeline.commands.stores import City
from pipeline.commands.times import format_time
from pipeline.commands.verify import load_authorities, load_policy
from pipeline.log.checkpoint import open_checkpoint
from pipeline.log.tiles import CHECKPOINT_PATH, TileReader
from pipeline.ports import Point, PointReader
from pipeline.verify.audit import (
    LEAVES_PER_ENTRY,
    PointFinding,
    PointPlace,
    StoreAudit,
    StoredPoint,
    StoredValue,
)
from pipeline.verify.store_watch import StoreWatch
from pipeline.wire.broker import parse_broker_url
from pipeline.wire.errors import MissingError, UnavailableError
from pipeline.wire.finding import Finding
from pipeline.wire.topics import broker_user, receipts_topic, refusals_topic

AGREES, DIFFERS, UNUSABLE = 0, 1, 2
RECEIPTS_S = 30.0


class AuditedPoints:
    """A point store as an auditor reads it."""

    def __init__(self, points: PointReader) -> None:
        self.find = points.find
        self.count_below = points.count_below
        self.writers = points.writers
        self._points = points

    def scan(self) -> Generator[StoredPoint]:
        """Yield every point."""
        return (_stored_point(point) for point in self._points.scan())

    def beyond(self, ref: int, limit: int) -> list[StoredPoint]:
        """Return points, up to a limit, that name this leaf or one behind it."""
        return [_stored_point(point) for point in self._points.beyond(ref, limit)]


def _stored_point(point: Point) -> StoredPoint:
    place = PointPlace(point.device, point.subject, point.quantity, point.time_us)
    return StoredPoint(place, StoredValue(point.value, point.ref), point.kind)


@contextmanager
def open_audited(city: City) -> Generator[AuditedPoints]:
    """Open a city's point store for reading.

    Raises:
        InputError: There is none.
    """
    with city.open_points() as points:
        yield AuditedPoints(points)


def audit_store(city: City) -> tuple[list[PointFinding], int, int]:
    """Return the findings, how many points were compared with their leaf, and how many are not judged yet.

    Raises:
        InputError: There is no log or no point store.
        VerificationError: The log itself is wrong.
    """
    read = reader_of(city.folder.root)
    note = read(CHECKPOINT_PATH)
    if note is None:
        raise MissingError(CHECKPOINT_PATH)
    checkpoint = open_checkpoint(note, load_policy(city.folder.policy)).checkpoint
    with open_audited(city) as store:
        audit = StoreAudit(read, TileReader(read, checkpoint), store.find)
        found = {(finding.place, finding.reason): finding for finding in audit.run()}
        for finding in audit.check_stored(store.scan()):
            found.setdefault((finding.place, finding.reason), finding)
        ahead = len(store.beyond(checkpoint.size * LEAVES_PER_ENTRY, 1 << 20))
    return list(found.values()), audit.matched, ahead


def run(city: City, *, as_json: bool) -> int:
    """Audit a city's point store. Exit 0: every point is what its device signed; 1: some are not."""
    findings, matched, ahead = audit_store(city)
    if as_json:
        rows = [_row(finding) for finding in findings]
        print(json.dumps({"compared": matched, "ahead": ahead, "findings": rows}))
    else:
        for finding in findings:
            place = finding.place
            where = f"{place.device} {place.quantity} {format_time(place.time_us)}"
            print(f"{finding.reason.value}: {where}: signed {finding.signed}, stored {finding.stored}")
        print(f"{matched} points compared with their leaves, {len(findings)} differ")
        if ahead:
            print(f"{ahead} more are of entries that no checkpoint covers yet")
    return DIFFERS if findings else AGREES


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


# Stating what is found


@dataclass(frozen=True, slots=True)
class Stating:
    """How findings are to be stated in the log: by whom, by which broker, once or for good."""

    key: Path | None
    broker: str
    follow: bool
    interval_s: float


async def state(city: City, how: Stating, *, as_json: bool) -> int:
    """Compare, sign what differs, and send it until its receipt is there.

    Exit 0: nothing new was found; 1: something was, and the log says so; 2: it does not yet.
    """
    from pipeline.edges.access_file import load_access
    from pipeline.edges.clock import SYSTEM_CLOCK
    from pipeline.edges.keyfile import load_key
    from pipeline.edges.mqtt import open_peer
    from pipeline.edges.sqlite_findings import SqliteFindings
    from pipeline.stages import auditor

    folder = city.folder
    signer, issuer = load_key(how.key or folder.auditor_key)
    broker = parse_broker_url("--broker", how.broker)
    access = load_access(broker, issuer)
    found = _Teller(as_json=as_json)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        outbox = await enter(SqliteFindings.open(folder.findings))
        topics = (receipts_topic(issuer), refusals_topic(issuer))
        peer = open_peer(broker.host, broker.port, f"auditor-{broker_user(issuer)}", topics, access=access)
        inbox, sender = await enter(peer)
        watch = StoreWatch(
            await auditor.known_findings(outbox),
            await outbox.settled(),
            load_authorities(folder.authorities).bounds_s["cosign_delay_s"],
        )
        policy = load_policy(folder.policy)
        read = reader_of(folder.root)
        comparing = auditor.StoreAuditor(read, policy, lambda: open_audited(city), watch)
        signatory = await auditor.open_signatory(issuer, signer, outbox, SYSTEM_CLOCK)
        reporter = auditor.Reporter(signatory, outbox, sender, policy)
        stage = auditor.Auditor(comparing, reporter, outbox, inbox, SYSTEM_CLOCK, found)
        if how.follow:
            await _until_stopped(stage.run(how.interval_s))
        elif not await stage.once(RECEIPTS_S):
            reasons = ", ".join(sorted(set(reporter.refused.values()))) or "no receipt came"
            raise UnavailableError("the log", f"findings are kept and not in it yet: {reasons}")
    return DIFFERS if found.count else AGREES


class _Teller:
    """Tells people what was found."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.count = 0

    def __call__(self, findings: Sequence[Finding]) -> None:
        self.count += len(findings)
        for finding in findings:
            print(json.dumps(describe(finding), ensure_ascii=False) if self._as_json else phrase(finding))
        sys.stdout.flush()


async def _until_stopped(work: Coroutine[None, None, None]) -> None:
    """Do it until Ctrl-C or SIGTERM, or until it fails."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task
