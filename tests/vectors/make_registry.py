"""Makes registry.json: the life of some keys, statement by statement, and point proofs of what they signed.

Run as `python tests/vectors/make_registry.py`; the same bytes come out every time. Byte strings are
hexadecimal. What is expected of each statement and proof is written here; tests hold our code, and a verifier
that shares none with it, to it.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from pipeline.identity.authorities import Authority, format_authorities
from pipeline.identity.registry import Registry
from pipeline.log.block import seal, sign_block
from pipeline.log.checkpoint import Checkpoint, add_signatures, cosign, sign_checkpoint
from pipeline.log.genesis import sign_genesis
from pipeline.log.manifest import Manifest, encode_manifest
from pipeline.log.merkle import BlockTree, hash_leaf, hash_leaves
from pipeline.log.note import TYPE_COSIGNATURE, NoteSigner, encode_vkey
from pipeline.verify.point import PointProof, encode_proof
from pipeline.verify.signer import KeyStatus
from pipeline.verify.signer import Path as TreePath
from pipeline.wire.admission import Admission, encode_admission
from pipeline.wire.enrolment import Enrolment, encode_enrolment
from pipeline.wire.keys import SeedSigner, key_id
from pipeline.wire.possession import sign_possession
from pipeline.wire.reasons import Reason
from pipeline.wire.revocation import Revocation, encode_revocation
from pipeline.wire.rotation import encode_rotation, make_rotation
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.statement import (
    CONTENT_ADMISSION,
    CONTENT_ENROLMENT,
    CONTENT_FINDING,
    CONTENT_REVOCATION,
    CONTENT_ROTATION,
    CONTENT_SENML,
    parse_statement,
    sign_statement,
)

FILE = Path(__file__).with_name("registry.json")
ORIGIN = "city.example/log"
CITY, AIR = "https://city.example/ecology", "https://air.example/"
DEVICE, AUDITOR = "urn:dev:ops:32473-air-7", "https://audit.example/"
TIME_S = 1_767_225_600

SEEDS = {
    name: sha256(name.encode()).digest()
    for name in ("log", "witness", "city", "air", "device", "device 2", "device 3", "auditor")
}
KEYS = {name: SeedSigner(seed) for name, seed in SEEDS.items()}
LOG_NOTE, WITNESS_NOTE = NoteSigner(ORIGIN, KEYS["log"]), NoteSigner("witness.example", KEYS["witness"])
AUTHORITIES = format_authorities(
    [
        Authority(CITY, KEYS["city"].public_key, frozenset("*"), frozenset("*")),
        Authority(AIR, KEYS["air"].public_key, frozenset({"air"}), frozenset({"north"})),
    ],
    {"registry_lag_s": 60, "cosign_delay_s": 60, "checkpoint_age_s": 86_400},
)
WITNESS_VKEY = encode_vkey(WITNESS_NOTE.key(TYPE_COSIGNATURE))
POLICY = f"log {encode_vkey(LOG_NOTE.key())}\nwitness w {WITNESS_VKEY}\nquorum w\n"

Json = dict[str, Any]


class Author:
    """Signs one authority's statements, sequence after sequence."""

    def __init__(self, name: str, key: str) -> None:
        self.name, self.key, self.sequence = name, KEYS[key], 0

    def state(self, subject: str, content_type: str, payload: bytes) -> bytes:
        """Return its next statement."""
        raw = sign_statement(
            self.key,
            issuer=self.name,
            subject=subject,
            content_type=content_type,
            epoch=0,
            sequence=self.sequence,
            previous=bytes(32),
            payload=payload,
        )
        self.sequence += 1
        return raw

    def enrol(self, issuer: str = DEVICE, key: str = "device", **changes: Any) -> bytes:
        """Enrol a sensor, unless the changes say otherwise."""
        fields: Json = {
            "issuer": issuer,
            "public_key": KEYS[key].public_key,
            "department": "ecology",
            "controller": "city.example",
            "data_class": "public",
            "kind": "air",
            "subject": "station-7",
            "area": "north",
            "longitude": 121.5,
            "latitude": 31.25,
            "height_m": 3.0,
            "accuracy": {"pm2_5": 1.5},
            "calibrated_until_s": TIME_S + 86_400,
            "valid_from_s": TIME_S,
            "possession": sign_possession(KEYS[key], self.name, issuer),
        }
        return self.state(issuer, CONTENT_ENROLMENT, encode_enrolment(Enrolment(**fields | changes)))

    def rotate(self, old: str, new: str, starts: tuple[int, int], asked: str | None = None) -> bytes:
        """Rotate the device's key."""
        rotation = make_rotation(
            KEYS[old],
            KEYS[new],
            authority=asked or self.name,
            issuer=DEVICE,
            starts=starts,
            valid_from_s=TIME_S,
        )
        return self.state(DEVICE, CONTENT_ROTATION, encode_rotation(rotation))

    def revoke(self, key: str, issuer: str = DEVICE) -> bytes:
        """Revoke a key."""
        revocation = Revocation(issuer, key_id(KEYS[key].public_key), "stolen")
        return self.state(issuer, CONTENT_REVOCATION, encode_revocation(revocation))

    def admit(self, *raws: bytes, issuer: str = DEVICE) -> bytes:
        """Admit statements."""
        admission = Admission(issuer, sorted(map(hash_leaf, raws)), "known from receipts")
        return self.state(issuer, CONTENT_ADMISSION, encode_admission(admission))


