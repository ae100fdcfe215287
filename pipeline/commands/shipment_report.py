"""`cityproof shipment report`: a shipment on one page, as HTML and PDF, with the evidence beside it."""

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from pipeline.commands.shipment import EXITS
from pipeline.commands.shipment_account import load_account
from pipeline.commands.shipment_log import Source
from pipeline.shipping.report_texts import LANGUAGES, Language
from pipeline.wire.errors import InputError


def run(
    source: Source,
    name: str,
    profile: str | None,
    out: Path,
    languages: Sequence[Language],
    evidence_uri: str,
    *,
    pdf: bool,
) -> int:
    """Write the report in each language. Exit 0: in limits; 1: breach; 3: undetermined."""
    if find_spec("segno") is None:
        raise InputError("shipment report", "segno is not installed", "Install cityproof[report].")
    from pipeline.commands.report_pdf import check_fonts, report_pdf
    from pipeline.shipping.report import make_report
    from pipeline.shipping.report_html import report_html

    if pdf:
        for language in languages:
            check_fonts(language)
    told = load_account(source, name, profile, evidence_uri)
    files = {"evidence": told.evidence}
    for language in languages:
        report = make_report(told.account, language)
        files[f"{language}.html"] = report_html(report).encode()
        if pdf:
            files[f"{language}.pdf"] = report_pdf(report)
    stem = file_name(name)
    write_files({out / f"{stem}.{ending}": content for ending, content in files.items()})
    print(f"{told.account.judgement.verdict.upper()}  {name}")
    for ending, content in files.items():
        print(f"    {out / f'{stem}.{ending}'}: {len(content)} bytes")
    return EXITS[told.account.judgement.verdict]


def file_name(name: str) -> str:
    """Return a shipment's name as the name of a file."""
    return re.sub(r"[^\w.-]+", "-", re.sub(r"^https?://", "", name)).strip("-.") or "shipment"


def write_files(files: dict[Path, bytes]) -> None:
    """Write whole files.

    Raises:
        InputError: One cannot be written.
    """
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(path.name + ".draft")
            draft.write_bytes(content)  # A crash here leaves a draft that nobody takes for the file.
            draft.replace(path)
    except OSError as error:
        place = str(error.filename or "--out").removesuffix(".draft")
        raise InputError(place, f"cannot write: {error.strerror}", "Choose another place.") from error


def languages_of(given: Sequence[str] | None) -> list[Language]:
    """Return the languages that a person names; both where none is named.

    Raises:
        InputError: There is no such language.
    """
    found: list[Language] = [language for language in LANGUAGES if given is None or language in given]
    if given is not None and len(found) != len(set(given)):
        raise InputError("--language", f"no language {', '.join(given)}", "Choose en or zh.")
    return found
