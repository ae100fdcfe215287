"""Makes wire.json: keys, packs, statements and messages with their bytes, and what is refused and why.

For whoever writes a device or a verifier, in C or otherwise. Everything here is built by the tests' reference
encoder and PyNaCl's own interface, not by cityproof's code, which has to agree with it. Run as
`python -m tests.vectors.make_wire`; the same bytes come out every time. Byte strings are hexadecimal.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import cbor2
from nacl.signing import SigningKey

from pipeline.wire.quantities import QUANTITIES
from pipeline.wire.reasons import Reason
from tests.wire import (
    build,
    reference,
    test_cbor,
    test_enrolment,
    test_epcis_event,
    test_finding,
    test_keys,
    test_messages,
    test_names,
    test_rotation,
    test_senml,
    test_shipment,
    test_statement,
    test_topics,
)

FILE = Path(__file__).with_name("wire.json")
T = 1700000000
ISSUER = build.ISSUER

Json = dict[str, Any]


def keys() -> Json:
    """Key pairs from seeds, their key ids and key files; public keys that may not be enrolled."""
    pairs = []
    for name, seed in [(ISSUER, build.SEED), ("urn:dev:mac:0024befffe804ff1", sha256(b"device").digest())]:
        public_key = bytes(SigningKey(seed).verify_key)
        pairs.append(
            {
                "name": name,
                "seed": seed,
                "public_key": public_key,
                "key_id": sha256(public_key).digest()[:8],
                "key_file": f"cityproof key 1\nname {name}\nseed {seed.hex()}\npublic {public_key.hex()}\n",
            }
        )
    mixed = "10eb7c3acfb2bed3e0d6ab89bf5a3d6afddd1176ce4812e38d9fd485058fdb1f"  # From CCTV: of mixed order.
    refused = [*test_keys.SMALL, mixed, build.PUBLIC_KEY[:31].hex(), build.PUBLIC_KEY.hex() + "00"]
    return {"pairs": pairs, "refused": refused}


def cbor() -> Json:
    """Items of the profile, and items that leave it."""
    return {
        "admitted": test_cbor.ADMITTED,
        "refused": [{"bytes": data, "reason": reason} for data, reason in test_cbor.REFUSED],
    }


def written_packs() -> list[list[tuple[str, float, float]]]:
    """Records of packs as cityproof writes them: quantity, value, time."""
    return [
        [("pm2_5", 12.5, T)],
        [("temperature", -18.25, T + 0.5)],
        [("door", 1.0, T), ("door", 0.0, T + 30)],
        [
            (name, 10.0 + index / 10, T)
            for index, name in enumerate(("pm2_5", "pm10", "so2", "no2", "o3", "co", "ch4"))
        ],
        [("vehicles", 1e6 * count, T + 60 * count) for count in range(30)],
        [("speed", -0.0, T), ("queue", 65536.0, T), ("green_time", 2.0**32, T), ("occupancy", 23.1, T)],
        [("temperature", 4.0, 268435456.1), ("temperature", 5.0, 1460712702.491)],
        [("battery", 100.0, T), ("lat", 31.2304, T), ("lon", 121.4737, T), ("temperature", 3.9, T)],
    ]


def packs() -> Json:
    """Packs in the form that cityproof writes, others that are admitted, and refused ones."""
    written = []
    for records in written_packs():
        resolved = [
            {
                "quantity": name,
                "unit": QUANTITIES[name].unit,
                "value": value,
                "time_s": float(time_s),
                "time_us": round(time_s * 1e6),
            }
            for name, value, time_s in records
        ]
        payload = reference.dumps(plain_pack(records))
        written.append({"records": resolved, "bytes": payload, "diagnostic": reference.diagnostic(payload)})
    admitted, refused = [], []
    for pack, reason in test_senml.PACKS:
        payload = reference.dumps(pack)
        if len(payload) > 2000:
            continue
        case = {"bytes": payload, "diagnostic": reference.diagnostic(payload)}
        if reason is None:
            places = test_senml.resolve(cbor2.loads(payload))
            assert places is not None
            admitted.append(
                case
                | {
                    "records": [
                        {
                            "quantity": name,
                            "unit": unit,
                            "value": value,
                            "time_s": time_s,
                            "time_us": round(time_s * 1e6),
                        }
                        for name, unit, value, time_s in places
                    ]
                }
            )
        else:
            refused.append(case | {"reason": reason})
    return {"issuer": test_senml.ISSUER, "written": written, "admitted": admitted, "refused": refused}


def plain_pack(records: list[tuple[str, float, float]]) -> list[dict[object, object]]:
    """The form that cityproof writes, by its description in docs/formats.md."""
    units = [QUANTITIES[name].unit for name, _, _ in records]
    base_unit = max(dict.fromkeys(units), key=units.count)
    base_time = records[0][2]
    if any(base_time + (time_s - base_time) != time_s for _, _, time_s in records):
        base_time = 0
    pack: list[dict[object, object]] = []
    for (name, value, time_s), unit in zip(records, units, strict=True):
        record: dict[object, object] = {0: name}
        if unit != base_unit:
            record[1] = unit
        if QUANTITIES[name].boolean:
            record[4] = value == 1
        else:
            record[2] = shorter(value)
        if time_s != base_time:
            record[6] = shorter(time_s - base_time)
        pack.append(record)
    pack[0][-2] = ISSUER + "_"
    if test_senml.SECONDARY & set(units):
        pack[0][-1] = 26
    if base_time:
        pack[0][-3] = shorter(base_time)
    pack[0][-4] = base_unit
    return pack


def shorter(value: float) -> int | float:
    """An integer where its encoding is no longer than the float's; minus zero stays a float."""
    if value != int(value) or str(float(value)) == "-0.0":
        return float(value)
    return min(int(value), float(value), key=lambda number: len(reference.dumps(number)))


