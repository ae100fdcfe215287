"""Bridge: from MQTT to the bus. It reads no statement; MQTT is acknowledged after the bus has acknowledged.

A crash between the two repeats messages, which the aggregator drops as duplicates. Of what one name sends
beyond its quota only length and hash go on: the aggregator refuses that unread, so that a flood costs others
next to nothing and is accounted for all the same. Whoever may send under a name is for the broker to say.
"""

import asyncio
from collections import OrderedDict
from functools import lru_cache

from pipeline.counts import Counts
from pipeline.ports import Append, Bus, Delivery, Inbox
from pipeline.stages.envelopes import wrap_arrival, wrap_over_quota
from pipeline.wire.errors import VerificationError
from pipeline.wire.statement import shard_of
from pipeline.wire.topics import STATEMENTS, parse_topic

RECEIVE_MAX = 512
GATHER_S = 0.01
REGISTRY_SHARD = 0
QUOTA_PER_S = 1000.0  # A device with a backlog has 32 statements in flight, some 100 a second.
QUOTA_BURST = 2000
NAMES_MAX = 65_536


class Quota:
    """How many messages may go on under one MQTT topic: so many a second, and so many at once.

    The generic cell rate algorithm (ITU-T I.371): one number a topic, the time at which it would be in credit
    for the whole burst again. Topics that are, are forgotten, and beyond `NAMES_MAX` those heard of longest
    ago. Pure: the caller gives the time, of any clock that does not run backwards.
    """

    def __init__(self, per_s: float = QUOTA_PER_S, burst: int = QUOTA_BURST) -> None:
        self._interval_s = 1 / per_s
        self._burst_s = burst / per_s
        self._whole_at_s: OrderedDict[str, float] = OrderedDict()

    def admits(self, topic: str, now_s: float) -> bool:
        """Tell whether one more message may go on now, and count it if so."""
        known = self._whole_at_s
        due_s = max(known.get(topic, now_s), now_s) + self._interval_s
        if due_s - now_s > self._burst_s:
            return False
        known[topic] = due_s
        known.move_to_end(topic)
        while len(known) > NAMES_MAX or next(iter(known.values())) <= now_s:
            known.popitem(last=False)
        return True


def place(delivery: Delivery, shards: int, *, within_quota: bool = True) -> Append:
    """Return the message for the bus: in the shard of the signer that the MQTT topic names. Pure.

    A topic that names nobody goes to the registry's shard, which refuses it and keeps the bytes.
    """
    shard, key = _address(delivery.topic, shards)
    wrap = wrap_arrival if within_quota else wrap_over_quota
    return Append(STATEMENTS, shard, wrap(delivery.payload), key)


@lru_cache(maxsize=16_384)  # About 5 MB, where names are of usual length.
def _address(topic: str, shards: int) -> tuple[int, bytes]:
    """Return the shard of what comes under an MQTT topic, and its key on the bus."""
    try:
        kind, name = parse_topic(topic)
    except VerificationError:
        kind, name = "", ""
    return shard_of(name, shards) if kind == "statements" else REGISTRY_SHARD, topic.encode()


async def run(
    bus: Bus,
    inbox: Inbox,
    shards: int,
    name: str = "bridge",
    quota: Quota | None = None,
    counts: Counts | None = None,
) -> None:
    """Move messages until cancelled."""
    quota, counts = quota or Quota(), counts or Counts()
    loop = asyncio.get_running_loop()
    async with bus.sender(name) as sender:
        counts.turn()
        while True:
            deliveries = await inbox.receive(RECEIVE_MAX, GATHER_S)
            counts.turn()
            if deliveries:
                counts.take(len(deliveries))
                # A crash in this call leaves the messages unacknowledged, and any of them on the bus: the
                # device sends them again. A crash after it leaves all there, and a repeat is dropped there.
                now_s = loop.time()
                await sender.send(
                    [
                        place(delivery, shards, within_quota=quota.admits(delivery.topic, now_s))
                        for delivery in deliveries
                    ]
                )
                counts.settle(len(deliveries))
                await inbox.acknowledge(deliveries)
