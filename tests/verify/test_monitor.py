"""The monitor: what a log does wrong is said once, with its reason; what does not answer accuses nobody."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

import cbor2
import pytest

from pipeline.log.checkpoint import Checkpoint, add_signatures, cosign, parse_checkpoint, sign_checkpoint
from pipeline.log.cosigning import parse_add_checkpoint
from pipeline.log.genesis import sign_genesis
from pipeline.log.manifest import Manifest
from pipeline.log.merkle import check_consistency
from pipeline.log.note import NoteSigner, encode_vkey, parse_note
from pipeline.log.policy import parse_policy
from pipeline.verify.monitor import STATE_PATH, Monitor, Patience, update_path
from pipeline.wire.errors import InputError, MissingError, UnavailableError, VerificationError
from pipeline.wire.keys import SeedSigner
from pipeline.wire.senml import Record, encode_pack
from tests.support.city import (
    AUTHORITIES,
    LOG,
    NOW_MS,
    ORIGIN,
    POLICY,
    WITNESSES,
    Device,
    ForgedLog,
    device_in,
    enrol,
    policy_text,
    seed,
)

NOW_S = NOW_MS // 1000
PATIENCE = Patience(gap_s=60, skew_s=10**9, body_s=30)
Said = list[tuple[str, str, str]]


class Line:
    """Files behind a line that can be cut; whatever is read is counted."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.cut: set[str] = set()
        self.reads = 0

    def read(self, path: str) -> bytes | None:
        self.reads += 1
        if "*" in self.cut or path in self.cut:
            raise UnavailableError("line", f"cut at {path}")
        return self.files.get(path)


class Watcher:
    """A monitor with its folder; `again` ends it and starts another one from what is kept."""

    def __init__(self, log: ForgedLog, patience: Patience = PATIENCE) -> None:
        self.line = Line(log.files)
        self.patience = patience
        self.kept: dict[str, bytes] = {}
        self.monitor = self.new()

    def new(self) -> Monitor:
        return Monitor(self.line.read, POLICY, AUTHORITIES, self.patience)

    def look(self, now_s: int = NOW_S) -> Said:
        """Look once, do all there is to do, keep it; return what is said."""
        self.monitor.look(now_s)
        while self.monitor.advance(now_s):
            pass
        said = [
            ("over" if report.over else report.level.value, report.reason.value, report.where)
            for report in self.monitor.reports.take()
        ]
        self.kept |= self.monitor.kept()
        return said

    def again(self) -> None:
        self.monitor = self.new()
        self.monitor.restore(self.kept[STATE_PATH], self.kept.get)


