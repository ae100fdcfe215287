"""The body of add-checkpoint, by which a log asks for a cosignature (C2SP tlog-witness v1.0.0)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.log.merkle import HASH_SIZE
from pipeline.log.note import decode_base64, encode_base64
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

PROOF_MAX = 63
SIZE_CONTENT_TYPE = "text/x.tlog.size"

_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request: the size the witness is believed to have, the proof from there, the signed checkpoint."""

    old_size: int
    proof: Sequence[bytes]
    note: bytes


def encode_add_checkpoint(request: AddCheckpoint) -> bytes:
    """Return the request's body."""
    lines = [f"old {request.old_size}", *(encode_base64(node) for node in request.proof), "", ""]
    return "\n".join(lines).encode() + request.note


def parse_add_checkpoint(body: bytes) -> AddCheckpoint:
    """Parse a request's body; nothing is verified.

    Raises:
        VerificationError: REQUEST_SHAPE.
    """
    head, blank, note = body.partition(b"\n\n")
    try:
        first, *rest = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise VerificationError(Reason.REQUEST_SHAPE, "not ASCII before the checkpoint") from error
    old = _OLD.fullmatch(first)
    if not blank or old is None or len(rest) > PROOF_MAX:
        raise VerificationError(
            Reason.REQUEST_SHAPE, "not: old size, at most 63 hashes, blank line, checkpoint"
        )
    try:
        proof = [decode_base64(line) for line in rest]
    except VerificationError as error:
        raise VerificationError(Reason.REQUEST_SHAPE, error.detail) from error
    if any(len(node) != HASH_SIZE for node in proof):
        raise VerificationError(Reason.REQUEST_SHAPE, "a hash is not 32 bytes")
    return AddCheckpoint(int(old[1]), proof, note)
