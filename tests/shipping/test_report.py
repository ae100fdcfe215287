"""The report: says what the account holds, in both languages, in well-formed pages that quote nothing raw."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from pipeline.commands.report_pdf import report_pdf
from pipeline.log.checkpoint import Checkpoint
from pipeline.log.merkle import hash_leaf
from pipeline.shipping.account import Account
from pipeline.shipping.compact_verdict import make_code, read_code
from pipeline.shipping.digital_link import parse_link
from pipeline.shipping.judged import make_judged
from pipeline.shipping.report import Report, Table, link_of, make_report
from pipeline.shipping.report_html import report_html
from pipeline.shipping.report_texts import _TEXTS, LANGUAGES, Language, duration_text
from pipeline.shipping.shipment import Event
from pipeline.shipping.verdict import Verdict
from pipeline.wire.shipment import Content, OfferRefused, Stop
from tests.shipping.accounts import CLINIC, GOODS, account
from tests.shipping.codes import CLINIC as JUDGE
from tests.shipping.codes import judge_key, signed_verdict
from tests.support.city import AUTHORITIES

PROFILES = ("eu-gdp-2-8", "usp-controlled-cold", "china-gsp-2-8", "who-q-tag-2", "fresh-food", "deep-frozen")


def judged(**how: bool | str) -> Account:
    """An account whose verdict is signed and in the log."""
    made = account(**how)  # type: ignore[arg-type]
    raw = signed_verdict(made)
    checkpoint = Checkpoint(made.origin, made.size, made.root)
    stated = make_judged(made.shipment, made.judgement, checkpoint, made.judged_us)
    verdict = Event(stated, JUDGE.issuer, hash_leaf(raw), 900, 3)
    return replace(
        made, code=make_code(raw, judge_key()), shipment=replace(made.shipment, verdicts=(verdict,))
    )


def said(report: Report) -> str:
    """All of a report's text."""
    tables: list[Table] = [report.rules, report.excursions, report.gaps, report.custody]
    cells = [cell for table in tables for row in table.rows for cell in (*table.columns, *row.cells)]
    pairs = [part for pair in (*report.facts, *report.evidence) for part in pair]
    return "\n".join([report.verdict_word, report.verdict_meaning, *report.summary, *cells, *pairs])


def test_what_the_page_says() -> None:
    """The verdict with its bounds, the excursion and who held the goods, the gap, each handover with both."""
    report = make_report(judged(), "en")

    assert (report.verdict_word, report.verdict) == ("Breach", Verdict.BREACH)
    assert report.summary == (
        "Temperature > 8 °C: 2 h 30 min proven, 2 h 40 min possible; allowed: not at all",
    )
    assert [row.cells for row in report.excursions.rows] == [
        (
            "Temperature > 8 °C",
            "2026-03-02 23:55",
            "2 h 30 min – 2 h 40 min",
            "12.98 °C",
            "carrier-two.example",
        )
    ]
    assert [row.cells for row in report.gaps.rows] == [
        ("2026-03-03 05:55", "45 min", "sequences 252–259", "Temperature")
    ]
    assert [row.tone for row in report.rules.rows] == ["breach", "undetermined"]
    steps = [row.cells[1:4] for row in report.custody.rows]
    assert steps[3] == (
        "handed over to carrier-one.example",
        "plant.example, carrier-one.example",
        "Plant, dock 4",
    )
    assert steps[4][0] == "carrier-two.example did not take it: seal broken"
    assert steps[-1][:2] == ("rejected: warmer than 8 °C for hours", "clinic.example")
    assert len(steps) == 9
    assert dict(report.facts)["Goods"].startswith("GTIN 09506000134352 lot B7 serial 21-0001 · GTIN")


