"""Trust policies (C2SP tlog-policy): the grammar, what is refused with its line, and who makes a quorum."""

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from pipeline.log.note import TYPE_COSIGNATURE, TYPE_ED25519, NoteKey, encode_vkey
from pipeline.log.policy import POLICY_SIZE_MAX, Group, Policy, parse_policy
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason


def vkey(name: str, key_type: int, seed: int) -> str:
    """The verifier key of a numbered seed."""
    return encode_vkey(NoteKey(name, key_type, public_key(seed)))


def public_key(seed: int) -> bytes:
    """The public key of a numbered seed."""
    return bytes(SigningKey(seed.to_bytes(32, "big")).verify_key)


LOG = vkey("log.example", TYPE_ED25519, 100)
WITNESS = [vkey(f"w{number}.example", TYPE_COSIGNATURE, number) for number in range(40)]
NESTED = f"""
# Two of three departments, and anybody from outside.
log {LOG} https://log.example/

witness X1 {WITNESS[1]}
  witness\tX2 \t{WITNESS[2]} https://x2.example/add\t
witness X3 {WITNESS[3]}
group X-witnesses 2 X1 X2 X3

   # comments may be indented
witness Y1 {WITNESS[4]}
witness Y2 {WITNESS[5]}
group Y-witnesses any Y1 Y2
group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def quorate(policy: Policy, *cosigned: str) -> bool:
    """Tell whether these witnesses suffice."""
    try:
        policy.check_quorum(cosigned)
    except VerificationError as error:
        if error.reason is Reason.QUORUM_MISSING:
            return False
        raise
    return True


def refusal(text: str | bytes) -> tuple[Reason, str]:
    """Why a policy is refused, and the place."""
    with pytest.raises(VerificationError) as refused:
        parse_policy(text.encode() if isinstance(text, str) else text)
    return refused.value.reason, refused.value.detail


def test_what_a_policy_says() -> None:
    """Logs with URLs, witnesses by name, groups with thresholds, the quorum."""
    policy = parse_policy(NESTED.encode())
    assert {key.name: url for key, url in policy.logs.items()} == {"log.example": "https://log.example/"}
    assert {name: (key.name, key.public_key, url) for name, (key, url) in policy.witnesses.items()} == {
        "X1": ("w1.example", public_key(1), ""),
        "X2": ("w2.example", public_key(2), "https://x2.example/add"),
        "X3": ("w3.example", public_key(3), ""),
        "Y1": ("w4.example", public_key(4), ""),
        "Y2": ("w5.example", public_key(5), ""),
    }
    assert policy.groups == {
        "X-witnesses": Group(2, ("X1", "X2", "X3")),
        "Y-witnesses": Group(1, ("Y1", "Y2")),
        "X-and-Y": Group(2, ("X-witnesses", "Y-witnesses")),
    }
    assert policy.quorum == "X-and-Y"
    assert [key.name for key in policy.keys] == ["log.example", *(f"w{n}.example" for n in range(1, 6))]
    assert {key.public_key: name for key, name in policy.witness_names.items()} == {
        public_key(1): "X1",
        public_key(2): "X2",
        public_key(3): "X3",
        public_key(4): "Y1",
        public_key(5): "Y2",
    }


def test_every_subset_of_the_nested_groups() -> None:
    """All 32 subsets: two of X and one of Y, no fewer and no others; strangers do not count."""
    policy = parse_policy(NESTED.encode())
    names = ("X1", "X2", "X3", "Y1", "Y2")
    for subset in chain.from_iterable(combinations(names, size) for size in range(6)):
        enough = sum(name[0] == "X" for name in subset) >= 2 and any(name[0] == "Y" for name in subset)
        assert quorate(policy, *subset) is enough
        assert quorate(policy, *subset, "stranger", "X-witnesses", "X-and-Y", "none") is enough


@given(data=st.data())
def test_any_tree_of_groups(data: st.DataObject) -> None:
    """Random nestings agree with the definition: a group witnesses iff k of its members do."""
    count = data.draw(st.integers(1, 8))
    lines = [f"witness w{number} {WITNESS[number]}" for number in range(count)]
    free = [f"w{number}" for number in range(count)]
    trees: dict[str, tuple[int, list[str]]] = {}
    for number in range(data.draw(st.integers(0, 5))):
        members = data.draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
        threshold = data.draw(st.integers(1, len(members)))
        words = {1: ["1", "any"], len(members): [str(threshold), "all"]}.get(threshold, [str(threshold)])
        if threshold == 1 == len(members):
            words = ["1", "any", "all"]
        lines.append(f"group g{number} {data.draw(st.sampled_from(words))} {' '.join(members)}")
        trees[f"g{number}"] = threshold, members
        free = [name for name in free if name not in members] + [f"g{number}"]
    quorum = data.draw(st.sampled_from([*trees, *(f"w{number}" for number in range(count))]))
    policy = parse_policy("\n".join([*lines, f"quorum {quorum}", ""]).encode())

    def witnesses(name: str, cosigned: set[str]) -> bool:
        if name not in trees:
            return name in cosigned
        threshold, members = trees[name]
        return sum(witnesses(member, cosigned) for member in members) >= threshold

    cosigned = data.draw(st.sets(st.sampled_from([f"w{number}" for number in range(count)])))
    assert quorate(policy, *cosigned) is witnesses(quorum, cosigned)


def test_a_quorum_may_be_one_witness_or_none() -> None:
    """`quorum none` needs nobody, and no log need be named; a witness's name needs just that one."""
    policy = parse_policy(b"quorum none\n")
    assert (policy.logs, policy.witnesses, policy.groups) == ({}, {}, {})
    assert quorate(policy)
    single = parse_policy(f"witness a {WITNESS[0]}\nwitness b {WITNESS[1]}\nquorum b\n".encode())
    assert quorate(single, "b")
    assert not quorate(single, "a")


