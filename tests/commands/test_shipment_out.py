"""`cityproof shipment report, export, scan` on a log: what goes out is what the log says, and is verified."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.commands import shipment_export, shipment_import, shipment_report, shipment_scan
from pipeline.commands.key_new import run as new_key
from pipeline.commands.shipment import run as judge_readings
from pipeline.commands.shipment_log import Source, read_shipment
from pipeline.edges.keyfile import load_key
from pipeline.edges.sqlite_findings import SqliteFindings
from pipeline.log.merkle import hash_leaf
from pipeline.shipping.epcis import read_document, read_event
from pipeline.shipping.judged import make_judged
from pipeline.shipping.profile import parse_profile
from pipeline.shipping.signed_events import from_statement, to_statement
from pipeline.shipping.whole import judge_whole
from pipeline.wire.epcis_event import decode_epcis_event, encode_epcis_event
from pipeline.wire.errors import InputError
from pipeline.wire.quantities import QUANTITIES
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.shipment import Limits, Rejected, ShipmentStatement, encode_shipment
from pipeline.wire.statement import (
    CONTENT_EPCIS,
    CONTENT_SENML,
    CONTENT_SHIPMENT,
    parse_statement,
    verify_statement,
)
from tests.shipping.accounts import CLINIC_PARTY, FIRST, LOGGERS, SECOND, SHIPPER, events, packs, profile
from tests.support.changes import NOWHERE
from tests.support.city import AUTHORITIES_TEXT, Device, ForgedLog, enrol, enrolment, policy_text

NAME = "urn:cityproof:shipment:2026-0302-17"
ROLES = {SHIPPER: "shipper", FIRST: "carrier", SECOND: "carrier", CLINIC_PARTY: "consignee",
         "https://maker.example": "issuer"}  # fmt: skip
TOML = files("pipeline.shipping").joinpath("profiles", "eu-gdp-2-8.toml").read_bytes()


class City:
    """A city's folder with the broken reefer's shipment in its log, up to where the clinic rejects it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = Source(str(folder))
        self.log = ForgedLog()
        self.parties = {name: Device(200 + at, name=name) for at, name in enumerate(ROLES)}
        self.logger = Device(300, name=LOGGERS[0])
        about = [
            enrolment(party, kind=ROLES[name], subject="-", **NOWHERE) for name, party in self.parties.items()
        ]
        about.append(enrolment(self.logger, kind="cold", accuracy={"temperature": 0.2}))
        signers = [*self.parties.values(), self.logger]
        pairs = enumerate(zip(signers, about, strict=True))
        self.log.enrol(*(enrol(one, at, about=what) for at, (one, what) in pairs))
        self.verdict = self._play()
        (folder / "policy.txt").write_text(policy_text(), encoding="utf-8")
        (folder / "authorities.txt").write_text(AUTHORITIES_TEXT, encoding="utf-8")

    def _play(self) -> bytes:
        chain, raws = events(profile(), rejected=True), []
        last = b""
        for event in chain[:-1]:
            stated: Any = event.stated
            if isinstance(stated, Limits):
                stated = replace(stated, profile=TOML)
            if last:
                stated = replace(stated, after=last)
            raw = self.state(event.signer, stated)
            last = hash_leaf(raw)
            raws.append((event.signer, raw))
        for signer, raw in raws:
            self.log.add(self.parties[signer].shard, [raw])
        self.log.add(self.logger.shard, [self._pack(pack) for pack in packs(broken=True, dead=True)])
        self.publish()
        raw = self._judge()
        self.log.add(self.parties[CLINIC_PARTY].shard, [raw])
        rejected = chain[-1].stated
        assert isinstance(rejected, Rejected)
        final = self.state(CLINIC_PARTY, replace(rejected, after=last, rests_on=hash_leaf(raw)))
        self.log.add(self.parties[CLINIC_PARTY].shard, [final])
        self.publish()
        return raw

    def _judge(self) -> bytes:
        logged = read_shipment(self.source, NAME, readings=True)
        limits = parse_profile(TOML, "limits")
        judgement = judge_whole(logged.shipment, limits, logged.inputs.packs)
        assert judgement is not None
        checkpoint = logged.verified.checkpoint.checkpoint
        time_us = (logged.shipment.delivered_us or 0) + 1
        return self.state(CLINIC_PARTY, make_judged(logged.shipment, judgement, checkpoint, time_us))

    def state(self, signer: str, stated: ShipmentStatement) -> bytes:
        payload = encode_shipment(stated)
        return self.parties[signer].read(content_type=CONTENT_SHIPMENT, subject=NAME, payload=payload)

    def tell(self, signer: str, **fields: Any) -> None:
        """An EPCIS event by a party, in the log."""
        event = read_event(json.dumps({"eventTimeZoneOffset": "+00:00", **fields}).encode(), {})
        stated = to_statement(event)
        payload = encode_epcis_event(stated)
        raw = self.parties[signer].read(content_type=CONTENT_EPCIS, subject=stated.uri, payload=payload)
        self.log.add(self.parties[signer].shard, [raw])

    def _pack(self, pack: Any) -> bytes:
        records = [
            Record(one.quantity, QUANTITIES[one.quantity].unit, float(one.value), one.time_us / 1e6)
            for one in pack.values
        ]
        payload = encode_pack(self.logger.issuer, records)
        return self.logger.read(
            content_type=CONTENT_SENML, sequence=pack.sequence, payload=payload, subject="container/1"
        )

    def publish(self) -> None:
        (self.folder / "policy.txt").write_text(policy_text(), encoding="utf-8")
        (self.folder / "authorities.txt").write_text(AUTHORITIES_TEXT, encoding="utf-8")
        self.log.publish()
        for name, content in self.log.files.items():
            path = self.folder / "log" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return City(tmp_path_factory.mktemp("city"))


