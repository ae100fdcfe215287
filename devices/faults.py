"""What goes wrong with devices, on purpose: one small class a fault, seeded, each saying what comes of it.

A fault acts at one of three places: on the records before they are signed (the signature is then true to a
wrong sensor or clock), on the moment a statement is sent, or by bytes sent beside it. Bytes beside it are
never in the outbox: they are someone else's doing, and each says for which reason the aggregator refuses it.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from devices.device import Signed
from pipeline.wire.cbor import STATEMENT_SIZE_MAX
from pipeline.wire.errors import InputError, VerificationError
from pipeline.wire.keys import SIGNATURE_SIZE, Signer, key_id
from pipeline.wire.quantities import QUANTITIES
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import Record, decode_pack, encode_pack
from pipeline.wire.statement import (
    parse_statement,
    record_count,
    sign_statement,
    verify_statement,
)


@dataclass(frozen=True, slots=True)
class Injection:
    """Bytes sent beside a statement. `reason` None: the same bytes again, to be dropped as a duplicate."""

    raw: bytes
    reason: Reason | None
    after_s: float = 0.0

    @property
    def records(self) -> int:
        """How many records both ends count for these bytes."""
        return record_count(self.raw)


def expected_refusal(raw: bytes, issuer: str, public_key: bytes) -> Reason | None:
    """Return why an aggregator that knows this one key refuses the bytes, or None if it accepts them.

    The order of checks is the aggregator's: size and form, key, signature, content.
    """
    try:
        statement = parse_statement(raw)
        if (statement.issuer, statement.kid) != (issuer, key_id(public_key)):
            return Reason.KEY_UNKNOWN
        verify_statement(statement, public_key)
        decode_pack(statement.payload, statement.issuer)
    except VerificationError as error:
        return error.reason
    return None


class Fault:
    """A fault of one device; this one does nothing."""

    name: ClassVar[str]

    def __init__(self, random: Random) -> None:
        self.random = random

    def measure(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return the records as the faulty sensor or clock gives them."""
        return records

    def release_s(self, now_s: float) -> float:
        """Return when a statement signed at `now_s` is sent first (one monotonic clock)."""
        return now_s

    def beside(self, _signed: Signed, _signer: Signer) -> list[Injection]:
        """Return what is sent beside a statement, after it."""
        return []


class Offline(Fault):
    """Without a connection for a third of the time; what was signed meanwhile is sent afterwards."""

    name = "offline"
    cycle_s = 9.0
    gap_s = 3.0

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self._phase_s = random.uniform(0.0, self.cycle_s)

    def release_s(self, now_s: float) -> float:
        """Return the end of the gap where `now_s` lies in one."""
        into_s = (now_s + self._phase_s) % self.cycle_s
        return now_s + max(0.0, self.gap_s - into_s)


class Delay(Fault):
    """Every statement comes one to three seconds late, in order."""

    name = "delay"

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self._last_s = 0.0

    def release_s(self, now_s: float) -> float:
        """Return a later time, never before that of the preceding statement."""
        self._last_s = max(self._last_s, now_s + self.random.uniform(1.0, 3.0))
        return self._last_s


class Reorder(Fault):
    """Half of the statements are overtaken by those after them."""

    name = "reorder"

    def release_s(self, now_s: float) -> float:
        """Return a later time for every other statement or so."""
        return now_s + self.random.choice((0.0, 1.5))


class Duplicate(Fault):
    """Half of the statements are sent twice."""

    name = "duplicate"

    def beside(self, signed: Signed, _signer: Signer) -> list[Injection]:
        """Return the same bytes again."""
        return (
            [Injection(signed.raw, None, self.random.uniform(0.0, 0.5))] if self.random.random() < 0.5 else []
        )


class Replayed(Fault):
    """Someone recorded the device's messages and plays them again."""

    name = "replayed"
    memory = (
        64  # Within the identities an aggregator remembers, so that each is a duplicate and nothing else.
    )

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self._heard: deque[bytes] = deque(maxlen=self.memory)

    def beside(self, signed: Signed, _signer: Signer) -> list[Injection]:
        """Return up to three of the statements heard so far."""
        self._heard.append(signed.raw)
        count = min(3, len(self._heard))
        return [
            Injection(raw, None, self.random.uniform(0.0, 2.0))
            for raw in self.random.sample(self._heard, count)
        ]


