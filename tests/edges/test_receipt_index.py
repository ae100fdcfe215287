"""The receipt index against a dictionary: every place of an identity in log order, and nothing else."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.edges.sqlite_index import RUN_MAX, SqliteReceiptIndex
from pipeline.ports import LeafPlace

ISSUERS = ["urn:dev:org:32473-1", "urn:dev:org:32473-2"]

# A block: issuer, epoch and sequence of its statements; now and then an equivocation of an earlier one.
block = st.lists(
    st.tuples(st.sampled_from(ISSUERS), st.integers(0, 1), st.integers(0, 12)), max_size=12
).filter(lambda identities: max(map(identities.count, identities), default=0) <= 2)


def places(number: int, identities: list[tuple[str, int, int]]) -> list[LeafPlace]:
    """The rows of the block whose log entry has this number."""
    return [
        LeafPlace(*identity, 10 + number, 1 + number % 2, number * 3, leaf)
        for leaf, identity in enumerate(identities, 1)
    ]


@settings(max_examples=30)
@given(blocks=st.lists(block, max_size=6), again=st.integers(0, 5))
def test_every_place_is_found(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[list[tuple[str, int, int]]], again: int
) -> None:
    """Every identity's leaves are found in order, no other's are, also after blocks are put again."""
    rows = [places(number, identities) for number, identities in enumerate(blocks)]
    expected: dict[tuple[str, int, int], list[LeafPlace]] = {}
    for row in (row for block_rows in rows for row in block_rows):
        expected.setdefault((row.issuer, row.epoch, row.sequence), []).append(row)

    async def run() -> None:
        async with SqliteReceiptIndex.open(tmp_path_factory.mktemp("index") / "receipts.db") as index:
            for block_rows in [*rows, *rows[again:], *rows[:again]]:
                await index.put(block_rows)
            for issuer in [*ISSUERS, "urn:dev:org:32473-3"]:
                for epoch in (0, 1, 2):
                    for sequence in range(14):
                        found = await index.find(issuer, epoch, sequence)
                        assert found == expected.get((issuer, epoch, sequence), [])

    asyncio.run(run())


async def test_long_runs_are_found_to_their_ends(tmp_path: Path) -> None:
    """Thousands of neighbouring sequences, in one put or in many, at every edge of a row."""
    rows = [
        LeafPlace(ISSUERS[0], 0, n, 7 + n // RUN_MAX, 1, n // RUN_MAX, n % RUN_MAX + 1)
        for n in range(3 * RUN_MAX)
    ]
    async with SqliteReceiptIndex.open(tmp_path / "receipts.db") as index:
        await index.put(rows)
        for edge in (0, RUN_MAX, 2 * RUN_MAX, 3 * RUN_MAX):
            for n in (edge - 1, edge, edge + 1):
                expected = rows[n : n + 1] if n >= 0 else []
                assert await index.find(ISSUERS[0], 0, n) == expected


async def test_it_survives_reopening_and_large_numbers(tmp_path: Path) -> None:
    """Sequences, epochs and offsets of 60 bits, leaves up to the largest block's."""
    row = LeafPlace(ISSUERS[0], 2**60, 2**60, 2**60, 4, 2**60, 2047)
    async with SqliteReceiptIndex.open(tmp_path / "receipts.db") as index:
        await index.put([row])
        await index.put([])
    async with SqliteReceiptIndex.open(tmp_path / "receipts.db") as index:
        assert await index.find(ISSUERS[0], 2**60, 2**60) == [row]
        assert await index.find(ISSUERS[0], 2**60, 2**60 - 1) == []


async def test_a_device_and_block_take_one_row(tmp_path: Path) -> None:
    """Neighbouring sequences of a device in one block cost two bytes each, and a row."""
    path = tmp_path / "receipts.db"
    async with SqliteReceiptIndex.open(path) as index:
        for number in range(500):
            await index.put(
                [LeafPlace(ISSUERS[0], 0, number * 100 + n, number, 1, number, n + 1) for n in range(100)]
            )
    assert path.stat().st_size < 50_000 * 3  # All of it is in the file: nothing is left in a WAL.
