"""A product's history by GTIN and serial, out of signed events: issued, packed, moved, kept cold, dispensed.

Whatever holds the item speaks for it: an event about its case or pallet is one about it while it is inside.
An event that its signer has declared an error counts for nothing.

Source: GS1 CBV 2.0, 7.1 (business steps), 7.2 (dispositions); EPCIS 2.0, 7.4.3 (aggregation).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pipeline.shipping.cbv import CBV, full_term
from pipeline.shipping.digital_link import DigitalLink, gtin_link
from pipeline.shipping.epc import canonical_identifier
from pipeline.shipping.epcis_export import content_link
from pipeline.shipping.shipment import Shipment
from pipeline.shipping.signed_events import SignedEvent
from pipeline.wire.errors import VerificationError
from pipeline.wire.shipment import Judged

ISSUER = "issuer"
COMMISSIONING, DISPENSING = CBV + "BizStep-commissioning", CBV + "BizStep-dispensing"
DISPENSED = CBV + "Disp-dispensed"
LOT = "cbvmda:lotNumber"
_LISTS = ("epcList", "childEPCs", "inputEPCList", "outputEPCList")
DEPTH_MAX = 16  # Boxes around one another.


class Flag(StrEnum):
    """What makes a product suspicious."""

    NOT_ISSUED = "not_issued"  # Nobody who may issue has issued it.
    ISSUED_TWICE = "issued_twice"
    ISSUED_BY_ANOTHER = "issued_by_another"  # By somebody who is enrolled for another role.
    DISPENSED_TWICE = "dispensed_twice"  # A suspected duplicate.
    SEEN_AFTER_DISPENSING = "seen_after_dispensing"


class Sighting(NamedTuple):
    """One event about the item, or about what it is in."""

    time_us: int
    step: str
    place: str
    signer: str
    about: str
    leaf_hash: bytes


class Inside(NamedTuple):
    """What the item was in, from when to when; None: still."""

    container: str
    from_us: int
    to_us: int | None


class Carried(NamedTuple):
    """A shipment that the item was part of, as what, and its last verdict; "" where nobody has judged."""

    shipment: str
    about: str
    state: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductHistory:
    """All that is signed about one item, oldest first."""

    item: str
    lot: str
    issued: tuple[Sighting, ...]
    sightings: tuple[Sighting, ...]
    inside: tuple[Inside, ...]
    carried: tuple[Carried, ...]
    dispensed: tuple[Sighting, ...]
    flags: tuple[Flag, ...]

    @property
    def cold_chain(self) -> str:
        """The worst verdict of its shipments; an unjudged one is undetermined, none at all is ""."""
        verdicts = {one.verdict or "undetermined" for one in self.carried}
        return next((v for v in ("breach", "undetermined", "in_limits") if v in verdicts), "")


class _Seen(NamedTuple):
    """An event, its time, and the canonical names of what it is about."""

    event: SignedEvent
    time_us: int
    things: frozenset[str]
    parent: str
    step: str


def history_of(
    item: DigitalLink, events: Iterable[SignedEvent], shipments: Iterable[Shipment]
) -> ProductHistory:
    """Return the history of an item, a link with GTIN and serial."""
    gtin, serial = item.value("01"), item.value("21")
    assert gtin, "an item has a GTIN"
    assert serial, "an item has a serial"
    name = canonical_identifier(gtin_link(gtin, serial=serial).uri())
    walk = _Walk(name)
    for seen in _in_order(events):
        walk.take(seen)
    lot = item.value("10") or walk.lot
    carried = [one for shipment in shipments if (one := _carried(shipment, name, gtin, lot, walk.inside))]
    return ProductHistory(
        item=name,
        lot=lot,
        issued=tuple(walk.issued),
        sightings=tuple(walk.sightings),
        inside=tuple(walk.inside),
        carried=tuple(carried),
        dispensed=tuple(walk.dispensed),
        flags=tuple(walk.flags()),
    )


def _in_order(events: Iterable[SignedEvent]) -> list[_Seen]:
    """Return each event once, by its time, then its place in the log, without those declared errors."""
    listed = sorted(events, key=lambda event: (event.entry, event.leaf))
    wrong = {(event.uri, event.signer) for event in listed if "errorDeclaration" in event.fields}
    first: dict[str, _Seen] = {}
    for event in listed:
        if (event.uri, event.signer) not in wrong and event.uri not in first:
            first[event.uri] = _seen(event)
    return sorted(first.values(), key=lambda seen: (seen.time_us, seen.event.entry, seen.event.leaf))


def _seen(event: SignedEvent) -> _Seen:
    fields = event.fields
    things = {canonical_identifier(epc) for name in _LISTS for epc in fields.get(name) or ()}
    parent = canonical_identifier(fields.get("parentID") or "")
    if parent:
        things.add(parent)
    moment = datetime.fromisoformat(fields["eventTime"])
    return _Seen(event, round(moment.timestamp() * 1e6), frozenset(things), parent, _term(fields, "bizStep"))


def _term(fields: Mapping[str, Any], name: str) -> str:
    word = fields.get(name) or ""
    return full_term(name, word).replace("cbv:", CBV)


class _Walk:
    """Follows the item through events in the order of their times."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._parents: dict[str, str] = {}
        self._since: dict[str, int] = {}
        self.lot = ""
        self.issued: list[Sighting] = []
        self.sightings: list[Sighting] = []
        self.inside: list[Inside] = []
        self.dispensed: list[Sighting] = []
        self._by_another = self._seen_after = False

    def take(self, seen: _Seen) -> None:
        """Take the next event."""
        before = self._chain()
        self._aggregate(seen)
        after = self._chain()
        self._note_boxes(before, after, seen.time_us)
        about = next((thing for thing in (*before, *after) if thing in seen.things), None)
        if about is None:
            return
        sighting = _sighting(seen, about)
        self._seen_after = self._seen_after or bool(self.dispensed)
        self.sightings.append(sighting)
        if about == self._name:
            self._note_item(seen, sighting)

    def _note_item(self, seen: _Seen, sighting: Sighting) -> None:
        fields = seen.event.fields
        if seen.step == COMMISSIONING and fields.get("action") == "ADD":
            if seen.event.role == ISSUER:
                self.issued.append(sighting)
                self.lot = self.lot or str((fields.get("ilmd") or {}).get(LOT, ""))
            else:
                self._by_another = True
        elif seen.step == DISPENSING or _term(fields, "disposition") == DISPENSED:
            self.dispensed.append(sighting)

    def _aggregate(self, seen: _Seen) -> None:
        """Put things into what holds them, or take them out; a whole taken apart without a list: all."""
        if seen.event.fields.get("type") != "AggregationEvent" or not seen.parent:
            return
        children = seen.things - {seen.parent}
        if seen.event.fields["action"] == "ADD":
            self._parents.update(dict.fromkeys(children, seen.parent))
        elif seen.event.fields["action"] == "DELETE":
            out = children or {thing for thing, parent in self._parents.items() if parent == seen.parent}
            for thing in out:
                if self._parents.get(thing) == seen.parent:
                    del self._parents[thing]

    def _chain(self) -> list[str]:
        """Return the item, what it is in, what that is in, and so on."""
        chain = [self._name]
        while len(chain) < DEPTH_MAX and (parent := self._parents.get(chain[-1])) and parent not in chain:
            chain.append(parent)
        return chain

    def _note_boxes(self, before: Sequence[str], after: Sequence[str], time_us: int) -> None:
        for box in before[1:]:
            if box not in after:
                place = max(at for at, one in enumerate(self.inside) if one.container == box)
                self.inside[place] = self.inside[place]._replace(to_us=time_us)
        self.inside += [Inside(box, time_us, None) for box in after[1:] if box not in before]

    def flags(self) -> list[Flag]:
        """Return what is suspicious."""
        found = {
            Flag.NOT_ISSUED: not self.issued,
            Flag.ISSUED_TWICE: len(self.issued) > 1,
            Flag.ISSUED_BY_ANOTHER: self._by_another,
            Flag.DISPENSED_TWICE: len(self.dispensed) > 1,
            Flag.SEEN_AFTER_DISPENSING: self._seen_after,
        }
        return [flag for flag, holds in found.items() if holds]


