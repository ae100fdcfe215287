"""What the log signs: COSE_Sign1 whose header names key, origin of the log, and a subject within it."""

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.log.note import is_name
from pipeline.wire import cbor, cose, keys
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

_COMMON_LABELS = frozenset({cose.LABEL_ALGORITHM, cose.LABEL_KEY_ID, cose.LABEL_CWT_CLAIMS})


class LogHeader(NamedTuple):
    """Who signed, and about what."""

    kid: bytes
    origin: str
    subject: str


def sign_as_log(
    signer: keys.Signer, origin: str, subject: str, fields: Mapping[int, object], payload: bytes
) -> bytes:
    """Return the COSE_Sign1; its header holds `fields` besides the common labels. Deterministic."""
    protected = cbor.encode(
        {
            **fields,
            cose.LABEL_ALGORITHM: cose.ALGORITHM_ED25519,
            cose.LABEL_KEY_ID: keys.key_id(signer.public_key),
            cose.LABEL_CWT_CLAIMS: {cose.CLAIM_ISSUER: origin, cose.CLAIM_SUBJECT: subject},
        }
    )
    signature = signer.sign(cose.signing_input(protected, payload))
    return cose.encode_sign1(cose.Sign1(protected, {}, payload, signature))


def verify_as_log(kid: bytes, protected: bytes, payload: bytes, signature: bytes, public_key: bytes) -> None:
    """Check what the log signed: block, receipt or genesis.

    Raises:
        VerificationError: KEY_UNKNOWN where the key id is another key's, KEY_INVALID, SIGNATURE_INVALID.
    """
    if kid != keys.key_id(public_key):
        raise VerificationError(Reason.KEY_UNKNOWN, f"key id {kid.hex()} is not that of the log's key")
    keys.verify(public_key, cose.signing_input(protected, payload), signature)


def parse_log_header(protected: bytes, labels: frozenset[int]) -> tuple[LogHeader, dict[int, object]]:
    """Return who signed and about what, and the header, which holds `labels` besides the common ones.

    Raises:
        VerificationError: CBOR_*, COSE_ALGORITHM, COSE_HEADER.
    """
    header = cose.decode_header(protected, _COMMON_LABELS | labels)
    match header[cose.LABEL_KEY_ID], header[cose.LABEL_CWT_CLAIMS]:
        case (
            bytes() as kid,
            {cose.CLAIM_ISSUER: str() as origin, cose.CLAIM_SUBJECT: str() as subject, **rest},
        ) if len(kid) == keys.KEY_ID_SIZE and is_name(origin) and not rest:
            return LogHeader(kid, origin, subject), header
    raise VerificationError(Reason.COSE_HEADER, "not a key id, and claims with origin and subject")
