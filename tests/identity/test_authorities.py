"""The authorities file: its grammar line by line, and what an authority may enrol."""

from base64 import b64encode
from hashlib import sha256

import pytest
from nacl.signing import SigningKey

from pipeline.identity.authorities import Authority, format_authorities, parse_authorities
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

ECO, AIR = (bytes(SigningKey(bytes([n]) * 32).verify_key) for n in (1, 2))
ECO_LINE = f"authority https://eco.example/ {b64encode(ECO).decode()} * *"
AIR_LINE = f"authority urn:x:air {b64encode(AIR).decode()} air,weather north,Old-Town"
BOUNDS = ["bound registry_lag_s 60", "bound cosign_delay_s 0", "bound checkpoint_age_s 86400"]


def text(*lines: str) -> bytes:
    """A file of these lines."""
    return ("\n".join(lines) + "\n").encode()


def refusal(raw: bytes) -> VerificationError:
    """The refusal of a file."""
    with pytest.raises(VerificationError) as refused:
        parse_authorities(raw)
    return refused.value


def test_a_file_says_who_may_enrol_what_and_the_bounds() -> None:
    """Each authority is found by its issuer and the first 8 bytes of its key's SHA-256."""
    raw = text(ECO_LINE, AIR_LINE, *BOUNDS)
    parsed = parse_authorities(raw)
    everything, some = frozenset("*"), frozenset({"air", "weather"})
    assert parsed.by_key == {
        ("https://eco.example/", sha256(ECO).digest()[:8]): Authority(
            "https://eco.example/", ECO, everything, everything
        ),
        ("urn:x:air", sha256(AIR).digest()[:8]): Authority(
            "urn:x:air", AIR, some, frozenset({"north", "Old-Town"})
        ),
    }
    assert parsed.bounds_s == {"registry_lag_s": 60, "cosign_delay_s": 0, "checkpoint_age_s": 86400}
    assert parsed.file_hash == sha256(raw).digest()


def test_comments_blanks_and_order_do_not_matter_but_the_hash_is_the_files() -> None:
    """The same rules in another file are another city to the genesis."""
    plain, other = (
        text(ECO_LINE, *BOUNDS),
        text("# city", "", "  ", *BOUNDS[::-1], f"\t{ECO_LINE.replace(' ', '   ')} # eco", "#"),
    )
    assert parse_authorities(plain).by_key == parse_authorities(other).by_key
    assert parse_authorities(plain).bounds_s == parse_authorities(other).bounds_s
    assert parse_authorities(plain).file_hash != parse_authorities(other).file_hash


def test_what_is_written_is_read_again() -> None:
    """Names are sorted, so the same authorities give the same file."""
    authorities = [
        Authority("https://eco.example/", ECO, frozenset("*"), frozenset("*")),
        Authority("urn:x:air", AIR, frozenset({"weather", "air"}), frozenset({"b", "a"})),
    ]
    bounds = {"registry_lag_s": 1, "cosign_delay_s": 2, "checkpoint_age_s": 3}
    written = format_authorities(authorities, bounds)
    parsed = parse_authorities(written.encode())
    assert list(parsed.by_key.values()) == authorities
    assert parsed.bounds_s == bounds
    assert "air,weather a,b\n" in written
    assert written.startswith("# Who may enrol what")


def test_one_issuer_may_have_several_keys() -> None:
    """A department changes its key by naming both for a while."""
    second = ECO_LINE.replace(b64encode(ECO).decode(), b64encode(AIR).decode())
    assert len(parse_authorities(text(ECO_LINE, second, *BOUNDS)).by_key) == 2


