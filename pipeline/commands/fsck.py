"""`cityproof fsck`: derive a whole log again from its files, and name every wrong place."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.commands.progress import progress_bar
from pipeline.commands.reading import is_url, open_log, trust_file
from pipeline.commands.verify import load_authorities, load_policy
from pipeline.edges.processes import ExaminingProcesses
from pipeline.verify.entries import Finding
from pipeline.verify.fsck import LogCheck
from pipeline.wire.errors import UnavailableError

CLEAN, DIRTY = 0, 1


@dataclass(frozen=True, slots=True)
class Question:
    """Which log is to be checked, against what, and by how many processes."""

    where: str
    policy: Path | None
    authorities: Path | None
    token_file: Path | None
    processes: int | None


def run(question: Question, *, as_json: bool) -> int:
    """Check a city's log. Exit 0: everything holds; 1: something is wrong; 2: it could not be checked."""
    where = question.where
    policy = load_policy(trust_file(where, question.policy, "policy.txt"))
    authorities = load_authorities(trust_file(where, question.authorities, "authorities.txt"))
    processes = question.processes or os.cpu_count() or 1
    findings: list[Finding] = []
    with open_log(where, question.token_file) as read:
        examine = ExaminingProcesses(read, processes) if processes > 1 else None
        check = LogCheck(read, policy, authorities, examine, time.time() if is_url(where) else None)
        try:
            with progress_bar("fsck", "entries", shown=not as_json) as progress:
                findings.extend(check.run(progress))
        except UnavailableError:
            # What was found until then is in the list and stands; the caller says why there is no more.
            _print_findings(findings)
            raise
    tally = check.tally
    if as_json:
        found = [finding._asdict() for finding in findings]
        counts = {"size": tally.size, "blocks": tally.blocks, "statements": tally.statements}
        print(json.dumps(counts | {"findings": found}))
    else:
        _print_findings(findings)
        verdict = f"{len(findings)} wrong places" if findings else "clean"
        print(
            f"{verdict}: {tally.size} entries, {tally.blocks} blocks, {tally.statements} statements checked"
        )
    return DIRTY if findings else CLEAN


def _print_findings(findings: list[Finding]) -> None:
    for finding in findings:
        print(f"WRONG   {finding.path}: {finding.reason}: {finding.detail}")
