"""One example of each object, made by the code as it is now: the schema and the pages are held against it."""

import hashlib
from functools import cache
from typing import Any

from pipeline.identity.authorities import ANY, Authorities, Authority, format_authorities, parse_authorities
from pipeline.identity.records import AdmissionRecord, KeyRecord
from pipeline.identity.registry import Registry
from pipeline.identity.snapshot import encode_registry
from pipeline.log.block import SealedBlock, seal, sign_block
from pipeline.log.checkpoint import Checkpoint, add_signatures, cosign, sign_checkpoint
from pipeline.log.genesis import sign_genesis
from pipeline.log.manifest import Manifest, encode_manifest
from pipeline.log.merkle import BlockTree, hash_leaf, hash_leaves
from pipeline.log.note import TYPE_COSIGNATURE, NoteSigner, encode_vkey
from pipeline.log.policy import Policy, parse_policy
from pipeline.log.receipt import make_receipt
from pipeline.log.sequences import SignerSequences
from pipeline.stages.envelopes import Duplicate, Refused, ShardPosition, wrap_outcomes, wrap_positions
from pipeline.verify.completeness import Span
from pipeline.verify.equivocation import LogPlace, encode_equivocation, make_equivocation
from pipeline.verify.evidence import AdmissionFrame, EvidenceHead, KeyFrame, encode_head, encode_key
from pipeline.verify.evidence import encode_admission as encode_admission_frame
from pipeline.verify.point import PointProof, encode_proof
from pipeline.verify.query import Query
from pipeline.verify.signer import KeyStatus, Path
from pipeline.wire.admission import Admission, encode_admission
from pipeline.wire.cbor import encode
from pipeline.wire.cose import parse_sign1, signing_input
from pipeline.wire.enrolment import Enrolment, encode_enrolment
from pipeline.wire.epcis_event import EpcisEvent, encode_epcis_event
from pipeline.wire.finding import Finding, FoundPlace, encode_finding
from pipeline.wire.keys import SeedSigner, key_id
from pipeline.wire.messages import encode_receipts, encode_refusal
from pipeline.wire.possession import sign_possession
from pipeline.wire.reasons import Reason
from pipeline.wire.revocation import Revocation, encode_revocation
from pipeline.wire.rotation import encode_rotation, make_rotation
from pipeline.wire.senml import Record, encode_pack
from pipeline.wire.shipment import (
    Accepted,
    Content,
    Created,
    Delivered,
    Judged,
    Limits,
    Loaded,
    LoggersChanged,
    Offered,
    OfferRefused,
    Rejected,
    Released,
    RuleVerdict,
    ShipmentStatement,
    Stop,
    encode_shipment,
    kind_of,
)
from pipeline.wire.statement import (
    CONTENT_ADMISSION,
    CONTENT_ENROLMENT,
    CONTENT_EPCIS,
    CONTENT_FINDING,
    CONTENT_REVOCATION,
    CONTENT_ROTATION,
    CONTENT_SENML,
    CONTENT_SHIPMENT,
    sign_statement,
)

ORIGIN = "city.example/log"
AUTHORITY = "https://bureau.example/"
DEVICE = "urn:dev:ops:32473-truck-7"
TIME_S = 1_767_225_600
LOG, BUREAU, WITNESS, TRUCK, NEW_TRUCK = (
    SeedSigner(hashlib.sha256(name).digest())
    for name in (b"log", b"bureau", b"witness", b"truck", b"new truck")
)
LOG_NOTE, WITNESS_NOTE = NoteSigner(ORIGIN, LOG), NoteSigner("witness.example", WITNESS)


def authorities_text() -> bytes:
    """An authorities file that lets the bureau enrol everything."""
    bounds_s = {"registry_lag_s": 60, "cosign_delay_s": 60, "checkpoint_age_s": 86_400}
    bureau = Authority(AUTHORITY, BUREAU.public_key, frozenset({ANY}), frozenset({ANY}))
    return format_authorities([bureau], bounds_s).encode()


def policy_text() -> bytes:
    """A policy with one log and one witness, whom nobody has to wait for."""
    log, witness = encode_vkey(LOG_NOTE.key()), encode_vkey(WITNESS_NOTE.key(TYPE_COSIGNATURE))
    return f"log {log}\nwitness w {witness}\nquorum none\n".encode()


@cache
def authorities() -> Authorities:
    """The parsed authorities file."""
    return parse_authorities(authorities_text())


@cache
def policy() -> Policy:
    """The parsed policy."""
    return parse_policy(policy_text())