def test_a_report(city: City, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A page in each language and the evidence, whose hash the page names; exit 1 for a breach."""
    assert shipment_report.run(city.source, NAME, None, tmp_path, ["en", "zh"], "", pdf=False) == 1
    assert capsys.readouterr().out.startswith(f"BREACH  {NAME}\n")
    written = {path.suffixes[-2] + path.suffix if path.suffix == ".html" else path.suffix: path
               for path in tmp_path.iterdir()}  # fmt: skip
    assert sorted(written) == [".en.html", ".evidence", ".zh.html"]
    page = written[".en.html"].read_text(encoding="utf-8")
    assert sha256(written[".evidence"].read_bytes()).hexdigest() in page
    assert hash_leaf(city.verdict).hex() in page
    assert "rejected: warmer than 8 °C for hours" in page
    assert "超出限值" in written[".zh.html"].read_text(encoding="utf-8")


def test_pdf_in_english_needs_no_font(city: City, tmp_path: Path) -> None:
    """Typst has one along."""
    assert shipment_report.run(city.source, NAME, None, tmp_path, ["en"], "", pdf=True) == 1
    (page,) = tmp_path.glob("*.pdf")
    assert page.read_bytes().startswith(b"%PDF-")


def test_an_export(city: City, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """EPCIS that reads back with its hashes; a table that comes to the same verdict when it is judged."""
    epcis, table = tmp_path / "s.json", tmp_path / "s.csv"
    evidence, uri = tmp_path / "s.evidence", "https://city.example/s.evidence"

    assert shipment_export.run(city.source, NAME, None, epcis, table, evidence, uri) == 1
    capsys.readouterr()
    read = read_document(epcis.read_bytes())
    assert [event.hash for event in read] == [event.fields["eventID"] for event in read]
    steps = [event.fields["bizStep"] for event in read]
    assert [steps.count(step) for step in ("shipping", "receiving", "inspecting", "sensor_reporting")] == [
        3,
        3,
        1,
        2,
    ]
    assert uri in epcis.read_text(encoding="utf-8")

    rows = table.read_text(encoding="utf-8").splitlines()
    assert rows[0] == ",".join(shipment_export.COLUMNS)
    assert len(rows) == 1 + 4 * 305
    outside = [row for row in rows if row.endswith("temperature > 8 °C")]
    assert len(outside) == 31
    assert all(SECOND in row for row in outside)
    assert judge_readings(table, "eu-gdp-2-8", None, None, as_json=True) == 1
    again = json.loads(capsys.readouterr().out)
    assert (again["verdict"], again["excursions"][0]["proven_min_s"]) == ("breach", 9000)
    assert again["gaps"][0]["missing"] == [{"epoch": 1, "first": 252, "last": 259}]


def test_a_verdict_scanned_offline(
    city: City, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code that a report carries, from its text or a file, with an authorities file and no log."""
    from pipeline.commands.shipment_account import load_account

    code = load_account(city.source, NAME, None, "").account.code
    (tmp_path / "authorities.txt").write_text(AUTHORITIES_TEXT, encoding="utf-8")
    (tmp_path / "code.txt").write_text(code + "\n", encoding="ascii")
    offline = Source(str(tmp_path))

    assert shipment_scan.run(code, offline, as_json=True) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["valid"], found["verdict"], found["shipment"]) == (True, "breach", NAME)
    assert found["judged_by"] == CLINIC_PARTY
    assert found["leaf_hash"] == hash_leaf(city.verdict).hex()
    assert shipment_scan.run(str(tmp_path / "code.txt"), offline, as_json=False) == 1
    assert capsys.readouterr().out.startswith(f"BREACH  {NAME}\n")
    assert shipment_scan.run(code[:-1] + "0", offline, as_json=False) == 1
    assert capsys.readouterr().out.startswith("INVALID  ")


