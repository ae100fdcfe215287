"""Options that several commands have."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from pipeline.wire.errors import InputError

LATEST = Path("demo/latest")
Folder = Annotated[Path, typer.Option("--dir", help="The city's folder, as a demo leaves it.")]
FolderArgument = Annotated[Path, typer.Argument(help="The city's folder, as a demo leaves it.")]
Policy = Annotated[
    Path | None, typer.Option(help="The policy you trust; default: policy.txt beside the files.")
]
Authorities = Annotated[
    Path | None, typer.Option(help="The authorities you trust; default: authorities.txt beside the files.")
]
Log = Annotated[str, typer.Argument(help="The city's folder, or the URL of its log's files.")]
AuditorToken = Annotated[
    Path | None, typer.Option(help="Holds the token that block bodies ask for, where the log is a URL.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", envvar="CITYPROOF_CONFIG", help="A file of settings: see `cityproof config`."),
]


def need(module: str, extra: str) -> None:
    """Say which extra to install where a module is missing."""
    if find_spec(module) is None:
        raise InputError(
            "this installation",
            f"{module} is missing",
            f"Install the extra: pip install 'cityproof[{extra}]'.",
        )