def reading(sequence: int, key: str = "device") -> bytes:
    """A reading of the device."""
    return sign_statement(
        KEYS[key],
        issuer=DEVICE,
        subject="station-7",
        content_type=CONTENT_SENML,
        epoch=0,
        sequence=sequence,
        previous=bytes(32),
        payload=encode_pack(DEVICE, [Record("pm2_5", "ug/m3", 12.5 + sequence, TIME_S + 10.0 * sequence)]),
    )


def finding(issuer: str, key: str) -> bytes:
    """A statement of a finding's content type."""
    return sign_statement(
        KEYS[key],
        issuer=issuer,
        subject="point store",
        content_type=CONTENT_FINDING,
        epoch=0,
        sequence=0,
        previous=bytes(32),
        payload=b"\xa0",
    )


def life() -> list[tuple[str, bytes, Reason | None]]:
    """What authorities state, one after the other, and why each is refused, if it is."""
    city, air = Author(CITY, "city"), Author(AIR, "air")
    nowhere: Json = dict.fromkeys(("longitude", "latitude", "height_m", "accuracy", "calibrated_until_s"))
    nobody = Author("https://x.example/", "air")
    return [
        ("an enrolment by nobody", nobody.enrol(), Reason.AUTHORITY_UNKNOWN),
        ("of an area of others", air.enrol(area="south"), Reason.AUTHORITY_SCOPE),
        ("without possession", city.enrol(possession=bytes(64)), Reason.POSSESSION_INVALID),
        (
            "possession meant for another authority",
            city.enrol(possession=sign_possession(KEYS["device"], AIR, DEVICE)),
            Reason.POSSESSION_INVALID,
        ),
        (
            "another's key",
            city.enrol(public_key=KEYS["device 2"].public_key),
            Reason.POSSESSION_INVALID,
        ),
        (
            "a rotation of a key that is not enrolled",
            city.rotate("device", "device 2", (0, 5)),
            Reason.KEY_UNKNOWN,
        ),
        ("an enrolment", city.enrol(), None),
        ("the same key again", city.enrol(), Reason.KEY_KNOWN),
        ("its key for somebody else", city.enrol("urn:dev:ops:32473-air-8"), Reason.KEY_KNOWN),
        ("an auditor", city.enrol(AUDITOR, "auditor", kind="auditor", **nowhere), None),
        ("a rotation to before the old key", city.rotate("device", "device 2", (0, 0)), Reason.KEY_SPAN),
        (
            "a rotation that the old key signed for another authority",
            city.rotate("device", "device 2", (0, 5), asked=AIR),
            Reason.ROTATION_SIGNATURE,
        ),
        ("a rotation to a known key", city.rotate("device", "auditor", (0, 5)), Reason.KEY_KNOWN),
        ("a rotation", air.rotate("device", "device 2", (0, 5)), None),
        ("the old key rotated again", city.rotate("device", "device 3", (0, 6)), Reason.KEY_ENDED),
        ("a revocation of an unknown key", city.revoke("device 3"), Reason.KEY_UNKNOWN),
        ("a revocation by an authority of elsewhere", air.revoke("auditor", AUDITOR), Reason.AUTHORITY_SCOPE),
        ("a revocation of the old key", city.revoke("device"), None),
        ("the same once more", city.revoke("device"), Reason.KEY_REVOKED),
        ("the revoked key rotated", city.rotate("device", "device 3", (0, 6)), Reason.KEY_REVOKED),
        ("an admission for nobody", city.admit(b"", issuer="urn:dev:ops:32473-air-9"), Reason.KEY_UNKNOWN),
        ("an admission", city.admit(reading(3), reading(7)), None),
        ("one of them again", city.admit(reading(2), reading(7)), Reason.ADMISSION_KNOWN),
        ("a second rotation", city.rotate("device 2", "device 3", (1, 0)), None),
        ("a revocation of the newest key", city.revoke("device 3"), None),
    ]


