"""The judgement of a trip by a profile, in three values: what is proven, what is possible, and what is open.

Every rule compares two bounds with its limit: broken if even what is proven reaches it, kept if even what is
possible stays below, else undetermined. A pure function of readings, their times and sequences, and the
profile; nothing else, no clock and no order of arrival, goes in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from pipeline.shipping.budget import Used, budget_used
from pipeline.shipping.excursions import Excursion, Outside, find_excursions
from pipeline.shipping.freeze_thaw import Cycles, count_cycles
from pipeline.shipping.mean_kinetic import WorstWindow, mean_kinetic_temperature, spans_of, worst_window
from pipeline.shipping.profile import Limit, MeanKinetic, Profile, Severity
from pipeline.shipping.series import Gap, Reading, Series, Trip, series_of
from pipeline.shipping.words import duration, gap_words, hundredths


class Verdict(StrEnum):
    """What a trip, or one rule on it, comes to."""

    IN_LIMITS = "in_limits"
    BREACH = "breach"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's verdict, and why, in words. A notice does not decide the trip's."""

    rule: str
    severity: Severity
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a trip, and all that it rests on.

    `mean_kinetic_cel` is that of all known time of the trip; `worst` the window that the profile asks for.
    """

    verdict: Verdict
    profile: str
    profile_digest: str
    from_us: int
    to_us: int
    readings: int
    findings: tuple[Finding, ...]
    excursions: tuple[Excursion, ...]
    gaps: tuple[tuple[str, Gap], ...]
    mean_kinetic_cel: Decimal | None
    worst: WorstWindow | None
    budget: Used | None
    cycles: Cycles | None

    @property
    def reasons(self) -> tuple[str, ...]:
        """What made the verdict: the deciding rules that came to it."""
        return tuple(
            finding.reason
            for finding in self.findings
            if finding.verdict is self.verdict and finding.severity is not Severity.NOTICE
        )


def judge(trip: Trip, profile: Profile) -> Judgement:
    """Return the judgement of a trip that has a reading, or a begin and an end."""
    span_us, sequences = trip.span_us(), trip.sequences()
    intervals = {
        quantity: allowed_interval(profile, quantity, span_us[1] - span_us[0])
        for quantity in profile.quantities
    }
    known = {
        quantity: series_of(trip.readings.get(quantity, ()), span_us, sequences, interval_us)
        for quantity, interval_us in intervals.items()
    }
    outsides = [find_excursions(known[limit.quantity], limit) for limit in profile.limit]
    return judge_known(known, outsides, span_us, profile)


def judge_known(
    known: Mapping[str, Series], outsides: Sequence[Outside], span_us: tuple[int, int], profile: Profile
) -> Judgement:
    """Return the judgement of what is known: the series of each quantity, and what was outside each limit."""
    findings: list[Finding] = []
    excursions: list[Excursion] = []
    for limit, outside in zip(profile.limit, outsides, strict=True):
        excursions += outside.excursions
        findings += _limit_findings(limit, outside)

    warmth, mean, worst, used, cycles = known.get("temperature"), None, None, None, None
    if warmth and warmth.readings:
        spans = spans_of(warmth, _interval_us(span_us, profile))
        mean = mean_kinetic_temperature(
            (span.celsius, span.to_us - span.from_us) for span in spans if span.celsius is not None
        )
        if profile.mean_kinetic:
            worst = worst_window(spans, profile.mean_kinetic.window_s * 1_000_000)
            findings.append(_mean_finding(profile.mean_kinetic, worst, warmth))
    elif profile.mean_kinetic:
        reason = "mean kinetic temperature: no temperature was read"
        findings.append(Finding("mean_kinetic", Severity.CRITICAL, Verdict.UNDETERMINED, reason))
    if warmth and profile.budget:
        used = budget_used(warmth, profile.budget)
        findings.append(_budget_finding(used))
    if warmth and profile.freeze_thaw:
        cycles = count_cycles(warmth, profile.freeze_thaw)
        findings.append(_cycles_finding(cycles, profile.freeze_thaw.cycles_max))
    return Judgement(
        decide(findings),
        profile.name,
        profile.digest,
        *span_us,
        sum(len(series.readings) for series in known.values()),
        tuple(findings),
        tuple(sorted(excursions, key=lambda excursion: excursion.first_us)),
        tuple((quantity, gap) for quantity, series in known.items() for gap in series.gaps.values()),
        mean,
        worst,
        used,
        cycles,
    )


def decide(findings: Sequence[Finding]) -> Verdict:
    """Return the trip's verdict: a breach outweighs what is open, and both outweigh what is kept."""
    verdicts = {finding.verdict for finding in findings if finding.severity is not Severity.NOTICE}
    for verdict in (Verdict.BREACH, Verdict.UNDETERMINED):
        if verdict in verdicts:
            return verdict
    return Verdict.IN_LIMITS


