"""`cityproof bench sealing`: what sealing costs beside the signature checks that nobody can spare.

Sealing is everything from bytes in memory to an unsigned block: strict check, decode, verify, deduplicate,
Merkle tree, manifest. The bare loop verifies the same signatures with PyNaCl, its inputs laid out beforehand,
and does nothing else. Both run in turn, and the median of the ratios is what counts. One process alone is
timed by its own processor time, which other programs disturb least; two together by the clock on the wall.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from statistics import median
from time import perf_counter, process_time

from nacl.signing import VerifyKey

from pipeline.identity.registry import Registry
from pipeline.log.chain import ChainTip
from pipeline.log.merkle import BlockTree
from pipeline.log.sequences import SignerSequences
from pipeline.ports import Message
from pipeline.stages.admission import ReadingAdmission
from pipeline.stages.aggregator import READ_MAX
from pipeline.stages.envelopes import wrap_arrival
from pipeline.stages.sealing import Sealer
from pipeline.wire.cose import signing_input
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.keys import SeedSigner
from pipeline.wire.possession import sign_possession
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.statement import CONTENT_SENML, parse_statement, shard_of, sign_statement
from pipeline.wire.topics import STATEMENTS

RUNS = 7
STATEMENTS_COUNT = 4096
DEVICES = 64
SHARDS = 2
SHARD = 1
RECORDS = (1, 10)
TREE_LEAVES = 4096
GOALS = {
    "sealing_1": 0.80,
    "sealing_10": 0.65,
    "two_processes_1": 0.85,
    "two_processes_10": 0.85,
    "tree": 1.5,
}

Clock = Callable[[], float]

AUTHORITY = "https://bench.example/"
QUANTITIES = ("no2", "o3", "so2", "pm2_5", "pm10")


@dataclass(frozen=True, slots=True)
class Load:
    """Statements as they wait on the bus, and their signatures laid out for the bare loop."""

    enrolments: Sequence[Enrolment]
    messages: Sequence[Message]
    signatures: Sequence[tuple[VerifyKey, bytes, bytes]]


def make_load(records: int, statements: int = STATEMENTS_COUNT) -> Load:
    """Sign the statements: a fleet's round after round, so many records each."""
    signers = [SeedSigner(sha256(b"bench %d" % number).digest()) for number in range(DEVICES)]
    issuers = [f"urn:dev:ops:32473-bench-{number}" for number in range(DEVICES)]
    enrolments = [enrolment_of(issuer, signer) for issuer, signer in zip(issuers, signers, strict=True)]
    messages: list[Message] = []
    signatures: list[tuple[VerifyKey, bytes, bytes]] = []
    for number in range(statements):
        sequence, device = divmod(number, DEVICES)
        raw = statement_of(signers[device], issuers[device], sequence, records)
        topic = f"statements/{issuers[device]}".encode()
        messages.append(
            Message(STATEMENTS, SHARD, number, 1_800_000_000_000 + number, wrap_arrival(raw), topic)
        )
        statement = parse_statement(raw)
        message = signing_input(statement.protected, statement.payload)
        signatures.append((VerifyKey(signers[device].public_key), message, statement.signature))
    return Load(enrolments, messages, signatures)


def enrolment_of(issuer: str, signer: SeedSigner) -> Enrolment:
    """Return what an authority would state about a device."""
    assert shard_of(issuer, SHARDS) == SHARD
    return Enrolment(
        issuer=issuer,
        public_key=signer.public_key,
        department="bench",
        controller="bench",
        data_class="environment",
        kind="air",
        subject="station",
        area="bench",
        longitude=121.5,
        latitude=31.2,
        height_m=3.0,
        accuracy={},
        calibrated_until_s=2_000_000_000,
        origin="device",
        valid_from_s=0,
        possession=sign_possession(signer, AUTHORITY, issuer),
    )


def statement_of(signer: SeedSigner, issuer: str, sequence: int, records: int) -> bytes:
    """Return a device's statement, with so many records."""
    start_s = 1_800_000_000.0 + 60 * sequence
    pack = [
        Record(
            QUANTITIES[i % len(QUANTITIES)], "ug/m3", round(20 + sequence * 0.1 + i, 1), start_s + i // 5 * 30
        )
        for i in range(records)
    ]
    return sign_statement(
        signer,
        issuer=issuer,
        subject="station",
        content_type=CONTENT_SENML,
        epoch=1_800_000_000,
        sequence=sequence,
        previous=bytes(32),
        payload=encode_pack(issuer, pack),
    )


