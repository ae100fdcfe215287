"""`cityproof init`: a city's folder with its keys, trust files, passwords and certificates."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from secrets import token_urlsafe

from pipeline.commands.access import grant
from pipeline.edges.broker_rights import SERVICES, BrokerRights
from pipeline.edges.certificates import ensure_authority, ensure_server
from pipeline.edges.files import replace_file
from pipeline.folder import AUDITOR, AUTHORITY, CityFolder, open_city
from pipeline.settings import Settings, load_settings
from pipeline.wire.errors import InputError

HOSTS = ("localhost", "127.0.0.1", "::1", "mosquitto")  # The last is its name among the containers.
SECRET_BYTES = 32
SECRET = 0o600


def run(directory: Path, hosts: Sequence[str]) -> int:
    """Make what the folder lacks, and say where what is."""
    folder, _ = open_city(directory)
    _make_broker_files(folder, hosts)
    if not folder.grafana_password.exists():
        replace_file(folder.grafana_password, token_urlsafe(SECRET_BYTES).encode(), SECRET)
    print(f"policy {folder.policy}, authority's key {folder.authority_key}")
    print(f"broker's files {folder.broker}, passwords {folder.access}")
    return 0


def run_with_servers(directory: Path, hosts: Sequence[str], config: Path | None) -> int:
    """Prepare InfluxDB and Kafka too: administrator, bucket and token; topics."""
    run(directory, hosts)
    settings = load_settings(config).settings
    if settings.folder.resolve() != directory.resolve():
        problem = f"the settings name another folder: {settings.folder}"
        raise InputError("--dir", problem, "Name the same one.")
    _prepare_influxdb(CityFolder(directory), settings)
    asyncio.run(_prepare_kafka(settings))
    return 0


def _make_broker_files(folder: CityFolder, hosts: Sequence[str]) -> None:
    ensure_authority(folder.broker_ca, folder.broker_ca_key, f"cityproof broker {folder.root.name}")
    names = [*hosts, *HOSTS]
    if ensure_server((folder.broker_ca, folder.broker_ca_key), folder.broker / "server.pem", names):
        print("made the broker's certificate; a broker that runs has to be started again")
    rights = BrokerRights(folder.broker)
    known = rights.names()
    missing = [name for name in (*sorted(SERVICES), AUDITOR) if name not in known]
    grant(rights, missing, folder.access)
    if AUTHORITY not in known:
        grant(rights, [AUTHORITY], folder.access, authority=True)


def _prepare_influxdb(folder: CityFolder, settings: Settings) -> None:
    from pipeline.edges.influx_setup import ensure_bucket, set_up

    influx, admin = settings.influx, folder.influx_admin
    if not admin.exists():
        # A crash behind this leaves a token that is nobody's yet; the next start makes it the admin's.
        replace_file(admin, token_urlsafe(SECRET_BYTES).encode(), SECRET)
    token = admin.read_text(encoding="ascii").strip()
    if set_up(influx.url, token, influx.org, influx.bucket):
        print(f"InfluxDB's administrator has the token in {admin}")
    if not settings.token_file.exists():
        made = ensure_bucket(influx.url, token, influx.org, influx.bucket)
        # A crash before this leaves a token that nobody knows; the next start makes another.
        replace_file(settings.token_file, made.encode(), SECRET)
        print(f"InfluxDB's bucket {influx.bucket} opens with the token in {settings.token_file}")


async def _prepare_kafka(settings: Settings) -> None:
    from pipeline.servers import open_site

    async with open_site(settings, "init"):
        print(f"Kafka's topics are at {settings.kafka.servers}")
