"""What the pages name exists: commands, options, links, make targets; and both READMEs say the same."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer

import devices.cli
import pipeline.cli

CHECKOUT = Path(__file__).resolve().parents[2]
READMES = [CHECKOUT / "README.md", CHECKOUT / "README.zh.md"]
DECISIONS = sorted((CHECKOUT / "docs" / "decisions").glob("*.md"))
PICTURED = [*READMES, CHECKOUT / "docs" / "architecture.md"]
PAGES = [*READMES, CHECKOUT / "CHANGELOG.md", *sorted((CHECKOUT / "docs").glob("*.md")), *DECISIONS]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the code blocks of these languages."""
    return [body for language, body in BLOCK.findall(text_of(page)) if language in languages]


def prose(page: Path) -> str:
    """Return the page without its code blocks."""
    return BLOCK.sub("", text_of(page))


def commands() -> dict[str, Any]:
    """Return each command of `cityproof`, those of groups as `group command`."""
    found: dict[str, Any] = {}
    for app in (pipeline.cli.app, devices.cli.app):
        group: Any = typer.main.get_command(app)
        for name, command in group.commands.items():
            inner = getattr(command, "commands", None)
            found |= {f"{name} {sub}": one for sub, one in inner.items()} if inner else {name: command}
    return found


COMMANDS = commands()


def invocations() -> Iterator[tuple[str, list[str]]]:
    """Yield (page, words) of every use of cityproof in a shell block or in code within a line."""
    for page in PAGES:
        shell = "".join(blocks(page, "sh", "console")).replace("\\\n", "")
        lines = shell.splitlines()
        lines += re.findall(r"`(cityproof [^`]*)`", prose(page))
        for line in lines:
            command = line.removeprefix("$ ")
            if command.startswith("cityproof "):
                yield page.name, shlex.split(command)[1:]


def command_of(words: list[str]) -> Any:
    """Return the command that these words begin with; its name may stand alone."""
    return COMMANDS.get(" ".join(words[:2])) or COMMANDS.get(words[0])


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_every_command_is_in_the_readme(page: Path) -> None:
    """A command that the README does not name is one that nobody finds."""
    text = text_of(page)

    assert [name for name in COMMANDS if f"`cityproof {name}`" not in text] == []


def test_every_command_in_the_pages_exists() -> None:
    """Also with every option that stands beside it."""
    unknown = []
    for page, words in invocations():
        command = command_of(words)
        options = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help"}
        known = {name for parameter in command.params for name in parameter.opts} if command else set()
        if command is None or options - known:
            unknown.append((page, words))

    assert unknown == []


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Files and headings that are linked are there, inside the repository."""
    broken = []
    for target in LINK.findall(prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / unquote(path)).resolve() if path else page
        inside = there.is_relative_to(CHECKOUT) and there.exists()
        if not inside or (anchor and anchor not in anchors(there)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_the_readmes_shell_is_shell(page: Path) -> None:
    """Every block of shell parses, and every target of make is one."""
    shell = blocks(page, "sh")
    targets = set(re.findall(r"^(\w+):", text_of(CHECKOUT / "Makefile"), re.MULTILINE))

    for block in shell:
        subprocess.run(["sh", "-n"], input=block, text=True, check=True, timeout=10)

    assert {"make demo", "make test"} <= set("".join(shell).splitlines())
    assert set(re.findall(r"(?:^|`)make (\w+)", text_of(page), re.MULTILINE)) <= targets


@pytest.mark.parametrize(
    "page", [*READMES, CHECKOUT / "docs" / "architecture.md"], ids=lambda page: page.name
)
def test_the_picture_is_there(page: Path) -> None:
    """As a mermaid flowchart whose brackets and quotes close."""
    (picture,) = blocks(page, "mermaid")

    assert picture.startswith("flowchart LR\n")
    assert [line for line in picture.splitlines() if line.count('"') % 2] == []
    assert all(picture.count(left) == picture.count(right) for left, right in ("()", "[]", "{}"))


def shape(page: Path) -> list[object]:
    """Return what both languages share: levels of headings, blocks of code, commands in tables, links."""
    text = text_of(page)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", BLOCK.sub("", text), re.MULTILINE)]
    code = [body for language, body in BLOCK.findall(text) if language != "mermaid"]
    return [levels, code, re.findall(r"^\| (`[^`]*`) \|", text, re.MULTILINE), text.count("](")]


def test_both_readmes_say_the_same() -> None:
    """The same sections, the same code, the same commands, as many links."""
    english, chinese = map(shape, READMES)

    assert chinese == english


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_outside_the_repository_is_needed(page: Path) -> None:
    """What is shipped does not refer to folders beside the checkout."""
    assert re.findall(r"(?:\.\./)+shared\S*", text_of(page)) == []


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_decisions_are_short(page: Path) -> None:
    """What was decided, why, at what cost: about ten lines."""
    text = text_of(page)

    assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == ["Decision", "Why", "Cost"]
    assert len(text.splitlines()) <= 14
