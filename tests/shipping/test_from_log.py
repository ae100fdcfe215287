"""A shipment from the log: evidence of it, the judgement, the verdict as a statement that is judged again."""

from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from typing import Any

import cbor2
import pytest

from pipeline.commands.shipment_files import profile_file
from pipeline.log.merkle import hash_leaf
from pipeline.shipping.inputs import Inputs, read_inputs
from pipeline.shipping.judged import committed_profile, judge_again, make_judged
from pipeline.shipping.shipment import Event, State
from pipeline.shipping.verdict import Verdict
from pipeline.shipping.whole import judge_whole
from pipeline.verify.completeness import Span
from pipeline.verify.evidence import VerifiedEvidence
from pipeline.verify.query import Query
from pipeline.wire.errors import InputError, VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.shipment import (
    Accepted,
    Delivered,
    Judged,
    Limits,
    Loaded,
    LoggersChanged,
    Offered,
    ShipmentStatement,
    encode_shipment,
)
from pipeline.wire.statement import CONTENT_SHIPMENT
from tests.shipping.shipments import CARRIER, CLINIC, CONSIGNEE, LOGGER, NAME, PLANT, SHIPPER, SPARE, created
from tests.support.city import Device, ForgedLog, enrol, enrolment
from tests.support.evidence_files import collect, judge, put_together, take_apart

START_S = 1_800_000_000
START_US = START_S * 1_000_000
MINUTE_US = 60_000_000
PROFILE = profile_file("eu-gdp-2-8")
ROLES = {SHIPPER: "shipper", CARRIER: "carrier", CONSIGNEE: "consignee"}
NOWHERE: dict[str, Any] = dict.fromkeys(
    ("longitude", "latitude", "height_m", "accuracy", "calibrated_until_s"), None
)


class Log:
    """A forged log with three parties and two loggers, to which anything may be added."""

    def __init__(self) -> None:
        self.forged = ForgedLog()
        self.parties = {name: Device(n, name=name) for n, name in enumerate(ROLES, 30)}
        self.loggers = {name: Device(n, name=name) for n, name in enumerate((LOGGER, SPARE), 40)}
        self.tip = bytes(32)
        raws = [
            enrol(party, n, about=enrolment(party, kind=ROLES[name], **NOWHERE))
            for n, (name, party) in enumerate(self.parties.items())
        ]
        raws += [
            enrol(logger, 3 + n, about=enrolment(logger, kind="cold", accuracy={}))
            for n, logger in enumerate(self.loggers.values())
        ]
        self.forged.enrol(*raws)

    def state(self, signer: str, stated: ShipmentStatement) -> bytes:
        """A statement about the shipment, in a block of its own."""
        party = self.parties[signer]
        raw = party.read(content_type=CONTENT_SHIPMENT, subject=NAME, payload=encode_shipment(stated))
        self.forged.add(party.shard, [raw])
        if not isinstance(stated, Judged):
            self.tip = hash_leaf(raw)
        return hash_leaf(raw)

    def step(self, signer: str, form: Any, minute: int, **fields: Any) -> bytes:
        """The next statement of the chain."""
        return self.state(signer, form(after=self.tip, time_us=START_US + minute * MINUTE_US, **fields))

    def read(self, logger: str, minute: int, *values: float) -> None:
        """Readings, one a minute, as one statement."""
        device = self.loggers[logger]
        records = [
            Record("temperature", "Cel", value, START_S + 60.0 * (minute + n))
            for n, value in enumerate(values)
        ]
        self.forged.add(device.shard, [device.read(payload=encode_pack(logger, records))])

    def begin(self, profile: bytes | None = PROFILE) -> None:
        """Created, committed, loaded, and with the carrier."""
        self.state(SHIPPER, created(time_us=START_US))
        self.step(SHIPPER, Limits, 0, profile_hash=sha256(PROFILE).digest(), profile=profile)
        self.step(SHIPPER, Loaded, 0)
        self.step(SHIPPER, Offered, 0, to=CARRIER, place=PLANT)
        self.step(CARRIER, Accepted, 0)

    def deliver(self, minute: int) -> None:
        """With the consignee, and delivered."""
        self.step(CARRIER, Offered, minute, to=CONSIGNEE, place=CLINIC)
        self.step(CONSIGNEE, Accepted, minute)
        self.step(CONSIGNEE, Delivered, minute)

    def inputs(self, **query: Any) -> tuple[Inputs, VerifiedEvidence]:
        """What evidence of the shipment holds."""
        self.forged.publish()
        asked = Query(
            devices=frozenset({LOGGER, SPARE}),
            span=Span(START_US, START_US + 10**12),
            shipments=frozenset({NAME}),
        )
        statements, verified = judge(collect(self.forged, replace(asked, **query)))
        return read_inputs(NAME, statements), verified


