"""The demo's story of shipments: every truck carries one, from loading to the consignee's decision.

Nobody in it knows which truck will fail: the shipper commits limits, the carrier takes over, and at the end
the consignee judges by the log, states the verdict, and releases or rejects.
"""

import asyncio
import time
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from pipeline.commands.shipment_desk import ShipmentDesk, open_desk
from pipeline.commands.shipment_files import profile_file
from pipeline.commands.shipment_judge import judge_logged
from pipeline.commands.shipment_log import LoggedShipment, Source, read_shipment
from pipeline.edges.keyfile import load_or_create_key
from pipeline.edges.mqtt import open_peer
from pipeline.embedded import RunningCity
from pipeline.folder import AUTHORITY, CityFolder, CityKeys
from pipeline.log.merkle import hash_leaf
from pipeline.log.policy import Policy, parse_policy
from pipeline.shipping.gs1 import check_digit
from pipeline.shipping.judged import committed_profile, make_judged
from pipeline.shipping.shipment import State
from pipeline.shipping.verdict import Verdict
from pipeline.shipping.whole import WholeJudgement
from pipeline.wire.enrolment import Enrolment, encode_enrolment
from pipeline.wire.errors import InputError, UnavailableError
from pipeline.wire.messages import decode_receipts
from pipeline.wire.possession import sign_possession
from pipeline.wire.shipment import (
    Accepted,
    Content,
    Created,
    Delivered,
    Limits,
    Loaded,
    Offered,
    Rejected,
    Released,
    ShipmentStatement,
    Stop,
)
from pipeline.wire.statement import CONTENT_ENROLMENT, sign_statement
from pipeline.wire.topics import receipts_topic, registry_topic

SCENARIO = "broken-reefer"
TRUCKS = 12
FROZEN_EVERY = 4  # Each fourth truck carries frozen goods.
LOGGERS = "urn:dev:ops:32473-cold-{:04}"
PARTIES = {role: f"https://{role}.demo.cityproof.example/" for role in ("shipper", "carrier", "consignee")}
EPOCH = 0  # Of the authority: its statements in it are always the same, and may come twice.
PLANT, CLINIC = Stop("plant", 119.0558, 31.5064), Stop("clinic", 119.0218, 31.5201)
MINUTE_US = 60_000_000
SEND_S = 30.0
PUBLISHED_S = 30.0
POLL_S = 0.5
AT_ONCE = 100


def sscc(number: int) -> str:
    """Return the SSCC of the pallet in a truck."""
    digits = f"06141411{number:09}"
    return digits + check_digit(digits)


@dataclass(slots=True)
class _Consignment:
    """A truck's shipment: its name, and the leaf hash of its last statement."""

    number: int
    name: str
    tip: bytes = b""


