"""All that there is to say about a judged shipment: what reports, exports and codes are made of."""

from dataclasses import dataclass

from pipeline.shipping.profile import Profile
from pipeline.shipping.series import Trip
from pipeline.shipping.shipment import Shipment
from pipeline.shipping.verdict import Judgement, Verdict, decide


@dataclass(frozen=True, slots=True)
class Track:
    """What was recorded at one place among the goods, by loggers that went on for one another."""

    loggers: tuple[str, ...]
    trip: Trip
    judgement: Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A judged shipment.

    Attributes:
        shipment: As its statements leave it.
        profile: What it was judged by.
        tracks: Each place among the goods, judged on its own; the worst decides.
        judged_us: When it was judged, POSIX µs.
        origin: The log's name.
        size: Of the log, under the checkpoint that all was read under.
        root: Its root, 32 bytes.
        evidence_hash: SHA-256 of the evidence file.
        evidence_uri: Where the evidence is; "" where nobody was told.
    """

    shipment: Shipment
    profile: Profile
    tracks: tuple[Track, ...]
    judged_us: int
    origin: str
    size: int
    root: bytes
    evidence_hash: bytes
    evidence_uri: str = ""

    @property
    def verdict(self) -> Verdict:
        """What the whole shipment comes to."""
        return decide([finding for track in self.tracks for finding in track.judgement.findings])

    @property
    def span_us(self) -> tuple[int, int]:
        """Begin and end of the trip."""
        judgement = self.tracks[0].judgement
        return judgement.from_us, judgement.to_us