def a_log(*warm: float) -> Log:
    """A trip of an hour, in limits but for some values amid it."""
    log = Log()
    log.begin()
    log.read(LOGGER, 0, *[5.0] * 30)
    log.read(LOGGER, 30, *warm, *[5.0] * (31 - len(warm)))
    log.deliver(60)
    return log


def judged(log: Log) -> tuple[Judged, Inputs]:
    """The verdict on what the log holds now."""
    inputs, verified = log.inputs()
    shipment = inputs.shipment()
    assert shipment is not None
    judgement = judge_whole(shipment, committed_profile(shipment), inputs.packs)
    assert judgement is not None
    return make_judged(shipment, judgement, verified.checkpoint.checkpoint, START_US + 10**10), inputs


def confirm(log: Log, stated: Judged) -> VerificationError | None:
    """State a verdict, carry the evidence away, judge again; return why it is not the same."""
    leaf_hash = log.state(CONSIGNEE, stated)
    inputs, _ = log.inputs()
    shipment = inputs.shipment()
    assert shipment is not None
    (event,) = (one for one in shipment.verdicts if one.leaf_hash == leaf_hash)
    try:
        judge_again(event, inputs)
    except VerificationError as error:
        return error
    return None


def test_evidence_holds_all_that_was_stated_and_read() -> None:
    """Every party's statements about this shipment, its loggers' readings, and nothing of others."""
    log = a_log()
    other = log.parties[SHIPPER].read(
        content_type=CONTENT_SHIPMENT, subject="another", payload=encode_shipment(created())
    )
    log.forged.add(log.parties[SHIPPER].shard, [other])
    inputs, verified = log.inputs()
    shipment = inputs.shipment()
    assert shipment is not None
    assert (len(inputs.events), len(inputs.packs), verified.statements) == (8, 2, 10)
    assert shipment.state is State.DELIVERED
    assert [signer.issuer for signer in verified.signers] == [LOGGER, SPARE]
    alone, _ = log.inputs(devices=frozenset(), span=Span())
    assert (len(alone.events), alone.packs) == (8, [])


def test_a_statement_about_another_shipment_is_no_answer() -> None:
    """Evidence that was asked for one shipment and shows another's is refused."""
    log = a_log()
    log.forged.publish()
    data = collect(log.forged, Query(shipments=frozenset({NAME})))
    assert judge(data)[1].statements == 8
    (kind, head), *rest = take_apart(data)
    another = cbor2.dumps(cbor2.loads(head) | {1: {7: ["another"]}}, canonical=True)
    with pytest.raises(VerificationError) as refused:
        judge(put_together([(kind, another), *rest]))
    assert refused.value.reason is Reason.EVIDENCE_QUERY


def test_what_a_role_may_not_state_is_refused_in_evidence_too() -> None:
    """A log that took in a delivery by the carrier."""
    log = a_log()
    log.step(CARRIER, Delivered, 61)
    with pytest.raises(VerificationError) as refused:
        log.inputs()
    assert refused.value.reason is Reason.SHIPMENT_ROLE


@pytest.mark.parametrize(
    ("warm", "verdict"), [((), Verdict.IN_LIMITS), ((8.0,), Verdict.IN_LIMITS), ((8.1,), Verdict.BREACH)]
)
def test_a_verdict_is_judged_again(warm: tuple[float, ...], verdict: Verdict) -> None:
    """It comes to the same, from evidence under a later checkpoint, whatever the log has taken in since."""
    log = a_log(*warm)
    stated, _ = judged(log)
    assert stated.verdict == verdict
    assert stated.statements == 10
    log.read(LOGGER, 61, 20.0)
    assert confirm(log, stated) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "in_limits"}, {"findings": ()}, {"result": bytes(32)}, {"inputs": bytes(32)},
        {"statements": 9}, {"from_us": START_US + 1}, {"to_us": START_US + 3_600_000_001}, {"rules": 2},
        {"limits": bytes(32)}, {"profile_hash": bytes(32)}, {"size": 9},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_a_verdict_that_says_anything_else_is_refused(changes: dict[str, Any]) -> None:
    """One field at a time, and the message says what differs."""
    log = a_log(9.0)
    error = confirm(log, replace(judged(log)[0], **changes))
    assert error is not None
    assert error.reason is Reason.VERDICT_MISMATCH


