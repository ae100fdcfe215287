"""What a person hands to `simulate` and `replay`: policy file, authority's key, folder of the fleet."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from devices.fleet import Fleet, LogKey
from devices.keyfile import NextKey, create_next, load_key, load_next, load_or_create_key
from pipeline.log.policy import parse_policy
from pipeline.wire.errors import InputError, VerificationError
from pipeline.wire.keys import Signer
from pipeline.wire.rotation import Rotation, SequencePlace, make_rotation


@dataclass(frozen=True, slots=True)
class Site:
    """Where a fleet publishes, whose receipts count, who enrols it, where it keeps its keys and outbox."""

    broker: str
    log: LogKey
    authority: tuple[Signer, str]
    folder: Path

    @property
    def outbox(self) -> Path:
        """The outbox file."""
        return self.folder / "outbox.db"

    def signers(self, devices: Iterable[tuple[str, str]]) -> list[tuple[Signer, str, str]]:
        """Return (signer, issuer, subject) for each (issuer, subject); keys are made at first use.

        Raises:
            InputError: A key file is unusable.
        """
        (self.folder / "keys").mkdir(exist_ok=True, mode=0o700)
        return [
            (load_or_create_key(key_path(self.folder, issuer), issuer), issuer, subject)
            for issuer, subject in devices
        ]

    def rotations(self, fleet: Fleet) -> list[Rotation]:
        """Have those devices of a fleet that change their keys do so; return the rotations, to be stated.

        Raises:
            InputError: A key file is unusable.
        """
        begun = {
            issuer: following
            for issuer, member in fleet.members.items()
            if not member.authority and (following := load_next(key_path(self.folder, issuer)))
        }
        return [self._rotate(fleet, issuer, following) for issuer, following in begun.items()]

    def rotate(self, fleet: Fleet, issuer: str, starts: SequencePlace) -> Rotation:
        """Have a device of a fleet change its key at a place of its chain; return the rotation, to be stated.

        Raises:
            InputError: A rotation of this device is under way, or a key file is unusable.
        """
        chain = fleet.members[issuer].device.chain
        following = create_next(key_path(self.folder, issuer), starts, (chain.epoch, chain.sequence))
        return self._rotate(fleet, issuer, following)

    def _rotate(self, fleet: Fleet, issuer: str, following: NextKey) -> Rotation:
        device = fleet.members[issuer].device
        rotation = make_rotation(
            device.signer,
            following.signer,
            authority=self.authority[1],
            issuer=issuer,
            starts=following.starts,
            valid_from_s=int(time.time()),
        )
        device.rotate(following.signer, following.starts)
        return rotation


def key_path(folder: Path, issuer: str) -> Path:
    """Return where a fleet's folder keeps a device's key."""
    return folder / "keys" / f"{quote(issuer, safe='')}.key"


def open_site(broker: str, policy: Path, authority_key: Path, folder: Path) -> Site:
    """Read the files a fleet needs, and make its folder.

    Raises:
        InputError: One of them is unusable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"cannot make this folder: {error.strerror}"
        raise InputError("--dir", problem, "Choose a folder you may write to.") from error
    return Site(broker, read_log_key(policy), load_key(authority_key), folder)


def read_log_key(path: Path) -> LogKey:
    """Return the one log that a policy file names.

    Raises:
        InputError: The file is missing, no policy, or names no log or several.
    """
    remedy = "Name the policy.txt of the log that is to take the statements."
    try:
        logs = list(parse_policy(path.read_bytes()).logs)
    except OSError as error:
        raise InputError("--policy", f"cannot read {path}: {error.strerror}", remedy) from error
    except VerificationError as error:
        raise InputError("--policy", f"{path} is no policy file: {error}", remedy) from error
    if len(logs) != 1:
        raise InputError("--policy", f"{path} names {len(logs)} logs; a fleet publishes to one", remedy)
    return LogKey(logs[0].name, logs[0].public_key)
