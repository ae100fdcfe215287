"""Topics: one topic a name, one name a topic, and no name that could widen a subscription."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.wire import topics
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

MAKERS = {
    "statements": topics.statements_topic,
    "receipts": topics.receipts_topic,
    "refusals": topics.refusals_topic,
    "registry": topics.registry_topic,
}
ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:%")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100))
def test_names_survive(name: str) -> None:
    """Any name makes a topic of two levels without wildcards, and comes back."""
    for kind, make in MAKERS.items():
        topic = make(name)
        level, _, encoded = topic.partition("/")
        assert level == kind
        assert set(encoded) <= ALPHABET
        assert topics.parse_topic(topic) == (kind, name)


def test_what_is_escaped() -> None:
    """Letters, digits and -._~: stay; every other byte of UTF-8 is %XX in capitals."""
    assert topics.statements_topic("urn:dev:ops:32473-air-7") == "statements/urn:dev:ops:32473-air-7"
    assert topics.registry_topic("https://a.b/c d") == "registry/https:%2F%2Fa.b%2Fc%20d"
    assert topics.receipts_topic("+#$/%水~_") == "receipts/%2B%23%24%2F%25%E6%B0%B4~_"


REFUSED = [
    "",
    "/",
    "statements",
    "statements/",
    "/a",
    "statement/a",
    "Statements/a",
    "statements/a/b",
    "statements//a",
    "statements/a/",
    "statements/+",
    "statements/#",
    "statements/a%2fb",
    "statements/%41",
    "statements/%3A",
    "statements/%",
    "statements/%2",
    "statements/%zz",
    "statements/%ff",
    "statements/%FF",
    "statements/%C0%AF",
    "statements/%ED%A0%80",
    "statements/水",
    "statements/a b",
    "statements/a\x00",
    "statements/\ud800",
    "$share/x/statements/a",
    "statements/" + "a" * 1025,
]


@pytest.mark.parametrize("topic", REFUSED)
def test_no_second_spelling(topic: str) -> None:
    """Anything but the one encoding of a name is refused."""
    with pytest.raises(VerificationError) as refused:
        topics.parse_topic(topic)
    assert refused.value.reason is Reason.TOPIC_SHAPE


def test_names_are_bounded() -> None:
    """1,024 characters once encoded; a longer or an empty name is a bug of the caller."""
    assert topics.parse_topic(topics.receipts_topic("a" * 1024)) == ("receipts", "a" * 1024)
    for name in ("a" * 1025, "/" * 342, ""):
        with pytest.raises(AssertionError):
            topics.statements_topic(name)


def test_topics_of_the_bus_are_distinct() -> None:
    """Five topics, five names."""
    names = (topics.STATEMENTS, topics.BLOCKS, topics.LOG, topics.REFUSED, topics.STATE)
    assert names == ("statements", "blocks", "log", "refused", "state")


def test_a_device_s_user_at_the_broker_is_its_name_in_a_topic() -> None:
    """Percent-encoded whole, so that no name reaches into another's topics."""
    assert topics.broker_user("urn:dev:ops:32473-air-1") == "urn%3Adev%3Aops%3A32473-air-1"
    assert topics.broker_user("a/b+c#x") == "a%2Fb%2Bc%23x"
