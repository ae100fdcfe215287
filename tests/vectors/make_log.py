"""Makes log.json: objects of the log with their keys, bytes and expected refusals, for any implementation.

No public vectors exist for tlog-policy, receipts of RFC9162_SHA256 trees, and the project's own formats.
Run as `python tests/vectors/make_log.py`; the same bytes come out every time. Byte strings are hexadecimal.
"""

import json
import sys
from base64 import b64encode
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from pipeline.log.block import seal, sign_block
from pipeline.log.checkpoint import Checkpoint, add_signatures, cosign, encode_checkpoint, sign_checkpoint
from pipeline.log.genesis import sign_genesis
from pipeline.log.manifest import Manifest, encode_manifest
from pipeline.log.merkle import BlockTree, hash_leaf, hash_leaves
from pipeline.log.note import TYPE_COSIGNATURE, NoteSigner, encode_note, encode_vkey
from pipeline.log.receipt import make_receipt
from pipeline.log.tiles import TileAppender
from pipeline.wire import cbor, cose
from pipeline.wire.keys import SeedSigner, key_id
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.statement import CONTENT_SENML, sign_statement

FILE = Path(__file__).with_name("log.json")
ORIGIN = "city.example/log"
DEVICE = "urn:dev:ops:32473-air-7"
LOG_SEED, DEVICE_SEED = sha256(b"log").digest(), sha256(b"device").digest()
LOG, DEVICE_SIGNER = SeedSigner(LOG_SEED), SeedSigner(DEVICE_SEED)
LOG_NOTE = NoteSigner(ORIGIN, LOG)
WITNESSES = {
    f"witness-{letter}.example": SeedSigner(sha256(letter.encode()).digest())
    for letter in ("a", "b", "c", "d")
}
TIME_S = 1_767_225_600

Json = dict[str, Any]


def statements(count: int) -> list[bytes]:
    """Chained readings of one device, ten seconds apart."""
    previous, made = bytes(32), []
    for sequence in range(count):
        records = [Record("pm2_5", "ug/m3", 12.0 + sequence, TIME_S + 10.0 * sequence)]
        raw = sign_statement(
            DEVICE_SIGNER,
            issuer=DEVICE,
            subject="station-7",
            content_type=CONTENT_SENML,
            epoch=0,
            sequence=sequence,
            previous=previous,
            payload=encode_pack(DEVICE, records),
        )
        previous = hash_leaf(raw)
        made.append(raw)
    return made


def manifest(accepted: int) -> Manifest:
    """The manifest of a block of so many statements."""
    return Manifest(
        shard=3,
        height=1,
        previous=sha256(b"previous root").digest(),
        topic_id=bytes(range(16)),
        offset_first=10,
        offset_last=10 + accepted + 2,
        arrival_first_ms=TIME_S * 1000,
        arrival_last_ms=TIME_S * 1000 + 480,
        accepted=accepted,
        duplicates=1,
        refused={Reason.CBOR_TAG.value: 1, Reason.SIGNATURE_INVALID.value: 1},
        refused_hash=sha256(b"refused").digest(),
        registry_blocks=2,
        registry_root=sha256(b"registry root").digest(),
    )


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


def keys() -> Json:
    """Everyone who signs in these vectors. The seeds are for these vectors only."""
    return {
        "log": {
            "origin": ORIGIN,
            "seed": LOG_SEED,
            "public_key": LOG.public_key,
            "key_id": key_id(LOG.public_key),
            "vkey": encode_vkey(LOG_NOTE.key()),
        },
        "device": {"issuer": DEVICE, "seed": DEVICE_SEED, "public_key": DEVICE_SIGNER.public_key},
        "witnesses": [
            {"name": name, "public_key": signer.public_key, "vkey": witness_vkey(name)}
            for name, signer in WITNESSES.items()
        ],
    }


def witness_vkey(name: str) -> str:
    """The verifier key of a witness."""
    return encode_vkey(NoteSigner(name, WITNESSES[name]).key(TYPE_COSIGNATURE))


