"""What authorities state after an enrolment: rotations, revocations and admissions of a device of city.py."""

from typing import Any

from pipeline.wire.admission import Admission, encode_admission
from pipeline.wire.finding import Finding, FoundPlace, encode_finding
from pipeline.wire.keys import SeedSigner, key_id
from pipeline.wire.reasons import Reason
from pipeline.wire.revocation import Revocation, encode_revocation
from pipeline.wire.rotation import encode_rotation, make_rotation
from pipeline.wire.statement import CONTENT_ADMISSION, CONTENT_REVOCATION, CONTENT_ROTATION
from tests.support.city import AUTHORITY_NAME, NOW_MS, Device, enrol, leaf_hash, seed

NEW = SeedSigner(seed("new key"))
STARTS = (1, 5)
# What an enrolment for a role does not say.
NOWHERE: dict[str, Any] = dict.fromkeys(
    ("longitude", "latitude", "height_m", "accuracy", "calibrated_until_s")
)
FINDING = encode_finding(
    Finding(
        reason=Reason.POINT_ALTERED,
        place=FoundPlace("urn:dev:ops:32473-air-1", "station-1", "no2", 1_800_000_000_000_000),
        signed=20.25,
        stored=2.0,
        ref=(3, 1),
        noticed_ms=NOW_MS,
        unnoticed_ms=None,
        size=8,
        root=bytes(32),
        credentials=("points.db",),
    )
)


def rotate(
    device: Device,
    new: SeedSigner = NEW,
    *,
    old: SeedSigner | None = None,
    starts: tuple[int, int] = STARTS,
    name: str = AUTHORITY_NAME,
    asked: str | None = None,
    **changes: Any,
) -> bytes:
    """A rotation; `asked` is the authority that the keys' holder asked, if that is another."""
    rotation = make_rotation(
        old or device.signer,
        new,
        authority=asked or name,
        issuer=device.issuer,
        starts=starts,
        valid_from_s=1_700_000_000,
    )
    return _stated(device, CONTENT_ROTATION, encode_rotation(rotation), {"name": name, **changes})


def revoke(device: Device, key: SeedSigner | None = None, **changes: Any) -> bytes:
    """A revocation of a key."""
    kid = key_id((key or device.signer).public_key)
    payload = encode_revocation(Revocation(device.issuer, kid, "stolen"))
    return _stated(device, CONTENT_REVOCATION, payload, changes)


def admit(device: Device, *raws: bytes, **changes: Any) -> bytes:
    """An admission of these statements."""
    payload = encode_admission(Admission(device.issuer, sorted(map(leaf_hash, raws)), "known from receipts"))
    return _stated(device, CONTENT_ADMISSION, payload, changes)


def _stated(device: Device, content_type: str, payload: bytes, changes: dict[str, Any]) -> bytes:
    fields = {"content_type": content_type, "payload": payload, "subject": device.issuer, **changes}
    return enrol(device, fields.pop("sequence", 0), **fields)
