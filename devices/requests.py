"""Request files: what the holder of a key asks an authority to state, signed by that key.

A file is the CBOR of [title, the authority's URI, [[content type, payload], …]]. The payloads are what the
authority signs if a person approves, byte for byte.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.wire import cbor
from pipeline.wire.changes import CHANGES, Change, encode_change
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.errors import InputError, VerificationError
from pipeline.wire.possession import check_possession
from pipeline.wire.rotation import Rotation

TITLE = "cityproof request 1"


@dataclass(frozen=True, slots=True)
class Request:
    """Whom it asks, and for what: enrolments and rotations."""

    authority: str
    changes: Sequence[Enrolment | Rotation]


def write_request(path: Path, request: Request) -> None:
    """Write a request file.

    Raises:
        InputError: What it asks for would be accepted by nobody, or the file cannot be written.
    """
    items: list[list[object]] = []
    for change in request.changes:
        try:
            items.append(list(encode_change(change)))
        except VerificationError as error:
            remedy = "Describe it as docs/formats.md, section 5, says."
            raise InputError(change.issuer, str(error), remedy) from error
    try:
        path.write_bytes(cbor.encode([TITLE, request.authority, items]))
    except OSError as error:
        problem = f"cannot write {path}: {error.strerror}"
        raise InputError("--out", problem, "Choose a folder you may write to.") from error


def read_request(path: Path) -> Request:
    """Return what a request file asks for; each key has signed that it is to be this issuer's.

    Raises:
        InputError: It cannot be read, or is no request.
        VerificationError: As the payloads' decoders; POSSESSION_INVALID.
    """
    remedy = "Name a file that `cityproof device enrol` or `rotate` has written."
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(str(path), f"cannot read it: {error.strerror}", remedy) from error
    try:
        fields = cbor.decode(data, size_max=len(data))
    except VerificationError as error:
        raise InputError(str(path), f"it is no request: {error}", remedy) from error
    match fields:
        case [title, str() as authority, list() as items] if title == TITLE and items:
            return Request(authority, [_read(item, authority, path) for item in items])
    raise InputError(str(path), "it is no request", remedy)


def _read(item: object, authority: str, path: Path) -> Enrolment | Rotation:
    match item:
        case [str() as content_type, bytes() as payload] if content_type in CHANGES:
            change: Change = CHANGES[content_type](payload)
            if isinstance(change, Enrolment | Rotation):
                check_possession(change.possession, authority, change.issuer, change.public_key)
                return change
    raise InputError(
        str(path), "it asks for what is no enrolment and no rotation", "Ask whoever sent it for another."
    )
