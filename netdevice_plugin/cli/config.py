"""`netdevice-plugin config`: is a file right, and what is in effect with it."""

from __future__ import annotations

from pathlib import Path

import click

FILE = click.Path(path_type=Path)


@click.group()
def config() -> None:
    """Check and show configuration files."""


@config.command()
@click.argument("file", type=FILE)
@click.pass_context
def check(context: click.Context, file: Path) -> None:
    """Report every problem of FILE, or print its pools.

    The exit code is 0 if FILE is right and 2 if it is not. Whether a pool names
    a link that has to stay on this host is shown by `devices`.
    """
    from netdevice_plugin.config import InvalidConfigError, load  # noqa: PLC0415 - not for --help

    try:
        pools = load(file).pools
    except InvalidConfigError as error:
        for problem in error.problems:
            click.echo(f"error: {problem}", err=True)
        click.echo(f"hint: {error.hint}", err=True)
        context.exit(error.exit_code)
    for pool in pools:
        click.echo(f"{pool.kind} ({pool.frontend.value}, {pool.injection.value})")


@config.command()
@click.argument("file", type=FILE, required=False)
@click.option(
    "-o", "--output", "form", type=click.Choice(("yaml", "json")), default="yaml", show_default=True
)
def show(file: Path | None, form: str) -> None:
    """Print what is in effect with FILE, or without any: every setting, defaults included."""
    from netdevice_plugin.config import Config, dump, load  # noqa: PLC0415 - not for --help

    click.echo(dump(load(file) if file else Config(), form), nl=False)
