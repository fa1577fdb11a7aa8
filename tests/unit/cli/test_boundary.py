from __future__ import annotations

import errno
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner, Result

import cdi
from netdevice_plugin.cli.boundary import Boundary
from netdevice_plugin.config import InvalidConfigError
from netdevice_plugin.errors import ConfigError, MoverError
from tests.unit.cli.running import python, run


class OneCommand(Boundary):
    def __init__(self, command: click.Command) -> None:
        super().__init__("group")
        self.only = command

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        return self.only


def failing(error: BaseException) -> Result:
    @click.command()
    def fail() -> None:
        raise error

    group = OneCommand(fail)
    return CliRunner().invoke(group, ["fail"])


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        pytest.param(MoverError("no mover"), 1, ["error: no mover"], id="ours"),
        pytest.param(
            ConfigError("bad", hint="do this"), 2, ["error: bad", "hint: do this"], id="a hint"
        ),
        pytest.param(
            InvalidConfigError(["one", "two"], hint=""),
            2,
            ["error: one", "error: two"],
            id="several problems",
        ),
        pytest.param(cdi.InvalidNameError("no name"), 2, ["error: no name"], id="the library's"),
        pytest.param(
            cdi.SpecError(
                [cdi.Problem(source="f", message="a"), cdi.Problem(source="g", message="b")]
            ),
            1,
            ["error: f: a", "error: g: b"],
            id="several of the library's",
        ),
        pytest.param(
            PermissionError(errno.EACCES, "x", "/etc/cdi"),
            1,
            ["error: /etc/cdi: Permission denied"],
            id="a file",
        ),
        pytest.param(
            OSError(errno.ENOSPC, "x"),
            1,
            ["error: cannot write to standard output: No space left on device"],
            id="a full disk",
        ),
        pytest.param(OSError("odd"), 1, ["error: odd"], id="no errno"),
        pytest.param(KeyboardInterrupt(), 130, [], id="interrupted"),
        pytest.param(
            MoverError("two\nlines \x1b[31m \udcff"),
            1,
            [r"error: two\nlines \x1b[31m \xff"],
            id="control characters",
        ),
    ],
)
def test_an_error_ends_in_lines_and_an_exit_code(
    error: BaseException, code: int, lines: list[str]
) -> None:
    result = failing(error)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.splitlines() == lines


def test_a_bug_shows_as_one() -> None:
    assert isinstance(failing(ZeroDivisionError()).exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("arguments", "line", "hint"),
    [
        (["--nope"], "error: no such option '--nope'", "hint: netdevice-plugin --help"),
        (["nope"], "error: no such command 'nope'", "hint: netdevice-plugin --help"),
        (
            ["cdi", "generate", "--format", "toml"],
            "error: invalid value for '--format': 'toml' is not one of 'json', 'yaml'",
            "hint: netdevice-plugin cdi generate --help",
        ),
        (
            ["--run-dir", "run", "status"],
            "error: invalid value for '--run-dir': 'run' must be an absolute path below /",
            "hint: netdevice-plugin --help",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], line: str, hint: str
) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    said = result.stderr.replace("option: --nope", "option '--nope'")  # click 8.1
    assert said.splitlines() == [line, hint]


def test_no_command_is_answered_with_the_help() -> None:
    result = run()
    assert "Commands:" in result.output
    assert "Traceback" not in result.output


def test_the_version_is_the_package_s() -> None:
    from netdevice_plugin import __version__  # noqa: PLC0415

    assert run("--version").stdout == f"netdevice-plugin {__version__}\n"


MAIN = "import sys; from netdevice_plugin.cli import main; main(sys.argv[1:])"


def redirected(where: str) -> Callable[..., tuple[int, str]]:
    def show(*arguments: str) -> tuple[int, str]:
        code = f"import os; os.dup2(os.open({where!r}, os.O_WRONLY), 1); {MAIN}"
        result = python(code, *arguments)
        return result.returncode, result.stderr

    return show


@pytest.mark.parametrize("arguments", [("config", "show"), ("--help",), ("cdi", "--help")])
def test_a_full_disk_is_a_line(arguments: tuple[str, ...]) -> None:
    assert redirected("/dev/full")(*arguments) == (
        1,
        "error: cannot write to standard output: No space left on device\n",
    )


def test_a_reader_that_went_away_is_a_line() -> None:
    code = f"import os; r, w = os.pipe(); os.close(r); os.dup2(w, 1); {MAIN}"
    result = python(code, "config", "show")
    assert result.returncode == 1
    assert result.stderr == "error: cannot write to standard output: Broken pipe\n"


def test_options_can_be_given_by_the_environment(tmp_path: object) -> None:
    result = python(MAIN, "status", NETDEVICE_PLUGIN_RUN_DIR="relative")
    assert result.returncode == 2
    assert "'relative' must be an absolute path" in result.stderr
