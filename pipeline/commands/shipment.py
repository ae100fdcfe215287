"""`cityproof shipment profiles` and `judge`: limits, and what readings come to under them."""

import json
from decimal import Decimal
from pathlib import Path

from pipeline.commands.shipment_files import builtin_profiles, load_profile, read_trip
from pipeline.commands.times import format_time, parse_time_us
from pipeline.shipping.excursions import Excursion
from pipeline.shipping.profile import Profile
from pipeline.shipping.series import Gap
from pipeline.shipping.verdict import Judgement, Verdict, judge
from pipeline.shipping.words import duration, hundredths

EXITS = {Verdict.IN_LIMITS: 0, Verdict.BREACH: 1, Verdict.UNDETERMINED: 3}


def profiles(*, as_json: bool) -> int:
    """List the profiles that come along, with their limits and sources."""
    listed = builtin_profiles()
    if as_json:
        print(json.dumps([profile.model_dump(mode="json") for profile in listed], ensure_ascii=False))
        return 0
    for profile in listed:
        print(f"{profile.name}: {profile.title.en} ({profile.title.zh})")
        for line in _rules(profile):
            print(f"    {line}")
        print(f"    {profile.source}")
        print(f"    sha256 {profile.digest}")
    return 0


def run(readings: Path, name: str, first: str | None, end: str | None, *, as_json: bool) -> int:
    """Judge the readings of one logger. Exit 0: in limits; 1: breach; 3: undetermined."""
    profile = load_profile(name)
    from_us = None if first is None else parse_time_us(first, "--from")
    to_us = None if end is None else parse_time_us(end, "--to")
    judgement = judge(read_trip(readings, from_us, to_us), profile)
    if as_json:
        print(json.dumps(describe(judgement), ensure_ascii=False))
    else:
        show(judgement)
    return EXITS[judgement.verdict]


def _rules(profile: Profile) -> list[str]:
    lines = []
    for limit in profile.limit:
        allowed = [
            f"{duration(limit_s * 1_000_000)} {kind}" if limit_s else "at once"
            for kind, limit_s in (("at one time", limit.single_s), ("together", limit.cumulative_s))
            if limit_s is not None
        ]
        lines.append(f"{limit.severity}: {limit.words}, {' or '.join(allowed)}")
    if profile.mean_kinetic:
        window = duration(profile.mean_kinetic.window_s * 1_000_000)
        lines.append(f"mean kinetic temperature at most {profile.mean_kinetic.max_cel} °C over {window}")
    lines += [
        f"stability budget: {duration(band.budget_s * 1_000_000)} from {band.from_cel} °C"
        for band in profile.budget
    ]
    if profile.freeze_thaw:
        lines.append(f"thawed at most {profile.freeze_thaw.cycles_max} times")
    return lines


def show(judgement: Judgement) -> None:
    """Tell people what one logger's readings come to."""
    print(f"{judgement.verdict.upper()}  {judgement.profile} ({judgement.profile_digest[:16]})")
    span = f"{format_time(judgement.from_us)} .. {format_time(judgement.to_us)}"
    print(f"    readings: {judgement.readings}, gaps: {len(judgement.gaps)}, {span}")
    if judgement.mean_kinetic_cel is not None:
        print(
            f"    mean kinetic temperature of all that was read: {hundredths(judgement.mean_kinetic_cel)} °C"
        )
    for finding in judgement.findings:
        print(f"    {finding.verdict:<12} {finding.severity:<8} {finding.reason}")
    for excursion in judgement.excursions:
        ended = "" if excursion.ended else ", no reading shows its end"
        print(
            f"    excursion: {excursion.limit.words} from {format_time(excursion.first_us)}, "
            f"{duration(excursion.proven_min_us)} to {duration(excursion.possible_max_us)}, "
            f"peak {excursion.peak}{ended}"
        )


def describe(judgement: Judgement) -> dict[str, object]:
    """Return the judgement of one place among the goods for `--json`."""
    worst, used, cycles = judgement.worst, judgement.budget, judgement.cycles
    return {
        "verdict": judgement.verdict,
        "reasons": judgement.reasons,
        "profile": judgement.profile,
        "profile_digest": judgement.profile_digest,
        "from": format_time(judgement.from_us),
        "to": format_time(judgement.to_us),
        "readings": judgement.readings,
        "findings": [
            {"rule": one.rule, "severity": one.severity, "verdict": one.verdict, "reason": one.reason}
            for one in judgement.findings
        ],
        "excursions": [_excursion(excursion) for excursion in judgement.excursions],
        "gaps": [{"quantity": quantity, **_gap(gap)} for quantity, gap in judgement.gaps],
        "mean_kinetic_cel": _text(judgement.mean_kinetic_cel),
        "worst_window": worst
        and {
            "from": format_time(worst.from_us),
            "to": format_time(worst.to_us),
            "proven_min_cel": _text(worst.proven_min_cel),
        },
        "budget": used and {"proven_min": float(used.proven_min), "possible_max": float(used.possible_max)},
        "freeze_thaw": cycles and cycles._asdict(),
    }


def _excursion(excursion: Excursion) -> dict[str, object]:
    return {
        "limit": excursion.limit.words,
        "severity": excursion.limit.severity,
        "after": format_time(excursion.after_us),
        "first": format_time(excursion.first_us),
        "last": format_time(excursion.last_us),
        "before": format_time(excursion.before_us),
        "ended": excursion.ended,
        "peak": str(excursion.peak),
        "proven_min_s": excursion.proven_min_us / 1e6,
        "unbroken_s": excursion.unbroken_us / 1e6,
        "possible_max_s": excursion.possible_max_us / 1e6,
    }


def _gap(gap: Gap) -> dict[str, object]:
    return {
        "from": format_time(gap.from_us),
        "to": format_time(gap.to_us),
        "missing": [part._asdict() for part in gap.missing],
        "new_epoch": gap.new_epoch,
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)