def manifests() -> list[Json]:
    """Manifests: the shortest there is, the usual one, the one with all its fields."""
    usual = manifest(4)
    first = Manifest(
        0, 0, bytes(32), bytes(16), 0, 0, 0, 0, 1, 0, {}, sha256(b"").digest(), 0, sha256(b"").digest()
    )
    full = replace(usual, equivocations=(2, 4), state_hash=sha256(b"state").digest())
    return [
        {"name": name, "fields": asdict(fields), "bytes": encode_manifest(fields)}
        for name, fields in (("first", first), ("usual", usual), ("full", full))
    ]


def blocks() -> list[Json]:
    """Blocks of 0, 1, 4 and 8 statements: body, signed block, and a receipt for every statement."""
    made = []
    for count in (0, 1, 4, 8):
        leaves = statements(count)
        block_manifest = manifest(count)
        sealed = seal(block_manifest, leaves)
        signed = sign_block(LOG, ORIGIN, block_manifest, sealed.root, sealed.manifest_hash)
        size = sealed.tree.size
        receipts = []
        for index in range(1, size):
            path = sealed.tree.path(index)
            receipts.append(
                {
                    "index": index,
                    "leaf_hash": sealed.tree.levels[0][index],
                    "path": path,
                    "bytes": make_receipt(signed, size, index, path),
                }
            )
        made.append(
            {
                "statements": count,
                "leaves": [encode_manifest(block_manifest), *leaves],
                "body": sealed.body,
                "root": sealed.root,
                "manifest_hash": sealed.manifest_hash,
                "signed_block": signed,
                "receipts": receipts,
            }
        )
    return made


def checkpoints() -> list[Json]:
    """Checkpoints signed by the log and cosigned by none, some or all witnesses."""
    made = []
    for size, names in ((0, []), (1, ["witness-a.example"]), (70_000, [*WITNESSES])):
        root = BlockTree(hash_leaves(entries(size))).root
        checkpoint = Checkpoint(ORIGIN, size, root)
        lines = [
            cosign(checkpoint, NoteSigner(name, WITNESSES[name]), TIME_S + place)
            for place, name in enumerate(names)
        ]
        made.append(
            {
                "size": size,
                "root": root,
                "text": encode_checkpoint(checkpoint),
                "note": add_signatures(sign_checkpoint(checkpoint, LOG_NOTE), lines).decode(),
                "cosigned": {name: TIME_S + place for place, name in enumerate(names)},
            }
        )
    return made


def entries(size: int) -> list[bytes]:
    """The entries of the tile vectors: the decimal of their index."""
    return [b"%d" % index for index in range(size)]


def tiles() -> list[Json]:
    """Which files a log has at a size, and the SHA-256 of each. Entry i is the decimal of i."""
    made = []
    for size in (1, 255, 256, 257, 600, 70_000):
        appender = TileAppender()
        files = appender.append(entries(size))
        hashes = {path: sha256(data).digest() for path, data in files.items()}
        if size == 70_000:  # The full tiles of level 0 are many; one hash over all of them, in order.
            hashes = {path: value for path, value in hashes.items() if ".p/" in path or "/1/" in path}
        every = sha256(
            b"".join(path.encode() + b"\n" + sha256(files[path]).digest() for path in sorted(files))
        )
        made.append(
            {
                "size": size,
                "root": appender.root(),
                "count": len(files),
                "files": hashes,
                "all": every.digest(),
            }
        )
    return made


