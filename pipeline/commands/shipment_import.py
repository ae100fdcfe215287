"""`cityproof shipment import`: a partner's EPCIS events become signed statements of who takes them in."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands.shipment_desk import AT_ONCE, Answer, open_desk
from pipeline.commands.shipment_log import Source
from pipeline.commands.shipment_state import ANSWER_S, tell
from pipeline.commands.verify import load_policy
from pipeline.log.merkle import hash_leaf
from pipeline.log.policy import Policy
from pipeline.shipping.epcis import PartnerEvent, read_document
from pipeline.shipping.signed_events import to_statement
from pipeline.wire.epcis_event import encode_epcis_event
from pipeline.wire.errors import InputError, VerificationError


def run(document: Path, key: Path, source: Source, broker: str, *, as_json: bool) -> int:
    """Sign the events of a document. Exit 0: all of them are in the log; 1: refused; 3: some wait.

    A document with a fault in any event is refused whole, and nothing is signed.
    """
    events = _read(document)
    answers, kinds = asyncio.run(_send(events, key, broker, load_policy(source.policy_file)))
    return tell(answers, kinds, as_json=as_json)


def _read(document: Path) -> list[PartnerEvent]:
    try:
        events = read_document(document.read_bytes())
        for event in events:
            encode_epcis_event(to_statement(event))  # That it fits into a statement.
    except OSError as error:
        raise InputError(str(document), f"cannot be read: {error.strerror}", "Name an EPCIS file.") from error
    except VerificationError as error:
        remedy = "Ask your partner for an EPCIS 2.0 document in JSON-LD."
        raise InputError(str(document), f"{error.reason.value}: {error.detail}", remedy) from error
    if not events:
        raise InputError(str(document), "it holds no event", "Name another document.")
    return events


async def _send(
    events: Sequence[PartnerEvent], key: Path, broker: str, policy: Policy
) -> tuple[list[Answer], dict[bytes, str]]:
    """Sign and send as many at a time as the desk sends; return what became of each, by its hash."""
    answers: list[Answer] = []
    kinds: dict[bytes, str] = {}
    async with open_desk(key) as desk:
        for begin in range(0, len(events), AT_ONCE):
            part = events[begin : begin + AT_ONCE]
            raws = await desk.sign_events([to_statement(event) for event in part])
            kinds |= {hash_leaf(raw): event.hash for raw, event in zip(raws, part, strict=True)}
            answers += await desk.send(broker, policy, ANSWER_S)
    return answers, kinds
