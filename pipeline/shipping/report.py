"""What a report on a shipment says, in either language; layouts add nothing to it.

One page: of what is long the worst comes first, and the rest is counted.
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from pipeline.shipping.account import Account
from pipeline.shipping.chart import chart, party_name
from pipeline.shipping.epcis_export import content_link
from pipeline.shipping.excursions import Outside
from pipeline.shipping.profile import Limit, Profile, Severity
from pipeline.shipping.qr import qr_svg
from pipeline.shipping.report_texts import Language, duration_text, quantity_name, text, verdict_word
from pipeline.shipping.route_map import route_map
from pipeline.shipping.series import Gap
from pipeline.shipping.shipment import Event
from pipeline.shipping.verdict import Finding, Judgement, Verdict
from pipeline.shipping.whole import HeldExcursion
from pipeline.shipping.words import hundredths
from pipeline.wire.errors import VerificationError
from pipeline.wire.quantities import QUANTITIES
from pipeline.wire.shipment import Content, Judged, Offered, OfferRefused, Rejected

RULES_MAX, EXCURSIONS_MAX, GAPS_MAX, STEPS_MAX, GOODS_MAX, RANGES_MAX = 6, 4, 4, 11, 3, 3
HASH_SHOWN = 8  # Digits of a leaf hash: enough to find it in the evidence.
_WORST = (Verdict.BREACH, Verdict.UNDETERMINED, Verdict.IN_LIMITS)
_SIGNS = {">": ">", ">=": "≥", "<": "<", "<=": "≤"}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; `tone` is a verdict where the row has one."""

    cells: tuple[str, ...]
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `more` says how much is left out."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    more: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """A QR code as SVG, what it holds, what it is for, and whether it needs room."""

    svg: str
    content: str
    caption: str
    dense: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that stands on the page, top to bottom."""

    language: Language
    title: str
    name: str
    verdict: Verdict
    verdict_word: str
    verdict_meaning: str
    summary: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    chart: str
    chart_title: str
    map: str
    map_title: str
    rules: Table
    excursions: Table
    gaps: Table
    custody: Table
    evidence_title: str
    evidence: tuple[tuple[str, str], ...]
    codes: tuple[Code, ...]
    footer: str


def make_report(account: Account, language: Language) -> Report:
    """Return the report on a judged shipment."""
    return _Writer(account, language).report()


def link_of(account: Account) -> str:
    """Return the Digital Link of the first goods, with the evidence's hash (RFC 6920) in its fragment.

    Goods whose number is none by GS1's rules have no link; "" where that is so of all.
    """
    value = urlsafe_b64encode(account.evidence_hash).decode().rstrip("=")
    for content in account.shipment.contents:
        with suppress(VerificationError):
            return content_link(content).uri(f"sha-256;{value}")
    return ""


