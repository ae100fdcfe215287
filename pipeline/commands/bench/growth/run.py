"""`cityproof bench growth`: what proofs, blocks and starts cost while a log grows from 10^3 to 10^8 blocks.

What runs is the stages' and the prover's own code; only the files and the bus that they read are made as they
are read. A cost that grows by more than the logarithm of the log does is a fault.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import log2

from pipeline.commands.bench.growth.city import SparseCity, Trust
from pipeline.commands.bench.growth.meter import Cost, measure
from pipeline.commands.bench.growth.stores import measure_stores
from pipeline.commands.bench.growth.works import WORKS, proof_sizes

SIZES = tuple(10**power for power in range(3, 9))
STORE_SIZES = SIZES[:4]  # Rows are on disk; more of them take minutes.
KEYS = 1000
RECORDS = 10
RUNS = 5
SLACK = 1.1  # The last tiles of a tree are wider at one size than at another.
TIMED_SLACK = 1.5  # Times are noisy where counts are not.
NAME_WIDTH = 30


@dataclass(frozen=True, slots=True)
class Growth:
    """Every cost at every size of the log, its largest proof, and those of stores by rows."""

    sizes: list[int]
    proof_bytes: list[int]
    costs: dict[str, list[Cost]]
    store_sizes: list[int]
    stores: dict[str, list[Cost]]

    def faults(self) -> Iterator[str]:
        """Name whatever grew by more than the logarithm of the log since the smallest size."""
        yield from _faults("proof, bytes", self.sizes, self.proof_bytes, SLACK)
        for sizes, works in ((self.sizes, self.costs), (self.store_sizes, self.stores)):
            for name, costs in works.items():
                for field in fields(Cost):
                    values = [getattr(cost, field.name) for cost in costs]
                    slack = TIMED_SLACK if field.name == "seconds" else SLACK
                    yield from _faults(f"{name}, {field.name}", sizes, values, slack)


def _faults(name: str, sizes: Sequence[int], values: Sequence[float], slack: float) -> Iterator[str]:
    for size, value in zip(sizes, values, strict=True):
        if value > values[0] * (log2(size) / log2(sizes[0])) * slack:
            yield f"{name}: {value:g} at {size}, {values[0]:g} at {sizes[0]}"


def grow(sizes: Sequence[int], store_sizes: Sequence[int], trust: Trust, runs: int) -> Growth:
    """Measure everything at every size."""
    growth = Growth([], [], {}, [*store_sizes], measure_stores(store_sizes))
    for blocks in sizes:
        city = SparseCity(trust, blocks)
        growth.sizes.append(city.size)
        growth.proof_bytes.append(max(proof_sizes(city)))
        for work in WORKS:
            for name, cost in measure(work, city, runs).items():
                growth.costs.setdefault(name, []).append(cost)
    return growth


def run(*, as_json: bool) -> int:
    """Print what everything costs at every size. Exit 0: nothing outgrows the logarithm; 1: it does."""
    growth = grow(SIZES, STORE_SIZES, Trust(KEYS, RECORDS), RUNS)
    faults = list(growth.faults())
    if as_json:
        setting = {"keys": KEYS, "records": RECORDS, "runs": RUNS}
        print(json.dumps({**setting, **asdict(growth), "faults": faults}, indent=1))
    else:
        _print_row("blocks in the log", growth.sizes)
        _print_row("a proof, bytes", growth.proof_bytes)
        _print_costs(growth.costs)
        _print_row("rows in the store", growth.store_sizes)
        _print_costs(growth.stores)
        for fault in faults:
            print(f"grows faster than log n: {fault}")
    return 1 if faults else 0


def _print_costs(works: Mapping[str, Sequence[Cost]]) -> None:
    for name, costs in works.items():
        print(name)
        for field in fields(Cost):
            values = [getattr(cost, field.name) for cost in costs]
            if field.name == "seconds":
                _print_row("  milliseconds", [f"{1000 * value:.2f}" for value in values])
            elif any(values):
                _print_row(f"  {field.name.replace('_', ' ')}", values)


def _print_row(name: str, values: Sequence[object]) -> None:
    print(name.ljust(NAME_WIDTH) + "".join(str(value).rjust(12) for value in values))
