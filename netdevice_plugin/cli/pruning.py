"""Which of the CDI files describe nothing any more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import cdi
from cdi import files
from netdevice_plugin.config import Config
from netdevice_plugin.look import View
from netdevice_plugin.model import Interface, interface_name


def candidates(directories: Iterable[Path], prefix: str) -> Iterator[Path]:
    """List the files that are named as ours are, each directory once. Raises OSError."""
    for directory in dict.fromkeys(Path(os.path.realpath(one)) for one in directories):
        if directory.is_dir():
            yield from (
                path
                for path in sorted(directory.glob(f"{prefix}-*"))
                if files.format_of(path.name) and not path.is_dir()
            )


def is_stale(spec: cdi.Spec, view: View, config: Config) -> bool:
    """Whether no device of a file exists, and none is lent. A broken record counts as lent."""
    records = config.run_dir / "attachments"
    return not any(
        os.path.lexists(records / device.name) or _exists(device, view) for device in spec.devices
    )


def _exists(device: cdi.Device, view: View) -> bool:
    """Whether there is a link that the mover might take for the device's."""
    words = {word for hook in device.edits.hooks for word in hook.args}
    try:
        words.add(interface_name(device.name))
    except ValueError:  # no name that we make
        words.add(device.name)
    return any(words & _names(interface) for interface in view.snapshot.interfaces)


def _names(interface: Interface) -> set[str]:
    pci = interface.pci.address if interface.pci else ""
    known = {interface.name, *interface.altnames, interface.identity_mac, pci}
    return known - {""}
