"""A product's history: what is signed about it and its boxes, and what is suspicious."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from pipeline.shipping.digital_link import gtin_link
from pipeline.shipping.epcis import read_event
from pipeline.shipping.product import Flag, ProductHistory, history_of
from pipeline.shipping.signed_events import SignedEvent, from_statement, to_statement
from pipeline.wire.epcis_event import EpcisEvent
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from tests.shipping.accounts import START_US, account, leaf_hash

ITEM = "https://id.gs1.org/01/09506000134352/21/21-0001"
OTHER = "https://id.gs1.org/01/09506000134352/21/21-0002"
CASE, PALLET = "https://id.gs1.org/00/340123450000000017", "https://id.gs1.org/00/106141412345678908"
MAKER, WHOLESALER, PHARMACY = "https://maker.example", "https://wholesale.example", "https://pharmacy.example"
LINK = gtin_link("09506000134352", serial="21-0001")


def event(number: int, role: str = "issuer", signer: str = MAKER, **fields: Any) -> SignedEvent:
    """An event at its hour, checked and hashed as one that came in."""
    time = f"2026-03-{1 + number // 24:02}T{number % 24:02}:00:00Z"
    whole = {"type": "ObjectEvent", "eventTime": time, "eventTimeZoneOffset": "+00:00", **fields}
    stated = to_statement(read_event(json.dumps(whole).encode(), {}))
    read = from_statement(stated)
    return SignedEvent(read.fields, read.hash, signer, role, leaf_hash(number), 10 + number, 1)


def issued(number: int = 1, **more: Any) -> SignedEvent:
    ilmd = {"cbvmda:lotNumber": "B7"}
    fields = {"action": "ADD", "bizStep": "commissioning", "epcList": [ITEM, OTHER], "ilmd": ilmd}
    return event(number, **{**fields, **more})


def packed(number: int, parent: str, *children: str, action: str = "ADD") -> SignedEvent:
    fields: dict[str, Any] = {"type": "AggregationEvent", "action": action, "parentID": parent}
    if children:
        fields["childEPCs"] = list(children)
    return event(number, "shipper", WHOLESALER, **fields)


def seen(number: int, thing: str, step: str = "receiving", **more: Any) -> SignedEvent:
    fields = {"action": "OBSERVE", "bizStep": step, "epcList": [thing], "readPoint": {"id": "geo:48.1,11.5"}}
    return event(number, "consignee", PHARMACY, **{**fields, **more})


def history(events: Sequence[SignedEvent], **more: Any) -> ProductHistory:
    return history_of(more.get("link", LINK), events, more.get("shipments", ()))


STORY = [
    issued(1),
    packed(2, CASE, ITEM, OTHER),
    packed(3, PALLET, CASE),
    seen(4, PALLET, "shipping"),
    packed(5, PALLET, action="DELETE"),
    seen(6, CASE),
    packed(7, CASE, ITEM, action="DELETE"),
    seen(8, CASE),
    seen(9, ITEM, "dispensing", disposition="dispensed"),
]


def test_the_whole_story() -> None:
    """Issued, packed into a case on a pallet, moved while inside, dispensed once: nothing is suspicious."""
    found = history(STORY)

    assert found.flags == ()
    assert found.item == ITEM
    assert found.lot == "B7"
    assert [one.signer for one in found.issued] == [MAKER]
    assert [(one.container, one.to_us is None) for one in found.inside] == [(CASE, False), (PALLET, False)]
    steps = [(one.step, one.about) for one in found.sightings]
    assert steps == [
        ("commissioning", ITEM), ("packing", ITEM), ("packing", CASE), ("shipping", PALLET),
        ("unpacking", PALLET), ("receiving", CASE), ("unpacking", ITEM), ("dispensing", ITEM),
    ]  # fmt: skip
    assert [one.signer for one in found.dispensed] == [PHARMACY]


def test_the_order_of_the_log_does_not_matter() -> None:
    """Events that came in late stand where they happened."""
    assert history(STORY[::-1]) == history(STORY)


def test_a_second_dispensing_is_a_suspected_duplicate() -> None:
    """The same serial dispensed elsewhere; the same event signed by two is no second one."""
    again = seen(30, ITEM, "dispensing")
    told_twice = [*STORY, seen(9, ITEM, "dispensing", disposition="dispensed")]

    assert history([*STORY, again]).flags == (Flag.DISPENSED_TWICE, Flag.SEEN_AFTER_DISPENSING)
    assert history(told_twice).flags == ()
    assert len(history([*STORY, again]).dispensed) == 2


@pytest.mark.parametrize(
    ("events", "flags"),
    [
        ([], (Flag.NOT_ISSUED,)),
        (STORY[1:], (Flag.NOT_ISSUED,)),
        ([*STORY, issued(0)], (Flag.ISSUED_TWICE,)),
        ([issued(1, role="consignee", signer=PHARMACY)], (Flag.NOT_ISSUED, Flag.ISSUED_BY_ANOTHER)),
        ([*STORY, seen(20, ITEM, "stocking")], (Flag.SEEN_AFTER_DISPENSING,)),
        ([*STORY, seen(20, CASE, "stocking")], ()),
    ],
)
def test_what_is_suspicious(events: list[SignedEvent], flags: tuple[Flag, ...]) -> None:
    """Never issued, issued twice or by another role, seen after it was dispensed; an empty case is not it."""
    assert history(events).flags == flags


def test_an_error_declared_by_its_signer_counts_for_nothing() -> None:
    """The event it is about, too; one declared by somebody else changes nothing."""
    wrong = {"errorDeclaration": {"declarationTime": "2026-03-03T00:00:00Z"}}
    second = seen(30, ITEM, "dispensing")
    taken_back = seen(30, ITEM, "dispensing", **wrong)
    by_another = SignedEvent(taken_back.fields, taken_back.uri, MAKER, "issuer", leaf_hash(9), 99, 1)

    assert taken_back.uri == second.uri
    assert history([*STORY, second, taken_back]).flags == ()
    assert Flag.DISPENSED_TWICE in history([*STORY, second, by_another]).flags


def test_its_cold_chain() -> None:
    """Shipments of the item, of its case while it was inside, of its lot; not of a case it had left."""
    made = account().shipment  # Serial 21-0001 and the case, by name.
    itself = history(STORY, shipments=[made])
    assert [(one.about, one.state, one.verdict) for one in itself.carried] == [(ITEM, "rejected", "")]
    assert itself.cold_chain == "undetermined"

    link = gtin_link("09506000134352", serial="21-0002")
    early = [*STORY[:3], packed(80, CASE, OTHER, action="DELETE")]
    boxed = history(early, shipments=[made], link=link)
    assert made.loaded_us is not None
    assert boxed.inside[0].from_us < made.loaded_us < START_US + 200 * 3_600_000_000
    assert [one.about for one in boxed.carried] == [CASE]
    left = [*STORY[:3], packed(5, CASE, OTHER, action="DELETE")]
    assert history(left, shipments=[made], link=link).carried == ()

    lot = gtin_link("04012345111118", lot="L/26", serial="9")
    assert len(history([], shipments=[made], link=lot).carried) == 1
    assert history([], shipments=[made], link=gtin_link("04012345111118", serial="9")).carried == ()
    assert history(STORY).cold_chain == ""


def test_boxes_in_a_circle_end() -> None:
    """Whoever signs that a case is inside its own pallet's case stops nothing."""
    found = history([issued(), packed(2, CASE, ITEM), packed(3, PALLET, CASE), packed(4, CASE, PALLET)])
    assert [one.container for one in found.inside] == [CASE, PALLET]


def test_a_statement_with_another_hash_is_refused() -> None:
    """What was signed has to be the event that it is named for."""
    stated = to_statement(
        read_event(
            b'{"type":"ObjectEvent","eventTime":"2026-03-01T00:00:00Z",'
            b'"eventTimeZoneOffset":"+00:00","action":"OBSERVE","epcList":[]}',
            {},
        )
    )
    assert from_statement(stated).hash == stated.uri
    for wrong in (EpcisEvent(bytes(32), stated.json), EpcisEvent(stated.digest, b"{}")):
        with pytest.raises(VerificationError) as refused:
            from_statement(wrong)
        assert refused.value.reason is Reason.EPCIS_SHAPE
