"""A shipment's account from a log: judged as its last verdict says, and the code that carries the verdict."""

import time
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO

from pipeline.commands.reading import trust_file
from pipeline.commands.shipment_files import profile_file
from pipeline.commands.shipment_judge import judge_logged
from pipeline.commands.shipment_log import LoggedShipment, Source, read_shipment
from pipeline.commands.verify import load_authorities
from pipeline.identity.authorities import Authorities
from pipeline.log.merkle import hash_leaf
from pipeline.shipping.account import Account, trips_in
from pipeline.shipping.compact_verdict import make_code
from pipeline.shipping.judged import as_of, committed_profile, judge_again
from pipeline.shipping.shipment import Event
from pipeline.verify.evidence import BLOCK, KEY, KeyFrame, parse_block, parse_key
from pipeline.verify.frames import read_frames
from pipeline.verify.signer import check_signer
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.shipment import Judged
from pipeline.wire.statement import parse_statement


@dataclass(frozen=True, slots=True)
class Told:
    """An account, and the evidence that it rests on."""

    account: Account
    evidence: bytes


def load_account(source: Source, name: str, profile: str | None, evidence_uri: str) -> Told:
    """Return the account of a shipment.

    Its last verdict in the log is judged again; where there is none, it is judged now.

    Raises:
        InputError: There is no log, no such shipment, no limits, or nothing to judge.
        VerificationError: The log, or the verdict, is wrong.
        UnavailableError: The log does not answer.
    """
    logged = read_shipment(source, name, readings=True)
    given = profile_file(profile) if profile else None
    limits = committed_profile(logged.shipment, given)
    verdict = logged.shipment.verdicts[-1] if logged.shipment.verdicts else None
    judgement = judge_again(verdict, logged.inputs, given) if verdict else judge_logged(logged, limits)
    judged = (
        as_of(logged.inputs, verdict.stated.after) if verdict and isinstance(verdict.stated, Judged) else None
    )
    checkpoint = logged.verified.checkpoint.checkpoint
    authorities = load_authorities(trust_file(source.where, source.authorities, "authorities.txt"))
    return Told(
        Account(
            shipment=logged.shipment,
            profile=limits,
            judgement=judgement,
            trips=trips_in(judged or logged.shipment, judgement),
            judged_us=verdict.stated.time_us if verdict else int(time.time() * 1e6),
            origin=checkpoint.origin,
            size=checkpoint.size,
            root=checkpoint.root,
            evidence_hash=sha256(logged.evidence).digest(),
            evidence_uri=evidence_uri,
            code=_code(logged, verdict, authorities) if verdict else "",
        ),
        logged.evidence,
    )


def _code(logged: LoggedShipment, verdict: Event, authorities: Authorities) -> str:
    """Return the compact verdict; "" where it is too large for a code."""
    keys: list[KeyFrame] = []
    raw = b""
    for kind, content in read_frames(BytesIO(logged.evidence).read):
        if kind == KEY:
            keys.append(parse_key(content))
        elif kind == BLOCK:
            found = [leaf for _, leaf in parse_block(content).leaves if hash_leaf(leaf) == verdict.leaf_hash]
            raw = found[0] if found else raw
    statement = parse_statement(raw)
    for frame in keys:
        key = check_signer(frame.enrolment, frame.rotations, authorities)
        if key.record.place == (statement.issuer, statement.kid):
            try:
                return make_code(raw, frame.enrolment, frame.rotations)
            except VerificationError as error:
                if error.reason is not Reason.OVERSIZE:
                    raise
                return ""
    raise AssertionError("evidence that was verified shows who signed")
