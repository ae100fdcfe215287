"""The CBV 2.0 event hash: one name for what an EPCIS event says, however it was written down.

The fields of an event are put into one order, identifiers, times, numbers and terms into one form, all is
joined to one text, the pre-hash string, and its SHA-256 is the event's name:

    ni:///sha-256;{64 hexadecimal digits}?ver=CBV2.0

Record time, event ID, error declaration and comments are not part of it. Extensions count, by the full name
that the document's context gives them.

Source: GS1 CBV 2.0, 8.9 (the algorithm), with R. Tröger's and S. Schmittner's vectors.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import MappingProxyType

from pipeline.shipping.cbv import NAMESPACES, full_term
from pipeline.shipping.epc import canonical_identifier

Json = Mapping[str, object]
_Order = tuple[tuple[str, str | tuple[tuple[str, "str | _Order"], ...]], ...]

_QUANTITY = ("epcClass", "quantity", "uom")
_METADATA = (
    "time", "startTime", "endTime", "deviceID", "deviceMetadata", "rawData", "dataProcessingMethod",
    "bizRules",
)  # fmt: skip
_REPORT = (
    "type", "exception", "deviceID", "deviceMetadata", "rawData", "dataProcessingMethod", "time",
    "microorganism", "chemicalSubstance", "value", "component", "stringValue", "booleanValue",
    "hexBinaryValue", "uriValue", "minValue", "maxValue", "meanValue", "sDev", "percRank", "percValue", "uom",
    "coordinateReferenceSystem",
)  # fmt: skip
# The fields of an event in their order; those of identifiers and quantities hold elements of their own.
_FIRST = ("eventTime", "eventTimeZoneOffset", "certificationInfo", "parentID")
_LISTS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        **dict.fromkeys(("epcList", "inputEPCList", "childEPCs", "outputEPCList"), ("epc", ())),
        **dict.fromkeys(
            ("quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList"),
            ("quantityElement", _QUANTITY),
        ),
    }
)
_LIST_ORDER = (
    "epcList", "inputEPCList", "childEPCs", "quantityList", "childQuantityList", "inputQuantityList",
    "outputEPCList", "outputQuantityList",
)  # fmt: skip
_MIDDLE = ("action", "transformationID", "bizStep", "disposition")
_INSIDE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"persistentDisposition": ("set", "unset"), "readPoint": ("id",), "bizLocation": ("id",)}
)
_PAIRS: Mapping[str, str] = MappingProxyType(
    {"bizTransactionList": "bizTransaction", "destinationList": "destination", "sourceList": "source"}
)
_LEFT_OUT = frozenset(
    {"type", "recordTime", "eventID", "errorDeclaration", "@context", "comment", "rdfs:comment", "#text"}
)
_KNOWN = frozenset(
    {*_FIRST, *_LIST_ORDER, *_MIDDLE, *_INSIDE, *_PAIRS, "sensorElementList", "ilmd"} | _LEFT_OUT
)
_TIMES = frozenset({"eventTime", "time", "startTime", "endTime"})
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_URNS = {
    "urn:epcglobal:cbv:bizstep:": "BizStep-",
    "urn:epcglobal:cbv:disp:": "Disp-",
    "urn:epcglobal:cbv:btt:": "BTT-",
    "urn:epcglobal:cbv:sdt:": "SDT-",
    "urn:epcglobal:cbv:er:": "ER-",
}


def event_hash(event: Json, namespaces: Mapping[str, str] = NAMESPACES) -> str:
    """Return the hash of an event, as an ni URI (RFC 6920)."""
    digest = sha256(pre_hash(event, namespaces).encode()).hexdigest()
    return f"ni:///sha-256;{digest}?ver=CBV2.0"


def pre_hash(event: Json, namespaces: Mapping[str, str] = NAMESPACES) -> str:
    """Return the text that is hashed.

    Args:
        event: An event of an EPCIS 2.0 document, read from JSON.
        namespaces: Prefix -> namespace, as the document's context declares them.
    """
    return "".join(_PreHash(namespaces).event(event))


class _PreHash:
    """Writes parts of events; knows the namespaces that they are written in."""

    def __init__(self, namespaces: Mapping[str, str]) -> None:
        self._namespaces = namespaces

    def event(self, event: Json) -> Iterator[str]:
        yield f"eventType={event['type']}"
        yield from self._fields(event, _FIRST)
        for name in _LIST_ORDER:
            yield from self._list(name, event.get(name))
        yield from self._fields(event, _MIDDLE)
        for name, inside in _INSIDE.items():
            part = event.get(name)
            if isinstance(part, Mapping) and (text := "".join(self._element(part, inside))):
                yield name + text
        elements = [self._sensor_element(element) for element in _elements(event.get("sensorElementList"))]
        if elements:
            yield "sensorElementList" + "".join(sorted(elements))
        yield from self._rest(event)

    def _rest(self, event: Json) -> list[str]:
        """Return pairs, master data of lots, and extensions: ordered by their full names."""
        parts = [
            name + "".join(sorted(self._pair(element, what) for element in _elements(event.get(name))))
            for name, what in _PAIRS.items()
            if event.get(name)
        ]
        if isinstance(ilmd := event.get("ilmd"), Mapping):
            parts.append("ilmd" + self._extensions(ilmd, set()))
        extensions = [self._extension(name, event[name]) for name in event if name not in _KNOWN]
        return sorted([*parts, *(part for several in extensions for part in several)])

    def _list(self, name: str, content: object) -> Iterator[str]:
        element, inside = _LISTS[name]
        if not isinstance(content, Sequence) or not content:
            return
        yield name
        if inside:
            yield from sorted(
                element + "".join(self._element(part, inside)) for part in _elements(list(content))
            )
        else:
            yield from sorted(f"{element}={self._value(name, part)}" for part in content)

    def _pair(self, element: Json, what: str) -> str:
        return "".join(self._fields(element, ("type", what), what))

    def _sensor_element(self, element: Json) -> str:
        parts = ["sensorElement"]
        if isinstance(metadata := element.get("sensorMetadata"), Mapping):
            parts += ["sensorMetadata", *self._element(metadata, _METADATA)]
        reports = _elements(element.get("sensorReport"))
        parts += sorted("sensorReport" + "".join(self._element(report, _REPORT)) for report in reports)
        parts.append(self._extensions(element, {"sensorMetadata", "sensorReport"}))
        return "".join(parts)

    def _element(self, element: Json, names: tuple[str, ...]) -> Iterator[str]:
        """Yield the known fields in order, then the extensions."""
        yield from self._fields(element, names)
        yield self._extensions(element, set(names))

    def _fields(self, element: Json, names: tuple[str, ...], of: str = "") -> Iterator[str]:
        """Yield `name=value` of those that are there; a field with several values several times, in order."""
        for name in names:
            content = element.get(name)
            values = content if isinstance(content, list) else [content]
            texts = [self._value(name, value, of) for value in values if value is not None]
            yield from sorted(f"{name}={text}" for text in texts if text)

    def _extensions(self, element: Json, known: set[str]) -> str:
        names = [name for name in element if name not in known | _LEFT_OUT]
        return "".join(sorted(part for name in names for part in self._extension(name, element[name])))

    def _extension(self, name: str, content: object) -> list[str]:
        """Return an extension by its full name, once for each of its values."""
        full = self._full_name(name)
        parts: list[str] = []
        for one in content if isinstance(content, list) else [content]:
            if isinstance(one, Mapping):
                parts.append(full + self._extensions(one, set()))
            else:
                text = self._value("", one)
                parts.append(f"{full}={text}" if text else full)
        return parts

    def _full_name(self, name: str) -> str:
        prefix, separator, local = name.partition(":")
        if separator and prefix in self._namespaces:
            return f"{{{self._namespaces[prefix]}}}{local}"
        return name

    def _value(self, name: str, value: object, of: str = "") -> str:
        """Return a value in its one form: terms in full, times in UTC, numbers without idle digits."""
        if isinstance(value, bool):
            return "true" if value else "false"
        text = str(value).strip()
        if name in _TIMES:
            return canonical_time(text)
        text = full_term(name, text, of)
        prefix, separator, local = text.partition(":")
        if separator and prefix in self._namespaces:
            text = self._namespaces[prefix] + local
        return canonical_identifier(_number(_without_urn(text)))


def canonical_time(text: str) -> str:
    """Return a time in UTC with milliseconds, half to even; text that is none stays as it is."""
    try:
        time = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return text
    time += timedelta(microseconds=round(time.microsecond, -3) - time.microsecond)
    return time.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _elements(content: object) -> list[Json]:
    return [one for one in content if isinstance(one, Mapping)] if isinstance(content, Iterable) else []


def _without_urn(text: str) -> str:
    """Return the web address of a term that stands as a URN of CBV 1."""
    for urn, kind in _URNS.items():
        if text.startswith(urn):
            return f"https://ref.gs1.org/cbv/{kind}{text.removeprefix(urn)}"
    return text


def _number(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    return str(int(number)) if number.is_integer() else str(number)
