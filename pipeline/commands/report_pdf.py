"""Printing a shipment's report as PDF, with Typst."""

import json
from dataclasses import asdict
from importlib.resources import files
from importlib.util import find_spec

from pipeline.shipping.report import Report
from pipeline.shipping.report_texts import Language
from pipeline.wire.errors import InputError

# The first that is installed is taken; those before the last have Chinese.
CHINESE = (
    "Noto Sans CJK SC", "Source Han Sans SC", "Noto Sans SC", "WenQuanYi Micro Hei", "PingFang SC",
    "Microsoft YaHei", "Droid Sans Fallback",
)  # fmt: skip
LATIN = "Libertinus Serif"  # Comes with Typst, so that an English report needs no font of the machine.


def check_fonts(language: Language) -> None:
    """See that a PDF in this language can be printed, before anything is read.

    Raises:
        InputError: Typst, or a font, is missing.
    """
    _fonts(language)


def report_pdf(report: Report) -> bytes:
    """Return the page as PDF, its fonts embedded as far as they are used.

    Raises:
        InputError: Typst, or a font, is missing.
    """
    fonts = _fonts(report.language)
    import typst

    template = files("pipeline.shipping").joinpath("templates", "report.typ").read_bytes()
    printed = typst.compile(
        template,
        sys_inputs={
            "report": json.dumps(asdict(report)),
            "fonts": json.dumps(fonts),
            "language": report.language,
        },
    )
    assert isinstance(printed, bytes), "one document"
    return printed


def _fonts(language: Language) -> list[str]:
    if find_spec("typst") is None:
        raise InputError("--pdf", "Typst is not installed", "Install cityproof[report], or write HTML.")
    import typst

    found = set(typst.Fonts().families())
    chosen = [name for name in CHINESE if name in found][:1]
    if language == "zh" and not chosen:
        remedy = "On Debian and Ubuntu: apt install fonts-noto-cjk, or the smaller fonts-wqy-microhei."
        raise InputError("--pdf", "no font with Chinese is installed", remedy)
    return [*chosen, LATIN]
