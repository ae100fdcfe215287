"""Ed25519 against RFC 8032's own vectors, Wycheproof, CCTV, and what may be enrolled; key files."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from pipeline.wire.errors import InputError, VerificationError
from pipeline.wire.keys import (
    SeedSigner,
    check_public_key,
    decode_key_file,
    encode_key_file,
    key_id,
    verify,
)
from pipeline.wire.reasons import Reason

SEED = bytes(range(32))
# RFC 8032, 7.1, TEST 2.
RFC_SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
RFC_PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
RFC_SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def refusal(public_key: bytes, message: bytes, signature: bytes, *, enrolled: bool = True) -> Reason | None:
    """Why a signature is refused, behind the enrolment check or without it; or None."""
    try:
        if enrolled:
            check_public_key(public_key)
        verify(public_key, message, signature)
    except VerificationError as refused:
        return refused.reason
    return None


def test_rfc_8032() -> None:
    """A key pair, its signature and its key id come out as published."""
    signer = SeedSigner(RFC_SEED)
    assert signer.public_key == RFC_PUBLIC
    assert signer.sign(b"\x72") == RFC_SIGNATURE
    assert refusal(RFC_PUBLIC, b"\x72", RFC_SIGNATURE) is None
    assert key_id(RFC_PUBLIC) == hashlib.sha256(RFC_PUBLIC).digest()[:8]


def test_every_bit_counts() -> None:
    """Flip any bit of signature or message, and nothing verifies."""
    for bit in range(512):
        wrong = (int.from_bytes(RFC_SIGNATURE, "little") ^ 1 << bit).to_bytes(64, "little")
        assert refusal(RFC_PUBLIC, b"\x72", wrong) is Reason.SIGNATURE_INVALID
    for bit in range(8):
        wrong = bytes([0x72 ^ 1 << bit])
        assert refusal(RFC_PUBLIC, wrong, RFC_SIGNATURE) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_keys_of_another_size(size: int) -> None:
    """A public key has 32 bytes; anything else has the reason of a key, in both functions."""
    with pytest.raises(VerificationError) as refused:
        check_public_key(bytes(size))
    assert refused.value.reason is Reason.KEY_INVALID
    assert refusal((RFC_PUBLIC * 2)[:size], b"\x72", RFC_SIGNATURE, enrolled=False) is Reason.KEY_INVALID


@pytest.mark.parametrize("size", [0, 1, 63, 65, 128])
def test_signatures_of_another_size(size: int) -> None:
    """A signature has 64 bytes; the bytes of a longer one do not slide into the message."""
    signature = (RFC_SIGNATURE + b"\x72" * 64)[:size]
    for message in (b"\x72", b"", b"\x72\x72"):
        assert refusal(RFC_PUBLIC, message, signature) is Reason.SIGNATURE_INVALID


def order_of_base() -> int:
    """The order of the main subgroup (RFC 8032, 5.1)."""
    return 2**252 + 27742317777372353535851937790883648493


def test_a_scalar_has_one_form() -> None:
    """A signature whose scalar is larger by the group's order is another byte string and is refused."""
    scalar = int.from_bytes(RFC_SIGNATURE[32:], "little") + order_of_base()
    wrong = RFC_SIGNATURE[:32] + scalar.to_bytes(32, "little")
    assert refusal(RFC_PUBLIC, b"\x72", wrong) is Reason.SIGNATURE_INVALID


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=500))
def test_signing_agrees_with_pynacl_s_own_interface(seed: bytes, message: bytes) -> None:
    """The bindings are called as PyNaCl's high-level interface calls them."""
    signer, other = SeedSigner(seed), SigningKey(seed)
    assert signer.public_key == bytes(other.verify_key)
    signature = signer.sign(message)
    assert signature == other.sign(message).signature
    assert refusal(signer.public_key, message, signature) is None


def test_sign_input(shared: Path) -> None:
    """ed25519.cr.yp.to: 1,024 key pairs and messages give exactly the listed signatures, and they verify."""
    lines = (shared / "vectors/pynacl-ed25519/sign.input").read_text().splitlines()
    assert len(lines) == 1024
    for line in lines:
        secret, public, message, signed = (bytes.fromhex(part) for part in line.split(":")[:4])
        signer = SeedSigner(secret[:32])
        assert signer.public_key == public
        assert signer.sign(message) == signed[:64]
        assert refusal(public, message, signed[:64]) is None