def statements() -> Json:
    """Statements with every step on the way to their bytes; and refused ones, most of them signed rightly."""
    previous, made = bytes(32), []
    enrolment = reference.dumps(test_enrolment.GOOD)
    cases: list[tuple[bytes, Json]] = [
        (reference.dumps(plain_pack(written_packs()[3])), {"chain": [T, 0]}),
        (reference.dumps(plain_pack(written_packs()[0])), {"chain": [T, 1]}),
        (reference.dumps(plain_pack(written_packs()[4])), {"chain": [T, 24]}),
        (b"\x80", {"chain": [2**53 - 1, 2**53 - 1]}),
        (
            enrolment,
            {
                "chain": [0, 65536],
                "content_type": "application/vnd.cityproof.enrolment+cbor",
                "claims": {1: "https://city.example/ecology", 2: ISSUER},
            },
        ),
    ]
    for payload, changes in cases:
        header = build.header(**changes | {"chain": [*changes["chain"], previous]})
        protected = reference.dumps(header)
        raw = build.sign1(protected, payload)
        claims: Any = header[15]
        made.append(
            {
                "issuer": claims[1],
                "subject": claims[2],
                "content_type": header[3],
                "epoch": changes["chain"][0],
                "sequence": changes["chain"][1],
                "previous": previous,
                "payload": payload,
                "protected": protected,
                "signing_input": build.sig_structure(protected, payload),
                "signature": raw[-64:],
                "bytes": raw,
                "leaf_hash": sha256(b"\0" + raw).digest(),
            }
        )
        previous = sha256(b"\0" + raw).digest()
    refused = [
        {
            "bytes": build.statement(**changes),
            "reason": reason,
            "changed": reference.diagnostic(reference.dumps(list(changes.values()))),
        }
        for changes, reason in test_statement.REFUSED
        if reason is not None
    ]
    forged = bytearray(made[0]["bytes"])
    forged[-1] ^= 1
    refused.append(
        {"bytes": bytes(forged), "reason": Reason.SIGNATURE_INVALID, "changed": "last bit of the signature"}
    )
    return {"seed": build.SEED, "key_id": build.KEY_ID, "made": made, "refused": refused}


def shards() -> list[Json]:
    """Which shard an issuer belongs to, by the number of shards."""
    issuers = [ISSUER, "urn:dev:ops:32473-air-8", "urn:dev:mac:0024befffe804ff1"]
    numbers = [int(sha256(issuer.encode()).hexdigest(), 16) for issuer in issuers]
    return [
        {"issuer": issuer, "shards": {str(size): 1 + number % (size - 1) for size in (2, 3, 5, 9, 65)}}
        for issuer, number in zip(issuers, numbers, strict=True)
    ]