@pytest.mark.parametrize(
    ("lines", "detail"),
    [
        ([*BOUNDS], "no authority"),
        ([ECO_LINE, *BOUNDS[1:]], "bound registry_lag_s is missing"),
        ([ECO_LINE, *BOUNDS[:2]], "bound checkpoint_age_s is missing"),
        ([ECO_LINE, ECO_LINE, *BOUNDS], "line 2: a key stands twice"),
        ([ECO_LINE, ECO_LINE.replace("eco.", "other."), *BOUNDS], "line 2: a key stands twice"),
        ([ECO_LINE.replace("https://eco.example/", "eco"), *BOUNDS], "line 1: 'eco' is not a URI"),
        ([ECO_LINE.removesuffix(" *"), *BOUNDS], "line 1: not: authority"),
        ([ECO_LINE + " x", *BOUNDS], "line 1: not: authority"),
        ([ECO_LINE.capitalize(), *BOUNDS], "line 1: not: authority"),
        ([ECO_LINE.replace("* *", "*,air *"), *BOUNDS], "line 1: not names"),
        ([ECO_LINE.replace("* *", "* ,"), *BOUNDS], "line 1: not names"),
        ([ECO_LINE.replace("* *", "air, *"), *BOUNDS], "line 1: not names"),
        ([ECO_LINE.replace("* *", "* a,*"), *BOUNDS], "line 1: not names"),
        ([ECO_LINE.replace("* *", "air,Air *"), *BOUNDS], "line 1: neither a sensor kind nor a role: 'Air'"),
        ([ECO_LINE, *BOUNDS, BOUNDS[0]], "line 5: the bound 'registry_lag_s' is unknown or stands twice"),
        ([ECO_LINE, *BOUNDS, "bound lag_s 5"], "line 5: the bound 'lag_s' is unknown"),
        ([ECO_LINE, *BOUNDS, "bound"], "line 5: not: authority"),
        ([ECO_LINE, "bound registry_lag_s 1 s", *BOUNDS[1:]], "line 2: not: authority"),
        *(
            ([ECO_LINE, f"bound registry_lag_s {seconds}", *BOUNDS[1:]], f"line 2: {seconds!r} is not")
            for seconds in ("-1", "+1", "1.5", "1e3", "x", "٣", "²", "1_0", "1" * 10)
        ),
        ([ECO_LINE, "quorum none", *BOUNDS], "line 2: not: authority"),
    ],
)
def test_any_other_line_is_refused_with_its_number(lines: list[str], detail: str) -> None:
    """Nothing is guessed and nothing ignored: a rule that is not understood could be the one that forbids."""
    refused = refusal(text(*lines))
    assert refused.reason is Reason.AUTHORITIES_SHAPE
    assert refused.detail.startswith(detail)


KEY = b64encode(ECO).decode()


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (KEY[:-1], Reason.AUTHORITIES_SHAPE),
        (KEY.rstrip("="), Reason.AUTHORITIES_SHAPE),
        (KEY[:-2] + "9=", Reason.AUTHORITIES_SHAPE),  # Trailing bits that are not zero.
        (KEY.replace("=", "!"), Reason.AUTHORITIES_SHAPE),
        (KEY[:10] + "é" + KEY[11:], Reason.AUTHORITIES_SHAPE),
        (ECO.hex(), Reason.KEY_INVALID),  # Base64 of 48 bytes.
        (b64encode(ECO[:31]).decode(), Reason.KEY_INVALID),
        (b64encode(b"\x01" + bytes(31)).decode(), Reason.KEY_INVALID),  # The neutral element.
        (b64encode(bytes(32)).decode(), Reason.KEY_INVALID),  # A point of order 4.
        (b64encode(b"\xff" * 32).decode(), Reason.KEY_INVALID),  # No point.
    ],
)
def test_a_key_is_the_one_base64_of_a_point_in_the_main_subgroup(key: str, reason: Reason) -> None:
    """The line is named either way."""
    refused = refusal(text("# city", ECO_LINE.replace(KEY, key), *BOUNDS))
    assert refused.reason is reason
    assert refused.detail.startswith("line 2: ")


def test_a_file_is_utf_8_of_at_most_64_kib() -> None:
    """Longer is refused unread."""
    assert refusal(text(ECO_LINE, *BOUNDS) + b"# \xff\n").reason is Reason.AUTHORITIES_SHAPE
    long = text(ECO_LINE, *BOUNDS)
    long += b"#" * (64 * 1024 - len(long))
    assert len(parse_authorities(long).by_key) == 1
    assert refusal(long + b"\xff").reason is Reason.OVERSIZE


@pytest.mark.parametrize(
    ("kinds", "areas", "kind", "area", "may"),
    [
        ("*", "*", "air", "north", True),
        ("air", "*", "air", "south", True),
        ("air", "*", "water", "north", False),
        ("*", "north", "water", "north", True),
        ("*", "north", "water", "south", False),
        ("air,water", "north,south", "water", "south", True),
        ("air,water", "north,south", "cold", "south", False),
        ("air,water", "north,south", "water", "west", False),
    ],
)
def test_kind_and_area_must_both_be_the_authoritys(
    kinds: str, areas: str, kind: str, area: str, may: bool
) -> None:
    """`*` stands for all of them."""
    authority = Authority("urn:x:air", AIR, frozenset(kinds.split(",")), frozenset(areas.split(",")))
    assert authority.answers_for(kind, area) is may
