"""`cityproof bench fsck`: what checking a whole log costs beside the signature checks that nobody can spare.

A log of statements of ten records is made in a temporary folder, by the stages' own code. fsck in this
process and a bare PyNaCl loop over the same statements run in turn, timed by their processor time. How it
scales is measured twice: by the clock on the wall, against two bare loops side by side, which other programs
disturb; and by the processor time that two processes and the one that leads them take, which they do not.
"""

import json
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from pipeline.commands.bench.sealing import SHARD, SHARDS, Clock, Load, make_load, two_at_once, verify_bare
from pipeline.commands.reading import FolderFiles
from pipeline.edges.processes import ExaminingProcesses
from pipeline.identity.authorities import ANY, Authorities, Authority, format_authorities, parse_authorities
from pipeline.identity.registry import Registry
from pipeline.log.chain import ChainTip
from pipeline.log.checkpoint import Checkpoint, sign_checkpoint
from pipeline.log.note import NoteSigner, encode_vkey
from pipeline.log.policy import Policy, parse_policy
from pipeline.log.sequences import SignerSequences
from pipeline.log.tiles import CHECKPOINT_PATH, TileAppender, block_path
from pipeline.ports import Append, Message
from pipeline.stages.admission import ReadingAdmission, RegistryAdmission
from pipeline.stages.aggregator import READ_MAX
from pipeline.stages.envelopes import wrap_arrival
from pipeline.stages.log import Ledger
from pipeline.stages.sealing import Sealer
from pipeline.verify.fsck import LogCheck
from pipeline.wire.enrolment import encode_enrolment
from pipeline.wire.keys import SeedSigner
from pipeline.wire.statement import CONTENT_ENROLMENT, sign_statement
from pipeline.wire.topics import BLOCKS, STATEMENTS

RUNS = 3
RECORDS = 10
STATEMENTS_COUNT = 49_152
PROCESSES = 2
ORIGIN = "bench.example/log"
AUTHORITY = "https://bench.example/"
TOPIC_ID = bytes(16)
GOALS = {"fsck_10": 0.50, "two_processes": 0.80, "two_processes_cpu": 0.80}


class BenchLog:
    """A published log in a folder, and what its checking must be compared with."""

    def __init__(self, folder: Path, load: Load) -> None:
        self.load = load
        self.files = FolderFiles(folder)
        log = NoteSigner(ORIGIN, SeedSigner(sha256(b"bench log").digest()))
        authority = SeedSigner(sha256(b"bench authority").digest())
        trusted = [Authority(AUTHORITY, authority.public_key, frozenset({ANY}), frozenset({ANY}))]
        bounds_s = {"registry_lag_s": 60, "cosign_delay_s": 60, "checkpoint_age_s": 86_400}
        self.policy: Policy = parse_policy(f"log {encode_vkey(log.key())}\nquorum none\n".encode())
        self.authorities: Authorities = parse_authorities(format_authorities(trusted, bounds_s).encode())
        self._write(folder, log, authority)

    def _write(self, folder: Path, log: NoteSigner, authority: SeedSigner) -> None:
        registry = Registry()
        ledger = Ledger(ORIGIN, SHARDS, log.signer, TOPIC_ID, self.authorities)
        entries = [ledger.genesis().value]
        files: dict[str, bytes] = {}
        for shard, admission, messages in (
            (0, RegistryAdmission(registry, self.authorities), _enrolments(self.load, authority)),
            (SHARD, ReadingAdmission(registry), self.load.messages),
        ):
            sealer = Sealer(shard, SHARDS, TOPIC_ID, admission, SignerSequences(), ChainTip())
            for height, block in enumerate(_sealed(sealer, messages)):
                at_ms = messages[-1].timestamp_ms
                entries.append(ledger.step(Message(BLOCKS, shard, height, at_ms, block.value)).value)
                files[block_path(shard, height)] = block.value
        appender = TileAppender()
        files |= appender.append(entries)
        checkpoint = Checkpoint(ORIGIN, appender.size, appender.root())
        files[CHECKPOINT_PATH] = sign_checkpoint(checkpoint, log)
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)

    def check(self, clock: Clock, processes: int = 1) -> float:
        """Return the seconds that fsck takes."""
        examine = ExaminingProcesses(self.files, processes) if processes > 1 else None
        check = LogCheck(self.files, self.policy, self.authorities, examine)
        began = clock()
        findings = list(check.run())
        spent_s = clock() - began
        assert not findings, f"a log made here is clean, and not: {findings[0]}"
        assert check.tally.statements >= len(self.load.messages), "every statement is checked"
        return spent_s


