"""Every check that others can make of what an operator shows them; each says what it refuses, and why."""

from collections.abc import Callable, Iterator, Mapping

from pipeline.log.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, sign_checkpoint
from pipeline.log.cosigning import AddCheckpoint, encode_add_checkpoint
from pipeline.log.merkle import consistency_path, hash_leaf
from pipeline.log.note import parse_note
from pipeline.log.receipt import check_receipt
from pipeline.log.tiles import TileReader
from pipeline.stages.witness import decide
from pipeline.verify.fsck import LogCheck
from pipeline.verify.monitor import Monitor, Patience
from pipeline.verify.point import verify_point
from pipeline.verify.receipts import HeldReceipt, check_kept
from pipeline.wire.errors import VerificationError
from tests.support.city import AUTHORITIES, LOG, ORIGIN, POLICY, WITNESSES
from tests.threats.operator import AUDIT, DEVICE, FSCK, MONITOR, PROOF, WITNESS, Files, Shown


def device(shown: Shown) -> Iterator[str]:
    """A device with its statements and what came as their receipts."""
    for raw, receipt, _ in shown.receipts:
        try:
            check_receipt(receipt, hash_leaf(raw), origin=ORIGIN, public_key=LOG.signer.public_key)
        except VerificationError as error:
            yield error.reason.value


def receipt_audit(shown: Shown) -> Iterator[str]:
    """Whoever holds receipts that are valid, and reads the log."""
    held = [HeldReceipt(receipt, hash_leaf(raw), at_s) for raw, receipt, at_s in shown.receipts]
    if held and not list(device(shown)):
        opened = open_checkpoint(shown.files["checkpoint"], POLICY)
        tiles = TileReader(shown.files.get, opened.checkpoint)
        for finding in check_kept(held, tiles, opened, AUTHORITIES.bounds_s["cosign_delay_s"]):
            yield f"{finding.reason.value} {finding.path}"


def point_proof(shown: Shown) -> Iterator[str]:
    """Whoever is handed proofs of points."""
    for proof in shown.proofs:
        try:
            verify_point(proof, POLICY, AUTHORITIES)
        except VerificationError as error:
            yield error.reason.value


def fsck(shown: Shown) -> Iterator[str]:
    """Whoever reads the whole log, with its bodies."""
    for finding in LogCheck(shown.files.get, POLICY, AUTHORITIES, now_s=shown.now_s).run():
        yield f"{finding.reason.value} {finding.path}"


def monitor(shown: Shown) -> Iterator[str]:
    """Whoever has followed the log from before, or follows it from now on."""
    files = dict(shown.before or shown.files)
    watcher = Monitor(files.get, POLICY, AUTHORITIES, Patience())
    if shown.before is not None:
        assert list(_look(watcher, shown.before_s)) == [], "what was shown before is in order"
        files.clear()
        files.update(shown.files)
    yield from _look(watcher, shown.now_s)


def _look(watcher: Monitor, now_s: int) -> Iterator[str]:
    watcher.look(now_s)
    while watcher.advance(now_s):
        pass
    for report in watcher.reports.take():
        yield f"{report.reason.value} {report.where}"


def witness(shown: Shown) -> Iterator[str]:
    """A witness that has cosigned what was shown before."""
    if shown.before is None:
        return
    known, new = _checkpoint(shown.before), _checkpoint(shown.files)
    path = []
    if known.size < new.size:
        path = consistency_path(known.size, new.size, TileReader(shown.files.get, new).read_hash)
    asked = AddCheckpoint(min(known.size, new.size), path, sign_checkpoint(new, LOG))
    answer = decide(
        encode_add_checkpoint(asked), {ORIGIN: known}, {ORIGIN: LOG.key()}, WITNESSES[0], shown.now_s
    ).answer
    if answer.status != 200:
        yield f"{answer.status} {answer.body.decode().strip()}"


def _checkpoint(files: Files) -> Checkpoint:
    return parse_checkpoint(parse_note(files["checkpoint"]).text)


CHECKS: Mapping[str, Callable[[Shown], Iterator[str]]] = {
    DEVICE: device,
    AUDIT: receipt_audit,
    PROOF: point_proof,
    FSCK: fsck,
    MONITOR: monitor,
    WITNESS: witness,
}


def refusals(shown: Shown) -> dict[str, list[str]]:
    """Return what every check says, those that refuse nothing left out."""
    said = {name: list(check(shown)) for name, check in CHECKS.items()}
    return {name: what for name, what in said.items() if what}
