"""Shipments in a city that runs: a handover survives the loss of the network on one side."""

import asyncio
from pathlib import Path

import pytest

from pipeline.commands.demo.shipments import LOGGERS, PARTIES, ShipmentStory
from pipeline.commands.shipment_desk import Answer, open_desk
from pipeline.commands.shipment_files import profile_file
from pipeline.commands.shipment_log import Source, read_shipment
from pipeline.commands.verify import load_policy
from pipeline.embedded import embedded_city
from pipeline.folder import open_city
from pipeline.log.merkle import hash_leaf
from pipeline.shipping.shipment import Shipment, State
from pipeline.wire.errors import InputError, PipelineError
from pipeline.wire.shipment import Accepted, Limits, Loaded, Offered, ShipmentStatement
from tests.shipping.shipments import BEGIN_US, PLANT, created

NAME = "urn:example:shipment-1"
NOWHERE = "mqtt://127.0.0.1:1"
SHIPPER, CARRIER, CONSIGNEE = PARTIES["shipper"], PARTIES["carrier"], PARTIES["consignee"]
POLLS = 200


async def state(root: Path, role: str, broker: str, *stated: ShipmentStatement) -> tuple[bytes, list[Answer]]:
    """Sign at a desk of one's own, and send; return the last leaf hash, and what became of each."""
    async with open_desk(root / "keys" / f"{role}.key") as desk:
        raws = await desk.sign(NAME, stated) if stated else [b""]
        return hash_leaf(raws[-1]), await desk.send(broker, load_policy(root / "policy.txt"), 20.0)


async def until(root: Path, holder: str | None, *, waiting: int) -> Shipment:
    """The shipment once the log shows it so."""
    seen: Shipment | PipelineError | None = None
    for _ in range(POLLS):
        try:
            seen = (await asyncio.to_thread(read_shipment, Source(str(root)), NAME, readings=False)).shipment
            if seen.holder == holder and len(seen.waiting) == waiting:
                return seen
        except PipelineError as error:
            seen = error  # Nothing is published yet.
        await asyncio.sleep(0.1)
    raise AssertionError(seen)


async def test_a_handover_survives_the_loss_of_the_network_on_one_side(tmp_path: Path) -> None:
    """The shipper offers without one; the carrier accepts by the offer's hash; the offer comes later."""
    folder, keys = open_city(tmp_path / "city")
    root = folder.root
    async with embedded_city(folder, 0, lambda _size: None) as city:
        await ShipmentStory(folder, keys, city).enrol()
        broker = f"mqtt://{city.host}:{city.port}"
        first = created(consignee=CONSIGNEE, carriers=(CARRIER,), loggers=(LOGGERS.format(1),))
        last, answers = await state(root, "shipper", broker, first)
        limits = Limits(
            after=last, time_us=BEGIN_US, profile_hash=bytes(32), profile=profile_file("eu-gdp-2-8")
        )
        last, answers = await state(root, "shipper", broker, limits)
        last, answers = await state(root, "shipper", broker, Loaded(after=last, time_us=BEGIN_US))
        assert [answer.outcome for answer in answers] == ["in the log"]

        offer, answers = await state(
            root, "shipper", NOWHERE, Offered(after=last, time_us=BEGIN_US, to=CARRIER, place=PLANT)
        )
        assert [(answer.leaf_hash, answer.outcome) for answer in answers] == [(offer, "waiting")]
        _, answers = await state(root, "carrier", broker, Accepted(after=offer, time_us=BEGIN_US))
        assert [answer.outcome for answer in answers] == ["in the log"]
        shipment = await until(root, SHIPPER, waiting=1)
        assert (shipment.state, shipment.waiting[0].kind) == (State.HELD, "accepted")

        _, answers = await state(root, "shipper", broker)
        assert [(answer.leaf_hash, answer.outcome) for answer in answers] == [(offer, "in the log")]
        shipment = await until(root, CARRIER, waiting=0)
        assert [event.kind for event in shipment.events] == [
            "created", "limits", "loaded", "offered", "accepted",
        ]  # fmt: skip
        assert (await state(root, "shipper", broker))[1] == []


async def test_what_the_role_may_not_state_is_refused_at_the_door(tmp_path: Path) -> None:
    """The carrier's desk would sign it: the log refuses, and says why."""
    folder, keys = open_city(tmp_path / "city")
    async with embedded_city(folder, 0, lambda _size: None) as city:
        await ShipmentStory(folder, keys, city).enrol()
        broker = f"mqtt://{city.host}:{city.port}"
        _, answers = await state(folder.root, "carrier", broker, Loaded(after=bytes(32), time_us=BEGIN_US))
        assert [answer.outcome for answer in answers] == ["refused"]
        assert answers[0].why.startswith("shipment_role: ")


async def test_a_shipment_that_nobody_created_is_a_persons_mistake(tmp_path: Path) -> None:
    """It names the shipment."""
    folder, _ = open_city(tmp_path / "city")
    async with embedded_city(folder, 0, lambda _size: None):
        for _ in range(POLLS):
            if (folder.log / "checkpoint").exists():
                break
            await asyncio.sleep(0.1)
        with pytest.raises(InputError, match=NAME):
            read_shipment(Source(str(folder.root)), NAME, readings=True)
