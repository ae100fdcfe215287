"""Records out of evidence as tables, CSV and Parquet: each row names the leaf and record that prove it."""

import csv
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.commands.times import format_time
from pipeline.verify.evidence import ProvenStatement
from pipeline.verify.query import Query
from pipeline.wire.errors import InputError
from pipeline.wire.senml import decode_pack, time_us
from pipeline.wire.statement import CONTENT_SENML

BATCH = 65_536


class Row(NamedTuple):
    """A record, and where it stands: log entry, leaf in the block, record in the statement."""

    time: str
    device: str
    subject: str
    area: str
    kind: str
    quantity: str
    value: float
    unit: str
    time_us: int
    epoch: int
    sequence: int
    entry: int
    leaf: int
    record: int


def rows_of(proven: ProvenStatement, query: Query) -> Iterator[Row]:
    """Yield the records of a statement that the query asks for; of an equivocation none."""
    statement, key = proven.statement, proven.key
    if (
        proven.equivocation
        or statement.content_type != CONTENT_SENML
        or not query.wants_subject(statement.subject)
    ):
        return
    for index, record in enumerate(decode_pack(statement.payload, statement.issuer)):
        at_us = time_us(record)
        if query.wants_record(record.quantity, at_us):
            yield Row(
                format_time(at_us), statement.issuer, statement.subject, key.enrolment.area,
                key.enrolment.kind, record.quantity, record.value, record.unit, at_us, statement.epoch,
                statement.sequence, proven.entry, proven.leaf, index,
            )  # fmt: skip


Put = Callable[[Row], object]


@contextmanager
def csv_rows(path: Path, evidence: str) -> Generator[Put]:
    """Write rows into a CSV file (RFC 4180), each with the name of the evidence that it refers to."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*Row._fields, "evidence"])
        yield lambda row: writer.writerow([*row, evidence])


@contextmanager
def parquet_rows(path: Path, evidence: str) -> Generator[Put]:
    """Write rows into a Parquet file; its metadata names the evidence that they refer to.

    Raises:
        InputError: pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise InputError("--parquet", "pyarrow is not installed", "Install cityproof[parquet], or use --csv.")
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {str: pa.string(), float: pa.float64(), int: pa.int64()}
    fields = [(name, kinds[kind]) for name, kind in Row.__annotations__.items()]
    schema = pa.schema(fields, metadata={"evidence": evidence})
    waiting: list[Row] = []

    def flush() -> None:
        columns: list[Any] = [list(column) for column in zip(*waiting, strict=True)]
        arrays = [pa.array(column, kind) for column, (_, kind) in zip(columns, fields, strict=True)]
        writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        waiting.clear()

    def put(row: Row) -> None:
        waiting.append(row)
        if len(waiting) == BATCH:
            flush()

    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        yield put
        if waiting:
            flush()
