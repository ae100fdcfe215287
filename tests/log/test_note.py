"""Signed notes and their keys: every rule of the specification, each broken rule with its reason."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from pipeline.log.note import (
    NAME_SIZE_MAX,
    NOTE_SIZE_MAX,
    SIGNATURES_MAX,
    TYPE_COSIGNATURE,
    TYPE_ED25519,
    NoteKey,
    NoteSigner,
    cosigned_message,
    decode_base64,
    encode_base64,
    encode_note,
    encode_vkey,
    is_name,
    parse_note,
    parse_signatures,
    parse_vkey,
    verified,
)
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import SeedSigner
from pipeline.wire.reasons import Reason

SEED = bytes(range(32))
NAME = "city.example/log"
TEXT = "first line\n\nlast line\n"
PUBLIC_KEY = bytes(SigningKey(SEED).verify_key)
SIGNATURE = SigningKey(SEED).sign(TEXT.encode()).signature


def key_id(name: str, key_type: int, public_key: bytes = PUBLIC_KEY) -> bytes:
    """Key id by the specification's formula."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([key_type]) + public_key).digest()[:4]


def line(name: str, value: bytes) -> bytes:
    """One signature line."""
    return b"\xe2\x80\x94 " + name.encode() + b" " + base64.b64encode(value) + b"\n"


def vkey(name: str, key_type: int, public_key: bytes = PUBLIC_KEY) -> str:
    """A verifier key's text."""
    material = base64.b64encode(bytes([key_type]) + public_key).decode()
    return f"{name}+{key_id(name, key_type, public_key).hex()}+{material}"


SIGNED_LINE = line(NAME, key_id(NAME, 1) + SIGNATURE)
NOTE = TEXT.encode() + b"\n" + SIGNED_LINE
KEY = NoteKey(NAME, TYPE_ED25519, PUBLIC_KEY)


def reason_of(raw: bytes) -> Reason:
    """Why parsing refuses these bytes."""
    with pytest.raises(VerificationError) as refused:
        parse_note(raw)
    return refused.value.reason


def test_signing_gives_the_specifications_bytes() -> None:
    """Our signer's note is the one made by hand, and its key verifies it."""
    signer = NoteSigner(NAME, SeedSigner(SEED))
    assert encode_note(TEXT, [signer.sign(TEXT)]) == NOTE
    assert signer.key() == KEY
    assert verified(parse_note(NOTE), [KEY]) == [(KEY, None)]


def test_the_text_ends_at_the_last_blank_line() -> None:
    """Blank lines in the text belong to it; what is signed keeps its last newline and not the blank line."""
    note = parse_note(NOTE)
    assert note.text == TEXT
    assert [(s.name, s.key_id, s.value) for s in note.signatures] == [(NAME, key_id(NAME, 1), SIGNATURE)]
    assert parse_note(b"\n\n" + SIGNED_LINE).text == "\n"
    assert note.signatures[0].line().encode() == SIGNED_LINE


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"\n\n",
        TEXT.encode(),
        TEXT.encode() + b"\n",
        NOTE[:-1],
        NOTE + b"\n",
        NOTE + b"x",
        SIGNED_LINE,
        TEXT.encode() + b"\n\n" + SIGNED_LINE[:-1],
        TEXT.encode() + b"\n- " + SIGNED_LINE[4:],
        TEXT.encode() + b"\n " + SIGNED_LINE,
        TEXT.encode() + b"\n" + SIGNED_LINE[:3] + SIGNED_LINE[4:],
        TEXT.encode() + b"\n" + SIGNED_LINE.replace(b"log ", b"log  "),
        TEXT.encode() + b"\n" + SIGNED_LINE[:-1] + b" \n",
        TEXT.encode() + b"\n" + SIGNED_LINE[:-1] + b"\r\n",
        TEXT.encode() + b"\n\xe2\x80\x94 name\n",
        TEXT.encode() + b"\n\xe2\x80\x94 name \n",
        TEXT.encode() + b"\n" + line("", bytes(68)),
        TEXT.encode() + b"\n" + line("a+b", bytes(68)),
        TEXT.encode() + b"\n" + line("a\u00a0b", bytes(68)),
        TEXT.encode() + b"\n" + line("a\u2028b", bytes(68)),
        TEXT.encode() + b"\n" + line("n" * (NAME_SIZE_MAX + 1), bytes(68)),
        TEXT.encode() + b"\n" + line(NAME, bytes(4)),
        TEXT.encode() + b"\n" + line(NAME, bytes(3)),
        b"tab\there\n\n" + SIGNED_LINE,
        b"nul\0here\n\n" + SIGNED_LINE,
        b"carriage\r\n\n" + SIGNED_LINE,
        b"unit\x1fseparator\n\n" + SIGNED_LINE,
        b"\xff\n\n" + SIGNED_LINE,
        b"\xed\xa0\x80\n\n" + SIGNED_LINE,
        TEXT.encode() + b"\n" + SIGNED_LINE * (SIGNATURES_MAX + 1),
    ],
)
def test_what_is_no_note_is_note_shape(raw: bytes) -> None:
    """Everything that breaks the grammar of a note is refused for that."""
    assert reason_of(raw) is Reason.NOTE_SHAPE


