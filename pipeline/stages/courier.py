"""Courier: tells each device what is in the log, and what was refused and why.

One message per device and block carries all its receipts. Where a duplicate arrives, its receipt is sent
again, from an index that can be rebuilt from the topics.
"""

import asyncio
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack

from pipeline.counts import Counts
from pipeline.log.block import decode_body
from pipeline.log.merkle import BlockTree, hash_leaves
from pipeline.log.receipt import make_receipt
from pipeline.ports import Bus, BusReader, LeafPlace, Message, Publisher, ReceiptIndex
from pipeline.stages.envelopes import Duplicate, Refused, unwrap_outcomes
from pipeline.stages.follow import LOG_PARTITION, LogEntry, open_follower
from pipeline.wire.errors import VerificationError
from pipeline.wire.messages import DeviceReceipt, encode_receipts, encode_refusal
from pipeline.wire.reasons import BY_CODE, Reason
from pipeline.wire.statement import StatementParser, parse_statement
from pipeline.wire.topics import BLOCKS, LOG, REFUSED, parse_topic, receipts_topic, refusals_topic

GROUP = "courier"
READ_MAX = 64
IDLE_S = 5.0
TREES_KEPT = 32

ANSWERED_FROM_INDEX = frozenset({Reason.SEQUENCE_OLD.value, Reason.KEY_KNOWN.value})


def receipts_of(
    entry: LogEntry, parse: StatementParser
) -> tuple[dict[str, list[DeviceReceipt]], list[LeafPlace]]:
    """Return the receipts of a placed block, by issuer, and the rows for the index. Pure."""
    placed = entry.placed
    by_issuer: defaultdict[str, list[DeviceReceipt]] = defaultdict(list)
    rows: list[LeafPlace] = []
    if placed is None:
        return by_issuer, rows
    tree = BlockTree(hash_leaves(placed.leaves))
    for leaf, raw in enumerate(placed.leaves[1:], 1):
        statement = parse.parse(raw)
        identity = statement.issuer, statement.epoch, statement.sequence
        receipt = make_receipt(entry.raw, tree.size, leaf, tree.path(leaf))
        by_issuer[statement.issuer].append(DeviceReceipt(statement.epoch, statement.sequence, receipt))
        rows.append(LeafPlace(*identity, entry.log_offset, placed.manifest.shard, placed.block_offset, leaf))
    return by_issuer, rows


class _Archive:
    """Makes a receipt again, from the bus; keeps the trees of the last blocks it was asked about."""

    def __init__(self, log: BusReader, blocks: Sequence[BusReader]) -> None:
        self._log = log
        self._blocks = blocks
        self._kept: OrderedDict[int, tuple[bytes, BlockTree]] = OrderedDict()

    async def receipt(self, place: LeafPlace) -> bytes:
        """Return the receipt of the leaf at this place."""
        kept = self._kept.get(place.log_offset)
        if kept is None:
            entry = await _read_at(self._log, LOG_PARTITION, place.log_offset)
            body = await _read_at(self._blocks[place.shard], place.shard, place.block_offset)
            kept = entry.value, BlockTree(hash_leaves(decode_body(body.value)))
            self._kept[place.log_offset] = kept
            if len(self._kept) > TREES_KEPT:
                self._kept.popitem(last=False)
        signed_block, tree = kept
        return make_receipt(signed_block, tree.size, place.leaf, tree.path(place.leaf))


async def _read_at(reader: BusReader, partition: int, offset: int) -> Message:
    reader.seek(partition, offset)
    while True:
        for message in await reader.read(1, IDLE_S):
            return message