ITEM = "https://id.gs1.org/01/09506000134352/10/B7/21/21-0001"


def test_a_product_scanned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody issued it; then its maker did, and it is genuine; then it is dispensed, and once more."""
    city = City(tmp_path)
    short = "(01)09506000134352(21)21-0001"

    assert shipment_scan.run(short, city.source, as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["flags"] == ["not_issued"]

    city.tell("https://maker.example", type="ObjectEvent", eventTime="2026-02-01T00:00:00Z", action="ADD",
              bizStep="commissioning", epcList=[ITEM])  # fmt: skip
    city.publish()
    assert shipment_scan.run(ITEM, city.source, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["issued_by"] == ["https://maker.example"]
    assert (found["cold_chain"], found["shipments"][0]["shipment"]) == ("breach", NAME)

    for day in (5, 6):
        city.tell(CLINIC_PARTY, type="ObjectEvent", eventTime=f"2026-03-0{day}T00:00:00Z", action="OBSERVE",
                  bizStep="dispensing", epcList=[ITEM], readPoint={"id": "geo:50.0,14.4"})  # fmt: skip
    city.publish()
    assert shipment_scan.run("9506000134352 21-0001", city.source, as_json=False) == 1
    out = capsys.readouterr().out
    assert out.startswith("SUSPICIOUS  https://id.gs1.org/01/09506000134352/21/21-0001\n")
    assert "dispensed more than once: a suspected duplicate" in out
    assert "2026-03-06T00:00:00Z  dispensing at geo:50.0,14.4, by https://clinic.example" in out


@pytest.mark.parametrize(
    ("scanned", "message"),
    [
        ("(01)09506000134353(21)1", "the check digit would be 2"),
        ("(01)09506000134352", "no GTIN with a serial"),
        ("https://id.gs1.org/00/340123450000000017", "no GTIN with a serial"),
        ("https://" + "x" * 600, "no primary key"),
        ("hello", "a GTIN has 8, 12, 13 or 14 digits"),
        ("9506000134352 " + "x" * 30, "another form"),
    ],
)
def test_what_is_no_product(city: City, scanned: str, message: str) -> None:
    """What was scanned, what is wrong with it, and what would be right."""
    with pytest.raises(InputError) as refused:
        shipment_scan.run(scanned, city.source, as_json=False)
    assert message in str(refused.value)


def test_what_is_not_installed_is_named(city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without segno there is no report, without Typst no PDF, without a font none in Chinese."""
    import typst

    from pipeline.commands import report_pdf

    def lacks(name: str) -> str:
        monkeypatch.setattr(shipment_report, "find_spec", lambda asked: asked != name or None)
        monkeypatch.setattr(report_pdf, "find_spec", lambda asked: asked != name or None)
        with pytest.raises(InputError) as refused:
            shipment_report.run(city.source, NAME, None, tmp_path, ["zh"], "", pdf=True)
        return str(refused.value)

    assert "segno is not installed. Install cityproof[report]" in lacks("segno")
    assert "Typst is not installed. Install cityproof[report], or write HTML" in lacks("typst")
    monkeypatch.setattr(typst, "Fonts", lambda: SimpleNamespace(families=lambda: ["Libertinus Serif"]))
    assert "apt install fonts-noto-cjk" in lacks("nothing")
    assert not list(tmp_path.iterdir())