def _sighting(seen: _Seen, about: str) -> Sighting:
    fields = seen.event.fields
    step = seen.step.removeprefix(CBV + "BizStep-")
    if not step and fields.get("type") == "AggregationEvent":
        step = {"ADD": "packing", "DELETE": "unpacking"}.get(fields["action"], "observing")
    place = (fields.get("readPoint") or fields.get("bizLocation") or {}).get("id", "")
    signer, leaf_hash = seen.event.signer, seen.event.leaf_hash
    return Sighting(seen.time_us, step or "observing", canonical_identifier(place), signer, about, leaf_hash)


def _carried(shipment: Shipment, item: str, gtin: str, lot: str, inside: Sequence[Inside]) -> Carried | None:
    """Return how an item was part of a shipment: itself, in a box while it was on its way, or by its lot."""
    begin_us, end_us = shipment.loaded_us, shipment.delivered_us
    boxes = {
        one.container
        for one in inside
        if begin_us is not None
        and (end_us is None or one.from_us <= end_us)
        and (one.to_us is None or one.to_us >= begin_us)
    }
    for content in shipment.contents:
        try:
            name = canonical_identifier(content_link(content).uri())
        except VerificationError:
            continue  # A number that is none names nothing that anybody has issued.
        by_lot = content.gtin == gtin and not content.serial and (not content.lot or content.lot == lot)
        if name == item or name in boxes or by_lot:
            stated = [event.stated for event in shipment.verdicts]
            last = stated[-1].verdict if stated and isinstance(stated[-1], Judged) else ""
            return Carried(shipment.name, name, shipment.state.value, last)
    return None
