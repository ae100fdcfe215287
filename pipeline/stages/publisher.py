"""Publisher: archives bodies, appends tiles, publishes the checkpoint once the quorum has cosigned.

A pure function of its topics: everything it writes can be wiped and made again, byte for byte, except the
times of cosignatures.
"""

import asyncio
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.counts import Counts
from pipeline.identity.archived import REGISTRY_PATH, REGISTRY_SHARD, read_registry
from pipeline.identity.registry import Registry
from pipeline.identity.snapshot import encode_registry
from pipeline.log.checkpoint import (
    Checkpoint,
    add_signatures,
    encode_checkpoint,
    open_checkpoint,
    sign_checkpoint,
)
from pipeline.log.cosigning import SIZE_CONTENT_TYPE, AddCheckpoint, encode_add_checkpoint
from pipeline.log.merkle import consistency_path
from pipeline.log.note import Note, NoteKey, NoteSigner, Signature, parse_signatures, verified
from pipeline.log.policy import Policy
from pipeline.log.tiles import CHECKPOINT_PATH, TileAppender, TileReader, block_path
from pipeline.ports import Bus, Files, WitnessAnswer, WitnessClient
from pipeline.stages.follow import LOG_PARTITION, LogEntry, LogFollower, open_follower
from pipeline.stages.snapshots import SNAPSHOT_EVERY
from pipeline.wire.cbor import decode, encode
from pipeline.wire.errors import PipelineError, UnavailableError, VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.topics import LOG

STATE_PATH = "publisher"
READ_MAX = 256
IDLE_S = 5.0
WITNESS_TIMEOUT_S = 5.0
RETRY_S = (0.2, 5.0)
WHY_MAX = 200

_SIZE = re.compile(rb"(?:0|[1-9][0-9]{0,18})\n")


def _next_retry_s(retry_s: float) -> float:
    low, high = RETRY_S
    return min(high, max(low, retry_s * 2)) * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret


class RolledBackError(PipelineError):
    """A witness knows a tree that ours does not extend: ours was rolled back, or is a split view. Stop."""


class _Cosigner:
    """One witness, and the size it was last known to have. `keys` are those of all witnesses we trust."""

    def __init__(self, client: WitnessClient, keys: Sequence[NoteKey]) -> None:
        self._client = client
        self._keys = keys
        self._size = 0

    async def cosign(
        self, note: bytes, checkpoint: Checkpoint, reader: TileReader
    ) -> Mapping[NoteKey, Signature]:
        """Return the valid cosignatures that the witness gives; none if it does not answer as it must.

        Raises:
            RolledBackError: It knows a larger tree, or another root.
        """
        try:
            async with asyncio.timeout(WITNESS_TIMEOUT_S):
                answer = await self._ask(note, checkpoint, reader)
                if answer.status == 409 and _SIZE.fullmatch(answer.body) and _names_size(answer):
                    self._size = int(answer.body)
                    if self._size > checkpoint.size:
                        raise RolledBackError(
                            f"witness {self._client.name} knows size {self._size}, ours is {checkpoint.size}"
                        )
                    answer = await self._ask(note, checkpoint, reader)
        except (TimeoutError, UnavailableError):
            return {}
        if answer.status in {409, 422} and not _names_size(answer):
            why = answer.body[:WHY_MAX].decode(errors="replace").strip()
            raise RolledBackError(f"witness {self._client.name} knows another tree: {why}")
        if answer.status != 200:
            return {}
        self._size = checkpoint.size
        return self._valid(answer.body, encode_checkpoint(checkpoint))

    def _valid(self, lines: bytes, text: str) -> Mapping[NoteKey, Signature]:
        """Return one line of each witness that has cosigned; a witness gone wrong hides no other's."""
        try:
            return {
                key: line
                for line in parse_signatures(lines)
                for key, _ in verified(Note(text, (line,)), self._keys)
            }
        except VerificationError:
            return {}

    async def _ask(self, note: bytes, checkpoint: Checkpoint, reader: TileReader) -> WitnessAnswer:
        path = consistency_path(self._size, checkpoint.size, reader.read_hash) if self._size else []
        return await self._client.add_checkpoint(encode_add_checkpoint(AddCheckpoint(self._size, path, note)))


def _names_size(answer: WitnessAnswer) -> bool:
    return answer.content_type.startswith(SIZE_CONTENT_TYPE)