DOCUMENT = {
    "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],
    "type": "EPCISDocument",
    "schemaVersion": "2.0",
    "creationDate": "2026-03-02T08:00:00Z",
    "epcisBody": {
        "eventList": [
            {"type": "ObjectEvent", "eventTime": f"2026-03-0{day}T08:00:00Z", "eventTimeZoneOffset": "+00:00",
             "action": "OBSERVE", "epcList": [ITEM], "example:note": day}
            for day in (1, 2)
        ]
    },
}  # fmt: skip


def test_an_import_without_a_network_waits(
    city: City, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each event is a signed statement of its own, under its hash, in the outbox beside the key; exit 3."""
    document, key = tmp_path / "partner.json", tmp_path / "carrier.key"
    document.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    assert new_key("carrier", FIRST, key, "*", "*", as_json=False) == 0
    signer, _ = load_key(key)
    capsys.readouterr()

    assert shipment_import.run(document, key, city.source, "mqtt://127.0.0.1:1", as_json=True) == 3
    rows = json.loads(capsys.readouterr().out)
    assert [row["outcome"] for row in rows] == ["waiting", "waiting"]
    assert [row["kind"] for row in rows] == [event.hash for event in read_document(document.read_bytes())]
    raws = asyncio.run(waiting(key))
    for raw, event in zip(raws, read_document(document.read_bytes()), strict=True):
        statement = parse_statement(raw)
        verify_statement(statement, signer.public_key)
        assert (statement.issuer, statement.subject) == (FIRST, event.hash)
        assert from_statement(decode_epcis_event(statement.payload)).fields == event.fields


async def waiting(key: Path) -> Sequence[bytes]:
    async with SqliteFindings.open(key.with_name(key.name + ".statements")) as outbox:
        return await outbox.waiting(10)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"{}", "epcis_shape: the whole"),
        (json.dumps(DOCUMENT).replace("OBSERVE", "LOOK", 1).encode(), "eventList.0.ObjectEvent.action"),
        (json.dumps({**DOCUMENT, "epcisBody": {"eventList": []}}).encode(), "it holds no event"),
        (json.dumps(DOCUMENT).replace(ITEM, "urn:x:" + 13_000 * "y", 1).encode(), "12,288 bytes"),
    ],
)
def test_what_is_not_imported(city: City, tmp_path: Path, content: bytes | None, message: str) -> None:
    """A document with a fault anywhere is refused whole: nothing is signed."""
    document, key = tmp_path / "partner.json", tmp_path / "carrier.key"
    if content is not None:
        document.write_bytes(content)
    with pytest.raises(InputError) as refused:
        shipment_import.run(document, key, city.source, "mqtt://127.0.0.1:1", as_json=True)
    assert message in str(refused.value)
    assert not key.with_name(key.name + ".statements").exists()


def test_wrong_wishes_are_named(city: City, tmp_path: Path) -> None:
    """No such shipment, nothing to write, no such language, a place that cannot be written."""
    (tmp_path / "file").touch()
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: shipment_report.run(city.source, "none", None, tmp_path, ["en"], "", pdf=False), "nobody"),
        (lambda: shipment_export.run(city.source, NAME, None, None, None, None, ""), "Give --epcis FILE"),
        (lambda: shipment_report.languages_of(["de"]), "Choose en or zh"),
        (lambda: shipment_report.run(city.source, NAME, None, tmp_path / "file" / "x", ["en"], "", pdf=False),
         "Choose another place"),
    ]  # fmt: skip
    for act, message in cases:
        with pytest.raises(InputError) as refused:
            act()
        assert message in str(refused.value)
    assert shipment_report.languages_of(None) == ["en", "zh"]
    assert shipment_report.file_name("https://x/../y") == "x-..-y"
    assert shipment_report.file_name("../..") == "shipment"
    assert shipment_report.file_name("货运 7/B") == "货运-7-B"