def verify_bare(load: Load, clock: Clock = process_time) -> float:
    """Return the seconds that verifying every signature takes, and nothing else."""
    began = clock()
    for key, message, signature in load.signatures:
        key.verify(message, signature)
    return clock() - began


def seal_all(load: Load, clock: Clock = process_time) -> float:
    """Return the seconds that sealing every statement takes."""
    registry = Registry()
    for enrolment in load.enrolments:
        registry.apply(enrolment, bytes(32))
    registry.close_block()
    sealer = Sealer(SHARD, SHARDS, bytes(16), ReadingAdmission(registry), SignerSequences(), ChainTip())
    began = clock()
    for start in range(0, len(load.messages), READ_MAX):
        for checked in sealer.check(load.messages[start : start + READ_MAX]):
            sealer.take(checked)
            if sealer.is_full:
                sealer.seal()
    spent_s = clock() - began
    assert sealer.tip.height == STATEMENTS_COUNT // 1024, "every statement is in a block"
    return spent_s


def two_at_once(work: Callable[[Load, Clock], float], load: Load) -> float:
    """Return how many times as fast two processes are as one, at the same work each."""
    context = get_context("fork")
    alone_s = work(load, perf_counter)
    barrier = context.Barrier(2)
    queue: SimpleQueue[float] = context.SimpleQueue()

    def run() -> None:
        barrier.wait()
        queue.put(work(load, perf_counter))

    processes = [context.Process(target=run) for _ in range(2)]
    for process in processes:
        process.start()
    together_s = max(queue.get() for _ in processes)
    for process in processes:
        process.join()
    return 2 * alone_s / together_s


def measure_sealing(records: int) -> list[float]:
    """Return the ratio of the sealing rate to the bare rate, a value a run, runs interleaved."""
    load = make_load(records)
    seal_all(load)
    return [verify_bare(load) / seal_all(load) for _ in range(RUNS)]


def measure_two_processes(records: int) -> list[float]:
    """Return which share of the bare loop's gain from two processes sealing keeps, a value a run."""
    load = make_load(records)
    return [two_at_once(seal_all, load) / two_at_once(verify_bare, load) for _ in range(RUNS)]


def measure_tree() -> list[float]:
    """Return how many times as long a tree takes as the hashlib calls that it consists of, a value a run."""
    leaves = [sha256(b"leaf %d" % number).digest() for number in range(TREE_LEAVES)]
    inputs = [b"\x01" + left + right for left, right in pairwise(leaves)]

    def bare() -> float:
        began = process_time()
        for data in inputs:
            sha256(data).digest()
        return process_time() - began

    def tree() -> float:
        began = process_time()
        BlockTree(leaves)
        return process_time() - began

    return [median(tree() for _ in range(5)) / median(bare() for _ in range(5)) for _ in range(RUNS)]


def run(*, as_json: bool) -> int:
    """Print every ratio with its goal. Exit 0: all goals are met; 1: one is not."""
    measured = {f"sealing_{records}": measure_sealing(records) for records in RECORDS}
    measured |= {f"two_processes_{records}": measure_two_processes(records) for records in RECORDS}
    measured["tree"] = measure_tree()
    medians = {name: median(values) for name, values in measured.items()}
    met = {
        name: (medians[name] <= goal if name == "tree" else medians[name] >= goal)
        for name, goal in GOALS.items()
    }
    if as_json:
        rows = {
            name: {"median": medians[name], "runs": measured[name], "goal": GOALS[name]} for name in GOALS
        }
        print(json.dumps(rows, indent=1))
    else:
        for name, goal in GOALS.items():
            sign = "<=" if name == "tree" else ">="
            spread = f"{min(measured[name]):.2f} .. {max(measured[name]):.2f}"
            print(f"{name:<17} {medians[name]:5.2f}  (goal {sign} {goal:.2f}; {RUNS} runs {spread})")
    return 0 if all(met.values()) else 1
