"""Whether the MQTT broker keeps what it is given, and lets in whom it should: tried, and read.

What it says over MQTT shows its queue, its window and its rights. Whether it writes anything to its disk
stands in its settings only.
"""

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from secrets import token_hex

from pipeline.edges.access_file import load_access
from pipeline.edges.certificates import days_left
from pipeline.edges.checkup import Check, expect, unknown
from pipeline.edges.mqtt import open_peer
from pipeline.wire.broker import BrokerUrl
from pipeline.wire.errors import InputError, UnavailableError
from pipeline.wire.topics import receipts_topic

NAME = "doctor"
PROBES = 6000  # More than the window and Mosquitto's default queue, 1,000, together.
CONNECT_S = 3.0
SILENCE_S = 1.0
DAYS_MIN = 30
QUEUE_MIN = 100_000
AUTOSAVE_MAX_S = 300
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
NOBODY = "urn:dev:ops:32473-cityproof-doctor"


async def check_broker(at: BrokerUrl, in_flight_min: int, settings: Sequence[Path]) -> Sequence[Check]:
    """Look at a broker.

    Args:
        at: Where it is.
        in_flight_min: So many messages have to be on their way to the bridge at once.
        settings: Mosquitto's files of settings, where they can be read.
    """
    about = f"MQTT broker {at.host}:{at.port}"
    checks = [*_check_who_gets_in(at, about)]
    try:
        async with asyncio.timeout(CONNECT_S):  # Who runs services waits longer for a broker than who asks.
            _, writer = await asyncio.open_connection(at.host, at.port)
        writer.close()
        checks += await _try_out(at, about, in_flight_min)
    except (OSError, UnavailableError, InputError) as error:
        checks.append(
            unknown(about, str(error), "Start it, or name another: mqtt.host, mqtt.port, mqtt.tls.")
        )
    if settings:
        checks += _check_settings(settings, in_flight_min, tls=at.tls)
    else:
        remedy = "Say where its settings are: --mosquitto-conf FILE."
        checks.append(unknown(about, "whether it writes to its disk cannot be seen from outside", remedy))
    return checks


def _check_who_gets_in(at: BrokerUrl, about: str) -> list[Check]:
    if not at.tls:
        where = "this machine" if at.host in LOOPBACK else "its network"
        return [
            expect(
                about,
                f"anybody on {where} may publish as anybody",
                "Have it ask for passwords over TLS: deploy/mosquitto/tls.conf, and mqtt.tls = true.",
                holds=at.host in LOOPBACK,
            )
        ]
    if at.ca is None:
        return []
    server = Path(at.ca).with_name("server.pem")
    if not server.exists():
        return [unknown(about, f"its certificate is not at {server}", "Look when it ends.")]
    left = days_left(server)
    what = f"its certificate is good for {left:.0f} days"
    remedy = "Run `cityproof init` again, and start the broker again."
    return [expect(about, what, remedy, holds=left >= DAYS_MIN)]


async def _try_out(at: BrokerUrl, about: str, in_flight_min: int) -> list[Check]:
    """Send ourselves more than window and queue of a careless broker hold, and something that is not ours."""
    probe, forbidden = f"doctor/{token_hex(8)}", receipts_topic(NOBODY)
    access = load_access(at, NAME)
    client = f"cityproof-{NAME}" if access else f"cityproof-{NAME}-{token_hex(4)}"
    peer = open_peer(at.host, at.port, client, [probe, forbidden], access=access, persistent=False)
    async with peer as (inbox, sender):
        if access is not None:
            await sender.publish(forbidden, b"")
        await asyncio.gather(*(sender.publish(probe, b"") for _ in range(PROBES)))
        arrived: list[int] = []
        overheard, more = 0, True
        while more:
            try:
                async with asyncio.timeout(SILENCE_S):
                    deliveries = await inbox.receive(PROBES, SILENCE_S / 4)
            except TimeoutError:
                more = False
                continue
            overheard += sum(delivery.topic == forbidden for delivery in deliveries)
            arrived.append(len(deliveries))
            await inbox.acknowledge(deliveries)
    # Behind the first answer some versions of Mosquitto let more through than they are told to.
    window, total = next(iter(arrived), 0), sum(arrived) - overheard
    checks = [
        expect(
            about,
            f"{window} messages were on their way at once",
            f"Set max_inflight_messages to {2 * in_flight_min} or more.",
            holds=window >= in_flight_min,
        ),
        expect(
            about,
            f"of {PROBES} messages that waited it dropped {PROBES - total}",
            "Set max_queued_messages to 1000000; 0 drops everything in some versions.",
            holds=total == PROBES,
        ),
    ]
    if access is not None:
        what = "a name reaches others' topics" if overheard else "a name reaches none of others' topics"
        remedy = "Set acl_file to the city's broker/rights, as deploy/mosquitto/tls.conf does."
        checks.append(expect(about, what, remedy, holds=not overheard))
    return checks


def _check_settings(files: Sequence[Path], in_flight_min: int, *, tls: bool) -> list[Check]:
    about = f"Mosquitto's settings {', '.join(map(str, files))}"
    try:
        found = _read(files)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        return [unknown(about, f"they cannot be read: {error}", "Name the files: --mosquitto-conf FILE.")]

    def number(name: str, default: int) -> int:
        text = found.get(name, str(default))
        return int(text) if text.lstrip("-").isdigit() else -1

    saves = number("autosave_interval", 1800)
    queue, window = number("max_queued_messages", 1000), number("max_inflight_messages", 20)
    rows = [
        ("persistence", "true", found.get("persistence", "false") == "true"),
        ("autosave_interval", "30", 0 < saves <= AUTOSAVE_MAX_S),
        ("max_queued_messages", "1000000", queue >= QUEUE_MIN),
        ("max_inflight_messages", str(4 * in_flight_min), window == 0 or window >= in_flight_min),
        ("queue_qos0_messages", "false", found.get("queue_qos0_messages", "false") == "false"),
    ]
    if tls:
        rows += [
            ("allow_anonymous", "false", found.get("allow_anonymous", "false") == "false"),
            ("use_username_as_clientid", "true", found.get("use_username_as_clientid", "false") == "true"),
            ("acl_file", "rights", "acl_file" in found),
            ("password_file", "passwords", "password_file" in found),
        ]
    return [
        expect(about, f"{name} is {found.get(name, 'not set')}", f"Set: {name} {wanted}", holds=holds)
        for name, wanted, holds in rows
    ]


def _read(files: Sequence[Path]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for path in files:
        for line in path.read_text(encoding="utf-8").splitlines():
            name, *rest = shlex.split(line, comments=True) or [""]
            if name:
                found[name] = " ".join(rest)
    return found
