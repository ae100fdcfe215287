"""A limits profile: what a shipment was promised, as a TOML file; its hash is committed before loading."""

import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from operator import ge, gt, le, lt
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.shipping.mean_kinetic import COLDEST_CEL
from pipeline.wire.errors import InputError
from pipeline.wire.quantities import QUANTITIES

_COMPARE: Mapping[str, Callable[[Decimal, Decimal], bool]] = MappingProxyType(
    {">": gt, ">=": ge, "<": lt, "<=": le}
)
DURATION_MAX_S = 10 * 366 * 86_400
Seconds = Annotated[int, Field(ge=0, le=DURATION_MAX_S)]
SomeSeconds = Annotated[int, Field(ge=1, le=DURATION_MAX_S)]
Number = Annotated[Decimal, Field(allow_inf_nan=False)]
Celsius = Annotated[Decimal, Field(allow_inf_nan=False, ge=COLDEST_CEL, le=1000)]


class Severity(StrEnum):
    """What it means to break a limit: a notice never decides the verdict."""

    NOTICE = "notice"
    MAJOR = "major"
    CRITICAL = "critical"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Words(_Part):
    """One text in both languages."""

    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)


class Limit(_Part):
    """A boundary, and how long values may lie beyond it: at one time, together, or both.

    It is broken by `single_s` or `cumulative_s` seconds beyond; 0: by the first reading there.
    """

    quantity: str
    when: Literal[">", ">=", "<", "<="]
    value: Number
    severity: Severity
    single_s: Seconds | None = None
    cumulative_s: Seconds | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.quantity not in QUANTITIES:
            raise ValueError(f"no quantity {self.quantity!r}")
        if self.single_s is None and self.cumulative_s is None:
            raise ValueError("a limit needs single_s or cumulative_s")
        return self

    def outside(self, value: Decimal) -> bool:
        """Tell whether a value lies beyond the boundary."""
        return _COMPARE[self.when](value, self.value)

    def worse(self, one: Decimal, other: Decimal) -> Decimal:
        """Return the value further beyond."""
        return max(one, other) if self.when in (">", ">=") else min(one, other)

    @property
    def words(self) -> str:
        """Say which side of what."""
        return f"{self.quantity} {self.when} {self.value} {QUANTITIES[self.quantity].shown_unit}".rstrip()


class Interval(_Part):
    """How far readings may be apart, on trips shorter than `trip_below_s`, if that is given."""

    interval_s: SomeSeconds
    trip_below_s: SomeSeconds | None = None


class Recording(_Part):
    """The recording interval; the first of `trips` whose trips are long enough holds.

    `outside_s` holds instead next to a reading outside any limit.
    """

    trips: tuple[Interval, ...] = Field(min_length=1)
    outside_s: SomeSeconds | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        bounds = [trip.trip_below_s for trip in self.trips if trip.trip_below_s is not None]
        if (
            self.trips[-1].trip_below_s is not None
            or len(bounds) != len(self.trips) - 1
            or sorted(bounds) != bounds
        ):
            raise ValueError("trips ascend in trip_below_s, and only the last has none")
        return self

    def interval_s(self, trip_us: int) -> int:
        """Return how far readings may be apart on a trip of this length."""
        return next(
            trip.interval_s
            for trip in self.trips
            if trip.trip_below_s is None or trip_us < trip.trip_below_s * 1_000_000
        )


class MeanKinetic(_Part):
    """The mean kinetic temperature that no window of this length may exceed."""

    window_s: SomeSeconds
    max_cel: Celsius


class Band(_Part):
    """Time at `from_cel` and above uses the stability budget up in `budget_s`."""

    from_cel: Celsius
    budget_s: SomeSeconds


class FreezeThaw(_Part):
    """How often the product may thaw; a cycle takes at least `shortest_s`, so a gap hides only so many."""

    frozen_cel: Celsius
    thawed_cel: Celsius
    cycles_max: int = Field(ge=0)
    shortest_s: SomeSeconds

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.frozen_cel >= self.thawed_cel:
            raise ValueError("frozen_cel lies below thawed_cel")
        return self


class Profile(_Part):
    """All that a shipment is judged by. `digest` is the SHA-256 of the file's bytes."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)
    title: Words
    source: str = Field(min_length=1)
    recording: Recording
    limit: tuple[Limit, ...] = Field(min_length=1, max_length=32)
    mean_kinetic: MeanKinetic | None = None
    budget: tuple[Band, ...] = Field(default=(), max_length=16)
    freeze_thaw: FreezeThaw | None = None
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for colder, warmer in zip(self.budget, self.budget[1:], strict=False):
            if not (colder.from_cel < warmer.from_cel and colder.budget_s > warmer.budget_s):
                raise ValueError("bands of the budget ascend in from_cel and descend in budget_s")
        if len(set(self.limit)) != len(self.limit):
            raise ValueError("a limit stands twice")
        return self

    @property
    def quantities(self) -> tuple[str, ...]:
        """What has to be recorded, each once, in the order of the limits."""
        named = [limit.quantity for limit in self.limit]
        if self.mean_kinetic or self.budget or self.freeze_thaw:
            named.append("temperature")
        return tuple(dict.fromkeys(named))


def parse_profile(content: bytes, place: str) -> Profile:
    """Return the profile that a file's bytes hold; numbers keep their decimal digits.

    Raises:
        InputError: They hold none; the message names the field.
    """
    try:
        fields = tomllib.loads(content.decode(), parse_float=Decimal)
        return Profile.model_validate({**fields, "digest": sha256(content).hexdigest()})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(place, f"{field}: {first['msg']}", "docs/shipments.md has the fields.") from error
    except ValueError as error:
        raise InputError(place, f"is no profile: {error}", "Write TOML in UTF-8.") from error