async def _deliver_receipts(
    bus: Bus, shards: int, publisher: Publisher, index: ReceiptIndex, counts: Counts
) -> None:
    parser = StatementParser()
    async with open_follower(bus, shards) as follower:
        await follower.resume(await bus.committed(GROUP, LOG, LOG_PARTITION))
        counts.turn()
        while True:
            entries = await follower.read(READ_MAX, IDLE_S)
            counts.turn()
            for entry in entries:
                by_issuer, rows = receipts_of(entry, parser)
                counts.take(len(rows))
                await index.put(rows)
                await asyncio.gather(
                    *(
                        publisher.publish(receipts_topic(issuer), encode_receipts(receipts))
                        for issuer, receipts in by_issuer.items()
                    )
                )
                counts.settle(len(rows))
            if entries:
                # A crash before this commit sends the same receipts again; devices drop what they know.
                await bus.commit(GROUP, LOG, LOG_PARTITION, entries[-1].log_offset)


def _again(refused: Iterable[Refused], duplicates: Iterable[Duplicate]) -> list[tuple[str, int, int]]:
    """Return the identities whose receipt may have to be sent again, each once."""
    wanted = dict.fromkeys((item.issuer, item.epoch, item.sequence) for item in duplicates)
    for item in refused:
        if item.reason in ANSWERED_FROM_INDEX:
            try:
                statement = parse_statement(item.head)
            except VerificationError:
                continue
            wanted[statement.issuer, statement.epoch, statement.sequence] = None
    return list(wanted)


async def _deliver_refusals(
    bus: Bus,
    shards: Sequence[int],
    publisher: Publisher,
    index: ReceiptIndex,
    archive: _Archive,
    counts: Counts,
) -> None:
    async with bus.reader(REFUSED, shards) as reader:
        for shard in shards:
            reader.seek(shard, await bus.committed(GROUP, REFUSED, shard))
        while True:
            for message in await reader.read(READ_MAX, IDLE_S):
                refused, duplicates = unwrap_outcomes(message.value)
                counts.take(len(refused) + len(duplicates))
                for issuer, epoch, sequence in _again(refused, duplicates):
                    places = await index.find(issuer, epoch, sequence)
                    receipts = [
                        DeviceReceipt(epoch, sequence, await archive.receipt(place)) for place in places
                    ]
                    if receipts:
                        await publisher.publish(receipts_topic(issuer), encode_receipts(receipts))
                await asyncio.gather(
                    *(
                        publisher.publish(
                            refusals_topic(name), encode_refusal(item.sha256, BY_CODE[item.reason])
                        )
                        for item in refused
                        if (name := _addressee(item))  # Nobody for a flood, which would be answered with one.
                    )
                )
                # A crash before this commit sends the same refusals again; devices park what they hold, once.
                await bus.commit(GROUP, REFUSED, message.partition, message.offset + 1)
                counts.settle(0, len(duplicates), Counter(item.reason for item in refused))


def _addressee(item: Refused) -> str | None:
    if item.reason == Reason.QUOTA_EXCEEDED:
        return None
    try:
        return parse_topic(item.mqtt_topic)[1]
    except VerificationError:
        return None


async def reindex(
    bus: Bus, shards: int, index: ReceiptIndex, counts: Counts, hear: Callable[[int], None]
) -> None:
    """Fill the index again with all that is in the log, and send nothing; no courier may be running.

    `hear` is told the log offset behind which nothing is done yet.
    """
    parser = StatementParser()
    async with open_follower(bus, shards) as follower:
        while True:
            for entry in await follower.read(READ_MAX, IDLE_S):
                _, rows = receipts_of(entry, parser)
                counts.take(len(rows))
                # A crash in the middle leaves a part of the index; the same rows are put there again.
                await index.put(rows)
                counts.settle(len(rows))
                hear(entry.log_offset)


async def run(
    bus: Bus, shards: int, publisher: Publisher, index: ReceiptIndex, counts: Counts | None = None
) -> None:
    """Deliver receipts and refusals until cancelled."""
    counts = counts or Counts()
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(bus.reader(LOG, [LOG_PARTITION]))
        blocks = [await stack.enter_async_context(bus.reader(BLOCKS, [shard])) for shard in range(shards)]
        async with asyncio.TaskGroup() as group:
            group.create_task(_deliver_receipts(bus, shards, publisher, index, counts))
            refusals = _deliver_refusals(bus, range(shards), publisher, index, _Archive(log, blocks), counts)
            group.create_task(refusals)
