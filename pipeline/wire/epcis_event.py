"""An EPCIS event as a statement: a CBOR map of its CBV hash, its JSON as it came, and its namespaces.

Here is only the form, which the log asks for: what the JSON says, and whether the hash is its, is checked by
whoever reads it (`pipeline.shipping.signed_events`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from pipeline.wire import cbor
from pipeline.wire.errors import VerificationError
from pipeline.wire.names import is_label
from pipeline.wire.reasons import Reason

HASH_SIZE = 32
JSON_SIZE_MAX = 12_288  # Bytes: a statement has room for them.
NAMESPACES_MAX = 16
_HASH, _JSON, _NAMESPACES = 1, 2, 3


@dataclass(frozen=True, slots=True)
class EpcisEvent:
    """An event, the SHA-256 that is in its CBV 2.0 hash, and the prefixes that its document declares."""

    digest: bytes
    json: bytes
    namespaces: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def uri(self) -> str:
        """Its CBV 2.0 hash, which is the subject of its statement."""
        return f"ni:///sha-256;{self.digest.hex()}?ver=CBV2.0"


def encode_epcis_event(event: EpcisEvent) -> bytes:
    """Return the payload of the event's statement.

    Raises:
        VerificationError: EPCIS_SHAPE: nobody would take it for one.
    """
    fields: dict[int, object] = {_HASH: event.digest, _JSON: event.json}
    if event.namespaces:
        fields[_NAMESPACES] = dict(event.namespaces)
    _parse(fields)
    return cbor.encode(fields)


def decode_epcis_event(payload: bytes) -> EpcisEvent:
    """Return the event of a statement's payload.

    Raises:
        VerificationError: `cbor_*`, `epcis_shape`.
    """
    return _parse(cbor.decode(payload))


def _parse(fields: object) -> EpcisEvent:
    match fields:
        case {1: bytes() as digest, 2: bytes() as json, **others} if (
            len(digest) == HASH_SIZE and 0 < len(json) <= JSON_SIZE_MAX and others.keys() <= {_NAMESPACES}
        ):
            return EpcisEvent(digest, json, _namespaces(others.get(_NAMESPACES), there=bool(others)))
    raise VerificationError(Reason.EPCIS_SHAPE, "not a hash, JSON of at most 12,288 bytes, and namespaces")


def _namespaces(item: object, *, there: bool) -> Mapping[str, str]:
    if not there:
        return {}
    if isinstance(item, dict) and 0 < len(item) <= NAMESPACES_MAX:
        pairs = cast("dict[object, object]", item)
        if all(is_label(prefix) and is_label(space) for prefix, space in pairs.items()):
            return cast("dict[str, str]", pairs)
    raise VerificationError(
        Reason.EPCIS_SHAPE, "the namespaces are not prefix and namespace, 1 to 16 of them"
    )
