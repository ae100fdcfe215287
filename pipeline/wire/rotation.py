"""The rotation: an authority's statement that a signer's new key takes over from its old one.

Both keys sign. The old key stays good for every statement before the place where the new one starts, so that
a backlog signed before the rotation is still taken in after it.
"""

from dataclasses import dataclass
from typing import TypeAlias

from pipeline.wire import cbor
from pipeline.wire.enrolment import TIME_MAX_S
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import KEY_ID_SIZE, SIGNATURE_SIZE, Signer, check_public_key, key_id, verify
from pipeline.wire.names import is_issuer
from pipeline.wire.possession import check_possession, sign_possession
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import is_counter

SequencePlace: TypeAlias = tuple[int, int]  # (epoch, sequence), ordered as such.

_CONTEXT = "cityproof/rotation/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A signer's change of keys: the new key signs from (epoch, sequence) `starts` on."""

    issuer: str
    old_kid: bytes
    public_key: bytes
    starts: SequencePlace
    old_signature: bytes
    possession: bytes
    valid_from_s: int


def make_rotation(
    old: Signer, new: Signer, *, authority: str, issuer: str, starts: SequencePlace, valid_from_s: int
) -> Rotation:
    """Return the rotation that the holder of both keys asks this authority for."""
    return Rotation(
        issuer=issuer,
        old_kid=key_id(old.public_key),
        public_key=new.public_key,
        starts=starts,
        old_signature=old.sign(_signing_input(authority, issuer, new.public_key, starts)),
        possession=sign_possession(new, authority, issuer),
        valid_from_s=valid_from_s,
    )


def check_rotation_signatures(rotation: Rotation, authority: str, old_public_key: bytes) -> None:
    """Check that both keys' holders want this rotation from this authority.

    Raises:
        VerificationError: `rotation_signature`, `possession_invalid`.
    """
    message = _signing_input(authority, rotation.issuer, rotation.public_key, rotation.starts)
    try:
        verify(old_public_key, message, rotation.old_signature)
    except VerificationError:
        raise VerificationError(Reason.ROTATION_SIGNATURE, rotation.issuer) from None
    check_possession(rotation.possession, authority, rotation.issuer, rotation.public_key)


def encode_rotation(rotation: Rotation) -> bytes:
    """Return the payload of a rotation's statement."""
    return cbor.encode(
        {
            1: rotation.issuer,
            2: rotation.old_kid,
            3: rotation.public_key,
            4: list(rotation.starts),
            5: rotation.old_signature,
            6: rotation.possession,
            7: rotation.valid_from_s,
        }
    )


def decode_rotation(payload: bytes) -> Rotation:
    """Return the rotation of a statement's payload; its two signatures are not checked here.

    Raises:
        VerificationError: `cbor_*`, `rotation_shape`, `key_invalid`.
    """
    match cbor.decode(payload):
        case {
            1: issuer,
            2: bytes() as old_kid,
            3: bytes() as public_key,
            4: [epoch, sequence],
            5: bytes() as old_signature,
            6: bytes() as possession,
            7: valid_from_s,
            **others,
        } if (
            not others
            and isinstance(issuer, str)
            and is_issuer(issuer)
            and len(old_kid) == KEY_ID_SIZE
            and is_counter(epoch)
            and is_counter(sequence)
            and len(old_signature) == len(possession) == SIGNATURE_SIZE
            and type(valid_from_s) is int
            and 0 <= valid_from_s < TIME_MAX_S
        ):
            check_public_key(public_key)
            return Rotation(
                issuer=issuer,
                old_kid=old_kid,
                public_key=public_key,
                starts=(epoch, sequence),
                old_signature=old_signature,
                possession=possession,
                valid_from_s=valid_from_s,
            )
    raise VerificationError(Reason.ROTATION_SHAPE)


def _signing_input(authority: str, issuer: str, public_key: bytes, starts: SequencePlace) -> bytes:
    place = b"".join(counter.to_bytes(8, "big") for counter in starts)
    return f"{_CONTEXT}\n{authority}\n{issuer}\n".encode() + public_key + place
