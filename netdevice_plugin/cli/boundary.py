"""Where errors end: lines on standard error, and an exit code. Nothing else prints errors."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Iterator, Mapping

import click
from click.exceptions import Exit

from cdi.errors import Error
from netdevice_plugin.cli.render import printable
from netdevice_plugin.errors import NetdevError

_HELP = getattr(click.exceptions, "NoArgsIsHelpError", ())  # since click 8.2

INTERRUPTED = 130  # what shells make of SIGINT


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for it.

    `commands_at` maps each name to `module:attribute`, in the order of the help.
    """

    commands_at: Mapping[str, str] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands, and import none."""
        return list(self.commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.commands_at:
            return None
        module, _, attribute = self.commands_at[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the table is ours
        return command


class Boundary(LazyGroup):
    """The one place that turns errors into exit codes and lines on standard error.

    An exception that is neither ours nor the operating system's is a bug, and
    shows as one.
    """

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: object,
    ) -> click.Context:
        """Read the arguments that stand before the command."""
        with _errors_end_here():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was asked for."""
        _write_anything()
        with _errors_end_here():
            return super().invoke(ctx)


@contextlib.contextmanager
def _errors_end_here() -> Iterator[None]:
    try:
        yield
    except (NetdevError, Error) as error:
        report(error)
        raise Exit(error.exit_code) from error
    except _HELP:
        raise
    except click.ClickException as error:
        fail(_sentence(error), hint=_usage(error))
        raise Exit(error.exit_code) from error
    except OSError as error:
        _discard_output()
        fail(_describe(error))
        raise Exit(1) from error
    except KeyboardInterrupt as error:
        raise Exit(INTERRUPTED) from error


def report(error: NetdevError | Error) -> None:
    """Print an error, each of its problems on a line of its own, and what can be done."""
    for problem in getattr(error, "problems", ()) or (error,):
        fail(str(problem))
    if error.hint:
        _echo("hint", error.hint)


def fail(text: str, *, hint: str = "") -> None:
    """Print what went wrong, without ending anything."""
    _echo("error", text)
    if hint:
        _echo("hint", hint)


def warn(text: str, *, hint: str = "") -> None:
    """Print what does not stop us."""
    _echo("warning", text)
    if hint:
        _echo("hint", hint)


def _echo(word: str, text: str) -> None:
    with contextlib.suppress(OSError):  # nobody is left to tell
        click.echo(f"{word}: {printable(text)}", err=True)


def _sentence(error: click.ClickException) -> str:
    """Say click's message as ours begin, and on one line."""
    text = " ".join(error.format_message().split())
    return text[:1].lower() + text[1:].removesuffix(".")


def _usage(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{context.command_path} --help" if context else ""


def _describe(error: OSError) -> str:
    text = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.EPIPE, errno.ENOSPC) and not error.filename:
        return f"cannot write to standard output: {text}"
    return f"{os.fsdecode(error.filename)}: {text}" if error.filename else text


def _write_anything() -> None:
    """Escape what the terminal's encoding does not have, rather than fail half-way."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Send what is still buffered nowhere, or writing it would fail again at exit."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
