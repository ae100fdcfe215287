"""The verdict as a statement: it names all that went in, so that anyone judges again and compares."""

from dataclasses import fields

from pipeline.log.checkpoint import Checkpoint
from pipeline.log.merkle import root_of
from pipeline.shipping.custody import follow
from pipeline.shipping.inputs import Inputs
from pipeline.shipping.profile import Profile, parse_profile
from pipeline.shipping.shipment import Event, Shipment
from pipeline.shipping.verdict import Verdict
from pipeline.shipping.whole import RULES, WholeJudgement, judge_whole, result_hash
from pipeline.wire.errors import InputError, VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.shipment import FINDINGS_MAX, Judged, Limits, RuleVerdict

RULE_SIZE_MAX = 128  # Bytes, as of every text in a statement.


def committed_profile(shipment: Shipment, given: bytes | None = None) -> Profile:
    """Return the profile in force: the one that came along, or the given file if it is the one.

    Raises:
        InputError: No limits are committed, the file is needed, is another one, or is no profile.
    """
    place = f"the limits of {shipment.name}"
    if shipment.limits is None:
        raise InputError(place, "nobody has committed any", "The shipper does: `cityproof shipment limits`.")
    stated = shipment.limits.stated
    assert isinstance(stated, Limits), "limits commit limits"
    content = stated.profile if stated.profile is not None else given
    if content is None:
        problem = f"the log names them by their hash only, {stated.profile_hash.hex()}"
        raise InputError(place, problem, "Name the file: --profile FILE.toml.")
    profile = parse_profile(content, place)
    if profile.digest != stated.profile_hash.hex():
        problem = f"this profile is {profile.digest}, and {stated.profile_hash.hex()} was committed"
        raise InputError(place, problem, "Ask the shipper for the file.")
    return profile


def make_judged(
    shipment: Shipment, judgement: WholeJudgement, checkpoint: Checkpoint, time_us: int
) -> Judged:
    """Return the verdict to be signed, on what the log held under a checkpoint."""
    assert shipment.limits is not None, "it was judged by some"
    stated = shipment.limits.stated
    assert isinstance(stated, Limits), "limits commit limits"
    places = [(event.entry, event.leaf, event.leaf_hash) for event in shipment.events]
    places += [(pack.entry, pack.leaf, pack.leaf_hash) for pack in judgement.packs]
    return Judged(
        after=shipment.tip,
        time_us=time_us,
        limits=shipment.limits.leaf_hash,
        profile_hash=stated.profile_hash,
        from_us=judgement.from_us,
        to_us=judgement.to_us,
        size=checkpoint.size,
        root=checkpoint.root,
        inputs=root_of([leaf_hash for _, _, leaf_hash in sorted(places)]),
        statements=len(places),
        rules=RULES,
        verdict=judgement.verdict.value,
        findings=_rules(judgement),
        result=result_hash(judgement),
    )


def judge_again(event: Event, inputs: Inputs, profile: bytes | None = None) -> WholeJudgement:
    """Judge again what a verdict names, and compare.

    Args:
        event: The verdict.
        inputs: All that evidence holds about the shipment.
        profile: The profile's file, where the log has only its hash.

    Raises:
        VerificationError: VERDICT_MISMATCH, with what differs.
        InputError: The profile is needed.
    """
    judged = event.stated
    assert isinstance(judged, Judged), "a verdict"
    there = inputs.below(judged.size)
    shipment = as_of(there, judged.after)
    if shipment is None:
        raise VerificationError(Reason.VERDICT_MISMATCH, "what it follows was not in the log then")
    if judged.rules != RULES:
        raise VerificationError(Reason.VERDICT_MISMATCH, f"rules {judged.rules}, and these are {RULES}")
    if shipment.limits is None or shipment.limits.leaf_hash != judged.limits:
        raise VerificationError(Reason.VERDICT_MISMATCH, "it names other limits than were in force")
    judgement = judge_whole(shipment, committed_profile(shipment, profile), there.packs)
    if judgement is None:
        raise VerificationError(Reason.VERDICT_MISMATCH, "there was nothing to judge")
    again = make_judged(shipment, judgement, Checkpoint("", judged.size, judged.root), judged.time_us)
    differing = [
        field.name for field in fields(again) if getattr(again, field.name) != getattr(judged, field.name)
    ]
    if differing:
        detail = f"says {judged.verdict}, judged again {again.verdict}; differs in {', '.join(differing)}"
        raise VerificationError(Reason.VERDICT_MISMATCH, detail)
    return judgement


def as_of(inputs: Inputs, tip: bytes) -> Shipment | None:
    """Return the shipment as it was when this statement was its last; None where it never was."""
    shipment = inputs.shipment()
    if shipment is None:
        return None
    hashes = [event.leaf_hash for event in shipment.events]
    if tip not in hashes:
        return None
    return follow(inputs.name, [*shipment.events[: hashes.index(tip) + 1], *shipment.verdicts])


def _rules(judgement: WholeJudgement) -> tuple[RuleVerdict, ...]:
    """Return what each rule came to, of several tracks the worst."""
    order = (Verdict.IN_LIMITS, Verdict.UNDETERMINED, Verdict.BREACH)
    worst: dict[str, RuleVerdict] = {}
    for track in judgement.tracks:
        for one in track.judgement.findings:
            rule = one.rule.encode()[:RULE_SIZE_MAX].decode(errors="ignore")
            known = worst.get(rule)
            if known is None or order.index(one.verdict) > order.index(Verdict(known.verdict)):
                worst[rule] = RuleVerdict(rule, one.severity.value, one.verdict.value)
    return tuple(worst.values())[:FINDINGS_MAX]
