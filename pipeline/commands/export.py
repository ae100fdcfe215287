"""`cityproof export`: carry all that answers a query away, as evidence and as tables that refer into it."""

import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pipeline.commands.evidence_report import completeness_lines
from pipeline.commands.progress import progress_bar
from pipeline.commands.reading import is_url, open_log, trust_file
from pipeline.commands.rows import Put, csv_rows, parquet_rows, rows_of
from pipeline.commands.times import parse_time_us
from pipeline.commands.verify import load_authorities, load_policy
from pipeline.identity.authorities import Authorities
from pipeline.log.policy import Policy
from pipeline.verify.bounds import check_age
from pipeline.verify.collect import Collector
from pipeline.verify.completeness import Span
from pipeline.verify.equivocation import encode_equivocation
from pipeline.verify.evidence import EvidenceCheck, VerifiedEvidence
from pipeline.verify.query import Query, parse_query, query_fields
from pipeline.wire.errors import InputError, VerificationError


@dataclass(frozen=True, slots=True)
class Question:
    """What a person wants, from which log, and where it goes."""

    where: str
    devices: Sequence[str]
    subjects: Sequence[str]
    areas: Sequence[str]
    quantities: Sequence[str]
    first: str | None
    end: str | None
    out: Path
    csv: Path | None
    parquet: Path | None
    equivocations: Path | None
    policy: Path | None
    authorities: Path | None
    token_file: Path | None


def query_of(question: Question) -> Query:
    """Return the query that a person's options make.

    Raises:
        InputError: A time or a name is none.
    """
    times = [
        None if text is None else parse_time_us(text, option)
        for text, option in ((question.first, "--from"), (question.end, "--to"))
    ]
    query = Query(
        frozenset(question.devices),
        frozenset(question.subjects),
        frozenset(question.areas),
        frozenset(question.quantities),
        Span(times[0], times[1]),
    )
    try:
        return parse_query(query_fields(query))
    except VerificationError as error:
        remedy = "`cityproof series` lists devices, subjects and quantities."
        raise InputError("the query", error.detail, remedy) from error


def run(question: Question) -> int:
    """Write the evidence, verify it as anyone would, and write the rows that it proves."""
    query, where = query_of(question), question.where
    policy = load_policy(trust_file(where, question.policy, "policy.txt"))
    authorities = load_authorities(trust_file(where, question.authorities, "authorities.txt"))
    if question.parquet and find_spec("pyarrow") is None:
        raise InputError("--parquet", "pyarrow is not installed", "Install cityproof[parquet], or use --csv.")
    with open_log(where, question.token_file) as read, _drafts(question) as drafts:
        collector = Collector(read, policy)
        with drafts.evidence.open("wb") as file, progress_bar("export", "entries", shown=True) as progress:
            collector.collect(query, file.write, progress)
        verified = _verify_draft(drafts, question.out.name, policy, authorities)
        if is_url(where):
            check_age(verified.checkpoint, authorities.bounds_s["checkpoint_age_s"], time.time())
        found = _write_equivocations(collector, query, question.equivocations)
    print(f"{question.out}: {verified.statements} statements, {question.out.stat().st_size} bytes")
    for line in completeness_lines(verified.signers):
        print(f"  {line}")
    if question.equivocations is not None:
        print(f"{found} equivocations")
    return 0


@dataclass(frozen=True, slots=True)
class _Drafts:
    """The files while they are written, beside where they go."""

    evidence: Path
    csv: Path | None
    parquet: Path | None


@contextmanager
def _drafts(question: Question) -> Generator[_Drafts]:
    """Put what was written in its place at the end; what failed leaves nothing.

    Raises:
        InputError: A file cannot be written.
    """
    wanted = (question.csv, question.parquet, question.out)
    drafts = {path: path.with_name(path.name + ".draft") for path in wanted if path}
    get = {None: None} | drafts
    try:
        yield _Drafts(drafts[question.out], get[question.csv], get[question.parquet])
        # The tables first: a crash in between leaves no evidence without them.
        for path, draft in drafts.items():
            draft.replace(path)
    except OSError as error:
        place = str(error.filename or question.out).removesuffix(".draft")
        raise InputError(place, f"cannot write: {error.strerror}", "Choose another place.") from error
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _verify_draft(drafts: _Drafts, name: str, policy: Policy, authorities: Authorities) -> VerifiedEvidence:
    """Verify what was written as anyone would, and write the rows that it proves."""
    with ExitStack() as stack:
        puts: list[Put] = []
        if drafts.csv:
            puts.append(stack.enter_context(csv_rows(drafts.csv, name)))
        if drafts.parquet:
            puts.append(stack.enter_context(parquet_rows(drafts.parquet, name)))
        file = stack.enter_context(drafts.evidence.open("rb"))
        check = EvidenceCheck(file.read, policy, authorities)
        for proven in check.statements():
            for row in rows_of(proven, check.query) if puts else ():
                for put in puts:
                    put(row)
        return check.result()


def _write_equivocations(collector: Collector, query: Query, folder: Path | None) -> int:
    """Write each equivocation of a signer asked for into a file of its own; return how many there are."""
    if folder is None:
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    found = 0
    with progress_bar("equivocations", "entries", shown=True) as progress:
        for found, equivocation in enumerate(collector.find_equivocations(query, progress), 1):
            (folder / f"{found:04}.equivocation").write_bytes(encode_equivocation(equivocation))
    return found
