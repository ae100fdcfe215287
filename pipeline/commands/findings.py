"""`cityproof findings`: list what auditors have stated in a log about stored points."""

import json
from pathlib import Path

from pipeline.commands.reading import open_log, trust_file
from pipeline.commands.times import format_time
from pipeline.commands.verify import load_authorities, load_policy
from pipeline.log.checkpoint import open_checkpoint
from pipeline.log.tiles import CHECKPOINT_PATH, TileReader
from pipeline.verify.logged_findings import LoggedFinding, read_findings
from pipeline.wire.errors import MissingError
from pipeline.wire.finding import Finding

LISTED = 0


def phrase(finding: Finding) -> str:
    """Return a finding in words."""
    place = finding.place
    where = f"{place.device} {place.quantity} {_time(place.time_us)}"
    noticed = _time(finding.noticed_ms * 1000)
    return (
        f"{finding.reason.value}: {where}: signed {finding.signed}, stored {finding.stored}; "
        f"noticed {noticed}; could have written: {', '.join(finding.credentials)}"
    )


def describe(finding: Finding) -> dict[str, object]:
    """Return a finding for `--json`."""
    return {
        "reason": finding.reason.value,
        **finding.place._asdict(),
        "signed": finding.signed,
        "stored": finding.stored,
        "ref": finding.ref,
        "noticed_ms": finding.noticed_ms,
        "unnoticed_ms": finding.unnoticed_ms,
        "size": finding.size,
        "root": finding.root.hex(),
        "credentials": finding.credentials,
    }


def run(
    where: str, policy_path: Path | None, authorities_path: Path | None, token: Path | None, *, as_json: bool
) -> int:
    """List the findings in a log. Exit 0: they are listed; 2: they could not be read."""
    policy = load_policy(trust_file(where, policy_path, "policy.txt"))
    authorities = load_authorities(trust_file(where, authorities_path, "authorities.txt"))
    with open_log(where, token) as read:
        note = read(CHECKPOINT_PATH)
        if note is None:
            raise MissingError(CHECKPOINT_PATH)
        tiles = TileReader(read, open_checkpoint(note, policy).checkpoint)
        listed = list(read_findings(read, tiles, authorities))
    if as_json:
        print(json.dumps([_row(item) for item in listed], ensure_ascii=False, indent=1))
        return LISTED
    for item in listed:
        print(phrase(item.finding))
        print(f"        stated by {item.auditor}: entry {item.entry}, leaf {item.leaf}")
    print(f"{len(listed)} findings in the log")
    return LISTED


def _row(item: LoggedFinding) -> dict[str, object]:
    return {"auditor": item.auditor, "entry": item.entry, "leaf": item.leaf, **describe(item.finding)}


def _time(time_us: int) -> str:
    """Return a time, which an intruder may have set to any, for people."""
    try:
        return format_time(time_us)
    except (ValueError, OverflowError, OSError):
        return f"{time_us} us"
