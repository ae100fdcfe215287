"""Following a log: every checkpoint against the one before, every new entry and body against all before it.

Pure: files are read by a function, the time is told, and what must be kept is returned. A step changes
nothing before it has read all that it needs, so what does not answer leaves everything where it was.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from pipeline.identity.authorities import Authorities
from pipeline.log.block import SignedBlock, open_body, parse_signed_block
from pipeline.log.checkpoint import OpenedCheckpoint, open_checkpoint
from pipeline.log.policy import Policy
from pipeline.log.tiles import CHECKPOINT_PATH, TILE_WIDTH, ReadFile, TileReader, block_path
from pipeline.verify.bounds import check_age, check_arrival
from pipeline.verify.entries import EntryCheck, Job, LogIdentity
from pipeline.verify.examine import RegistryUpdate, reread
from pipeline.verify.reports import Level, Report, Reports
from pipeline.verify.signer_watch import ClockWatch, GapWatch
from pipeline.verify.succession import Shown, conflict_between
from pipeline.wire.cbor import decode, encode
from pipeline.wire.errors import InputError, MissingError, UnavailableError, VerificationError
from pipeline.wire.reasons import BY_CODE, Reason

ENTRIES_AT_ONCE = 64  # Their bodies are held together: 64 MiB at most.
STATE_VERSION = 1
STATE_PATH = "state"

_CHECKPOINT, _FILES, _SIGNERS = "checkpoint", "files", "signers"  # Topics of conditions.


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what is not so at once may take, seconds.

    Attributes:
        gap_s: A statement, behind the next one of its signer.
        skew_s: A reading's newest record, before or behind its arrival.
        body_s: A body, behind the checkpoint above it.
    """

    gap_s: float = 60.0
    skew_s: float = 300.0
    body_s: float = 60.0


@dataclass(slots=True)
class _Held:
    """The checkpoint that was accepted last.

    Attributes:
        note: Its bytes.
        opened: What they say.
        seen_s: When it was last seen to be the newest one.
        without_s: When the one before it was last seen to be the newest; 0 if there was none.
    """

    note: bytes
    opened: OpenedCheckpoint
    seen_s: int
    without_s: int

    @property
    def size(self) -> int:
        """How many entries are under it."""
        return self.opened.checkpoint.size

    @property
    def shown(self) -> Shown:
        """It and its note."""
        return Shown(self.opened.checkpoint, self.note)


@dataclass(slots=True)
class _Gathered:
    """Entries at hand with their bodies, and what is waited for behind them."""

    entries: list[bytes] = field(default_factory=list[bytes])
    bodies: dict[str, bytes] = field(default_factory=dict[str, bytes])
    awaited: str = ""