class _Writer:
    def __init__(self, account: Account, language: Language) -> None:
        self._account = account
        self._language: Language = language

    def report(self) -> Report:
        account, verdict = self._account, self._account.judgement.verdict
        rules = self._rules()
        return Report(
            language=self._language,
            title=self._text("title"),
            name=account.shipment.name,
            verdict=verdict,
            verdict_word=verdict_word(verdict, self._language),
            verdict_meaning=self._text(f"says {verdict.value}"),
            summary=tuple(self._summary(rules)),
            facts=tuple(self._facts()),
            chart=chart(account, self._language),
            chart_title=self._text("chart"),
            map=route_map(account, self._language),
            map_title=self._text("map"),
            rules=self._table(
                "rules", ("rule", "allowed", "proven", "possible", "verdict"), rules, RULES_MAX
            ),
            excursions=self._excursions(),
            gaps=self._gaps(),
            custody=self._custody(),
            evidence_title=self._text("evidence"),
            evidence=tuple(self._evidence()),
            codes=tuple(self._codes()),
            footer=self._text("footer"),
        )

    # Words

    def _text(self, key: str) -> str:
        return text(key, self._language)

    def _duration(self, time_us: int) -> str:
        return duration_text(time_us, self._language)

    def _table(self, title: str, columns: Sequence[str], rows: Sequence[Row], most: int) -> Table:
        left = len(rows) - most
        more = self._text("more").format(left) if left > 0 else ""
        return Table(self._text(title), tuple(map(self._text, columns)), tuple(rows[:most]), more)

    def _limit_words(self, limit: Limit) -> str:
        quantity = QUANTITIES[limit.quantity]
        value = limit.value * Decimal(repr(quantity.shown_factor))
        shown = f"{value.normalize():f} {quantity.shown_unit}".rstrip()
        return f"{quantity_name(limit.quantity, self._language)} {_SIGNS[limit.when]} {shown}"

    # Parts

    def _facts(self) -> Iterator[tuple[str, str]]:
        shipment, judgement = self._account.shipment, self._account.judgement
        goods = [self._goods(content) for content in shipment.contents[:GOODS_MAX]]
        left = len(shipment.contents) - GOODS_MAX
        goods += [self._text("more").format(left)] if left > 0 else []
        yield self._text("goods"), " · ".join(goods)
        yield self._text("shipper"), party_name(shipment.shipper)
        yield self._text("consignee"), party_name(shipment.consignee)
        if shipment.carriers:
            yield self._text("carriers"), self._text("list").join(map(party_name, shipment.carriers))
        title = self._account.profile.title
        yield self._text("limits"), title.zh if self._language == "zh" else title.en
        span = f"{_time(judgement.from_us)} – {_time(judgement.to_us)}"
        length = self._duration(judgement.to_us - judgement.from_us)
        yield self._text("trip"), self._text("brackets").format(span, length)
        yield self._text("state"), self._text(shipment.state.value)
        read = sum(track.judgement.readings for track in judgement.tracks)
        loggers = ", ".join(logger.removeprefix("urn:dev:") for logger in shipment.loggers[:2])
        more = " …" if len(shipment.loggers) > 2 else ""
        shown = f"{read} {self._text('readings')}"
        yield self._text("loggers"), self._text("brackets").format(loggers + more, shown)
        means = [
            t.judgement.mean_kinetic_cel for t in judgement.tracks if t.judgement.mean_kinetic_cel is not None
        ]
        if means:
            yield self._text("mean kinetic"), f"{hundredths(max(means))} °C"

    def _goods(self, content: Content) -> str:
        if content.sscc:
            return f"SSCC {content.sscc}"
        parts = [f"GTIN {content.gtin}"]
        parts += [f"{self._text('lot')} {content.lot}"] if content.lot else []
        parts += [f"{self._text('serial')} {content.serial}"] if content.serial else []
        return " ".join(parts)

    def _summary(self, rules: Sequence[Row]) -> Iterator[str]:
        """Yield what decided, in words."""
        verdict = self._account.judgement.verdict
        if verdict is Verdict.IN_LIMITS:
            return
        for row in [row for row in rules if row.tone == verdict.value][:2]:
            rule, allowed, proven, possible, _ = row.cells
            yield self._text("summary").format(rule=rule, allowed=allowed, proven=proven, possible=possible)

    def _rules(self) -> list[Row]:
        rows = [
            (finding, row)
            for track in self._account.judgement.tracks
            for finding, row in zip(track.judgement.findings, self._track_rules(track.judgement), strict=True)
        ]
        rows.sort(key=lambda pair: (pair[0].severity is Severity.NOTICE, _WORST.index(pair[0].verdict)))
        return [row for _, row in rows]

    def _track_rules(self, judgement: Judgement) -> Iterator[Row]:
        """Yield a row for each finding, in the findings' order."""
        findings = iter(judgement.findings)
        profile = self._account.profile
        for limit in profile.limit:
            outside = _outside(judgement, limit)
            for kind, limit_s, bounds in (
                ("at one time", limit.single_s, outside.single_us),
                ("together", limit.cumulative_s, outside.cumulative_us),
            ):
                if limit_s is not None:
                    allowed = self._duration(limit_s * 1_000_000) if limit_s else self._text("not at all")
                    label = f"{allowed} {self._text(kind)}" if limit_s else allowed
                    shown = [self._duration(bound) for bound in bounds]
                    yield self._row(next(findings), self._limit_words(limit), label, *shown)
        yield from self._other_rules(judgement, profile, findings)

    def _other_rules(
        self, judgement: Judgement, profile: Profile, findings: Iterator[Finding]
    ) -> Iterator[Row]:
        worst, used, cycles = judgement.worst, judgement.budget, judgement.cycles
        if profile.mean_kinetic:
            window = self._duration(profile.mean_kinetic.window_s * 1_000_000)
            name = f"{self._text('mean kinetic')} ({window})"
            proven = worst.proven_min_cel if worst else None
            shown = "–" if proven is None else f"{hundredths(proven)} °C"
            gaps = any(quantity == "temperature" for quantity, _ in judgement.gaps) or worst is None
            most = self._text("unbounded") if gaps else shown
            yield self._row(next(findings), name, f"≤ {profile.mean_kinetic.max_cel} °C", shown, most)
        if used:
            low, high = (f"{float(part):.1%}" for part in used)
            yield self._row(next(findings), self._text("budget"), "< 100 %", low, high)
        if cycles and profile.freeze_thaw:
            allowed = f"≤ {profile.freeze_thaw.cycles_max}"
            yield self._row(next(findings), self._text("freeze-thaw"), allowed, *map(str, cycles))

    def _row(self, finding: Finding, rule: str, allowed: str, proven: str, possible: str) -> Row:
        word = verdict_word(finding.verdict, self._language)
        if finding.severity is Severity.NOTICE:
            return Row(
                (rule, allowed, proven, possible, self._text("brackets").format(word, self._text("notice")))
            )
        return Row((rule, allowed, proven, possible, word), finding.verdict.value)

    def _excursions(self) -> Table:
        held = sorted(self._account.judgement.excursions, key=lambda one: -one.excursion.proven_min_us)
        rows = [self._excursion(one) for one in held]
        columns = ("rule", "begin", "duration", "peak", "holder")
        return self._table("excursions", columns, rows, EXCURSIONS_MAX)

    def _excursion(self, held: HeldExcursion) -> Row:
        one = held.excursion
        quantity = QUANTITIES[one.limit.quantity]
        peak = one.peak * Decimal(repr(quantity.shown_factor))
        length = f"{self._duration(one.proven_min_us)} – {self._duration(one.possible_max_us)}"
        if not one.ended:
            length = self._text("brackets").format(length, self._text("not ended"))
        shown = f"{peak.normalize():f} {quantity.shown_unit}".rstrip()
        holders = ", ".join(map(party_name, held.holders)) or "–"
        return Row((self._limit_words(one.limit), _time(one.first_us), length, shown, holders))

    def _gaps(self) -> Table:
        """Return each gap once, of which several quantities may lack readings; the longest first."""
        found: dict[Gap, list[str]] = {}
        for track in self._account.judgement.tracks:
            for quantity, gap in track.judgement.gaps:
                names = found.setdefault(gap, [])
                if (name := quantity_name(quantity, self._language)) not in names:
                    names.append(name)
        listed = sorted(found.items(), key=lambda pair: -pair[0].length_us)
        rows = [
            Row((_time(gap.from_us), self._duration(gap.length_us), self._missing(gap), ", ".join(names)))
            for gap, names in listed
        ]
        return self._table("gaps", ("begin", "length", "missing", "quantity"), rows, GAPS_MAX)

    def _missing(self, gap: Gap) -> str:
        if gap.new_epoch:
            return self._text("new epoch")
        if not gap.missing:
            return self._text("late")
        ranges = [
            f"{one.first}" if one.first == one.last else f"{one.first}–{one.last}" for one in gap.missing
        ]
        more = " …" if len(ranges) > RANGES_MAX else ""
        return f"{self._text('sequences')} {', '.join(ranges[:RANGES_MAX])}{more}"

    def _custody(self) -> Table:
        """Return a row for each step; an offer and its answer are one, signed by both."""
        rows: list[Row] = []
        offer: Event | None = None
        for event in self._account.shipment.events:
            if offer and event.kind not in {"accepted", "refused", "offered"}:
                rows.append(self._step(offer))
            if offer and event.kind == "offered":
                rows.append(self._step(offer, words="did replaced"))
            if event.kind == "offered":
                offer = event
                continue
            rows.append(self._step(event, offer if event.kind in {"accepted", "refused"} else None))
            offer = None
        rows += [self._step(offer)] if offer else []
        kept = rows[:1] + rows[1 - STEPS_MAX :] if len(rows) > STEPS_MAX else rows
        more = self._text("more").format(len(rows) - len(kept)) if len(kept) < len(rows) else ""
        columns = tuple(map(self._text, ("time", "step", "who", "place", "statement")))
        return Table(self._text("custody"), columns, tuple(kept), more)

    def _step(self, event: Event, offer: Event | None = None, words: str = "") -> Row:
        shown, place = self._text(words or f"did {event.kind}"), ""
        made = event if offer is None else offer
        if isinstance(made.stated, Offered):
            place, to = made.stated.place.name, party_name(made.stated.to)
            why = (event.stated.why,) if isinstance(event.stated, OfferRefused) else ()
            shown = shown.format(to, *why)
        elif isinstance(event.stated, Rejected):
            shown = shown.format(event.stated.why)
        signers = [one.signer for one in (offer, event) if one]
        hashes = [one.leaf_hash.hex()[:HASH_SHOWN] for one in (offer, event) if one]
        by = self._text("list").join(map(party_name, signers))
        return Row((_time(event.stated.time_us), shown, by, place, " ".join(hashes)))

    def _evidence(self) -> Iterator[tuple[str, str]]:
        account = self._account
        yield self._text("log"), account.origin
        yield self._text("root").format(account.size), account.root.hex()
        yield self._text("file"), account.evidence_hash.hex()
        yield self._text("profile"), account.profile.digest
        signed = [event for event in account.shipment.verdicts if isinstance(event.stated, Judged)]
        yield self._text("judged"), _time(account.judged_us)
        if signed:
            yield self._text("judged by"), party_name(signed[-1].signer)
            yield self._text("verdict leaf"), signed[-1].leaf_hash.hex()
        else:
            yield self._text("verdict leaf"), self._text("no code")

    def _codes(self) -> Iterator[Code]:
        if link := link_of(self._account):
            yield Code(qr_svg(link), link, self._text("link code"), dense=False)
        if self._account.code:
            # The lowest correction makes the largest modules, which is what phones need most.
            svg = qr_svg(self._account.code, error="l")
            yield Code(svg, self._account.code, self._text("verdict code"), dense=True)


def _outside(judgement: Judgement, limit: Limit) -> Outside:
    """Return what was beyond a limit, and the gaps that may hide more: those of no excursion."""
    excursions = tuple(one for one in judgement.excursions if one.limit == limit)
    shown = {gap for one in excursions for gap in one.gaps}
    gaps = [gap for quantity, gap in judgement.gaps if quantity == limit.quantity]
    return Outside(excursions, tuple(gap for gap in gaps if gap not in shown))


def _time(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us // 1_000_000, UTC):%Y-%m-%d %H:%M}"
