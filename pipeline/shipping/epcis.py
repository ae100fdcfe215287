"""Reading a partner's EPCIS 2.0 document: JSON in, checked events with their hashes out, or the first fault.

As strict as the standard's JSON schema with its formats: identifiers are URIs, terms are those of the
vocabulary or URIs, times have an offset, fields of one's own are named by a namespace, and an event says
what it is about. What is kept of an event is what came, not what was understood of it.

Source: GS1 EPCIS 2.0, 9 and 10 (data model, JSON-LD binding).
"""

# ruff: noqa: N815 -- the standard's names

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, NoReturn, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.shipping import cbv
from pipeline.shipping.event_hash import event_hash
from pipeline.wire.errors import VerificationError
from pipeline.wire.reasons import Reason

DOCUMENT_SIZE_MAX = 16 << 20  # Bytes.
EVENTS_MAX = 10_000

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _uri(text: str) -> str:
    if not _URI.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is no URI")
    return text


def _time(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is no time with an offset")
    datetime.fromisoformat(text)
    return text


def _term(words: frozenset[str]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in words and not _URI.fullmatch(text):
            raise ValueError(f"{text[:60]!r} is neither in the vocabulary nor a URI")
        return text

    return AfterValidator(check)  # type: ignore[return-value]


Uri = Annotated[str, AfterValidator(_uri)]
Time = Annotated[str, AfterValidator(_time)]
Number: TypeAlias = int | float
Uris = list[Uri]
BizStep = Annotated[str, _term(cbv.BIZ_STEPS)]
Disposition = Annotated[str, _term(cbv.DISPOSITIONS)]
Party = Annotated[str, _term(cbv.PARTIES)]


class _Closed(BaseModel):
    """An element with these fields and no others."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class _Open(BaseModel):
    """An element to which fields may be added, if a namespace names them."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    @model_validator(mode="after")
    def _check_extensions(self) -> Self:
        for name in self.model_extra or {}:
            if not (name in {"comment", "#text"} or _URI.fullmatch(name)):
                raise ValueError(f"the field {name[:60]!r} is in no namespace")
        return self


class Place(_Open):
    """A read point or business location."""

    id: Uri


class Quantity(_Closed):
    """An amount of a class of things."""

    epcClass: Uri
    quantity: Number | None = None
    uom: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,3}$")] | None = None


class Transaction(_Closed):
    """A business transaction."""

    type: Annotated[str, _term(cbv.TRANSACTIONS)] | None = None
    bizTransaction: Uri


class Source(_Closed):
    """Where things come from."""

    type: Party
    source: Uri


class Destination(_Closed):
    """Where things go."""

    type: Party
    destination: Uri


class SensorMetadata(_Open):
    """What holds for all reports of a sensor element."""

    time: Time | None = None
    startTime: Time | None = None
    endTime: Time | None = None
    deviceID: Uri | None = None
    deviceMetadata: Uri | None = None
    rawData: Uri | None = None
    dataProcessingMethod: Uri | None = None
    bizRules: Uri | None = None


class SensorReport(_Open):
    """One measured quantity."""

    type: Annotated[str, _term(cbv.MEASUREMENTS)]
    exception: Annotated[str, _term(cbv.EXCEPTIONS)] | None = None
    deviceID: Uri | None = None
    deviceMetadata: Uri | None = None
    rawData: Uri | None = None
    dataProcessingMethod: Uri | None = None
    time: Time | None = None
    microorganism: Uri | None = None
    chemicalSubstance: Uri | None = None
    coordinateReferenceSystem: Uri | None = None
    value: Number | None = None
    component: Annotated[str, _term(cbv.COMPONENTS)] | None = None
    stringValue: str | None = None
    booleanValue: bool | None = None
    hexBinaryValue: Annotated[str, Field(pattern=r"^[A-Fa-f0-9]+$")] | None = None
    uriValue: Uri | None = None
    minValue: Number | None = None
    maxValue: Number | None = None
    meanValue: Number | None = None
    sDev: Number | None = None
    percRank: Number | None = None
    percValue: Number | None = None
    uom: str | None = None


class SensorElement(_Open):
    """Sensor data of an event."""

    sensorMetadata: SensorMetadata | None = None
    sensorReport: list[SensorReport] = Field(min_length=1)


class PersistentDisposition(_Closed):
    """Dispositions that begin or end to hold."""

    set: Annotated[list[Disposition], Field(min_length=1)] | None = None
    unset: Annotated[list[Disposition], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.set is None and self.unset is None:
            raise ValueError("it sets nothing and unsets nothing")
        return self


class ErrorDeclaration(_Open):
    """That an event is wrong."""

    declarationTime: Time
    reason: Annotated[str, _term(cbv.ERROR_REASONS)] | None = None
    correctiveEventIDs: Uris | None = None


class Ilmd(_Open):
    """Master data of an instance or lot: fields of one's own only."""


class _Event(_Open):
    """What all events have."""

    context: Any = Field(default=None, alias="@context")
    eventTime: Time
    recordTime: Time | None = None
    eventTimeZoneOffset: Annotated[str, Field(pattern=r"^[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00)$")]
    eventID: Uri | None = None
    certificationInfo: Uri | Uris | None = None
    errorDeclaration: ErrorDeclaration | None = None
    bizStep: BizStep | None = None
    disposition: Disposition | None = None
    persistentDisposition: PersistentDisposition | None = None
    readPoint: Place | None = None
    bizLocation: Place | None = None
    bizTransactionList: list[Transaction] | None = None
    sourceList: list[Source] | None = None
    destinationList: list[Destination] | None = None
    sensorElementList: list[SensorElement] | None = None


class _Acting(_Event):
    """An event that adds, deletes or observes."""

    action: Literal["ADD", "DELETE", "OBSERVE"]


class ObjectEvent(_Acting):
    """Something happened to things."""

    type: Literal["ObjectEvent"]
    epcList: Uris | None = None
    quantityList: list[Quantity] | None = None
    ilmd: Ilmd | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        # An event of sensors alone is about the place where they are.
        of_sensors = self.sensorElementList and self.readPoint
        _require(self.epcList is not None or self.quantityList or of_sensors, "nothing that it happened to")
        _require(self.ilmd is None or self.action == "ADD", "master data where nothing begins")
        return self


class _Joining(_Acting):
    """An event that puts children together with a parent."""

    parentID: Uri | None = None
    childEPCs: Uris | None = None
    childQuantityList: list[Quantity] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        # All children are meant where a whole is taken apart and none is named.
        some = self.childEPCs or self.childQuantityList or self.action == "DELETE"
        _require(some, "no children")
        _require(self.parentID or self.action == "OBSERVE", "no parent")
        return self


class AggregationEvent(_Joining):
    """Things were put together, or taken apart, physically."""

    type: Literal["AggregationEvent"]


class AssociationEvent(_Joining):
    """Things were attached to an asset or place."""

    type: Literal["AssociationEvent"]

    @model_validator(mode="after")
    def _check_parent(self) -> Self:
        _require(self.parentID, "no parent")
        return self


class TransactionEvent(_Acting):
    """Things belong to a business transaction."""

    type: Literal["TransactionEvent"]
    parentID: Uri | None = None
    epcList: Uris | None = None
    quantityList: list[Quantity] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        some = self.epcList is not None or self.quantityList or self.action == "DELETE"
        _require(some, "nothing that belongs to it")
        _require(self.bizTransactionList, "no transaction")
        return self


class TransformationEvent(_Event):
    """Things became other things."""

    type: Literal["TransformationEvent"]
    transformationID: Uri | None = None
    inputEPCList: Uris | None = None
    inputQuantityList: list[Quantity] | None = None
    outputEPCList: Uris | None = None
    outputQuantityList: list[Quantity] | None = None
    ilmd: Ilmd | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        inputs = bool(self.inputEPCList or self.inputQuantityList)
        outputs = bool(self.outputEPCList or self.outputQuantityList)
        whole = inputs and outputs
        _require(whole or (self.transformationID and (inputs or outputs)), "no inputs, or no outputs")
        return self


AnyEvent = Annotated[
    ObjectEvent | AggregationEvent | AssociationEvent | TransactionEvent | TransformationEvent,
    Field(discriminator="type"),
]


class _EventList(_Open):
    eventList: list[AnyEvent] = Field(max_length=EVENTS_MAX)


class _Results(_Open):
    subscriptionID: str | None = None
    queryName: str | None = None
    resultsBody: _EventList


class _CaptureBody(_Closed):
    eventList: list[AnyEvent] = Field(max_length=EVENTS_MAX)


class _QueryBody(_Closed):
    queryResults: _Results


class _Head(_Open):
    context: Any = Field(alias="@context")
    id: Uri | None = None
    schemaVersion: str
    creationDate: Time
    instanceIdentifier: str | None = None
    sender: str | None = None
    receiver: str | None = None
    epcisHeader: dict[str, Any] | None = None


class _Capture(_Head):
    type: Literal["EPCISDocument"]
    epcisBody: _CaptureBody


class _Query(_Head):
    type: Literal["EPCISQueryDocument"]
    epcisBody: _QueryBody


class _Document(BaseModel):
    checked: Annotated[_Capture | _Query, Field(discriminator="type")]


class _Single(BaseModel):
    checked: AnyEvent


@dataclass(frozen=True, slots=True)
class PartnerEvent:
    """An event as it came, the namespaces that its document declares, and its hash, an ni URI."""

    fields: Mapping[str, Any]
    namespaces: Mapping[str, str]
    hash: str


def read_document(content: bytes) -> list[PartnerEvent]:
    """Return the events of a document, in its order.

    Raises:
        VerificationError: OVERSIZE; EPCIS_SHAPE: the first field that is wrong is named.
    """
    if len(content) > DOCUMENT_SIZE_MAX:
        raise VerificationError(Reason.OVERSIZE, f"{len(content)} bytes, at most {DOCUMENT_SIZE_MAX}")
    document = _parse_json(content)
    _check(_Document, document)
    body = document["epcisBody"]
    if document["type"] == "EPCISQueryDocument":
        body = body["queryResults"]["resultsBody"]
    declared = declared_namespaces(document["@context"])
    return [_event(fields, declared) for fields in body["eventList"]]


def read_event(content: bytes, namespaces: Mapping[str, str]) -> PartnerEvent:
    """Return one event, apart from its document.

    Raises:
        VerificationError: EPCIS_SHAPE.
    """
    fields = _parse_json(content)
    _check(_Single, fields)
    return _event(fields, namespaces)


def declared_namespaces(context: object) -> dict[str, str]:
    """Return prefix -> namespace of a JSON-LD context, without the standard's own."""
    found: dict[str, str] = {}
    for part in context if isinstance(context, list) else [context]:
        if isinstance(part, Mapping):
            found |= {name: space for name, space in part.items() if isinstance(space, str)}
    return found


def _event(fields: Mapping[str, Any], declared: Mapping[str, str]) -> PartnerEvent:
    own = {**declared, **declared_namespaces(fields.get("@context"))}
    return PartnerEvent(fields, own, event_hash(fields, {**cbv.NAMESPACES, **own}))


def _check(form: type[_Document | _Single], content: object) -> None:
    try:
        form.model_validate({"checked": content})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"][2:])
        problem = f"{place or 'the whole'}: {first['msg'].removeprefix('Value error, ')}"
        raise VerificationError(Reason.EPCIS_SHAPE, problem) from None


def _parse_json(content: bytes) -> Any:
    try:
        return json.loads(content, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise VerificationError(Reason.EPCIS_SHAPE, f"no JSON: {error}") from error


def _unique(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"{name[:60]!r} stands twice")
        fields[name] = value
    return fields


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _require(holds: object, problem: str) -> None:
    if not holds:
        raise ValueError(problem)