class Monitor:
    """Follows one log.

    Args:
        read: Path -> the file's bytes, or None where it is missing.
        policy: What checkpoints must satisfy.
        authorities: Who may enrol, and the bounds in time.
        patience: What may take how long.
        bodies: Whether it may read block bodies. Without them an entry is checked for its signature and its
            block's height, and signers are not looked at.
    """

    def __init__(
        self,
        read: ReadFile,
        policy: Policy,
        authorities: Authorities,
        patience: Patience,
        *,
        bodies: bool = True,
    ) -> None:
        self._with_bodies = bodies
        self._read = read
        self._policy = policy
        self._authorities = authorities
        self._patience = patience
        self._bodies: dict[str, bytes] = {}
        self._held: _Held | None = None
        self._tiles: TileReader | None = None
        self._entries: EntryCheck | None = None
        self._position = 0
        self._awaited_since_s = 0
        self._gaps = GapWatch(patience.gap_s)
        self._clocks = ClockWatch(patience.skew_s)
        self._updates = 0
        self._convictions: dict[str, Report] = {}
        self._files: dict[str, bytes] = {}
        self.reports = Reports()

    @property
    def position(self) -> tuple[int, int]:
        """Return how many entries have been checked, and how many there are to check."""
        return self._position, self._held.size if self._held else 0

    @property
    def standing(self) -> list[Report]:
        """Return what has been reported and holds still."""
        return [*self._convictions.values(), *(report for _, report in self.reports.conditions)]

    # Checkpoints

    def look(self, now_s: int) -> None:
        """Read the log's checkpoint and hold it against the one before."""
        self.reports.hold(_CHECKPOINT, list(self._look(now_s)))

    def _look(self, now_s: int) -> Iterator[Report]:
        try:
            note, opened = reread(self._open_checkpoint)
            if self._held is not None and opened.checkpoint.size < self._held.size:
                note, opened = self._open_checkpoint()  # A cache may have kept an old one.
            yield from self._check_age(opened, now_s)
            yield from self._follow_on(note, opened, now_s)
        except UnavailableError as error:
            yield Report(Level.WARNING, Reason.LOG_SILENT, CHECKPOINT_PATH, str(error))
        except VerificationError as error:
            lost = error.reason is Reason.QUORUM_MISSING  # Witnesses may be down: nobody contradicts himself.
            level = Level.WARNING if lost else Level.ALARM
            yield Report(level, error.reason, CHECKPOINT_PATH, error.detail)

    def _open_checkpoint(self) -> tuple[bytes, OpenedCheckpoint]:
        note = self._read(CHECKPOINT_PATH)
        if note is None:
            raise MissingError(CHECKPOINT_PATH)
        return note, open_checkpoint(note, self._policy)

    def _check_age(self, opened: OpenedCheckpoint, now_s: int) -> Iterator[Report]:
        try:
            check_age(opened, self._authorities.bounds_s["checkpoint_age_s"], now_s)
        except VerificationError as error:
            yield Report(Level.WARNING, error.reason, CHECKPOINT_PATH, error.detail)

    def _follow_on(self, note: bytes, opened: OpenedCheckpoint, now_s: int) -> Iterator[Report]:
        """Take a checkpoint up if it extends the one that is held; keep the evidence if it contradicts it."""
        held, new = self._held, opened.checkpoint
        if held is None:
            self._adopt(note, opened, reread(lambda: TileReader(self._read, new)), now_s)
            return
        old = held.opened.checkpoint
        if new.origin != old.origin:
            yield Report(Level.ALARM, Reason.CHECKPOINT_ORIGIN, CHECKPOINT_PATH, f"{new.origin} by now")
        elif new == old:
            held.seen_s = now_s
        elif new.size < old.size:
            detail = f"size {new.size}, and {old.size} before"
            yield Report(Level.ALARM, Reason.CHECKPOINT_SHRANK, CHECKPOINT_PATH, detail)
            self._convict(conflict_between(Shown(new, note), held.shown, self._open_tiles(held)))
        else:
            tiles = None if new.size == old.size else reread(lambda: TileReader(self._read, new))
            conflict = conflict_between(held.shown, Shown(new, note), tiles)
            self._convict(conflict)
            if conflict is None and tiles is not None:
                self._adopt(note, opened, tiles, now_s)

    def _adopt(self, note: bytes, opened: OpenedCheckpoint, tiles: TileReader, now_s: int) -> None:
        if self._entries is None:
            self._entries = self._begin(opened)
        held = self._held
        without_s = 0
        if held is not None:  # Entries that wait to be checked were not under the one before that either.
            without_s = held.seen_s if self._position == held.size else held.without_s
        self._held = _Held(note, opened, now_s, without_s)
        self._tiles = tiles

    def _begin(self, opened: OpenedCheckpoint) -> EntryCheck:
        log = LogIdentity(opened.checkpoint.origin, opened.log.public_key)
        return EntryCheck(self._body, log, self._authorities)

    def _body(self, path: str) -> bytes | None:
        return self._bodies.get(path)

    def _open_tiles(self, held: _Held) -> TileReader:
        if self._tiles is None:
            self._tiles = reread(lambda: TileReader(self._read, held.opened.checkpoint))
        return self._tiles

    def _convict(self, evidence: Mapping[str, bytes] | None) -> None:
        """Keep what convicts the log, once."""
        if evidence is None:
            return
        name = sha256(b"".join(evidence.values())).hexdigest()[:16]
        if name not in self._convictions:
            folder = f"evidence/split-view-{name}"
            report = Report(Level.ALARM, Reason.SPLIT_VIEW, CHECKPOINT_PATH, f"the evidence is in {folder}")
            self._convictions[name] = report
            self._files |= {f"{folder}/{file}": data for file, data in evidence.items()}
            self.reports.tell(report)

    # Entries

    def advance(self, now_s: int) -> bool:
        """Check the next entries under the checkpoint that is held; tell whether there may be more to do."""
        if self._held is None or self._entries is None:
            return False
        if self._position == self._held.size:
            gaps, clocks = self._gaps.reports(now_s * 1000), self._clocks.reports()
            self.reports.hold(_SIGNERS, [*gaps, *clocks])
            return False
        try:
            gathered = self._gather(self._held, now_s)
        except MissingError as error:
            self._wait_for(Report(Level.WARNING, Reason.FILE_MISSING, error.path, "not there, or not yet"))
            return False
        except UnavailableError as error:
            self._wait_for(Report(Level.WARNING, Reason.LOG_SILENT, "files", str(error)))
            return False
        except VerificationError as error:
            self._wait_for(Report(Level.ALARM, error.reason, "tiles and entries", error.detail))
            return False
        awaited = Report(Level.WARNING, Reason.FILE_MISSING, gathered.awaited, "not there, or not yet")
        self.reports.hold(_FILES, [awaited] if gathered.awaited else [])
        self._check(self._held, self._entries, gathered)
        return not gathered.awaited

    def _wait_for(self, condition: Report) -> None:
        self.reports.hold(_FILES, [condition])

    def _gather(self, held: _Held, now_s: int) -> _Gathered:
        """Read the next entries and their bodies; nothing else is read for them.

        Raises:
            VerificationError: A tile or an entry is not the tree's.
            UnavailableError: A file does not answer, or is missing.
        """
        tiles = self._open_tiles(held)
        bundle, first = divmod(self._position, TILE_WIDTH)
        entries = reread(lambda: tiles.read_entries(bundle))[first : first + ENTRIES_AT_ONCE]
        if not self._with_bodies:
            return _Gathered(entries)
        gathered = _Gathered()
        for raw in entries:
            block = _block_of(raw)
            if block is not None:
                path = block_path(block.shard, block.height)
                body = self._read_body(block, path)
                if body is None and self._must_wait(now_s):
                    gathered.awaited = path
                    break
                if body is not None:
                    gathered.bodies[path] = body
                    self._awaited_since_s = 0
            gathered.entries.append(raw)
        return gathered

    def _read_body(self, block: SignedBlock, path: str) -> bytes | None:
        """Return a body, at the second try where it came wrong or not at all."""
        body = self._read(path)
        try:
            if body is not None:
                open_body(block, body)
                return body
        except VerificationError:
            pass  # It is looked at again, and checked where the evidence is.
        return self._read(path)

    def _must_wait(self, now_s: int) -> bool:
        """Tell whether a body may still come, which should have been there before the checkpoint."""
        self._awaited_since_s = self._awaited_since_s or now_s
        return now_s - self._awaited_since_s < self._patience.body_s

    def _check(self, held: _Held, entries: EntryCheck, gathered: _Gathered) -> None:
        first = self._position
        if not self._with_bodies:
            for index, raw in enumerate(gathered.entries, first):
                for finding in entries.follow(index, raw):
                    self.reports.tell(Report(Level.ALARM, finding.reason, finding.path, finding.detail))
            self._position += len(gathered.entries)
            return
        self._bodies = gathered.bodies
        jobs = (entries.prepare(index, raw) for index, raw in enumerate(gathered.entries, first))
        late: dict[Reason, list[tuple[str, str]]] = {}
        for job in entries.examine(jobs, with_times=True):
            for finding in entries.finish(job):
                self.reports.tell(Report(Level.ALARM, finding.reason, finding.path, finding.detail))
            self._keep_update(job.update)
            self._note_signers(entries, job)
            for reason, detail in self._late(held, job):
                late.setdefault(reason, []).append((_path_of(job), detail))
        self._tell_late(late)
        self._position += len(gathered.entries)
        self._bodies = {}

    def _keep_update(self, update: RegistryUpdate | None) -> None:
        if update is not None:
            self._files[update_path(self._updates)] = encode([sorted(update.skip), list(update.leaves)])
            self._updates += 1

    def _note_signers(self, entries: EntryCheck, job: Job) -> None:
        if job.examined is None or job.examined.manifest is None or job.block is None:
            return
        manifest, identities = job.examined.manifest, job.examined.identities
        for leaf in manifest.equivocations:
            if leaf in job.examined.faults:
                continue  # It is told already, and is the operator's word: it convicts no signer.
            identity = identities[leaf - 1] if leaf <= len(identities) else None
            who = f"{identity.issuer} epoch {identity.epoch} sequence {identity.sequence}" if identity else ""
            where = f"{_path_of(job)} leaf {leaf}"
            self.reports.tell(Report(Level.ALARM, Reason.EQUIVOCATION, where, who or "an authority's"))
        for identity, newest_s in zip(identities, job.examined.newest_s, strict=False):
            if identity is not None and newest_s:
                self._clocks.note(
                    identity.issuer, newest_s, manifest.arrival_first_ms, manifest.arrival_last_ms
                )
        for issuer, epoch in {(identity.issuer, identity.epoch) for identity in identities if identity}:
            missing = entries.missing(job.block.shard, issuer, epoch)
            self._gaps.note(issuer, epoch, missing, manifest.arrival_last_ms)

    def _late(self, held: _Held, job: Job) -> Iterator[tuple[Reason, str]]:
        """Yield what a block's arrival and the cosignatures above it say of one another."""
        manifest = job.examined.manifest if job.examined else None
        if manifest is None:
            return
        bound_s = self._authorities.bounds_s["cosign_delay_s"]
        try:
            check_arrival(manifest, held.opened, bound_s)
        except VerificationError as error:
            yield error.reason, error.detail
        waited_s = held.without_s - manifest.arrival_last_ms / 1000
        if held.without_s and waited_s > bound_s:
            detail = f"{waited_s:.0f} s after it arrived it was under no checkpoint; {bound_s} s are promised"
            yield Reason.COSIGN_LATE, detail

    def _tell_late(self, late: Mapping[Reason, Sequence[tuple[str, str]]]) -> None:
        for reason, places in late.items():
            path, detail = places[0]
            where = path if len(places) == 1 else f"{path} and {len(places) - 1} more"
            level = Level.ALARM if reason is Reason.ARRIVAL_LATE else Level.WARNING
            self.reports.tell(Report(level, reason, where, detail))

    # What is kept

    def kept(self) -> dict[str, bytes]:
        """Return the files to write, in this order: whatever is there of them, an earlier state goes on.

        Registry updates and evidence come first, and are made again, byte for byte, by a monitor that begins
        with the state before them. The state comes last.
        """
        files, self._files = self._files, {}
        files[STATE_PATH] = self._encode()
        return files

    def _encode(self) -> bytes:
        held = self._held
        return encode(
            [
                [STATE_VERSION, self._with_bodies],
                [held.note, held.seen_s, held.without_s] if held else [],
                [self._position, self._updates, self._awaited_since_s],
                self._entries.to_bytes() if self._entries else b"",
                self._gaps.rows(),
                [[issuer, apart_s] for issuer, apart_s in self._clocks.apart_s.items()],
                [[topic, *_report_fields(report)] for topic, report in self.reports.conditions],
                [[name, *_report_fields(report)] for name, report in self._convictions.items()],
            ]
        )

    def restore(self, state: bytes, read_update: ReadFile) -> None:
        """Go on where `kept` was called last; `read_update` reads the files that it returned.

        Raises:
            InputError: It was begun by another version, or with bodies and is to go on without, or otherwise.
            VerificationError: The state is damaged, or the policy does not accept the checkpoint in it.
            MissingError: A registry update is missing.
        """
        fields: Any = decode(state, size_max=len(state))
        terms, held, places, entries, gaps, clocks, conditions, convictions = fields
        if terms != [STATE_VERSION, self._with_bodies]:
            remedy = "Name another folder to begin anew, or look at the log as it did."
            raise InputError("--state", "another version of it began, or one with another view", remedy)
        self._position, self._updates, self._awaited_since_s = places
        if held:
            note, seen_s, without_s = held
            opened = open_checkpoint(note, self._policy)
            self._held = _Held(note, opened, seen_s, without_s)
            self._entries = self._begin(opened)
            self._entries.restore(entries, _read_updates(read_update, self._updates))
        self._gaps = GapWatch.of_rows(self._patience.gap_s, gaps)
        self._clocks.apart_s = dict(clocks)
        self.reports = Reports((topic, _report_of(row)) for topic, *row in conditions)
        self._convictions = {name: _report_of(row) for name, *row in convictions}


def update_path(number: int) -> str:
    """Return where an update of the registry is kept."""
    return f"registry/{number:06}"


def _read_updates(read: ReadFile, count: int) -> Iterator[RegistryUpdate]:
    for path in map(update_path, range(count)):
        data = read(path)
        if data is None:
            raise MissingError(path)
        fields: Any = decode(data, size_max=len(data))
        skip, leaves = fields
        yield RegistryUpdate(leaves, frozenset(skip))


def _block_of(raw: bytes) -> SignedBlock | None:
    """Return the block that an entry is; None for the genesis and for what is neither."""
    try:
        return parse_signed_block(raw)
    except VerificationError:
        return None


def _path_of(job: Job) -> str:
    assert job.block is not None, "only blocks arrive"
    return block_path(job.block.shard, job.block.height)


def _report_fields(report: Report) -> Iterable[object]:
    return [report.level.value, report.reason.value, report.where, report.detail]


def _report_of(row: Sequence[str]) -> Report:
    level, reason, where, detail = row
    return Report(Level(level), BY_CODE[reason], where, detail)
