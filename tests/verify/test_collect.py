"""Making evidence: what a query asks for, by looking at every statement; what is damaged is named."""

import random
from collections.abc import Callable

import pytest

from pipeline.log.tiles import ReadFile
from pipeline.verify.collect import SEARCHED_MAX, Collector, _Runs
from pipeline.verify.completeness import Closing, Opening, Span
from pipeline.verify.evidence import END, HEAD
from pipeline.verify.query import Query
from pipeline.wire.errors import MissingError, UnavailableError, VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import Record, decode_pack, encode_pack, time_us
from pipeline.wire.statement import parse_statement
from tests.support.city import POLICY, Device, ForgedLog, device_in, enrol, enrolment
from tests.support.evidence_files import (
    FIRST_US,
    MINUTE_US,
    Example,
    collect,
    judge,
    minutes,
    of_device,
    sequences,
    take_apart,
)

EXAMPLE = Example(6)
DEVICE = EXAMPLE.devices[0]


class Busy:
    """Devices in two areas whose statements come late, skip sequences and begin epochs anew."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.log = ForgedLog()
        self.devices = [device_in(shard, nth) for shard in (1, 2) for nth in range(3)]
        self.areas = {device.issuer: chance.choice(["north", "east"]) for device in self.devices}
        self.epochs = dict.fromkeys(self.areas, 1)
        for nth, device in enumerate(self.devices):
            self.log.enrol(enrol(device, nth, about=enrolment(device, area=self.areas[device.issuer])))
        waiting: dict[int, list[bytes]] = {1: [], 2: []}
        self.raws: list[bytes] = []
        for minute in range(25):
            for device in self.devices:
                if chance.random() < 0.05:
                    device.sequence = 0  # The state is lost: another epoch begins.
                    self.epochs[device.issuer] += 1
                waiting[device.shard].append(self.state(device, minute, chance))
            for shard, raws in waiting.items():
                chance.shuffle(raws)
                sent = [raws.pop() for _ in range(chance.randrange(len(raws)))]
                sent = [raw for raw in sent if chance.random() < 0.95]
                if sent:
                    self.log.add(shard, sent)
                    self.raws += sent
        self.log.publish()

    def state(self, device: Device, minute: int, chance: random.Random) -> bytes:
        """A statement of one or two quantities about one of two subjects."""
        at_s = 1.8e9 + 60 * minute
        names = chance.choice([("no2",), ("o3",), ("no2", "o3")])
        records = [Record(name, "ug/m3", 1.0 + minute, at_s + n) for n, name in enumerate(names)]
        return device.read(
            epoch=self.epochs[device.issuer],
            subject=chance.choice(["station-1", "station-2"]),
            payload=encode_pack(device.issuer, records),
        )

    def wanted(self, query: Query) -> dict[str, set[tuple[int, int]]]:
        """Who has statements that answer the query, and which."""
        found: dict[str, set[tuple[int, int]]] = {}
        for statement in map(parse_statement, self.raws):
            records = decode_pack(statement.payload, statement.issuer)
            if (
                query.wants_signer(statement.issuer, self.areas[statement.issuer])
                and query.wants_subject(statement.subject)
                and any(query.wants_record(r.quantity, time_us(r)) for r in records)
            ):
                found.setdefault(statement.issuer, set()).add((statement.epoch, statement.sequence))
        return found

    def expected(self, query: Query) -> dict[str, list[tuple[int, int]]]:
        """From the last position before those wanted to the first behind them, in the order of the log."""
        wanted = self.wanted(query)
        every = [parse_statement(raw) for raw in self.raws]
        lives = {
            issuer: sorted({(s.epoch, s.sequence) for s in every if s.issuer == issuer}) for issuer in wanted
        }
        expected: dict[str, list[tuple[int, int]]] = {}
        for issuer, life in lives.items():
            low, high = life.index(min(wanted[issuer])), life.index(max(wanted[issuer]))
            kept = set(life[max(low - 1, 0) : high + 2])
            expected[issuer] = [
                (s.epoch, s.sequence) for s in every if s.issuer == issuer and (s.epoch, s.sequence) in kept
            ]
        return expected


@pytest.mark.parametrize("seed", range(8))
def test_what_is_asked_for_is_there_and_one_more_on_either_side(seed: int) -> None:
    """For any query: by device, subject, area, quantity and time, alone and together."""
    city = Busy(seed)
    chance = random.Random(seed)
    issuers = [device.issuer for device in city.devices]
    for _ in range(12):
        first = chance.randrange(20)
        query = Query(
            devices=frozenset(chance.sample(issuers, chance.choice([0, 0, 1, 2]))),
            subjects=frozenset(chance.choice([(), ("station-1",)])),
            areas=frozenset(chance.choice([(), ("north",), ("north", "east")])),
            quantities=frozenset(chance.choice([(), ("no2",)])),
            span=chance.choice([Span(), minutes(first, first + chance.randrange(1, 6))]),
        )
        statements, verified = judge(collect(city.log, query))
        found: dict[str, list[tuple[int, int]]] = {}
        for proven in statements:
            place = proven.statement.epoch, proven.statement.sequence
            found.setdefault(proven.statement.issuer, []).append(place)
        expected = city.expected(query)
        # A device that is named is there with the statements around the span, if it said nothing in it.
        silent = query.devices - expected.keys()
        assert {issuer: places for issuer, places in found.items() if issuer not in silent} == expected
        assert verified.query == query


def test_a_device_that_said_nothing_in_the_span_shows_that() -> None:
    """Two statements that follow on from one another, one before the span and one behind it."""
    second = MINUTE_US // 60
    span = Span(FIRST_US + 2 * MINUTE_US + 10 * second, FIRST_US + 2 * MINUTE_US + 20 * second)
    statements, verified = judge(collect(EXAMPLE.log, Query(devices=frozenset({DEVICE.issuer}), span=span)))
    assert sequences(statements, DEVICE) == [2, 3]
    assert verified.signers[0].complete
    statements, _ = judge(collect(EXAMPLE.log, Query(span=span)))
    assert statements == []


def test_a_statement_that_begins_where_the_span_ends_is_behind_it() -> None:
    """It closes the bracket."""
    span = Span(FIRST_US + 2 * MINUTE_US + MINUTE_US // 2, FIRST_US + 3 * MINUTE_US)
    statements, verified = judge(collect(EXAMPLE.log, Query(devices=frozenset({DEVICE.issuer}), span=span)))
    assert sequences(statements, DEVICE) == [2, 3]
    assert verified.signers[0].complete


def test_a_device_that_measured_something_else_all_along_shows_nothing() -> None:
    """Neither in the span nor on either side of it is there anything of what was asked for."""
    query = Query(devices=frozenset({DEVICE.issuer}), quantities=frozenset({"o3"}))
    statements, verified = judge(collect(EXAMPLE.log, query))
    assert statements == []
    assert [(signer.issuer, signer.statements) for signer in verified.signers] == [(DEVICE.issuer, 0)]


def test_a_log_of_several_bundles() -> None:
    """Entries are numbered through; a block without statements is not read; progress is told by bundle."""
    log, device = ForgedLog(), device_in(1)
    log.enrol(enrol(device, 0))
    log.add(1, [], refused={"oversize": 1}, offset_last=0)
    del log.files["block/1/000"]
    for _ in range(600):
        log.add(1, [device.read()])
    log.publish()
    told: list[tuple[int, int]] = []
    parts: list[bytes] = []
    collector = Collector(log.files.get, POLICY)
    collector.collect(of_device(device, 500, 502), parts.append, lambda done, size: told.append((done, size)))
    statements, _ = judge(b"".join(parts))
    assert [(proven.entry, proven.statement.sequence) for proven in statements] == [
        (sequence + 3, sequence) for sequence in (499, 500, 501, 502)
    ]
    assert told == [(done + passed, 1206) for passed in (0, 603) for done in (256, 512, 603)]


def test_progress_of_equivocations_is_told() -> None:
    """One pass where there is none; two where there are."""
    log, device = ForgedLog(), device_in(1)
    log.enrol(enrol(device, 0))
    log.add(1, [device.read()])
    for size in (3, 4):
        log.publish()
        told: list[tuple[int, int]] = []

        def tell(done: int, of: int, told: list[tuple[int, int]] = told) -> None:
            told.append((done, of))

        found = Collector(log.files.get, POLICY).find_equivocations(Query(), tell)
        assert len(list(found)) == size - 3
        assert told == [(size, 2 * size), (2 * size, 2 * size)][: size - 2]
        log.add(1, [device.read(sequence=0, records=2)], equivocations=(1,))


@pytest.mark.parametrize(
    ("first", "end", "held", "opening", "closing"),
    [
        (-10, -5, [0], Opening.BEGINS, Closing.BRACKETED),
        (50, 60, [5], Opening.BRACKETED, Closing.OPEN),
        (0, 60, [0, 1, 2, 3, 4, 5], Opening.BEGINS, Closing.OPEN),
        (5, 60, [4, 5], Opening.BRACKETED, Closing.OPEN),
    ],
)
def test_at_the_ends_of_a_life(
    first: int, end: int, held: list[int], opening: Opening, closing: Closing
) -> None:
    """Before the first statement and behind the last one there is nothing to show."""
    statements, verified = judge(collect(EXAMPLE.log, of_device(DEVICE, first, end)))
    assert sequences(statements, DEVICE) == held
    assert (verified.signers[0].opening, verified.signers[0].closing) == (opening, closing)


def test_nothing_that_answers_is_evidence_too() -> None:
    """Head and end, and the whole log as hashes: of the device that was named nothing is shown."""
    stranger = device_in(1, 9)
    data = collect(EXAMPLE.log, of_device(stranger, 0, 5))
    assert [kind for kind, _ in take_apart(data)] == [HEAD, END]
    assert judge(data)[1].signers[0].statements == 0


def test_many_names_are_as_good_as_few() -> None:
    """Beyond a number of names, bodies are taken apart without looking for them first."""
    names = [device.issuer for device in EXAMPLE.devices]
    strangers = [device_in(1, nth).issuer for nth in range(5, 5 + SEARCHED_MAX)]
    few, many = (Query(devices=frozenset(n), span=minutes(1, 4)) for n in (names, [*names, *strangers]))
    assert [p.statement.raw for p in judge(collect(EXAMPLE.log, few))[0]] == [
        p.statement.raw for p in judge(collect(EXAMPLE.log, many))[0]
    ]


def test_progress_is_told() -> None:
    """Both passes, from nothing to the end."""
    told: list[tuple[int, int]] = []
    Collector(EXAMPLE.log.files.get, POLICY).collect(
        of_device(DEVICE, 0, 3), lambda _: None, lambda done, size: told.append((done, size))
    )
    size = len(EXAMPLE.log.entries)
    assert told == [(size, 2 * size), (2 * size, 2 * size)]


def without(path: str) -> ReadFile:
    """The files but one."""
    return lambda wanted: None if wanted == path else EXAMPLE.log.files.get(wanted)


def damaged(path: str, at: int = -1) -> ReadFile:
    """The files, one bit of one of them flipped."""
    changed = bytearray(EXAMPLE.log.files[path])
    changed[at] ^= 1
    return lambda wanted: bytes(changed) if wanted == path else EXAMPLE.log.files.get(wanted)


def make(read: ReadFile) -> Callable[[], None]:
    """Making evidence from these files."""
    return lambda: Collector(read, POLICY).collect(of_device(DEVICE, 1, 3), lambda _: None)


def test_a_missing_file_is_named() -> None:
    """A body of the device's shard, or of the registry; no checkpoint is nothing wrong."""
    for path in ("block/1/002", "block/0/000"):
        with pytest.raises(MissingError) as missing:
            make(without(path))()
        assert path in str(missing.value)
    with pytest.raises(UnavailableError):
        make(without("checkpoint"))()
    make(without("block/2/001"))()


def test_a_damaged_file_makes_no_evidence() -> None:
    """Its bytes are not those that the log signed."""
    for path, at, reason in (
        ("block/1/002", -1, Reason.BLOCK_ROOT),
        ("block/1/002", 10, Reason.MANIFEST_MISMATCH),
        (f"tile/0/000.p/{len(EXAMPLE.log.entries)}", 0, Reason.ROOT_MISMATCH),
    ):
        with pytest.raises(VerificationError) as refused:
            make(damaged(path, at))()
        assert refused.value.reason is reason


@pytest.mark.parametrize("seed", range(10))
def test_runs_against_a_set(seed: int) -> None:
    """Before and behind, whatever the order."""
    chance = random.Random(seed)
    held: set[int] = set()
    runs = _Runs()
    for _ in range(150):
        sequence = chance.randrange(100)
        held.add(sequence)
        runs.add(sequence)
        assert runs.runs == [
            [n, next(end for end in range(n, 101) if end + 1 not in held)]
            for n in sorted(held)
            if n - 1 not in held
        ]
        for asked in range(-1, 102):
            assert runs.before(asked) == max((n for n in held if n < asked), default=None)
            assert runs.behind(asked) == min((n for n in held if n > asked), default=None)
