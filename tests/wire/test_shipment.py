"""Statements about shipments: each kind as written, each field and its bounds, each role's own."""

from typing import Any

import cbor2
import pytest

from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason
from pipeline.wire.shipment import (
    Content,
    Created,
    Judged,
    Loaded,
    Stop,
    check_shipment,
    decode_shipment,
    encode_shipment,
    kind_of,
)
from tests.docs.examples import other_statements
from tests.wire.test_rotation import LEFT_OUT, Changes, Fields, changed

T = 1_800_000_000_000_000
H = bytes(range(32))
SHIPPER, CARRIER, CONSIGNEE = (
    "https://shipper.example/",
    "https://carrier.example/",
    "https://clinic.example/",
)
LOGGER = "urn:dev:ops:32473-truck-1"
SHAPE = Reason.SHIPMENT_SHAPE
GOODS = ["09506000134352", "L7", "42", ""]
UNIT = ["", "", "", "106141412345678908"]
STOPS = [["plant", 119.97, 31.81, ""], ["clinic", 120, 31.5, "9506000134369"]]

# As they stand in the published vectors.
CREATED: Fields = {
    1: "created", 3: T, 4: CONSIGNEE, 5: [CARRIER], 6: [GOODS, UNIT], 7: STOPS, 8: [LOGGER],
}  # fmt: skip
OFFERED: Fields = {1: "offered", 2: H, 3: T, 11: CARRIER, 12: STOPS[0]}
LIMITS: Fields = {1: "limits", 2: H, 3: T, 9: H, 10: b"name = 'x'"}
LOADED: Fields = {1: "loaded", 2: H, 3: T}
REFUSED: Fields = {1: "refused", 2: H, 3: T, 13: "a torn film"}
LOGGERS: Fields = {1: "loggers", 2: H, 3: T, 14: [LOGGER], 15: []}
RELEASED: Fields = {1: "released", 2: H, 3: T, 16: H}
REJECTED: Fields = {1: "rejected", 2: H, 3: T, 13: "too warm", 16: H}
VERDICT: Fields = {
    1: "verdict", 2: H, 3: T, 9: H, 17: H, 18: T, 19: T + 1, 20: 40, 21: H, 22: H, 23: 7, 24: 1,
    25: "breach", 26: [["temperature > 8 °C at one time", "critical", "breach"]], 27: H,
}  # fmt: skip
KINDS = (CREATED, LIMITS, LOADED, OFFERED, REFUSED, LOGGERS, RELEASED, REJECTED, VERDICT)

