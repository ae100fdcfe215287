"""`cityproof shipment judge SHIPMENT` and `show`: what a log says of a shipment, and what that comes to."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.commands.shipment import EXITS, describe
from pipeline.commands.shipment_desk import open_desk
from pipeline.commands.shipment_files import profile_file
from pipeline.commands.shipment_log import LoggedShipment, Source, read_shipment
from pipeline.commands.shipment_state import ANSWER_S, tell
from pipeline.commands.times import format_time
from pipeline.commands.verify import load_policy
from pipeline.log.merkle import hash_leaf
from pipeline.shipping.judged import committed_profile, make_judged
from pipeline.shipping.profile import Profile
from pipeline.shipping.shipment import Event, Shipment
from pipeline.shipping.whole import HeldExcursion, WholeJudgement, judge_whole
from pipeline.shipping.words import duration
from pipeline.wire.errors import InputError, UnavailableError
from pipeline.wire.shipment import Judged

PUBLISHED_S = 30.0
POLL_S = 0.3


def judge_logged(logged: LoggedShipment, profile: Profile) -> WholeJudgement:
    """Judge a shipment by what the log says.

    Raises:
        InputError: There is nothing to judge yet.
    """
    judgement = judge_whole(logged.shipment, profile, logged.inputs.packs)
    if judgement is None:
        problem = f"it is {logged.shipment.state}, and no logger of it has been read"
        raise InputError(logged.shipment.name, problem, "Judge it once it is loaded and its loggers send.")
    return judgement


def run(
    source: Source,
    name: str,
    profile: str | None,
    key: Path | None,
    broker: str,
    out: Path | None,
    *,
    as_json: bool,
) -> int:
    """Judge a shipment from the log. Exit 0: in limits; 1: breach; 3: undetermined.

    With a key the verdict is stated in the log; with `out` the evidence is carried away, the verdict in it.
    """
    logged = read_shipment(source, name, readings=True)
    limits = committed_profile(logged.shipment, profile_file(profile) if profile else None)
    judgement = judge_logged(logged, limits)
    stated = None
    if key is not None:
        judged = make_judged(
            logged.shipment, judgement, logged.verified.checkpoint.checkpoint, int(time.time() * 1e6)
        )
        stated = asyncio.run(_state(source, name, key, broker, judged))
        if out is not None:
            logged = _with_verdict(source, name, bytes.fromhex(stated))
    if out is not None:
        _write(out, logged.evidence)
    if as_json:
        described = {"shipment": name, **describe_whole(judgement), "statement": stated}
        print(json.dumps(described, ensure_ascii=False))
    else:
        for line in whole_lines(name, limits, judgement):
            print(line)
        if stated:
            print(f"    stated in the log: {stated}")
        if out:
            print(f"    {out}: {len(logged.evidence)} bytes; `cityproof verify` judges again")
    return EXITS[judgement.verdict]


async def _state(source: Source, name: str, key: Path, broker: str, judged: Judged) -> str:
    """State a verdict; return its leaf hash once the log has it."""
    async with open_desk(key) as desk:
        (raw,) = await desk.sign(name, [judged])
        answers = await desk.send(broker, load_policy(source.policy_file), ANSWER_S)
    own = [answer for answer in answers if answer.leaf_hash == hash_leaf(raw)]
    if own[0].outcome != "in the log":
        tell(own, {own[0].leaf_hash: "verdict"}, as_json=False)
        raise UnavailableError("the log", f"the verdict is {own[0].outcome}: {own[0].why}")
    return hash_leaf(raw).hex()


def _with_verdict(source: Source, name: str, leaf_hash: bytes) -> LoggedShipment:
    """Return the shipment once a checkpoint covers the verdict, which a receipt has promised."""
    deadline_s = time.monotonic() + PUBLISHED_S
    while True:
        logged = read_shipment(source, name, readings=True)
        if any(event.leaf_hash == leaf_hash for event in logged.inputs.events):
            return logged
        if time.monotonic() > deadline_s:
            raise UnavailableError("the log", "the verdict is under no checkpoint yet")
        time.sleep(POLL_S)


def _write(out: Path, evidence: bytes) -> None:
    try:
        out.write_bytes(evidence)
    except OSError as error:
        raise InputError("--out", f"cannot write {out}: {error.strerror}", "Choose another file.") from error


def describe_whole(judgement: WholeJudgement) -> dict[str, Any]:
    """Return a shipment's judgement for `--json`."""
    return {
        "verdict": judgement.verdict,
        "reasons": judgement.reasons,
        "profile_digest": judgement.profile_digest,
        "from": format_time(judgement.from_us),
        "to": format_time(judgement.to_us),
        "statements": len(judgement.packs),
        "excursions": [_excursion(held) for held in judgement.excursions],
        "tracks": [{"loggers": track.loggers, **describe(track.judgement)} for track in judgement.tracks],
    }


def _excursion(held: HeldExcursion) -> dict[str, Any]:
    one = held.excursion
    return {
        "limit": one.limit.words,
        "severity": one.limit.severity,
        "first": format_time(one.first_us),
        "last": format_time(one.last_us),
        "ended": one.ended,
        "peak": str(one.peak),
        "proven_min_s": one.proven_min_us / 1e6,
        "possible_max_s": one.possible_max_us / 1e6,
        "loggers": held.loggers,
        "holders": held.holders,
    }