def policies() -> list[Json]:
    """Policies, and for sets of witnesses (by their names in the policy) whether they are a quorum."""
    a, b, c, d = (witness_vkey(name) for name in WITNESSES)
    log = encode_vkey(LOG_NOTE.key())
    nested = (
        f"# two of three departments, and somebody from outside\nlog {log} https://{ORIGIN}\n\n"
        f"witness air {a}\nwitness\twater \t{b}  https://water.example/witness\n  witness roads {c}\t\n"
        f"group departments 2 air water roads\nwitness outside {d}\n"
        "group all-of-them all departments outside\nquorum all-of-them\n"
    )
    return [
        {
            "name": "nested",
            "text": nested,
            "quorate": [["air", "water", "outside"], ["air", "water", "roads", "outside"]],
            "not_quorate": [[], ["outside"], ["air", "outside"], ["air", "water", "roads"], ["all-of-them"]],
        },
        {
            "name": "none",
            "text": f"log {log}\nquorum none\n",
            "quorate": [[]],
            "not_quorate": [],
        },
        {
            "name": "one witness, no log",
            "text": f"witness a {a}\nquorum a\n",
            "quorate": [["a"]],
            "not_quorate": [[], ["b"]],
        },
        {
            "name": "any",
            "text": f"witness a {a}\nwitness b {b}\ngroup g any a b\nquorum g\n",
            "quorate": [["a"], ["b"], ["a", "b"]],
            "not_quorate": [[], ["c"]],
        },
        {
            "name": "names are octets",
            "text": f"witness K {a}\nwitness \N{KELVIN SIGN} {b}\n"
            "group none# 2 K \N{KELVIN SIGN}\nquorum none#\n",
            "quorate": [["K", "\N{KELVIN SIGN}"]],
            "not_quorate": [["K"]],
        },
    ]


def policy_refusals() -> list[Json]:
    """Policies that break the grammar."""
    a, b = witness_vkey("witness-a.example"), witness_vkey("witness-b.example")
    log = encode_vkey(LOG_NOTE.key())
    renamed = encode_vkey(NoteSigner("other.example", WITNESSES["witness-a.example"]).key(TYPE_COSIGNATURE))
    broken = {
        "no quorum": f"log {log}\n",
        "two quorums": "quorum none\nquorum none\n",
        "quorum of nobody": "quorum a\n",
        "quorum before its witness": f"quorum a\nwitness a {a}\n",
        "no newline at the end": "quorum none",
        "unknown line": "quorums none\n",
        "carriage return": "quorum none\r\n",
        "key twice": f"witness a {a}\nwitness b {a}\nquorum none\n",
        "key twice under two names": f"witness a {a}\nwitness b {renamed}\nquorum none\n",
        "name twice": f"witness a {a}\nwitness a {b}\nquorum none\n",
        "name none": f"witness none {a}\nquorum none\n",
        "log key as a witness": f"witness a {log}\nquorum a\n",
        "witness key as a log": f"log {a}\nquorum none\n",
        "threshold 0": f"witness a {a}\ngroup g 0 a\nquorum g\n",
        "threshold above the members": f"witness a {a}\ngroup g 2 a\nquorum g\n",
        "threshold with a zero before it": f"witness a {a}\ngroup g 01 a\nquorum g\n",
        "group of nobody": f"witness a {a}\ngroup g any\nquorum g\n",
        "member twice in a group": f"witness a {a}\ngroup g any a a\nquorum g\n",
        "member of two groups": f"witness a {a}\nwitness b {b}\ngroup g any a\ngroup h any a b\nquorum h\n",
        "member none": "group g any none\nquorum g\n",
        "group of itself": "group g any g\nquorum g\n",
        "group before its member": f"group g any a\nwitness a {a}\nquorum g\n",
    }
    return [
        {"object": "policy", "name": name, "bytes": text.encode(), "reason": Reason.POLICY_SHAPE}
        for name, text in broken.items()
    ]