def signed() -> list[tuple[str, bytes]]:
    """What the keys sign, to be asked for after each of the authorities' statements."""
    return [
        *((f"device, sequence {n}", reading(n)) for n in (0, 3, 4, 5, 7)),
        *((f"device 2, sequence {n}", reading(n, "device 2")) for n in (4, 5, 9)),
        ("device 3, sequence 9", reading(9, "device 3")),
        ("a finding by the auditor", finding(AUDITOR, "auditor")),
        ("a finding by the device", finding(DEVICE, "device")),
    ]


# Which of `signed` are admitted in each state; the others' reasons follow from the state as the pages say.
R, S, U, C = Reason.KEY_REVOKED, Reason.KEY_SPAN, Reason.KEY_UNKNOWN, Reason.STATEMENT_CONTENT_TYPE
OUTCOMES: Mapping[int, list[Reason | None]] = {
    0: [U] * 11,
    1: [None, None, None, None, None, U, U, U, U, U, C],
    2: [None, None, None, None, None, U, U, U, U, None, C],
    3: [None, None, None, S, S, S, None, None, U, None, C],
    4: [R, R, R, R, R, S, None, None, U, None, R],
    5: [R, None, R, R, None, S, None, None, U, None, R],
    6: [R, None, R, R, None, S, None, None, S, None, R],
    7: [R, None, R, R, None, S, None, None, R, None, R],
}


def proof(registry: Registry, stated: Mapping[bytes, bytes], raw: bytes, rotations: int) -> PointProof:
    """The parts of a reading's proof in a log that holds nothing but its block."""
    statement = parse_statement(raw)
    key = registry.find(statement.issuer, statement.kid)
    assert key is not None
    keys = registry.keys_of(DEVICE)
    admission = registry.admission(DEVICE, hash_leaf(raw))
    manifest = Manifest(
        shard=3,
        height=0,
        previous=bytes(32),
        topic_id=bytes(range(16)),
        offset_first=0,
        offset_last=0,
        arrival_first_ms=TIME_S * 1000,
        arrival_last_ms=(TIME_S + 100) * 1000,
        accepted=1,
        duplicates=0,
        refused={},
        refused_hash=sha256(b"").digest(),
        registry_blocks=registry.blocks,
        registry_root=registry.root,
    )
    sealed = seal(manifest, [raw])
    entries = [
        sign_genesis(KEYS["log"], ORIGIN, 5, sha256(AUTHORITIES.encode()).digest()),
        sign_block(KEYS["log"], ORIGIN, manifest, sealed.root, sealed.manifest_hash),
    ]
    log = BlockTree(hash_leaves(entries))
    checkpoint = Checkpoint(ORIGIN, log.size, log.root)
    return PointProof(
        statement=raw,
        record=0,
        in_block=TreePath(1, 2, sealed.tree.path(1)),
        manifest=encode_manifest(manifest),
        signed_block=entries[1],
        in_log=TreePath(1, 2, log.path(1)),
        enrolment=stated[keys[0].introduced_by],
        in_registry=tree_path(registry.path(key)),
        checkpoint=add_signatures(
            sign_checkpoint(checkpoint, LOG_NOTE), [cosign(checkpoint, WITNESS_NOTE, TIME_S + 101)]
        ),
        rotations=[stated[newer.introduced_by] for newer in keys[1 : rotations + 1]],
        status=KeyStatus(key.ends, key.revocation),
        admission=None
        if admission is None
        else (stated[admission.introduced_by], tree_path(registry.path(admission))),
    )