class Log(ForgedLog):
    """A log with two devices, which goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.devices = [device_in(1), device_in(2)]
        self.enrol(*(enrol(device, number) for number, device in enumerate(self.devices)))

    def read(self, device: Device, count: int = 2, **changes: int) -> bytes:
        """A statement whose records are of now."""
        return device.read(records=count, **changes)

    def go_on(self, time_s: int = NOW_S, blocks: int = 2) -> None:
        """Add blocks of readings and publish."""
        for number in range(blocks):
            device = self.devices[number % 2]
            self.add(device.shard, [self.read(device) for _ in range(3)])
        self.publish(time_s=time_s)


@pytest.fixture
def log() -> Log:
    """A log that has begun."""
    log = Log()
    log.go_on()
    return log


def test_a_log_that_grows_in_order_is_followed_in_silence(log: Log) -> None:
    """Over bundles and restarts; nothing that was checked is read again."""
    watcher = Watcher(log)
    assert watcher.look() == []
    assert watcher.monitor.position == (4, 4)
    for round_ in range(4):
        log.enrol(enrol(device_in(1, 1 + round_), 2 + round_))
        log.go_on(NOW_S + round_, blocks=70)
        watcher.line.files = dict(log.files)
        watcher.again()
        watcher.line.reads = 0
        assert watcher.look(NOW_S + round_) == []
        assert watcher.line.reads < 90, "what is new, and the tiles above it"
    assert watcher.monitor.position == (4 + 4 * 71, 4 + 4 * 71)
    assert watcher.monitor.standing == []


def test_where_nothing_is_new_only_the_checkpoint_is_read(log: Log) -> None:
    """It looks often, so a look costs little."""
    watcher = Watcher(log)
    watcher.look()
    watcher.line.reads = 0
    assert watcher.look() == []
    assert watcher.line.reads == 1


# Logs that contradict themselves


def forked(log: Log, blocks: int) -> Log:
    """Another log by the same key, which holds something else from the beginning."""
    other = Log()
    other.devices = [device_in(1), device_in(2)]
    other.add(1, [other.devices[0].read(records=3)])
    other.add(2, [other.devices[1].read(records=3)])
    if blocks:
        other.go_on(blocks=blocks)
    other.publish(time_s=NOW_S)
    return other


@pytest.mark.parametrize("blocks", [0, 1, 5])
def test_a_fork_is_evidence_whatever_its_size(log: Log, blocks: int) -> None:
    """Equal or larger: it is told once, kept in files that convict, and never taken up."""
    watcher = Watcher(log)
    watcher.look()
    honest = dict(watcher.line.files)
    watcher.line.files = forked(log, blocks).files
    assert watcher.look() == [("alarm", "split_view", "checkpoint")]
    assert watcher.look() == []
    watcher.again()
    assert watcher.look() == []
    assert [report.reason.value for report in watcher.monitor.standing] == ["split_view"]
    convicts(watcher.kept)

    log.files = honest
    log.go_on()
    watcher.line.files = dict(log.files)
    assert watcher.look() == [], "the one that was seen first is followed on"
    assert watcher.monitor.position == (6, 6)
    assert [report.reason.value for report in watcher.monitor.standing] == ["split_view"]


def test_a_fork_that_is_smaller_is_evidence_too() -> None:
    """Shown after a larger tree."""
    log = Log()
    log.go_on(blocks=6)
    watcher = Watcher(log)
    watcher.look()
    small = forked(log, 0).files["checkpoint"]
    watcher.line.files["checkpoint"] = small
    assert watcher.look() == [
        ("alarm", "split_view", "checkpoint"),
        ("alarm", "checkpoint_shrank", "checkpoint"),
    ]
    convicts(watcher.kept)


def convicts(kept: Mapping[str, bytes]) -> None:
    """The files alone show that the log has signed two trees of which neither extends the other."""
    files = {path.rpartition("/")[2]: data for path, data in kept.items() if path.startswith("evidence/")}
    smaller = parse_checkpoint(parse_note(files["smaller.checkpoint"]).text)
    request = parse_add_checkpoint(files["larger.request"])
    larger = parse_checkpoint(parse_note(request.note).text)
    prefix = parse_checkpoint(files["larger.prefix"].decode())
    assert smaller.size == prefix.size == request.old_size <= larger.size
    assert smaller.root != prefix.root
    check_consistency(prefix.size, prefix.root, larger.size, larger.root, request.proof)
    with pytest.raises(VerificationError):
        check_consistency(smaller.size, smaller.root, larger.size, larger.root, request.proof)


def test_a_log_that_shrank_is_said_until_it_has_grown_again(log: Log) -> None:
    """An older checkpoint is true, and yet a log does not go back."""
    old = dict(log.files)
    log.go_on()
    watcher = Watcher(log)
    watcher.look()
    watcher.line.files = old | {path: data for path, data in log.files.items() if path != "checkpoint"}
    assert watcher.look() == [("alarm", "checkpoint_shrank", "checkpoint")]
    assert watcher.look() == []
    watcher.line.files = dict(log.files)
    assert watcher.look() == [("over", "checkpoint_shrank", "checkpoint")]


def test_an_old_checkpoint_out_of_a_cache_is_looked_at_twice(log: Log) -> None:
    """The second answer is the true one: nothing has happened."""
    old = log.files["checkpoint"]
    log.go_on()
    watcher = Watcher(log)
    watcher.look()
    answers = [old]
    whole = watcher.line.read
    watcher.monitor._read = lambda path: answers.pop() if path == "checkpoint" and answers else whole(path)
    assert watcher.look() == []
    assert answers == []


# Checkpoints that are wrong, or late


def test_a_lost_quorum_is_a_warning_until_it_is_back(log: Log) -> None:
    """One witness of three is left: nobody contradicts himself."""
    watcher = Watcher(log)
    watcher.look()
    log.publish(witnesses=WITNESSES[:1])
    watcher.line.files = dict(log.files)
    assert watcher.look() == [("warning", "quorum_missing", "checkpoint")]
    assert watcher.look() == []
    log.go_on()
    watcher.line.files = dict(log.files)
    assert watcher.look() == [("over", "quorum_missing", "checkpoint")]
    assert watcher.monitor.position == (6, 6)


def test_a_stale_checkpoint_is_said(log: Log) -> None:
    """The newest cosignature is older than the city promises."""
    watcher = Watcher(log)
    age_s = AUTHORITIES.bounds_s["checkpoint_age_s"]
    assert watcher.look(NOW_S + age_s) == []
    assert watcher.look(NOW_S + age_s + 1) == [("warning", "checkpoint_stale", "checkpoint")]


def test_a_wrong_signature_is_an_alarm(log: Log) -> None:
    """What the log's key has not signed is not followed."""
    watcher = Watcher(log)
    signature = log.files["checkpoint"].rindex(b" ") + 20
    note = bytearray(log.files["checkpoint"])
    note[signature] = ord("A") if note[signature] != ord("A") else ord("B")
    watcher.line.files["checkpoint"] = bytes(note)
    assert watcher.look() == [("alarm", "note_signature", "checkpoint")]
    assert watcher.monitor.position == (0, 0)


