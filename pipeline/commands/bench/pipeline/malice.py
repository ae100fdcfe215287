"""Hostile messages, by class: each is made from a good statement, and goes out under that device's topic.

A class says for which reasons its messages are refused; none: they are dropped as duplicates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from random import Random

from pipeline.commands.bench.pipeline.load import (
    EPOCH,
    SUBJECT,
    Chain,
    Outgoing,
    issuer_of,
    records_of,
)
from pipeline.folder import SHARDS
from pipeline.wire.cbor import STATEMENT_SIZE_MAX
from pipeline.wire.keys import SeedSigner
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import encode_pack
from pipeline.wire.statement import CONTENT_SENML, Statement, parse_statement, shard_of, sign_statement
from pipeline.wire.topics import statements_topic

DEVICES = 200  # Whose statements these are made from.
STRANGER = SeedSigner(sha256(b"a stranger").digest())
REPLAY = "replay"
FLOODING = "urn:dev:ops:32473-flood"
CBOR = frozenset(reason for reason in Reason if reason.value.startswith("cbor_"))
FORM = CBOR | {Reason.COSE_SHAPE, Reason.COSE_HEADER}

Make = Callable[[Outgoing, int, Random], Outgoing]


@dataclass(frozen=True, slots=True)
class Malice:
    """One class of bad input."""

    make: Make
    reasons: frozenset[Reason]


def _in_place(change: Callable[[bytes, int, Random], bytes]) -> Make:
    """Change the bytes, under the same topic."""
    return lambda good, number, random: good._replace(payload=change(good.payload, number, random))


def _flip_signature(raw: bytes, _number: int, random: Random) -> bytes:
    at = len(raw) - 1 - random.randrange(64)
    return raw[:at] + bytes((raw[at] ^ 1 << random.randrange(8),)) + raw[at + 1 :]


def _oversize(_raw: bytes, number: int, _random: Random) -> bytes:
    return number.to_bytes(8) + bytes(STATEMENT_SIZE_MAX)


def _unprotected(raw: bytes, number: int, _random: Random) -> bytes:
    """Put something into the unprotected map, which nobody has signed."""
    protected = parse_statement(raw).protected
    at = raw.index(protected) + len(protected)
    return raw[:at] + b"\xa1\x18\x63\x1b" + (1 << 60 | number).to_bytes(8) + raw[at + 1 :]


def _signed(statement: Statement, signer: SeedSigner, issuer: str, payload: bytes, number: int) -> bytes:
    return sign_statement(
        signer,
        issuer=issuer,
        subject=SUBJECT,
        content_type=CONTENT_SENML,
        epoch=EPOCH,
        sequence=number,
        previous=statement.previous,
        payload=payload,
    )


def _stolen_name(raw: bytes, number: int, _random: Random) -> bytes:
    statement = parse_statement(raw)
    return _signed(statement, STRANGER, statement.issuer, statement.payload, number)


def _bad_content(raw: bytes, number: int, _random: Random) -> bytes:
    """A device signs what is no quantity."""
    statement = parse_statement(raw)
    device = int(statement.issuer.rpartition("-")[2])
    payload = encode_pack(statement.issuer, records_of(device, number)).replace(b"no2", b"no9")
    return _signed(statement, Chain(device).signer, statement.issuer, payload, number)


def _nobody(good: Outgoing, number: int, _random: Random) -> Outgoing:
    """Someone signs in a name that nobody has enrolled."""
    issuer = f"urn:dev:ops:32473-nobody-{number % 1000}"
    payload = encode_pack(issuer, records_of(0, number))
    raw = _signed(parse_statement(good.payload), STRANGER, issuer, payload, number)
    return Outgoing(statements_topic(issuer), raw)


def _others_topic(good: Outgoing, number: int, _random: Random) -> Outgoing:
    """A good statement under the topic of a device of another shard."""
    own = shard_of(parse_statement(good.payload).issuer, SHARDS)
    others = (issuer_of((number + step) % DEVICES) for step in range(DEVICES))
    return good._replace(topic=statements_topic(next(n for n in others if shard_of(n, SHARDS) != own)))


def _flood(good: Outgoing, number: int, random: Random) -> Outgoing:
    return Outgoing(statements_topic(FLOODING), number.to_bytes(8) + random.randbytes(len(good.payload)))


CLASSES: Mapping[str, Malice] = {
    "random bytes": Malice(
        _in_place(lambda raw, number, random: b"\xff" + number.to_bytes(8) + random.randbytes(len(raw) - 9)),
        FORM,
    ),
    "cut off": Malice(_in_place(lambda raw, _n, random: raw[: -1 - random.randrange(60)]), FORM),
    "bytes behind": Malice(
        _in_place(lambda raw, number, _r: raw + number.to_bytes(8)), frozenset({Reason.CBOR_TRAILING})
    ),
    "too large": Malice(_in_place(_oversize), frozenset({Reason.OVERSIZE})),
    "too deep": Malice(
        _in_place(lambda raw, number, _r: b"\x82" * 400 + number.to_bytes(8) + raw),
        frozenset({Reason.CBOR_DEPTH}),
    ),
    "unsigned header": Malice(_in_place(_unprotected), frozenset({Reason.COSE_UNPROTECTED})),
    "false signature": Malice(_in_place(_flip_signature), frozenset({Reason.SIGNATURE_INVALID})),
    "stolen name": Malice(_in_place(_stolen_name), frozenset({Reason.KEY_UNKNOWN})),
    "nobody's name": Malice(_nobody, frozenset({Reason.KEY_UNKNOWN})),
    "another's topic": Malice(_others_topic, frozenset({Reason.SHARD_WRONG})),
    "no quantity": Malice(_in_place(_bad_content), frozenset({Reason.PACK_QUANTITY})),
    REPLAY: Malice(lambda good, _number, _random: good, frozenset()),
    "flood": Malice(_flood, FORM | {Reason.QUOTA_EXCEEDED}),
}
