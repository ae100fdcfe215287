"""Checkpoints (C2SP tlog-checkpoint v1.0.0): origin, size and root of a log, signed as a note."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.log.merkle import HASH_SIZE
from pipeline.log.note import (
    NoteKey,
    NoteSigner,
    Signature,
    decode_base64,
    encode_base64,
    encode_note,
    is_name,
    parse_note,
    verified,
)
from pipeline.log.policy import Policy
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

SIZE_MAX = 2**63 - 1

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log `origin` had this root (32 bytes) at this size."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Cosignature:
    """At `time_s` a witness, by its name in the policy, found the checkpoint consistent with all before."""

    witness: str
    time_s: int


@dataclass(frozen=True, slots=True)
class OpenedCheckpoint:
    """A checkpoint that the policy accepts: signed by a known log, cosigned by its quorum.

    `text` is what was signed; `cosignatures` has each witness once, with its earliest time.
    """

    checkpoint: Checkpoint
    text: str
    log: NoteKey
    cosignatures: tuple[Cosignature, ...]


def encode_checkpoint(checkpoint: Checkpoint) -> str:
    """Return the note text: three lines, no extension lines."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{encode_base64(checkpoint.root)}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Parse a note's text of exactly three lines.

    Extension lines are refused: they are what a monitor cannot audit, and witnesses refuse them as well.

    Raises:
        VerificationError: CHECKPOINT_SHAPE.
    """
    lines = text.split("\n", 4)
    if len(lines) != 4 or lines[3]:
        raise VerificationError(Reason.CHECKPOINT_SHAPE, "not three lines")
    origin, size, root = lines[:3]
    try:
        decoded = decode_base64(root)
    except VerificationError as error:
        raise VerificationError(Reason.CHECKPOINT_SHAPE, error.detail) from error
    if not is_name(origin):
        raise VerificationError(Reason.CHECKPOINT_SHAPE, f"not an origin: {origin[:100]!r}")
    if not _DECIMAL.fullmatch(size) or int(size) > SIZE_MAX:
        raise VerificationError(Reason.CHECKPOINT_SHAPE, f"not a size: {size[:30]!r}")
    if len(decoded) != HASH_SIZE:
        raise VerificationError(Reason.CHECKPOINT_SHAPE, f"a root of {len(decoded)} bytes")
    return Checkpoint(origin, int(size), decoded)


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> bytes:
    """Return the checkpoint as a note with the log's signature. The signer's name is the origin."""
    assert signer.name == checkpoint.origin, "a log signs under its origin"
    text = encode_checkpoint(checkpoint)
    return encode_note(text, [signer.sign(text)])


def cosign(checkpoint: Checkpoint, signer: NoteSigner, time_s: int) -> Signature:
    """Return a witness's cosignature line (type 0x04) over the checkpoint at this POSIX time."""
    return signer.cosign(encode_checkpoint(checkpoint), time_s)


def add_signatures(note: bytes, signatures: Iterable[Signature]) -> bytes:
    """Return the note with more signature lines at its end."""
    return note + "".join(signature.line() for signature in signatures).encode()


def open_checkpoint(note: bytes, policy: Policy) -> OpenedCheckpoint:
    """Verify a checkpoint against a policy: a known log's signature and the quorum of cosignatures.

    Cosignatures of witnesses that the policy does not name are ignored; one by a known witness that does not
    verify refuses the whole note.

    Raises:
        VerificationError: OVERSIZE, NOTE_SHAPE, CHECKPOINT_SHAPE, NOTE_SIGNATURE, NOTE_UNSIGNED,
            CHECKPOINT_ORIGIN, QUORUM_MISSING.
    """
    parsed = parse_note(note)
    checkpoint = parse_checkpoint(parsed.text)
    signers = verified(parsed, policy.keys)

    logs = [key for key, _ in signers if key in policy.logs]
    if not logs:
        raise VerificationError(Reason.NOTE_UNSIGNED, "no log of the policy has signed")
    own = next((key for key in logs if key.name == checkpoint.origin), None)
    if own is None:
        raise VerificationError(Reason.CHECKPOINT_ORIGIN, f"{logs[0].name} signed for {checkpoint.origin}")

    times: dict[str, int] = {}
    witness_names = policy.witness_names
    for key, time_s in signers:
        if time_s is not None:  # A witness's: only their keys give times.
            name = witness_names[key]
            times[name] = min(time_s, times.get(name, time_s))
    policy.check_quorum(times.keys())
    return OpenedCheckpoint(checkpoint, parsed.text, own, tuple(Cosignature(*item) for item in times.items()))