def test_blocks_that_waited_long_for_a_checkpoint_are_late(log: Log) -> None:
    """It had arrived, so they say, long before a checkpoint was seen without it: backdated, or held back."""
    watcher = Watcher(log)
    watcher.look(NOW_S + 60)
    log.go_on(NOW_S + 61)
    watcher.line.files = dict(log.files)
    assert watcher.look(NOW_S + 62) == [], "60 s are promised"
    watcher.look(NOW_S + 70)
    log.go_on(NOW_S + 71)
    watcher.line.files = dict(log.files)
    assert watcher.look(NOW_S + 72) == [("warning", "cosign_late", "block/1/002 and 1 more")]


def test_a_monitor_that_was_away_accuses_nobody_of_being_late(log: Log) -> None:
    """What it has not seen missing was not late for all it knows."""
    watcher = Watcher(log)
    watcher.look(NOW_S)
    log.go_on(NOW_S + 10)
    watcher.line.files = dict(log.files)
    assert watcher.look(NOW_S + 10_000) == []


def test_a_block_that_arrived_after_it_was_cosigned_is_an_alarm(log: Log) -> None:
    """Somebody's clock, or somebody, says what cannot be."""
    bound_ms = AUTHORITIES.bounds_s["cosign_delay_s"] * 1000
    late_ms = NOW_MS + bound_ms + 1
    log.add(1, [log.devices[0].read()], arrival_first_ms=late_ms, arrival_last_ms=late_ms)
    log.publish(time_s=NOW_S)
    assert Watcher(log).look() == [("alarm", "arrival_late", "block/1/001")]


# What does not answer


def test_a_silent_log_is_waited_for(log: Log) -> None:
    """Nothing is forgotten, nobody is accused, and it goes on where it was."""
    watcher = Watcher(log)
    watcher.line.cut = {"*"}
    assert watcher.look() == [("warning", "log_silent", "checkpoint")]
    assert watcher.look() == []
    watcher.line.cut = set()
    assert watcher.look() == [("over", "log_silent", "checkpoint")]
    assert watcher.monitor.position == (4, 4)