@pytest.mark.parametrize("name", PROFILES)
def test_every_rule_has_its_row(name: str) -> None:
    """Bounds that the page shows are those that the judge came to, rule for rule, in its words."""
    made = account(name=name)
    report = make_report(made, "en")
    findings = [f for track in made.judgement.tracks for f in track.judgement.findings]

    assert len(report.rules.rows) + int(re.sub(r"\D", "", report.rules.more) or 0) == len(findings)
    durations = re.compile(r"for (.+?) proven, (.+?) possible")
    bounds = {found.groups() for finding in findings if (found := durations.search(finding.reason))}
    shown = {row.cells[2:4] for row in report.rules.rows}
    assert {pair for pair in shown if pair in bounds} or not bounds
    for finding in findings:
        found = durations.search(finding.reason)
        if found and len(report.rules.rows) == len(findings):
            assert any(row.cells[2:4] == found.groups() for row in report.rules.rows), finding.reason


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_other_verdicts(language: Language) -> None:
    """In limits needs no excuse, undetermined names the rule that is open; no code without a verdict."""
    kept = make_report(account(broken=False, dead=False), language)
    still_open = make_report(account(broken=False), language)

    assert (kept.verdict, kept.summary, len(kept.codes)) == (Verdict.IN_LIMITS, (), 1)
    assert still_open.verdict is Verdict.UNDETERMINED
    assert len(still_open.summary) == 2
    assert not kept.excursions.rows


def test_chinese_says_nothing_in_english() -> None:
    """Outside names and numbers no Latin word is left but what the field calls so in China, too."""
    report = make_report(judged(name="usp-controlled-cold"), "zh")
    text = said(report).replace("seal broken", "").replace("warmer than 8 °C for hours", "")
    text = re.sub(r"[0-9a-f]{8,}|[a-z-]+\.example(/[a-z-]+)?|ops:[0-9a-z-]+|21-0001|L/26", "", text)
    for place in ("Plant, dock 4", "Hub Nuremberg", "University clinic"):
        text = text.replace(place, "")

    assert set(re.findall(r"[A-Za-z]{2,}", text)) <= {"GTIN", "SSCC", "UTC", "SHA", "USP", "B7"}


def test_every_text_has_both_languages_and_is_used() -> None:
    """Nothing is left untranslated, or left over."""
    sources = "".join(
        path.read_text(encoding="utf-8") for path in Path("pipeline/shipping").glob("*.py")
    ).replace("_TEXTS", "")
    states = {"created", "committed", "held", "offered", "delivered", "released", "rejected"}
    derived = {
        *states,
        *(f"says {v.value}" for v in Verdict),
        *(v.value for v in Verdict),
        "d",
        "h",
        "min",
        "s",
    }
    for key, texts in _TEXTS.items():
        assert all(texts), key
        uses = sources.count(f'"{key}"') - 1
        assert uses > 0 or key in derived or key.startswith("did "), key


def test_pages_are_well_formed_and_quote_nothing_raw() -> None:
    """Names that look like markup stand on the page as text, in HTML and in every image."""
    evil = "<script>alert(1)</script>&\"'"
    made = judged()
    events = tuple(
        replace(event, stated=replace(event.stated, why=evil))
        if isinstance(event.stated, OfferRefused)
        else event
        for event in made.shipment.events
    )
    route = (Stop(evil, 1.0, 2.0), *made.shipment.route)
    named = replace(made, shipment=replace(made.shipment, name=evil, route=route, events=events), origin=evil)
    for language in LANGUAGES:
        page = report_html(make_report(named, language))
        assert "<script" not in page
        assert page.count("&lt;script&gt;") >= 4
        body = page[page.index("<main>") : page.index("</main>") + len("</main>")]
        ET.fromstring(body)
        assert "http://" not in body.replace("http://www.w3.org/2000/svg", "")


def test_the_link_holds_the_evidence() -> None:
    """The first goods' Digital Link, and in its fragment the hash as RFC 6920 writes it."""
    made = account()
    link, fragment = link_of(made).split("#")

    assert parse_link(link).value("21") == GOODS[0].serial
    assert fragment.startswith("sha-256;")
    assert len(fragment) == len("sha-256;") + 43


