"""The findings that stand in a log: what auditors have stated, by keys that an authority has enrolled."""

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.identity.authorities import Authorities
from pipeline.identity.registry import Registry
from pipeline.log.archive import read_block
from pipeline.log.block import parse_signed_block
from pipeline.log.manifest import decode_manifest
from pipeline.log.tiles import ReadFile, TileReader
from pipeline.wire.finding import Finding, decode_finding
from pipeline.wire.statement import CONTENT_FINDING, parse_statement, verify_statement

REGISTRY_SHARD = 0


class LoggedFinding(NamedTuple):
    """A finding, who signed it, and where it stands in the log; `arrival_ms` is the operator's word."""

    finding: Finding
    auditor: str
    entry: int
    leaf: int
    arrival_ms: int


def read_findings(read: ReadFile, tiles: TileReader, authorities: Authorities) -> Iterator[LoggedFinding]:
    """Yield every finding in a log, in its order; each signature is verified under the key that was enrolled.

    Args:
        read: Path -> the file's bytes, or None where it is missing.
        tiles: The log's tiles under a verified checkpoint.
        authorities: Who may enrol.

    Raises:
        VerificationError: The log itself is wrong: run fsck.
        UnavailableError: A file of the log is missing, or does not answer.
    """
    registry = Registry()
    for entry in range(1, tiles.size):
        block = parse_signed_block(tiles.read_entry(entry))
        leaves, _ = read_block(read, block)
        manifest = decode_manifest(leaves[0])
        if block.shard == REGISTRY_SHARD:
            registry.apply_block(leaves, manifest.equivocations, authorities)
            continue
        for leaf, raw in enumerate(leaves[1:], 1):
            if CONTENT_FINDING.encode() not in raw or leaf in manifest.equivocations:
                continue  # Most statements are readings: this spares parsing them.
            statement = parse_statement(raw)
            if statement.content_type == CONTENT_FINDING:
                record = registry.check_key(statement, manifest.arrival_last_ms, manifest.registry_blocks)
                verify_statement(statement, record.public_key)
                finding = decode_finding(statement.payload)
                yield LoggedFinding(finding, statement.issuer, entry, leaf, manifest.arrival_last_ms)