def enrolments() -> Json:
    """An enrolment's payload, and changed ones that are refused."""
    refused = []
    for label, value, reason in test_enrolment.CHANGES:
        if reason is not None:
            fields = {**test_enrolment.GOOD, label: value}
            if value is test_enrolment.LEFT_OUT:
                del fields[label]
            refused.append({"bytes": reference.dumps(fields), "reason": reason})
    good = reference.dumps(test_enrolment.GOOD)
    auditor = reference.dumps(
        {label: value for label, value in test_enrolment.GOOD.items() if label not in {9, 10, 11, 12}}
        | {6: "auditor"}
    )
    admitted = [{"bytes": raw, "diagnostic": reference.diagnostic(raw)} for raw in (good, auditor)]
    return {"admitted": admitted, "refused": refused}


def stated(good: test_rotation.Fields, changes: test_rotation.Changes) -> Json:
    """A payload of an authority's statement, and changed ones."""
    raws = [(test_rotation.changed(good, label, value), reason) for label, value, reason in changes]
    return {
        "admitted": [reference.dumps(good), *(raw for raw, reason in raws if reason is None)],
        "refused": [{"bytes": raw, "reason": reason} for raw, reason in raws if reason is not None],
    }


def rotations() -> Json:
    """A rotation's payload, and changed ones."""
    return stated(test_rotation.ROTATION, test_rotation.ROTATION_CHANGES)


def revocations() -> Json:
    """A revocation's payload, and changed ones."""
    return stated(test_rotation.REVOCATION, test_rotation.REVOCATION_CHANGES)


def admissions() -> Json:
    """An admission's payload, and changed ones."""
    return stated(test_rotation.ADMISSION, test_rotation.ADMISSION_CHANGES)


def findings() -> Json:
    """A finding's payload, and changed ones."""
    return stated(test_finding.FINDING, test_finding.FINDING_CHANGES)


def shipments() -> Json:
    """Payloads of statements about shipments, and changed ones."""
    made = [
        stated(fields, changes)
        for fields, changes in (
            (test_shipment.CREATED, test_shipment.CREATED_CHANGES),
            (test_shipment.OFFERED, test_shipment.OFFERED_CHANGES),
            (test_shipment.VERDICT, test_shipment.VERDICT_CHANGES),
            (test_shipment.LIMITS, test_shipment.LIMITS_CHANGES),
            *((fields, []) for fields in test_shipment.KINDS),
        )
    ]
    return {name: [one for part in made for one in part[name]] for name in ("admitted", "refused")}


def epcis_events() -> Json:
    """Payloads of EPCIS events, and changed ones."""
    return stated(test_epcis_event.EVENT, test_epcis_event.EVENT_CHANGES)


def messages() -> Json:
    """What devices receive."""
    receipts = [[T, 0, b"\xd2\x84"], [T, 1, b""]]
    refusal = [sha256(b"what came").digest(), "pack_unit"]
    return {
        "receipts": {"bytes": reference.dumps(receipts), "items": receipts},
        "refusal": {"bytes": reference.dumps(refusal), "hash": refusal[0], "reason": refusal[1]},
        "no_receipts": [reference.dumps(message) for message in test_messages.NO_RECEIPTS],
        "no_refusal": [reference.dumps(message) for message in test_messages.NO_REFUSAL],
    }


def topics() -> Json:
    """Topics of names, and topics that nobody may publish to."""
    names = [ISSUER, "https://city.example/ecology", "+#$/%水~_ -.:"]
    plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:"
    made = []
    for name in names:
        encoded = "".join(chr(byte) if chr(byte) in plain else f"%{byte:02X}" for byte in name.encode())
        made.append({"name": name, "statements": f"statements/{encoded}", "receipts": f"receipts/{encoded}"})
    return {"made": made, "refused": [topic for topic in test_topics.REFUSED if topic.isprintable()]}


def names() -> Json:
    """Issuers."""
    return {
        "devices": test_names.DEVICES,
        "no_devices": test_names.NO_DEVICES,
        "uris": test_names.URIS,
        "no_uris": test_names.NO_URIS,
    }


def hexadecimal(value: object) -> object:
    """Put bytes as hexadecimal, wherever they are."""
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {key: hexadecimal(item) for key, item in value.items()}
        case list() | tuple():
            return [hexadecimal(item) for item in value]
    return value


def render() -> str:
    """Return the file's text."""
    parts = (
        keys,
        cbor,
        names,
        packs,
        statements,
        shards,
        enrolments,
        rotations,
        revocations,
        admissions,
        findings,
        shipments,
        epcis_events,
        messages,
        topics,
    )
    content: dict[str, object] = {
        "about": "Made by tests/vectors/make_wire.py. Byte strings are hexadecimal."
    }
    content |= {part.__name__: hexadecimal(part()) for part in parts}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
    sys.exit(0)
