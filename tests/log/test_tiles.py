"""The log as files: names, widths and contents by the specification, and readers that believe nothing."""

import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.log import tiles
from pipeline.log.checkpoint import Checkpoint, parse_checkpoint
from pipeline.log.merkle import (
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path_at,
)
from pipeline.log.note import parse_note, parse_vkey, verified
from pipeline.log.tiles import (
    CHECKPOINT_PATH,
    Tile,
    TileAppender,
    TileReader,
    block_path,
    edge_paths,
    edge_tiles,
    encode_entries,
    entries_path,
    parse_entries,
    tile_path,
    tiles_between,
)
from pipeline.wire.errors import UnavailableError, VerificationError
from pipeline.wire.reasons import Reason

ORIGIN = "city.example/log"
NOTHING: dict[str, bytes] = {}
SIZE = 70_000  # The specification's example: three levels.


def entry(index: int) -> bytes:
    """Entries of different lengths, the first of them empty."""
    return b"%d" % index * (index % 7)


def node(left: bytes, right: bytes) -> bytes:
    """RFC 9162's node hash."""
    return sha256(b"\x01" + left + right).digest()


@cache
def subtree(start: int, end: int) -> bytes:
    """Merkle tree hash of the entries from start to end, from the definition."""
    if end - start == 1:
        return sha256(b"\x00" + entry(start)).digest()
    k = 1 << (end - start - 1).bit_length() - 1
    return node(subtree(start, start + k), subtree(start + k, end))


