"""Every failure that we raise on purpose, and the exit code that each one means.

Library code raises these; only the command line prints them and exits. Anything
else that reaches the top is a bug. This module imports nothing of ours.
"""


class NetdevError(Exception):
    """Base of the tree; `hint` says what the operator can do about it.

    The message names the place (file and path in it, device, argument) and fits
    on one line.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(NetdevError):
    """A configuration file, argument or other input is wrong as written."""

    exit_code = 2


class InventoryError(NetdevError):
    """The kernel could not be read: netlink or sysfs failed."""


class AttachmentError(NetdevError):
    """An attachment file cannot be read, or says something impossible.

    `device` is the one whose file it is, empty for the directory.
    """

    device = ""


class MoverError(NetdevError):
    """The mover binary is missing or reported a failure."""


class FunctionError(NetdevError):
    """A PCI function cannot be given to a program, or cannot be brought home; says which one."""


class WatchError(NetdevError):
    """A directory cannot be watched for changes."""


class KubeletError(NetdevError):
    """The kubelet, or what it left on disk, could not be read or answered with an error."""


class ListenError(NetdevError):
    """The address for metrics and health cannot be listened on."""


class ClaimError(NetdevError):
    """A ResourceClaim cannot be served as it is; the message ends up in its pod's events."""


class ParameterError(ClaimError):
    """A claim's parameters are wrong as written: every problem, with its field."""

    exit_code = 2


class ClusterError(NetdevError):
    """The API server cannot be reached, or answered with an error."""


class PortError(NetdevError):
    """A port provider could not do what was asked of it."""
