"""`netdevice-plugin mover`: the program that container runtimes run."""

from __future__ import annotations

from pathlib import Path

import click

from netdevice_plugin.cli.render import printable


@click.group()
def mover() -> None:
    """Put the mover where container runtimes find it."""


@mover.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
def install(directory: Path) -> None:
    """Install netdevice-mover into DIR, or replace another version of it.

    A container runtime may be running it meanwhile.
    """
    from netdevice_plugin import mover as program  # noqa: PLC0415 - not for --help

    done = "installed" if program.install(directory) else "unchanged"
    click.echo(printable(f"{done} {directory / program.NAME}"))


@mover.command()
def path() -> None:
    """Print where the mover in this package is."""
    from netdevice_plugin import mover as program  # noqa: PLC0415 - not for --help

    click.echo(printable(str(program.binary())))
