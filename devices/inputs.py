"""What a person hands to `simulate` and `replay`: policy file, authority's key, folder of the fleet."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from devices.fleet import LogKey
from devices.keyfile import load_key, load_or_create_key
from pipeline.log.policy import parse_policy
from pipeline.wire.errors import InputError, VerificationError
from pipeline.wire.keys import Signer


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
        keys = self.folder / "keys"
        keys.mkdir(exist_ok=True, mode=0o700)
        return [
            (load_or_create_key(keys / f"{quote(issuer, safe='')}.key", issuer), issuer, subject)
            for issuer, subject in devices
        ]


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