def test_limits_are_where_they_are_said_to_be() -> None:
    """64 signatures and 128 KiB are read (16 are required); one byte more is refused unread."""
    assert len(parse_note(TEXT.encode() + b"\n" + SIGNED_LINE * SIGNATURES_MAX).signatures) == SIGNATURES_MAX
    assert len(parse_note(TEXT.encode() + b"\n" + line("n" * NAME_SIZE_MAX, bytes(5))).signatures) == 1
    tail = b"\n\n" + SIGNED_LINE
    largest = b"x" * (NOTE_SIZE_MAX - len(tail)) + tail
    assert len(parse_note(largest).signatures) == 1
    assert reason_of(b"x" + largest) is Reason.OVERSIZE
    with pytest.raises(VerificationError) as refused:
        parse_signatures(bytes(NOTE_SIZE_MAX + 1))
    assert refused.value.reason is Reason.OVERSIZE
    assert (NOTE_SIZE_MAX, SIGNATURES_MAX, NAME_SIZE_MAX) == (131_072, 64, 255)
    value = bytes((NOTE_SIZE_MAX - len(line("n", b""))) // 4 * 3)  # Base64 of it fills the lines up.
    filler = "n" * (NOTE_SIZE_MAX - len(line("n", value)) + 1)
    lines = line(filler, value)
    assert len(lines) == NOTE_SIZE_MAX
    assert parse_signatures(lines)[0].name == filler
    # Del and C1 controls are text: only those below U+0020 are not.
    assert parse_note(b"\x7f\xc2\x80\n\n" + SIGNED_LINE).text == "\x7f\x80\n"


def test_signature_lines_are_read_without_a_note() -> None:
    """A witness answers lines only; what follows the note's rules for lines is read, nothing else."""
    (signature,) = parse_signatures(SIGNED_LINE)
    assert signature.value == SIGNATURE
    assert len(parse_signatures(SIGNED_LINE * 2)) == 2
    for raw in (
        b"",
        b"\n",
        SIGNED_LINE[:-1],
        b"\n" + SIGNED_LINE,
        SIGNED_LINE + b"\n",
        b"\xff" + SIGNED_LINE,
        NOTE,
    ):
        with pytest.raises(VerificationError) as refused:
            parse_signatures(raw)
        assert refused.value.reason is Reason.NOTE_SHAPE


def test_base64_has_one_spelling() -> None:
    """Trailing bits, missing or extra padding, the other alphabet and spaces are refused."""
    assert decode_base64("") == b""
    assert decode_base64("AQ==") == b"\x01"
    for text in (
        "AR==",
        "AQ=",
        "AQ",
        "AQ==\n",
        " AQ==",
        "AQ=== ",
        "AQ==AQ==",
        "A_-=",
        "Aé==",
        "====",
        "A" * 5,
    ):
        with pytest.raises(VerificationError) as refused:
            decode_base64(text)
        assert refused.value.reason is Reason.NOTE_SHAPE, text


@given(st.binary(max_size=100))
def test_base64_is_that_of_rfc_4648(data: bytes) -> None:
    """What we write, the standard library reads, and back."""
    assert (
        base64.b64decode(encode_base64(data), validate=True)
        == data
        == decode_base64(base64.b64encode(data).decode())
    )


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        "a+b",
        "a\tb",
        "a\u00a0b",
        "a\u1680b",
        "a\u2029b",
        "a\u3000b",
        "a\x1fb",
        "a\x00b",
        "a\x07b",
        "\ud800",
    ],
)
def test_names_without_spaces_and_plus(name: str) -> None:
    """A key name is not empty and holds no Unicode space, plus, control character or lone surrogate."""
    assert is_name(name) is False


