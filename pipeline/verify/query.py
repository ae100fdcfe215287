"""What evidence is asked for: whose statements, about what, and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.verify.completeness import Span
from pipeline.wire.errors import VerificationError
from pipeline.wire.names import is_device, is_label
from pipeline.wire.quantities import QUANTITIES
from pipeline.wire.reasons import Reason
from pipeline.wire.senml import TIME_MAX_S

TIME_MAX_US = TIME_MAX_S * 1_000_000

_DEVICES, _SUBJECTS, _AREAS, _QUANTITIES, _FIRST, _END, _SHIPMENTS = range(1, 8)


@dataclass(frozen=True, slots=True)
class Query:
    """Names of which one must fit, none where any does; and the time that a record must lie in.

    Of shipments all statements are asked for, whenever made; beside them readings of named devices only.

    Attributes:
        devices: Issuers of statements.
        subjects: Subjects of statements.
        areas: Areas of the signers' enrolments.
        quantities: Names of records.
        span: Times of records.
        shipments: Names of shipments.
    """

    devices: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()
    areas: frozenset[str] = frozenset()
    quantities: frozenset[str] = frozenset()
    span: Span = field(default_factory=Span)
    shipments: frozenset[str] = frozenset()

    @property
    def wants_readings(self) -> bool:
        """Tell whether readings are asked for."""
        return bool(self.devices) or not self.shipments

    def wants_signer(self, issuer: str, area: str) -> bool:
        """Tell whether a signer's readings are asked for."""
        return (
            self.wants_readings
            and (not self.devices or issuer in self.devices)
            and (not self.areas or area in self.areas)
        )

    def wants_subject(self, subject: str) -> bool:
        """Tell whether statements about this are asked for."""
        return not self.subjects or subject in self.subjects

    def wants_record(self, quantity: str, time_us: int) -> bool:
        """Tell whether a record of such a statement is asked for."""
        return (not self.quantities or quantity in self.quantities) and self.span.holds(time_us)


def query_fields(query: Query) -> dict[int, object]:
    """Return the query as it stands in evidence: a map without what is not restricted."""
    fields: dict[int, object] = {
        _DEVICES: sorted(query.devices),
        _SUBJECTS: sorted(query.subjects),
        _AREAS: sorted(query.areas),
        _QUANTITIES: sorted(query.quantities),
        _SHIPMENTS: sorted(query.shipments),
    }
    fields = {key: names for key, names in fields.items() if names}
    times = {_FIRST: query.span.first_us, _END: query.span.end_us}
    return fields | {key: time for key, time in times.items() if time is not None}


def parse_query(fields: object) -> Query:
    """Return the query of such a map.

    Raises:
        VerificationError: EVIDENCE_QUERY.
    """
    if not isinstance(fields, dict) or not fields.keys() <= set(range(1, 8)):
        raise VerificationError(Reason.EVIDENCE_QUERY, "not a map of what a query has")
    names = {key: _names(fields, key) for key in (_DEVICES, _SUBJECTS, _AREAS, _QUANTITIES, _SHIPMENTS)}
    times = [_time(fields, key) for key in (_FIRST, _END)]
    valid = all(map(is_device, names[_DEVICES])) and names[_QUANTITIES] <= QUANTITIES.keys()
    if not valid or not all(map(is_label, names[_SUBJECTS] | names[_AREAS] | names[_SHIPMENTS])):
        raise VerificationError(Reason.EVIDENCE_QUERY, "it names what no statement has")
    first_us, end_us = times
    if first_us is not None and end_us is not None and first_us >= end_us:
        raise VerificationError(Reason.EVIDENCE_QUERY, "it ends before it begins")
    return Query(
        names[_DEVICES],
        names[_SUBJECTS],
        names[_AREAS],
        names[_QUANTITIES],
        Span(first_us, end_us),
        names[_SHIPMENTS],
    )


def _names(fields: Mapping[object, object], key: int) -> frozenset[str]:
    """Return a list of names, none where it is not there; there is one way to write it."""
    if key not in fields:
        return frozenset()
    items = fields[key]
    names = [item for item in items if isinstance(item, str)] if isinstance(items, list) else []
    if names and names == items and names == sorted(set(names)):
        return frozenset(names)
    raise VerificationError(Reason.EVIDENCE_QUERY, "names are not a list in their order, each once")


def _time(fields: Mapping[object, object], key: int) -> int | None:
    if key not in fields:
        return None
    time_us = fields[key]
    if type(time_us) is int and 0 <= time_us <= TIME_MAX_US:
        return time_us
    raise VerificationError(Reason.EVIDENCE_QUERY, "a time is not microseconds of our days")


def describe_query(query: Query) -> Sequence[str]:
    """Return what is asked for, a line for each restriction."""
    parts = {
        "device": query.devices,
        "subject": query.subjects,
        "area": query.areas,
        "quantity": query.quantities,
        "shipment": query.shipments,
    }
    return [f"{name} {', '.join(sorted(names))}" for name, names in parts.items() if names]