def _enrolments(load: Load, authority: SeedSigner) -> list[Message]:
    messages: list[Message] = []
    for number, enrolment in enumerate(load.enrolments):
        raw = sign_statement(
            authority,
            issuer=AUTHORITY,
            subject=enrolment.issuer,
            content_type=CONTENT_ENROLMENT,
            epoch=1,
            sequence=number,
            previous=bytes(32),
            payload=encode_enrolment(enrolment),
        )
        messages.append(
            Message(STATEMENTS, 0, number, load.messages[0].timestamp_ms, wrap_arrival(raw), b"registry/b")
        )
    return messages


def _sealed(sealer: Sealer, messages: Sequence[Message]) -> Iterator[Append]:
    """Yield the blocks that these messages make."""
    for start in range(0, len(messages), READ_MAX):
        for checked in sealer.check(messages[start : start + READ_MAX]):
            sealer.take(checked)
            if sealer.is_full:
                yield sealer.seal()[0]
    if sealer.is_open:
        yield sealer.seal()[0]


@contextmanager
def bench_log(statements: int = STATEMENTS_COUNT) -> Iterator[BenchLog]:
    """Make a log in a temporary folder."""
    with TemporaryDirectory(prefix="cityproof-bench-") as folder:
        yield BenchLog(Path(folder), make_load(RECORDS, statements))


def measure_ratio(log: BenchLog) -> list[float]:
    """Return the ratio of fsck's rate to the bare rate, a value a run, runs interleaved."""
    log.check(process_time)
    return [verify_bare(log.load) / log.check(process_time) for _ in range(RUNS)]


def measure_two_processes(log: BenchLog) -> list[float]:
    """Return which share of the bare loop's gain from two processes fsck keeps, a value a run."""
    shares: list[float] = []
    for _ in range(RUNS):
        gain = log.check(perf_counter) / log.check(perf_counter, PROCESSES)
        shares.append(gain / two_at_once(verify_bare, log.load))
    return shares


def measure_two_processors(log: BenchLog) -> list[float]:
    """Return which share of a twofold gain the processor time allows that fsck takes with two processes.

    The last to be done is either who leads, or one of two processors that share everything.
    """
    shares: list[float] = []
    for _ in range(RUNS):
        alone_s, children_before_s = log.check(process_time), _children_s()
        leading_s = log.check(process_time, PROCESSES)
        all_s = leading_s + _children_s() - children_before_s
        shares.append(alone_s / max(all_s / PROCESSES, leading_s) / PROCESSES)
    return shares


def _children_s() -> float:
    """Return the processor time of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(*, as_json: bool) -> int:
    """Print both ratios with their goals. Exit 0: the goals are met; 1: one is not."""
    with bench_log() as log:
        measures: dict[str, Callable[[BenchLog], list[float]]]
        measures = {
            "fsck_10": measure_ratio,
            "two_processes": measure_two_processes,
            "two_processes_cpu": measure_two_processors,
        }
        measured = {name: measure(log) for name, measure in measures.items()}
    medians = {name: median(values) for name, values in measured.items()}
    if as_json:
        rows = {
            name: {"median": medians[name], "runs": measured[name], "goal": GOALS[name]} for name in GOALS
        }
        print(json.dumps(rows, indent=1))
    else:
        for name, goal in GOALS.items():
            spread = f"{min(measured[name]):.2f} .. {max(measured[name]):.2f}"
            print(f"{name:<18} {medians[name]:5.2f}  (goal >= {goal:.2f}; {RUNS} runs {spread})")
    return 0 if all(medians[name] >= goal for name, goal in GOALS.items()) else 1
