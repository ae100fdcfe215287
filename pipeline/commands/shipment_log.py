"""A shipment as a log shows it: evidence of all that was stated about it, and of its loggers' readings."""

import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pipeline.commands.reading import is_url, open_log, trust_file
from pipeline.commands.verify import load_authorities, load_policy
from pipeline.shipping.inputs import Inputs
from pipeline.shipping.shipment import Shipment
from pipeline.verify.bounds import check_age
from pipeline.verify.collect import Collector
from pipeline.verify.completeness import Span
from pipeline.verify.evidence import EvidenceCheck, VerifiedEvidence
from pipeline.verify.query import Query
from pipeline.wire.errors import InputError


@dataclass(frozen=True, slots=True)
class Source:
    """Which log, a city's folder or a URL, and whom to trust."""

    where: str
    policy: Path | None = None
    authorities: Path | None = None
    token_file: Path | None = None

    @property
    def policy_file(self) -> Path:
        """The policy that counts."""
        return trust_file(self.where, self.policy, "policy.txt")


@dataclass(frozen=True, slots=True)
class LoggedShipment:
    """A shipment, what it follows from, and the evidence that proves it, verified."""

    shipment: Shipment
    inputs: Inputs
    verified: VerifiedEvidence
    evidence: bytes


def read_shipment(source: Source, name: str, *, readings: bool) -> LoggedShipment:
    """Return a shipment from a log, with its loggers' readings if they are asked for.

    Raises:
        InputError: There is no log, or nobody has created this shipment in it.
        VerificationError: The log is wrong.
        UnavailableError: It does not answer, or nothing is published yet.
    """
    policy = load_policy(source.policy_file)
    authorities = load_authorities(trust_file(source.where, source.authorities, "authorities.txt"))
    with open_log(source.where, source.token_file) as read:

        def collect(query: Query) -> LoggedShipment:
            collected = BytesIO()
            Collector(read, policy).collect(query, collected.write)
            evidence = collected.getvalue()
            check = EvidenceCheck(BytesIO(evidence).read, policy, authorities)
            inputs = Inputs(name)
            for proven in check.statements():
                inputs.take(proven)
            shipment = inputs.shipment()
            if shipment is None:
                problem = f"nobody has created {name} in this log, or not yet"
                raise InputError("SHIPMENT", problem, "Look at its name, and run this again in a second.")
            return LoggedShipment(shipment, inputs, check.result(), evidence)

        found = collect(Query(shipments=frozenset({name})))
        if is_url(source.where):
            check_age(found.verified.checkpoint, authorities.bounds_s["checkpoint_age_s"], time.time())
        if readings and found.shipment.loaded_us is not None:
            end_us = found.shipment.delivered_us
            span = Span(found.shipment.loaded_us, None if end_us is None else end_us + 1)
            found = collect(
                Query(devices=frozenset(found.shipment.loggers), span=span, shipments=frozenset({name}))
            )
        return found