TIMES = [(3, wrong, SHAPE) for wrong in (-1, 2**33 * 10**6, 1.5, "0", True)]
ENDS = [(3, good, None) for good in (0, 2**33 * 10**6 - 1)]
WRONG_HASHES = (bytes(31), bytes(33), "a" * 32, 0)
CREATED_CHANGES: Changes = [
    *[(label, LEFT_OUT, SHAPE) for label in CREATED],
    *[(1, wrong, SHAPE) for wrong in ("", "lost", 7, b"created", "loaded")],
    *TIMES,
    *ENDS,
    *[(label, 0, SHAPE) for label in (0, 2, 9, 28)],
    *[(4, wrong, SHAPE) for wrong in ("no uri", b"https://a.example/", 7)],
    *[(5, wrong, SHAPE) for wrong in ([CARRIER, CARRIER], ["no uri"], [7], CARRIER)],
    *[
        (5, [f"https://{n}.example/" for n in range(count)], why)
        for count, why in ((0, None), (32, None), (33, SHAPE))
    ],
    *[
        (6, wrong, SHAPE)
        for wrong in ([], [GOODS, GOODS], [GOODS[:3]], [[*GOODS, ""]], [["", "", "", ""]], "goods")
    ],
    *[(6, [[wrong, "", "", ""]], SHAPE) for wrong in ("1" * 13, "1" * 15, "1" * 13 + "a", "１" * 14, 10**13)],
    *[(6, [["", "", "", wrong]], SHAPE) for wrong in ("1" * 17, "1" * 19, 10**17)],
    *[(6, [[wrong, "", "", ""]], SHAPE) for wrong in (b"1" * 14, ["1"] * 14)],
    *[(6, [[GOODS[0], wrong, "", ""]], SHAPE) for wrong in ("a" * 21, "\x00", 7)],
    *[
        (6, [[GOODS[0], str(n), "", ""] for n in range(count)], why)
        for count, why in ((128, None), (129, SHAPE))
    ],
    *[(6, [["", *rest]], SHAPE) for rest in (["L", "", UNIT[3]], ["", "42", UNIT[3]])],
    (6, [[GOODS[0], "", "", UNIT[3]]], SHAPE),
    (6, [[GOODS[0], "a" * 20, "", ""]], None),
    *[(7, wrong, SHAPE) for wrong in ([], STOPS[:1], STOPS * 33, ["a", "b"], "plant")],
    *[
        (7, [STOPS[0], ["b", *wrong, ""]], SHAPE)
        for wrong in ((180.5, 0), (0, 90.5), ("0", 0), (True, 0), (0,))
    ],
    *[(7, [STOPS[0], ["b", 0, 0, wrong]], SHAPE) for wrong in ("1" * 12, "1" * 14, 7)],
    *[(7, [STOPS[0], [wrong, 0, 0, ""]], SHAPE) for wrong in ("", "a" * 129, 7)],
    (7, [STOPS[0], ["b", -180, -90.0, ""]], None),
    *[(7, STOPS[:1] * count, why) for count, why in ((2, None), (64, None), (65, SHAPE))],
    *[(8, wrong, SHAPE) for wrong in ([], [LOGGER, LOGGER], [CARRIER], [7], LOGGER, {LOGGER: 0})],
    *[
        (8, [f"urn:dev:ops:32473-truck-{n}" for n in range(count)], why)
        for count, why in ((32, None), (33, SHAPE))
    ],
]
OFFERED_CHANGES: Changes = [
    *[(label, LEFT_OUT, SHAPE) for label in OFFERED],
    *[(2, wrong, SHAPE) for wrong in WRONG_HASHES],
    *[(11, wrong, SHAPE) for wrong in ("no uri", 7)],
    *[(12, wrong, SHAPE) for wrong in ([], STOPS, "dock")],
]
VERDICT_CHANGES: Changes = [
    *[(label, LEFT_OUT, SHAPE) for label in VERDICT],
    *[(label, wrong, SHAPE) for label in (2, 9, 17, 21, 22, 27) for wrong in WRONG_HASHES],
    *[(label, wrong, SHAPE) for label in (20, 23, 24) for wrong in (-1, 2**53, 1.5, True, "1")],
    *[(label, good, None) for label in (20, 23, 24) for good in (0, 1, 2**53 - 1)],
    *[(25, wrong, SHAPE) for wrong in ("", "kept", 1)],
    *[(25, good, None) for good in ("in_limits", "undetermined")],
    *[
        (26, wrong, SHAPE)
        for wrong in ([["r", "bad", "breach"]], [["r", "major", "kept"]], [["", "major", "breach"]])
    ],
    (26, [], None),
    *[(26, [["r", severity, "breach"]] * 64, None) for severity in ("notice", "major", "critical")],
    (26, [["r", "major", "breach"]] * 65, SHAPE),
]
LIMITS_CHANGES: Changes = [
    (10, LEFT_OUT, None),
    *[(10, wrong, SHAPE) for wrong in (b"", bytes(12_289), "text")],
    *[(10, bytes(size), None) for size in (1, 12_288)],
]
LOGGERS_CHANGES: Changes = [
    *[(label, LEFT_OUT, SHAPE) for label in LOGGERS],
    *[(label, [], None) for label in (14, 15)],
    *[(label, [LOGGER], None) for label in (14, 15)],
    *[(label, [LOGGER, LOGGER], SHAPE) for label in (14, 15)],
]