class Publisher:
    """The stage with its edges. `notify` hears the size of every published checkpoint."""

    def __init__(
        self,
        signer: NoteSigner,
        policy: Policy,
        witnesses: Sequence[WitnessClient],
        files: Files,
        state: Files,
        notify: Callable[[int], None],
    ) -> None:
        self._signer = signer
        self._policy = policy
        keys = [key for key, _ in policy.witnesses.values()]
        self._cosigners = [_Cosigner(client, keys) for client in witnesses]
        self._files = files
        self._state = state
        self._appender = TileAppender()
        self._registry = Registry()
        self._log_offset = 0
        self._published = 0
        self._notify = notify

    async def run(self, bus: Bus, shards: int, counts: Counts | None = None) -> None:
        """Publish until cancelled.

        Raises:
            RolledBackError: A witness contradicts our tree.
        """
        counts = counts or Counts()
        async with open_follower(bus, shards) as follower:
            await self._resume(follower)
            last = await bus.last(LOG, LOG_PARTITION)
            retry_s = 0.0
            counts.turn()
            while True:
                # What was integrated before a crash is published at once, whether or not more comes.
                behind = self._published < self._appender.size
                read = await follower.read(READ_MAX, retry_s if behind else IDLE_S)
                entries = [entry for entry in read if entry.index >= self._appender.size]
                counts.turn()
                if entries:
                    counts.take(len(entries))
                    await self._integrate(entries)
                if last and self._log_offset < last.offset:
                    continue  # Witnesses may know all that was in the log when we started, so go there first.
                if self._published < self._appender.size:
                    published = await self._publish()
                    if published:
                        counts.settle(counts.waiting)
                    # Without a quorum the log grows on, receipts flow, and the checkpoint waits.
                    retry_s = 0.0 if published else _next_retry_s(retry_s)

    async def _resume(self, follower: LogFollower) -> None:
        stored = self._state.read(STATE_PATH)
        if stored is None:
            return
        state: Any = decode(stored)
        size, root, self._log_offset = state
        self._appender = TileAppender.resume(self._files.read, self._checkpoint_at(size, root))
        await follower.resume(self._log_offset)
        self._registry = read_registry(self._files.read, follower.height(REGISTRY_SHARD))

    async def _integrate(self, entries: Sequence[LogEntry]) -> None:
        bodies = {
            block_path(entry.placed.manifest.shard, entry.placed.manifest.height): entry.placed.body
            for entry in entries
            if entry.placed
        }
        bodies |= self._enrol(entries)
        # A crash after the bodies or in the middle of the tiles leaves files that no checkpoint names; the
        # next start writes the same bytes again.
        await self._files.write_many(bodies)
        await self._files.write_many(self._appender.append([entry.raw for entry in entries]))
        self._log_offset = entries[-1].log_offset
        # A crash before this write repeats the tiles above; after it, the checkpoint is made for this size.
        state = encode([self._appender.size, self._appender.root(), self._log_offset])
        await self._state.write(STATE_PATH, state)

    def _enrol(self, entries: Sequence[LogEntry]) -> dict[str, bytes]:
        """Take up the registry's blocks and return the file of its snapshot, if one is due."""
        files: dict[str, bytes] = {}
        for entry in entries:
            if entry.placed and entry.placed.manifest.shard == REGISTRY_SHARD:
                self._registry.load_block(entry.placed.leaves, entry.placed.manifest.equivocations)
                if self._registry.blocks % SNAPSHOT_EVERY == 0:
                    files[REGISTRY_PATH] = encode_registry(self._registry)
        self._registry.forget()
        return files

    async def _publish(self) -> bool:
        """Sign, gather cosignatures, publish; tell whether the quorum was reached."""
        checkpoint = self._checkpoint_at(self._appender.size, self._appender.root())
        note = sign_checkpoint(checkpoint, self._signer)
        reader = TileReader(self._files.read, checkpoint)
        answers = await asyncio.gather(*(c.cosign(note, checkpoint, reader) for c in self._cosigners))
        valid = {key: line for lines in answers for key, line in lines.items()}
        cosigned = add_signatures(note, valid.values())
        try:
            open_checkpoint(cosigned, self._policy)
        except VerificationError as error:
            if error.reason is Reason.QUORUM_MISSING:
                return False
            raise
        # A crash before this write leaves witnesses that know a size nobody was shown: the next start shows
        # it.
        await self._files.write(CHECKPOINT_PATH, cosigned)
        self._published = checkpoint.size
        self._notify(checkpoint.size)
        return True

    def _checkpoint_at(self, size: int, root: bytes) -> Checkpoint:
        return Checkpoint(self._signer.name, size, root)