class ClockSkew(Fault):
    """The device's clock is wrong by up to a day, and drifts."""

    name = "clock_skew"
    drift = 50e-6

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self._offset_s = float(random.choice((-1, 1)) * random.randint(600, 86_400))
        self._from_s: float | None = None

    def measure(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return the records with the wrong clock's times."""
        if records and self._from_s is None:
            self._from_s = records[0].time_s
        start_s = self._from_s or 0.0
        return [
            record._replace(
                time_s=record.time_s + self._offset_s + round(self.drift * (record.time_s - start_s))
            )
            for record in records
        ]


class StuckValue(Fault):
    """Every quantity repeats the first value it had."""

    name = "stuck_value"

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self._first: dict[str, float] = {}

    def measure(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return the records with the first values."""
        return [
            record._replace(value=self._first.setdefault(record.quantity, record.value)) for record in records
        ]


class ClonedKey(Fault):
    """A second device has the same key: other values under the same epoch and sequence."""

    name = "cloned_key"

    def beside(self, signed: Signed, signer: Signer) -> list[Injection]:
        """Return the clone's statement for about every third one."""
        if self.random.random() >= 1 / 3:
            return []
        original = parse_statement(signed.raw)
        records = decode_pack(original.payload, original.issuer)
        raw = sign_statement(
            signer,
            issuer=original.issuer,
            subject=original.subject,
            content_type=original.content_type,
            epoch=original.epoch,
            sequence=original.sequence,
            previous=original.previous,
            payload=encode_pack(original.issuer, [_other_value(records[0]), *records[1:]]),
        )
        # As many records as the original: whichever of the two arrives first, the count refused is the same.
        return [Injection(raw, Reason.EQUIVOCATION)]


class FlippedBits(Fault):
    """One to three bits of about every third statement arrive flipped, beside the whole one."""

    name = "flipped_bits"

    def beside(self, signed: Signed, signer: Signer) -> list[Injection]:
        """Return the damaged bytes with the reason that the first failing check gives."""
        if self.random.random() >= 1 / 3:
            return []
        # The issuer stays whole: whether another one is in the wrong shard depends on how many the log has.
        name = signed.issuer.encode()
        start = signed.raw.index(name)
        outside = [at for at in range(len(signed.raw)) if not start <= at < start + len(name)]
        damaged = bytearray(signed.raw)
        for at in self.random.sample(outside, self.random.randint(1, 3)):
            damaged[at] ^= 1 << self.random.randrange(8)
        return _refused(bytes(damaged), signed, signer)


class Malformed(Fault):
    """The device also sends what is no statement at all."""

    name = "malformed"

    def beside(self, signed: Signed, signer: Signer) -> list[Injection]:
        """Return one malformed message for about every third statement."""
        if self.random.random() >= 1 / 3:
            return []
        noise = self.random.randbytes(24)
        raw = self.random.choice(
            (
                signed.raw[
                    : -self.random.randrange(1, SIGNATURE_SIZE)
                ],  # Behind the chain: no two are alike.
                signed.raw + noise,
                signed.raw + noise + bytes(STATEMENT_SIZE_MAX),
                b"\xd2\x9f" + noise,
                noise,
                b'{"pm2_5": 12, "serial": "%s"}' % noise.hex().encode(),
            )
        )
        return _refused(raw, signed, signer)


FAULTS: Mapping[str, Callable[[Random], Fault]] = {
    fault.name: fault
    for fault in (
        Offline,
        Duplicate,
        Reorder,
        Delay,
        ClockSkew,
        StuckValue,
        Replayed,
        ClonedKey,
        FlippedBits,
        Malformed,
    )
}


def assign_faults(wanted: str, issuers: Sequence[str], seed: int) -> dict[str, list[Fault]]:
    """Choose which devices get which faults.

    Args:
        wanted: `none`, `all` (each fault one device), or a list `name[:devices],…`.
        issuers: The devices to choose from.
        seed: Decides who gets what; the same seed, the same choice.

    Returns:
        The faults of each faulty device. Devices get a second fault only once every one has a first.

    Raises:
        InputError: A name or number that is none.
    """
    random = Random(f"faults {seed}")
    candidates = random.sample(list(issuers), len(issuers))
    assigned: dict[str, list[Fault]] = {}
    position = 0
    for name, devices in _parse_faults(wanted):
        for _ in range(min(devices, len(candidates))):
            issuer = candidates[position % len(candidates)]
            assigned.setdefault(issuer, []).append(FAULTS[name](Random(f"{name} {issuer} {seed}")))
            position += 1
    return assigned


def _parse_faults(wanted: str) -> list[tuple[str, int]]:
    if wanted == "none":
        return []
    if wanted == "all":
        return [(name, 1) for name in FAULTS]
    parsed = []
    for item in wanted.split(","):
        name, colon, devices = item.strip().partition(":")
        if name not in FAULTS or (colon and not devices.isdecimal()):
            raise InputError(
                "--faults",
                f"not a fault: {item!r}",
                f"Write none, all, or NAME[:DEVICES],… of {', '.join(FAULTS)}.",
            )
        parsed.append((name, int(devices or "1")))
    return parsed


def _other_value(record: Record) -> Record:
    if QUANTITIES[record.quantity].boolean:
        return record._replace(value=1.0 - record.value)
    return record._replace(value=record.value + 1.0)


def _refused(raw: bytes, signed: Signed, signer: Signer) -> list[Injection]:
    reason = expected_refusal(raw, signed.issuer, signer.public_key)
    return [Injection(raw, reason)] if reason else []
