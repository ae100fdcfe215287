"""Witness: cosigns a checkpoint only if it is consistent with all that it cosigned before (tlog-witness).

Run by another department. It holds the log's public key, its own key, and the latest size and root per log;
comparing and persisting are one step under one lock, and the answer comes after both.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.log.checkpoint import Checkpoint, cosign, parse_checkpoint
from pipeline.log.cosigning import SIZE_CONTENT_TYPE, AddCheckpoint, parse_add_checkpoint
from pipeline.log.merkle import EMPTY_ROOT, check_consistency
from pipeline.log.note import Note, NoteKey, NoteSigner, parse_note, verified
from pipeline.ports import Clock, Files, WitnessAnswer
from pipeline.wire.cbor import decode, encode
from pipeline.wire.errors import VerificationError

TEXT = "text/plain; charset=utf-8"
STATE_PATH = "latest"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to answer, and the checkpoint to remember before answering, if the witness cosigns."""

    answer: WitnessAnswer
    remember: Checkpoint | None = None


def decide(
    body: bytes, latest: Mapping[str, Checkpoint], logs: Mapping[str, NoteKey], signer: NoteSigner, now_s: int
) -> Decision:
    """Answer one add-checkpoint request, given the latest checkpoint cosigned for each log. Pure."""
    try:
        request = parse_add_checkpoint(body)
        note = parse_note(request.note)
        checkpoint = parse_checkpoint(note.text)
    except VerificationError as error:
        return _refuse(400, str(error))
    key = logs.get(checkpoint.origin)
    if key is None:
        return _refuse(404, f"unknown log {checkpoint.origin}")
    if not _is_signed(note, key):
        return _refuse(403, "not signed by the log's key")
    if request.old_size > checkpoint.size:
        return _refuse(400, "the old size is larger than the checkpoint's")
    return _compare(request, checkpoint, latest.get(checkpoint.origin), signer, now_s)


def _is_signed(note: Note, key: NoteKey) -> bool:
    try:
        return bool(verified(note, [key]))
    except VerificationError:
        return False


def _compare(
    request: AddCheckpoint, checkpoint: Checkpoint, known: Checkpoint | None, signer: NoteSigner, now_s: int
) -> Decision:
    known_size = known.size if known else 0
    if request.old_size != known_size:
        return Decision(WitnessAnswer(409, SIZE_CONTENT_TYPE, f"{known_size}\n".encode()))
    if known and not request.proof and 0 < known.size == checkpoint.size and known.root != checkpoint.root:
        return _refuse(409, "another root was cosigned at this size")
    if not _is_consistent(known, checkpoint, request.proof):
        return _refuse(422, "inconsistent with what was cosigned before")
    line = cosign(checkpoint, signer, now_s).line().encode()
    return Decision(WitnessAnswer(200, TEXT, line), checkpoint)


def _refuse(status: int, why: str) -> Decision:
    return Decision(WitnessAnswer(status, TEXT, f"{why}\n".encode()))


def _is_consistent(known: Checkpoint | None, new: Checkpoint, proof: Sequence[bytes]) -> bool:
    if new.size == 0 and new.root != EMPTY_ROOT:
        return False
    if known is None or known.size == 0:
        return not proof  # The protocol's own rule: from size 0 an empty proof succeeds.
    try:
        check_consistency(known.size, known.root, new.size, new.root, proof)
    except VerificationError:
        return False
    return True


class Witness:
    """A witness with its memory. Also the in-process client of it."""

    def __init__(self, signer: NoteSigner, logs: Mapping[str, NoteKey], files: Files, clock: Clock) -> None:
        self._signer = signer
        self._logs = logs
        self._files = files
        self._clock = clock
        self._lock = asyncio.Lock()
        stored = files.read(STATE_PATH)
        rows: Any = decode(stored) if stored else []
        self._latest = {row[0]: Checkpoint(*row) for row in rows}

    @property
    def name(self) -> str:
        """Return the witness's key name."""
        return self._signer.name

    async def add_checkpoint(self, request: bytes) -> WitnessAnswer:
        """Decide, remember, answer; one request at a time."""
        async with self._lock:
            decision = decide(request, self._latest, self._logs, self._signer, int(self._clock.now_s()))
            if decision.remember is not None:
                latest = {**self._latest, decision.remember.origin: decision.remember}
                stored = encode([[c.origin, c.size, c.root] for c in latest.values()])
                # A crash before this write leaves the older checkpoint: nothing was cosigned. A crash after
                # it leaves the newer one and no answer: the log asks again, from the size it is told.
                await self._files.write(STATE_PATH, stored)
                self._latest = latest
            return decision.answer
