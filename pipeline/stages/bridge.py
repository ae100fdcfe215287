"""Bridge: from MQTT to the bus. It decides nothing; MQTT is acknowledged after the bus has acknowledged.

A crash between the two repeats messages, which the aggregator drops as duplicates.
"""

from pipeline.ports import Append, Bus, Delivery, Inbox
from pipeline.stages.envelopes import wrap_arrival
from pipeline.wire.errors import VerificationError
from pipeline.wire.statement import shard_of
from pipeline.wire.topics import STATEMENTS, parse_topic

RECEIVE_MAX = 512
GATHER_S = 0.01
REGISTRY_SHARD = 0


def place(delivery: Delivery, shards: int) -> Append:
    """Return the message for the bus: in the shard of the signer that the MQTT topic names. Pure.

    A topic that names nobody goes to the registry's shard, which refuses it and keeps the bytes.
    """
    try:
        kind, name = parse_topic(delivery.topic)
    except VerificationError:
        kind, name = "", ""
    shard = shard_of(name, shards) if kind == "statements" else REGISTRY_SHARD
    return Append(STATEMENTS, shard, wrap_arrival(delivery.payload), delivery.topic.encode())


async def run(bus: Bus, inbox: Inbox, shards: int, name: str = "bridge") -> None:
    """Move messages until cancelled."""
    async with bus.writer(name) as writer:
        while True:
            deliveries = await inbox.receive(RECEIVE_MAX, GATHER_S)
            if deliveries:
                # A crash before this append leaves the messages unacknowledged: the device sends them again.
                # A crash after it leaves them on the bus, and a repeat is dropped there.
                await writer.append([place(delivery, shards) for delivery in deliveries])
                await inbox.acknowledge(deliveries)