def note_refusals() -> list[Json]:
    """Checkpoints that a policy of this log and quorum none refuses."""
    checkpoint = Checkpoint(ORIGIN, 42, sha256(b"root").digest())
    good = sign_checkpoint(checkpoint, LOG_NOTE)

    def signed(text: str) -> bytes:
        return encode_note(text, [LOG_NOTE.sign(text)])

    root = b64encode(checkpoint.root).decode()
    stranger = SeedSigner(sha256(b"stranger").digest())
    broken = {
        "no newline at the end": (good[:-1], Reason.NOTE_SHAPE),
        "no signature": (encode_checkpoint(checkpoint).encode() + b"\n", Reason.NOTE_SHAPE),
        "hyphen in place of the dash": (good.replace("\N{EM DASH}".encode(), b"-"), Reason.NOTE_SHAPE),
        "tab in the text": (b"\t" + good, Reason.NOTE_SHAPE),
        "not UTF-8": (b"\xff" + good, Reason.NOTE_SHAPE),
        "extension line": (signed(f"{ORIGIN}\n42\n{root}\nmore\n"), Reason.CHECKPOINT_SHAPE),
        "size with a zero before it": (signed(f"{ORIGIN}\n042\n{root}\n"), Reason.CHECKPOINT_SHAPE),
        "size of 2^63": (signed(f"{ORIGIN}\n{2**63}\n{root}\n"), Reason.CHECKPOINT_SHAPE),
        "root of 31 bytes": (
            signed(f"{ORIGIN}\n42\n{b64encode(checkpoint.root[1:]).decode()}\n"),
            Reason.CHECKPOINT_SHAPE,
        ),
        "base64 with other trailing bits": (
            signed(f"{ORIGIN}\n42\n{root[:-2]}{chr(ord(root[-2]) + 1)}=\n"),
            Reason.CHECKPOINT_SHAPE,
        ),
        "another size under the signature": (good.replace(b"\n42\n", b"\n43\n"), Reason.NOTE_SIGNATURE),
        "another log's checkpoint": (signed(f"other.example/log\n42\n{root}\n"), Reason.CHECKPOINT_ORIGIN),
        "a stranger's signature only": (
            sign_checkpoint(checkpoint, NoteSigner(ORIGIN, stranger)),
            Reason.NOTE_UNSIGNED,
        ),
    }
    return [
        {"object": "checkpoint", "name": name, "bytes": raw, "reason": reason}
        for name, (raw, reason) in broken.items()
    ]


def sign_changed(
    raw: bytes,
    header: Json | None = None,
    payload: bytes | None = None,
    *,
    unprotected: dict[object, object] | None = None,
    detached: bool = False,
) -> bytes:
    """Sign an object of the log again with some labels of its header (None: taken out) or parts changed."""
    sign1 = cose.parse_sign1(raw)
    fields = cbor.decode(sign1.protected)
    assert isinstance(fields, dict)
    assert sign1.payload is not None
    changes: dict[int, object] = {int(label): value for label, value in (header or {}).items()}
    kept = {label: value for label, value in {**fields, **changes}.items() if value is not None}
    protected = cbor.encode(kept)
    payload = sign1.payload if payload is None else payload
    signature = LOG.sign(cose.signing_input(protected, payload))
    shown = None if detached else payload
    return cose.encode_sign1(cose.Sign1(protected, unprotected or {}, shown, signature))