def test_more_than_32_of_each() -> None:
    """40 logs, witnesses and groups, as the specification strongly recommends to support 32."""
    lines = [f"log {vkey(f'log{number}.example', TYPE_ED25519, 200 + number)}" for number in range(40)]
    lines += [f"witness w{number} {WITNESS[number]}" for number in range(40)]
    lines += ["group g0 any w0", *(f"group g{number} all g{number - 1} w{number}" for number in range(1, 40))]
    policy = parse_policy("\n".join([*lines, "quorum g39", ""]).encode())
    everyone = [f"w{number}" for number in range(40)]
    assert quorate(policy, *everyone)
    for absent in everyone:
        assert not quorate(policy, *(name for name in everyone if name != absent))


def test_names_are_octets() -> None:
    """Any octets but tab, newline, space and controls make a name; only tab and space separate."""
    for name in (
        b"K",
        "\N{KELVIN SIGN}".encode(),
        b"\xff\xfe",
        "a\u00a0b".encode(),
        "\u2028".encode(),
        b"#x",
        b"log",
    ):
        policy = parse_policy(b"witness " + name + b" " + WITNESS[0].encode() + b"\nquorum " + name + b"\n")
        (decoded,) = policy.witnesses
        assert decoded.encode(errors="surrogateescape") == name
    kelvin = b"witness K " + WITNESS[0].encode() + b"\nquorum \xe2\x84\xaa\n"
    assert refusal(kelvin)[0] is Reason.POLICY_SHAPE


def test_the_same_key_may_be_log_and_witness() -> None:
    """Duplicates are counted among logs and among witnesses: the two kinds sign different messages."""
    text = f"log {vkey('a', TYPE_ED25519, 7)}\nwitness a {vkey('a', TYPE_COSIGNATURE, 7)}\nquorum a\n"
    assert len(parse_policy(text.encode()).keys) == 2


def test_keys_that_a_note_cannot_tell_apart_are_refused() -> None:
    """Two keys with one name and, by a birthday search over seeds, one key id."""
    first, second = (vkey("log.example", TYPE_ED25519, seed) for seed in (869, 35414))
    assert first.split("+")[1] == second.split("+")[1] == "fedf4729"
    assert parse_policy(f"log {first}\nquorum none\n".encode()).logs
    reason, detail = refusal(f"log {first}\nlog {second}\nquorum none\n")
    assert (reason, detail[:6]) == (Reason.POLICY_SHAPE, "line 2")


