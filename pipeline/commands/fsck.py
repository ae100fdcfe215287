"""`cityproof fsck`: derive a whole log again from its files, and name every wrong place."""

import json
from importlib.util import find_spec
from pathlib import Path

from pipeline.commands.reading import reader_of
from pipeline.commands.verify import load_authorities, load_policy
from pipeline.verify.fsck import Finding, LogCheck

CLEAN, DIRTY = 0, 1


def run(directory: Path, policy: Path | None, authorities: Path | None, *, as_json: bool) -> int:
    """Check a city's log. Exit 0: everything holds; 1: something is wrong; 2: it could not be checked."""
    check = LogCheck(
        reader_of(directory),
        load_policy(policy or directory / "policy.txt"),
        load_authorities(authorities or directory / "authorities.txt"),
    )
    findings = list(check.run()) if as_json or find_spec("rich") is None else _with_progress(check)
    tally = check.tally
    if as_json:
        found = [{"path": f.path, "reason": f.reason, "detail": f.detail} for f in findings]
        print(
            json.dumps(
                {
                    "size": tally.size,
                    "blocks": tally.blocks,
                    "statements": tally.statements,
                    "findings": found,
                }
            )
        )
    else:
        for finding in findings:
            print(f"WRONG   {finding.path}: {finding.reason}: {finding.detail}")
        verdict = f"{len(findings)} wrong places" if findings else "clean"
        print(
            f"{verdict}: {tally.size} entries, {tally.blocks} blocks, {tally.statements} statements checked"
        )
    return DIRTY if findings else CLEAN


def _with_progress(check: LogCheck) -> list[Finding]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("entries", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("fsck", total=None)
        return list(check.run(lambda done, size: progress.update(task, completed=done, total=size)))