def test_goods_with_a_wrong_number_are_reported_on() -> None:
    """Their shipper signed a check digit that is none: the next goods' link, or no code, but a report."""
    wrong, right = Content("09506000134353"), Content(sscc="340123450000000017")
    made = account()

    def of(*contents: Content) -> Account:
        return replace(made, shipment=replace(made.shipment, contents=contents))

    assert link_of(of(wrong, right)).startswith("https://id.gs1.org/00/340123450000000017#sha-256;")
    assert make_report(of(wrong), "en").codes == ()
    assert dict(make_report(of(wrong), "en").facts)["Goods"] == "GTIN 09506000134353"


def test_long_lists_are_counted() -> None:
    """What does not fit is said to be in the evidence, and the worst comes first."""
    goods = tuple(Content(sscc="340123450000000017") for _ in range(9))
    made = account(name="fresh-food")
    made = replace(made, shipment=replace(made.shipment, contents=goods))
    report = make_report(made, "en")

    assert dict(report.facts)["Goods"].endswith("and 6 more in the evidence")
    assert report.excursions.more == f"and {len(made.judgement.excursions) - 4} more in the evidence"
    assert [row.tone for row in report.rules.rows][:1] == ["breach"]


def test_durations_in_both_languages() -> None:
    """Days to seconds, parts that are zero left out."""
    assert duration_text(93_784_000_000, "en") == "1 d 2 h 3 min 4 s"
    assert duration_text(93_784_000_000, "zh") == "1 天 2 小时 3 分 4 秒"
    assert duration_text(3_600_000_000, "en") == "1 h"
    assert duration_text(0, "en") == "0 s"


def decoded(page: Path, folder: Path) -> set[str]:
    """What zbar reads off a printed page."""
    image = folder / "page"
    subprocess.run(["pdftoppm", "-r", "200", "-gray", "-singlefile", str(page), str(image)], check=True)
    found = subprocess.run(
        ["zbarimg", "--quiet", "--raw", f"{image}.pgm"], check=True, capture_output=True, text=True
    )
    return set(found.stdout.splitlines())


@pytest.mark.needs("pictures")
@pytest.mark.parametrize(("name", "language"), [("eu-gdp-2-8", "en"), ("fresh-food", "zh")])
def test_codes_are_read_off_the_printed_page(tmp_path: Path, name: str, language: Language) -> None:
    """One page of A4; zbar reads both codes at 200 dpi; the verdict is verified with no network."""
    made = judged(name=name)
    page = tmp_path / "report.pdf"
    page.write_bytes(report_pdf(make_report(made, language)))

    assert page.read_bytes().count(b"/Type /Page\n") + page.read_bytes().count(b"/Type/Page/") <= 1
    info = subprocess.run(["pdfinfo", str(page)], check=True, capture_output=True, text=True).stdout
    assert re.search(r"Pages:\s+1\n", info)
    assert "A4" in info
    codes = decoded(page, tmp_path)
    assert codes == {link_of(made), made.code}
    found = read_code(next(code for code in codes if code.startswith("CPV1:")), AUTHORITIES)
    assert (found.shipment, found.judged.verdict) == (made.shipment.name, "breach")


@pytest.mark.needs("pictures")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_printed_text_can_be_copied(tmp_path: Path, language: Language) -> None:
    """Fonts are embedded and subset, and the page's words come out of it as text."""
    page = tmp_path / "report.pdf"
    report = make_report(judged(), language)
    page.write_bytes(report_pdf(report))

    fonts = subprocess.run(["pdffonts", str(page)], check=True, capture_output=True, text=True).stdout
    rows = [row.split() for row in fonts.splitlines()[2:]]
    assert rows
    assert all(row[-5:-2] == ["yes", "yes", "yes"] for row in rows)  # Embedded, subset, with Unicode.
    text = subprocess.run(["pdftotext", str(page), "-"], check=True, capture_output=True, text=True).stdout
    flat = re.sub(r"\s", "", text)
    for word in (report.verdict_word, *report.summary, CLINIC.name, report.evidence[-1][1]):
        assert re.sub(r"\s", "", word) in flat
    assert len(page.read_bytes()) < 200_000


def test_the_content_of_a_report_is_plain() -> None:
    """Whatever lays it out gets strings: it goes through JSON to Typst."""
    from dataclasses import asdict

    assert json.loads(json.dumps(asdict(make_report(judged(), "zh"))))["language"] == "zh"
