"""Witness: cosigns a checkpoint only if it is consistent with all that it cosigned before (tlog-witness).

Run by another department. It holds the log's public key, its own key, and the latest size and root per log;
comparing and persisting are one step under one lock, and the answer comes after both.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pipeline.log.checkpoint import Checkpoint, cosign, parse_checkpoint
from pipeline.log.cosigning import SIZE_CONTENT_TYPE, AddCheckpoint, parse_add_checkpoint
from pipeline.log.merkle import EMPTY_ROOT, check_consistency
from pipeline.log.note import Note, NoteKey, NoteSigner, encode_note, parse_note, verified
from pipeline.ports import Clock, Files, WitnessAnswer
from pipeline.wire.cbor import decode, encode
from pipeline.wire.errors import InputError, VerificationError

TEXT = "text/plain; charset=utf-8"
STATE_PATH = "latest"
GUARD_PATH = "generation"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to answer, and the cosigned note to remember before answering, if the witness cosigns."""

    answer: WitnessAnswer
    note: bytes | None = None


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
    refusal = _compare(request, checkpoint, latest.get(checkpoint.origin))
    if refusal is not None:
        return refusal
    line = cosign(checkpoint, signer, now_s)
    by_log = [s for s in note.signatures if (s.name, s.key_id) == (key.name, key.key_id)]
    return Decision(WitnessAnswer(200, TEXT, line.line().encode()), encode_note(note.text, [*by_log, line]))


def _is_signed(note: Note, key: NoteKey) -> bool:
    try:
        return bool(verified(note, [key]))
    except VerificationError:
        return False


def _compare(request: AddCheckpoint, checkpoint: Checkpoint, known: Checkpoint | None) -> Decision | None:
    """Return the refusal of what does not follow from what was cosigned before, if it does not."""
    known_size = known.size if known else 0
    if request.old_size != known_size:
        return Decision(WitnessAnswer(409, SIZE_CONTENT_TYPE, f"{known_size}\n".encode()))
    if known and not request.proof and 0 < known.size == checkpoint.size and known.root != checkpoint.root:
        return _refuse(409, "another root was cosigned at this size")
    if not _is_consistent(known, checkpoint, request.proof):
        return _refuse(422, "inconsistent with what was cosigned before")
    return None


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
    """A witness with its memory. Also the in-process client of it.

    Args:
        signer: The witness's name and key.
        logs: Origin -> key of each log it cosigns for.
        files: Its memory: the latest cosigned note of each log, and how often it has remembered one.
        guard: A folder elsewhere that counts along. A memory restored from a backup is behind the count, and
            would let the witness cosign what contradicts its own cosignatures. Restoring both is not noticed.
        clock: The time that cosignatures state.

    Raises:
        InputError: The memory is older than the guard's count.
    """

    def __init__(
        self,
        signer: NoteSigner,
        logs: Mapping[str, NoteKey],
        files: Files,
        guard: Files,
        clock: Clock,
    ) -> None:
        self._signer = signer
        self._logs = logs
        self._files = files
        self._guard = guard
        self._clock = clock
        self._lock = asyncio.Lock()
        stored = files.read(STATE_PATH)
        state: Any = decode(stored, size_max=len(stored)) if stored else [0, []]
        self._generation, notes = state
        if self._generation < int(guard.read(GUARD_PATH) or b"0"):
            raise InputError(
                f"witness {signer.name}",
                "its memory is older than its guard's count: a backup was restored",
                "Bring back the latest memory; if it is lost, this witness needs a new key.",
            )
        self._notes: dict[str, bytes] = {}
        self._latest: dict[str, Checkpoint] = {}
        for note in notes:
            self._keep(note)

    @property
    def name(self) -> str:
        """Return the witness's key name."""
        return self._signer.name

    async def add_checkpoint(self, request: bytes) -> WitnessAnswer:
        """Decide, remember, answer; one request at a time."""
        async with self._lock:
            decision = decide(request, self._latest, self._logs, self._signer, int(self._clock.now_s()))
            if decision.note is not None:
                await self._remember(decision.note)
            return decision.answer

    def latest(self, origin_hash: str) -> bytes | None:
        """Return the latest cosigned note of the log whose origin has this SHA-256, in lower-case hex."""
        for origin, note in self._notes.items():
            if sha256(origin.encode()).hexdigest() == origin_hash:
                return note
        return None

    def _keep(self, note: bytes) -> None:
        checkpoint = parse_checkpoint(parse_note(note).text)
        self._notes[checkpoint.origin] = note
        self._latest[checkpoint.origin] = checkpoint

    async def _remember(self, note: bytes) -> None:
        origin = parse_checkpoint(parse_note(note).text).origin
        generation = self._generation + 1
        state = encode([generation, [*({**self._notes, origin: note}).values()]])
        # A crash before this write leaves the older checkpoint: nothing was cosigned. A crash after it leaves
        # the newer one and no answer: the log asks again, from the size it is told.
        await self._files.write(STATE_PATH, state)
        # A crash before this write leaves the count behind the memory, which is in order.
        await self._guard.write(GUARD_PATH, b"%d" % generation)
        self._generation = generation
        self._keep(note)