def test_a_reading_left_out_of_the_evidence_is_noticed() -> None:
    """The verdict names all that went in: without the warm readings it is not judged the same."""
    log = a_log(9.0)
    stated, inputs = judged(log)
    event = Event(stated, CONSIGNEE, b"v" * 32, stated.size, 1)
    judge_again(event, inputs)
    for left_out in range(2):
        packs = [pack for number, pack in enumerate(inputs.packs) if number != left_out]
        with pytest.raises(VerificationError, match="inputs") as refused:
            judge_again(event, replace(inputs, packs=packs))
        assert refused.value.reason is Reason.VERDICT_MISMATCH


def test_a_logger_that_goes_on_for_another_is_judged_with_it() -> None:
    """No gap at the change if they follow on; excursions go over it; each counts for its own time only."""
    log = Log()
    log.begin()
    log.read(LOGGER, 0, *[5.0] * 28, 9.0, 9.0, 9.0)
    log.step(CARRIER, LoggersChanged, 30, joins=(SPARE,), leaves=(LOGGER,))
    log.read(SPARE, 20, *[30.0] * 10, 9.5, 9.0, *[5.0] * 29)
    log.read(LOGGER, 31, *[40.0] * 20)
    log.deliver(60)
    inputs, _ = log.inputs()
    shipment = inputs.shipment()
    assert shipment is not None
    judgement = judge_whole(shipment, committed_profile(shipment), inputs.packs)
    assert judgement is not None
    (track,) = judgement.tracks
    assert track.loggers == (LOGGER, SPARE)
    assert track.judgement.gaps == ()
    (held,) = judgement.excursions
    assert held.excursion.peak == Decimal("9.5")
    assert held.excursion.proven_min_us == 3 * MINUTE_US
    assert held.holders == (CARRIER,)


def test_a_second_place_counts_from_when_it_joins() -> None:
    """The worst of the places decides; a place of which nothing was read is undetermined."""
    log = Log()
    log.begin()
    log.read(LOGGER, 0, *[5.0] * 61)
    log.step(CARRIER, LoggersChanged, 30, joins=(SPARE,), leaves=())
    log.deliver(60)
    stated, _ = judged(log)
    assert stated.verdict == "undetermined"
    log = Log()
    log.begin()
    log.read(LOGGER, 0, *[5.0] * 61)
    log.step(CARRIER, LoggersChanged, 30, joins=(SPARE,), leaves=())
    log.read(SPARE, 30, *[5.0] * 31)
    log.deliver(60)
    assert judged(log)[0].verdict == "in_limits"


def test_the_profile_is_the_committed_one() -> None:
    """Named by its hash alone, it has to be given, and no other is taken."""
    log = Log()
    log.begin(profile=None)
    inputs, _ = log.inputs()
    shipment = inputs.shipment()
    assert shipment is not None
    with pytest.raises(InputError, match="by their hash only"):
        committed_profile(shipment)
    with pytest.raises(InputError, match="was committed"):
        committed_profile(shipment, profile_file("deep-frozen"))
    assert committed_profile(shipment, PROFILE).name == "eu-gdp-2-8"


def test_before_delivery_it_is_judged_up_to_the_last_reading() -> None:
    """And not at all before anything was read."""
    log = Log()
    log.begin()
    inputs, _ = log.inputs()
    shipment = inputs.shipment()
    assert shipment is not None
    assert judge_whole(shipment, committed_profile(shipment), inputs.packs) is None
    log.read(LOGGER, 0, *[5.0] * 20)
    stated, _ = judged(log)
    assert (stated.verdict, stated.to_us) == ("in_limits", START_US + 19 * MINUTE_US)
    assert stated.root == log.inputs()[1].checkpoint.checkpoint.root
