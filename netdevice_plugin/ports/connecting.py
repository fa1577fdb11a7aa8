"""From a pool's settings to its provider."""

from __future__ import annotations

import sys

from netdevice_plugin.ports.command import Command
from netdevice_plugin.ports.provider import Owner, Provider
from netdevice_plugin.ports.remote import Remote
from netdevice_plugin.provisioning import OpenStack, PortProvider


def connect(settings: PortProvider, owner: Owner) -> Provider:
    """Make the provider that a pool asks for; nothing is called yet."""
    if settings.grpc:
        return Remote(settings.grpc, owner)
    return Command(settings.command or openstack(settings.openstack), owner)


def openstack(settings: OpenStack | None) -> tuple[str, ...]:
    """Say how our own provider for OpenStack is run: a program like any other."""
    # Neither the directory at hand nor, in an image, the environment says what is imported.
    python = (sys.executable, "-I" if sys.flags.isolated else "-P")
    argv = (*python, "-m", "netdevice_plugin.ports.openstack")
    if settings is None:
        return argv
    options = {
        "cloud": (settings.cloud,),
        "network": (settings.network,),
        "subnet": (settings.subnet,),
        "security-group": settings.security_groups,
        "server": (settings.server,),
    }
    given = (f"--{key}={value}" for key, values in options.items() for value in values if value)
    return (*argv, *given)
