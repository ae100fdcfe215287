"""The bounds in time that the authorities file sets, as far as a checkpoint's cosignatures show them."""

from math import inf

from pipeline.log.checkpoint import OpenedCheckpoint
from pipeline.log.manifest import Manifest
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason


def check_arrival(manifest: Manifest, opened: OpenedCheckpoint, cosign_delay_s: int) -> None:
    """Check that a block does not claim to have come in after it was cosigned.

    The other direction, cosigned long after it came in, is not wrong of a proof: any later checkpoint does.

    Raises:
        VerificationError: ARRIVAL_LATE.
    """
    latest_ms = latest_arrival_ms(opened, cosign_delay_s)
    if manifest.arrival_last_ms > latest_ms:
        problem = f"arrived at {manifest.arrival_last_ms} ms, cosigned so that {latest_ms} ms is the latest"
        raise VerificationError(Reason.ARRIVAL_LATE, problem)


def latest_arrival_ms(opened: OpenedCheckpoint, cosign_delay_s: int) -> float:
    """Return when what a checkpoint covers may have come in at the latest; no limit without witnesses."""
    times_s = [cosignature.time_s for cosignature in opened.cosignatures]
    return (min(times_s) + cosign_delay_s) * 1000 if times_s else inf


def check_age(opened: OpenedCheckpoint, checkpoint_age_s: int, now_s: float) -> None:
    """Check that a checkpoint which was just fetched is not an old one.

    Raises:
        VerificationError: CHECKPOINT_STALE.
    """
    times_s = [cosignature.time_s for cosignature in opened.cosignatures]
    if times_s and now_s - max(times_s) > checkpoint_age_s:
        problem = f"cosigned {int(now_s - max(times_s))} s ago; {checkpoint_age_s} s are allowed"
        raise VerificationError(Reason.CHECKPOINT_STALE, problem)
