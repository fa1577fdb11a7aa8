"""What the documents name is there: links, files, commands, options, make targets, failures."""

from __future__ import annotations

import pathlib
import re
import shlex
from collections.abc import Iterator

import click
import pytest

from netdevice_plugin.cli import main

ROOT = pathlib.Path(__file__).parents[2]
SOURCES = ROOT / "netdevice_plugin" / "mover" / "src"
PAGES = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_END = re.compile(r"\s(?:&&|\|\|?|;|>|<|#|…)(?:\s|$)")
_PATH = re.compile(r"(?:\w[\w.-]*/)*\w[\w.-]*(?:/|\.(?:py|c|h|sh|cfg|toml|json))")

pages = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])


def prose(page: pathlib.Path) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", page.read_text())


def code(page: pathlib.Path) -> Iterator[str]:
    """Every line of its blocks, and every span of code in its prose."""
    for _, block in _FENCE.findall(page.read_text()):
        yield from block.splitlines()
    for span in _CODE.findall(prose(page)):
        yield " ".join(span.split())


def anchors(page: pathlib.Path) -> set[str]:
    """The headings of a page, as GitHub makes anchors of them."""
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose(page))]
    return {heading.replace(" ", "-") for heading in plain}


# Where the architecture's file names may start.
_PLACES = (
    *(ROOT / name for name in ("", "cdi", "netdevice_plugin")),
    *(ROOT / "netdevice_plugin" / name for name in ("cli", "inventory", "mover/src")),
)


@pages
def test_links_lead_somewhere(page: pathlib.Path) -> None:
    for link in _LINK.findall(prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def commands(page: pathlib.Path) -> Iterator[list[str]]:
    """The words of every command line of ours, from the command's name on."""
    for line in code(page):
        for found in re.finditer(r"(?<![\w.=-])netdevice-plugin (?=[a-z-])", line):
            yield shlex.split(_END.split(line[found.start() :])[0])[1:]


def check(words: list[str]) -> None:
    """Walk down the commands; every option must be one of the command at hand."""
    command: click.Command = main
    for word in words:
        if word.startswith("-") and word != "-":
            options = {name for option in command.params for name in option.opts}
            assert word.partition("=")[0] in options | {"--help"}, f"{command.name} {word}"
        elif isinstance(command, click.Group):
            inner = command.get_command(click.Context(command), word)
            assert inner is not None, f"{command.name} {word}"
            command = inner


@pages
def test_commands_and_options_exist(page: pathlib.Path) -> None:
    for words in commands(page):
        check(words)


@pytest.mark.parametrize("line", ["devises", "cdi generate --interface eth1", "status --all"])
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    with pytest.raises(AssertionError):
        check(line.split())


@pages
def test_make_targets_exist(page: pathlib.Path) -> None:
    rules = re.findall(r"^([a-z][a-z0-9 -]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    targets = set(" ".join(rules).split())
    for line in code(page):
        for target in re.findall(r"(?:^|[ #$])make ([a-z0-9-]+)", line):
            assert target in targets, line


def test_files_of_the_architecture_exist() -> None:
    spans = _CODE.findall(prose(ROOT / "ARCHITECTURE.md"))
    named = [span for span in spans if _PATH.fullmatch(span)]
    assert len(named) > 50
    for name in named:
        assert any((place / name).exists() for place in _PLACES), name


def test_every_file_of_the_mover_is_in_the_architecture() -> None:
    text = prose(ROOT / "ARCHITECTURE.md")
    for path in SOURCES.glob("*.c"):
        assert f"`{path.name}`" in text


def steps() -> set[str]:
    """What the mover calls the things that it can fail at."""
    call = re.compile(
        r"\b(?:fail|fail_netlink|fail_message|note|restore_things)\((?:&?mover|restore|&restore),"
        r'[^";]*"((?:[^"\\]|\\.)+)"'
    )
    text = "".join(path.read_text() for path in SOURCES.glob("*.c"))
    return {step.strip() for step in call.findall(re.sub(r'"\s*\n\s*"', "", text))}


def test_every_failure_of_the_mover_is_in_troubleshooting() -> None:
    text = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text()
    assert len(steps()) > 35
    assert [step for step in sorted(steps()) if f"`{step}`" not in text] == []


def test_troubleshooting_names_no_failure_that_there_is_not() -> None:
    text = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text()
    mover = text[: text.index("## The command line")]
    rows = [row.split("|")[1] for row in mover.splitlines() if row.startswith("| `")]
    source = "".join(path.read_text() for path in SOURCES.glob("*.c"))
    source = re.sub(r'"\s*\n\s*"', "", source)
    for step in _CODE.findall("\n".join(rows)):
        assert f'"{step}' in source, step


def test_every_key_of_a_record_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "mover.md").read_text()
    table = re.findall(
        r'^    \{"([\w.-]+)", [A-Z]', (SOURCES / "record.c").read_text(), re.MULTILINE
    )
    assert len(table) > 30
    assert [key for key in table if f"`{key}`" not in text] == []
