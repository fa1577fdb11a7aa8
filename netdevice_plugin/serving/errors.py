"""What a call of the kubelet's can be refused for; `guard` knows the status code of each."""

from __future__ import annotations

from netdevice_plugin.errors import NetdevError


class MalformedCallError(NetdevError):
    """A call that says nothing sensible, whatever the state of the devices."""


class UnknownDeviceError(NetdevError):
    """A device that the resource does not list."""


class UnhealthyDeviceError(NetdevError):
    """A device that is listed, but no pod may have it now."""