@pytest.mark.parametrize("path", ["block/0/000", "block/1/000", "block/2/000", "tile/entries/000.p/4"])
def test_what_fails_in_the_middle_leaves_everything_as_it_was(log: Log, path: str) -> None:
    """No half of a step is taken: at the next look the same entries are checked, and clean."""
    watcher = Watcher(log)
    watcher.line.cut = {path}
    assert watcher.look() == [("warning", "log_silent", "files")]
    assert watcher.monitor.position == (0, 4)
    watcher.again()
    watcher.line.cut = set()
    assert watcher.look() == [("over", "log_silent", "files")]
    assert watcher.monitor.position == (4, 4)


def test_a_missing_body_is_waited_for_and_then_named(log: Log) -> None:
    """It should have been there before the checkpoint: for a while it may be on its way."""
    watcher = Watcher(log)
    body = watcher.line.files.pop("block/1/000")
    assert watcher.look(NOW_S) == [("warning", "file_missing", "block/1/000")]
    assert watcher.look(NOW_S + 29) == []
    assert watcher.monitor.position == (2, 4)
    late = Watcher(log)
    late.line.files.pop("block/1/000")
    late.look(NOW_S)
    late.line.files["block/1/000"] = body
    assert late.look(NOW_S + 29) == [("over", "file_missing", "block/1/000")]
    assert watcher.look(NOW_S + 30) == [
        ("over", "file_missing", "block/1/000"),
        ("alarm", "file_missing", "block/1/000"),
    ]
    assert watcher.monitor.position == (4, 4)


# Entries and signers


def test_a_bad_statement_is_named(log: Log) -> None:
    """As fsck names it."""
    stranger = device_in(1, 5)
    log.add(1, [stranger.read()])
    log.publish(time_s=NOW_S)
    assert Watcher(log).look() == [("alarm", "key_unknown", "block/1/001 leaf 1")]


def test_a_wrong_tile_stops_it_until_it_is_right(log: Log) -> None:
    """What is not the tree's is not looked at."""
    watcher = Watcher(log)
    path = "tile/entries/000.p/4"
    right = watcher.line.files[path]
    watcher.line.files[path] = right[:-1] + bytes([right[-1] ^ 1])
    assert watcher.look() == [("alarm", "root_mismatch", "tiles and entries")]
    assert watcher.monitor.position == (0, 4)
    watcher.line.files[path] = right
    assert watcher.look() == [("over", "root_mismatch", "tiles and entries")]


def test_a_gap_is_said_when_it_has_stayed_and_over_when_it_is_filled(log: Log) -> None:
    """Statements may be late; then they are missing, by device and sequence; then they come after all."""
    device = log.devices[0]
    held_back = [device.read() for _ in range(3)]
    log.add(1, [device.read()])
    log.publish(time_s=NOW_S)
    watcher = Watcher(log)
    assert watcher.look(NOW_S + 60) == []
    where = f"{device.issuer} epoch 1 sequences 3 to 5"
    assert watcher.look(NOW_S + 61) == [("warning", "sequence_missing", where)]
    watcher.again()
    assert watcher.look(NOW_S + 62) == []
    now: dict[str, Any] = {"arrival_first_ms": NOW_MS + 62_000, "arrival_last_ms": NOW_MS + 62_000}
    log.add(1, held_back[:2], **now)
    log.publish(time_s=NOW_S + 62)
    watcher.line.files = dict(log.files)
    rest = f"{device.issuer} epoch 1 sequence 5"
    assert watcher.look(NOW_S + 63) == [
        ("over", "sequence_missing", where),
        ("warning", "sequence_missing", rest),
    ]
    log.add(1, held_back[2:], **now)
    log.publish(time_s=NOW_S + 62)
    watcher.line.files = dict(log.files)
    assert watcher.look(NOW_S + 64) == [("over", "sequence_missing", rest)]


def test_an_equivocation_is_named_with_its_signer(log: Log) -> None:
    """A cloned key shows itself."""
    device = log.devices[0]
    log.add(1, [device.read(sequence=0, records=5)], equivocations=(1,))
    log.publish(time_s=NOW_S)
    watcher = Watcher(log)
    watcher.monitor.look(NOW_S)
    watcher.monitor.advance(NOW_S)
    (report,) = watcher.monitor.reports.take()
    assert (report.level, report.reason, report.where) == ("alarm", "equivocation", "block/1/001 leaf 1")
    assert report.detail == f"{device.issuer} epoch 1 sequence 0"


