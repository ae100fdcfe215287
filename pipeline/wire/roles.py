"""What an enrolled key may sign: sensors their readings, people and services what their role is for."""

from collections.abc import Mapping
from types import MappingProxyType

from pipeline.wire.epcis_event import decode_epcis_event
from pipeline.wire.errors import VerificationError
from pipeline.wire.finding import decode_finding
from pipeline.wire.quantities import KINDS
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import check_pack
from pipeline.wire.shipment import check_shipment
from pipeline.wire.statement import (
    CONTENT_EPCIS,
    CONTENT_FINDING,
    CONTENT_SENML,
    CONTENT_SHIPMENT,
    Statement,
)

# Content types by role.
ROLES: Mapping[str, frozenset[int | str]] = MappingProxyType(
    {
        "auditor": frozenset({CONTENT_FINDING}),
        "shipper": frozenset({CONTENT_SHIPMENT, CONTENT_EPCIS}),
        "carrier": frozenset({CONTENT_SHIPMENT, CONTENT_EPCIS}),
        "consignee": frozenset({CONTENT_SHIPMENT, CONTENT_EPCIS}),
        "issuer": frozenset({CONTENT_EPCIS}),
    }
)
CONTENT_TYPES: Mapping[str, frozenset[int | str]] = MappingProxyType(
    {**ROLES, **dict.fromkeys(KINDS, frozenset[int | str]({CONTENT_SENML}))}
)


def check_content(statement: Statement, kind: str) -> None:
    """Check that a signer of this kind may sign such content, and that the content is such.

    Raises:
        VerificationError: STATEMENT_CONTENT_TYPE; CBOR_*, PACK_*, FINDING_SHAPE; SHIPMENT_SHAPE,
            SHIPMENT_ROLE; EPCIS_SHAPE.
    """
    if statement.content_type not in CONTENT_TYPES[kind]:
        raise VerificationError(Reason.STATEMENT_CONTENT_TYPE, f"{statement.content_type} by {kind}")
    if statement.content_type == CONTENT_SENML:
        check_pack(statement.payload, statement.issuer)
    elif statement.content_type == CONTENT_SHIPMENT:
        check_shipment(statement.payload, kind)
    elif statement.content_type == CONTENT_EPCIS:
        decode_epcis_event(statement.payload)
    else:
        decode_finding(statement.payload)