def test_a_name_may_be_any_other_text() -> None:
    """Names of 1 to 255 bytes in any script."""
    for name in ("a", "城市.example/日志", "é" * 127, "a" * 255):
        assert is_name(name)
    assert not is_name("é" * 128)
    assert not is_name("a" * 256)


def test_unknown_keys_are_ignored_and_known_ones_must_verify() -> None:
    """Another id under this name, or this id under another name, is unknown; a known key's must verify."""
    others = line(NAME, b"\0\0\0\0" + SIGNATURE) + line("other", key_id(NAME, 1) + SIGNATURE)
    assert verified(parse_note(TEXT.encode() + b"\n" + others), [KEY]) == []
    assert verified(parse_note(TEXT.encode() + b"\n" + others + SIGNED_LINE), [KEY]) == [(KEY, None)]
    assert verified(parse_note(NOTE), []) == []

    for value in (SIGNATURE[:-1] + bytes([SIGNATURE[-1] ^ 1]), SIGNATURE[:-1], SIGNATURE + b"\0", bytes(64)):
        bad = SIGNED_LINE + line(NAME, key_id(NAME, 1) + value)
        with pytest.raises(VerificationError) as refused:
            verified(parse_note(TEXT.encode() + b"\n" + bad), [KEY])
        assert refused.value.reason is Reason.NOTE_SIGNATURE
    with pytest.raises(VerificationError) as refused:
        verified(parse_note(b"x" + NOTE), [KEY])
    assert refused.value.reason is Reason.NOTE_SIGNATURE


def test_a_cosignature_is_the_specifications() -> None:
    """Type 0x04: 8 bytes of time, then a signature over header, time and text; the time comes back."""
    time_s = 1_700_000_000
    message = b"cosignature/v1\ntime 1700000000\n" + TEXT.encode()
    value = time_s.to_bytes(8, "big") + SigningKey(SEED).sign(message).signature
    signature = NoteSigner(NAME, SeedSigner(SEED)).cosign(TEXT, time_s)
    assert cosigned_message(TEXT, time_s) == message
    assert signature.line().encode() == line(NAME, key_id(NAME, 4) + value)
    key = NoteKey(NAME, TYPE_COSIGNATURE, PUBLIC_KEY)
    assert verified(parse_note(encode_note(TEXT, [signature])), [key, KEY]) == [(key, time_s)]


@pytest.mark.parametrize("time_s", [0, 1, 2**63 - 1])
def test_every_time_up_to_the_bound_is_read(time_s: int) -> None:
    """Times are read up to 2^63 - 1."""
    key = NoteKey(NAME, TYPE_COSIGNATURE, PUBLIC_KEY)
    assert key.verify(TEXT, NoteSigner(NAME, SeedSigner(SEED)).cosign(TEXT, time_s).value) == time_s


def test_a_time_beyond_the_bound_is_refused() -> None:
    """2^63 and more are not times, however well signed; nor is a signature cut inside its time."""
    key = NoteKey(NAME, TYPE_COSIGNATURE, PUBLIC_KEY)
    signer = NoteSigner(NAME, SeedSigner(SEED))
    for value in (
        signer.cosign(TEXT, 2**63).value,
        signer.cosign(TEXT, 1).value[:8],
        b"",
        bytes(7),
        bytes(72),
    ):
        with pytest.raises(VerificationError) as refused:
            key.verify(TEXT, value)
        assert refused.value.reason is Reason.NOTE_SIGNATURE


def test_a_cosignature_is_no_signature_and_the_reverse() -> None:
    """The two types cannot stand for each other, though key and name are the same."""
    signer = NoteSigner(NAME, SeedSigner(SEED))
    for key_type, value in (
        (TYPE_ED25519, signer.cosign(TEXT, 5).value[8:]),
        (TYPE_COSIGNATURE, bytes(8) + SIGNATURE),
    ):
        with pytest.raises(VerificationError) as refused:
            NoteKey(NAME, key_type, PUBLIC_KEY).verify(TEXT, value)
        assert refused.value.reason is Reason.NOTE_SIGNATURE


@pytest.mark.parametrize("key_type", [TYPE_ED25519, TYPE_COSIGNATURE])
def test_vkeys_go_there_and_back(key_type: int) -> None:
    """Name, type and key come back from the text."""
    key = parse_vkey(vkey(NAME, key_type))
    assert (key.name, key.type, key.public_key) == (NAME, key_type, PUBLIC_KEY)
    assert key.key_id == key_id(NAME, key_type)
    assert encode_vkey(key) == vkey(NAME, key_type)