def block_refusals(raw: bytes) -> list[Json]:
    """Signed blocks, signed by the log's own key, that are refused all the same."""
    chain = [3, 1, sha256(b"manifest").digest(), 5]
    claims = {1: ORIGIN, 2: "shard/3/1"}
    broken = {
        "byte after it": (raw + b"\0", Reason.CBOR_TRAILING),
        "last byte missing": (raw[:-1], Reason.CBOR_TRUNCATED),
        "no tag": (raw[1:], Reason.COSE_SHAPE),
        "EdDSA (-8)": (sign_changed(raw, {"1": -8}), Reason.COSE_ALGORITHM),
        "no algorithm": (sign_changed(raw, {"1": None}), Reason.COSE_HEADER),
        "another data structure": (sign_changed(raw, {"395": 2}), Reason.COSE_HEADER),
        "data structure true": (sign_changed(raw, {"395": True}), Reason.COSE_HEADER),
        "crit": (sign_changed(raw, {"2": [395]}), Reason.COSE_HEADER),
        "key id of another key": (sign_changed(raw, {"4": bytes(8)}), Reason.KEY_UNKNOWN),
        "subject of another height": (
            sign_changed(raw, {"15": claims | {2: "shard/3/2"}}),
            Reason.BLOCK_SHAPE,
        ),
        "subject with a zero before it": (
            sign_changed(raw, {"15": claims | {2: "shard/3/01"}}),
            Reason.BLOCK_SHAPE,
        ),
        "third claim": (sign_changed(raw, {"15": claims | {3: "x"}}), Reason.COSE_HEADER),
        "origin with a space": (sign_changed(raw, {"15": claims | {1: "a b"}}), Reason.COSE_HEADER),
        "no size": (sign_changed(raw, {"-70002": chain[:3]}), Reason.COSE_HEADER),
        "size 0": (sign_changed(raw, {"-70002": [*chain[:3], 0]}), Reason.BLOCK_SHAPE),
        "size 2049": (sign_changed(raw, {"-70002": [*chain[:3], 2049]}), Reason.BLOCK_SHAPE),
        "unprotected header": (sign_changed(raw, unprotected={4: bytes(8)}), Reason.COSE_UNPROTECTED),
        "root of 31 bytes": (sign_changed(raw, payload=bytes(31)), Reason.BLOCK_SHAPE),
        "detached root": (sign_changed(raw, detached=True), Reason.COSE_PAYLOAD),
        "another root": (raw[:-98] + bytes(32) + raw[-66:], Reason.SIGNATURE_INVALID),
    }
    return [
        {"object": "signed_block", "name": name, "bytes": changed, "reason": reason}
        for name, (changed, reason) in broken.items()
    ]


def receipt_refusals(block: Json) -> list[Json]:
    """Receipts for leaf 2 of a block of five that are refused, with the leaf hash they are shown with."""
    raw, leaf_hash, path = (
        block["signed_block"],
        block["receipts"][1]["leaf_hash"],
        block["receipts"][1]["path"],
    )

    def receipt(
        unprotected: dict[object, object], header: Json | None = None, *, detached: bool = True
    ) -> bytes:
        return sign_changed(raw, header, unprotected=unprotected, detached=detached)

    def proof(value: object) -> dict[object, object]:
        return {396: {-1: [cbor.encode(value)]}}

    good = proof([5, 2, path])
    twice: dict[object, object] = {396: {-1: [cbor.encode([5, 2, path])] * 2}}
    broken = {
        "byte after it": (receipt(good) + b"\0", Reason.CBOR_TRAILING),
        "payload not detached": (receipt(good, detached=False), Reason.COSE_PAYLOAD),
        "no proof": (receipt({}), Reason.COSE_UNPROTECTED),
        "two inclusion proofs": (receipt(twice), Reason.COSE_UNPROTECTED),
        "consistency proof": (receipt({396: {-2: [cbor.encode([5, 2, path])]}}), Reason.COSE_UNPROTECTED),
        "proof not in an array": (receipt({396: {-1: cbor.encode([5, 2, path])}}), Reason.COSE_UNPROTECTED),
        "proof not in a byte string": (receipt({396: {-1: [[5, 2, path]]}}), Reason.COSE_UNPROTECTED),
        "key id beside the proof": (receipt({4: bytes(8), 396: {-1: [b""]}}), Reason.COSE_UNPROTECTED),
        "index before size": (receipt(proof([2, 5, path])), Reason.RECEIPT_SIZE),
        "size one more, same root": (receipt(proof([6, 2, path])), Reason.RECEIPT_SIZE),
        "index outside": (receipt(proof([5, 5, path])), Reason.INDEX_OUTSIDE),
        "another index": (receipt(proof([5, 3, path])), Reason.SIGNATURE_INVALID),
        "path too long": (receipt(proof([5, 2, [*path, path[0]]])), Reason.PATH_LONG),
        "path too short": (receipt(proof([5, 2, path[:-1]])), Reason.PATH_SHORT),
        "no path": (receipt(proof([5, 2, []])), Reason.RECEIPT_SHAPE),
        "flat path": (receipt(proof([5, 2, *path])), Reason.RECEIPT_SHAPE),
        "sibling of 31 bytes": (receipt(proof([5, 2, [path[0][1:], *path[1:]]])), Reason.HASH_SIZE),
        "EdDSA (-8)": (receipt(good, header={"1": -8}), Reason.COSE_ALGORITHM),
        "CCF's data structure": (receipt(good, header={"395": 2}), Reason.COSE_HEADER),
        "another log": (
            receipt(good, header={"15": {1: "other.example/log", 2: "shard/3/1"}}),
            Reason.RECEIPT_ORIGIN,
        ),
        "another statement's receipt": (block["receipts"][2]["bytes"], Reason.SIGNATURE_INVALID),
    }
    return [
        {"object": "receipt", "name": name, "bytes": changed, "leaf_hash": leaf_hash, "reason": reason}
        for name, (changed, reason) in broken.items()
    ]


