"""`netdevice-plugin cdi`: our CDI files, and those of others."""

from __future__ import annotations

import click

from netdevice_plugin.cli.boundary import LazyGroup


@click.group(cls=LazyGroup)
def cdi() -> None:
    """Write CDI files for container runtimes, and look at them as runtimes do."""


cdi.commands_at = {
    "generate": "netdevice_plugin.cli.generate:generate",
    "list": "cdi.cli:list_command",
    "validate": "cdi.cli:validate_command",
    "inject": "cdi.cli:inject_command",
    "prune": "netdevice_plugin.cli.prune:prune",
}