def test_a_mangled_vkey_is_refused() -> None:
    """Every character of a key changed, dropped or doubled is refused: the id or the grammar catches it."""
    good = vkey(NAME, TYPE_ED25519)
    mangled = {
        good[:at] + replacement + good[at + 1 :]
        for at in range(len(good))
        for replacement in ("", "A", "0", "+", "==", "é")
    }
    mangled |= {good + "=", good + "\n", " " + good, good.upper(), good.replace("+", "-")}
    for text in mangled - {good}:
        with pytest.raises(VerificationError) as refused:
            parse_vkey(text)
        assert refused.value.reason is Reason.NOTE_KEY, text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.NOTE_KEY),
        ("name", Reason.NOTE_KEY),
        ("name+12345678", Reason.NOTE_KEY),
        ("name+12345678+", Reason.NOTE_KEY),
        (vkey(NAME, 0x02), Reason.NOTE_KEY),
        (vkey(NAME, 0x06, bytes(1312)), Reason.NOTE_KEY),
        (vkey(NAME, 0xFF), Reason.NOTE_KEY),
        (vkey("a b", 0x01), Reason.NOTE_KEY),
        (vkey("", 0x01), Reason.NOTE_KEY),
        (vkey(NAME, 0x01, PUBLIC_KEY[:-1]), Reason.KEY_INVALID),
        (vkey(NAME, 0x01, PUBLIC_KEY + b"\0"), Reason.KEY_INVALID),
        (vkey(NAME, 0x01, b""), Reason.KEY_INVALID),
        (vkey(NAME, 0x04, b"\1" + bytes(31)), Reason.KEY_INVALID),
    ],
)
def test_keys_that_cannot_be_used(text: str, reason: Reason) -> None:
    """Malformed keys, other signature types, and public keys of small order or another size."""
    with pytest.raises(VerificationError) as refused:
        parse_vkey(text)
    assert refused.value.reason is reason


def test_foreign_notes(shared: Path) -> None:
    """The specification's, Go's and Sunlight's notes verify, and fail with a character more."""
    vectors = json.loads((shared / "vectors/signed-note/vectors.json").read_text())
    times = []
    for vector in vectors["notes"]:
        note = parse_note(vector["note"].encode())
        assert encode_note(note.text, note.signatures) == vector["note"].encode()
        if vector["valid"] is None:  # Its keys are not published.
            signed = cosigned_message(note.text, vector["timestamp"])
            assert signed == vector["signed_body"].encode()
            assert int.from_bytes(note.signatures[1].value[:8], "big") == vector["timestamp"]
            continue
        key = parse_vkey(vector["vkey"])
        assert encode_vkey(key) == vector["vkey"]
        assert verified(note, [key]) == [(key, vector.get("timestamp"))]
        times.append(vector.get("timestamp"))
        with pytest.raises(VerificationError) as refused:
            verified(parse_note(b"x" + vector["note"].encode()), [key])
        assert refused.value.reason is Reason.NOTE_SIGNATURE
    assert times == [None, None, 1767139200, 1767139200]


def test_gos_signer_is_ours(shared: Path) -> None:
    """Go's private key of its own test signs to the same note, byte for byte."""
    vectors = json.loads((shared / "vectors/signed-note/vectors.json").read_text())
    (vector,) = [vector for vector in vectors["notes"] if "signer_key" in vector]
    name, key_hex, material = vector["signer_key"].removeprefix("PRIVATE+KEY+").split("+", 2)
    signer = NoteSigner(name, SeedSigner(base64.b64decode(material)[1:]))
    text = parse_note(vector["note"].encode()).text
    assert signer.key().key_id.hex() == key_hex
    assert encode_note(text, [signer.sign(text)]) == vector["note"].encode()


def test_foreign_vkeys(shared: Path) -> None:
    """transparency-dev's five keys: two are read and written back, three refused."""
    vectors = json.loads((shared / "vectors/signed-note/vectors.json").read_text())
    verdicts = []
    for vector in vectors["vkeys"]:
        verdicts.append(vector["valid"])
        if vector["valid"]:
            assert encode_vkey(parse_vkey(vector["vkey"])) == vector["vkey"]
        else:
            with pytest.raises(VerificationError) as refused:
                parse_vkey(vector["vkey"])
            assert refused.value.reason is Reason.NOTE_KEY
    assert verdicts == [True, True, False, False, False]
