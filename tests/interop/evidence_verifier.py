"""A second verifier of evidence and equivocations, written from docs/ alone, on top of verifier.py.

It imports nothing of `pipeline`, reads the file as a whole and computes roots by the definition of the tree.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.interop import verifier
from tests.interop.verifier import Fields, Key, RefusedError, require

FIRST_LINE = b"cityproof evidence 1\n"
HEAD, KEY, ADMISSION, BLOCK, END = range(5)
SHAPE = "evidence_shape"


# formats.md, 15: the container, the query.


def frames_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the frames of a file whose container is whole, then look at what is behind them."""
    require(data.startswith(FIRST_LINE), SHAPE)
    stream = zlib.decompressobj(-15)
    try:
        content = stream.decompress(data[len(FIRST_LINE) :])
    except zlib.error:
        raise RefusedError(SHAPE) from None
    require(stream.eof, SHAPE)
    at = 0
    while at < len(content):
        require(at + 5 <= len(content), SHAPE)
        size, kind = struct.unpack_from(">IB", content, at)
        require(size <= 2_097_152, "oversize")
        require(at + 5 + size <= len(content), SHAPE)
        yield kind, content[at + 5 : at + 5 + size]
        at += 5 + size
    require(len(stream.unused_data) == 32, SHAPE)
    require(hashlib.sha256(data[:-32]).digest() == stream.unused_data, "evidence_damaged")


@dataclass
class Query:
    """What is asked for: names by their key in the map, and the span."""

    names: dict[int, list[str]]
    first_us: int | None
    end_us: int | None


def parse_query(fields: Any) -> Query:
    """Return a query that is written in the one way."""
    reason = "evidence_query"
    require(isinstance(fields, dict) and set(fields) <= {1, 2, 3, 4, 5, 6}, reason)
    names: dict[int, list[str]] = {}
    valid = {1: verifier.is_device, 2: verifier.is_label, 3: verifier.is_label}
    for key in {1, 2, 3, 4} & set(fields):
        names[key] = fields[key]
        require(isinstance(fields[key], list) and fields[key], reason)
        require(all(isinstance(name, str) for name in fields[key]), reason)
        require(fields[key] == sorted(set(fields[key])), reason)
        known = valid.get(key, lambda name: name in verifier.QUANTITIES)
        require(all(map(known, fields[key])), reason)
    times: list[Any] = [fields.get(5), fields.get(6)]
    for key, time_us in zip((5, 6), times, strict=True):
        require(key not in fields or (verifier.is_int(time_us) and 0 <= time_us <= 2**33 * 10**6), reason)
    if 5 in fields and 6 in fields:
        require(fields[5] < fields[6], reason)
    return Query(names, times[0], times[1])


# formats.md, 15: gaps. RFC 9162, 2.1: the root.