def manifest_refusals() -> list[Json]:
    """Manifests with a field missing, too many, or of another type or range."""
    fields = cbor.decode(encode_manifest(manifest(4)))
    assert isinstance(fields, dict)
    changes: dict[str, dict[int, object]] = {
        **{f"no field {number}": {number: None} for number in range(1, 12)},
        "a field 14": {14: 0},
        "shard true": {1: True},
        "height 1.0": {2: 1.0},
        "height -1": {2: -1},
        "height 2^53": {2: 2**53},
        "previous of 31 bytes": {3: bytes(31)},
        "topic id of 15 bytes": {4: bytes(15)},
        "offsets backwards": {5: [2, 1]},
        "times backwards": {6: [2, 1]},
        "refused 0 times": {9: {"cbor_tag": 0}},
        "reason with a capital": {9: {"Cbor_tag": 1}},
        "equivocation of the manifest": {12: [0]},
        "equivocation outside the block": {12: [5]},
        "equivocations out of order": {12: [2, 1]},
        "no equivocations": {12: []},
        "state hash as text": {13: "x" * 32},
    }
    return [
        {
            "object": "manifest",
            "name": name,
            "bytes": cbor.encode({k: v for k, v in {**fields, **change}.items() if v is not None}),
            "reason": Reason.MANIFEST_SHAPE,
        }
        for name, change in changes.items()
    ]


def body_refusals(body: bytes) -> list[Json]:
    """Bodies whose framing breaks."""
    broken = {
        "nothing": b"",
        "half a length": b"\0\0",
        "last byte missing": body[:-1],
        "byte after it": body + b"\0",
        "2,049 leaves": bytes(4 * 2049),
    }
    return [
        {"object": "body", "name": name, "bytes": changed, "reason": Reason.BLOCK_SHAPE}
        for name, changed in broken.items()
    ]


def vectors() -> Json:
    """Everything."""
    made = blocks()
    usual = made[2]
    return {
        "about": "Objects of the log, with keys, bytes and expected refusals. Made by make_log.py.",
        "keys": keys(),
        "genesis": {
            "shards": 5,
            "version": 1,
            "authorities_hash": sha256(b"authorities").digest(),
            "bytes": sign_genesis(LOG, ORIGIN, 5, sha256(b"authorities").digest()),
        },
        "manifests": manifests(),
        "blocks": made,
        "checkpoints": checkpoints(),
        "tiles": tiles(),
        "policies": policies(),
        "refusals": [
            *manifest_refusals(),
            *body_refusals(usual["body"]),
            *block_refusals(usual["signed_block"]),
            *receipt_refusals(usual),
            *note_refusals(),
            *policy_refusals(),
        ],
    }


def render() -> str:
    """Return the file's text."""
    return json.dumps(hexed(vectors()), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(f"{FILE.name}: {FILE.write_text(render(), encoding='utf-8')} characters\n")
