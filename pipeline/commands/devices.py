"""`cityproof device list` and `device show`: whose keys there are, in which state, and by whose word."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.commands.reading import open_log, trust_file
from pipeline.commands.times import format_time
from pipeline.commands.verify import load_authorities, load_policy
from pipeline.identity.records import KeyRecord
from pipeline.identity.registry import Registry
from pipeline.log.checkpoint import open_checkpoint
from pipeline.log.tiles import CHECKPOINT_PATH, TileReader
from pipeline.verify.logged_changes import LoggedChange, read_changes
from pipeline.wire.admission import Admission
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.errors import InputError, MissingError
from pipeline.wire.keys import key_id
from pipeline.wire.revocation import Revocation
from pipeline.wire.rotation import Rotation

LISTED = 0


@dataclass(frozen=True, slots=True)
class Question:
    """Which log is asked, and what is trusted of it."""

    where: str
    policy: Path | None
    authorities: Path | None
    token_file: Path | None


def run_list(question: Question, wanted: str | None, *, as_json: bool) -> int:
    """List the keys, all or those in a state: valid, rotated, revoked. Exit 0: listed; 2: not readable."""
    registry, changes = _read(question)
    rows = _rows(sorted(registry.keys, key=lambda key: key.issuer), changes)
    rows = [row for row in rows if wanted in {None, row["state"]}]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return LISTED
    for row in rows:
        print(f"{row['state']:8} {row['key']}  {row['issuer']} ({row['kind']}, {row['area']}) by {row['by']}")
    print(f"{len(rows)} keys at registry state {registry.blocks}")
    return LISTED


def run_show(question: Question, issuer: str, *, as_json: bool) -> int:
    """Show all that was stated about one issuer, and its keys. Exit 0: shown; 2: unknown or not readable."""
    registry, changes = _read(question)
    keys = registry.keys_of(issuer)
    if not keys:
        raise InputError("ISSUER", f"the log has no key of {issuer}", "See `cityproof device list`.")
    told = [logged for logged in changes if logged.change.issuer == issuer]
    if as_json:
        told_json = {"keys": _rows(keys, told), "statements": [_describe(one) for one in told]}
        print(json.dumps(told_json, ensure_ascii=False, indent=1))
        return LISTED
    print(f"{issuer}: {keys[0].kind}, {keys[0].subject}, {keys[0].area}")
    for key in keys:
        ends = f"before epoch {key.ends[0]}, sequence {key.ends[1]}" if key.ends else "on"
        print(f"  key {key.place[1].hex()}, {_state_of(key)}")
        print(f"      public key {key.public_key.hex()}")
        print(f"      signs from epoch {key.starts[0]}, sequence {key.starts[1]} {ends}")
    for one in told:
        print(f"  {_phrase(one)}")
        at = format_time(one.arrival_ms * 1000)
        print(f"      by {one.authority}, {at}, entry {one.entry}, leaf {one.leaf}")
    return LISTED


def _read(question: Question) -> tuple[Registry, list[LoggedChange]]:
    where = question.where
    policy = load_policy(trust_file(where, question.policy, "policy.txt"))
    authorities = load_authorities(trust_file(where, question.authorities, "authorities.txt"))
    registry = Registry()
    with open_log(where, question.token_file) as read:
        note = read(CHECKPOINT_PATH)
        if note is None:
            raise MissingError(CHECKPOINT_PATH)
        tiles = TileReader(read, open_checkpoint(note, policy).checkpoint)
        return registry, list(read_changes(read, tiles, authorities, registry))


def _state_of(key: KeyRecord) -> str:
    if key.revocation:
        return "revoked"
    return "rotated" if key.ends else "valid"


def _rows(keys: Iterable[KeyRecord], changes: list[LoggedChange]) -> list[dict[str, object]]:
    stated = {one.leaf_hash: one for one in changes}
    ended = {
        (one.change.issuer, one.change.old_kid): one for one in changes if isinstance(one.change, Rotation)
    }
    return [_row(key, stated, ended) for key in keys]


def _row(
    key: KeyRecord, stated: dict[bytes, LoggedChange], ended: dict[tuple[str, bytes], LoggedChange]
) -> dict[str, object]:
    """Return a key's row; `by` is the authority whose word made its state what it is."""
    state = _state_of(key)
    last = stated[key.revocation or key.introduced_by]
    if state == "rotated":
        last = ended[key.place]
    return {
        "issuer": key.issuer,
        "key": key.place[1].hex(),
        "public_key": key.public_key.hex(),
        "state": state,
        "by": last.authority,
        "entry": last.entry,
        "kind": key.kind,
        "subject": key.subject,
        "area": key.area,
        "valid_from_s": key.valid_from_s,
        "starts": list(key.starts),
        "ends": list(key.ends) if key.ends else None,
    }


def _describe(one: LoggedChange) -> dict[str, object]:
    place = {"authority": one.authority, "entry": one.entry, "leaf": one.leaf, "arrival_ms": one.arrival_ms}
    match one.change:
        case Enrolment():
            return {"statement": "enrolment", "key": key_id(one.change.public_key).hex(), **place}
        case Rotation():
            keys = {"old_key": one.change.old_kid.hex(), "key": key_id(one.change.public_key).hex()}
            return {"statement": "rotation", **keys, "starts": list(one.change.starts), **place}
        case Revocation():
            return {"statement": "revocation", "key": one.change.kid.hex(), "why": one.change.why, **place}
        case Admission():
            hashes = [leaf_hash.hex() for leaf_hash in one.change.leaf_hashes]
            return {"statement": "admission", "leaf_hashes": hashes, "why": one.change.why, **place}


def _phrase(one: LoggedChange) -> str:
    match one.change:
        case Enrolment():
            return f"enrolled with key {key_id(one.change.public_key).hex()}"
        case Rotation():
            new = key_id(one.change.public_key).hex()
            place = "epoch {}, sequence {}".format(*one.change.starts)
            return f"key {one.change.old_kid.hex()} rotated to {new}, which signs from {place} on"
        case Revocation():
            return f"key {one.change.kid.hex()} revoked: {one.change.why}"
        case Admission():
            return f"statements admitted: {len(one.change.leaf_hashes)}, {one.change.why}"
