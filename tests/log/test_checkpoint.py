"""Checkpoints: three lines, a log's signature under its origin, and the quorum's cosignatures."""

import base64
import json
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from pipeline.log.checkpoint import (
    Checkpoint,
    Cosignature,
    add_signatures,
    cosign,
    encode_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from pipeline.log.note import NoteSigner, encode_note, encode_vkey, parse_note
from pipeline.log.policy import Policy, parse_policy
from pipeline.wire.errors import VerificationError
from pipeline.wire.keys import SeedSigner
from pipeline.wire.reasons import Reason

ORIGIN = "city.example/log"
ROOT = bytes(range(32))
ROOT_TEXT = base64.b64encode(ROOT).decode()
TEXT = f"{ORIGIN}\n42\n{ROOT_TEXT}\n"
CHECKPOINT = Checkpoint(ORIGIN, 42, ROOT)
LOG = NoteSigner(ORIGIN, SeedSigner(b"L" * 32))
WITNESSES = [NoteSigner(f"w{number}.example", SeedSigner(bytes([number]) * 32)) for number in range(1, 5)]


def policy(*extra: str, quorum: str = "two", log: NoteSigner = LOG) -> Policy:
    """A policy of one log and three witnesses, two of which suffice; the fourth is a stranger."""
    lines = [f"log {encode_vkey(log.key())}"]
    lines += [f"witness W{n} {encode_vkey(signer.key(4))}" for n, signer in enumerate(WITNESSES[:3], 1)]
    lines += ["group two 2 W1 W2 W3", *extra, f"quorum {quorum}", ""]
    return parse_policy("\n".join(lines).encode())


def cosigned(*numbers: int, time_s: int = 100) -> bytes:
    """The checkpoint, cosigned by these witnesses at 100 + their number."""
    lines = [cosign(CHECKPOINT, WITNESSES[number - 1], time_s + number) for number in numbers]
    return add_signatures(sign_checkpoint(CHECKPOINT, LOG), lines)


def reason_of(note: bytes, by: Policy) -> Reason:
    """Why a checkpoint is refused."""
    with pytest.raises(VerificationError) as refused:
        open_checkpoint(note, by)
    return refused.value.reason


def test_the_text_is_the_specifications() -> None:
    """Origin, size and root, one a line; the note is text, blank line and the log's line."""
    assert encode_checkpoint(CHECKPOINT) == TEXT
    assert parse_checkpoint(TEXT) == CHECKPOINT
    note = sign_checkpoint(CHECKPOINT, LOG)
    signature = SigningKey(b"L" * 32).sign(TEXT.encode()).signature
    value = base64.b64encode(LOG.key().key_id + signature).decode()
    assert note.decode() == f"{TEXT}\n\N{EM DASH} {ORIGIN} {value}\n"


@pytest.mark.parametrize("size", [0, 1, 10, 2**63 - 1])
def test_sizes_are_decimal(size: int) -> None:
    """Every size up to 2^63 - 1 goes there and back."""
    checkpoint = Checkpoint(ORIGIN, size, ROOT)
    assert encode_checkpoint(checkpoint).split("\n")[1] == str(size)
    assert parse_checkpoint(encode_checkpoint(checkpoint)) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "\n\n\n",
        TEXT[:-1],
        TEXT + "extension\n",
        TEXT + "extension",
        TEXT + "\n",
        "\n" + TEXT,
        f"{ORIGIN}\n42\n",
        *(
            f"{ORIGIN}\n{size}\n{ROOT_TEXT}\n"
            for size in ("", "00", "042", "+42", "-1", " 42", "42 ", "4_2", "0x2a", "4e1", "٤٢", "²")
        ),
        f"{ORIGIN}\n{2**63}\n{ROOT_TEXT}\n",
        f"{ORIGIN}\n{'9' * 5000}\n{ROOT_TEXT}\n",
        f"\n42\n{ROOT_TEXT}\n",
        f"two words\n42\n{ROOT_TEXT}\n",
        f"a+b\n42\n{ROOT_TEXT}\n",
        f"{ORIGIN}\n42\n\n",
        f"{ORIGIN}\n42\n{ROOT_TEXT[:-1]}\n",
        f"{ORIGIN}\n42\n{ROOT_TEXT} \n",
        f"{ORIGIN}\n42\n{ROOT.hex()}\n",
        f"{ORIGIN}\n42\n{base64.b64encode(ROOT[:-1]).decode()}\n",
        f"{ORIGIN}\n42\n{base64.b64encode(ROOT + b'x').decode()}\n",
        f"{ORIGIN}\n42\n{ROOT_TEXT[:-2]}9=\n",
    ],
)
def test_any_other_text_is_checkpoint_shape(text: str) -> None:
    """Missing or extra lines, sizes and roots spelled otherwise, names that are none."""
    with pytest.raises(VerificationError) as refused:
        parse_checkpoint(text)
    assert refused.value.reason is Reason.CHECKPOINT_SHAPE