@dataclass(slots=True)
class ShipmentStory:
    """Plays the story in a city that runs."""

    folder: CityFolder
    keys: CityKeys
    city: RunningCity
    _consignments: list[_Consignment] = field(default_factory=list[_Consignment])
    _beginning: "asyncio.Task[None] | None" = None

    def begin(self, now_s: float) -> None:
        """Begin, once, at this simulated time."""
        if self._beginning is None:
            self._beginning = asyncio.create_task(self._begin(int(now_s * 1e6)))

    async def end(self, now_s: float) -> list[dict[str, Any]]:
        """Deliver, judge, state the verdicts, decide; return what came of each shipment."""
        if self._beginning is None:
            return []
        await self._beginning
        return await self._end(int(now_s * 1e6))

    @property
    def _policy(self) -> Policy:
        return parse_policy(self.folder.policy.read_bytes())

    async def _begin(self, now_us: int) -> None:
        await self.enrol()
        self._consignments = [
            _Consignment(number, f"https://id.gs1.org/00/{sscc(number)}") for number in range(1, TRUCKS + 1)
        ]
        async with self._desk("shipper") as shipper:
            for one in self._consignments:
                await self._state(shipper, one, self._created(one, now_us))
                await self._state(shipper, one, _limits(one, now_us))
                await self._state(shipper, one, Loaded(after=one.tip, time_us=now_us))
                offered = Offered(after=one.tip, time_us=now_us, to=PARTIES["carrier"], place=PLANT)
                await self._state(shipper, one, offered)
            await self._send(shipper)
        async with self._desk("carrier") as carrier:
            for one in self._consignments:
                await self._state(carrier, one, Accepted(after=one.tip, time_us=now_us + MINUTE_US))
            await self._send(carrier)

    async def _end(self, now_us: int) -> list[dict[str, Any]]:
        async with self._desk("carrier") as carrier:
            for one in self._consignments:
                to = PARTIES["consignee"]
                offered = Offered(after=one.tip, time_us=now_us - 2 * MINUTE_US, to=to, place=CLINIC)
                await self._state(carrier, one, offered)
            await self._send(carrier)
        async with self._desk("consignee") as consignee:
            for one in self._consignments:
                await self._state(consignee, one, Accepted(after=one.tip, time_us=now_us - MINUTE_US))
                await self._state(consignee, one, Delivered(after=one.tip, time_us=now_us))
            await self._send(consignee)
            judged = [(one, *await asyncio.to_thread(self._judge, one)) for one in self._consignments]
            grounds = []
            for one, logged, judgement in judged:
                checkpoint = logged.verified.checkpoint.checkpoint
                stated = make_judged(logged.shipment, judgement, checkpoint, int(time.time() * 1e6))
                (raw,) = await consignee.sign(one.name, [stated])
                grounds.append(hash_leaf(raw))
            await self._send(consignee)
            for (one, _, judgement), rests_on in zip(judged, grounds, strict=True):
                await self._state(consignee, one, _decision(one, judgement, rests_on, now_us + MINUTE_US))
            await self._send(consignee)
        return [_row(one, judgement) for one, _, judgement in judged]

    def _judge(self, one: _Consignment) -> tuple[LoggedShipment, WholeJudgement]:
        """Judge by the log, once a checkpoint covers the delivery; leave the evidence."""
        deadline_s = time.monotonic() + PUBLISHED_S
        logged: LoggedShipment | None = None
        while logged is None or logged.shipment.state is not State.DELIVERED:
            if time.monotonic() > deadline_s:
                raise UnavailableError("the log", f"{one.name} is not delivered in it")
            with suppress(InputError):  # Not published yet.
                logged = read_shipment(Source(str(self.folder.root)), one.name, readings=True)
            if logged is None or logged.shipment.state is not State.DELIVERED:
                time.sleep(POLL_S)
        (self.folder.proofs / f"shipment-{one.number:02}.evidence").write_bytes(logged.evidence)
        return logged, judge_logged(logged, committed_profile(logged.shipment))

    def _created(self, one: _Consignment, now_us: int) -> Created:
        return Created(
            time_us=now_us,
            consignee=PARTIES["consignee"],
            carriers=(PARTIES["carrier"],),
            contents=(Content(sscc=sscc(one.number)), Content("09506000134352", f"L{one.number:03}")),
            route=(PLANT, CLINIC),
            loggers=(LOGGERS.format(one.number),),
        )

    def _desk(self, role: str) -> AbstractAsyncContextManager[ShipmentDesk]:
        path = self.folder.root / "keys" / f"{role}.key"
        load_or_create_key(path, PARTIES[role])
        return open_desk(path)

    async def _state(self, desk: ShipmentDesk, one: _Consignment, stated: ShipmentStatement) -> None:
        (raw,) = await desk.sign(one.name, [stated])
        one.tip = hash_leaf(raw)

    async def _send(self, desk: ShipmentDesk) -> None:
        broker = f"mqtt://{self.city.host}:{self.city.port}"
        for answer in await desk.send(broker, self._policy, SEND_S):
            if answer.outcome != "in the log":
                what = f"a statement of {desk.issuer} is {answer.outcome}: {answer.why}"
                raise UnavailableError("the log", what)

    async def enrol(self) -> None:
        """State in the log that the parties' keys may sign about shipments, and wait for the receipts.

        Then every shard knows them, and refuses nothing that they sign.
        """
        previous, waiting = bytes(32), set(range(1, len(PARTIES) + 1))
        topics = (receipts_topic(AUTHORITY),)
        async with (
            asyncio.timeout(SEND_S),
            open_peer(self.city.host, self.city.port, "registrar-shipments", topics) as (inbox, sender),
        ):
            for sequence, (role, issuer) in enumerate(PARTIES.items(), 1):
                key = load_or_create_key(self.folder.root / "keys" / f"{role}.key", issuer)
                enrolment = Enrolment(
                    issuer=issuer,
                    public_key=key.public_key,
                    department=role,
                    controller=role,
                    data_class="shipments",
                    kind=role,
                    subject="shipments",
                    area="city",
                    valid_from_s=0,
                    possession=sign_possession(key, AUTHORITY, issuer),
                )
                raw = sign_statement(
                    self.keys.authority,
                    issuer=AUTHORITY,
                    subject=issuer,
                    content_type=CONTENT_ENROLMENT,
                    epoch=EPOCH,
                    sequence=sequence,
                    previous=previous,
                    payload=encode_enrolment(enrolment),
                )
                previous = hash_leaf(raw)
                await sender.publish(registry_topic(AUTHORITY), raw)
            while waiting:
                deliveries = await inbox.receive(AT_ONCE, 0.05)
                for delivery in deliveries:
                    for receipt in decode_receipts(delivery.payload):
                        if receipt.epoch == EPOCH:
                            waiting.discard(receipt.sequence)
                await inbox.acknowledge(deliveries)


def _limits(one: _Consignment, now_us: int) -> Limits:
    profile = profile_file("deep-frozen" if one.number % FROZEN_EVERY == 0 else "eu-gdp-2-8")
    return Limits(after=one.tip, time_us=now_us, profile_hash=sha256(profile).digest(), profile=profile)


def _decision(
    one: _Consignment, judgement: WholeJudgement, rests_on: bytes, now_us: int
) -> ShipmentStatement:
    if judgement.verdict is Verdict.IN_LIMITS:
        return Released(after=one.tip, time_us=now_us, rests_on=rests_on)
    why = f"judged {judgement.verdict.value}"
    return Rejected(after=one.tip, time_us=now_us, rests_on=rests_on, why=why)


def _row(one: _Consignment, judgement: WholeJudgement) -> dict[str, Any]:
    return {
        "shipment": one.name,
        "logger": LOGGERS.format(one.number),
        "verdict": judgement.verdict.value,
        "reasons": list(judgement.reasons),
    }