def test_wycheproof(shared: Path) -> None:
    """All 151 tests as they say: all keys may be enrolled, 88 signatures verify, 63 do not."""
    groups = json.loads((shared / "vectors/wycheproof/ed25519_test.json").read_text())["testGroups"]
    seen = {"valid": 0, "invalid": 0}
    for group in groups:
        public_key = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            verdict = refusal(public_key, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
            expected = None if test["result"] == "valid" else Reason.SIGNATURE_INVALID
            assert verdict is expected, test["tcId"]
            seen[test["result"]] += 1
    assert seen == {"valid": 88, "invalid": 63}


# CCTV gives flags and no verdicts. Ours, by rule:
# 1. Enrolment refuses a key with any of the flags of A: its point is small, or has a part outside the main
#    subgroup, or is not encoded canonically. A key that is never enrolled never verifies anything.
# 2. Of the rest, the signature is refused if R is of small order (low_order_R) or not canonical
#    (non_canonical_R), if the sides of the equation differ in a small component (low_order_residue), or if
#    its hash was made with another encoding of A or R (reencoded_k).
# 3. All else is accepted.
FLAGS_OF_A = {"low_order_A", "non_canonical_A", "low_order_component_A"}
FLAGS_OF_SIGNATURE = {"low_order_R", "non_canonical_R", "low_order_residue", "reencoded_k"}


def cctv_verdict(flags: set[str]) -> Reason | None:
    """The rule above."""
    if flags & FLAGS_OF_A:
        return Reason.KEY_INVALID
    return Reason.SIGNATURE_INVALID if flags & FLAGS_OF_SIGNATURE else None


def test_cctv(shared: Path) -> None:
    """All 914 edge cases as the rule above says."""
    vectors: list[dict[str, Any]] = json.loads(
        (shared / "vectors/cctv-ed25519/ed25519vectors.json").read_text()
    )
    assert len(vectors) == 914
    for vector in vectors:
        public_key, signature = bytes.fromhex(vector["key"]), bytes.fromhex(vector["sig"])
        flags: set[str] = set(vector["flags"] or [])
        assert refusal(public_key, vector["msg"].encode(), signature) is cctv_verdict(flags), vector["number"]


def test_cctv_without_the_enrolment_check(shared: Path) -> None:
    """Verification alone still refuses small and non-canonical points; only mixed-order keys would pass."""
    vectors = json.loads((shared / "vectors/cctv-ed25519/ed25519vectors.json").read_text())
    for vector in vectors:
        flags = set(vector["flags"] or ())
        refused = flags & (FLAGS_OF_SIGNATURE | {"low_order_A", "non_canonical_A"})
        public_key, signature = bytes.fromhex(vector["key"]), bytes.fromhex(vector["sig"])
        verdict = refusal(public_key, vector["msg"].encode(), signature, enrolled=False)
        assert verdict is (Reason.SIGNATURE_INVALID if refused else None), vector["number"]


# The points of small order, canonical and not (CCTV's README lists them).
SMALL = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


@pytest.mark.parametrize("point", SMALL)
def test_points_of_small_order_are_no_keys(point: str) -> None:
    """Such a key would accept signatures over anything."""
    with pytest.raises(VerificationError) as refused:
        check_public_key(bytes.fromhex(point))
    assert refused.value.reason is Reason.KEY_INVALID


def test_key_files_survive() -> None:
    """A key file holds title, name, seed and public key, a line each."""
    text = encode_key_file(SEED, "urn:dev:ops:32473-air-7")
    assert text.split("\n") == [
        "cityproof key 1",
        "name urn:dev:ops:32473-air-7",
        "seed 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "public 03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        "",
    ]
    assert decode_key_file(text) == (SEED, "urn:dev:ops:32473-air-7")
    for name in ("生态环境局 1", "a", "a  b c", "a" * 128):
        assert decode_key_file(encode_key_file(SEED, name)) == (SEED, name)


def test_any_damage_to_a_key_file_is_seen() -> None:
    """Change, drop or double any character of the seed and the public key, and any line: it is refused."""
    text = encode_key_file(SEED, "a")
    lines = text.splitlines(keepends=True)
    damaged = [text[:at] + new + text[at + 1 :] for at in range(len(text)) for new in ("", "0", "\n", "é")]
    damaged += ["".join(lines[:at] + lines[at + 1 :]) for at in range(4)]
    damaged += ["".join(lines[:at] + lines[at : at + 1] + lines[at:]) for at in range(4)]
    damaged += [
        "",
        "\n",
        text + "\n",
        " " + text,
        text.upper(),
        text.replace("\n", "\r\n"),
        text.replace(" a", ""),
        text.replace(" a\n", "  a\n"),
        text.replace(" a\n", f" {'a' * 129}\n"),
    ]
    for wrong in damaged:
        renamed = wrong != text and re.match("cityproof key 1\nname .\n", wrong) and wrong.endswith(text[22:])
        if wrong == text or renamed:  # The name itself is anybody's.
            continue
        with pytest.raises(InputError) as refused:
            decode_key_file(wrong)
        assert refused.value.place == "key file"


@pytest.mark.parametrize("name", ["", "a" * 129, "two\nlines", " a", "a ", "\t", "\x7f"])
def test_a_key_s_name_is_one_printable_line(name: str) -> None:
    """No name can forge a line of the file."""
    with pytest.raises(InputError) as refused:
        encode_key_file(SEED, name)
    assert refused.value.place == "key name"


def test_seeds_have_32_bytes() -> None:
    """A seed of another size is a bug of the caller."""
    with pytest.raises(AssertionError):
        SeedSigner(bytes(31))
