"""Statements built part by part with the reference encoder and PyNaCl's own interface, right or wrong as
asked."""

from typing import Any

from nacl.signing import SigningKey

from tests.wire import reference

SEED = bytes(range(32))
KEY = SigningKey(SEED)
PUBLIC_KEY = bytes(KEY.verify_key)
KEY_ID = bytes.fromhex("56475aa75463474c")  # sha256(PUBLIC_KEY)[:8]
ISSUER = "urn:dev:ops:32473-air-7"
SUBJECT = "station-7"
PREVIOUS = bytes(range(100, 132))
PACK = reference.dumps([{0: "pm2_5", 2: 12.5, -1: 26, -2: ISSUER + "_", -3: 1700000000, -4: "ug/m3"}])


class Raw(bytes):
    """Bytes of a part that is already encoded."""


def part(value: object) -> bytes:
    """Encode a part, unless it is encoded."""
    return bytes(value) if isinstance(value, Raw) else reference.dumps(value)


def header(**changes: Any) -> dict[object, object]:
    """Return a protected header, with other values or labels (`label_5=...`), or without one (`kid=None`)."""
    known: dict[str, object] = {"alg": 1, "content_type": 3, "kid": 4, "claims": 15, "chain": -70001}
    fields: dict[str, object] = {
        "alg": -19,
        "content_type": 112,
        "kid": KEY_ID,
        "claims": {1: ISSUER, 2: SUBJECT},
        "chain": [1700000000, 3, PREVIOUS],
    }
    fields |= changes
    return {
        known.get(name) or int(name.removeprefix("label_")): value
        for name, value in fields.items()
        if value is not None
    }


def sig_structure(protected: bytes, payload: bytes, external: bytes = b"") -> bytes:
    """RFC 9052, 4.4."""
    return reference.dumps(["Signature1", protected, external, payload])


def sign1(
    protected: bytes,
    payload: bytes = PACK,
    *,
    unprotected: object = Raw(b"\xa0"),
    sent: object = None,
    signature: bytes | None = None,
) -> bytes:
    """Return a COSE_Sign1, signed over `payload` and with `sent` in its place if given."""
    signed = signature or KEY.sign(sig_structure(protected, payload)).signature
    parts = [protected, unprotected, payload if sent is None else sent, signed]
    return b"\xd2\x84" + b"".join(part(value) for value in parts)


def statement(payload: bytes = PACK, **changes: Any) -> bytes:
    """Return a statement with the header of `header(**changes)`."""
    return sign1(reference.dumps(header(**changes)), payload)