def _interval_us(span_us: tuple[int, int], profile: Profile) -> int:
    return profile.recording.interval_s(span_us[1] - span_us[0]) * 1_000_000


def allowed_interval(
    profile: Profile, quantity: str, trip_us: int
) -> Callable[[Reading | None, Reading | None], int]:
    """Return how far two neighbours of this quantity may be apart on a trip of this length, in µs."""
    limits = [limit for limit in profile.limit if limit.quantity == quantity]
    usual_us = profile.recording.interval_s(trip_us) * 1_000_000
    outside_us = (profile.recording.outside_s or 0) * 1_000_000

    def outside(reading: Reading | None) -> bool:
        return reading is not None and any(limit.outside(reading.value) for limit in limits)

    def interval_us(before: Reading | None, after: Reading | None) -> int:
        if outside_us and (outside(before) or outside(after)):
            return min(usual_us, outside_us)
        return usual_us

    return interval_us


def _limit_findings(limit: Limit, outside: Outside) -> list[Finding]:
    kinds = (
        ("at one time", limit.single_s, outside.single_us),
        ("together", limit.cumulative_s, outside.cumulative_us),
    )
    return [
        _duration_finding(limit, kind, limit_s * 1_000_000, bounds_us, outside)
        for kind, limit_s, bounds_us in kinds
        if limit_s is not None
    ]


def _duration_finding(
    limit: Limit, kind: str, limit_us: int, bounds_us: tuple[int, int], outside: Outside
) -> Finding:
    proven_us, possible_us = bounds_us
    allowed = f"the limit is {duration(limit_us)} {kind}" if limit_us else "no reading may be"
    if not outside.excursions and not outside.hiding:
        verdict, found = Verdict.IN_LIMITS, "never"
    else:
        found = f"for {duration(proven_us)} proven, {duration(possible_us)} possible"
        if not outside.excursions:
            found = f"in no reading, but for {duration(possible_us)} possible in gaps"
        verdict = Verdict.UNDETERMINED
        if outside.excursions and proven_us >= limit_us:
            verdict = Verdict.BREACH
        elif possible_us < limit_us:
            verdict = Verdict.IN_LIMITS
    reason = f"{limit.words}: {found}; {allowed}"
    if verdict is Verdict.UNDETERMINED:
        gaps = [gap for excursion in outside.excursions for gap in excursion.gaps]
        reason += gap_words([*gaps, *outside.hiding])
    rule = f"{limit.words} {kind}"
    return Finding(rule, limit.severity, verdict, reason)


def _mean_finding(rule: MeanKinetic, worst: WorstWindow, series: Series) -> Finding:
    proven, gaps = worst.proven_min_cel, list(series.gaps.values())
    verdict = Verdict.UNDETERMINED
    if proven is not None and proven > rule.max_cel:
        verdict = Verdict.BREACH
    elif not gaps:
        verdict = Verdict.IN_LIMITS
    shown = "nothing" if proven is None else f"{hundredths(proven)} °C"
    bound = "at least " if gaps else ""
    hours = duration(worst.to_us - worst.from_us)
    reason = (
        f"mean kinetic temperature: {bound}{shown} over the worst {hours}; the limit is {rule.max_cel} °C"
    )
    if verdict is Verdict.UNDETERMINED:
        reason += gap_words(gaps)
    return Finding("mean_kinetic", Severity.CRITICAL, verdict, reason)


def _budget_finding(used: Used) -> Finding:
    verdict = _between(used.proven_min, used.possible_max, Fraction(1))
    low, high = (f"{float(part):.1%}" for part in used)
    reason = f"stability budget: {low} proven, {high} possible"
    return Finding("budget", Severity.CRITICAL, verdict, reason)


def _cycles_finding(cycles: Cycles, most: int) -> Finding:
    verdict = _between(Fraction(cycles.proven_min), Fraction(cycles.possible_max), Fraction(most + 1))
    reason = (
        f"freeze-thaw cycles: {cycles.proven_min} proven, {cycles.possible_max} possible; {most} are allowed"
    )
    return Finding("freeze_thaw", Severity.CRITICAL, verdict, reason)


def _between(proven: Fraction, possible: Fraction, limit: Fraction) -> Verdict:
    if proven >= limit:
        return Verdict.BREACH
    return Verdict.IN_LIMITS if possible < limit else Verdict.UNDETERMINED