def gap_spans(start: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield [first, behind the last] of the nodes of a gap."""
    while start < end:
        span = 1
        while start % (2 * span) == 0 and start + span < end and (end == size or start + 2 * span <= end):
            span *= 2
        yield start, min(start + span, size)
        start += span


@dataclass
class Tree:
    """The nodes of a tree that are given, by the leaves they cover."""

    size: int
    at: int = 0
    nodes: dict[tuple[int, int], bytes] = field(default_factory=dict[tuple[int, int], bytes])

    def skip(self, end: int, hashes: list[bytes]) -> None:
        """Take the gap up to a leaf from the front of the hashes."""
        for place in gap_spans(self.at, end, self.size):
            require(hashes, "path_short")
            self.nodes[place] = hashes.pop(0)
        self.at = end

    def leaf(self, index: int, leaf_hash: bytes, hashes: list[bytes]) -> None:
        """Take a gap and a leaf."""
        require(self.at <= index < self.size, "index_outside")
        self.skip(index, hashes)
        self.nodes[index, index + 1] = leaf_hash
        self.at = index + 1

    def root(self, hashes: list[bytes]) -> bytes:
        """Take the last gap; return the root."""
        self.skip(self.size, hashes)
        require(not hashes, "path_long")
        return self._node(0, self.size)

    def _node(self, start: int, end: int) -> bytes:
        given = self.nodes.get((start, end))
        if given is not None:
            return given
        half = 1
        while 2 * half < end - start:
            half *= 2
        left, right = self._node(start, start + half), self._node(start + half, end)
        return hashlib.sha256(b"\1" + left + right).digest()


# verification.md, Completeness.


@dataclass
class Signer:
    """All statements of a signer: (epoch, sequence) -> previous, leaf hash, first and last time."""

    held: dict[tuple[int, int], tuple[bytes, bytes, int, int]] = field(
        default_factory=dict[tuple[int, int], tuple[bytes, bytes, int, int]]
    )
    order: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    twice: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def shown(self, issuer: str, query: Query) -> dict[str, Any]:
        """Return what is shown about the span."""
        places = sorted(self.held)
        if not places:
            return {"issuer": issuer}
        first, last = self.held[places[0]], self.held[places[-1]]
        begins = places[0][1] == 0 and first[0] == bytes(32)
        bracketed = query.first_us is not None and first[3] < query.first_us
        closed = query.end_us is not None and last[2] >= query.end_us
        gaps: list[list[Any]] = []
        breaks: list[list[int]] = []
        for epoch, sequence in places[1:]:
            before = [s for e, s in places if e == epoch and s < sequence]
            if before and before[-1] + 1 == sequence:
                if self.held[epoch, sequence][0] != self.held[epoch, sequence - 1][1]:
                    breaks.append([epoch, sequence])
            elif before or sequence:
                start = before[-1] + 1 if before else 0
                gaps.append([epoch, start, sequence - 1, self.held[epoch, sequence][0].hex()])
        return {
            "issuer": issuer,
            "opening": "bracketed" if bracketed else "begins" if begins else "open",
            "closing": "bracketed" if closed else "open",
            "first": list(places[0]),
            "last": list(places[-1]),
            "gaps": gaps,
            "breaks": breaks,
            "equivocations": [list(place) for place in self.twice],
            "epochs": list(self._epochs(places)),
        }

    def _epochs(self, places: list[tuple[int, int]]) -> Iterator[list[Any]]:
        numbers = sorted({epoch for epoch, _ in places})
        for former, epoch in pairwise(numbers):
            start = min(sequence for e, sequence in places if e == epoch)
            named = self.held[epoch, start][0]
            recent = [self.held[place][1] for place in self.order if place[0] == former][-32:]
            link = "missing" if start else "reset" if named == bytes(32) else "elsewhere"
            link = "linked" if not start and named in recent else link
            ends = max(held[3] for (e, _), held in self.held.items() if e == former)
            begins = min(held[2] for (e, _), held in self.held.items() if e == epoch)
            yield [epoch, link, ends > begins]


# verification.md, Evidence.


class Evidence:
    """The verification of one file; `signers` has what it shows."""

    def __init__(self, data: bytes, policy: verifier.Policy, authorities: verifier.Authorities) -> None:
        self.policy, self.authorities = policy, authorities
        self.keys: dict[tuple[bytes, str, bytes], Key] = {}
        self.admissions: dict[tuple[bytes, bytes], tuple[str, verifier.Authority]] = {}
        self.found: dict[str, Signer] = {}
        frames = frames_of(data)
        kind, content = next(frames, (END, b""))
        require(kind == HEAD, SHAPE)
        self._head(content)
        ended = False
        for kind, content in frames:
            require(not ended and kind in (KEY, ADMISSION, BLOCK, END), SHAPE)
            {KEY: self._key, ADMISSION: self._admission, BLOCK: self._block, END: self._end}[kind](content)
            ended = kind == END
        require(ended, SHAPE)
        self.signers = [self.found[issuer].shown(issuer, self.query) for issuer in sorted(self.found)]

    def _head(self, content: bytes) -> None:
        fields = verifier.decode(content, 262_144)
        require(isinstance(fields, dict) and set(fields) == {0, 1, 2, 3}, SHAPE)
        require(fields[0] == "application/vnd.cityproof.evidence", SHAPE)
        require(isinstance(fields[2], bytes) and isinstance(fields[3], bytes), SHAPE)
        self.query = parse_query(fields[1])
        self.checkpoint = verifier.open_checkpoint(fields[2], self.policy)
        genesis = verifier.parse_genesis(fields[3])
        require(genesis[1] == self.checkpoint.origin, "checkpoint_origin")
        require(genesis[4] == self.authorities.file_hash, "genesis_shape")
        self.shards = genesis[2]
        self.log = Tree(self.checkpoint.size)
        self.log.leaf(0, verifier.hash_leaf(fields[3]), [])

    def _key(self, content: bytes) -> None:
        fields = verifier.decode(content, 131_072)
        require(isinstance(fields, dict) and set(fields) - {10, 11} == {1, 7, 8}, SHAPE)
        require(isinstance(fields[1], bytes) and isinstance(fields[7], bytes), SHAPE)
        rotations, (end, revocation), _ = verifier.of_the_key(fields)
        path = verifier.parse_path(fields[8])
        key, _, _ = verifier.follow_key(fields[7], rotations, self.authorities)
        names = self.query.names
        for restriction, name in ((1, key.enrolment[1]), (3, key.enrolment[8])):
            require(restriction not in names or name in names[restriction], "evidence_query")
        key.end, key.revocation = end, revocation
        verifier.recorded(key.record(), path, fields[1])
        self.keys[fields[1], *key.place] = key

    def _admission(self, content: bytes) -> None:
        fields = verifier.decode(content, 131_072)
        require(isinstance(fields, dict) and set(fields) == {1, 2, 12}, SHAPE)
        require(isinstance(fields[1], bytes) and isinstance(fields[2], bytes), SHAPE)
        require(isinstance(fields[12], list) and len(fields[12]) == 2, SHAPE)
        raw, path = fields[12]
        require(isinstance(raw, bytes), SHAPE)
        path = verifier.parse_path(path)
        stated = verifier.check_stated(raw, self.authorities)
        require(stated.what == "admission", "statement_content_type")
        require(fields[2] in stated.fields[2], "proof_registry")
        issuer = stated.fields[1]
        verifier.recorded(verifier.admission_record(issuer, fields[2], stated.leaf_hash), path, fields[1])
        self.admissions[fields[1], fields[2]] = issuer, stated.authority

    def _block(self, content: bytes) -> None:
        entry, signature, manifest_raw, leaves, hashes = parse_block(content)
        manifest = verifier.parse_manifest(manifest_raw)
        size = manifest[7] + 1
        require(size <= 2_048, "block_shape")
        for time_s in self.checkpoint.times_s.values():
            latest_ms = (time_s + self.authorities.bounds["cosign_delay_s"]) * 1000
            require(manifest[6][1] <= latest_ms, "arrival_late")
        require(self.log.at <= entry < self.log.size, "index_outside")
        self.log.skip(entry, hashes)
        block = Tree(size)
        block.leaf(0, verifier.hash_leaf(manifest_raw), hashes)
        for leaf, raw in leaves:
            block.leaf(leaf, verifier.hash_leaf(raw), hashes)
            self._statement(raw, manifest, evidence=leaf in manifest.get(12, []))
        root = block.root(hashes)
        self.log.leaf(entry, verifier.hash_leaf(self._entry(manifest_raw, manifest, root, signature)), [])

    def _entry(self, manifest_raw: bytes, manifest: Fields, root: bytes, signature: bytes) -> bytes:
        """Return the signed block, the one encoding of what it says."""
        text, string = verifier.text_item, verifier.string_item
        kid = verifier.key_id(self.checkpoint.log.public_key)
        subject = f"shard/{manifest[1]}/{manifest[2]}"
        claims = b"\xa2\1" + text(self.checkpoint.origin) + b"\2" + text(subject)
        block = b"\x84" + verifier.head(0, manifest[1]) + verifier.head(0, manifest[2])
        block += string(verifier.hash_leaf(manifest_raw)) + verifier.head(0, manifest[7] + 1)
        header = b"\xa5\1\x32\4" + string(kid) + b"\x0f" + claims
        header += verifier.head(0, 395) + b"\1" + verifier.head(1, 70_001) + block
        return b"\xd2\x84" + string(header) + b"\xa0" + string(root) + string(signature)

    def _statement(self, raw: bytes, manifest: Fields, *, evidence: bool) -> None:
        statement = verifier.parse_statement(raw)
        require(statement.content_type == 112, "statement_content_type")
        root = manifest[11][1]
        key = self.keys.get((root, statement.issuer, statement.kid))
        require(key, "key_unknown")
        assert key is not None
        require(key.valid_from * 1000 <= manifest[6][1], "key_not_yet_valid")
        epoch, sequence, previous = statement.chain
        over = key.over(epoch, sequence)
        if over:
            admitted = self.admissions.get((root, verifier.hash_leaf(raw)))
            require(admitted, over)
            assert admitted is not None
            require(admitted[0] == statement.issuer, "proof_registry")
            verifier.check_scope(admitted[1], key.enrolment[6], key.enrolment[8])
        verifier.verify_statement(statement, key.public_key)
        require(verifier.shard_of(statement.issuer, self.shards) == manifest[1], "shard_wrong")
        times = [
            record.time_us for record in verifier.resolve_pack(statement.sign1.payload, statement.issuer)
        ]
        signer = self.found.setdefault(statement.issuer, Signer())
        if evidence or (epoch, sequence) in signer.held:
            signer.twice.append((epoch, sequence))
        else:
            signer.held[epoch, sequence] = previous, verifier.hash_leaf(raw), min(times), max(times)
            signer.order.append((epoch, sequence))

    def _end(self, content: bytes) -> None:
        require(len(content) % 32 == 0, SHAPE)
        hashes = [content[at : at + 32] for at in range(0, len(content), 32)]
        require(self.log.root(hashes) == self.checkpoint.root, "root_mismatch")


def parse_block(content: bytes) -> tuple[int, bytes, bytes, list[tuple[int, bytes]], list[bytes]]:
    """Return entry, signature, manifest, statements with their leaves, hashes."""
    require(len(content) >= 74, SHAPE)
    entry, signature, size = struct.unpack_from(">Q64sH", content)
    manifest, rest = content[74 : 74 + size], content[74 + size :]
    require(len(rest) >= 2, SHAPE)
    (count,) = struct.unpack_from(">H", rest)
    rest = rest[2:]
    require(0 < count < 2_048, SHAPE)
    leaves: list[tuple[int, bytes]] = []
    for _ in range(count):
        require(len(rest) >= 4, SHAPE)
        leaf, size = struct.unpack_from(">HH", rest)
        require(len(rest) >= 4 + size, SHAPE)
        leaves.append((leaf, rest[4 : 4 + size]))
        rest = rest[4 + size :]
    require(len(rest) % 32 == 0, SHAPE)
    return entry, signature, manifest, leaves, [rest[at : at + 32] for at in range(0, len(rest), 32)]


# verification.md, An equivocation.


def verify_equivocation(data: bytes, policy: verifier.Policy, authorities: verifier.Authorities) -> None:
    """Verify that two statements contradict one another."""
    shape = "equivocation_shape"
    fields = verifier.decode(data, 262_144)
    require(isinstance(fields, dict) and set(fields) - {3, 4, 7, 9, 10} == {0, 1, 2}, shape)
    require(fields[0] == "application/vnd.cityproof.equivocation+cbor", shape)
    require(all(isinstance(fields[key], bytes) for key in {1, 2, 7, 9} & set(fields)), shape)
    require((9 in fields) == (3 in fields or 4 in fields), shape)
    require(7 in fields or 10 not in fields, shape)
    rotations, _, _ = verifier.of_the_key({key: fields[key] for key in {10} & set(fields)})
    pair = [verifier.parse_statement(fields[key]) for key in (1, 2)]
    identities = [(s.issuer, s.kid, s.chain[0], s.chain[1]) for s in pair]
    require(identities[0] == identities[1] and pair[0].raw != pair[1].raw, "equivocation_none")
    require(verifier.hash_leaf(pair[0].raw) < verifier.hash_leaf(pair[1].raw), shape)
    place = pair[0].issuer, pair[0].kid
    if 7 in fields:
        key, _, _ = verifier.follow_key(fields[7], rotations, authorities)
        require(key.place == place, "proof_registry")
        public_key = key.public_key
    else:
        authority = authorities.by_key.get(place)
        require(authority, "authority_unknown")
        assert authority is not None
        public_key = authority.public_key
    for statement in pair:
        verifier.verify_statement(statement, public_key)
    if 9 in fields:
        checkpoint = verifier.open_checkpoint(fields[9], policy)
        for key_of in {3, 4} & set(fields):
            _check_place(fields[key_of], fields[key_of - 2], checkpoint)


def _check_place(item: Any, raw: bytes, checkpoint: verifier.Checkpoint) -> None:
    require(isinstance(item, list) and len(item) == 4, "equivocation_shape")
    require(isinstance(item[1], bytes) and isinstance(item[2], bytes), "equivocation_shape")
    in_block, in_log = verifier.parse_path(item[0]), verifier.parse_path(item[3])
    require(in_log[1] == checkpoint.size, "size_order")
    verifier.included(item[2], in_log, checkpoint.root)
    block, manifest = verifier.check_manifest(item[1], item[2], checkpoint)
    require(in_block[1] == manifest[7] + 1, "block_counts")
    verifier.included(raw, in_block, block.root)
