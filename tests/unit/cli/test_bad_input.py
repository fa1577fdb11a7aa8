"""Whatever is wrong with an argument ends in a line, the right exit code, and nothing changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.running import run

CONTENTS = {
    "empty": b"",
    "NUL bytes": b"\0" * 100,
    "10 MB": b"a" * 10_000_000,
    "10 MB of nothing": b" " * 10_000_000,
    "not UTF-8": b'{"pools": "\xff\xfe"}',
    "deep nesting": b"[" * 100_000,
    "deep mappings": b'{"a":' * 5000,
    "truncated": b'{"cdiVersion": "0.3.0", "kind": "a',
    "a list": b"[]",
    "a word": b"netdevice",
    "terminal controls": b"\x1b[31m: 1\n",
}
READERS = {
    "cdi generate --config": (("cdi", "generate", "--config", "{}"), 2),
    "cdi prune --config": (("cdi", "prune", "--config", "{}"), 2),
    "devices --config": (("devices", "--config", "{}"), 2),
    "config check": (("config", "check", "{}"), 2),
    "claim check": (("claim", "check", "{}"), 2),
    "config show": (("config", "show", "{}"), 2),
    "cdi validate": (("cdi", "validate", "{}"), 1),
    "cdi inject": (("cdi", "inject", "--in-place", "{}", "vendor.com/net=a"), None),
}


def lines(text: str) -> list[str]:
    """The lines on standard error; fails unless each is one of ours, and printable."""
    found = text.splitlines()
    assert found
    assert found[0].startswith("error: ")
    assert all(line.startswith(("error: ", "hint: ", "  ")) for line in found)
    assert all(line.isprintable() for line in found)
    return found


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("content", CONTENTS)
def test_a_file_that_is_wrong_is_one_line(tmp_path: Path, command: str, content: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENTS[content])
    words, code = READERS[command]
    result = run(*(str(file) if word == "{}" else word for word in words))
    assert result.exit_code == (code or result.exit_code or "not 0")
    assert result.exit_code in {1, 2}
    assert result.stdout == ""
    assert len([line for line in lines(result.stderr) if line.startswith("error: ")]) == 1
    assert file.read_bytes() == CONTENTS[content]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("what", ["missing", "a directory", "below a file"])
def test_a_file_that_is_none_is_one_line(tmp_path: Path, command: str, what: str) -> None:
    (tmp_path / "a directory").mkdir()
    (tmp_path / "file").touch()
    path = tmp_path / ("file/x" if what == "below a file" else what)
    words, code = READERS[command]
    result = run(*(str(path) if word == "{}" else word for word in words))
    assert result.exit_code == (code or result.exit_code or "not 0")
    assert result.stdout == ""
    assert lines(result.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("cdi", "generate"), id="nothing to generate"),
        pytest.param(("cdi", "generate", "--interfaces", ""), id="empty name"),
        pytest.param(("cdi", "generate", "--interfaces", "a,,b"), id="empty name between"),
        pytest.param(("cdi", "generate", "--interfaces", "a b"), id="a space"),
        pytest.param(("cdi", "generate", "--interfaces", "a/b"), id="a slash"),
        pytest.param(("cdi", "generate", "--interfaces", "a\0b"), id="NUL"),
        pytest.param(("cdi", "generate", "--interfaces", "[a"), id="half a glob"),
        pytest.param(("cdi", "generate", "--interfaces", "x" * 100_000), id="a long name"),
        pytest.param(("cdi", "generate", "--interfaces", "a", "--config", "x"), id="both"),
        pytest.param(("cdi", "generate", "--config", "x" * 5000), id="a long path"),
        pytest.param(
            ("cdi", "generate", "--interfaces", "a", "--mover-path", "bin/mover"), id="relative"
        ),
        pytest.param(
            ("cdi", "generate", "--interfaces", "a", "--mover-path", "/a/../b"), id="upwards"
        ),
        pytest.param(
            ("cdi", "generate", "--interfaces", "a", "--mover-path", "/a\n"), id="newline"
        ),
        pytest.param(("cdi", "generate", "--interfaces", "a", "--injection", "x"), id="injection"),
        pytest.param(("cdi", "list", "--spec-dir", "/missing"), id="no directory"),
        pytest.param(("cdi", "inject", "-", "eth1"), id="no qualified name"),
        pytest.param(("devices", "--interfaces", ""), id="devices: empty name"),
        pytest.param(("devices", "-o", "xml"), id="an unknown format"),
        pytest.param(("status", "extra"), id="an argument too many"),
        pytest.param(("status", "--run-dir", "/"), id="run directory /"),
        pytest.param(("reclaim", "--run-dir", "/missing", "\x1b[31m"), id="control characters"),
        pytest.param(("mover", "install"), id="no directory to install into"),
    ],
)
def test_an_argument_that_is_wrong_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(lines(result.stderr)) <= 2
    assert all(len(line) < 400 for line in lines(result.stderr) if "x" * 5000 not in line)


def test_the_mover_is_not_installed_over_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    result = run("mover", "install", file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert lines(result.stderr)
    assert file.read_text() == "mine"
