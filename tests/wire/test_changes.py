"""What changes the registry, as it is stated: each kind under its own content type, there and back."""

import pytest

from pipeline.wire.admission import Admission
from pipeline.wire.changes import CHANGES, Change, encode_change
from pipeline.wire.keys import SeedSigner, key_id
from pipeline.wire.revocation import Revocation
from pipeline.wire.rotation import make_rotation
from tests.support.city import AUTHORITY_NAME, device_in, enrolment, seed

DEVICE = device_in(1)
KEY_ID = key_id(DEVICE.signer.public_key)
CHANGED: dict[str, Change] = {
    "enrolment": enrolment(DEVICE),
    "rotation": make_rotation(
        DEVICE.signer,
        SeedSigner(seed("another key")),
        authority=AUTHORITY_NAME,
        issuer=DEVICE.issuer,
        starts=(1, 5),
        valid_from_s=1_700_000_000,
    ),
    "revocation": Revocation(DEVICE.issuer, KEY_ID, "stolen"),
    "admission": Admission(DEVICE.issuer, [bytes(32)], "known from receipts"),
}


@pytest.mark.parametrize("kind", CHANGED)
def test_a_change_goes_there_and_back(kind: str) -> None:
    """Under the content type that the formats name."""
    content_type, payload = encode_change(CHANGED[kind])
    assert content_type == f"application/vnd.cityproof.{kind}+cbor"
    assert CHANGES[content_type](payload) == CHANGED[kind]


def test_there_are_no_other_changes() -> None:
    """Whatever else is stated leaves the registry as it is."""
    assert set(CHANGES) == {f"application/vnd.cityproof.{kind}+cbor" for kind in CHANGED}
