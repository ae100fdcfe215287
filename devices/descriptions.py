"""What is to be enrolled, as people describe it: by options, or in a TOML or CSV file for many."""

import csv
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from devices.fleet import DATA_CLASSES
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.errors import InputError
from pipeline.wire.keys import Signer
from pipeline.wire.possession import sign_possession
from pipeline.wire.quantities import KINDS


class Description(BaseModel):
    """One signer. Positions in WGS 84 degrees and metres; accuracies by quantity, in its signed unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str
    kind: str
    subject: str
    area: str
    department: str
    controller: str | None = None
    data_class: str | None = None
    longitude: float | None = None
    latitude: float | None = None
    height_m: float | None = None
    longitude2: float | None = None
    latitude2: float | None = None
    height2_m: float | None = None
    accuracy: dict[str, float] | None = None
    calibrated_until: datetime | None = None
    valid_from: datetime | None = None

    @field_validator("accuracy", mode="before")
    @classmethod
    def _parse_accuracy(cls, value: object) -> object:
        """Take `no2=5,o3=8` for a table's cell."""
        return dict(item.split("=", 1) for item in value.split(",")) if isinstance(value, str) else value

    def enrolment(self, signer: Signer, authority: str, now_s: float) -> Enrolment:
        """Return the enrolment that the holder of the key asks an authority for; it holds from now on."""
        sensor = self.kind in KINDS
        return Enrolment(
            issuer=self.issuer,
            public_key=signer.public_key,
            department=self.department,
            controller=self.controller or self.department,
            data_class=self.data_class or DATA_CLASSES.get(self.kind, self.kind),
            kind=self.kind,
            subject=self.subject,
            area=self.area,
            longitude=self.longitude,
            latitude=self.latitude,
            height_m=self.height_m,
            longitude2=self.longitude2,
            latitude2=self.latitude2,
            height2_m=self.height2_m,
            accuracy=self.accuracy or {} if sensor else self.accuracy,
            calibrated_until_s=_posix_s(self.calibrated_until, 0) if sensor else None,
            valid_from_s=_posix_s(self.valid_from, int(now_s)),
            possession=sign_possession(signer, authority, self.issuer),
        )


def read_descriptions(path: Path) -> list[Description]:
    """Return what a file describes: a CSV with a column a field, or a TOML with a table [[device]] each.

    What stands in a TOML file above its tables holds for all of them.

    Raises:
        InputError: It cannot be read, or a description is wrong: the first such is named.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".toml":
                common = tomllib.loads(file.read())
                rows = [common | row for row in common.pop("device", [])]
            else:
                rows = [{name: cell for name, cell in row.items() if cell} for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
        remedy = "Name a .csv with a column a field, or a .toml with tables [[device]]."
        raise InputError("--from", f"cannot read {path}: {error}", remedy) from error
    if not rows:
        raise InputError("--from", f"{path} describes nothing", "Write a row or a [[device]] for each.")
    return [describe(row, f"{path}, device {number}") for number, row in enumerate(rows, 1)]


def describe(fields: dict[str, Any], place: str) -> Description:
    """Return the description that these fields make.

    Raises:
        InputError: A field is missing, unknown or wrong.
    """
    try:
        return Description.model_validate(fields)
    except (ValidationError, ValueError) as error:
        wrong = error.errors()[0] if isinstance(error, ValidationError) else None
        problem = f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}" if wrong else str(error)
        remedy = f"The fields are {', '.join(Description.model_fields)}."
        raise InputError(place, problem.rstrip("."), remedy) from error


def _posix_s(time: datetime | None, default_s: int) -> int:
    if time is None:
        return default_s
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
