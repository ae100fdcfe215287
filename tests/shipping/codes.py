"""A signed verdict on a test account, as the log would hold it, and the enrolment of who judged."""

from hashlib import sha256
from typing import Any

from pipeline.log.checkpoint import Checkpoint
from pipeline.shipping.account import Account
from pipeline.shipping.judged import make_judged
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.shipment import encode_shipment
from pipeline.wire.statement import CONTENT_SHIPMENT, sign_statement
from tests.shipping.accounts import CLINIC_PARTY
from tests.support.changes import NOWHERE
from tests.support.city import Device, enrol, enrolment

CLINIC = Device(77, name=CLINIC_PARTY)


def enrolled(kind: str = "consignee", **changes: Any) -> Enrolment:
    """What the authority knows of the clinic."""
    return enrolment(CLINIC, kind=kind, **{**NOWHERE, **changes})


def judge_key(kind: str = "consignee", **changes: Any) -> bytes:
    """The clinic's enrolment as a statement."""
    return enrol(CLINIC, 5, about=enrolled(kind, **changes))


def signed_verdict(account: Account, **changes: Any) -> bytes:
    """The clinic's verdict."""
    judged = make_judged(
        account.shipment,
        account.judgement,
        Checkpoint(account.origin, account.size, account.root),
        account.judged_us,
    )
    fields: dict[str, Any] = {
        "issuer": CLINIC.issuer,
        "subject": account.shipment.name,
        "content_type": CONTENT_SHIPMENT,
        "epoch": 3,
        "sequence": 41,
        "previous": sha256(b"before").digest(),
        "payload": encode_shipment(judged),
    }
    return sign_statement(CLINIC.signer, **(fields | changes))
