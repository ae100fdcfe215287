"""Issuers: the grammar of RFC 9039, its examples, and other URIs."""

import pytest

from pipeline.wire.names import is_device, is_issuer, is_label

DEVICES = [
    # RFC 9039, 5: the examples, but for those with capitals in hexadecimal.
    "urn:dev:mac:0024beffff804ff1",
    "urn:dev:mac:0024befffe804ff1",
    "urn:dev:mac:acde48234567019f",
    "urn:dev:ow:10e2073a01080063",
    "urn:dev:ow:264437f5000000ed_humidity",
    "urn:dev:ow:264437f5000000ed_temperature",
    "urn:dev:org:32473-foo",
    "urn:dev:org:32473-foo:bar-1",
    "urn:dev:os:32473-123456",
    "urn:dev:os:32473-12-34-56",
    "urn:dev:ops:32473-Refrigerator-5002",
    "urn:dev:ops:32473-Refrigerator-5002:a.b:c",
    "urn:dev:example:new-1-2-3_comp",
    "urn:dev:lab2:a:b-c",
    "urn:dev:ops:32473-air-7_pm2_5",
]
NO_DEVICES = [
    "",
    "urn:dev:",
    "urn:dev:mac:",
    "urn:dev:mac:0024beffff804ff",
    "urn:dev:mac:0024BEFFFF804FF1",
    "urn:dev:ow:xyz0",
    "urn:dev:org:032473-foo",
    "urn:dev:org:32473",
    "urn:dev:org:32473-",
    "urn:dev:os:-1",
    "urn:dev:os:32473-a:",
    "urn:dev:ops:32473-air",
    "urn:dev:ops:32473-air-",
    "urn:dev:ops:32473--7",
    "urn:dev:ops:0-a-7",
    "urn:dev:ops:32473-air-7_",
    "urn:dev:ops:32473-air-7__a",
    "urn:dev:ops:32473-air-7\n",
    "urn:dev:ops:32473-a_r-7x_",
    "urn:dev:Lab:a",
    "urn:dev:2lab:a",
    "urn:dev:lab",
    "urn:dev:lab:",
    "urn:dev:lab:a/b",
    "urn:dev:lab:水",
    "URN:DEV:lab:a",
    "urn:device:lab:a",
    "xurn:dev:lab:a",
]
URIS = [
    "https://city.example/ecology",
    "https://[2001:db8::1]:8443/a?b=c#d",
    "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH",
    "mailto:ecology@city.example",
    "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "a+b-c.1:%C3%A9",
]
NO_URIS = [
    "ecology",
    ":a",
    "1a:b",
    "a:",
    "https://a b",
    "https://水",
    "a:%",
    "a:%g0",
    "a:b\n",
    'a:"',
    "a:<b>",
    "a:\\b",
]


@pytest.mark.parametrize("name", DEVICES)
def test_device_urns(name: str) -> None:
    """Each form of RFC 9039 is a device, and an issuer."""
    assert is_device(name)
    assert is_issuer(name)


@pytest.mark.parametrize("name", NO_DEVICES)
def test_broken_device_urns(name: str) -> None:
    """What breaks the grammar is no device, nor does it pass as some other URI where it begins as one."""
    assert not is_device(name)
    assert not is_issuer(name) or not name.startswith("urn:dev:")


@pytest.mark.parametrize("name", URIS)
def test_uris(name: str) -> None:
    """People and services are named by URIs, which are no devices."""
    assert is_issuer(name)
    assert not is_device(name)


@pytest.mark.parametrize("name", NO_URIS)
def test_what_is_no_uri(name: str) -> None:
    """A scheme and the characters of RFC 3986 are needed."""
    assert not is_issuer(name)


def test_names_are_bounded_text() -> None:
    """128 bytes, text, no control characters, no surrogates."""
    device, uri = "urn:dev:lab:" + "a" * 116, "a:" + "b" * 126
    assert is_device(device)
    assert is_issuer(uri)
    assert not is_device(device + "a")
    assert not is_issuer(uri + "b")
    for wrong in (None, 7, b"urn:dev:lab:a", ["a"]):
        assert is_device(wrong) is False
        assert is_issuer(wrong) is False
        assert is_label(wrong) is False
    assert [is_label(text) for text in ("a", "水" * 42 + "ab", " ", "\xa0")] == [True] * 4
    assert [
        is_label(text) for text in ("", "水" * 43, "\x1f", "\x7f", "\x80", "\x9f", "\ud800", "\udfff")
    ] == [False] * 8
