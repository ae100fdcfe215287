"""GS1 keys and Digital Links: check digits, element order, encoding, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.shipping.digital_link import DigitalLink, gtin_link, make_link, parse_link
from pipeline.shipping.gs1 import check_digit, check_key, full_gtin
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

# Published examples: GS1 General Specifications 7.9, the Digital Link standard, CBV.
CHECKED = ["340123450000000017", "09506000134352", "4012345000009", "00614141999996", "629104150021" + "3"]


@pytest.mark.parametrize("digits", CHECKED)
def test_check_digits(digits: str) -> None:
    """Of published numbers the last digit follows from the others."""
    assert check_digit(digits[:-1]) == digits[-1]


@given(st.text("0123456789", min_size=1, max_size=17), st.data())
def test_one_wrong_digit_is_always_seen(digits: str, data: st.DataObject) -> None:
    """Weights 3 and 1 are prime to 10: no single change keeps the sum."""
    whole = digits + check_digit(digits)
    place = data.draw(st.integers(0, len(digits) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != whole[place]]))
    changed = digits[:place] + other + digits[place + 1 :]

    assert check_digit(changed) != whole[-1]


def test_the_address_of_an_item() -> None:
    """Key, qualifiers in their order, attributes, fragment: as the standard's example has them."""
    link = make_link(
        ("01", "09506000134352"),
        [("21", "12345XYZ"), ("10", "ABC/1 23".replace(" ", ""))],
        [("17", "270331")],
    )

    assert link.uri("h") == "https://id.gs1.org/01/09506000134352/10/ABC%2F123/21/12345XYZ?17=270331#h"
    assert parse_link(link.uri("h")) == link
    assert link.value("10") == "ABC/123"
    assert make_link(("00", "340123450000000017")).uri() == "https://id.gs1.org/00/340123450000000017"
    assert make_link(("414", "4012345000009")).uri() == "https://id.gs1.org/414/4012345000009"


SERIAL = st.text(
    "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz",
    min_size=1,
    max_size=20,
)


@given(SERIAL, SERIAL)
def test_every_serial_comes_back(lot: str, serial: str) -> None:
    """Whatever character set 82 can write survives the address."""
    link = gtin_link("09506000134352", lot=lot, serial=serial)
    again = parse_link(link.uri(resolver="https://example.org/scan"))

    assert again == link
    assert (again.value("10"), again.value("21")) == (lot, serial)


def test_another_resolver_and_a_short_gtin() -> None:
    """What stands before the key is the resolver's; a GTIN-13 is the same item."""
    link = parse_link("http://shop.example/a/b/01/9506000134352/21/7?linkType=all&x=1")

    assert link == DigitalLink(("01", "09506000134352"), (("21", "7"),), (("linkType", "all"), ("x", "1")))
    assert full_gtin("96385074") == "00000096385074"


@pytest.mark.parametrize(
    ("uri", "detail"),
    [
        ("https://id.gs1.org/01/09506000134353", "the check digit would be 2"),
        ("https://id.gs1.org/01/095060001343521", "another form"),
        ("https://id.gs1.org/01/09506000134352/21/1/10/2", "not in their order"),
        ("https://id.gs1.org/01/09506000134352/254/1", "does not qualify"),
        ("https://id.gs1.org/01/09506000134352/21/a/21/b", "stands twice"),
        ("https://id.gs1.org/01/09506000134352/21/" + 21 * "1", "another form"),
        ("https://id.gs1.org/01/09506000134352/21/%zz", "encodes nothing"),
        ("https://id.gs1.org/01/09506000134352/21/%C3%A9", "another form"),
        ("https://id.gs1.org/01/09506000134352/21/%ff", "another form"),
        ("https://id.gs1.org/", "no primary key"),
        ("https://id.gs1.org/21/5", "no primary key"),
        ("urn:epc:id:sgtin:4012345.012345.12", "http(s)"),
        ("https://id.gs1.org/01/" + 2048 * "0", "too long"),
        ("https://[/01/09506000134352", "not a URI"),
    ],
)
def test_what_is_refused(uri: str, detail: str) -> None:
    """By its reason, and what would be right."""
    with pytest.raises(VerificationError) as refused:
        parse_link(uri)
    assert refused.value.reason is Reason.GS1_KEY
    assert detail in refused.value.detail


def test_keys_that_are_none() -> None:
    """Unknown identifiers, wrong sizes, letters, digits that are not ASCII."""
    for identifier, value in [("99", "1"), ("01", ""), ("00", "34012345000000001x"), ("21", "a b"),
                              ("01", "٠٩٥٠٦٠٠٠١٣٤٣٥٢"), ("8010", "401234abc")]:  # fmt: skip
        with pytest.raises(VerificationError) as refused:
            check_key(identifier, value)
        assert refused.value.reason is Reason.GS1_KEY
    for digits in ("", "123", "123456789", "00000096385075"):
        with pytest.raises(VerificationError):
            full_gtin(digits)
    with pytest.raises(VerificationError):
        make_link(("10", "lot"))
