"""An account to report on: vaccines from a plant to a clinic, by two carriers, one with a broken reefer."""

import math
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from importlib.resources import files

from pipeline.shipping.account import Account, trips_in
from pipeline.shipping.inputs import Pack, Value
from pipeline.shipping.profile import Profile, parse_profile
from pipeline.shipping.shipment import Attached, Event, Holding, Shipment, State
from pipeline.shipping.whole import judge_whole
from pipeline.wire.shipment import (
    Accepted,
    Content,
    Created,
    Delivered,
    Limits,
    Loaded,
    Offered,
    OfferRefused,
    Rejected,
    Released,
    ShipmentStatement,
    Stop,
)

START_US = 1_772_438_400_000_000  # 2026-03-02T08:00:00Z
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
PLANT = Stop("Plant, dock 4", 11.5820, 48.1351, "4012345000009")
HUB = Stop("Hub Nuremberg", 11.0767, 49.4521)
BORDER = Stop("Border transfer", 12.1016, 49.0134)
CLINIC = Stop("University clinic", 14.4378, 50.0755)
SHIPPER, CLINIC_PARTY = "https://plant.example", "https://clinic.example"
FIRST, SECOND = "https://carrier-one.example", "https://carrier-two.example"
LOGGERS = ("urn:dev:ops:32473-cold-17", "urn:dev:ops:32473-cold-42")
GOODS = (Content("09506000134352", "B7", "21-0001"), Content("04012345111118", "L/26"),
         Content(sscc="340123450000000017"))  # fmt: skip


def profile(name: str = "eu-gdp-2-8") -> Profile:
    return parse_profile(files("pipeline.shipping").joinpath("profiles", f"{name}.toml").read_bytes(), name)


def temperature(hours: float, *, broken: bool) -> Decimal:
    """Degrees at a time of the trip: a cycling reefer, whose compressor stops for three hours."""
    value = 4.8 + 0.9 * math.sin(hours * 4.1) + 0.3 * math.sin(hours * 17)
    if broken and 14 <= hours < 19:
        value += 7.5 * math.exp(-(((hours - 16) / 1.4) ** 2))
    return Decimal(f"{value:.2f}")


def packs(*, broken: bool, dead: bool) -> list[Pack]:
    """26 hours every five minutes, a statement a time; dead: silent for forty minutes."""
    made = []
    for index in range(26 * 12 + 1):
        hours, time_us = index / 12, START_US + HOUR_US + index * 5 * MINUTE_US
        if dead and 21 <= hours < 21.6:
            continue
        along = min(hours / 24, 1.0)
        stops = (PLANT, HUB, BORDER, CLINIC)
        at = min(int(along * 3), 2)
        part = along * 3 - at
        values = {
            "temperature": temperature(hours, broken=broken),
            "humidity": Decimal(f"{52 + 6 * math.sin(hours):.1f}"),
            "lon": Decimal(f"{stops[at].longitude * (1 - part) + stops[at + 1].longitude * part:.4f}"),
            "lat": Decimal(f"{stops[at].latitude * (1 - part) + stops[at + 1].latitude * part:.4f}"),
        }
        records = tuple(Value(quantity, time_us, value) for quantity, value in values.items())
        made.append(Pack(LOGGERS[0], 0, index, leaf_hash(1000 + index), 100 + index, 1, records))
    return made


def leaf_hash(number: int) -> bytes:
    return sha256(b"leaf %d" % number).digest()


