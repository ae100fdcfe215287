"""fsck: a good log is clean, and of a bad one exactly the wrong places are named, each with its reason."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import Any

import pytest

from pipeline.identity.archived import read_registry
from pipeline.identity.authorities import Authorities
from pipeline.identity.registry import Registry
from pipeline.identity.snapshot import encode_registry
from pipeline.log.block import encode_body, sign_block
from pipeline.log.genesis import sign_genesis
from pipeline.log.manifest import Manifest, encode_manifest
from pipeline.log.merkle import hash_leaves, root_of
from pipeline.log.tiles import TileAppender
from pipeline.verify.entries import Job, Tally
from pipeline.verify.examine import Examined, Fault
from pipeline.verify.fsck import LogCheck
from pipeline.wire.keys import SeedSigner
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import encode_pack
from tests.support.changes import FINDING, NEW, NOWHERE, admit, revoke, rotate
from tests.support.city import (
    AUTHORITIES,
    LOG,
    NOW_MS,
    ORIGIN,
    POLICY,
    SHARDS,
    WITNESSES,
    Device,
    ForgedLog,
    device_in,
    enrol,
    enrolment,
    seed,
)

Places = list[tuple[str, str]]


def checked(files: Mapping[str, bytes], authorities: Authorities = AUTHORITIES) -> tuple[Places, Tally]:
    """What fsck finds, and how much it looked at."""
    check = LogCheck(files.get, POLICY, authorities)
    findings = [(finding.path, finding.reason.value) for finding in check.run()]
    return findings, check.tally


def found(files: Mapping[str, bytes], authorities: Authorities = AUTHORITIES) -> Places:
    """What fsck finds: places and reasons."""
    return checked(files, authorities)[0]


class Log(ForgedLog):
    """A log that goes on in an orderly way whatever was forged before."""

    def __init__(self, **genesis: Any) -> None:
        super().__init__(**genesis)
        self.devices = [device_in(1), device_in(1, 1), device_in(2), device_in(2, 1)]
        self.enrolled = 0

    def begin(self) -> "Log":
        """Enrol the first three devices, and add two blocks of readings."""
        self.enrol_next(3)
        self.add(1, [device.read() for device in self.devices[:2]])
        self.add(2, [self.devices[2].read()])
        return self

    def enrol_next(self, count: int = 1) -> None:
        """Enrol the next devices."""
        own = self.devices[self.enrolled : self.enrolled + count]
        self.enrol(*(enrol(device, self.enrolled + n) for n, device in enumerate(own)))
        self.enrolled += count

    def finish(self) -> dict[str, bytes]:
        """Go on with a right block in every shard, and publish."""
        self.enrol_next()
        self.add(1, [self.devices[0].read()])
        self.add(2, [self.devices[3].read()])
        self.add(1, [self.devices[1].read()])
        self.publish()
        return self.files


GOOD_LOG = Log().begin()
GOOD = GOOD_LOG.finish()
GOOD_ENTRIES = GOOD_LOG.entries
GOOD_SIZE = 8


def test_a_good_log_is_clean() -> None:
    """Everything is counted: entries, blocks, statements; progress reaches the end."""
    findings, tally = checked(GOOD)
    assert findings == []
    assert tally == Tally(size=GOOD_SIZE, blocks=7, statements=10)
    heard: list[tuple[int, int]] = []
    list(LogCheck(GOOD.get, POLICY, AUTHORITIES).run(lambda done, size: heard.append((done, size))))
    assert heard == [(GOOD_SIZE, GOOD_SIZE)]


# Damage to files

FILES = sorted(GOOD)


@pytest.mark.parametrize("path", FILES)
def test_a_flipped_bit_is_found_in_its_file(path: str) -> None:
    """Wherever it is, that file alone is named."""
    data = GOOD[path]
    for at in range(0, len(data), 23):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        findings = found(GOOD | {path: bytes(changed)})
        if findings or path != "checkpoint":  # There the name of a spare witness may change.
            assert [place for place, _ in findings] == [path], (at, findings)


@pytest.mark.parametrize("path", FILES)
def test_a_missing_file_is_named(path: str) -> None:
    """Whichever it is, and nothing but it."""
    assert found({name: data for name, data in GOOD.items() if name != path}) == [(path, "file_missing")]


@pytest.mark.parametrize("path", FILES)
def test_a_file_that_is_cut_or_longer_is_named(path: str) -> None:
    """As after a torn write, or with something behind it."""
    data = GOOD[path]
    for changed in (data[: len(data) // 2], data[:-1], data + b"\x00", b""):
        assert [place for place, _ in found(GOOD | {path: changed})] == [path]


@pytest.mark.parametrize(
    ("path", "at", "reason"),
    [
        ("checkpoint", 0, "note_signature"),
        (f"tile/0/000.p/{GOOD_SIZE}", 5, "root_mismatch"),
        (f"tile/entries/000.p/{GOOD_SIZE}", 100, "root_mismatch"),
        (f"tile/entries/000.p/{GOOD_SIZE}", 0, "tile_shape"),
        ("block/1/000", 10, "manifest_mismatch"),
        ("block/1/000", -1, "block_root"),
        ("block/1/000", 0, "block_shape"),
        ("block/0/001", -1, "block_root"),
    ],
)
def test_each_damage_has_its_reason(path: str, at: int, reason: str) -> None:
    """A signature, a tile, an entry, framing, a manifest, a leaf."""
    changed = bytearray(GOOD[path])
    changed[at] ^= 1
    assert found(GOOD | {path: bytes(changed)}) == [(path, reason)]


def test_two_swapped_bodies_are_both_named() -> None:
    """Each is a right block, at another's place."""
    swapped = {"block/1/000": GOOD["block/1/001"], "block/1/001": GOOD["block/1/000"]}
    assert found(GOOD | swapped) == [
        ("block/1/000", "manifest_mismatch"),
        ("block/1/001", "manifest_mismatch"),
    ]


