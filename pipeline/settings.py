"""The settings of a city on servers: one TOML file, and the environment, which wins.

`kafka.servers` of the file is `CITYPROOF_KAFKA_SERVERS` in the environment. No secret is a setting: where one
is needed, the setting names the file that holds it.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from pipeline.wire.broker import BrokerUrl
from pipeline.wire.errors import InputError

PREFIX = "CITYPROOF_"
DEFAULT = "default"

Text = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MqttSettings(_Table):
    """Where the MQTT broker is, and the files by which both sides know one another, seen from the folder.

    Passwords go over TLS only: without it none is shown, and none of the files is read.
    """

    host: Text = "127.0.0.1"
    port: int = Field(default=1883, ge=1, le=65535)
    tls: bool = False
    ca_file: Path = Path("broker/ca.crt")
    access_folder: Path = Path("keys/mqtt")


class KafkaSettings(_Table):
    """Where Kafka is: `host:port`, several with commas; the prefix stands before every name in it.

    Where the number of replicas is not said, topics lie on three brokers, or as many as there are. The number
    of shards, the registry's among them, is for good: a log is begun with it.
    """

    servers: str = Field(default="127.0.0.1:9092", pattern=r"^[^\s,:]+:\d+(,[^\s,:]+:\d+)*$")
    prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    replicas: int | None = Field(default=None, ge=1)
    shards: int = Field(default=5, ge=2, le=256)


class InfluxSettings(_Table):
    """Where InfluxDB is, and the file of the token that opens its bucket, seen from the city's folder."""

    url: str = Field(default="http://127.0.0.1:8086", pattern=r"^https?://[^/@\s]+/?$")
    org: Text = "city"
    bucket: Text = "points"
    token_file: Path = Path("keys/influx.token")


class HealthSettings(_Table):
    """Where a service tells of its health and its figures; port 0: nowhere. Each process needs its own."""

    host: Text = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)


class Settings(BaseSettings):
    """Everything that a service has to be told."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="_", env_nested_max_split=1, extra="forbid", frozen=True
    )

    folder: Path = Path("city")
    mqtt: MqttSettings = MqttSettings()
    kafka: KafkaSettings = KafkaSettings()
    influx: InfluxSettings = InfluxSettings()
    health: HealthSettings = HealthSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library calls it by these names
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over what `load_settings` hands in, the file's."""
        return env_settings, init_settings

    @property
    def broker(self) -> BrokerUrl:
        """How the broker is spoken to."""
        mqtt = self.mqtt
        if not mqtt.tls:
            return BrokerUrl(mqtt.host, mqtt.port)
        ca, access = str(self.folder / mqtt.ca_file), str(self.folder / mqtt.access_folder)
        return BrokerUrl(mqtt.host, mqtt.port, tls=True, ca=ca, access=access)

    @property
    def token_file(self) -> Path:
        """The file of InfluxDB's token."""
        return self.folder / self.influx.token_file


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings in force and, for each dotted name, its value and where that is from."""

    settings: Settings
    rows: Mapping[str, tuple[Any, str]]


def load_settings(file: Path | None) -> Loaded:
    """Read the settings.

    Raises:
        InputError: The file cannot be read, or a setting is unknown or wrong; it is named with its source.
    """
    told = _read(file) if file else {}
    try:
        environment = _flat(EnvSettingsSource(Settings)())
    except SettingsError as error:
        raise InputError("environment", str(error), "See `cityproof config`.") from error
    origins = dict.fromkeys(_flat(told), str(file))
    origins |= {name: PREFIX + name.replace(".", "_").upper() for name in environment}
    try:
        settings = Settings(**told)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        where = origins.get(name, DEFAULT)
        problem = "there is no such setting" if first["type"] == "extra_forbidden" else first["msg"]
        raise InputError(f"{name} ({where})", problem, "`cityproof config` lists all.") from error
    values = _flat(settings.model_dump(mode="json"))
    return Loaded(settings, {name: (value, origins.get(name, DEFAULT)) for name, value in values.items()})


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problem = f"cannot be read: {os.strerror(error.errno or 0)}"
        raise InputError(str(file), problem, "Name a file of settings.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(str(file), f"is no TOML: {error}", "`cityproof config` writes one.") from error


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return a table's values by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = value
    return flat
