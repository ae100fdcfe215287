"""A registry as bytes: whoever has them need not read every block that shard 0 ever had.

Records say since which state they hold, so one snapshot serves its own state and every earlier one. Nobody
has signed it; the roots that follow from it are compared with those that blocks name.
"""

from typing import cast

from pipeline.identity.records import AdmissionRecord, KeyRecord
from pipeline.identity.registry import Registry
from pipeline.log.fields import are_uints, is_hash, is_uint
from pipeline.wire.cbor import decode, encode
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import PUBLIC_KEY_SIZE
from pipeline.wire.reasons import Reason
from pipeline.wire.rotation import SequencePlace


def encode_registry(registry: Registry) -> bytes:
    """Return [blocks, keys, admissions] as CBOR, records in the order in which they came."""
    keys = [
        [
            *(key.issuer, key.public_key, key.introduced_by, key.valid_from_s, list(key.starts)),
            *(list(key.ends or ()), key.revocation, key.kind, key.subject, key.area),
            *(key.since, key.ended_since, key.revoked_since),
        ]
        for key in registry.keys
    ]
    admissions = [
        [record.issuer, record.admitted, record.introduced_by, record.since] for record in registry.admissions
    ]
    return encode([registry.blocks, keys, admissions])


def decode_registry(data: bytes) -> Registry:
    """Return the registry of a snapshot; the roots of earlier states are not known to it.

    Raises:
        VerificationError: CBOR_*, SNAPSHOT_SHAPE.
    """
    match decode(data, size_max=len(data)):
        case [blocks, list() as keys, list() as admissions] if is_uint(blocks):
            return Registry.of(blocks, map(_key, keys), map(_admission, admissions))
    raise VerificationError(Reason.SNAPSHOT_SHAPE)


def _key(row: object) -> KeyRecord:
    match row:
        case [
            str() as issuer,
            bytes() as public_key,
            introduced_by,
            int() as valid_from_s,
            starts,
            ends,
            bytes() as revocation,
            str() as kind,
            str() as subject,
            str() as area,
            int() as since,
            int() as ended_since,
            int() as revoked_since,
        ] if (
            len(public_key) == PUBLIC_KEY_SIZE
            and is_hash(introduced_by)
            and are_uints(valid_from_s, since, ended_since, revoked_since)
            and (not revocation or is_hash(revocation))
            and _is_place(starts)
            and (ends == [] or _is_place(ends))
        ):
            return KeyRecord(
                issuer=issuer,
                public_key=public_key,
                introduced_by=introduced_by,
                valid_from_s=valid_from_s,
                starts=_place(starts),
                ends=_place(ends) if ends else None,
                revocation=revocation,
                kind=kind,
                subject=subject,
                area=area,
                since=since,
                ended_since=ended_since,
                revoked_since=revoked_since,
            )
    raise VerificationError(Reason.SNAPSHOT_SHAPE, "a key")


def _admission(row: object) -> AdmissionRecord:
    match row:
        case [str() as issuer, admitted, introduced_by, since] if (
            is_hash(admitted) and is_hash(introduced_by) and is_uint(since)
        ):
            return AdmissionRecord(issuer, admitted, introduced_by, since)
    raise VerificationError(Reason.SNAPSHOT_SHAPE, "an admission")


def _is_place(item: object) -> bool:
    return isinstance(item, list) and len(item) == 2 and are_uints(*item)


def _place(item: object) -> SequencePlace:
    epoch, sequence = cast("list[int]", item)
    return epoch, sequence