def test_a_quorum_opens_it() -> None:
    """What comes out is what was signed, by whom, and when each witness saw it."""
    opened = open_checkpoint(cosigned(3, 1), policy())
    assert opened.checkpoint == CHECKPOINT
    assert opened.text == TEXT
    assert opened.log == LOG.key()
    assert opened.cosignatures == (Cosignature("W3", 103), Cosignature("W1", 101))


def test_the_order_of_lines_does_not_matter() -> None:
    """The log's line need not be the first."""
    text, lines = cosigned(1, 2).decode().split("\n\n")
    for swapped in (lines.splitlines()[::-1], sorted(lines.splitlines())):
        note = text + "\n\n" + "\n".join(swapped) + "\n"
        assert {c.witness for c in open_checkpoint(note.encode(), policy()).cosignatures} == {"W1", "W2"}


def test_fewer_than_the_quorum_is_quorum_missing() -> None:
    """One witness, one witness twice, or one and a stranger, are not two."""
    for note in (cosigned(), cosigned(1), cosigned(1, 1), cosigned(1, 4)):
        assert reason_of(note, policy()) is Reason.QUORUM_MISSING
    assert open_checkpoint(cosigned(), policy(quorum="none")).cosignatures == ()


def test_a_strangers_lines_are_ignored() -> None:
    """A witness the policy does not name neither helps nor harms, even with a signature that is garbage."""
    garbage = cosigned(1, 2) + f"\N{EM DASH} w4.example {base64.b64encode(bytes(76)).decode()}\n".encode()
    for note in (cosigned(1, 2, 4), garbage):
        assert [c.witness for c in open_checkpoint(note, policy()).cosignatures] == ["W1", "W2"]


def test_a_known_witness_must_verify_even_beyond_the_quorum() -> None:
    """The third of three with a bad signature refuses the whole note."""
    note = cosigned(1, 2, 3)
    (own,) = [s for s in parse_note(note).signatures if s.name == "w3.example"]
    value = base64.b64encode(own.key_id + own.value[:-1] + bytes([own.value[-1] ^ 1])).decode()
    bad = note.replace(own.line().encode(), f"\N{EM DASH} w3.example {value}\n".encode())
    assert bad != note
    assert reason_of(bad, policy()) is Reason.NOTE_SIGNATURE


def test_a_witness_counts_once_with_its_earliest_time() -> None:
    """Two cosignatures of one witness are one; the earlier time is the tighter bound."""
    lines = [cosign(CHECKPOINT, WITNESSES[0], time_s) for time_s in (300, 200, 250)]
    note = add_signatures(cosigned(2), lines)
    assert open_checkpoint(note, policy()).cosignatures == (Cosignature("W2", 102), Cosignature("W1", 200))


def test_witnesses_alone_are_not_enough() -> None:
    """Without the log's signature a note is NOTE_UNSIGNED, whoever cosigned."""
    text, lines = cosigned(1, 2, 3).decode().split("\n\n")
    unsigned = text + "\n\n" + "".join(line + "\n" for line in lines.splitlines()[1:])
    assert reason_of(unsigned.encode(), policy()) is Reason.NOTE_UNSIGNED
    other = NoteSigner(ORIGIN, SeedSigner(b"O" * 32))
    assert reason_of(cosigned(1, 2), policy(log=other)) is Reason.NOTE_UNSIGNED


def test_a_log_signs_under_its_own_origin_only() -> None:
    """A known log's signature on another log's checkpoint is CHECKPOINT_ORIGIN."""
    other = NoteSigner("other.example/log", SeedSigner(b"O" * 32))
    note = add_signatures(sign_checkpoint(CHECKPOINT, LOG), [])
    foreign = add_signatures(note.split(b"\n\n")[0] + b"\n\n", [other.sign(TEXT)])
    by = policy(f"log {encode_vkey(other.key())}", quorum="none")
    assert reason_of(foreign, by) is Reason.CHECKPOINT_ORIGIN
    assert open_checkpoint(add_signatures(note, [other.sign(TEXT)]), by).log == LOG.key()
    assert open_checkpoint(add_signatures(foreign, [LOG.sign(TEXT)]), by).log == LOG.key()


