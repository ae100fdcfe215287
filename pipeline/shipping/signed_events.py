"""Signed EPCIS events: a partner's events become payloads of statements, and statements events again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.shipping.epcis import PartnerEvent, read_event
from pipeline.wire.epcis_event import EpcisEvent
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason


@dataclass(frozen=True, slots=True)
class SignedEvent:
    """An event that somebody has signed, in what role, and its place in the log."""

    fields: Mapping[str, Any]
    uri: str
    signer: str
    role: str
    leaf_hash: bytes
    entry: int
    leaf: int


def to_statement(event: PartnerEvent) -> EpcisEvent:
    """Return what is to be signed of an event."""
    content = json.dumps(event.fields, ensure_ascii=False, separators=(",", ":")).encode()
    return EpcisEvent(_digest(event.hash), content, event.namespaces)


def from_statement(stated: EpcisEvent) -> PartnerEvent:
    """Return the event of a statement, read as strictly as it was taken in.

    Raises:
        VerificationError: EPCIS_SHAPE: it is none, or its hash is another.
    """
    event = read_event(stated.json, stated.namespaces)
    if _digest(event.hash) != stated.digest:
        raise VerificationError(Reason.EPCIS_SHAPE, f"it hashes to {event.hash}")
    return event


def _digest(uri: str) -> bytes:
    return bytes.fromhex(uri.removeprefix("ni:///sha-256;").partition("?")[0])