def enrolment() -> Enrolment:
    """An enrolment with every field, a beam end too."""
    return Enrolment(
        issuer=DEVICE,
        public_key=TRUCK.public_key,
        department="market",
        controller="carrier 7",
        data_class="shipments",
        kind="cold",
        subject="container/7",
        area="harbour",
        longitude=121.5,
        latitude=31.25,
        height_m=1.5,
        longitude2=121.5,
        latitude2=31.26,
        height2_m=2.0,
        accuracy={"temperature": 0.5, "humidity": 3.0},
        calibrated_until_s=TIME_S + 86_400,
        valid_from_s=TIME_S,
        possession=sign_possession(TRUCK, AUTHORITY, DEVICE),
    )


def stated(sequence: int, content_type: str, payload: bytes) -> bytes:
    """A statement of the bureau about the truck."""
    return sign_statement(
        BUREAU,
        issuer=AUTHORITY,
        subject=DEVICE,
        content_type=content_type,
        epoch=TIME_S,
        sequence=sequence,
        previous=bytes(32),
        payload=payload,
    )


def enrolment_statement() -> bytes:
    """The bureau's statement that enrols the truck."""
    return stated(0, CONTENT_ENROLMENT, encode_enrolment(enrolment()))


def auditor_enrolment() -> bytes:
    """The enrolment of a role, which has no place."""
    auditor = Enrolment(
        issuer="https://audit.example/",
        public_key=TRUCK.public_key,
        department="audit office",
        controller="audit office",
        data_class="public",
        kind="auditor",
        subject="point store",
        area="city",
        valid_from_s=TIME_S,
        possession=sign_possession(TRUCK, AUTHORITY, "https://audit.example/"),
    )
    return encode_enrolment(auditor)


def finding_statement() -> bytes:
    """A finding with every field."""
    finding = Finding(
        reason=Reason.POINT_ALTERED,
        place=FoundPlace(DEVICE, "container/7", "temperature", TIME_S * 10**6),
        signed=-18.5,
        stored=-2.0,
        ref=(4, 1),
        noticed_ms=TIME_S * 1000 + 2500,
        unnoticed_ms=TIME_S * 1000,
        size=5,
        root=bytes(32),
        credentials=("user root",),
    )
    return sign_statement(
        TRUCK,
        issuer="https://audit.example/",
        subject=finding.place.subject,
        content_type=CONTENT_FINDING,
        epoch=TIME_S,
        sequence=0,
        previous=bytes(32),
        payload=encode_finding(finding),
    )


def shipment_statement() -> bytes:
    """A shipment created."""
    created = Created(
        time_us=TIME_S * 10**6,
        consignee="https://clinic.example/",
        carriers=("https://carrier.example/",),
        contents=(Content("09506000134352", "L7", "42"), Content(sscc="106141412345678908")),
        route=(Stop("plant", 119.97, 31.81), Stop("clinic", 120, 31.5, "9506000134369")),
        loggers=(DEVICE,),
    )
    return sign_statement(
        TRUCK,
        issuer="https://shipper.example/",
        subject="https://id.gs1.org/00/106141412345678908",
        content_type=CONTENT_SHIPMENT,
        epoch=TIME_S,
        sequence=0,
        previous=bytes(32),
        payload=encode_shipment(created),
    )


def epcis_statement() -> bytes:
    """An event of a partner."""
    event = EpcisEvent(bytes(32), b'{"type":"ObjectEvent"}', {"example": "https://ns.example.com/"})
    return sign_statement(
        TRUCK,
        issuer="https://carrier.example/",
        subject=event.uri,
        content_type=CONTENT_EPCIS,
        epoch=TIME_S,
        sequence=0,
        previous=bytes(32),
        payload=encode_epcis_event(event),
    )


def other_statements() -> list[ShipmentStatement]:
    """One of each other kind."""
    at: dict[str, Any] = {"after": bytes(32), "time_us": TIME_S * 10**6}
    return [
        Limits(**at, profile_hash=bytes(32), profile=b"a profile"),
        Loaded(**at),
        Offered(**at, to="https://carrier.example/", place=Stop("dock", 119.97, 31.81)),
        Accepted(**at),
        OfferRefused(**at, why="a torn film"),
        LoggersChanged(**at, joins=(DEVICE,), leaves=()),
        Delivered(**at),
        Released(**at, rests_on=bytes(32)),
        Rejected(**at, rests_on=bytes(32), why="too warm"),
        Judged(
            **at,
            limits=bytes(32),
            profile_hash=bytes(32),
            from_us=0,
            to_us=1,
            size=5,
            root=bytes(32),
            inputs=bytes(32),
            statements=3,
            rules=1,
            verdict="breach",
            findings=(RuleVerdict("temperature > 8 °C at one time", "critical", "breach"),),
            result=bytes(32),
        ),
    ]