def refusal(payload: bytes) -> Reason | None:
    try:
        decode_shipment(payload)
    except VerificationError as error:
        return error.reason
    return None


@pytest.mark.parametrize("stated", other_statements(), ids=kind_of)
def test_what_is_written_is_read(stated: Any) -> None:
    """Each kind comes back as it was."""
    assert decode_shipment(encode_shipment(stated)) == stated


def test_a_shipment_is_created_as_the_formats_say() -> None:
    """Labels, goods and stops as in the published vector."""
    created = Created(
        time_us=T,
        consignee=CONSIGNEE,
        carriers=(CARRIER,),
        contents=(Content("09506000134352", "L7", "42"), Content(sscc="106141412345678908")),
        route=(Stop("plant", 119.97, 31.81), Stop("clinic", 120, 31.5, "9506000134369")),
        loggers=(LOGGER,),
    )
    assert cbor2.loads(encode_shipment(created)) == CREATED
    assert decode_shipment(encode_shipment(created)) == created


@pytest.mark.parametrize("payload", [[], [1, "created"], 1, "created", b""])
def test_what_is_no_map_is_no_statement(payload: object) -> None:
    """Other items of CBOR are refused as a wrong shape, and nothing else happens."""
    assert refusal(cbor2.dumps(payload, canonical=True)) is SHAPE


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        (CREATED, CREATED_CHANGES),
        (OFFERED, OFFERED_CHANGES),
        (VERDICT, VERDICT_CHANGES),
        (LIMITS, LIMITS_CHANGES),
        (LOGGERS, LOGGERS_CHANGES),
    ],
    ids=["created", "offered", "verdict", "limits", "loggers"],
)
def test_everything_that_is_not_exactly_one_is_refused(fields: Fields, changes: Changes) -> None:
    """One field at a time left out, of another type, out of its bounds, or too many."""
    for label, value, expected in changes:
        assert refusal(changed(fields, label, value)) is expected, (label, value)


@pytest.mark.parametrize("fields", KINDS, ids=[str(fields[1]) for fields in KINDS])
def test_no_kind_has_another_ones_fields(fields: Fields) -> None:
    """Every label that is not the kind's own is one too many."""
    assert refusal(cbor2.dumps(fields, canonical=True)) is None
    for label in set(VERDICT) | set(CREATED) | set(LIMITS) | {11, 12, 13, 14, 15, 16} - set(fields):
        value = next((other[label] for other in KINDS if label in other), 0)
        if label not in fields and (fields[1], label) != ("limits", 10):
            assert refusal(cbor2.dumps({**fields, label: value}, canonical=True)) is SHAPE


def test_what_nobody_would_take_is_not_written() -> None:
    """A time of the year 2300."""
    with pytest.raises(VerificationError) as refused:
        encode_shipment(Loaded(after=H, time_us=2**33 * 10**6))
    assert refused.value.reason is SHAPE


ALL = {"offered", "accepted", "refused", "loggers", "verdict"}
MAY = {
    "shipper": ALL | {"created", "limits", "loaded"},
    "carrier": ALL,
    "consignee": ALL | {"delivered", "released", "rejected"},
}


@pytest.mark.parametrize("role", sorted(MAY))
def test_a_role_states_what_is_its_own(role: str) -> None:
    """All kinds by all roles: each is taken or refused as the page says."""
    accepted, delivered = {**LOADED, 1: "accepted"}, {**LOADED, 1: "delivered"}
    for fields in (*KINDS, accepted, delivered):
        payload = cbor2.dumps(fields, canonical=True)
        if fields[1] in MAY[role]:
            check_shipment(payload, role)
            continue
        with pytest.raises(VerificationError) as refused:
            check_shipment(payload, role)
        assert refused.value.reason is Reason.SHIPMENT_ROLE


def test_a_verdict_has_its_findings() -> None:
    """They come back by name."""
    judged = decode_shipment(cbor2.dumps(VERDICT, canonical=True))
    assert isinstance(judged, Judged)
    assert (judged.verdict, judged.findings[0].severity) == ("breach", "critical")