def whole_lines(name: str, profile: Profile, judgement: WholeJudgement) -> Iterator[str]:
    """Yield what people are told of a shipment's judgement."""
    yield f"{judgement.verdict.upper()}  {name}, {profile.name} ({profile.digest[:16]})"
    yield f"    {format_time(judgement.from_us)} .. {format_time(judgement.to_us)}"
    for track in judgement.tracks:
        one = track.judgement
        gaps = f", {len(one.gaps)} gaps" if one.gaps else ""
        yield f"    {', then '.join(track.loggers)}: {one.verdict}, {one.readings} readings{gaps}"
        for finding in one.findings:
            yield f"        {finding.verdict:<12} {finding.severity:<8} {finding.reason}"
    for held in judgement.excursions:
        excursion = held.excursion
        ended = "" if excursion.ended else ", no reading shows its end"
        yield (
            f"    excursion: {excursion.limit.words} from {format_time(excursion.first_us)}, "
            f"{duration(excursion.proven_min_us)} to {duration(excursion.possible_max_us)}, "
            f"peak {excursion.peak}{ended}; held by {', '.join(held.holders) or 'nobody'}"
        )


# What the log says


def show(source: Source, name: str, *, as_json: bool) -> int:
    """Show a shipment: where it stands, who held it when, what counts nothing and why."""
    shipment = read_shipment(source, name, readings=False).shipment
    if as_json:
        print(json.dumps(describe_shipment(shipment), ensure_ascii=False))
    else:
        for line in shipment_lines(shipment):
            print(line)
    return 0


def describe_shipment(shipment: Shipment) -> dict[str, Any]:
    """Return a shipment for `--json`."""
    offer = shipment.offer
    return {
        "shipment": shipment.name,
        "state": shipment.state,
        "shipper": shipment.shipper,
        "consignee": shipment.consignee,
        "carriers": shipment.carriers,
        "contents": [one._asdict() for one in shipment.contents],
        "route": [stop._asdict() for stop in shipment.route],
        "holder": shipment.holder,
        "offered_to": getattr(offer.stated, "to", None) if offer else None,
        "loaded": _time(shipment.loaded_us),
        "delivered": _time(shipment.delivered_us),
        "limits": _limits_of(shipment),
        "holdings": [
            {
                "holder": one.holder,
                "from": _time(one.from_us),
                "to": _time(one.to_us),
                "place": one.place._asdict(),
            }
            for one in shipment.holdings
        ],
        "loggers": [
            {"logger": one.logger, "track": one.track, "from": _time(one.from_us), "to": _time(one.to_us)}
            for one in shipment.attached
        ],
        "events": [_event(event) for event in shipment.events],
        "verdicts": [
            {**_event(event), "verdict": event.stated.verdict}
            for event in shipment.verdicts
            if isinstance(event.stated, Judged)
        ],
        "refused": [{**_event(one.event), "reason": one.reason} for one in shipment.refused],
        "waiting": [_event(event) for event in shipment.waiting],
        "tip": shipment.tip.hex(),
    }


def shipment_lines(shipment: Shipment) -> Iterator[str]:
    """Yield what people are told of a shipment."""
    yield f"{shipment.name}: {shipment.state}"
    yield f"    from {shipment.shipper} to {shipment.consignee}, limits {_limits_of(shipment) or 'none'}"
    for event in shipment.events:
        yield f"    {_time(event.stated.time_us)}  {event.kind:<10} {event.signer}{_more(event)}"
    for event in shipment.verdicts:
        yield f"    {_time(event.stated.time_us)}  {event.kind:<10} {event.signer}{_more(event)}"
    for one in shipment.refused:
        yield f"    counts nothing: {one.event.kind} by {one.event.signer}: {one.reason.meaning}"
    for event in shipment.waiting:
        yield f"    waits for the statement that it follows: {event.kind} by {event.signer}"
    if shipment.offer is not None:
        yield f"    offered{_more(shipment.offer)}: it is theirs to accept or refuse"
    yield f"    the next one follows {shipment.tip.hex()}"


def _more(event: Event) -> str:
    """Return what is worth saying of a statement besides its kind."""
    stated = event.stated
    parts = {"to": "to", "why": "because", "verdict": "says", "joins": "joins", "leaves": "leaves"}
    said = [(word, getattr(stated, field, None)) for field, word in parts.items()]
    words = [
        f"{word} {', '.join(value) if isinstance(value, tuple) else value}" for word, value in said if value
    ]
    return f" {'; '.join(words)}" if words else ""


def _event(event: Event) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "signer": event.signer,
        "time": _time(event.stated.time_us),
        "leaf_hash": event.leaf_hash.hex(),
        "entry": event.entry,
        "leaf": event.leaf,
    }


def _limits_of(shipment: Shipment) -> str | None:
    if shipment.limits is None:
        return None
    return bytes(getattr(shipment.limits.stated, "profile_hash", b"")).hex()


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else format_time(time_us)