def test_a_rotated_log_key_opens_by_either_signature() -> None:
    """Two keys of one origin: a note signed by the old, the new or both is accepted."""
    new = NoteSigner(ORIGIN, SeedSigner(b"N" * 32))
    by = policy(f"log {encode_vkey(new.key())}", quorum="none")
    for note in (
        sign_checkpoint(CHECKPOINT, LOG),
        sign_checkpoint(CHECKPOINT, new),
        add_signatures(sign_checkpoint(CHECKPOINT, LOG), [new.sign(TEXT)]),
    ):
        assert open_checkpoint(note, by).checkpoint == CHECKPOINT


def test_a_cosignature_of_another_checkpoint_is_refused() -> None:
    """A witness's line moved from one checkpoint to another does not verify there."""
    moved = cosign(Checkpoint(ORIGIN, 41, ROOT), WITNESSES[0], 101)
    assert reason_of(add_signatures(cosigned(2, 3), [moved]), policy()) is Reason.NOTE_SIGNATURE


def test_a_note_that_is_no_checkpoint_is_refused_for_that() -> None:
    """Well signed notes of another text, and bytes that are no note."""
    assert reason_of(encode_note("hello\n", [LOG.sign("hello\n")]), policy()) is Reason.CHECKPOINT_SHAPE
    assert reason_of(b"hello\n", policy()) is Reason.NOTE_SHAPE


def test_signing_under_another_name_is_our_bug() -> None:
    """A log whose signer has another name than the origin stops."""
    with pytest.raises(AssertionError):
        sign_checkpoint(CHECKPOINT, WITNESSES[0])


def test_every_bit_of_a_checkpoint_counts() -> None:
    """Each flipped bit is refused with a reason, or silences one cosignature beyond the quorum.

    A flip in a cosigner's name or key id makes its line a stranger's, which the specification ignores. With
    three cosignatures and a quorum of two that is accepted, and then by the other two alone.
    """
    note, by = cosigned(1, 2, 3), policy()
    whole = open_checkpoint(note, by)
    text_size = len(TEXT) + 1
    reasons: set[Reason] = set()
    silenced: set[frozenset[str]] = set()
    for bit in range(8 * len(note)):
        flipped = bytearray(note)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            opened = open_checkpoint(bytes(flipped), by)
        except VerificationError as error:
            reasons.add(error.reason)
            continue
        assert bit // 8 >= text_size, "a flip in the text was accepted"
        assert (opened.checkpoint, opened.log) == (whole.checkpoint, whole.log)
        missing = set(whole.cosignatures) - set(opened.cosignatures)
        assert len(missing) == 1
        assert set(opened.cosignatures) < set(whole.cosignatures)
        silenced.add(frozenset(cosignature.witness for cosignature in missing))
    assert silenced == {frozenset({"W1"}), frozenset({"W2"}), frozenset({"W3"})}
    assert reasons == {
        Reason.NOTE_SHAPE,
        Reason.NOTE_SIGNATURE,
        Reason.NOTE_UNSIGNED,
        Reason.CHECKPOINT_SHAPE,
    }


def test_with_the_bare_quorum_no_bit_may_change() -> None:
    """Two cosignatures of two needed: every flip is refused."""
    note, by = cosigned(1, 2), policy()
    reasons = set()
    for bit in range(8 * len(note)):
        flipped = bytearray(note)
        flipped[bit // 8] ^= 1 << bit % 8
        reasons.add(reason_of(bytes(flipped), by))
    assert Reason.QUORUM_MISSING in reasons


def test_sunlights_checkpoints_open(shared: Path) -> None:
    """Foreign cosigned checkpoints parse; signed again by our key, they open with the witness's time."""
    vectors = json.loads((shared / "vectors/signed-note/vectors.json").read_text())
    seen = 0
    for vector in vectors["notes"]:
        if "timestamp" not in vector or vector["valid"] is None:
            continue
        checkpoint = parse_checkpoint(parse_note(vector["note"].encode()).text)
        assert checkpoint.size == 300
        log = NoteSigner(checkpoint.origin, SeedSigner(b"L" * 32))
        lines = f"log {encode_vkey(log.key())}\nwitness theirs {vector['vkey']}\nquorum theirs\n"
        note = vector["note"].encode()
        assert reason_of(note, parse_policy(lines.encode())) is Reason.NOTE_UNSIGNED
        signed = add_signatures(note, [log.sign(encode_checkpoint(checkpoint))])
        opened = open_checkpoint(signed, parse_policy(lines.encode()))
        assert opened.cosignatures == (Cosignature("theirs", vector["timestamp"]),)
        seen += 1
    assert seen == 2
