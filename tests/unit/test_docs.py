"""What the documents name is there: links, files, commands, options, make targets, messages."""

from __future__ import annotations

import ast
import pathlib
import re
import shlex
from collections.abc import Iterator

import click
import pytest

from netdevice_plugin.cli import main

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / "netdevice_plugin"
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
    *(ROOT / "netdevice_plugin" / name for name in ("agent", "cli", "inventory", "mover/src")),
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
        for found in re.finditer(r"(?<![\w.=-])netdevice-plugin (?!has a bug)(?=[a-z-])", line):
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
    rules = re.findall(r"^([a-z][a-z0-9 .-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    targets = set(" ".join(rules).split())
    for line in code(page):
        for target in re.findall(r"(?:^|[#$] |=\w+ )make ([a-z0-9.-]+)", line):
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


def test_every_part_of_the_package_is_in_the_architecture() -> None:
    text = prose(ROOT / "ARCHITECTURE.md")
    parts = {path.name for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    parts |= {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")} - {"mover/"}
    parts |= {path.name for path in (PACKAGE / "agent").glob("[a-z]*.py")}
    assert len(parts) > 25
    assert [part for part in sorted(parts) if f"`{part}`" not in text] == []


def steps() -> set[str]:
    """What the mover calls the things that it can fail at."""
    call = re.compile(
        r"\b(?:fail|fail_about|fail_netlink|fail_message|note|restore_things)\((?:&?mover|restore|&restore),"
        r'[^";]*"((?:[^"\\]|\\.)+)"'
    )
    text = "".join(path.read_text() for path in SOURCES.glob("*.c"))
    return {step.strip() for step in call.findall(re.sub(r'"\s*\n\s*"', "", text))}


def section(heading: str) -> str:
    """A section of troubleshooting, with those below it, to the next of its level."""
    text = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text()
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, heading
    level = heading.partition(" ")[0]
    return rest.partition(f"\n{level} ")[0]


def first_column(text: str) -> list[str]:
    """What stands as code in the first column of a text's tables, where that begins with it."""
    rows = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    return _CODE.findall("\n".join(rows))


def test_every_failure_of_the_mover_is_in_troubleshooting() -> None:
    text = section("## A container does not start")
    assert len(steps()) > 35
    assert [step for step in sorted(steps()) if f"`{step}`" not in text] == []


def test_troubleshooting_names_no_failure_that_there_is_not() -> None:
    source = "".join(path.read_text() for path in SOURCES.glob("*.c"))
    source = re.sub(r'"\s*\n\s*"', "", source)
    for step in first_column(section("## A container does not start")):
        assert f'"{step}' in source, step


def said(node: ast.AST) -> str:
    """A text of the source, with an ellipsis where something is put in; empty if it is none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(said(part) or "…" for part in node.values)
    return ""


def sentences(module: str) -> set[str]:
    """The texts of a module that somebody reads: of more than a word, and no docstrings."""
    nodes = list(ast.walk(ast.parse((PACKAGE / module).read_text())))
    unread = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    unread |= {
        id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values
    }
    found = {said(node) for node in nodes if id(node) not in unread}
    return {text for text in found if re.search(r"\w\w", text) and " " in text}


def shown(text: str) -> str:
    """A text with what a page puts in as a word in capitals, or an ellipsis, made alike."""
    return re.sub(r"\b(?:[A-Z]{4,}|N)\b", "…", text)


def test_every_reason_that_a_device_is_unhealthy_for_is_in_troubleshooting() -> None:
    text = section("## A device is unhealthy")
    reasons = sentences("offering.py")
    assert len(reasons) > 5
    assert [reason for reason in sorted(reasons) if f"`{reason}`" not in text] == []
    assert "held by …, …" in sentences("loans/reconcile.py")
    for who in ("which is no pod's", "a pod that the kubelet does not know"):
        assert who in sentences("loans/reconcile.py")
        assert f"`held by …, {who}`" in text


def test_every_error_of_an_allocate_is_in_troubleshooting() -> None:
    text = shown(section("## The kubelet refuses a pod"))
    errors = {one for one in sentences("deviceplugin/messages.py") if one.startswith("…")}
    errors |= sentences("serving/guard.py") - {"Call failed"}
    assert len(errors) > 6
    for error in errors:
        assert f"`{error}" in text, error


def messages(*levels: str) -> set[str]:
    """What the package logs at these levels."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in levels:
                found |= {said(argument) for argument in node.args}
    return found - {""}


def test_every_warning_of_the_agent_is_in_troubleshooting() -> None:
    text = section("### What it logs")
    known = messages("_log.warning", "_log.error", "_log.exception", "_log.log")
    told = sentences("loans/reconciler.py") - messages("_log.info")
    known |= {one for one in told if one.startswith("Device ")}
    assert len(known) > 25
    assert [message for message in sorted(known) if f"`{message}`" not in text] == []
    assert [message for message in first_column(text) if message not in known] == []


def test_every_key_of_a_record_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "mover.md").read_text()
    table = re.findall(
        r'^    \{"([\w.-]+)", [A-Z]', (SOURCES / "fields.c").read_text(), re.MULTILINE
    )
    assert len(table) > 30
    assert [key for key in table if f"`{key}`" not in text] == []