def test_damage_hides_no_other_damage() -> None:
    """Behind a body that cannot be read, links and statements are checked on; two files, two findings."""
    files = dict(GOOD)
    del files["block/1/000"]
    body = files["block/1/002"]
    files["block/1/002"] = body[:-1] + bytes([body[-1] ^ 1])
    assert found(files) == [("block/1/000", "file_missing"), ("block/1/002", "block_root")]


def test_a_lost_registry_accuses_no_device() -> None:
    """Whose key may have been in it is not unknown; keys that are known are checked on."""
    log = Log().begin()
    log.add(1, [spoiled(log.devices[0].read())])
    files = log.finish()
    del files["block/0/001"]  # It enrolled the fourth device, whose reading comes later.
    assert found(files) == [("block/1/001 leaf 1", "signature_invalid"), ("block/0/001", "file_missing")]


def spoiled(raw: bytes) -> bytes:
    """A statement whose signature does not verify."""
    return raw[:-1] + bytes([raw[-1] ^ 1])


@cache
def big() -> Mapping[str, bytes]:
    """A log of 515 entries, small blocks in two shards."""
    log = Log()
    log.enrol_next(4)
    for number in range(513):
        device = log.devices[number % 4]
        log.add(device.shard, [device.read()])
    log.publish()
    return log.files


BIG_TILES = [
    "tile/0/000",
    "tile/0/001",
    "tile/0/002.p/3",
    "tile/1/000.p/2",
    "tile/entries/000",
    "tile/entries/001",
    "tile/entries/002.p/3",
]


def test_a_log_of_several_tiles_is_clean() -> None:
    """Two full tiles, a partial one, and one above; progress bundle by bundle."""
    assert sorted(path for path in big() if path.startswith("tile")) == BIG_TILES
    heard: list[tuple[int, int]] = []
    check = LogCheck(big().get, POLICY, AUTHORITIES)
    assert list(check.run(lambda done, size: heard.append((done, size)))) == []
    assert heard == [(256, 515), (512, 515), (515, 515)]
    assert check.tally == Tally(size=515, blocks=514, statements=517)


@pytest.mark.parametrize("path", BIG_TILES)
@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_a_wrong_tile_or_bundle_is_the_one_place_named(path: str, damage: str) -> None:
    """Full or partial, of any level, the first, with the genesis in it, or a later one."""
    files = dict(big())
    data = files.pop(path)
    if damage == "flip":
        files[path] = data[:100] + bytes([data[100] ^ 4]) + data[101:] if len(data) > 100 else spoiled(data)
    elif damage == "cut":
        files[path] = data[:-1]
    ((place, reason),) = found(files)
    assert place == path
    expected = {"flip": {"root_mismatch", "tile_shape"}, "cut": {"tile_shape"}, "delete": {"file_missing"}}
    assert reason in expected[damage]


def test_a_lost_bundle_hides_nothing_behind_it() -> None:
    """Not a damaged body of a later entry, nor a break of a later link."""
    files = dict(big())
    del files["tile/entries/001"]
    body = files["block/1/256"]
    files["block/1/256"] = spoiled(body)
    assert found(files) == [("tile/entries/001", "file_missing"), ("block/1/256", "block_root")]


def test_behind_a_lost_bundle_evidence_may_be_against_what_it_held() -> None:
    """Of a shard that began before it, and of one that began in it."""
    log = Log()
    log.enrol_next(4)
    log.add(1, [log.devices[0].read()])
    for _ in range(300):
        log.add(2, [log.devices[2].read()])
    lost = log.devices[0].sequence
    log.add(1, [log.devices[0].read()])
    log.entries[260], log.entries[-1] = log.entries[-1], log.entries[260]  # Only its number is another one.
    for _ in range(256):
        log.add(2, [log.devices[3].read()])
    log.add(1, [log.devices[0].read(sequence=lost, records=2)], equivocations=(1,))
    log.publish()
    files = {path: data for path, data in log.files.items() if path != "tile/entries/001"}
    assert found(files) == [("tile/entries/001", "file_missing")]


