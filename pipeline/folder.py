"""The folder of a city on one machine: its trust files, keys, log, state and proofs, all in one place."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.edges.keyfile import load_key, load_or_create_key
from pipeline.identity.authorities import ANY, Authority, format_authorities
from pipeline.log.note import TYPE_COSIGNATURE, NoteSigner, encode_vkey
from pipeline.wire.errors import InputError
from pipeline.wire.keys import SeedSigner

ORIGIN = "demo.cityproof.example/log"
AUTHORITY = "https://eeb.demo.cityproof.example/"
AUDITOR = "https://audit.demo.cityproof.example/"
WITNESSES = ("eeb", "transport", "outsider")
QUORUM = 2
SHARDS = 5
BOUNDS_S = {"registry_lag_s": 60, "cosign_delay_s": 60, "checkpoint_age_s": 86_400}


@dataclass(frozen=True, slots=True)
class CityFolder:
    """Where a city's files stand below one folder."""

    root: Path

    @property
    def policy(self) -> Path:
        """Which log and which witnesses a verifier trusts (C2SP tlog-policy)."""
        return self.root / "policy.txt"

    @property
    def authorities(self) -> Path:
        """Who may enrol what."""
        return self.root / "authorities.txt"

    @property
    def log(self) -> Path:
        """The published log: checkpoint, tiles, block bodies."""
        return self.root / "log"

    @property
    def state(self) -> Path:
        """What the stages keep: bus, points, indexes. It can be rebuilt from the bus."""
        return self.root / "state"

    @property
    def points(self) -> Path:
        """The point store."""
        return self.state / "points.db"

    @property
    def findings(self) -> Path:
        """What the auditor has found and stated."""
        return self.state / "findings.db"

    @property
    def proofs(self) -> Path:
        """Point proofs, each a file."""
        return self.root / "proofs"

    @property
    def devices(self) -> Path:
        """What the simulated devices keep: keys and outbox."""
        return self.root / "devices"

    @property
    def authority_key(self) -> Path:
        """The key file of the authority that enrols."""
        return self.root / "keys" / "authority.key"

    @property
    def log_key(self) -> Path:
        """The key file of the log."""
        return self.root / "keys" / "log.key"

    @property
    def auditor_key(self) -> Path:
        """The key file of the auditor."""
        return self.root / "keys" / "auditor.key"

    @property
    def broker(self) -> Path:
        """What the MQTT broker is given: passwords, rights, its certificate and key, and their authority."""
        return self.root / "broker"

    @property
    def broker_ca(self) -> Path:
        """The certificate that vouches for the broker's; devices have a copy."""
        return self.broker / "ca.crt"

    @property
    def broker_ca_key(self) -> Path:
        """The key of that authority, which the broker never sees."""
        return self.root / "keys" / "broker-ca.key"

    @property
    def access(self) -> Path:
        """The passwords by which this city's own services are known to the broker."""
        return self.root / "keys" / "mqtt"

    @property
    def grafana_password(self) -> Path:
        """The password of Grafana's administrator, alone in a folder, which is all that Grafana sees."""
        return self.root / "grafana" / "password"

    @property
    def influx_admin(self) -> Path:
        """The token of InfluxDB's administrator, which no service needs."""
        return self.root / "keys" / "influx-admin.token"

    def witness_key(self, name: str) -> Path:
        """The key file of a witness that runs here, by its name in the policy."""
        return self.root / "keys" / f"witness-{name}.key"

    def witness_state(self, name: str) -> Path:
        """Where a witness keeps the latest checkpoint it has cosigned."""
        return self.root / "witnesses" / name

    def witness_guard(self, name: str) -> Path:
        """Where a witness's guard counts along, to be kept apart from its memory and its backups."""
        return self.root / "witnesses" / f"{name}-guard"


@dataclass(frozen=True, slots=True)
class CityKeys:
    """The signers of a city on one machine; the witnesses by their name in the policy."""

    log: NoteSigner
    authority: SeedSigner
    auditor: SeedSigner
    witnesses: Mapping[str, NoteSigner]


def _witness_signer(folder: CityFolder, short: str) -> NoteSigner:
    name = f"{short}.demo.cityproof.example/witness"
    return NoteSigner(name, load_or_create_key(folder.witness_key(short), name))


def load_log_key(folder: CityFolder) -> NoteSigner:
    """Load the log's key.

    Raises:
        InputError: There is none, or it is unusable.
    """
    signer, name = load_key(folder.log_key)
    return NoteSigner(name, signer)


def load_witness_keys(folder: CityFolder, names: Collection[str]) -> Mapping[str, NoteSigner]:
    """Load the keys of those witnesses that run here.

    Raises:
        InputError: One is unusable.
    """
    loaded = {name: load_key(folder.witness_key(name)) for name in names if folder.witness_key(name).exists()}
    return {name: NoteSigner(owner, signer) for name, (signer, owner) in loaded.items()}


def open_city(root: Path) -> tuple[CityFolder, CityKeys]:
    """Open a city's folder, and make what it lacks: keys (0600), policy and authorities files.

    Raises:
        InputError: The folder cannot be made, or a key file is unusable.
    """
    folder = CityFolder(root)
    try:
        for path in (root, root / "keys", folder.log, folder.state, folder.proofs):
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"cannot make {root}: {error.strerror}"
        raise InputError("--dir", problem, "Choose a folder you may write to.") from error
    city_keys = CityKeys(
        NoteSigner(ORIGIN, load_or_create_key(folder.log_key, ORIGIN)),
        load_or_create_key(folder.authority_key, AUTHORITY),
        load_or_create_key(folder.auditor_key, AUDITOR),
        {short: _witness_signer(folder, short) for short in WITNESSES},
    )
    _write_trust(folder, city_keys)
    return folder, city_keys


def _write_trust(folder: CityFolder, keys: CityKeys) -> None:
    """Write the files that name the keys, unless they are there: people may have copied them already."""
    if not folder.policy.exists():
        lines = [f"log {encode_vkey(keys.log.key())}"]
        lines += [
            f"witness {short} {encode_vkey(signer.key(TYPE_COSIGNATURE))}"
            for short, signer in keys.witnesses.items()
        ]
        lines += [f"group city {QUORUM} {' '.join(keys.witnesses)}", "quorum city"]
        folder.policy.write_text("\n".join(lines) + "\n", encoding="ascii")
    if not folder.authorities.exists():
        authority = Authority(AUTHORITY, keys.authority.public_key, frozenset({ANY}), frozenset({ANY}))
        folder.authorities.write_text(format_authorities([authority], BOUNDS_S), encoding="ascii")
