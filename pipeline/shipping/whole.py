"""The judgement of a whole shipment: what each of its loggers recorded while it was with the goods.

Loggers that go on for one another are judged as one; of several places among the goods the worst decides.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from pipeline.shipping.excursions import Excursion
from pipeline.shipping.inputs import Pack
from pipeline.shipping.profile import Profile
from pipeline.shipping.series import Gap, Reading, Trip
from pipeline.shipping.shipment import Attached, Shipment
from pipeline.shipping.verdict import Judgement, Verdict, decide, judge
from pipeline.wire import cbor

RULES = 1  # Whoever changes what a verdict comes to raises it: verdicts in the log name it.


@dataclass(frozen=True, slots=True)
class Track:
    """One place among the goods: its loggers, one after the other, and what they recorded comes to."""

    loggers: tuple[str, ...]
    judgement: Judgement


class HeldExcursion(NamedTuple):
    """An excursion, whose loggers recorded it, and who held the goods meanwhile."""

    excursion: Excursion
    loggers: tuple[str, ...]
    holders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WholeJudgement:
    """The verdict on a shipment; `packs` are the statements with readings that went in, in log order."""

    verdict: Verdict
    profile_digest: str
    from_us: int
    to_us: int
    tracks: tuple[Track, ...]
    excursions: tuple[HeldExcursion, ...]
    packs: tuple[Pack, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What made the verdict, in words."""
        return tuple(
            dict.fromkeys(
                reason
                for track in self.tracks
                if track.judgement.verdict is self.verdict
                for reason in track.judgement.reasons
            )
        )


def judge_whole(shipment: Shipment, profile: Profile, packs: Iterable[Pack]) -> WholeJudgement | None:
    """Judge a shipment up to its delivery, or up to the last reading of a logger with it.

    Returns None where nothing is to be judged yet: it is not loaded, or is neither delivered nor read.
    """
    begin_us = shipment.loaded_us
    if begin_us is None:
        return None
    loggers = set(shipment.loggers)
    own = [pack for pack in packs if pack.logger in loggers]
    end_us = shipment.delivered_us
    if end_us is None:
        times = [value.time_us for pack in own for value in pack.values if value.time_us >= begin_us]
        if not times:
            return None
        end_us = max(times)
    within = sorted((pack for pack in own if pack.within(begin_us, end_us)), key=lambda pack: pack.place)
    tracks = [
        Track(tuple(one.logger for one in attached), judge(trip, profile))
        for attached, trip in trips_of(shipment.attached, within, begin_us, end_us)
    ]
    excursions = [
        HeldExcursion(excursion, track.loggers, holders_between(shipment, excursion))
        for track in tracks
        for excursion in track.judgement.excursions
    ]
    return WholeJudgement(
        decide([finding for track in tracks for finding in track.judgement.findings]),
        profile.digest,
        begin_us,
        end_us,
        tuple(tracks),
        tuple(sorted(excursions, key=lambda one: one.excursion.first_us)),
        tuple(within),
    )


def trips_of(
    attached: Sequence[Attached], packs: Sequence[Pack], begin_us: int, end_us: int
) -> list[tuple[list[Attached], Trip]]:
    """Return each track's loggers, and the trip that they recorded; none of a track that was over before."""
    tracks: dict[int, list[Attached]] = {}
    for one in attached:
        tracks.setdefault(one.track, []).append(one)
    by_logger: dict[str, list[Pack]] = {}
    for pack in packs:
        by_logger.setdefault(pack.logger, []).append(pack)
    trips: list[tuple[list[Attached], Trip]] = []
    for track in tracks.values():
        first, last = track[0].from_us, track[-1].to_us
        from_us = begin_us if first is None else max(begin_us, first)
        to_us = end_us if last is None else min(end_us, last)
        if from_us > to_us:
            continue
        readings: dict[str, list[Reading]] = {}
        for number, one in enumerate(track):
            low_us = from_us if one.from_us is None else one.from_us
            high_us = to_us if one.to_us is None else one.to_us
            for pack in by_logger.get(one.logger, ()):
                for quantity, time_us, value in pack.values:
                    if low_us <= time_us <= high_us:
                        reading = Reading(time_us, value, pack.epoch, pack.sequence, number)
                        readings.setdefault(quantity, []).append(reading)
        frozen = {quantity: tuple(listed) for quantity, listed in readings.items()}
        trips.append((track, Trip(frozen, from_us, to_us)))
    return trips


def holders_between(shipment: Shipment, excursion: Excursion) -> tuple[str, ...]:
    """Return who held the goods from an excursion's first to its last reading outside."""
    return tuple(
        dict.fromkeys(
            holding.holder
            for holding in shipment.holdings
            if holding.from_us <= excursion.last_us
            and (holding.to_us is None or holding.to_us >= excursion.first_us)
        )
    )


def result_hash(judgement: WholeJudgement) -> bytes:
    """Return the SHA-256 of all that was found, written as CBOR; numbers as their decimal digits."""
    return sha256(
        cbor.encode(
            [
                RULES,
                judgement.verdict.value,
                judgement.profile_digest,
                judgement.from_us,
                judgement.to_us,
                [[list(track.loggers), _hash(track.judgement)] for track in judgement.tracks],
                [list(held.holders) for held in judgement.excursions],
            ]
        )
    ).digest()


def _hash(judgement: Judgement) -> bytes:
    """Return a track's hash: all of it in one item would be nested deeper than the profile of CBOR admits."""
    return sha256(cbor.encode(_judgement(judgement))).digest()


def _judgement(judgement: Judgement) -> list[object]:
    worst, used, cycles = judgement.worst, judgement.budget, judgement.cycles
    return [
        [judgement.verdict.value, judgement.from_us, judgement.to_us, judgement.readings],
        [[one.rule, one.severity.value, one.verdict.value, one.reason] for one in judgement.findings],
        [_excursion(excursion) for excursion in judgement.excursions],
        [[quantity, _gap(gap)] for quantity, gap in judgement.gaps],
        "" if judgement.mean_kinetic_cel is None else str(judgement.mean_kinetic_cel),
        [] if worst is None else [worst.from_us, worst.to_us, str(worst.proven_min_cel)],
        [] if used is None else [str(used.proven_min), str(used.possible_max)],
        [] if cycles is None else list(cycles),
    ]


def _excursion(one: Excursion) -> list[object]:
    times = [one.after_us, one.first_us, one.last_us, one.before_us, one.proven_min_us, one.unbroken_us]
    return [one.limit.words, times, str(one.peak), one.ended, [_gap(gap) for gap in one.gaps]]


def _gap(gap: Gap) -> list[object]:
    return [gap.from_us, gap.to_us, gap.new_epoch, [list(part) for part in gap.missing]]
