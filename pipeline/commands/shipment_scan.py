"""`cityproof shipment scan`: what a code on goods or on a report says, verified."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.commands.progress import progress_bar
from pipeline.commands.reading import open_log, trust_file
from pipeline.commands.shipment import EXITS
from pipeline.commands.shipment_log import Source
from pipeline.commands.times import format_time
from pipeline.commands.verify import load_authorities, load_policy
from pipeline.log.checkpoint import open_checkpoint
from pipeline.log.tiles import CHECKPOINT_PATH, TileReader
from pipeline.shipping.compact_verdict import PREFIX, CompactVerdict, read_code
from pipeline.shipping.digital_link import DigitalLink, gtin_link, parse_link
from pipeline.shipping.gs1 import full_gtin
from pipeline.shipping.logged_events import read_goods
from pipeline.shipping.product import Flag, ProductHistory, Sighting, history_of
from pipeline.shipping.verdict import Verdict
from pipeline.wire.errors import InputError, MissingError, VerificationError

GENUINE, SUSPICIOUS = 0, 1
_ELEMENT = re.compile(r"\((01|10|21)\)([^()]+)")
_WORDS = {
    Flag.NOT_ISSUED: "nobody who may issue products has issued it",
    Flag.ISSUED_TWICE: "it was issued more than once",
    Flag.ISSUED_BY_ANOTHER: "somebody issued it who may not",
    Flag.DISPENSED_TWICE: "it was dispensed more than once: a suspected duplicate",
    Flag.SEEN_AFTER_DISPENSING: "it was seen after it had been dispensed",
}


def run(scanned: str, source: Source, *, as_json: bool) -> int:
    """Say what a code says: of a verdict offline, of a product out of the log.

    Exit of a verdict 0: in limits; 1: breach; 3: undetermined; of a product 0: genuine; 1: suspicious.
    """
    if scanned.startswith(PREFIX) or _is_file(scanned):
        return _scan_verdict(_text(scanned), source, as_json=as_json)
    return _scan_product(_link(scanned), source, as_json=as_json)


def _is_file(scanned: str) -> bool:
    try:
        return Path(scanned).is_file()
    except (OSError, ValueError):
        return False  # Too long for a name, or with characters that no name has.


def _text(scanned: str) -> str:
    if scanned.startswith(PREFIX):
        return scanned
    try:
        return Path(scanned).read_text(encoding="ascii").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(scanned, f"cannot be read: {error}", "Name a file with a code's text.") from error


# A verdict


def _scan_verdict(code: str, source: Source, *, as_json: bool) -> int:
    authorities = load_authorities(trust_file(source.where, source.authorities, "authorities.txt"))
    try:
        found = read_code(code, authorities)
    except VerificationError as error:
        print(json.dumps({"valid": False, "reason": error.reason, "detail": error.detail})
              if as_json else f"INVALID  {error}")  # fmt: skip
        return SUSPICIOUS
    if as_json:
        print(json.dumps({"valid": True, **_described_verdict(found)}, ensure_ascii=False))
    else:
        for line in _verdict_lines(found):
            print(line)
    return EXITS[Verdict(found.judged.verdict)]


def _described_verdict(found: CompactVerdict) -> dict[str, Any]:
    judged = found.judged
    return {
        "shipment": found.shipment,
        "verdict": judged.verdict,
        "findings": [one._asdict() for one in judged.findings],
        "judged_by": found.signer.record.issuer,
        "enrolled_by": found.signer.authority,
        "judged": format_time(judged.time_us),
        "from": format_time(judged.from_us),
        "to": format_time(judged.to_us),
        "profile_digest": judged.profile_hash.hex(),
        "leaf_hash": found.leaf_hash.hex(),
    }


def _verdict_lines(found: CompactVerdict) -> Iterator[str]:
    judged = found.judged
    yield f"{judged.verdict.upper()}  {found.shipment}"
    span = f"{format_time(judged.from_us)} .. {format_time(judged.to_us)}"
    yield f"    {span}, limits {judged.profile_hash.hex()[:16]}"
    for one in judged.findings:
        yield f"    {one.verdict:<12} {one.severity:<8} {one.rule}"
    yield f"    judged {format_time(judged.time_us)} by {found.signer.record.issuer}"
    yield f"    whose key {found.signer.authority} has enrolled; the signature is valid"
    yield f"    whether the log has it, and the key still holds, the log tells: {found.leaf_hash.hex()}"


# A product


def _link(scanned: str) -> DigitalLink:
    """Return the item of a Digital Link, of a GS1 element string, or of `GTIN SERIAL`."""
    try:
        if scanned.lower().startswith(("http://", "https://")):
            link = parse_link(scanned)
        elif elements := dict(_ELEMENT.findall(scanned)):
            link = gtin_link(
                full_gtin(elements.get("01", "")), lot=elements.get("10"), serial=elements.get("21")
            )
        else:
            gtin, _, serial = scanned.partition(" ")
            link = gtin_link(full_gtin(gtin), serial=serial.strip() or None)
    except VerificationError as error:
        remedy = "Give CPV1:…, a GS1 Digital Link, (01)GTIN(21)SERIAL, or 'GTIN SERIAL'."
        raise InputError("scan", f"{scanned[:60]!r}: {error.detail}", remedy) from error
    if link.value("01") is None or link.value("21") is None:
        raise InputError("scan", "no GTIN with a serial", "A product has both: (01)GTIN(21)SERIAL.")
    return link


def _scan_product(link: DigitalLink, source: Source, *, as_json: bool) -> int:
    policy = load_policy(source.policy_file)
    authorities = load_authorities(trust_file(source.where, source.authorities, "authorities.txt"))
    with open_log(source.where, source.token_file) as read:
        note = read(CHECKPOINT_PATH)
        if note is None:
            raise MissingError(CHECKPOINT_PATH)
        tiles = TileReader(read, open_checkpoint(note, policy).checkpoint)
        with progress_bar("scan", "entries", shown=not as_json) as progress:
            goods = read_goods(read, tiles, authorities, progress)
    history = history_of(link, goods.events, goods.shipments())
    if as_json:
        print(json.dumps(_described_product(history), ensure_ascii=False))
    else:
        for line in _product_lines(history):
            print(line)
    return SUSPICIOUS if history.flags else GENUINE


def _described_product(history: ProductHistory) -> dict[str, Any]:
    return {
        "item": history.item,
        "lot": history.lot or None,
        "flags": history.flags,
        "issued_by": sorted({one.signer for one in history.issued}),
        "cold_chain": history.cold_chain or None,
        "dispensed": [_sighting(one) for one in history.dispensed],
        "inside": [
            {"container": one.container, "from": format_time(one.from_us),
             "to": None if one.to_us is None else format_time(one.to_us)}
            for one in history.inside
        ],
        "shipments": [one._asdict() for one in history.carried],
        "history": [_sighting(one) for one in history.sightings],
    }  # fmt: skip


def _sighting(one: Sighting) -> dict[str, Any]:
    fields = one._asdict()
    time_us, leaf_hash = fields.pop("time_us"), fields.pop("leaf_hash")
    return {"time": format_time(time_us), **fields, "leaf_hash": leaf_hash.hex()}


def _product_lines(history: ProductHistory) -> Iterator[str]:
    yield f"{'SUSPICIOUS' if history.flags else 'GENUINE'}  {history.item}"
    for flag in history.flags:
        yield f"    {flag}: {_WORDS[flag]}"
    if history.issued:
        lot = f", lot {history.lot}" if history.lot else ""
        yield f"    issued by {history.issued[0].signer}{lot}"
    for box in history.inside:
        until = "still" if box.to_us is None else f"until {format_time(box.to_us)}"
        yield f"    in {box.container} from {format_time(box.from_us)}, {until}"
    for part in history.carried:
        yield f"    shipment {part.shipment}: {part.state}, cold chain {part.verdict or 'not judged'}"
    for one in history.sightings:
        place = f" at {one.place}" if one.place else ""
        yield f"    {format_time(one.time_us)}  {one.step}{place}, by {one.signer}"
    if not history.dispensed:
        yield "    not dispensed"