def kind_rule(stated: ShipmentStatement) -> str:
    """The end of the name of the rule for statements of this kind."""
    plain = isinstance(stated, Loaded | Accepted | Delivered)
    return "plain" if plain else kind_of(stated)


def rotation_statement() -> bytes:
    """The truck's second reading is its new key's."""
    rotation = make_rotation(
        TRUCK, NEW_TRUCK, authority=AUTHORITY, issuer=DEVICE, starts=(TIME_S, 1), valid_from_s=TIME_S
    )
    return stated(1, CONTENT_ROTATION, encode_rotation(rotation))


def revocation_statement() -> bytes:
    """The new key was stolen."""
    revocation = Revocation(DEVICE, key_id(NEW_TRUCK.public_key), "stolen")
    return stated(2, CONTENT_REVOCATION, encode_revocation(revocation))


def admission_statement() -> bytes:
    """The truck's second reading is known to be its own all the same."""
    admission = Admission(DEVICE, [hash_leaf(reading(1))], "in the driver's receipts")
    return stated(3, CONTENT_ADMISSION, encode_admission(admission))


def reading(sequence: int = 0) -> bytes:
    """A reading of numbers and a boolean, with units and times of their own."""
    records = [
        Record("temperature", "Cel", 4.5, float(TIME_S)),
        Record("door", "/", 1.0, float(TIME_S)),
        Record("temperature", "Cel", 5.0, TIME_S + 60.5),
    ]
    return sign_statement(
        NEW_TRUCK if sequence else TRUCK,
        issuer=DEVICE,
        subject="container/7",
        content_type=CONTENT_SENML,
        epoch=TIME_S,
        sequence=sequence,
        previous=bytes(32),
        payload=encode_pack(DEVICE, records),
    )


def registry() -> Registry:
    """The registry after all that the bureau stated."""
    made = Registry()
    raws = [enrolment_statement(), rotation_statement(), revocation_statement(), admission_statement()]
    made.apply_block([b"manifest", *raws], (), authorities())
    return made


def key_record() -> KeyRecord:
    """The truck's new key in the registry."""
    return registry().keys_of(DEVICE)[1]


def path_of(record: KeyRecord | AdmissionRecord) -> Path:
    """A record's path to the registry's root."""
    sides, hashes = registry().path(record)
    return Path(sides, 1 << len(hashes), hashes)


def manifest(accepted: int) -> Manifest:
    """A manifest with every field."""
    made = registry()
    return Manifest(
        shard=3,
        height=63,
        previous=hashlib.sha256(b"previous").digest(),
        topic_id=bytes(range(16)),
        offset_first=10,
        offset_last=10 + accepted + 2,
        arrival_first_ms=TIME_S * 1000,
        arrival_last_ms=TIME_S * 1000 + 480,
        accepted=accepted,
        duplicates=1,
        refused={"oversize": 1, "signature_invalid": 1},
        refused_hash=hashlib.sha256(b"refused").digest(),
        registry_blocks=made.blocks,
        registry_root=made.root,
        equivocations=(3,),
        state_hash=hashlib.sha256(state_snapshot()).digest(),
    )


def block() -> tuple[SealedBlock, bytes]:
    """A block of four statements, and its signed block."""
    leaves = [reading(sequence) for sequence in range(4)]
    sealed = seal(manifest(len(leaves)), leaves)
    return sealed, sign_block(LOG, ORIGIN, manifest(len(leaves)), sealed.root, sealed.manifest_hash)


def genesis() -> bytes:
    """Entry 0."""
    return sign_genesis(LOG, ORIGIN, 5, authorities().file_hash)


def receipt() -> bytes:
    """The receipt of the first statement of the block."""
    sealed, signed = block()
    return make_receipt(signed, sealed.tree.size, 1, sealed.tree.path(1))


def checkpoint() -> bytes:
    """The checkpoint over genesis and block, cosigned."""
    root = BlockTree(hash_leaves([genesis(), block()[1]])).root
    made = Checkpoint(ORIGIN, 2, root)
    return add_signatures(sign_checkpoint(made, LOG_NOTE), [cosign(made, WITNESS_NOTE, TIME_S + 1)])


def point_proof() -> bytes:
    """The proof of the second temperature of the second statement."""
    sealed, signed = block()
    log = BlockTree(hash_leaves([genesis(), signed]))
    admission = registry().admission(DEVICE, hash_leaf(reading(1)))
    assert admission is not None
    return encode_proof(
        PointProof(
            statement=reading(1),
            record=2,
            in_block=Path(2, sealed.tree.size, sealed.tree.path(2)),
            manifest=encode_manifest(manifest(4)),
            signed_block=signed,
            in_log=Path(1, log.size, log.path(1)),
            enrolment=enrolment_statement(),
            in_registry=path_of(key_record()),
            checkpoint=checkpoint(),
            rotations=[rotation_statement()],
            status=KeyStatus(None, key_record().revocation),
            admission=(admission_statement(), path_of(admission)),
        )
    )


