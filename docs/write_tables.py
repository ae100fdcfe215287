"""Writes the tables of the code: reasons.md, quantities.md, and both for the browser. `make docs` runs it.

A test compares both with what this gives, so neither can be changed by hand or forgotten.
"""

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.wire import reasons
from pipeline.wire.quantities import KINDS, QUANTITIES, Quantity
from pipeline.wire.roles import ROLES
from pipeline.wire.senml import VERSION_DEFAULT, VERSION_SECONDARY_UNITS

FOLDER = Path(__file__).parent
VERIFIER = Path("../pipeline/web/static/verifier")
MADE = "<!-- Made by docs/write_tables.py from {source}. Change that file, then run `make docs`. -->"

_SECTION = re.compile(r" {4}# (.+)")
_MEMBER = re.compile(r" {4}([A-Z][A-Z0-9_]*) = ")


def reasons_page() -> str:
    """Return reasons.md: every code and its meaning, under the headings that the source has as comments."""
    lines = [
        "# Reasons",
        "",
        MADE.format(source="pipeline/wire/reasons.py"),
        "",
        "Whatever refuses evidence gives one of these codes: devices hear them in refusals, manifests count",
        "by them, verifiers print them. A code keeps its meaning for ever; new ones may come. Which check",
        "gives which, and in which order, stands in [verification.md](verification.md).",
    ]
    for section, members in _sections():
        lines += ["", f"## {section}", "", "| code | meaning |", "|---|---|"]
        lines += [f"| `{reason.value}` | {reason.meaning} |" for reason in members]
    return "\n".join(lines) + "\n"


def quantities_page() -> str:
    """Return quantities.md: every quantity with its signed unit, and which kind of sensor has it."""
    lines = [
        "# Quantities",
        "",
        MADE.format(source="pipeline/wire/quantities.py"),
        "",
        "A quantity is signed in one unit everywhere; units are names of IANA's SenML registries. A pack",
        f"with a secondary unit has base version {VERSION_SECONDARY_UNITS} (RFC 9100), others may have",
        f"{VERSION_DEFAULT}. What is shown is the signed value times the factor.",
        "",
        "| name | signed unit | secondary | boolean | shown | factor | kinds | English | 中文 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_quantity_row(quantity) for quantity in QUANTITIES.values()]
    reserved = " and ".join(f"`{kind}`" for kind, names in KINDS.items() if not names)
    lines += ["", f"The kinds {reserved} are reserved and have no quantities yet."]
    return "\n".join(lines) + "\n"


def quantities_module() -> str:
    """Return quantities.js: what the browser's verifier and pages know of quantities, kinds and roles."""
    rows = {
        quantity.name: {
            "unit": quantity.unit,
            "secondary": quantity.secondary,
            "boolean": quantity.boolean,
            "kinds": [kind for kind, names in KINDS.items() if quantity.name in names],
            "shownUnit": quantity.shown_unit,
            "shownFactor": quantity.shown_factor,
            "en": quantity.name_en,
            "zh": quantity.name_zh,
        }
        for quantity in QUANTITIES.values()
    }
    lines = [
        "// Made by docs/write_tables.py from pipeline/wire/quantities.py and roles.py: run `make docs`.",
        "",
        "export const QUANTITIES = new Map([",
        *(f"  {json.dumps([name, row], ensure_ascii=False)}," for name, row in rows.items()),
        "]);",
        "",
        f"export const SENSORS = new Set({json.dumps(list(KINDS))});",
        f"export const KINDS = new Set([...SENSORS, ...{json.dumps(list(ROLES))}]);",
    ]
    return "\n".join(lines) + "\n"


def reasons_module() -> str:
    """Return reasons.js: what every code means."""
    lines = [
        "// Made by docs/write_tables.py from pipeline/wire/reasons.py: run `make docs`.",
        "",
        "export const REASONS = new Map([",
        *(f"  {json.dumps([reason.value, reason.meaning])}," for reason in reasons.Reason),
        "]);",
    ]
    return "\n".join(lines) + "\n"


def _sections() -> Iterator[tuple[str, list[reasons.Reason]]]:
    """Yield each heading of the source with its members."""
    heading, members = "", list[reasons.Reason]()
    for line in inspect.getsource(reasons.Reason).splitlines():
        if section := _SECTION.fullmatch(line):
            if members:
                yield heading, members
            heading, members = section[1], []
        elif member := _MEMBER.match(line):
            members.append(reasons.Reason[member[1]])
    yield heading, members


def _quantity_row(quantity: Quantity) -> str:
    kinds = ", ".join(kind for kind, names in KINDS.items() if quantity.name in names)
    cells = (
        f"`{quantity.name}`",
        f"`{quantity.unit}`",
        "yes" if quantity.secondary else "",
        "yes" if quantity.boolean else "",
        quantity.shown_unit,
        f"{quantity.shown_factor:g}",
        kinds,
        quantity.name_en,
        quantity.name_zh,
    )
    return f"| {' | '.join(cells)} |"


def pages() -> dict[str, str]:
    """Return each file's name, as from this folder, and its text."""
    return {
        "reasons.md": reasons_page(),
        "quantities.md": quantities_page(),
        str(VERIFIER / "quantities.js"): quantities_module(),
        str(VERIFIER / "reasons.js"): reasons_module(),
    }


def main() -> None:
    """Write them."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"docs/{name}\n")


if __name__ == "__main__":
    main()
