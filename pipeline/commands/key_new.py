"""`cityproof key new`: a key for a person or a service, and the line by which others trust it."""

import json
from pathlib import Path

from pipeline.edges.keyfile import load_or_create_key
from pipeline.identity.authorities import Authority, format_authority, parse_kinds, parse_names
from pipeline.log.note import TYPE_COSIGNATURE, TYPE_ED25519, NoteKey, encode_vkey
from pipeline.log.note import is_name as is_key_name
from pipeline.wire.errors import InputError, VerificationError
from pipeline.wire.keys import key_id
from pipeline.wire.names import is_issuer, is_label
from pipeline.wire.roles import ROLES

MADE = 0
NOTE_TYPES = {"log": TYPE_ED25519, "witness": TYPE_COSIGNATURE}


def run(role: str, name: str, out: Path, kinds: str, areas: str, *, as_json: bool) -> int:
    """Make a key file and print its public part. Exit 0: made; 2: it could not be made."""
    if role not in {"authority", *NOTE_TYPES, *ROLES}:
        known = ", ".join(["authority", *NOTE_TYPES, *ROLES])
        raise InputError("--role", f"{role!r} is no role", f"Name one of: {known}.")
    if role in NOTE_TYPES and not is_key_name(name):
        raise InputError("--name", f"{name!r} is no key name", "Write a URL without its scheme.")
    if role not in NOTE_TYPES and not is_issuer(name):
        raise InputError("--name", f"{name!r} is no URI", "Write https://… of who holds the key.")
    scope = _parse_scope(kinds, areas)
    if out.exists():
        problem = "there is a file already"
        raise InputError(str(out), problem, "Choose another name; a key is never overwritten.")
    public_key = load_or_create_key(out, name).public_key
    told = {
        "role": role, "name": name, "file": str(out), "public_key": public_key.hex(),
        "key": key_id(public_key).hex(),
    }  # fmt: skip
    if role in NOTE_TYPES:
        vkey = encode_vkey(NoteKey(name, NOTE_TYPES[role], public_key))
        short = name.split(".", maxsplit=1)[0].split("/", maxsplit=1)[0]
        told |= {"vkey": vkey, "line": f"log {vkey}" if role == "log" else f"witness {short} {vkey}"}
        where = "the policy file"
    elif role == "authority":
        told["line"] = format_authority(Authority(name, public_key, *scope))
        where = "the authorities file"
    else:
        where = ""
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return MADE
    print(f"{out}: key {told['key']} of {name}, for its owner's eyes only")
    print(f"public key {told['public_key']}")
    if where:
        print(f"for {where}:\n{told['line']}")
    else:
        print("to be enrolled by an authority:")
        print(f"cityproof device enrol --key {out} --issuer {name} --kind {role} --authority …")
    return MADE


def _parse_scope(kinds: str, areas: str) -> tuple[frozenset[str], frozenset[str]]:
    try:
        scope = parse_kinds(kinds), parse_names(areas)
    except VerificationError as error:
        raise InputError(
            "--kinds, --areas", error.detail, "Write names separated by commas, or *."
        ) from error
    if not all(is_label(name) and not set(name) & set(" #\t") for names in scope for name in names):
        raise InputError("--areas", "a name holds a space or #", "Write names without.")
    return scope
