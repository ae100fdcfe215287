"""What an authority may state: enrolments, rotations, revocations, admissions, each by its content type."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from pipeline.wire.admission import Admission, decode_admission, encode_admission
from pipeline.wire.enrolment import Enrolment, decode_enrolment, encode_enrolment
from pipeline.wire.revocation import Revocation, decode_revocation, encode_revocation
from pipeline.wire.rotation import Rotation, decode_rotation, encode_rotation
from pipeline.wire.statement import (
    CONTENT_ADMISSION,
    CONTENT_ENROLMENT,
    CONTENT_REVOCATION,
    CONTENT_ROTATION,
)

Change: TypeAlias = Enrolment | Rotation | Revocation | Admission

CHANGES: Mapping[int | str, Callable[[bytes], Change]] = MappingProxyType(
    {
        CONTENT_ENROLMENT: decode_enrolment,
        CONTENT_ROTATION: decode_rotation,
        CONTENT_REVOCATION: decode_revocation,
        CONTENT_ADMISSION: decode_admission,
    }
)


def encode_change(change: Change) -> tuple[str, bytes]:
    """Return the content type and the payload of the statement that states a change.

    Raises:
        VerificationError: `enrolment_shape`, `key_invalid`: nobody would accept it.
    """
    match change:
        case Enrolment():
            return CONTENT_ENROLMENT, encode_enrolment(change)
        case Rotation():
            return CONTENT_ROTATION, encode_rotation(change)
        case Revocation():
            return CONTENT_REVOCATION, encode_revocation(change)
        case Admission():
            return CONTENT_ADMISSION, encode_admission(change)
