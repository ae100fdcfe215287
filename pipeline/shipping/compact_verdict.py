"""A verdict that fits into a QR code and is verified with no network, given an authorities file.

    CPV1: ‖ Base45(zlib(CBOR [verdict's statement, enrolment, rotations …]))

The statement is the one in the log, signed by who judged (COSE_Sign1); enrolment and rotations are what an
authority signed about the key. So a code says what the log says; whether the key was revoked since, and that
the statement is in the log, only the log can tell: its leaf hash is what to ask it for.

Source: RFC 9285 (Base45), RFC 1950 (zlib); the layers are those of the EU's health certificates (HCERT 1.3).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.identity.authorities import Authorities
from pipeline.log.merkle import hash_leaf
from pipeline.shipping import base45
from pipeline.verify.signer import SignerKey, check_signer
from pipeline.wire import cbor
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.roles import check_content
from pipeline.wire.shipment import Judged, decode_shipment
from pipeline.wire.statement import CONTENT_SHIPMENT, parse_statement, verify_statement

PREFIX = "CPV1:"
CODE_SIZE_MAX = 4296  # Characters of the largest QR code, of lowest error correction (ISO/IEC 18004).
INSIDE_SIZE_MAX = 16_384  # Bytes; what would be more is not inflated.


@dataclass(frozen=True, slots=True)
class CompactVerdict:
    """A verdict that was verified: on which shipment, by whom, under which key, and its leaf hash."""

    shipment: str
    judged: Judged
    signer: SignerKey
    leaf_hash: bytes


def make_code(statement: bytes, enrolment: bytes, rotations: Sequence[bytes] = ()) -> str:
    """Return the text of the code.

    Raises:
        VerificationError: OVERSIZE: more than a QR code holds.
    """
    inside = cbor.encode([statement, enrolment, *rotations])
    code = PREFIX + base45.encode(zlib.compress(inside, 9))
    if len(code) > CODE_SIZE_MAX:
        raise VerificationError(Reason.OVERSIZE, f"{len(code)} characters; a QR code has {CODE_SIZE_MAX}")
    return code


def read_code(code: str, authorities: Authorities) -> CompactVerdict:
    """Verify a code's text.

    Raises:
        VerificationError: OVERSIZE, VERDICT_CODE, CBOR_*, COSE_*, STATEMENT_*, SHIPMENT_*, KEY_UNKNOWN,
            KEY_NOT_YET_VALID, SIGNATURE_INVALID; of the enrolment as `check_signer`.
    """
    raw, enrolment, *rotations = _parts(code)
    statement = parse_statement(raw)
    key = check_signer(enrolment, rotations, authorities)
    if key.record.place != (statement.issuer, statement.kid):
        raise VerificationError(Reason.KEY_UNKNOWN, f"the enrolment is {key.record.issuer}'s")
    if statement.content_type != CONTENT_SHIPMENT:
        raise VerificationError(Reason.STATEMENT_CONTENT_TYPE, "not about a shipment")
    check_content(statement, key.enrolment.kind)
    judged = decode_shipment(statement.payload)
    if not isinstance(judged, Judged):
        raise VerificationError(Reason.VERDICT_CODE, "it says something else than a verdict")
    if judged.time_us < key.record.valid_from_s * 1_000_000:
        raise VerificationError(Reason.KEY_NOT_YET_VALID)
    verify_statement(statement, key.record.public_key)
    return CompactVerdict(statement.subject, judged, key, hash_leaf(raw))


def _parts(code: str) -> list[bytes]:
    if len(code) > CODE_SIZE_MAX:
        raise VerificationError(Reason.OVERSIZE, f"{len(code)} characters; a QR code has {CODE_SIZE_MAX}")
    if not code.startswith(PREFIX):
        raise VerificationError(Reason.VERDICT_CODE, f"it does not begin with {PREFIX}")
    inflate = zlib.decompressobj()
    try:
        inside = inflate.decompress(base45.decode(code.removeprefix(PREFIX)), INSIDE_SIZE_MAX)
    except zlib.error as error:
        raise VerificationError(Reason.VERDICT_CODE, f"no zlib stream: {error}") from error
    if not inflate.eof or inflate.unused_data:
        raise VerificationError(Reason.VERDICT_CODE, "the zlib stream is cut off, too long, or not the last")
    items = cbor.decode(inside)
    parts = [item for item in items if isinstance(item, bytes)] if isinstance(items, list) else []
    if len(parts) >= 2 and parts == items:
        return parts
    raise VerificationError(Reason.VERDICT_CODE, "not a statement, an enrolment and rotations")