W0, W1 = f"witness a {WITNESS[0]}\n", f"witness b {WITNESS[1]}\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("\n", ""),
        ("# nothing\n", ""),
        ("quorum none", ""),
        (W0 + "quorum a", ""),
        (W0, ""),
        ("quorum\n", "line 1"),
        ("quorum a b\n", "line 1"),
        ("quorum a\n", "line 1"),
        ("quorum a\n" + W0, "line 1"),
        ("quorum none\nquorum none\n", "line 2"),
        ("Quorum none\n", "line 1"),
        ("quorums none\n", "line 1"),
        ("log\nquorum none\n", "line 1"),
        (f"log {LOG} url more\nquorum none\n", "line 1"),
        (f"log {WITNESS[0]}\nquorum none\n", "line 1"),
        (f"log {LOG}\nlog {LOG}\nquorum none\n", "line 2"),
        (f"log {LOG}\nlog {vkey('other', TYPE_ED25519, 100)}\nquorum none\n", "line 2"),
        ("witness a\nquorum none\n", "line 1"),
        (f"witness {WITNESS[0]}\nquorum none\n", "line 1"),
        (W0[:-1] + " url more\nquorum none\n", "line 1"),
        (f"witness a {LOG}\nquorum none\n", "line 1"),
        (f"witness none {WITNESS[0]}\nquorum none\n", "line 1"),
        (W0 + f"witness a {WITNESS[1]}\nquorum none\n", "line 2"),
        (W0 + f"witness b {WITNESS[0]}\nquorum none\n", "line 2"),
        (W0 + f"witness b {vkey('other', TYPE_COSIGNATURE, 0)}\nquorum none\n", "line 2"),
        (W0 + "group\nquorum none\n", "line 2"),
        (W0 + "group g\nquorum none\n", "line 2"),
        (W0 + "group g any\nquorum none\n", "line 2"),
        (W0 + "group a any a\nquorum none\n", "line 2"),
        (W0 + "group none any a\nquorum none\n", "line 2"),
        (W0 + "group g any g\nquorum none\n", "line 2"),
        (W0 + "group g any none\nquorum none\n", "line 2"),
        (W0 + "group g any b\n" + W1 + "quorum none\n", "line 2"),
        (W0 + W1 + "group g any a a\nquorum g\n", "line 3"),
        (W0 + W1 + "group g any a\ngroup h any a b\nquorum h\n", "line 4"),
        (W0 + W1 + "group g any a\ngroup g any b\nquorum g\n", "line 4"),
        (W0 + W1 + "group g any a\ngroup h any g\ngroup i any g b\nquorum i\n", "line 5"),
        *(
            (W0 + W1 + f"group g {k} a b\nquorum g\n", "line 3")
            for k in ("0", "3", "01", "-1", "+1", "1.0", "x", "²", "ALL", "99999", "1" * 5000)
        ),
    ],
)
def test_what_breaks_the_grammar(text: str, line: str) -> None:
    """Each broken rule is POLICY_SHAPE and names its line."""
    reason, detail = refusal(text)
    assert reason is Reason.POLICY_SHAPE
    assert detail.startswith(line)


@pytest.mark.parametrize("byte", [*range(9), *range(11, 32), 127])
def test_control_characters_are_refused(byte: int) -> None:
    """Tab and newline are the only ones, in comments too."""
    assert refusal(b"# " + bytes([byte]) + b"\nquorum none\n")[0] is Reason.POLICY_SHAPE


def test_every_other_byte_may_stand_in_a_comment() -> None:
    """0x09, 0x0a, 0x20 to 0x7e and 0x80 to 0xff."""
    every = bytes([9, *range(32, 127), *range(128, 256)])
    assert parse_policy(b"#" + every + b"\n\nquorum none\n").quorum == "none"


def test_a_bad_key_is_refused_for_itself_with_its_line() -> None:
    """NOTE_KEY and KEY_INVALID pass through, with the line's number."""
    mangled = WITNESS[0].replace("+", "-")
    assert refusal(f"\nwitness a {mangled}\nquorum a\n")[0] is Reason.NOTE_KEY
    assert refusal(f"\nwitness a {mangled}\nquorum a\n")[1].startswith("line 2")
    weak = encode_vkey(NoteKey("weak", TYPE_COSIGNATURE, bytes(32)))
    assert refusal(f"witness a {weak}\nquorum a\n")[0] is Reason.KEY_INVALID
    assert refusal(b"witness a \xff+00000000+AA==\nquorum a\n")[0] is Reason.NOTE_KEY


def test_a_detail_can_be_printed() -> None:
    """Octets that are not UTF-8 come back escaped: a message that cannot be written would hide the reason."""
    for text in (
        b"\xff\n",
        b"quorum \xff\n",
        b"witness a \xff+1+2\n",
        b"group \xff any a\n",
        b"group g any \xff\n",
    ):
        refusal(text)[1].encode()


def test_a_policy_larger_than_64_kib_is_refused_unread() -> None:
    """The bound holds to the byte."""
    line = b"quorum none\n"
    largest = b"#" * (POLICY_SIZE_MAX - len(line) - 1) + b"\n" + line
    assert parse_policy(largest).quorum == "none"
    assert refusal(b"#" + largest)[0] is Reason.OVERSIZE
    assert POLICY_SIZE_MAX == 65_536
