"""Trust policy (C2SP tlog-policy): which logs, which witnesses, and how many of them a checkpoint needs.

Lines: `log <vkey> [url]`, `witness <name> <vkey> [url]`, `group <name> all|any|<k> <member>…`,
`quorum <name>|none`. Names are opaque octets; non-UTF-8 ones are carried as surrogates.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.log.note import TYPE_COSIGNATURE, TYPE_ED25519, NoteKey, parse_vkey
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

POLICY_SIZE_MAX = 64 * 1024
NAME_NONE = "none"

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_WORD = re.compile(r"[^ \t]+")
_COUNT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Group:
    """Witnesses a checkpoint once at least `threshold` of its members do."""

    threshold: int
    members: tuple[str, ...]


@dataclass(slots=True)
class Policy:
    """A parsed policy.

    Attributes:
        logs: Key of each accepted log -> its URL, "" where none is given. The key's name is the log's origin.
        witnesses: Name in this policy of each witness -> its key and URL.
        groups: Name -> group, in the order of the file: members stand before their group.
        quorum: Name of a witness or group, or "none".
    """

    logs: dict[NoteKey, str] = field(default_factory=dict)
    witnesses: dict[str, tuple[NoteKey, str]] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str = ""

    @property
    def witness_names(self) -> Mapping[NoteKey, str]:
        """Name in this policy of each witness, by its key."""
        return {key: name for name, (key, _) in self.witnesses.items()}

    @property
    def keys(self) -> list[NoteKey]:
        """Keys of all logs and witnesses."""
        return [*self.logs, *(key for key, _ in self.witnesses.values())]

    def defines(self, name: str) -> bool:
        """Tell whether a witness or group has this name."""
        return name in self.witnesses or name in self.groups

    def check_quorum(self, cosigned: Collection[str]) -> None:
        """Check that these witnesses, by name, suffice.

        Raises:
            VerificationError: QUORUM_MISSING.
        """
        if self.quorum == NAME_NONE:
            return
        met = self.witnesses.keys() & set(cosigned)
        for name, group in self.groups.items():
            if sum(member in met for member in group.members) >= group.threshold:
                met.add(name)
        if self.quorum not in met:
            raise VerificationError(
                Reason.QUORUM_MISSING, f"{self.quorum!r} is not met by {len(set(cosigned))}"
            )


def parse_policy(raw: bytes) -> Policy:
    """Parse a policy file.

    Raises:
        VerificationError: OVERSIZE, POLICY_SHAPE with the line's number, NOTE_KEY, KEY_INVALID.
    """
    if len(raw) > POLICY_SIZE_MAX:
        raise VerificationError(Reason.OVERSIZE, f"a policy of {len(raw)} bytes")
    text = raw.decode(errors="surrogateescape")
    if _CONTROL.search(text):
        raise VerificationError(Reason.POLICY_SHAPE, "a control character other than tab and newline")
    if not text.endswith("\n"):
        raise VerificationError(Reason.POLICY_SHAPE, "the last line does not end with a newline")
    policy = Policy()
    members: set[str] = set()
    for number, line in enumerate(text.split("\n"), 1):
        words = _WORD.findall(line)
        if not words or words[0].startswith("#"):
            continue
        try:
            _LINES.get(words[0], _unknown)(policy, members, words)
        except VerificationError as error:
            raise VerificationError(error.reason, f"line {number}: {error.detail}") from error
    if not policy.quorum:
        raise VerificationError(Reason.POLICY_SHAPE, "no quorum line")
    return policy


def _log(policy: Policy, _members: set[str], words: list[str]) -> None:
    if not 2 <= len(words) <= 3:
        raise _broken("not: log <vkey> [<url>]")
    key = parse_vkey(words[1])
    if key.type != TYPE_ED25519:
        raise _broken(f"a log signs with type {TYPE_ED25519:#04x}, not {key.type:#04x}")
    _check_new_key(policy, key, policy.logs)
    policy.logs[key] = "".join(words[2:])


def _witness(policy: Policy, _members: set[str], words: list[str]) -> None:
    if not 3 <= len(words) <= 4:
        raise _broken("not: witness <name> <vkey> [<url>]")
    _check_new_name(policy, words[1])
    key = parse_vkey(words[2])
    if key.type != TYPE_COSIGNATURE:
        raise _broken(f"a witness signs with type {TYPE_COSIGNATURE:#04x}, not {key.type:#04x}")
    _check_new_key(policy, key, [known for known, _ in policy.witnesses.values()])
    policy.witnesses[words[1]] = key, "".join(words[3:])


def _group(policy: Policy, members: set[str], words: list[str]) -> None:
    if len(words) < 4:
        raise _broken("not: group <name> all|any|<k> <member>...")
    name, count, own = words[1], words[2], words[3:]
    _check_new_name(policy, name)
    for member in own:
        if not policy.defines(member):
            raise _broken(f"{member!r} is not defined above")
        if member in members:
            raise _broken(f"{member!r} is a member already")
        members.add(member)
    policy.groups[name] = Group(_threshold(count, len(own)), tuple(own))


def _quorum(policy: Policy, _members: set[str], words: list[str]) -> None:
    if len(words) != 2:
        raise _broken("not: quorum <name>")
    if policy.quorum:
        raise _broken("a second quorum line")
    if words[1] != NAME_NONE and not policy.defines(words[1]):
        raise _broken(f"{words[1]!r} is not defined above")
    policy.quorum = words[1]


def _unknown(_policy: Policy, _members: set[str], words: list[str]) -> None:
    raise _broken(f"starts with {words[0]!r}, not with log, witness, group or quorum")


_LINES: Mapping[str, Callable[[Policy, set[str], list[str]], None]] = {
    "log": _log,
    "witness": _witness,
    "group": _group,
    "quorum": _quorum,
}


def _threshold(count: str, size: int) -> int:
    if count == "all":
        return size
    if count == "any":
        return 1
    if not _COUNT.fullmatch(count) or int(count) > size:
        raise _broken(f"not all, any or a number from 1 to {size}: {count!r}")
    return int(count)


def _check_new_name(policy: Policy, name: str) -> None:
    if name == NAME_NONE or policy.defines(name):
        raise _broken(f"the name {name!r} is taken")


def _check_new_key(policy: Policy, key: NoteKey, same_kind: Iterable[NoteKey]) -> None:
    """Refuse a key under two names, which could count twice, and keys that a note cannot tell apart."""
    if key.public_key in {known.public_key for known in same_kind}:
        raise _broken(f"the key of {key.name} stands twice")
    if (key.name, key.key_id) in {(known.name, known.key_id) for known in policy.keys}:
        raise _broken(f"two keys have the name and key id of {key.name}")


def _broken(problem: str) -> VerificationError:
    return VerificationError(Reason.POLICY_SHAPE, problem)
