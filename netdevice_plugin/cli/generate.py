"""`netdevice-plugin cdi generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from netdevice_plugin.cli.boundary import warn
from netdevice_plugin.cli.options import host_path, load_config, offer_options
from netdevice_plugin.cli.render import printable


@click.command()
@offer_options
@click.option(
    "--pool", metavar="NAME", default="", help="Name the pool of --interfaces; or only this one."
)
@click.option(
    "--output",
    metavar="-|FILE|DIR",
    default="",
    help="Where to write; `-` prints.  [default: the configuration's cdiDir]",
)
@click.option("--format", "form", type=click.Choice(("json", "yaml")), help="[default: json]")
@click.option(
    "--injection", type=click.Choice(("hook", "native")), help="Who moves links: mover, or runtime."
)
@click.option(
    "--mover-path", metavar="FILE", callback=host_path, help="The mover, as runtimes find it."
)
def generate(  # noqa: PLR0913 - an argument for each option
    interfaces: tuple[str, ...],
    config_file: Path | None,
    *,
    pool: str,
    output: str,
    form: Literal["json", "yaml"] | None,
    injection: str | None,
    mover_path: Path | None,
) -> None:
    """Write the CDI file of each pool: all its devices, those that are lent too.

    Takes --interfaces or --config. Prints what changed; what is right already is
    not written again.
    """
    if not interfaces and not config_file:
        raise click.UsageError("One of --interfaces and --config must be given.")
    config = load_config(config_file, interfaces)
    from netdevice_plugin import look  # noqa: PLC0415 - not for --help
    from netdevice_plugin.cli import specs  # noqa: PLC0415 - not for --help

    request = specs.Request(interfaces, pool, output, form, injection, mover_path)
    config = specs.adjust(config, request)
    targets = specs.plan(look.look(config), config, request)
    if problem := specs.mover_problem(config):
        warn(problem, hint=f"netdevice-plugin mover install {config.mover_path.parent}")
    if output == specs.STDOUT:
        click.echo(specs.text(targets[0]), nl=False)
        return
    for line in specs.write(targets):
        click.echo(printable(line))