@pytest.mark.parametrize(
    ("shift_s", "detail"), [(301, "0:05:01 ahead"), (-301, "0:05:01 behind: a clock, or late")]
)
def test_a_clock_that_is_wrong_is_said_while_it_is(shift_s: int, detail: str) -> None:
    """Against arrival, 300 s are allowed either way."""
    log = Log()
    device = log.devices[0]
    log.add(
        1,
        [device.read(records=1)],
        arrival_first_ms=NOW_MS - 1000 * shift_s,
        arrival_last_ms=NOW_MS - 1000 * shift_s,
    )
    log.publish(time_s=NOW_S)
    watcher = Watcher(log, Patience(skew_s=300))
    watcher.monitor.look(NOW_S)
    while watcher.monitor.advance(NOW_S):
        pass
    late = [report for report in watcher.monitor.reports.take() if report.reason != "arrival_late"]
    assert [(report.reason.value, report.where, report.detail) for report in late] == [
        ("clock_skew", device.issuer, detail)
    ]
    watcher.kept |= watcher.monitor.kept()
    watcher.again()
    log.add(1, [device.read()], arrival_first_ms=NOW_MS + 302_000, arrival_last_ms=NOW_MS + 302_000)
    log.publish(time_s=NOW_S + 302)
    watcher.line.files = dict(log.files)
    assert watcher.look() == [("over", "clock_skew", device.issuer)]


# Without bodies


def test_an_outsider_follows_without_bodies(log: Log) -> None:
    """Checkpoints, entries, signatures and heights; not one body is asked for."""
    files = {path: data for path, data in log.files.items() if not path.startswith("block/")}
    line = Line(files)
    line.cut = {path for path in log.files if path.startswith("block/")}
    monitor = Monitor(line.read, POLICY, AUTHORITIES, PATIENCE, bodies=False)
    monitor.look(NOW_S)
    while monitor.advance(NOW_S):
        pass
    assert monitor.reports.take() == []
    assert monitor.position == (4, 4)
    with pytest.raises(InputError):
        Monitor(line.read, POLICY, AUTHORITIES, PATIENCE).restore(monitor.kept()[STATE_PATH], {}.get)  # type: ignore[arg-type]


def test_an_outsider_sees_wrong_entries(log: Log) -> None:
    """A height that is left out, a signature of another key; and nothing where heights follow on."""
    log.go_on(blocks=4)
    log.add(1, [log.devices[0].read()], change=lambda manifest: replace(manifest, height=5))
    log.add(1, [log.devices[0].read()])
    log.add(2, [log.devices[1].read()], signer=SeedSigner(seed("nobody")))
    log.publish(time_s=NOW_S)
    monitor = Monitor(log.files.get, POLICY, AUTHORITIES, PATIENCE, bodies=False)
    monitor.look(NOW_S)
    while monitor.advance(NOW_S):
        pass
    assert [(report.reason.value, report.where) for report in monitor.reports.take()] == [
        ("block_height", "entry 8"),
        ("key_unknown", "entry 10"),
    ]


# State


def test_a_crash_anywhere_says_nothing_less() -> None:
    """Whatever prefix of the kept files was written, the next one says what would have been said."""
    log = Log()
    log.go_on(blocks=3)
    stranger = device_in(2, 5)
    log.enrol(enrol(device_in(1, 1), 2))
    log.add(2, [stranger.read()])
    log.publish(time_s=NOW_S)
    first = Watcher(log)
    said = first.look()
    assert said == [("alarm", "key_unknown", "block/2/001 leaf 1")]
    order = list(first.kept)
    assert order[-1] == STATE_PATH, "the state is written last"
    for written in range(len(order)):
        crashed = Watcher(log)
        crashed.kept = {path: first.kept[path] for path in order[:written]}
        assert crashed.look() == said
        assert crashed.kept == first.kept


