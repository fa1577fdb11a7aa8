"""Options that several commands have, and the types of their values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from netdevice_plugin.config import Config

F = TypeVar("F", bound=Callable[..., object])

_RUN_DIR = "netdevice_plugin.run_dir"


def host_path(context: click.Context, option: click.Parameter, value: str | None) -> Path | None:
    """Check an absolute path on the host, as the configuration file takes it. A callback."""
    from netdevice_plugin import fields  # noqa: PLC0415 - not for --help

    try:
        return fields.path(value) if value is not None else None
    except ValueError as error:
        raise click.BadParameter(f"{shown(value)} {error}", context, option) from error


def shown(value: object) -> str:
    """Quote what the user gave: on one line, in ASCII, and not for ever."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _keep_run_dir(context: click.Context, option: click.Parameter, value: str | None) -> None:
    if path := host_path(context, option, value):
        context.meta[_RUN_DIR] = path


def run_dir_option(command: F) -> F:
    """Add --run-dir, which is good before and after the command's name."""
    return click.option(
        "--run-dir",
        metavar="DIR",
        expose_value=False,
        callback=_keep_run_dir,
        help="Where the mover's records are.  [default: the configuration's runDir]",
    )(command)


def given_run_dir() -> Path | None:
    """Return what --run-dir said, if anything."""
    value = click.get_current_context().meta.get(_RUN_DIR)
    return value if isinstance(value, Path) else None


def run_dir() -> Path:
    """Return what --run-dir said, or the default."""
    from netdevice_plugin.config import Config  # noqa: PLC0415 - not for --help

    return given_run_dir() or Config().run_dir


def _split(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    return tuple(name for value in values for name in value.split(","))


def config_option(command: F) -> F:
    """Add --config."""
    return click.option(
        "--config",
        "config_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Configuration file, with pools and paths.",
    )(command)


def offer_options(command: F) -> F:
    """Add what says which links are offered: --interfaces and --config."""
    interfaces = click.option(
        "--interfaces",
        metavar="NAMES",
        multiple=True,
        callback=_split,
        help="Links to offer in the pool `netdevice`: names or globs, by commas; may be repeated.",
    )
    return interfaces(config_option(run_dir_option(command)))


def output_option(command: F) -> F:
    """Add -o, how to print."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(("table", "wide", "json", "yaml")),
        default="table",
        show_default=True,
    )(command)


def load_config(config_file: Path | None, interfaces: tuple[str, ...] = ()) -> Config:
    """Read the configuration file, or make the one of --interfaces; with both a usage error."""
    import dataclasses  # noqa: PLC0415 - not for --help

    from netdevice_plugin import config  # noqa: PLC0415 - not for --help

    if interfaces and config_file:
        raise click.UsageError("--interfaces and --config cannot both be given.")
    if config_file:
        found = config.load(config_file)
    else:
        found = config.default(interfaces) if interfaces else config.Config()
    given = given_run_dir()
    return dataclasses.replace(found, run_dir=given) if given else found
