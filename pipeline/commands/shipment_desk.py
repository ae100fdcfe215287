"""The desk of a party to shipments: what it states is signed, made durable, and sent until the log has it.

The outbox stands beside the key, as `<key file>.statements`: a chain belongs to one key and must never be
lost. Without a network nothing is lost: the statement waits there, and goes out with the next one.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pipeline.edges.access_file import load_access
from pipeline.edges.keyfile import load_key
from pipeline.edges.mqtt import open_peer
from pipeline.edges.sqlite_findings import SqliteFindings
from pipeline.log.merkle import hash_leaf
from pipeline.log.policy import Policy
from pipeline.log.receipt import check_receipt, parse_receipt
from pipeline.ports import ChainState, Delivery
from pipeline.wire.broker import parse_broker_url
from pipeline.wire.epcis_event import EpcisEvent, encode_epcis_event
from pipeline.wire.errors import UnavailableError, VerificationError
from pipeline.wire.keys import SeedSigner
from pipeline.wire.messages import decode_receipts, decode_refusal
from pipeline.wire.shipment import ShipmentStatement, encode_shipment
from pipeline.wire.statement import (
    CONTENT_EPCIS,
    CONTENT_SHIPMENT,
    Statement,
    parse_statement,
    sign_statement,
)
from pipeline.wire.topics import broker_user, parse_topic, receipts_topic, refusals_topic, statements_topic

RESEND_S = 5.0
AT_ONCE = 256
NO_STATEMENT = bytes(32)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a statement: in the log, refused and why, or waiting in the outbox and why."""

    leaf_hash: bytes
    outcome: str
    why: str = ""


class ShipmentDesk:
    """A party with its key and its outbox. Open one with `open_desk`."""

    def __init__(self, issuer: str, signer: SeedSigner, outbox: SqliteFindings) -> None:
        self.issuer = issuer
        self._signer = signer
        self._outbox = outbox

    async def sign(self, name: str, stated: Sequence[ShipmentStatement]) -> list[bytes]:
        """Sign what is stated about a shipment and keep it, before the first byte is sent."""
        return await self._keep([(name, CONTENT_SHIPMENT, encode_shipment(one)) for one in stated])

    async def sign_events(self, events: Sequence[EpcisEvent]) -> list[bytes]:
        """Sign EPCIS events and keep them."""
        return await self._keep([(one.uri, CONTENT_EPCIS, encode_epcis_event(one)) for one in events])

    async def _keep(self, stated: Sequence[tuple[str, str, bytes]]) -> list[bytes]:
        """Sign (subject, content type, payload) one after the other, and keep the statements."""
        chain = await self._outbox.chain() or ChainState(int(time.time()), 0, NO_STATEMENT)
        raws: list[bytes] = []
        for subject, content_type, payload in stated:
            raw = sign_statement(
                self._signer,
                issuer=self.issuer,
                subject=subject,
                content_type=content_type,
                epoch=chain.epoch,
                sequence=chain.sequence,
                previous=chain.previous,
                payload=payload,
            )
            raws.append(raw)
            chain = ChainState(chain.epoch, chain.sequence + 1, hash_leaf(raw))
        # A crash before this: nothing was sent, the sequences are free. After it: the next command sends it.
        await self._outbox.add(raws, chain)
        return raws

    async def send(self, broker: str, policy: Policy, seconds: float) -> list[Answer]:
        """Send all that waits until each is answered, or time is up; return what became of each."""
        waiting = {hash_leaf(raw): parse_statement(raw) for raw in await self._outbox.waiting(AT_ONCE)}
        answers = {
            leaf_hash: Answer(leaf_hash, "waiting", "no answer: is the log running?") for leaf_hash in waiting
        }
        if not waiting:
            return []
        at = parse_broker_url("--broker", broker)
        topics = (receipts_topic(self.issuer), refusals_topic(self.issuer))
        client = f"shipment-{broker_user(self.issuer)}"
        try:
            async with (
                asyncio.timeout(seconds),
                open_peer(at.host, at.port, client, topics, access=load_access(at, self.issuer)) as (
                    inbox,
                    sender,
                ),
            ):
                hearing: asyncio.Task[Sequence[Delivery]] | None = None
                due_s = 0.0
                while any(answer.outcome == "waiting" for answer in answers.values()):
                    if time.monotonic() >= due_s:
                        due_s = time.monotonic() + RESEND_S
                        for leaf_hash, statement in waiting.items():
                            if answers[leaf_hash].outcome == "waiting":
                                await sender.publish(statements_topic(self.issuer), statement.raw)
                    hearing = hearing or asyncio.ensure_future(inbox.receive(AT_ONCE, 0.02))
                    await asyncio.wait({hearing}, timeout=max(0.0, due_s - time.monotonic()))
                    if hearing.done():
                        deliveries, hearing = hearing.result(), None
                        for delivery in deliveries:
                            await self._hear(delivery, waiting, policy, answers)
                        await inbox.acknowledge(deliveries)
        except TimeoutError:
            pass
        except UnavailableError as error:
            answers = {
                h: Answer(h, "waiting", str(error)) if a.outcome == "waiting" else a
                for h, a in answers.items()
            }
        return list(answers.values())

    async def _hear(
        self,
        delivery: Delivery,
        waiting: dict[bytes, Statement],
        policy: Policy,
        answers: dict[bytes, Answer],
    ) -> None:
        """Take up a receipt or a refusal; whatever else comes, and what it does not prove, is nothing."""
        places = {(one.epoch, one.sequence): leaf_hash for leaf_hash, one in waiting.items()}
        digests = {sha256(one.raw).digest(): leaf_hash for leaf_hash, one in waiting.items()}
        try:
            kind, _ = parse_topic(delivery.topic)
            if kind == "refusals":
                received, reason = decode_refusal(delivery.payload)
                if (leaf_hash := digests.get(received)) is not None:
                    answers[leaf_hash] = Answer(leaf_hash, "refused", f"{reason.value}: {reason.meaning}")
                return
            for epoch, sequence, receipt in decode_receipts(delivery.payload):
                leaf_hash = places.get((epoch, sequence))
                if leaf_hash is None:
                    continue
                origin = parse_receipt(receipt).origin
                log = next((key for key in policy.logs if key.name == origin), None)
                if log is not None:
                    check_receipt(receipt, leaf_hash, origin=log.name, public_key=log.public_key)
                    # A crash before this sends the statement again, and its receipt comes again.
                    await self._outbox.settle(epoch, sequence, receipt)
                    answers[leaf_hash] = Answer(leaf_hash, "in the log")
        except VerificationError:
            return


@asynccontextmanager
async def open_desk(key: Path) -> AsyncGenerator[ShipmentDesk]:
    """Open the desk of a key's holder.

    Raises:
        InputError: The key is unusable, or another command is using it.
    """
    signer, issuer = load_key(key)
    path = key.with_name(key.name + ".statements")
    path.touch(mode=0o600)  # For the same eyes as the key.
    async with AsyncExitStack() as stack:
        yield ShipmentDesk(issuer, signer, await stack.enter_async_context(SqliteFindings.open(path)))
