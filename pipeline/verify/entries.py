"""Checking a log's entries in their order: each block, its place in its shard, the registry, the sequences.

An entry is taken up in three steps, so that the middle one, where the work is, can be done elsewhere:
`prepare` opens it, and acts on it at once where it changes the registry; an `Examiner` examines the block;
and `finish`, in the log's order again, holds it against what came before.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from pipeline.identity.archived import REGISTRY_PATH
from pipeline.identity.authorities import Authorities
from pipeline.identity.changes import check_change
from pipeline.identity.lag import RegistryLag
from pipeline.identity.registry import Registry
from pipeline.identity.snapshot import decode_registry, encode_registry
from pipeline.log.archive import read_block
from pipeline.log.block import SignedBlock, parse_signed_block, verify_signed_block
from pipeline.log.chain import ChainTip, check_follows
from pipeline.log.genesis import parse_genesis, verify_genesis
from pipeline.log.manifest import Manifest, decode_manifest
from pipeline.log.merkle import HASH_SIZE
from pipeline.log.sequences import Place, SignerSequences
from pipeline.log.tiles import ReadFile, block_path
from pipeline.verify.examine import (
    BlockTask,
    Examined,
    Examiner,
    Fault,
    Identity,
    RegistryUpdate,
    fault_of,
    reread,
)
from pipeline.wire.cbor import decode, encode
from pipeline.wire.errors import MissingError, VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import Statement, parse_statement

REGISTRY_SHARD = 0


class Finding(NamedTuple):
    """A wrong place: the file, entry or leaf, the published reason, and what exactly."""

    path: str
    reason: Reason
    detail: str


class LogIdentity(NamedTuple):
    """Whose entries they must be: the log's origin and public key."""

    origin: str
    public_key: bytes


@dataclass(slots=True)
class Tally:
    """What has been checked so far."""

    size: int = 0
    blocks: int = 0
    statements: int = 0


@dataclass(slots=True)
class Job:
    """What is to be done for an entry, or said in its place.

    Attributes:
        findings: What is wrong already.
        bundle_lost: Whether a whole bundle of entries could not be read here.
        done: How many entries are read with this one, where it is the last of its bundle.
        block: The entry, where it is a block.
        task: What an `Examiner` has to do for it; nothing where it changed the registry.
        examined: The block, once that is done.
        update: What it added to the registry.
        registry_blocks: How many registry blocks stood before it.
        registry_lost: Whether the registry before it is not known.
    """

    findings: list[Finding] = field(default_factory=list[Finding])
    bundle_lost: bool = False
    done: int = 0
    block: SignedBlock | None = None
    task: BlockTask | None = None
    examined: Examined | None = None
    update: RegistryUpdate | None = None
    registry_blocks: int = 0
    registry_lost: bool = False


ExamineJobs = Callable[[Iterable[Job]], Iterator[Job]]  # The same jobs in the same order, each examined.


@dataclass(slots=True)
class _Shard:
    """Where a shard stands; no tip after a bundle was lost.

    Attributes:
        number: Which shard it is.
        tip: What the next block must follow on from.
        body_lost: Whether the tip's offset and time are not known.
        incomplete: Whether statements are missing from what `signers` remembers.
        signers: The statements so far.
    """

    number: int
    tip: ChainTip | None
    body_lost: bool = False
    incomplete: bool = False
    signers: SignerSequences = field(default_factory=SignerSequences)

    def check_place(self, identity: Identity, leaf_hash: bytes, *, evidence: bool) -> None:
        """Check a statement's place among its signer's; `evidence`: named so in the manifest.

        Raises:
            VerificationError: BLOCK_LEAF_TWICE, EQUIVOCATION, SEQUENCE_OLD or SEQUENCE_GAPS.
        """
        place = self.signers.place(*identity, leaf_hash)
        if place is Place.DUPLICATE:
            raise VerificationError(Reason.BLOCK_LEAF_TWICE, f"sequence {identity.sequence}")
        if place is Place.NEW and evidence and self.incomplete:
            return  # What it contradicts may have been lost.
        if (place is Place.EQUIVOCATION) != evidence:
            raise VerificationError(Reason.EQUIVOCATION, "the manifest does not name it as what it is")