def test_a_wrong_partial_tile_hides_nothing_else() -> None:
    """What the files below it say is used, and all is counted."""
    body = GOOD["block/1/001"]
    path = f"tile/0/000.p/{GOOD_SIZE}"
    findings, tally = checked(GOOD | {path: spoiled(GOOD[path]), "block/1/001": spoiled(body)})
    assert findings == [(path, "root_mismatch"), ("block/1/001", "block_root")]
    assert tally == Tally(size=GOOD_SIZE, blocks=6, statements=9)


@pytest.mark.parametrize("count", [-1, 1])
def test_a_bundle_of_another_number_of_entries_is_named(count: int) -> None:
    """One less, one more, each of them whole."""
    path = f"tile/entries/000.p/{GOOD_SIZE}"
    data = GOOD[path]
    size = len(log_entries := GOOD_ENTRIES[-1]) + 2
    changed = data[:-size] if count < 0 else data + len(log_entries).to_bytes(2) + log_entries
    assert found(GOOD | {path: changed}) == [(path, "tile_shape")]


def test_two_wrong_partial_tiles_are_laid_to_the_checkpoint() -> None:
    """Which of them is wrong cannot be told any more; that something is, can."""
    files = dict(big())
    for path in ("tile/0/002.p/3", "tile/1/000.p/2"):
        files[path] = spoiled(files[path])
    assert found(files) == [("checkpoint", "root_mismatch")]


def test_partial_files_may_be_gone_once_there_is_the_full_one() -> None:
    """tlog-tiles allows it; the full one begins the same."""
    files = {path: data for path, data in big().items() if not path.endswith(".p/3")}
    appender = TileAppender()
    longer = Log()
    longer.entries = entries_of(big()) + [b"more"] * 300
    full = appender.append(longer.entries)
    files |= {path: full[path] for path in ("tile/0/002", "tile/entries/002")}
    assert found(files) == []
    del files["tile/entries/002"]
    assert found(files) == [("tile/entries/002.p/3", "file_missing")]


def entries_of(files: Mapping[str, bytes]) -> list[bytes]:
    """All entries of the big log, out of its bundles."""
    entries = []
    for path in ("tile/entries/000", "tile/entries/001", "tile/entries/002.p/3"):
        data, at = files[path], 0
        while at < len(data):
            size = int.from_bytes(data[at : at + 2])
            entries.append(data[at + 2 : at + 2 + size])
            at += 2 + size
    return entries


def test_a_wrong_tile_of_a_higher_level_is_named_once() -> None:
    """Of a log of more than 65,536 entries; what the entries are is not the question here."""
    log = ForgedLog()
    log.entries = [b"entry %d" % number for number in range(65_536 + 257)]
    log.publish()
    files = log.files | {"tile/1/000": spoiled(log.files["tile/1/000"])}
    wrong = [place for place in found(files) if place[0].startswith("tile")]
    assert wrong == [("tile/1/000", "root_mismatch")]
    files = log.files | {"tile/1/001.p/1": spoiled(log.files["tile/1/001.p/1"])}
    wrong = [place for place in found(files) if not place[0].startswith("entry")]
    assert wrong == [("tile/1/001.p/1", "root_mismatch")]
    files = log.files | {"tile/2/000.p/1": spoiled(log.files["tile/2/000.p/1"])}
    wrong = [place for place in found(files) if not place[0].startswith("entry")]
    assert wrong == [("tile/2/000.p/1", "root_mismatch")]


def test_checkpoint_and_policy_must_fit() -> None:
    """No quorum, no clean log; nothing else is looked at then."""
    log = Log().begin()
    log.finish()
    log.publish(witnesses=WITNESSES[:1])
    findings, tally = checked(log.files)
    assert findings == [("checkpoint", "quorum_missing")]
    assert tally == Tally(size=0, blocks=0, statements=0)


# What an operator could publish, all witnesses cosigning

Forge = Callable[[Log], object]


def forged(forge: Forge) -> Places:
    """What is found in a log with this in its middle, and right blocks before and after."""
    log = Log().begin()
    forge(log)
    return found(log.finish())


def block(shard: int = 1, **fields: Any) -> Forge:
    """A block of one right reading whose manifest says something else."""
    return lambda log: log.add(shard, [log.devices[0 if shard == 1 else 2].read()], **fields)


def statement(make: Callable[[Log], bytes], **fields: Any) -> Forge:
    """A block of shard 1 with this one statement."""
    return lambda log: log.add(1, [make(log)], **fields)


