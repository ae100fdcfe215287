"""All that there is to say about a judged shipment: what reports, exports and codes are made of."""

from dataclasses import dataclass

from pipeline.shipping.profile import Profile
from pipeline.shipping.series import Trip
from pipeline.shipping.shipment import Shipment
from pipeline.shipping.whole import WholeJudgement, trips_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A judged shipment.

    Attributes:
        shipment: As its statements leave it.
        profile: What it was judged by.
        judgement: What it came to, each place among the goods on its own.
        trips: What was recorded, by the judgement's tracks.
        judged_us: When it was judged, POSIX µs.
        origin: The log's name.
        size: Of the log, under the checkpoint that all was read under.
        root: Its root, 32 bytes.
        evidence_hash: SHA-256 of the evidence file.
        evidence_uri: Where the evidence is; "" where nobody was told.
        code: The compact verdict; "" where no verdict was signed, or it is too large.
    """

    shipment: Shipment
    profile: Profile
    judgement: WholeJudgement
    trips: tuple[Trip, ...]
    judged_us: int
    origin: str
    size: int
    root: bytes
    evidence_hash: bytes
    evidence_uri: str = ""
    code: str = ""


def trips_in(shipment: Shipment, judgement: WholeJudgement) -> tuple[Trip, ...]:
    """Return what was recorded; the shipment is the one that was judged, before what was stated since."""
    span_us = judgement.from_us, judgement.to_us
    return tuple(trip for _, trip in trips_of(shipment.attached, judgement.packs, *span_us))