def events(limits: Profile, *, rejected: bool) -> tuple[Event, ...]:
    """Handed over twice, once refused; delivered; rejected, or released."""
    ending: type[Rejected | Released] = Rejected if rejected else Released
    steps: list[tuple[str, type[ShipmentStatement], dict[str, object]]] = [
        (SHIPPER, Created, {"time_us": START_US, "consignee": CLINIC_PARTY, "carriers": (FIRST, SECOND),
                            "contents": GOODS, "route": (PLANT, HUB, BORDER, CLINIC),
                            "loggers": LOGGERS[:1]}),
        (SHIPPER, Limits, {"time_us": START_US + 10 * MINUTE_US,
                           "profile_hash": bytes.fromhex(limits.digest)}),
        (SHIPPER, Loaded, {"time_us": START_US + HOUR_US}),
        (SHIPPER, Offered, {"time_us": START_US + HOUR_US, "to": FIRST, "place": PLANT}),
        (FIRST, Accepted, {"time_us": START_US + HOUR_US + 12 * MINUTE_US}),
        (FIRST, Offered, {"time_us": START_US + 9 * HOUR_US, "to": SECOND, "place": HUB}),
        (SECOND, OfferRefused, {"time_us": START_US + 9 * HOUR_US + 20 * MINUTE_US, "why": "seal broken"}),
        (FIRST, Offered, {"time_us": START_US + 10 * HOUR_US, "to": SECOND, "place": HUB}),
        (SECOND, Accepted, {"time_us": START_US + 10 * HOUR_US + 5 * MINUTE_US}),
        (SECOND, Offered, {"time_us": START_US + 26 * HOUR_US, "to": CLINIC_PARTY, "place": CLINIC}),
        (CLINIC_PARTY, Accepted, {"time_us": START_US + 26 * HOUR_US + 15 * MINUTE_US}),
        (CLINIC_PARTY, Delivered, {"time_us": START_US + 27 * HOUR_US}),
        (CLINIC_PARTY, ending, {"time_us": START_US + 28 * HOUR_US, "rests_on": leaf_hash(99),
                                **({"why": "warmer than 8 °C for hours"} if rejected else {})}),
    ]  # fmt: skip
    made = []
    for number, (signer, form, fields) in enumerate(steps):
        after = {} if form is Created else {"after": leaf_hash(number - 1)}
        made.append(Event(form(**after, **fields), signer, leaf_hash(number), 10 + number, 1))  # type: ignore[arg-type]
    return tuple(made)


def shipment(limits: Profile, *, rejected: bool) -> Shipment:
    chain = events(limits, rejected=rejected)
    times = [START_US + HOUR_US, START_US + HOUR_US + 12 * MINUTE_US, START_US + 10 * HOUR_US + 5 * MINUTE_US,
             START_US + 26 * HOUR_US + 15 * MINUTE_US]  # fmt: skip
    holders, places = (SHIPPER, FIRST, SECOND, CLINIC_PARTY), (PLANT, PLANT, HUB, CLINIC)
    return Shipment(
        name="urn:cityproof:shipment:2026-0302-17",
        state=State.REJECTED if rejected else State.RELEASED,
        shipper=SHIPPER,
        consignee=CLINIC_PARTY,
        carriers=(FIRST, SECOND),
        contents=GOODS,
        route=(PLANT, HUB, BORDER, CLINIC),
        holdings=tuple(map(Holding, holders, times, [*times[1:], None], places)),
        attached=(Attached(LOGGERS[0], 0),),
        limits=chain[1],
        loaded_us=times[0],
        delivered_us=START_US + 27 * HOUR_US,
        events=chain,
    )


def account(*, broken: bool = True, dead: bool = True, name: str = "eu-gdp-2-8") -> Account:
    """By default a breach with a gap; neither: in limits; a gap alone: undetermined."""
    limits = profile(name)
    made = shipment(limits, rejected=broken)
    judgement = judge_whole(made, limits, packs(broken=broken, dead=dead))
    assert judgement is not None
    return Account(
        shipment=made,
        profile=limits,
        judgement=judgement,
        trips=trips_in(made, judgement),
        judged_us=START_US + 28 * HOUR_US,
        origin="cityproof.example/cold-chain",
        size=48_213,
        root=sha256(b"root").digest(),
        evidence_hash=sha256(b"evidence").digest(),
    )


def renamed(made: Account, name: str) -> Account:
    return replace(made, shipment=replace(made.shipment, name=name))