MANIFESTS: dict[str, tuple[Forge, Places]] = {
    "a link to another block": (block(previous=bytes(32)), [("block/1/001", "block_link")]),
    "offsets that were skipped": (
        block(offset_first=3, offset_last=3),
        [("block/1/001", "block_offsets")],
    ),
    "offsets of another topic": (block(topic_id=bytes(16)), [("block/1/001", "block_offsets")]),
    "times that run backwards": (block(arrival_first_ms=NOW_MS - 1), [("block/1/001", "block_times")]),
    "more messages than are accounted for": (
        block(offset_last=5),
        [("block/1/001", "block_counts")],
    ),
    "a duplicate more": (block(duplicates=1), [("block/1/001", "block_counts")]),
    "a registry that never was": (block(registry_root=bytes(32)), [("block/1/001", "block_registry")]),
    "a registry of later": (block(registry_blocks=7), [("block/1/001", "block_registry")]),
    "the wrong registry of then": (block(registry_blocks=0), [("block/1/001", "block_registry")]),
    "a height that was skipped": (
        block(height=2),
        [("block/1/002", "block_height")],
    ),
    "another shard than its entry": (
        lambda log: add_as(log, 2),
        [("block/1/001", "block_height")],
    ),
    "the registry's shard": (
        lambda log: add_as(log, 0),
        [("block/1/001", "block_height")],
    ),
}


def add_as(log: Log, shard: int) -> None:
    """A block in shard 1 whose manifest says it is another shard's."""
    raw = log.devices[0].read()
    right = log.add(1, [raw])
    leaves = [encode_manifest(replace(right, shard=shard)), raw]
    hashes = hash_leaves(leaves)
    log.files["block/1/001"] = encode_body(leaves)
    log.entries[-1] = sign_block(LOG.signer, ORIGIN, right, root_of(hashes), hashes[0])
    log.roots[1] = root_of(hashes)


@pytest.mark.parametrize("what", MANIFESTS)
def test_a_forged_manifest_is_named(what: str) -> None:
    """One block, one finding; the blocks that follow it are right and stay so."""
    forge, expected = MANIFESTS[what]
    assert forged(forge) == expected


OTHER_KIND = "application/vnd.cityproof.handover+cbor"

STATEMENTS: dict[str, tuple[Forge, Places]] = {
    "no statement": (statement(lambda _: b"\xff"), [("block/1/001 leaf 1", "cbor_reserved")]),
    "a signature that does not verify": (
        statement(lambda log: spoiled(log.devices[0].read())),
        [("block/1/001 leaf 1", "signature_invalid")],
    ),
    "a device that nobody enrolled": (
        statement(lambda _: device_in(1, 7).read()),
        [("block/1/001 leaf 1", "key_unknown")],
    ),
    "no reading": (
        statement(lambda log: log.devices[0].read(content_type=OTHER_KIND)),
        [("block/1/001 leaf 1", "statement_content_type")],
    ),
    "no pack": (
        statement(lambda log: log.devices[0].read(payload=b"\x80")),
        [("block/1/001 leaf 1", "pack_shape")],
    ),
    "another device's pack": (
        statement(
            lambda log: log.devices[0].read(payload=encode_pack("urn:dev:ops:1-a-b", Device(1).records(0)))
        ),
        [("block/1/001 leaf 1", "pack_base_name")],
    ),
    "another shard's device": (
        statement(lambda log: log.devices[2].read()),
        [("block/1/001 leaf 1", "shard_wrong")],
    ),
    "a statement of an earlier block": (
        lambda log: log.add(1, [device_in(1).read()]),
        [("block/1/001 leaf 1", "block_leaf_twice")],
    ),
    "a statement twice in a block": (
        lambda log: log.add(1, [raw := log.devices[0].read(), raw]),
        [("block/1/001 leaf 2", "block_leaf_twice")],
    ),
    "a contradiction that is not named": (
        lambda log: log.add(1, [log.devices[0].read(), log.devices[0].read(sequence=1, records=2)]),
        [("block/1/001 leaf 2", "equivocation")],
    ),
    "a reading called a contradiction": (
        lambda log: log.add(1, [log.devices[0].read()], equivocations=(1,)),
        [("block/1/001 leaf 1", "equivocation")],
    ),
    "a third statement under one identity": (
        lambda log: log.add(
            1, [log.devices[0].read(sequence=1, records=n) for n in (1, 2, 3)], equivocations=(2, 3)
        ),
        [("block/1/001 leaf 3", "equivocation")],
    ),
    "a contradiction that the device never signed": (
        lambda log: log.add(
            1,
            [log.devices[0].read(), spoiled(log.devices[0].read(sequence=1, records=2))],
            equivocations=(2,),
        ),
        [("block/1/001 leaf 2", "signature_invalid")],
    ),
    "an old statement again": (
        lambda log: log.add(1, [log.devices[0].read(sequence=400), device_in(1).read()]),
        [("block/1/001 leaf 2", "sequence_old")],
    ),
}


@pytest.mark.parametrize("what", STATEMENTS)
def test_a_leaf_that_should_not_be_there_is_named(what: str) -> None:
    """By its block and its place in it."""
    forge, expected = STATEMENTS[what]
    assert forged(forge) == expected