def test_a_state_of_another_policy_or_without_its_registry_is_refused(log: Log) -> None:
    """It is not gone on with as if nothing had been."""
    watcher = Watcher(log)
    watcher.look()
    kept = watcher.kept
    with pytest.raises(MissingError):
        watcher.new().restore(kept[STATE_PATH], lambda _path: None)
    with pytest.raises(VerificationError):
        watcher.new().restore(kept[STATE_PATH][:-1], kept.get)
    nobody = replace(POLICY, logs={})
    with pytest.raises(VerificationError):
        Monitor(watcher.line.read, nobody, AUTHORITIES, PATIENCE).restore(kept[STATE_PATH], kept.get)
    assert LOG.name == parse_checkpoint(parse_note(log.files["checkpoint"]).text).origin


# What it holds to, step by step


def test_before_there_is_a_checkpoint_there_is_nothing_to_do() -> None:
    """A log that shows none is silent, so far."""
    watcher = Watcher(ForgedLog())
    assert watcher.monitor.advance(NOW_S) is False
    assert watcher.look() == [("warning", "log_silent", "checkpoint")]
    assert watcher.monitor.advance(NOW_S) is False
    assert watcher.monitor.position == (0, 0)


def test_a_step_tells_whether_another_may_be_made_at_once(log: Log) -> None:
    """Not where all is done, nor where something is waited for."""
    path = "tile/entries/000.p/4"
    for cut, missing in (({path}, []), (set(), [path]), (set(), ["block/1/000"]), (set(), [])):
        watcher = Watcher(log)
        watcher.line.cut = cut
        for gone in missing:
            del watcher.line.files[gone]
        watcher.monitor.look(NOW_S)
        assert watcher.monitor.advance(NOW_S) is not (bool(cut) or bool(missing))
        assert watcher.monitor.advance(NOW_S) is False
    watcher = Watcher(log)
    watcher.line.files[path] = b"x" + watcher.line.files[path][1:]
    watcher.monitor.look(NOW_S)
    assert watcher.monitor.advance(NOW_S) is False


def test_a_missing_tile_is_waited_for(log: Log) -> None:
    """It may come yet; nothing has been checked meanwhile."""
    watcher = Watcher(log)
    path = "tile/entries/000.p/4"
    tile = watcher.line.files.pop(path)
    assert watcher.look() == [("warning", "file_missing", path)]
    assert watcher.monitor.position == (0, 4)
    watcher.line.files[path] = tile
    assert watcher.look() == [("over", "file_missing", path)]


def test_the_very_first_body_is_waited_for_as_well(log: Log) -> None:
    """Though nothing was read before it."""
    watcher = Watcher(log)
    body = watcher.line.files.pop("block/0/000")
    assert watcher.look() == [("warning", "file_missing", "block/0/000")]
    watcher.line.files["block/0/000"] = body
    assert watcher.look(NOW_S + 29) == [("over", "file_missing", "block/0/000")]


@pytest.mark.parametrize("first", [None, b"", b"garbled"])
def test_a_body_is_asked_for_twice_before_it_is_wrong(log: Log, first: bytes | None) -> None:
    """What comes right at the second time was a matter of the line."""
    for answers in (1, 2):
        watcher = Watcher(log)
        whole = watcher.line.read
        bad = [first] * answers

        def read(path: str, whole: Any = whole, bad: list[bytes | None] = bad) -> bytes | None:
            return bad.pop() if path == "block/1/000" and bad else whole(path)

        watcher.monitor._read = read
        said = watcher.look()
        assert bad == []
        if answers == 1:
            assert said == []
        else:
            reason = ("warning", "file_missing") if first is None else ("alarm", "block_shape")
            assert said == [(*reason, "block/1/000")]


def test_the_first_entry_is_looked_at() -> None:
    """A genesis of another log."""
    log = ForgedLog(genesis=sign_genesis(LOG.signer, "other.example/log", 3, AUTHORITIES.file_hash))
    log.publish(time_s=NOW_S)
    assert Watcher(log).look() == [("alarm", "checkpoint_origin", "entry 0")]