class EntryCheck:
    """Checks the entries of one log, which are given to it in their order.

    Args:
        read: Path -> the file's bytes, or None where it is missing.
        log: Whose entries they must be.
        authorities: Who may enrol.
    """

    def __init__(self, read: ReadFile, log: LogIdentity, authorities: Authorities) -> None:
        self._read = read
        self._log = log
        self._authorities = authorities
        self._registry = Registry()
        self._registry_lost = False
        self._lag = RegistryLag(authorities.bounds_s["registry_lag_s"])
        self._registry_shard = _Shard(REGISTRY_SHARD, None)
        self._shard_count: int | None = None
        self._shards: dict[int, _Shard] = {}
        self._bundle_lost = False
        self._topic_id: bytes | None = None
        self.tally = Tally()

    def check_snapshot(self) -> Iterator[Finding]:
        """Compare the registry's snapshot, if there is one, with what follows from the entries so far."""
        if self._registry_lost:
            return
        try:
            snapshot = reread(self._read_snapshot)
        except VerificationError as error:
            yield finding_of(REGISTRY_PATH, error)
            return
        if snapshot is not None:
            state = min(snapshot.blocks, self._registry.blocks)  # It may be ahead of the checkpoint.
            if encode_registry(snapshot.at(state)) != encode_registry(self._registry.at(state)):
                yield Finding(REGISTRY_PATH, Reason.BLOCK_REGISTRY, f"state {state}")

    def _read_snapshot(self) -> Registry | None:
        data = self._read(REGISTRY_PATH)
        return None if data is None else decode_registry(data)

    def to_bytes(self) -> bytes:
        """Encode where the check stands, all but the registry: that follows from the jobs' updates."""
        shards = [self._registry_shard, *(shard for _, shard in sorted(self._shards.items()))]
        return encode(
            [
                self._shard_count or 0,
                self._topic_id or b"",
                [self._bundle_lost, self._registry_lost],
                [self.tally.blocks, self.tally.statements],
                [_shard_fields(shard) for shard in shards],
            ]
        )

    def restore(self, state: bytes, updates: Iterable[RegistryUpdate]) -> None:
        """Go on where `to_bytes` was called, with all updates of the registry until then.

        Raises:
            VerificationError: CBOR_*, where the bytes are not whole.
        """
        fields: Any = decode(state, size_max=len(state))
        shard_count, topic_id, lost, tally, shards = fields
        self._shard_count, self._topic_id = shard_count or None, topic_id or None
        self._bundle_lost, self._registry_lost = lost
        self.tally.blocks, self.tally.statements = tally
        self._registry_shard, *rest = (_shard_of(row) for row in shards)
        self._shards = {shard.number: shard for shard in rest}
        for update in updates:
            self._registry.load_block(update.leaves, update.skip)
            self._lag.add(decode_manifest(update.leaves[0]))

    def missing(self, shard: int, issuer: str, epoch: int) -> list[tuple[int, int]]:
        """Return which sequences of a signer's epoch are not there, as pairs of first and last."""
        sequences = self._shards[shard].signers.epochs(issuer).get(epoch)
        return sequences.missing if sequences else []

    def examine(self, jobs: Iterable[Job], *, with_times: bool = False) -> Iterator[Job]:
        """Examine every job in turn, in this process."""
        examiner = Examiner(self._read, self._registry, with_times=with_times)
        for job in jobs:
            if job.task is not None:
                job.examined = examiner.examine(job.task)
            yield job

    def prepare(self, index: int, raw: bytes) -> Job:
        """Open an entry, and act on it where it changes what later ones are examined under.

        Raises:
            UnavailableError: The files do not answer.
        """
        if index == 0:
            return Job(self._check_genesis(raw))
        try:
            block = self._open_entry(raw)
        except VerificationError as error:
            return Job([finding_of(f"entry {index}", error)])
        job = Job(block=block, registry_blocks=self._registry.blocks, registry_lost=self._registry_lost)
        if block.shard == REGISTRY_SHARD:
            job.examined, job.update = self._examine_registry(block)
        else:
            job.task = BlockTask(block, self._shard_count, self._registry_lost)
        return job

    def lose_bundle(self) -> Job:
        """Go on behind a bundle that cannot be read: the blocks in it are not known."""
        self._registry_lost = self._registry_shard.incomplete = True
        return Job(bundle_lost=True)

    def finish(self, job: Job) -> Iterator[Finding]:
        """Hold an examined entry against all before it; yield whatever is wrong with it."""
        yield from job.findings
        if job.bundle_lost:
            self._forget_tips()
        if job.block is None:
            return
        assert job.examined is not None, "a job is examined before it is finished"
        block, examined = job.block, job.examined
        path = block_path(block.shard, block.height)
        shard = self._shard(block.shard)
        if examined.manifest is None:
            assert examined.fault is not None, "a body is of use, or it is said why not"
            yield Finding(path, *examined.fault)
            shard.tip = ChainTip(block.height + 1, block.root)
            shard.body_lost = shard.incomplete = True
            return
        yield from self._check_manifest(path, shard, examined.manifest, job)
        self._check_places(shard, examined)
        for leaf, fault in sorted(examined.faults.items()):
            yield Finding(f"{path} leaf {leaf}", *fault)
        shard.tip, shard.body_lost = ChainTip().after(examined.manifest, block.root), False
        self.tally.blocks += 1
        self.tally.statements += block.size - 1

    def _check_genesis(self, raw: bytes) -> list[Finding]:
        try:
            genesis = parse_genesis(raw)
            verify_genesis(genesis, self._log.public_key)
        except VerificationError as error:
            return [finding_of("entry 0", error)]
        findings: list[Finding] = []
        self._shard_count = genesis.shards
        if genesis.origin != self._log.origin:
            findings.append(Finding("entry 0", Reason.CHECKPOINT_ORIGIN, genesis.origin))
        if genesis.authorities_hash != self._authorities.file_hash:
            findings.append(Finding("entry 0", Reason.GENESIS_SHAPE, "it names another authorities file"))
        return findings

    def _open_entry(self, raw: bytes) -> SignedBlock:
        block = parse_signed_block(raw)
        verify_signed_block(block, self._log.public_key)
        if block.origin != self._log.origin or (self._shard_count and block.shard >= self._shard_count):
            raise VerificationError(Reason.BLOCK_SHAPE, "it names another log, or no shard of this one")
        return block

    def follow(self, index: int, raw: bytes) -> Iterator[Finding]:
        """Check an entry without its body: whose it is, its signature, and its block's height."""
        if index == 0:
            yield from self._check_genesis(raw)
            return
        try:
            block = self._open_entry(raw)
        except VerificationError as error:
            yield finding_of(f"entry {index}", error)
            return
        shard = self._shard(block.shard)
        if shard.tip is not None and shard.tip.height != block.height:
            detail = f"shard {block.shard}, height {block.height}"
            yield Finding(f"entry {index}", Reason.BLOCK_HEIGHT, detail)
        shard.tip = ChainTip(block.height + 1, block.root)
        self.tally.blocks += 1

    # The registry

    def _examine_registry(self, block: SignedBlock) -> tuple[Examined, RegistryUpdate | None]:
        """Check a registry block, and let it change the registry."""
        try:
            leaves, tree = reread(lambda: read_block(self._read, block))
            manifest = decode_manifest(leaves[0])
        except (VerificationError, MissingError) as error:
            self._registry_lost = self._registry_shard.incomplete = True
            return Examined(fault=fault_of(error)), None
        faults: dict[int, Fault] = {}
        for leaf in range(1, len(leaves)):
            evidence = leaf in manifest.equivocations
            try:
                statement = parse_statement(leaves[leaf])
                identity = Identity(statement.issuer, statement.epoch, statement.sequence)
                self._registry_shard.check_place(identity, tree.levels[0][leaf], evidence=evidence)
                self._check_change(statement, tree.levels[0][leaf], evidence=evidence)
            except VerificationError as error:
                faults[leaf] = fault_of(error)
                self._registry_lost = True
        self._registry.close_block()
        update = RegistryUpdate(leaves, frozenset([*manifest.equivocations, *faults]))
        return Examined(manifest=manifest, faults=faults), update

    def _check_change(self, statement: Statement, leaf_hash: bytes, *, evidence: bool) -> None:
        authority, change = check_change(statement, self._authorities)
        if not evidence:
            self._registry.check(change, authority)
            self._registry.apply(change, leaf_hash)

    # Blocks and statements in their order

    def _shard(self, number: int) -> _Shard:
        if number not in self._shards:
            tip = None if self._bundle_lost else ChainTip()
            self._shards[number] = _Shard(number, tip, incomplete=self._bundle_lost)
        return self._shards[number]

    def _forget_tips(self) -> None:
        self._bundle_lost = True
        for shard in self._shards.values():
            shard.tip, shard.incomplete = None, True

    def _check_manifest(self, path: str, shard: _Shard, manifest: Manifest, job: Job) -> Iterator[Finding]:
        assert job.block is not None, "a manifest is a block's"
        tip = shard.tip or ChainTip(manifest.height, manifest.previous)
        if shard.tip is None or shard.body_lost:
            tip = replace(tip, offset=manifest.offset_first, arrival_ms=manifest.arrival_first_ms)
        self._topic_id = self._topic_id or manifest.topic_id
        try:
            check_follows(tip, manifest, shard.number, self._topic_id, range(job.block.size))
        except VerificationError as error:
            yield finding_of(path, error)
        named = manifest.registry_blocks
        known = named <= job.registry_blocks and self._registry.roots[named] == manifest.registry_root
        if not job.registry_lost:
            if not known:
                yield Finding(path, Reason.BLOCK_REGISTRY, f"state {named}")
            try:
                self._lag.check(manifest)
            except VerificationError as error:
                yield finding_of(path, error)
        if shard.number == REGISTRY_SHARD:
            self._lag.add(manifest)

    def _check_places(self, shard: _Shard, examined: Examined) -> None:
        """Find every statement its place; what is wrong with that comes before other faults."""
        assert examined.manifest is not None, "only a body that is of use has statements"
        evidence, hashes = frozenset(examined.manifest.equivocations), examined.hashes
        for leaf, identity in enumerate(examined.identities, 1):
            if identity is None:
                continue
            try:
                at = HASH_SIZE * (leaf - 1)
                shard.check_place(identity, hashes[at : at + HASH_SIZE], evidence=leaf in evidence)
            except VerificationError as error:
                examined.faults[leaf] = fault_of(error)


def _shard_fields(shard: _Shard) -> list[object]:
    tip = shard.tip
    place = [tip.height, tip.root, tip.offset, tip.arrival_ms] if tip else []
    return [shard.number, place, [shard.body_lost, shard.incomplete], shard.signers.to_bytes()]


def _shard_of(row: Any) -> _Shard:
    number, place, (body_lost, incomplete), signers = row
    tip = ChainTip(*place) if place else None
    return _Shard(number, tip, body_lost, incomplete, SignerSequences.from_bytes(signers))


def check_equal(hashes: Sequence[bytes], expected: Sequence[bytes] | None, what: str) -> None:
    """Check that hashes are the tree's; of the tree's nothing may be known.

    Raises:
        VerificationError: ROOT_MISMATCH.
    """
    if expected is not None and hashes != expected:
        raise VerificationError(Reason.ROOT_MISMATCH, f"{what} is not the tree's")


def finding_of(path: str, error: VerificationError | MissingError) -> Finding:
    """Return what an error says, and where."""
    return Finding(path, *fault_of(error))
