"""Proof of possession: who is enrolled signs, with the very key, by whom and under which name.

Without it an authority could be led to enrol somebody else's key: what its holder signs would then count as
another's. The signature names the authority, so that a request meant for one is of no use to another.
"""

from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import Signer, verify
from pipeline.wire.reasons import Reason

_CONTEXT = "cityproof/possession/v1"


def sign_possession(signer: Signer, authority: str, issuer: str) -> bytes:
    """Return the signature (64 bytes) by which a key's holder asks this authority to enrol it as `issuer`."""
    return signer.sign(_signing_input(authority, issuer, signer.public_key))


def check_possession(signature: bytes, authority: str, issuer: str, public_key: bytes) -> None:
    """Check that the key's holder has asked this authority to enrol it under this name.

    Raises:
        VerificationError: `possession_invalid`.
    """
    try:
        verify(public_key, _signing_input(authority, issuer, public_key), signature)
    except VerificationError:
        raise VerificationError(Reason.POSSESSION_INVALID, issuer) from None


def _signing_input(authority: str, issuer: str, public_key: bytes) -> bytes:
    return f"{_CONTEXT}\n{authority}\n{issuer}\n".encode() + public_key