def test_a_contradiction_that_is_named_is_no_finding() -> None:
    """It is kept as evidence, signed by the device, in the manifest's list."""
    assert (
        forged(
            lambda log: log.add(
                1,
                [log.devices[0].read(), log.devices[0].read(sequence=1, records=2)],
                equivocations=(2,),
            )
        )
        == []
    )


def test_evidence_against_what_was_lost_is_no_finding() -> None:
    """The statement it contradicts stood in a body that is gone."""
    log = Log().begin()
    log.add(1, [log.devices[0].read(sequence=0, records=2)], equivocations=(1,))
    files = log.finish()
    del files["block/1/000"]
    assert found(files) == [("block/1/000", "file_missing")]


def test_evidence_against_a_lost_enrolment_is_no_finding() -> None:
    """The registry's own shard may have lost what is contradicted, too."""
    log = Log().begin()
    log.enrol_next()
    log.enrol(enrol(device_in(1, 5), 3), skip=(1,))
    log.publish()
    del log.files["block/0/001"]
    assert found(log.files) == [("block/0/001", "file_missing")]


def test_of_a_wrong_enrolment_nothing_that_follows_is_told_again() -> None:
    """The operator took it up: whose key it is, and the states behind it, are no findings of their own."""
    log, stranger = Log().begin(), device_in(1, 5)
    log.enrol(spoiled(enrol(stranger, 9)))
    log.add(1, [stranger.read(), log.devices[0].read()])
    log.publish()
    assert found(log.files) == [("block/0/001 leaf 1", "signature_invalid")]


def test_after_a_lost_registry_signatures_are_checked_on() -> None:
    """Of keys that are known; one that is not is not missed, whatever state its block names."""
    log = Log().begin()
    before: dict[str, Any] = {"registry_blocks": log.registry.blocks, "registry_root": log.registry.root}
    log.enrol_next()
    log.add(1, [device_in(1, 7).read(), spoiled(log.devices[0].read())], **before)
    log.publish()
    del log.files["block/0/001"]
    assert found(log.files) == [("block/0/001", "file_missing"), ("block/1/001 leaf 2", "signature_invalid")]


def test_a_leaf_that_is_no_statement_hides_none_behind_it() -> None:
    """Each at its own leaf."""
    log = Log().begin()
    device, twin = log.devices[0], device_in(1)
    log.add(1, [b"\xff", spoiled(device.read()), device_in(1, 7).read(), twin.read(), device.read()])
    log.publish()
    assert found(log.files) == [
        ("block/1/001 leaf 1", "cbor_reserved"),
        ("block/1/001 leaf 2", "signature_invalid"),
        ("block/1/001 leaf 3", "key_unknown"),
        ("block/1/001 leaf 4", "block_leaf_twice"),
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"offset_first": 5, "offset_last": 5}, "block_offsets"),
        ({"previous": b"x" * 32}, "block_link"),
        ({"height": 1}, "block_height"),
    ],
)
def test_a_shard_begins_at_its_beginning(fields: dict[str, Any], reason: str) -> None:
    """Its first block takes the bus up from offset 0, and names none before it."""
    log = Log()
    log.enrol_next(4)
    manifest = log.add(1, [log.devices[0].read()], **fields)
    log.add(1, [log.devices[0].read()])
    log.publish()
    assert found(log.files) == [(f"block/1/{manifest.height:03}", reason)]