def wanted_tiles(size: int) -> dict[str, bytes]:
    """Every tile of a tree of this size, straight from the text of tlog-tiles."""
    files: dict[str, bytes] = {}
    level = 0
    while (count := size // 256**level) > 0:
        for index in range((count + 255) // 256):
            width = min(256, count - 256 * index)
            span = 256**level
            hashes = [subtree((256 * index + i) * span, (256 * index + i + 1) * span) for i in range(width)]
            name = f"{index:03}" if index < 1000 else f"x{index // 1000:03}/{index % 1000:03}"
            suffix = "" if width == 256 else f".p/{width}"
            files[f"tile/{level}/{name}{suffix}"] = b"".join(hashes)
            if level == 0:
                bundle = [entry(256 * index + i) for i in range(width)]
                framed = b"".join(bytes([len(e) // 256, len(e) % 256]) + e for e in bundle)
                files[f"tile/entries/{name}{suffix}"] = framed
        level += 1
    return files


def grow(*sizes: int) -> dict[str, bytes]:
    """All files written while a log grows through these sizes."""
    appender, files = TileAppender(), dict[str, bytes]()
    for size in sizes:
        files |= appender.append([entry(index) for index in range(appender.size, size)])
    return files


def checkpoint(size: int) -> Checkpoint:
    """The true checkpoint at a size."""
    return Checkpoint(ORIGIN, size, subtree(0, size) if size else sha256().digest())


@pytest.fixture(scope="module")
def big() -> dict[str, bytes]:
    """The files of the log of 70,000 entries."""
    return grow(SIZE)


def refusal(act: Callable[..., object], *arguments: object) -> Reason:
    """Why something is refused."""
    with pytest.raises(VerificationError) as refused:
        act(*arguments)
    return refused.value.reason


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "000"),
        (7, "007"),
        (999, "999"),
        (1000, "x001/000"),
        (1234067, "x001/x234/067"),
        (999_999, "x999/999"),
        (1_000_000, "x001/x000/000"),
        (2**40, "x001/x099/x511/x627/776"),
    ],
)
def test_numbers_become_paths(number: int, name: str) -> None:
    """Groups of three digits, an x before all but the last, no needless group."""
    assert tile_path(0, number, 256) == tile_path(0, number) == f"tile/0/{name}"
    assert tile_path(63, number, 255) == f"tile/63/{name}.p/255"
    assert entries_path(number) == f"tile/entries/{name}"
    assert entries_path(number, 1) == f"tile/entries/{name}.p/1"
    assert block_path(3, number) == f"block/3/{name}"


@pytest.mark.parametrize("width", [0, -1, 257])
def test_there_are_no_empty_and_no_wider_tiles(width: int) -> None:
    """A tile of such a width is our bug."""
    with pytest.raises(AssertionError):
        tile_path(0, 0, width)


def test_the_specifications_example_of_70000(big: dict[str, bytes]) -> None:
    """Level 0: 273 full tiles and one of 112; level 1: one full and one of 17; level 2: one of width 1."""
    assert [tile.path for tile in edge_tiles(SIZE)] == [
        "tile/0/273.p/112",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    named = [
        *(f"tile/0/{index:03}" for index in range(273)),
        "tile/0/273.p/112",
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    assert [tile.path for tile in tiles_between(0, SIZE)] == named
    bundles = [*(f"tile/entries/{index:03}" for index in range(273)), "tile/entries/273.p/112"]
    assert list(big) == bundles + named
    assert len(big["tile/1/000"]) == 8192
    assert len(big["tile/0/273.p/112"]) == 112 * 32


def test_a_tree_of_256_has_a_full_tile_and_one_of_width_1() -> None:
    """The specification's second example."""
    assert list(grow(256)) == ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]
    assert edge_tiles(256) == [Tile(1, 0, 1)]
    assert edge_tiles(0) == []
    assert CHECKPOINT_PATH == "checkpoint"
    assert edge_paths(256) == ["tile/1/000.p/1"]
    assert edge_paths(257) == ["tile/entries/001.p/1", "tile/0/001.p/1", "tile/1/000.p/1"]


def test_contents_at_70000_are_the_definitions(big: dict[str, bytes]) -> None:
    """Every file of the log of 70,000 entries, and no other."""
    assert big == wanted_tiles(SIZE)


@given(st.lists(st.integers(0, 1400), min_size=1, max_size=6))
def test_however_it_grows_the_files_are_the_same(sizes: list[int]) -> None:
    """At each size on the way, what was written holds every file of that size, each with the right bytes."""
    appender, files = TileAppender(), dict[str, bytes]()
    for size in sorted(sizes):
        before = appender.size
        new = appender.append([entry(index) for index in range(before, size)])
        named = [tile.path for tile in tiles_between(before, size)]
        assert [path for path in new if not path.startswith("tile/entries")] == named
        assert files.keys().isdisjoint(new)
        files |= new
        wanted = wanted_tiles(size)
        assert {path: files[path] for path in wanted} == wanted
        assert new.keys() <= wanted.keys()
        assert appender.root() == checkpoint(size).root


@given(st.integers(0, 1400), st.integers(0, 600))
def test_an_appender_resumes_from_its_files(size: int, more: int) -> None:
    """From the edge alone it goes on as if it had never stopped."""
    going = TileAppender()
    files = going.append([entry(index) for index in range(size)])
    edge = {path: files[path] for path in edge_paths(size)}
    resumed = TileAppender.resume(edge.get, checkpoint(size))
    entries = [entry(index) for index in range(size, size + more)]
    assert (resumed.size, resumed.root()) == (size, going.root())
    assert resumed.append(entries) == going.append(entries)


def test_appending_nothing_writes_nothing() -> None:
    """No entries, no files."""
    appender = TileAppender()
    assert appender.append([]) == {}
    assert appender.root() == sha256().digest()
    appender.append([b"a"])
    assert appender.append([]) == {}


def test_entries_have_at_most_65535_bytes() -> None:
    """The longest entry fits its length field; a longer one is our bug."""
    files = TileAppender().append([bytes(65535)])
    assert files["tile/entries/000.p/1"][:2] == b"\xff\xff"
    assert parse_entries(files["tile/entries/000.p/1"]) == [bytes(65535)]
    with pytest.raises(AssertionError):
        TileAppender().append([bytes(65536)])


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_bundles_go_there_and_back(entries: list[bytes]) -> None:
    """A bundle is its entries; every byte cut off or added breaks it."""
    data = encode_entries(entries)
    assert parse_entries(data) == entries
    for broken in (data[:-1], data + b"\0", data[1:]):
        try:
            parsed = parse_entries(broken)
        except VerificationError as error:
            assert error.reason is Reason.TILE_SHAPE  # noqa: PT017 - either outcome is right
        else:
            assert encode_entries(parsed) == broken


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\1", b"\0\0\0", b"\0\2a", b"\0\0" * 257, b"\xff\xff"])
def test_broken_bundles_are_tile_shape(data: bytes) -> None:
    """Nothing, a cut length, a cut entry, more than 256."""
    assert refusal(parse_entries, data) is Reason.TILE_SHAPE


def test_every_hash_and_entry_is_readable(big: dict[str, bytes]) -> None:
    """read_hash gives each complete subtree on every level, and proofs made from it verify."""
    reader = TileReader(big.get, checkpoint(SIZE))
    for level in range(SIZE.bit_length()):
        last = (SIZE >> level) - 1
        for index in {0, 1, 127, 128, 255, 256, last // 2, last - 1, last} & set(range(last + 1)):
            assert reader.read_hash(level, index) == subtree(index << level, (index + 1) << level)
        assert refusal(reader.read_hash, level, last + 1) is Reason.INDEX_OUTSIDE
        assert refusal(reader.read_hash, level, -1) is Reason.INDEX_OUTSIDE
    for index in (0, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999):
        path = inclusion_path_at(index, SIZE, reader.read_hash)
        check_inclusion(subtree(index, index + 1), index, SIZE, path, subtree(0, SIZE))
        assert reader.read_entry(index) == entry(index)
        assert reader.read_entries(index // 256)[index % 256] == entry(index)
    for size in (1, 255, 256, 257, 65_536, 69_999, SIZE):
        proof = consistency_path(size, SIZE, reader.read_hash)
        check_consistency(size, subtree(0, size), SIZE, subtree(0, SIZE), proof)
    for index in (SIZE, -1):
        assert refusal(reader.read_entry, index) is Reason.INDEX_OUTSIDE
    for bundle in (274, -1):
        assert refusal(reader.read_entries, bundle) is Reason.INDEX_OUTSIDE


def test_a_small_proof_reads_few_tiles(big: dict[str, bytes]) -> None:
    """Opening reads the three partial tiles; a path from the far left two more; the same again none."""
    reads: list[str] = []

    def read(path: str) -> bytes | None:
        reads.append(path)
        return big.get(path)

    reader = TileReader(read, checkpoint(SIZE))
    assert reads == ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]
    reads.clear()
    inclusion_path_at(300, SIZE, reader.read_hash)
    assert reads == ["tile/0/001", "tile/1/000"]
    inclusion_path_at(301, SIZE, reader.read_hash)
    inclusion_path_at(SIZE - 1, SIZE, reader.read_hash)
    assert len(reads) == 2


def test_the_reader_keeps_a_bounded_number_of_tiles(big: dict[str, bytes]) -> None:
    """Reading every tile keeps 64, the ones used last; an evicted one is read and checked again."""
    reads: list[str] = []

    def read(path: str) -> bytes | None:
        reads.append(path)
        return big.get(path)

    reader = TileReader(read, checkpoint(SIZE))
    for index in range(200):
        reader.read_hash(0, 256 * index)
        reader.read_hash(0, 0)
    assert reads.count("tile/0/000") == reads.count("tile/1/000") == 1
    assert len(reader._full) == tiles._CACHED_TILES_MAX == 64
    reader.read_hash(0, 256)
    assert reads.count("tile/0/001") == 2


def test_a_full_tile_stands_in_for_a_partial_one() -> None:
    """Partial files may be deleted once the full ones are there: these are read, and cut."""
    files = grow(300, 600)
    for path in edge_paths(300):
        if path != "tile/1/000.p/1":
            del files[path]
    reader = TileReader(files.get, checkpoint(300))
    assert reader.read_hash(0, 299) == subtree(299, 300)
    assert reader.read_entry(299) == entry(299)
    assert reader.read_entries(1) == [entry(index) for index in range(256, 300)]
    resumed = TileAppender.resume(files.get, checkpoint(300))
    assert resumed.append([entry(index) for index in range(300, 600)]).keys() <= files.keys()


@pytest.mark.parametrize("missing", ["tile/0/273.p/112", "tile/2/000.p/1", "tile/0/001", "tile/1/000"])
def test_a_missing_tile_is_no_verdict(big: dict[str, bytes], missing: str) -> None:
    """What is not there could not be checked: UnavailableError names it. A file is asked for once."""
    reads: list[str] = []

    def read(path: str) -> bytes | None:
        reads.append(path)
        return None if path == missing else big.get(path)

    with pytest.raises(UnavailableError, match=f"^log files did not answer: {missing} is missing$"):
        TileReader(read, checkpoint(SIZE)).read_hash(0, 300)
    assert reads.count(missing) == 1


def test_any_changed_byte_of_what_is_read_is_refused(big: dict[str, bytes]) -> None:
    """One byte of each file that a proof and its entry need, changed, cut or added: refused before use."""
    used = [
        "tile/0/273.p/112",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
        "tile/0/001",
        "tile/1/000",
        "tile/entries/001",
    ]

    def prove(files: dict[str, bytes]) -> None:
        reader = TileReader(files.get, checkpoint(SIZE))
        inclusion_path_at(300, SIZE, reader.read_hash)
        reader.read_entries(1)

    prove(big)
    for path in used:
        data = big[path]
        for at in {0, 1, 31, 32, len(data) // 2, len(data) - 33, len(data) - 1} & set(range(len(data))):
            changed = data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]
            assert refusal(prove, big | {path: changed}) in {Reason.ROOT_MISMATCH, Reason.TILE_SHAPE}
        for other in (data[:-1], data + b"\0", data + data[-32:], b""):
            assert refusal(prove, big | {path: other}) is Reason.TILE_SHAPE


def test_swapped_tiles_are_refused(big: dict[str, bytes]) -> None:
    """A true tile of the same log in another's place, an entry in another's place, another size's root."""
    swapped = big | {"tile/0/001": big["tile/0/002"]}
    assert refusal(TileReader(swapped.get, checkpoint(SIZE)).read_hash, 0, 300) is Reason.ROOT_MISMATCH
    bundle = big | {"tile/entries/001": big["tile/entries/002"]}
    reader = TileReader(bundle.get, checkpoint(SIZE))
    assert refusal(reader.read_entry, 300) is Reason.ROOT_MISMATCH
    assert refusal(reader.read_entries, 1) is Reason.ROOT_MISMATCH
    for wrong in (checkpoint(SIZE - 1).root, bytes(32)):
        opened = Checkpoint(ORIGIN, SIZE, wrong)
        assert refusal(TileReader, big.get, opened) is Reason.ROOT_MISMATCH
    assert refusal(TileReader, NOTHING.get, Checkpoint(ORIGIN, 0, bytes(32))) is Reason.ROOT_MISMATCH


def test_a_bundle_of_another_width_is_refused(big: dict[str, bytes]) -> None:
    """Fewer or more entries than the size says, though each is the log's own."""
    for count in (255, 100):
        short = big | {"tile/entries/001": encode_entries([entry(256 + i) for i in range(count)])}
        assert refusal(TileReader(short.get, checkpoint(SIZE)).read_entry, 256) is Reason.TILE_SHAPE
    for count in (111, 113, 255):
        entries = [entry(273 * 256 + i) for i in range(count)]
        other = big | {"tile/entries/273.p/112": encode_entries(entries)}
        assert refusal(TileReader(other.get, checkpoint(SIZE)).read_entries, 273) is Reason.TILE_SHAPE


def test_the_empty_log_is_readable() -> None:
    """Size 0: no file is read, nothing is inside."""
    reader = TileReader(NOTHING.get, checkpoint(0))
    assert refusal(reader.read_hash, 0, 0) is Reason.INDEX_OUTSIDE
    assert refusal(reader.read_entries, 0) is Reason.INDEX_OUTSIDE
    assert TileAppender.resume(NOTHING.get, checkpoint(0)).append([b"a"]) == TileAppender().append([b"a"])


def test_sunlights_mirror(shared: Path) -> None:
    """A foreign mirror's tiles of 300 entries lead to its cosigned root; its mock bundles are refused."""
    folder = shared / "vectors/sunlight-tree/cmd/skylight/testdata/witness/mirror"
    (key,) = (
        parse_vkey(text) for text in json.loads((folder / "mirror.v0.json").read_text())["verifier_keys"]
    )
    (log,) = (path.parent for path in folder.glob("*/checkpoint"))
    note = parse_note((log / "checkpoint").read_bytes())
    assert verified(note, [key]) == [(key, 1767139200)]
    opened = parse_checkpoint(note.text)
    assert log.name == sha256(opened.origin.encode()).hexdigest()

    def read(path: str) -> bytes | None:
        return (log / path).read_bytes() if (log / path).is_file() else None

    reader = TileReader(read, opened)
    for index in (0, 255, 256, 299):
        path = inclusion_path_at(index, opened.size, reader.read_hash)
        check_inclusion(reader.read_hash(0, index), index, opened.size, path, opened.root)
    tile = (log / "tile/0/000").read_bytes()
    assert reader.read_hash(1, 0) == node(tile[:32], tile[32:64])
    assert refusal(reader.read_entry, 0) is Reason.TILE_SHAPE
    with pytest.raises(VerificationError) as refused:
        TileReader(read, Checkpoint(opened.origin, opened.size, bytes(32)))
    assert refused.value.reason is Reason.ROOT_MISMATCH
