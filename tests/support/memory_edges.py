"""The smaller ports in memory: MQTT's sending half, the receipt index, the point store."""

import asyncio
from collections.abc import Callable, Sequence

from pipeline.ports import LeafPlace, Point
from pipeline.wire.errors import UnavailableError


class MemoryPublisher:
    """`ports.Publisher`. `sent` is what the broker has; `fails` says which messages it never acknowledges."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.fails: Callable[[str], bool] = lambda _topic: False

    async def publish(self, topic: str, payload: bytes) -> None:
        await asyncio.sleep(0)
        if self.fails(topic):
            raise UnavailableError("mqtt", "publish")
        self.sent.append((topic, payload))

    def to(self, topic: str) -> list[bytes]:
        """The payloads sent to a topic."""
        return [payload for name, payload in self.sent if name == topic]


class MemoryIndex:
    """`ports.ReceiptIndex`."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int, int], list[LeafPlace]] = {}

    async def put(self, rows: Sequence[LeafPlace]) -> None:
        await asyncio.sleep(0)
        for row in rows:
            known = self.rows.setdefault((row.issuer, row.epoch, row.sequence), [])
            if row not in known:
                known.append(row)

    async def find(self, issuer: str, epoch: int, sequence: int) -> Sequence[LeafPlace]:
        await asyncio.sleep(0)
        return self.rows.get((issuer, epoch, sequence), [])


class MemoryPoints:
    """`ports.PointStore`. At one place the point with the larger ref stays."""

    def __init__(self) -> None:
        self.points: dict[tuple[str, str, str, int], Point] = {}
        self.fails = False

    async def write(self, points: Sequence[Point]) -> int:
        await asyncio.sleep(0)
        if self.fails:
            raise UnavailableError("points", "write")
        for point in points:
            place = point.device, point.subject, point.quantity, point.time_us
            if place not in self.points or self.points[place].ref <= point.ref:
                self.points[place] = point
        await asyncio.sleep(0)
        return 0
