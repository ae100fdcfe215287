"""Brokers' URLs and access files: one form each, and no password without TLS."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.wire.broker import BrokerUrl, access_file_name, decode_access, encode_access, parse_broker_url
from pipeline.wire.errors import InputError


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("mqtt://localhost", BrokerUrl("localhost", 1883)),
        ("mqtt://127.0.0.1:18830", BrokerUrl("127.0.0.1", 18830)),
        ("mqtt://[::1]:1884/", BrokerUrl("::1", 1884)),
        ("mqtts://b.example", BrokerUrl("b.example", 8883, tls=True)),
        ("mqtts://b:1?ca=/c%20a.crt", BrokerUrl("b", 1, tls=True, ca="/c a.crt")),
        ("mqtts://b?access=keys/mqtt&ca=ca.crt", BrokerUrl("b", 8883, True, "ca.crt", "keys/mqtt")),
    ],
)
def test_a_broker_has_host_and_port(url: str, read: BrokerUrl) -> None:
    """1883, or 8883 over TLS, where no port is given; files are the query's."""
    assert parse_broker_url("--broker", url) == read


@pytest.mark.parametrize(
    "url",
    [
        "", "localhost:1883", "http://localhost", "mqtt://", "mqtt://h:port", "mqtt://h:99999", "mqtt://h/x",
        "mqtts://h?ca", "mqtts://h?ca=", "mqtts://h?password=x", "mqtts://user:password@h", "mqtts://h#x",
    ],
)  # fmt: skip
def test_another_url_is_refused(url: str) -> None:
    """What is no broker's address is an input error that shows the form."""
    with pytest.raises(InputError) as refused:
        parse_broker_url("--broker", url)
    assert (refused.value.place, refused.value.problem) == ("--broker", f"not a broker's address: {url}")
    assert refused.value.remedy.startswith("Write mqtt://HOST:PORT, or mqtts://")


@pytest.mark.parametrize("url", ["mqtt://h\x1b[2J", f"mqtts://h?ca={'c' * 4084}"])
def test_what_a_terminal_should_not_be_shown_is_not(url: str) -> None:
    """Controls, and more than 4,096 characters, are refused unread and not repeated."""
    with pytest.raises(InputError) as refused:
        parse_broker_url("--broker", url)
    assert refused.value.problem == "not a broker's address: it is too long, or cannot be printed"
    assert parse_broker_url("--broker", f"mqtts://h?ca={'c' * 4083}").ca == "c" * 4083


@pytest.mark.parametrize("query", ["access=x", "ca=x"])
def test_a_password_goes_over_tls_only(query: str) -> None:
    """So nobody believes to be safe who has left an s out."""
    with pytest.raises(InputError, match="over TLS only"):
        parse_broker_url("--broker", f"mqtt://h?{query}")


def test_an_access_file_is_name_and_password() -> None:
    """Title, name, password, a line each."""
    text = encode_access("urn:dev:ops:32473-air-7", "A" * 43)
    assert text == f"cityproof broker access 1\nname urn:dev:ops:32473-air-7\npassword {'A' * 43}\n"
    assert decode_access(text) == ("urn:dev:ops:32473-air-7", "A" * 43)


@given(st.data())
def test_a_damaged_access_file_is_refused(data: st.DataObject) -> None:
    """Cut anywhere; with another title, another line, a password with something else in it."""
    text = encode_access("bridge", "b" * 43)
    cut = data.draw(st.integers(0, len(text) - 1))
    changed = [text[:cut], text + "x", text.replace("1\n", "2\n", 1), text.replace("bb", "b b", 1)]
    with pytest.raises(InputError, match="damaged"):
        decode_access(data.draw(st.sampled_from(changed)))


def test_a_name_is_a_files_name() -> None:
    """Whatever is in it, it does not leave the folder."""
    assert access_file_name("https://eeb.example/../x") == "https%3A%2F%2Feeb.example%2F..%2Fx.access"