def test_a_key_before_its_time_is_named() -> None:
    """Validity is compared with the block's last arrival."""
    for delay_s, expected in ((0, []), (1, [("block/1/000 leaf 1", "key_not_yet_valid")])):
        log = Log()
        device = log.devices[0]
        about = enrolment(device, valid_from_s=NOW_MS // 1000 + delay_s)
        log.enrol(enrol(device, 0, about=about))
        log.add(1, [device.read()])
        log.publish()
        assert found(log.files) == expected


def registry(make: Callable[[Log], Sequence[bytes]], **fields: Any) -> Forge:
    """A registry block with these statements; the log's registry takes up none of it."""

    def forge(log: Log) -> None:
        log.add(0, make(log), **fields)
        log.registry.close_block()

    return forge


ENROLMENTS: dict[str, tuple[Forge, Places]] = {
    "by nobody we trust": (
        registry(lambda _: [enrol(device_in(1, 5), 9, name="https://x.example/")]),
        [("block/0/001 leaf 1", "authority_unknown")],
    ),
    "of a key that is known": (
        registry(lambda log: [enrol(log.devices[0], 9)]),
        [("block/0/001 leaf 1", "key_known")],
    ),
    "not signed": (
        registry(lambda _: [spoiled(enrol(device_in(1, 5), 9))]),
        [("block/0/001 leaf 1", "signature_invalid")],
    ),
    "twice": (
        registry(lambda log: [enrol(log.devices[0], 0)]),
        [("block/0/001 leaf 1", "block_leaf_twice")],
    ),
    "contradicting another, not named": (
        registry(lambda _: [enrol(device_in(1, 5), 0)]),
        [("block/0/001 leaf 1", "equivocation")],
    ),
    "contradicting another, named, not signed": (
        registry(lambda _: [spoiled(enrol(device_in(1, 5), 0))], equivocations=(1,)),
        [("block/0/001 leaf 1", "signature_invalid")],
    ),
    "contradicting another, named": (
        registry(lambda _: [enrol(device_in(1, 5), 0)], equivocations=(1,)),
        [],
    ),
    "contradicting none, and named as if": (
        registry(lambda _: [enrol(device_in(1, 5), 9)], equivocations=(1,)),
        [("block/0/001 leaf 1", "equivocation")],
    ),
    "a reading": (
        registry(lambda log: [log.devices[0].read()]),
        [("block/0/001 leaf 1", "authority_unknown")],
    ),
}


@pytest.mark.parametrize("what", ENROLMENTS)
def test_an_enrolment_that_should_not_be_there_is_named(what: str) -> None:
    """And nothing of what depends on the registry is reported again."""
    forge, expected = ENROLMENTS[what]
    assert forged(forge) == expected


def test_an_equivocating_enrolment_that_took_effect_shows_in_the_root() -> None:
    """The operator's registry holds a key that ours does not: every state from there on is another."""
    log = Log().begin()
    second = enrol(device_in(1, 5), 0)
    manifest = log.add(0, [second], equivocations=(1,))
    log.registry.load_block([b"manifest", second], ())
    assert manifest.height == 1
    log.publish()
    log.add(1, [log.devices[0].read()])
    log.publish()
    assert found(log.files) == [("block/1/001", "block_registry")]


KEYS: dict[str, tuple[Forge, Places]] = {
    "an enrolment that its key never asked for": (
        registry(
            lambda _: [enrol(device_in(1, 5), 9, about=enrolment(device_in(1, 5), possession=bytes(64)))]
        ),
        [("block/0/001 leaf 1", "possession_invalid")],
    ),
    "a rotation that the old key did not sign": (
        registry(lambda log: [rotate(log.devices[0], asked="https://x.example/", sequence=9)]),
        [("block/0/001 leaf 1", "rotation_signature")],
    ),
    "a revocation of nobody's key": (
        registry(lambda _: [revoke(device_in(1, 5), sequence=9)]),
        [("block/0/001 leaf 1", "key_unknown")],
    ),
    "an admission for nobody": (
        registry(lambda _: [admit(device_in(1, 5), b"x", sequence=9)]),
        [("block/0/001 leaf 1", "key_unknown")],
    ),
}


@pytest.mark.parametrize("what", KEYS)
def test_what_authorities_could_not_have_stated_is_named(what: str) -> None:
    """By its own reason, at its own leaf, and nothing after it."""
    forge, expected = KEYS[what]
    assert forged(forge) == expected


def revoked(log: Log, **fields: Any) -> Device:
    """Revoke the first device's key, as it must be."""
    manifest = log.add(0, raws := [revoke(log.devices[0], sequence=20)], **fields)
    log.registry.load_block([encode_manifest(manifest), *raws], ())
    return log.devices[0]


def test_a_statement_of_a_revoked_key_is_named() -> None:
    """A hidden revocation: the operator took the key's statement in after it all the same."""
    log = Log().begin()
    log.add(1, [revoked(log).read()])
    log.publish()
    assert found(log.files) == [("block/1/001 leaf 1", "key_revoked")]


def test_a_block_may_name_the_state_before_a_revocation() -> None:
    """Blocks are checked against the state that they name: within the bound that is no fault."""
    log = Log().begin()
    before: dict[str, Any] = {"registry_blocks": log.registry.blocks, "registry_root": log.registry.root}
    device = revoked(log)
    log.add(1, [device.read()], arrival_last_ms=NOW_MS + 60_000, **before)
    log.publish()
    assert found(log.files) == []


def test_a_stale_registry_is_named() -> None:
    """And not for longer: a city that goes on not to know of a revocation breaks its own bound."""
    log = Log().begin()
    before: dict[str, Any] = {"registry_blocks": log.registry.blocks, "registry_root": log.registry.root}
    device = revoked(log)
    log.add(1, [device.read()], arrival_last_ms=NOW_MS + 60_001, **before)
    log.publish()
    assert found(log.files) == [("block/1/001", "registry_lag")]


def test_a_revocation_that_is_left_out_shows_in_the_root() -> None:
    """A registry that the operator keeps free of it is another registry from there on."""
    log = Log().begin()
    log.add(0, [revoke(log.devices[0], sequence=20)])
    log.registry.close_block()
    log.add(1, [log.devices[0].read()])
    log.publish()
    assert found(log.files) == [("block/1/001", "block_registry")]


def test_keys_sign_their_spans_and_admitted_statements_are_no_finding() -> None:
    """A rotation with its backlog, a revocation with what was admitted in spite of it."""
    log = Log().begin()
    device, late = log.devices[0], device_in(1).read(sequence=3)
    log.enrol(rotate(device, starts=(1, 4), sequence=20))
    device.signer = NEW
    log.add(1, [device_in(1).read(sequence=1), device.read(sequence=4)])
    log.enrol(revoke(device, device_in(1).signer, sequence=21))
    log.enrol(admit(device, late, sequence=22))
    log.add(1, [late, device.read(sequence=5)])
    log.add(1, [device_in(1).read(sequence=2), device.read(sequence=0, epoch=0)])
    log.publish()
    assert found(log.files) == [("block/1/003 leaf 1", "key_revoked"), ("block/1/003 leaf 2", "key_span")]


def test_a_sensor_signs_no_finding_and_an_auditor_no_reading() -> None:
    """Each kind and role its content types."""
    log, auditor, content = Log().begin(), device_in(1, 5), "application/vnd.cityproof.finding+cbor"
    log.enrol(enrol(auditor, 20, about=enrolment(auditor, kind="auditor", **NOWHERE)))
    finding = auditor.read(content_type=content, payload=FINDING)
    log.add(1, [finding, auditor.read(), log.devices[0].read(content_type=content, payload=FINDING)])
    log.add(1, [auditor.read(content_type=content, payload=b"\xbf\xff")])
    log.publish()
    assert found(log.files) == [
        ("block/1/001 leaf 2", "statement_content_type"),
        ("block/1/001 leaf 3", "statement_content_type"),
        ("block/1/002 leaf 1", "cbor_indefinite"),
    ]


ENTRIES: dict[str, tuple[Forge, Places]] = {
    "signed by another key": (
        lambda log: log.add(1, [], signer=SeedSigner(seed("thief")), refused={"oversize": 1}, offset_last=2),
        [("entry 4", "key_unknown")],
    ),
    "of another log": (
        lambda log: log.add(1, [], origin="town.example/log", refused={"oversize": 1}, offset_last=2),
        [("entry 4", "block_shape")],
    ),
    "no block": (lambda log: log.entries.append(b"\xff"), [("entry 4", "cbor_reserved")]),
    "a second genesis": (lambda log: log.entries.append(log.entries[0]), [("entry 4", "cose_header")]),
}


@pytest.mark.parametrize("what", ENTRIES)
def test_an_entry_that_is_none_is_named(what: str) -> None:
    """By its number, as it may name no block."""
    forge, expected = ENTRIES[what]
    log = Log().begin()
    before = list(log.tips), list(log.roots)
    forge(log)
    log.tips, log.roots = before
    assert found(log.finish()) == expected


def test_a_shard_that_the_genesis_does_not_have_is_named() -> None:
    """The number of shards is fixed for good."""
    log = Log(shards=5)
    log.entries[0] = sign_genesis(LOG.signer, ORIGIN, SHARDS, AUTHORITIES.file_hash)
    log.add(3, [], refused={"oversize": 1}, offset_last=0)
    log.add(4, [], refused={"oversize": 1}, offset_last=0)
    log.publish()
    assert found(log.files) == [("entry 1", "block_shape"), ("entry 2", "block_shape")]


def test_blocks_out_of_order_are_named() -> None:
    """Two entries of one shard the wrong way round: the log's order is not the shard's."""
    log = Log().begin()
    files = log.finish()
    log.entries[2], log.entries[5] = log.entries[5], log.entries[2]
    log.publish()
    places = {place for place, reason in found(files) if reason in {"block_height", "block_link"}}
    assert places == {"block/1/000", "block/1/001", "block/1/002"}


def test_an_entry_twice_is_named_with_all_its_leaves() -> None:
    """The block, and each statement that is then in the log twice."""
    log = Log().begin()
    log.entries.append(log.entries[2])
    log.publish()
    assert found(log.files) == [
        ("block/1/000", "block_height"),
        ("block/1/000 leaf 1", "block_leaf_twice"),
        ("block/1/000 leaf 2", "block_leaf_twice"),
    ]


@pytest.mark.parametrize(
    ("genesis", "reason"),
    [
        (sign_genesis(SeedSigner(seed("thief")), ORIGIN, SHARDS, AUTHORITIES.file_hash), "key_unknown"),
        (sign_genesis(LOG.signer, "town.example/log", SHARDS, AUTHORITIES.file_hash), "checkpoint_origin"),
        (sign_genesis(LOG.signer, ORIGIN, SHARDS, bytes(32)), "genesis_shape"),
        (b"\xff", "cbor_reserved"),
    ],
)
def test_entry_0_must_be_the_genesis_of_this_log(genesis: bytes, reason: str) -> None:
    """By the log's key, of its origin, for these authorities; the blocks behind it are checked as ever."""
    log = Log(genesis=genesis).begin()
    log.add(1, [spoiled(log.devices[0].read())])
    assert found(log.finish()) == [("entry 0", reason), ("block/1/001 leaf 1", "signature_invalid")]


def with_snapshot(change: Callable[[Registry], Registry] = lambda registry: registry) -> Mapping[str, bytes]:
    """The good log with its registry's snapshot, as it is or changed."""
    registry = read_registry(GOOD.get, registry_blocks_of(GOOD))
    return {**GOOD, "registry": encode_registry(change(registry))}


def registry_blocks_of(files: Mapping[str, bytes]) -> int:
    """How many blocks of shard 0 a log has."""
    return sum(path.startswith("block/0/") for path in files)


def test_a_snapshot_of_the_registry_is_compared_with_the_blocks() -> None:
    """That of this state, an earlier one, or a later one, whose blocks are under no checkpoint yet."""
    blocks = registry_blocks_of(GOOD)
    assert found(with_snapshot()) == []
    assert found(with_snapshot(lambda registry: registry.at(blocks - 1))) == []

    def later(registry: Registry) -> Registry:
        registry.apply(enrolment(Device(77)), bytes(32))
        registry.close_block()
        return registry

    assert found(with_snapshot(later)) == []


@pytest.mark.parametrize("change", [{"public_key": bytes(32)}, {"since": 99}, {"kind": "water"}])
def test_an_altered_snapshot_of_the_registry_is_named(change: dict[str, Any]) -> None:
    """Also where its root would be the same: what is not in the tree is compared as well."""

    def altered(registry: Registry) -> Registry:
        first, *others = registry.keys
        return Registry.of(registry.blocks, [replace(first, **change), *others], registry.admissions)

    assert found(with_snapshot(altered)) == [("registry", "block_registry")]
    assert found({**GOOD, "registry": b"\x80"}) == [("registry", "snapshot_shape")]


def test_another_authorities_file_is_another_city() -> None:
    """Though it names the same authorities."""
    other = Authorities(AUTHORITIES.by_key, AUTHORITIES.bounds_s, sha256(b"other").digest())
    assert found(GOOD, other) == [("entry 0", "genesis_shape")]


def test_an_empty_log_is_clean() -> None:
    """Genesis only; or not even that."""
    log = Log()
    log.publish()
    assert checked(log.files) == ([], Tally(size=1))
    log.entries.clear()
    log.publish()
    assert checked(log.files) == ([], Tally(size=0))


def test_findings_say_more_than_the_reason() -> None:
    """A person reads what exactly is wrong there."""
    log = Log().begin()
    block(previous=bytes(32))(log)
    (finding,) = LogCheck(log.finish().get, POLICY, AUTHORITIES).run()
    assert finding.detail == "shard 1, height 1"
    assert finding.reason is Reason.BLOCK_LINK
    (finding,) = LogCheck(
        {path: data for path, data in GOOD.items() if path != "block/1/000"}.get, POLICY, AUTHORITIES
    ).run()
    assert finding.detail == "block/1/000 is missing"
    for path, what in ((f"tile/entries/000.p/{GOOD_SIZE}", "an entry"), ("tile/0/000", "a hash")):
        files = GOOD if path in GOOD else big()
        changed = bytearray(files[path])
        changed[100] ^= 1
        (finding,) = LogCheck({**files, path: bytes(changed)}.get, POLICY, AUTHORITIES).run()
        assert (finding.path, finding.detail) == (path, f"{what} is not the tree's")


def test_a_log_may_have_to_be_of_these_days() -> None:
    """Where it is told the time, a checkpoint that is older than the city promises is named."""
    cosigned_s, age_s = 1_800_000_100, AUTHORITIES.bounds_s["checkpoint_age_s"]
    for late_s, expected in ((0, []), (1, [("checkpoint", "checkpoint_stale")])):
        check = LogCheck(GOOD.get, POLICY, AUTHORITIES, now_s=cosigned_s + age_s + late_s)
        assert [(finding.path, finding.reason.value) for finding in check.run()] == expected


def test_blocks_are_examined_as_it_is_told() -> None:
    """By whatever is given for it, job by job; with nothing examined nothing is found in them."""

    def examine(jobs: Iterable[Job]) -> Iterator[Job]:
        for job in jobs:
            if job.task is not None:
                job.examined = Examined(fault=Fault(Reason.OVERSIZE, "not looked at"))
            yield job

    findings = [(each.path, each.reason) for each in LogCheck(GOOD.get, POLICY, AUTHORITIES, examine).run()]
    assert sorted(findings) == [
        (path, "oversize") for path in sorted(GOOD) if path.startswith(("block/1", "block/2"))
    ]


def test_manifests_are_what_the_helpers_make() -> None:
    """The forged log keeps the tips that fsck derives; else the tests above would test nothing."""
    log = Log().begin()
    assert isinstance(log.tips[1], Manifest)
    assert [tip.height if tip else None for tip in log.tips] == [0, 0, 0]
