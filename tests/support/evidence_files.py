"""Evidence files taken apart and put together by other means than ours, and a city to make them from."""

import zlib
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from io import BytesIO

from pipeline.log.policy import Policy
from pipeline.verify.collect import Collector
from pipeline.verify.completeness import Span
from pipeline.verify.evidence import EvidenceCheck, ProvenStatement, VerifiedEvidence
from pipeline.verify.query import Query
from tests.support.city import AUTHORITIES, POLICY, WITNESSES, Device, ForgedLog, device_in, enrol

FIRST_LINE = b"cityproof evidence 1\n"
FIRST_US = 1_800_000_000_000_000
MINUTE_US = 60_000_000

Frame = tuple[int, bytes]


def take_apart(data: bytes) -> list[Frame]:
    """The frames of a file."""
    assert data.startswith(FIRST_LINE)
    assert sha256(data[:-32]).digest() == data[-32:]
    content = zlib.decompress(data[len(FIRST_LINE) : -32], -15)
    frames: list[Frame] = []
    while content:
        size = int.from_bytes(content[:4], "big")
        frames.append((content[4], content[5 : 5 + size]))
        content = content[5 + size :]
    return frames


def put_together(frames: Iterable[Frame]) -> bytes:
    """The file of these frames."""
    return pack(
        b"".join(len(content).to_bytes(4, "big") + bytes([kind]) + content for kind, content in frames)
    )


def pack(content: bytes) -> bytes:
    """The file around this content, lightly deflated."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, -15)
    body = FIRST_LINE + deflate.compress(content) + deflate.flush()
    return body + sha256(body).digest()


def reader(data: bytes) -> Callable[[int], bytes]:
    """What reads a file."""
    return BytesIO(data).read


def judge(data: bytes, policy: Policy = POLICY) -> tuple[list[ProvenStatement], VerifiedEvidence]:
    """Verify under the city's policy and authorities."""
    check = EvidenceCheck(reader(data), policy, AUTHORITIES)
    statements = list(check.statements())
    return statements, check.result()


def collect(log: ForgedLog, query: Query) -> bytes:
    """The evidence for a query."""
    out = BytesIO()
    Collector(log.files.get, POLICY).collect(query, out.write)
    return out.getvalue()


def minutes(first: int, end: int) -> Span:
    """The span from one minute up to another."""
    return Span(FIRST_US + first * MINUTE_US, FIRST_US + end * MINUTE_US)


def of_device(device: Device, first: int, end: int) -> Query:
    """One device's statements of these minutes."""
    return Query(devices=frozenset({device.issuer}), span=minutes(first, end))


class Example:
    """Three devices in each of two shards, a statement a minute each, in blocks of one minute."""

    def __init__(self, rounds: int = 12, *, witnesses: int = 3) -> None:
        self.log = ForgedLog()
        self.devices = [device_in(shard, nth) for shard in (1, 2) for nth in range(3)]
        self.enrolments = [enrol(device, n) for n, device in enumerate(self.devices)]
        self.log.enrol(*self.enrolments)
        self.raws: dict[str, list[bytes]] = {device.issuer: [] for device in self.devices}
        for _ in range(rounds):
            for shard in (1, 2):
                self.log.add(shard, [self.state(device) for device in self.devices if device.shard == shard])
        self.log.publish(witnesses=WITNESSES[:witnesses])

    def state(self, device: Device) -> bytes:
        """The next statement of a device."""
        raw = device.read(records=2)
        self.raws[device.issuer].append(raw)
        return raw


def sequences(statements: Sequence[ProvenStatement], device: Device) -> list[int]:
    """The sequences of a device's statements, as they stand in the file."""
    return [proven.statement.sequence for proven in statements if proven.statement.issuer == device.issuer]
