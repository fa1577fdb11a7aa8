"""`netdevice-plugin devices`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netdevice_plugin.cli import render
from netdevice_plugin.cli.boundary import warn
from netdevice_plugin.cli.options import load_config, offer_options, output_option

if TYPE_CHECKING:
    from netdevice_plugin.cli.offers import Offers
    from netdevice_plugin.config import Config
    from netdevice_plugin.look import View


@click.command()
@offer_options
@output_option
@click.option("--watch", is_flag=True, help="Go on, and show every change.")
def devices(
    interfaces: tuple[str, ...], config_file: Path | None, *, output: str, watch: bool
) -> None:
    """Show every link: its pool, who has it, or why it is not offered.

    Without --interfaces and --config it is what could be offered at all.
    """
    config = load_config(config_file, interfaces or (() if config_file else ("*",)))
    from netdevice_plugin import look  # noqa: PLC0415 - not for --help

    show = _shower(config, output, watch=watch)
    if not watch:
        show(look.look(config))
        return
    import asyncio  # noqa: PLC0415 - 40 ms

    from netdevice_plugin.cli import watching  # noqa: PLC0415

    asyncio.run(watching.watch(config, show))


def _shower(config: Config, output: str, *, watch: bool) -> Callable[[View], None]:
    """Make a function that shows what is new in a view."""
    from netdevice_plugin.cli import bound, claimed, offers  # noqa: PLC0415 - not for --help

    last: Offers | None = None

    def show(view: View) -> None:
        nonlocal last
        functions = bound.read(config.run_dir)
        found = offers.offers(offers.completed(view, functions), config.pools, claimed.read(config))
        if found == last:
            return
        if watch and render.on_terminal():
            click.clear()
        elif last and output != "json":
            click.echo("---" if output == "yaml" else "")
        last = found
        _print(found, output, compact=watch and not render.on_terminal())

    return show


def _print(found: Offers, output: str, *, compact: bool) -> None:
    from netdevice_plugin.cli import offers  # noqa: PLC0415 - not for --help

    if output in ("json", "yaml"):
        render.document(offers.document(found), output, compact=compact)
        return
    render.table(offers.WIDE if output == "wide" else found.headings, offers.rows(found.links))
    for problem in found.problems:
        warn(problem)