def tree_path(path: tuple[int, list[bytes]]) -> TreePath:
    """A registry path as proofs hold it."""
    return TreePath(path[0], 1 << len(path[1]), path[1])


def proofs(registry: Registry, stated: Mapping[bytes, bytes]) -> list[Json]:
    """Proofs in the last state, and such that are refused."""
    old, new = proof(registry, stated, reading(7), 0), proof(registry, stated, reading(9, "device 2"), 1)
    newest = proof(registry, stated, reading(9, "device 3"), 2)
    cases: list[tuple[str, PointProof, Reason | None]] = [
        ("admitted in spite of a revocation", old, None),
        ("after a rotation", new, None),
        ("by a revoked key", newest, Reason.KEY_REVOKED),
        ("an admission taken out", replace(old, admission=None), Reason.KEY_REVOKED),
        ("an admission that is not needed", replace(new, admission=old.admission), Reason.PROOF_SHAPE),
        ("before its key's start", proof(registry, stated, reading(4, "device 2"), 1), Reason.KEY_SPAN),
        ("a rotation taken out", replace(new, rotations=[]), Reason.ROOT_MISMATCH),
        (
            "its rotation twice",
            replace(new, rotations=[*new.rotations, *new.rotations]),
            Reason.PROOF_REGISTRY,
        ),
        ("an end taken out", replace(new, status=KeyStatus()), Reason.ROOT_MISMATCH),
        (
            "a revocation taken out",
            replace(newest, status=KeyStatus()),
            Reason.ROOT_MISMATCH,
        ),
        (
            "an enrolment for a rotation",
            replace(new, rotations=[new.enrolment]),
            Reason.STATEMENT_CONTENT_TYPE,
        ),
    ]
    return [{"name": name, "bytes": encode_proof(made), "reason": reason} for name, made, reason in cases]


def vectors() -> Json:
    """Everything."""
    registry, stated, steps = Registry(), dict[bytes, bytes](), []
    for name, raw, reason in life():
        if reason is None:
            registry.load_block([b"", raw], ())
            stated[hash_leaf(raw)] = raw
        steps.append(
            {"name": name, "bytes": raw, "reason": reason, "blocks": registry.blocks, "root": registry.root}
        )
    names = [name for name, _ in signed()]
    return {
        "about": "The life of some keys, and proofs of what they signed. Made by make_registry.py.",
        "seeds": SEEDS,
        "authorities": AUTHORITIES,
        "policy": POLICY,
        "possession": {
            "authority": CITY,
            "issuer": DEVICE,
            "key": "device",
            "signature": sign_possession(KEYS["device"], CITY, DEVICE),
        },
        "stated": steps,
        "signed": [{"name": name, "bytes": raw} for name, raw in signed()],
        "arrival_ms": TIME_S * 1000,
        "outcomes": [
            {"blocks": blocks, "reasons": dict(zip(names, reasons, strict=True))}
            for blocks, reasons in OUTCOMES.items()
        ],
        "proofs": proofs(registry, stated),
    }


def hexed(value: object) -> object:
    """Return a value for JSON: byte strings become hexadecimal."""
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {str(key): hexed(item) for key, item in value.items()}
        case list() | tuple():
            return [hexed(item) for item in value]
    return value


def render() -> str:
    """Return the file's text."""
    return json.dumps(hexed(vectors()), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(f"{FILE.name}: {FILE.write_text(render(), encoding='utf-8')} characters\n")
