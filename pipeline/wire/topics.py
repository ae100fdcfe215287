"""Names of MQTT topics and of the bus's topics.

An MQTT topic is a kind and a percent-encoded name: `statements/urn:dev:ops:32473-air-7`. Every UTF-8 byte but
letters, digits and `-._~:` is written %XX in capitals (RFC 3986, 2.1): no `/`, `+` or `#` of a name gets out.
"""

from urllib.parse import quote, unquote

from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

# Topics of the bus. STATEMENTS, BLOCKS, STATE and REFUSED have a partition a shard, LOG has one.
STATEMENTS = "statements"
BLOCKS = "blocks"
LOG = "log"
REFUSED = "refused"
STATE = "state"

_KINDS = frozenset({"statements", "receipts", "refusals", "registry"})
_NAME_SIZE_MAX = 1024  # Characters once encoded; MQTT allows 65,535 bytes a topic.


def statements_topic(device: str) -> str:
    """Return where a device publishes its statements."""
    return _topic("statements", device)


def receipts_topic(device: str) -> str:
    """Return where a device gets its receipts."""
    return _topic("receipts", device)


def refusals_topic(device: str) -> str:
    """Return where a device hears what was refused."""
    return _topic("refusals", device)


def registry_topic(authority: str) -> str:
    """Return where an authority publishes its statements."""
    return _topic("registry", authority)


def broker_user(name: str) -> str:
    """Return the name by which the broker knows a device, service or authority.

    Percent-encoded as in its topics, and the colons too: Mosquitto's file of passwords ends a name at one.
    """
    return quote(name, safe="")


def parse_topic(topic: str) -> tuple[str, str]:
    """Return kind and name of an MQTT topic of ours.

    Raises:
        VerificationError: `topic_shape`: another topic, or not the one encoding of its name.
    """
    kind, _, encoded = topic.partition("/")
    if kind not in _KINDS or not 0 < len(encoded) <= _NAME_SIZE_MAX:
        raise VerificationError(Reason.TOPIC_SHAPE, topic[:80])
    try:
        name = unquote(encoded, errors="strict")
        if _encode_name(name) == encoded:
            return kind, name
    except UnicodeError:  # Bytes that are no UTF-8, or a surrogate.
        pass
    raise VerificationError(Reason.TOPIC_SHAPE, topic[:80])


def _topic(kind: str, name: str) -> str:
    encoded = _encode_name(name)
    assert 0 < len(encoded) <= _NAME_SIZE_MAX, "a name no topic can hold"
    return f"{kind}/{encoded}"


def _encode_name(name: str) -> str:
    return quote(name, safe=":")
