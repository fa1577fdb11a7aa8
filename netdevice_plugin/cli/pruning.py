"""Which CDI files are ours and describe nothing any more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import cdi
from cdi import files
from netdevice_plugin.config import Config
from netdevice_plugin.look import View
from netdevice_plugin.model import Interface, interface_name

_PROGRAM = "netdevice-mover"


def candidates(directories: Iterable[Path], prefix: str) -> Iterator[Path]:
    """List the files that are named as ours are, each directory once. Raises OSError."""
    for directory in dict.fromkeys(Path(os.path.realpath(one)) for one in directories):
        if directory.is_dir():
            yield from (
                path
                for path in sorted(directory.glob(f"{prefix}-*"))
                if files.format_of(path.name) and not path.is_dir()
            )


def is_ours(path: Path, spec: cdi.Spec, prefix: str) -> bool:
    """Whether `cdi generate` wrote a file: by its name, its kind, and every edit in it."""
    form = files.format_of(path.name)
    return (
        form is not None
        and spec.kind.startswith(f"{prefix}/")
        and path.name == cdi.file_name(spec.kind, format=form)
        and spec.edits == cdi.ContainerEdits()
        and all(_is_our_edit(device.edits) for device in spec.devices)
    )


def _is_our_edit(edits: cdi.ContainerEdits) -> bool:
    if edits == cdi.ContainerEdits(hooks=edits.hooks):
        return bool(edits.hooks) and all(hook.args[:1] == (_PROGRAM,) for hook in edits.hooks)
    return edits == cdi.ContainerEdits(net_devices=edits.net_devices)


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