def test_a_log_that_calls_itself_otherwise_is_not_followed(log: Log) -> None:
    """Also where the policy knows the other one: whoever serves it has exchanged them."""
    other = NoteSigner("other.example/log", SeedSigner(seed("other log")))
    text = policy_text().replace("\n", f"\nlog {encode_vkey(other.key())}\n", 1)
    watcher = Watcher(log)
    watcher.monitor = Monitor(watcher.line.read, parse_policy(text.encode()), AUTHORITIES, PATIENCE)
    assert watcher.look() == []
    checkpoint = Checkpoint(other.name, 9, bytes(32))
    cosignatures = [cosign(checkpoint, witness, NOW_S) for witness in WITNESSES]
    note = add_signatures(sign_checkpoint(checkpoint, other), cosignatures)
    watcher.line.files["checkpoint"] = note
    assert watcher.look() == [("alarm", "checkpoint_origin", "checkpoint")]
    assert watcher.monitor.position == (4, 4)


def told(watcher: Watcher) -> list[tuple[str, str, str]]:
    """What is said with its detail."""
    watcher.monitor.look(NOW_S)
    while watcher.monitor.advance(NOW_S):
        pass
    return [(each.reason.value, each.where, each.detail) for each in watcher.monitor.reports.take()]


def test_only_what_contradicts_its_signer_is_an_equivocation(log: Log) -> None:
    """What the operator named so wrongly convicts no signer; what stands behind it does."""
    device = log.devices[0]
    fair, contradicting = device.read(), device.read(sequence=1, records=5)
    log.add(1, [fair, contradicting, device.read(sequence=4)], equivocations=(1, 2))
    log.publish(time_s=NOW_S)
    assert told(Watcher(log)) == [
        ("equivocation", "block/1/001 leaf 1", "the manifest does not name it as what it is"),
        ("equivocation", "block/1/001 leaf 2", f"{device.issuer} epoch 1 sequence 1"),
    ]


def test_an_authority_that_contradicts_itself_is_said(log: Log) -> None:
    """Its statement changes no registry, and is named."""
    log.enrol(enrol(device_in(1, 1), 0), skip=(1,))
    log.publish(time_s=NOW_S)
    assert told(Watcher(log)) == [("equivocation", "block/0/001 leaf 1", "an authority's")]


def test_what_is_no_reading_has_no_clock(log: Log) -> None:
    """Neither a pack that does not decode, nor what is no statement at all."""
    device = log.devices[0]
    old = encode_pack(device.issuer, [Record("no2", "ug/m3", 1.0, 1e9)])
    good, bad = device.read(), device.read(payload=b"\x80")
    other = device.read(payload=old, content_type="application/vnd.cityproof.handover+cbor")
    log.add(1, [good, bad, b"no statement", other])
    log.publish(time_s=NOW_S)
    assert Watcher(log, Patience(skew_s=300)).look() == [
        ("alarm", "pack_shape", "block/1/001 leaf 2"),
        ("alarm", "cbor_truncated", "block/1/001 leaf 3"),
        ("alarm", "statement_content_type", "block/1/001 leaf 4"),
    ]


def test_files_are_kept_under_names_that_the_next_version_knows(log: Log) -> None:
    """Numbered updates of the registry, evidence by its hash, and the state with its version first."""
    log.enrol(enrol(device_in(1, 1), 2))
    log.go_on()
    watcher = Watcher(log)
    watcher.look()
    assert list(watcher.kept) == ["registry/000000", "registry/000001", "state"]
    assert update_path(12) == "registry/000012"
    assert cbor2.loads(watcher.kept["state"])[0] == [1, True]
    watcher.line.files = forked(log, 0).files
    watcher.look()
    files = ("smaller.checkpoint", "larger.request", "larger.prefix")
    name = next(path.split("/")[1] for path in watcher.kept if path.startswith("evidence/"))
    folder = f"evidence/{name}"
    parts = [watcher.kept[f"{folder}/{file}"] for file in files]
    assert name == f"split-view-{sha256(b''.join(parts)).hexdigest()[:16]}"
    outsider = Monitor(watcher.line.read, POLICY, AUTHORITIES, PATIENCE, bodies=False)
    assert cbor2.loads(outsider.kept()["state"])[0] == [1, False]


