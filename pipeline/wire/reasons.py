"""The one published list of reason codes. Python, documentation and other implementations use these words."""

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """Why something was refused. The value is the published code, `meaning` one sentence for people."""

    meaning: str

    def __new__(cls, code: str, meaning: str) -> Self:
        """Make a member that is its published code."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    # Size and CBOR profile
    OVERSIZE = "oversize", "More bytes than the limit; refused unread."
    CBOR_TRUNCATED = "cbor_truncated", "The bytes end inside an item."
    CBOR_TRAILING = "cbor_trailing", "Bytes follow the item."
    CBOR_RESERVED = "cbor_reserved", "A reserved additional-information value (28 to 30) or a stray break."
    CBOR_INDEFINITE = "cbor_indefinite", "An indefinite length; only definite ones are allowed."
    CBOR_NOT_SHORTEST = "cbor_not_shortest", "An integer or length is not in its shortest form."
    CBOR_KEY_ORDER = "cbor_key_order", "Map keys are not in bytewise order."
    CBOR_KEY_DUPLICATE = "cbor_key_duplicate", "A map key stands twice."
    CBOR_KEY_TYPE = "cbor_key_type", "A map key is neither an integer, text nor a byte string."
    CBOR_FLOAT = "cbor_float", "A float is NaN or infinite."
    CBOR_TAG = "cbor_tag", "A tag other than 18, or one inside the item."
    CBOR_SIMPLE = "cbor_simple", "A simple value other than false and true (null only as a detached payload)."
    CBOR_DEPTH = "cbor_depth", "Nested deeper than eight levels."
    CBOR_TEXT = "cbor_text", "Text that is not valid UTF-8."

    # Keys and signatures
    KEY_INVALID = "key_invalid", "Not a 32-byte Ed25519 key in the main subgroup."
    SIGNATURE_INVALID = "signature_invalid", "The signature does not verify under the key."

    # COSE_Sign1 and the statement profile
    COSE_SHAPE = "cose_shape", "Not a tagged COSE_Sign1 array of four with a signature of 64 bytes."
    COSE_HEADER = "cose_header", "A protected header is missing, unknown or of the wrong type."
    COSE_ALGORITHM = "cose_algorithm", "An algorithm other than Ed25519 (-19)."
    COSE_UNPROTECTED = "cose_unprotected", "The unprotected map does not hold exactly what it must."
    COSE_PAYLOAD = "cose_payload", "The payload is missing, or present where it must be detached."
    STATEMENT_CONTENT_TYPE = "statement_content_type", "A content type this place does not admit."
    STATEMENT_ISSUER = (
        "statement_issuer",
        "The issuer is not a device URN or a URI, may not sign this, or is too long.",
    )
    STATEMENT_SUBJECT = "statement_subject", "The subject is empty, too long or has control characters."
    STATEMENT_CHAIN = "statement_chain", "The chain header is not [epoch, sequence, previous]."

    # MQTT topics and messages to devices
    TOPIC_SHAPE = (
        "topic_shape",
        "Not one of our MQTT topics, or its name is not percent-encoded in the one way.",
    )
    MESSAGE_SHAPE = "message_shape", "Not a message of receipts or a refusal."

    # SenML packs
    PACK_SHAPE = "pack_shape", "Not a non-empty array of records, or more than 256 of them."
    PACK_LABEL = "pack_label", "A record is not a map, or has a label that the profile does not admit."
    PACK_VERSION = "pack_version", "The base version is missing where a unit needs it, or unknown."
    PACK_BASE_NAME = "pack_base_name", "The base name is not the issuer followed by an underscore."
    PACK_QUANTITY = "pack_quantity", "A quantity that is not in the table."
    PACK_UNIT = "pack_unit", "A unit other than the quantity's signed unit."
    PACK_VALUE = "pack_value", "A value is missing, not finite, or of the wrong type."
    PACK_TIME = "pack_time", "A time is missing, relative, or out of range."
    PACK_DUPLICATE = "pack_duplicate", "One quantity stands twice at one time."

    # Enrolment and registry
    ENROLMENT_SHAPE = "enrolment_shape", "An enrolment lacks a field, or has one of the wrong type or range."
    ROTATION_SHAPE = "rotation_shape", "A rotation lacks a field, or has one of the wrong type or range."
    REVOCATION_SHAPE = "revocation_shape", "A revocation lacks a field, or has one of the wrong type."
    ADMISSION_SHAPE = (
        "admission_shape",
        "An admission lacks a field, or its leaf hashes are none, malformed or not ascending.",
    )
    POSSESSION_INVALID = (
        "possession_invalid",
        "The holder of the key has not asked this authority to enrol it under this name.",
    )
    ROTATION_SIGNATURE = "rotation_signature", "The old key has not signed this rotation."
    AUTHORITY_UNKNOWN = "authority_unknown", "Signed by nobody in the authorities file."
    AUTHORITY_SCOPE = "authority_scope", "The authority does not answer for this kind in this area."
    KEY_KNOWN = "key_known", "The public key, or the issuer with this key id, is enrolled already."
    KEY_UNKNOWN = "key_unknown", "No enrolled key has this issuer and key id."
    KEY_NOT_YET_VALID = "key_not_yet_valid", "The key's validity starts later."
    KEY_REVOKED = "key_revoked", "The key was revoked by then."
    KEY_ENDED = "key_ended", "The key was rotated already."
    KEY_SPAN = "key_span", "Outside the sequences that the key is there for: another key's by rotation."
    ADMISSION_KNOWN = "admission_known", "A statement in the admission is admitted already."
    REGISTRY_LAG = "registry_lag", "The block does not know a registry block that came too long before it."

    # Sealing
    SHARD_WRONG = "shard_wrong", "The issuer belongs to another shard."
    SEQUENCE_OLD = "sequence_old", "Older than the sequences remembered, or from an epoch long past."
    SEQUENCE_GAPS = (
        "sequence_gaps",
        "Too many separate gaps are open in this epoch; the older ones must be filled first.",
    )
    EQUIVOCATION = "equivocation", "Other bytes stand already under this issuer, epoch and sequence."
    QUOTA_EXCEEDED = "quota_exceeded", "More messages came under this name than one signer may send."

    # Trees and proofs
    HASH_SIZE = "hash_size", "A hash is not 32 bytes."
    INDEX_OUTSIDE = "index_outside", "The index is not inside the tree."
    SIZE_ORDER = "size_order", "The sizes are not in order, or the smaller one is zero."
    PATH_LONG = "path_long", "The path has more hashes than the tree has levels."
    PATH_SHORT = "path_short", "The path ends below the root."
    ROOT_MISMATCH = "root_mismatch", "The path leads to another root."

    # Notes, checkpoints, policy
    NOTE_SHAPE = "note_shape", "Not a signed note: text, blank line, signature lines."
    NOTE_KEY = "note_key", "A verifier key is malformed or its id does not fit."
    NOTE_SIGNATURE = "note_signature", "A signature by a known key does not verify."
    NOTE_UNSIGNED = "note_unsigned", "No known key has signed."
    CHECKPOINT_SHAPE = "checkpoint_shape", "Not a checkpoint: origin, size, root."
    CHECKPOINT_ORIGIN = "checkpoint_origin", "A checkpoint of another log."
    CHECKPOINT_STALE = "checkpoint_stale", "The newest cosignature is older than the city promises."
    ARRIVAL_LATE = "arrival_late", "It claims to have arrived after it was cosigned."
    QUORUM_MISSING = "quorum_missing", "Fewer witnesses have cosigned than the policy asks for."
    REQUEST_SHAPE = "request_shape", "Not an add-checkpoint request."
    POLICY_SHAPE = "policy_shape", "The policy file breaks its grammar."
    AUTHORITIES_SHAPE = "authorities_shape", "The authorities file breaks its grammar."

    # Blocks, receipts, tiles
    MANIFEST_SHAPE = "manifest_shape", "The manifest lacks a field, or has one of the wrong type."
    MANIFEST_MISMATCH = "manifest_mismatch", "The manifest's hash is not the one the signed block names."
    BLOCK_SHAPE = "block_shape", "Not a signed block, or its framing is broken."
    BLOCK_HEIGHT = "block_height", "The block is not the next one of its shard."
    BLOCK_LINK = "block_link", "The block does not name the previous block's root."
    BLOCK_OFFSETS = "block_offsets", "The block's offsets do not follow the previous block's."
    BLOCK_TIMES = "block_times", "The block's arrival times run backwards."
    BLOCK_COUNTS = "block_counts", "The manifest counts something else than the block holds."
    BLOCK_ROOT = "block_root", "The leaves give another root than the block names."
    BLOCK_REGISTRY = "block_registry", "The registry state the block names is not the log's."
    BLOCK_LEAF_TWICE = "block_leaf_twice", "A statement is in the log already."
    GENESIS_SHAPE = "genesis_shape", "Entry 0 is not a genesis of this log."
    RECEIPT_SHAPE = "receipt_shape", "Not a receipt: one inclusion proof, detached payload."
    RECEIPT_ORIGIN = "receipt_origin", "A receipt of another log."
    RECEIPT_SIZE = "receipt_size", "The receipt's proof is for another size than the signed block's."
    RECEIPT_BROKEN = "receipt_broken", "The log has signed a receipt for what it does not hold."
    TILE_SHAPE = "tile_shape", "A tile or entry bundle has the wrong size or path."
    FILE_MISSING = "file_missing", "A file of the log is not there."
    SNAPSHOT_SHAPE = "snapshot_shape", "Not a snapshot of the registry."

    # Watching a log
    LOG_SILENT = "log_silent", "The log does not answer: that accuses nobody, and is waited for."
    SPLIT_VIEW = "split_view", "The log has signed two checkpoints of which neither extends the other."
    CHECKPOINT_SHRANK = "checkpoint_shrank", "The log shows a smaller tree than it has shown before."
    COSIGN_LATE = "cosign_late", "It was under no checkpoint within the time that the city promises."
    SEQUENCE_MISSING = "sequence_missing", "Statements are missing between others of the same signer."
    CLOCK_SKEW = "clock_skew", "A signer's times and those of arrival are far apart."

    # Point proofs and stores
    PROOF_SHAPE = "proof_shape", "Not a point proof: a part is missing or of the wrong type."
    PROOF_RECORD = "proof_record", "The statement has no record at this index."
    PROOF_REGISTRY = "proof_registry", "The enrolment in the proof is not the one in the registry."
    EVIDENCE_SHAPE = "evidence_shape", "Not an evidence file: its framing breaks, or a frame is out of place."
    EVIDENCE_QUERY = "evidence_query", "The query is malformed, or something in the file is no answer to it."
    EVIDENCE_DAMAGED = "evidence_damaged", "The file's bytes are not those that the hash at its end is of."
    EQUIVOCATION_SHAPE = (
        "equivocation_shape",
        "Not evidence of an equivocation: two statements, and who enrolled their key.",
    )
    EQUIVOCATION_NONE = "equivocation_none", "The two statements do not contradict one another."
    FINDING_SHAPE = "finding_shape", "A finding lacks a field, or has one of the wrong type or range."
    POINT_ALTERED = "point_altered", "The stored value is not the signed one."
    POINT_UNEXPECTED = "point_unexpected", "A stored point has no record in the log."
    POINT_MISSING = "point_missing", "A record in the log has no stored point."

    # Shipments
    SHIPMENT_SHAPE = "shipment_shape", "A statement about a shipment lacks a field, or has a wrong one."
    SHIPMENT_ROLE = "shipment_role", "The signer's role does not state such about shipments."
    SHIPMENT_ORDER = "shipment_order", "In the shipment's state there is no such step."
    SHIPMENT_SIGNER = "shipment_signer", "It is another one's to state this now."
    SHIPMENT_PARTY = "shipment_party", "Offered to who is no party of the shipment, or holds it already."
    SHIPMENT_STALE = "shipment_stale", "Something else was stated after the statement that it follows."
    SHIPMENT_LIMITS = (
        "shipment_limits",
        "Limits are committed before loading, by their hash, and not changed then.",
    )
    SHIPMENT_LOGGERS = (
        "shipment_loggers",
        "A logger joins twice, leaves without having been there, or none would be left.",
    )
    SHIPMENT_TIME = "shipment_time", "It is said to have been before the statement that it follows."
    SHIPMENT_VERDICT = (
        "shipment_verdict",
        "It rests on no verdict about the whole trip that was in the log before.",
    )
    VERDICT_MISMATCH = "verdict_mismatch", "Judged again from what it names, the verdict is another one."

    # What goes out and comes in
    GS1_KEY = "gs1_key", "A GS1 key has a wrong length, character, check digit or place."
    EPCIS_SHAPE = "epcis_shape", "Not an EPCIS 2.0 document, or an event lacks a field or has a wrong one."
    VERDICT_CODE = "verdict_code", "Not a compact verdict: its text, compression or fields are others."


BY_CODE = {reason.value: reason for reason in Reason}
