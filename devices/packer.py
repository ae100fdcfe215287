"""Which records go into one statement: pure, one packer a device."""

from collections.abc import Iterable

from pipeline.wire.senml import RECORDS_MAX, Record, time_us


class Packer:
    """Gathers a device's records until a pack is full.

    Args:
        records_max: Most records of a pack, at most 256.
        span_s: A record this much later than a pack's first one begins the next pack.
        first_span_s: The span of the very first pack; different ones keep devices from signing all at once.
    """

    def __init__(
        self, records_max: int, span_s: float = float("inf"), first_span_s: float | None = None
    ) -> None:
        assert 0 < records_max <= RECORDS_MAX, "a pack has 1 to 256 records"
        self._records_max = records_max
        self._span_s = span_s
        self._span_now_s = span_s if first_span_s is None else first_span_s
        self._records: list[Record] = []
        self._places: set[tuple[str, int]] = set()

    def add(self, records: Iterable[Record]) -> list[list[Record]]:
        """Take records, and return the packs that are complete.

        One quantity stands once at one time in a pack: a second record there begins the next pack.
        """
        packs: list[list[Record]] = []
        for record in records:
            place = (record.quantity, time_us(record))
            if self._records and (
                len(self._records) == self._records_max
                or abs(record.time_s - self._records[0].time_s) >= self._span_now_s
                or place in self._places
            ):
                packs += self.flush()
            self._records.append(record)
            self._places.add(place)
        return packs

    def flush(self) -> list[list[Record]]:
        """Return what was gathered as a last pack, if there is anything."""
        packs = [self._records] if self._records else []
        if packs:
            self._span_now_s = self._span_s
        self._records, self._places = [], set()
        return packs
