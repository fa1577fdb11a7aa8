"""`netdevice-plugin`: what it can do, each command imported when it is first used.

The commands print results to standard output and all else to standard error.
They only pass on what is decided elsewhere; `boundary` alone turns errors into
exit codes.
"""

from __future__ import annotations

import click

from netdevice_plugin import __version__
from netdevice_plugin.cli.boundary import Boundary
from netdevice_plugin.cli.options import run_dir_option


@click.group(cls=Boundary, context_settings={"auto_envvar_prefix": "NETDEVICE_PLUGIN"})
@click.version_option(__version__, prog_name="netdevice-plugin", message="%(prog)s %(version)s")
@run_dir_option
def main() -> None:
    """Hand real network interfaces to pods and containers, and bring them home."""


main.commands_at = {
    "run": "netdevice_plugin.cli.run:run",
    "devices": "netdevice_plugin.cli.devices:devices",
    "cdi": "netdevice_plugin.cli.cdi:cdi",
    "status": "netdevice_plugin.cli.status:status",
    "reclaim": "netdevice_plugin.cli.reclaim:reclaim",
    "doctor": "netdevice_plugin.cli.doctor:doctor",
    "mover": "netdevice_plugin.cli.mover:mover",
    "config": "netdevice_plugin.cli.config:config",
    "claim": "netdevice_plugin.cli.claim:claim",
}