def test_a_state_of_another_version_is_refused(log: Log) -> None:
    """And one that was begun with bodies, by a monitor that goes without."""
    watcher = Watcher(log)
    watcher.look()
    fields = cbor2.loads(watcher.kept[STATE_PATH])
    fields[0][0] = 2
    with pytest.raises(InputError, match="another version of it began"):
        watcher.new().restore(cbor2.dumps(fields), watcher.kept.get)


def named(manifest: Manifest) -> str:
    """Where a block stands."""
    return f"block/{manifest.shard}/{manifest.height:03}"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"height": 9}, "block_height"),
        ({"previous": bytes(32)}, "block_link"),
        ({"topic_id": bytes(16)}, "block_offsets"),
        ({"offset_first": 99, "offset_last": 99}, "block_offsets"),
        ({"arrival_first_ms": NOW_MS - 1}, "block_times"),
    ],
)
def test_after_a_restart_blocks_follow_on_from_those_before(
    log: Log, fields: dict[str, Any], reason: str
) -> None:
    """What it has seen last of each shard is kept."""
    watcher = Watcher(log)
    assert watcher.look() == []
    watcher.again()
    manifest = log.add(1, [log.devices[0].read()], **fields)
    log.publish(time_s=NOW_S)
    watcher.line.files = dict(log.files)
    assert watcher.look() == [("alarm", reason, named(manifest))]


def test_after_a_restart_a_stale_registry_is_still_one(log: Log) -> None:
    """When the registry's blocks arrived is known from what is kept of them."""
    before: dict[str, Any] = {"registry_blocks": log.registry.blocks, "registry_root": log.registry.root}
    log.enrol(enrol(device_in(1, 1), 2))
    log.publish(time_s=NOW_S)
    watcher = Watcher(log)
    assert watcher.look() == []
    watcher.again()
    log.add(1, [log.devices[0].read()], arrival_last_ms=NOW_MS + 60_001, **before)
    log.publish(time_s=NOW_S + 61)
    watcher.line.files = dict(log.files)
    assert watcher.look() == [("alarm", "registry_lag", "block/1/001")]


def test_after_a_restart_the_log_has_the_shards_it_had() -> None:
    """As many as its genesis says; where that could not be read, nobody knows how many."""
    for shards, expected in ((2, [("alarm", "block_shape", "entry 3")]), (3, []), (None, [])):
        log = Log()
        genesis = sign_genesis(LOG.signer, ORIGIN, shards, AUTHORITIES.file_hash) if shards else b"\xff"
        log.entries[0] = genesis
        log.publish(time_s=NOW_S)
        watcher = Watcher(log)
        begun = watcher.look()
        assert begun == ([] if shards else [("alarm", "cbor_reserved", "entry 0")])
        watcher.again()
        log.add(1, [device_in(1).read()])
        log.add(2, [device_in(2).read()])
        log.publish(time_s=NOW_S)
        watcher.line.files = dict(log.files)
        assert watcher.look() == expected


def test_after_a_restart_what_was_lost_is_not_missed(log: Log) -> None:
    """A registry block whose body never came: a key that it may have had accuses nobody."""
    log.enrol(enrol(device_in(1, 1), 2))
    log.publish(time_s=NOW_S)
    watcher = Watcher(log, Patience(body_s=0))
    del watcher.line.files["block/0/001"]
    assert watcher.look() == [("alarm", "file_missing", "block/0/001")]
    watcher.again()
    stranger = device_in(1, 1)
    log.add(1, [stranger.read(), spoiled(log.devices[0].read())])
    log.publish(time_s=NOW_S)
    watcher.line.files = dict(log.files)
    assert watcher.look() == [("alarm", "signature_invalid", "block/1/001 leaf 2")]


def spoiled(raw: bytes) -> bytes:
    """A statement whose signature does not verify."""
    return raw[:-1] + bytes([raw[-1] ^ 1])
