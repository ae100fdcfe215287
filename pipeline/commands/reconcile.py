"""`cityproof reconcile`: for each signer, what became of every statement that it has published."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from pipeline.commands.rebuild import open_idle_site
from pipeline.commands.stores import city_of
from pipeline.ports import Bus, PointReader
from pipeline.stages import projector
from pipeline.stages.envelopes import unwrap_arrival, unwrap_outcomes
from pipeline.stages.follow import LogEntry, log_end, open_follower
from pipeline.verify.accounts import Account, Accounts, Fate
from pipeline.verify.audit import LEAVES_PER_ENTRY, PointPlace, StoredValue
from pipeline.wire.errors import VerificationError
from pipeline.wire.senml import decode_pack, time_us
from pipeline.wire.statement import CONTENT_SENML, Statement, parse_statement
from pipeline.wire.topics import REFUSED, STATEMENTS, parse_topic

READ_MAX = 256
WAIT_S = 0.5
REGISTRY_SHARD = 0
COLUMNS = ("published", "stored", "superseded", "waiting", "refused", "missing")


async def run(directory: Path, config: Path | None, *, as_json: bool) -> int:
    """Print the accounts. Exit 0: nothing is missing; 1: something is."""
    async with open_idle_site(directory, config) as site:
        accounts = list(await reconcile(site.bus, site.shards, city_of(directory, config).open_points()))
    if as_json:
        print(json.dumps([_row(account) for account in accounts], ensure_ascii=False))
    else:
        _print(accounts)
    return 1 if any(account.missing for account in accounts) else 0


async def reconcile(bus: Bus, shards: int, opening: AbstractContextManager[PointReader]) -> Sequence[Account]:
    """Return the account of every signer, as of now."""
    accounts = Accounts()
    _, end = await log_end(bus)
    consumed = dict.fromkeys(range(shards), 0)
    with opening as points:
        stored_to = await projector.position(bus)
        async with open_follower(bus, shards) as follower:
            reached = -1
            while reached < end:
                for entry in await follower.read(READ_MAX, WAIT_S):
                    reached = entry.log_offset
                    if reached <= end:
                        await asyncio.to_thread(_take_entry, accounts, entry, points, stored_to)
                        if entry.placed:
                            manifest = entry.placed.manifest
                            consumed[manifest.shard] = manifest.offset_last + 1
    await _take_refused(bus, shards, accounts)
    await _take_waiting(bus, consumed, accounts)
    return list(accounts.all())


def _take_entry(accounts: Accounts, entry: LogEntry, points: PointReader, stored_to: int) -> None:
    placed = entry.placed
    if placed is None:
        return
    places: dict[int, list[PointPlace]] = {}
    statements: dict[int, Statement] = {}
    for leaf, raw in enumerate(placed.leaves[1:], 1):
        statement = parse_statement(raw)
        if leaf in placed.manifest.equivocations:
            accounts.contradict(statement.issuer)
            continue
        statements[leaf], places[leaf] = statement, _places(statement, placed.manifest.shard)
    found = points.find([place for each in places.values() for place in each])
    for leaf, statement in statements.items():
        ref = entry.index * LEAVES_PER_ENTRY + leaf
        fate = _fate(places[leaf], found, ref, is_due=entry.log_offset <= stored_to)
        accounts.place(statement.issuer, statement.epoch, statement.sequence, fate)


def _places(statement: Statement, shard: int) -> list[PointPlace]:
    if shard == REGISTRY_SHARD or statement.content_type != CONTENT_SENML:
        return []
    issuer, subject = statement.issuer, statement.subject
    records = decode_pack(statement.payload, issuer)
    return [PointPlace(issuer, subject, record.quantity, time_us(record)) for record in records]


def _fate(
    places: Sequence[PointPlace], found: Mapping[PointPlace, StoredValue], ref: int, *, is_due: bool
) -> Fate:
    refs = [found[place].ref if place in found else -1 for place in places]
    if any(stored < ref for stored in refs):
        return Fate.MISSING if is_due else Fate.WAITING
    return Fate.SUPERSEDED if refs and min(refs) > ref else Fate.STORED


async def _take_refused(bus: Bus, shards: int, accounts: Accounts) -> None:
    async with bus.reader(REFUSED, range(shards)) as reader:
        while messages := await reader.read(READ_MAX, 0):
            for message in messages:
                refused, _ = unwrap_outcomes(message.value)
                for item in refused:
                    statement = _attributed(item.mqtt_topic, item.head)
                    if statement:
                        accounts.refuse(statement.issuer, statement.epoch, statement.sequence, item.reason)


async def _take_waiting(bus: Bus, consumed: Mapping[int, int], accounts: Accounts) -> None:
    async with bus.reader(STATEMENTS, list(consumed)) as reader:
        for shard, offset in consumed.items():
            reader.seek(shard, offset)
        while messages := await reader.read(READ_MAX, 0):
            for message in messages:
                statement = _attributed(message.key.decode(), unwrap_arrival(message.value).head)
                if statement:
                    accounts.arrive(statement.issuer, statement.epoch, statement.sequence)


def _attributed(topic: str, raw: bytes) -> Statement | None:
    """Return a statement if it came from whom it names, as the broker's access list has it; else nobody's."""
    try:
        _, name = parse_topic(topic)
        statement = parse_statement(raw)
    except VerificationError:
        return None
    return statement if statement.issuer == name else None


def _row(account: Account) -> dict[str, object]:
    columns = {name: getattr(account, name) for name in COLUMNS}
    beside = {"equivocations": account.equivocations, "reasons": dict(account.reasons)}
    return {"issuer": account.issuer, **columns, **beside}


def _print(accounts: Sequence[Account]) -> None:
    width = max((len(account.issuer) for account in accounts), default=0)
    print(f"{'':{width}}" + "".join(f"{name:>12}" for name in COLUMNS))
    for account in accounts:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(account.reasons.items()))
        numbers = "".join(f"{getattr(account, name):>12,}" for name in COLUMNS)
        print(f"{account.issuer:{width}}{numbers}  {reasons}".rstrip())
    totals = "".join(f"{sum(getattr(account, name) for account in accounts):>12,}" for name in COLUMNS)
    print(f"{'all':{width}}{totals}")
