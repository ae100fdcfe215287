"""Examining a block alone: under the registry that the examiner has been told of, and no other."""

from pipeline.identity.registry import Registry
from pipeline.log.block import parse_signed_block
from pipeline.log.manifest import encode_manifest
from pipeline.verify.examine import BlockTask, Examiner, RegistryUpdate
from pipeline.wire.reasons import Reason
from tests.support.city import ForgedLog, device_in, enrol


def test_an_examiner_knows_the_keys_of_the_updates_it_got() -> None:
    """Its registry is a copy: what is skipped in an update is no key."""
    first, second = device_in(1), device_in(1, 1)
    log = ForgedLog()
    statements = [enrol(first, 0), enrol(second, 1)]
    manifest = log.enrol(*statements, skip=(2,))
    log.add(1, [first.read(), second.read()])
    task = BlockTask(parse_signed_block(log.entries[2]), 3, registry_lost=False)
    examiner = Examiner(log.files.get, Registry())
    assert examiner.examine(task).faults == {}, "a state that it does not know"
    examiner.update(RegistryUpdate([encode_manifest(manifest), *statements], frozenset({2})))
    faults = examiner.examine(task).faults
    assert {leaf: fault.reason for leaf, fault in faults.items()} == {2: Reason.KEY_UNKNOWN}