def evidence_head() -> bytes:
    """The head of evidence for a query with every restriction."""
    query = Query(
        frozenset({DEVICE}),
        frozenset({"container/7"}),
        frozenset({"harbour"}),
        frozenset({"temperature"}),
        Span(TIME_S * 1_000_000, TIME_S * 1_000_000 + 1),
    )
    return encode_head(EvidenceHead(query, checkpoint(), genesis()))


def evidence_key() -> bytes:
    """A key that came by rotation and was revoked."""
    status = KeyStatus(None, key_record().revocation)
    path, rotations = path_of(key_record()), (rotation_statement(),)
    return encode_key(KeyFrame(registry().root, enrolment_statement(), path, rotations, status))


def evidence_admission() -> bytes:
    """What lets one statement in all the same."""
    leaf_hash = hash_leaf(reading(1))
    admission = registry().admission(DEVICE, leaf_hash)
    assert admission is not None
    frame = AdmissionFrame(registry().root, leaf_hash, admission_statement(), path_of(admission))
    return encode_admission_frame(frame)


def equivocation() -> bytes:
    """Two statements of one identity, both shown to be in the log."""
    sealed, signed = block()
    log = BlockTree(hash_leaves([genesis(), signed]))
    places = [
        LogPlace(
            Path(leaf, sealed.tree.size, sealed.tree.path(leaf)),
            encode_manifest(manifest(4)),
            signed,
            Path(1, log.size, log.path(1)),
        )
        for leaf in (2, 3)
    ]
    made = make_equivocation(
        reading(1),
        reading(2),
        places=(places[0], places[1]),
        enrolment=enrolment_statement(),
        rotations=[rotation_statement()],
        checkpoint=checkpoint(),
    )
    return encode_equivocation(made)


def state_snapshot() -> bytes:
    """What a shard remembers after a gap and an equivocation."""
    memory = SignerSequences()
    for sequence, leaf in ((0, b"a"), (4, b"b"), (4, b"c")):
        memory.place(DEVICE, TIME_S, sequence, hash_leaf(leaf))
    return memory.to_bytes()


def outcomes() -> bytes:
    """What the refused topic carries for a block with a refusal and a duplicate."""
    topic = f"statements/{DEVICE}"
    refused = Refused(topic, hashlib.sha256(b"x").digest(), "oversize", 1, 20_000, TIME_S * 1000, b"head")
    (value,) = wrap_outcomes([refused], [Duplicate(topic, DEVICE, TIME_S, 0, 3)])
    return value


def examples() -> dict[str, bytes]:
    """Rule of the CDDL -> an object that it describes, as bytes."""
    sign1 = parse_sign1(reading())
    assert sign1.payload is not None
    return {
        "statement": reading(),
        "reading": reading(),
        "enrolment-statement": enrolment_statement(),
        "sig-structure": signing_input(sign1.protected, sign1.payload),
        "receipts-message": encode_receipts([(TIME_S, 0, receipt())]),
        "refusal-message": encode_refusal(hashlib.sha256(b"x").digest(), Reason.OVERSIZE),
        "manifest": encode_manifest(manifest(4)),
        "signed-block": block()[1],
        "receipt": receipt(),
        "genesis": genesis(),
        "rotation-statement": rotation_statement(),
        "revocation-statement": revocation_statement(),
        "admission-statement": admission_statement(),
        "role-enrolment": auditor_enrolment(),
        "finding-statement": finding_statement(),
        "shipment-statement": shipment_statement(),
        "epcis-statement": epcis_statement(),
        "compact-verdict": encode([shipment_statement(), enrolment_statement(), rotation_statement()]),
        **{f"shipment-{kind_rule(stated)}": encode_shipment(stated) for stated in other_statements()},
        "registry-record": key_record().leaf(),
        "admission-record": AdmissionRecord(DEVICE, bytes(32), bytes(32)).leaf(),
        "registry-snapshot": encode_registry(registry()),
        "point-proof": point_proof(),
        "evidence-head": evidence_head(),
        "evidence-key": evidence_key(),
        "evidence-admission": evidence_admission(),
        "equivocation": equivocation(),
        "log-key": wrap_positions([ShardPosition(1, 0), ShardPosition(64, 63)]),
        "outcomes": outcomes(),
        "state-snapshot": state_snapshot(),
        "witness-state": encode([1, [checkpoint()]]),
        "publisher-state": encode([2, BlockTree(hash_leaves([b"a", b"b"])).root, 1]),
    }
