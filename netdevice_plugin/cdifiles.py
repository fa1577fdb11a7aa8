"""What the CDI file of each pool says: the mover's hooks, or the runtime's netDevices. Pure.

The result depends on the arguments alone: same inventory, same bytes on disk.
The arguments of the mover are the contract in docs/reference/mover.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cdi
from netdevice_plugin.config import Config
from netdevice_plugin.model import Device, Injection, Interface, Pool
from netdevice_plugin.pools import Assignment

MOVER_RUN_DIR = Path("/run/netdevice-plugin")  # the mover's own default

# Without an environment of its own a hook gets the caller's: all that podman's user
# has exported would reach a program that runs as root. The mover reads none of it.
_ENV = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin",)


def file_name(pool: Pool) -> str:
    """Name the pool's file in the CDI directory: networking.k8s.io-netdevice.json."""
    return cdi.file_name(pool.kind)


def build(
    pool: Pool, devices: Iterable[Device], *, mover: Path, run_dir: Path, timeout: int
) -> cdi.Spec | None:
    """Describe a pool's devices, lent ones too, each with the edits that deliver it.

    `timeout` is in seconds. None stands for no device: CDI demands one at least,
    so that the file of an empty pool has to go.
    """
    described = []
    for device in sorted(devices, key=lambda device: device.name):
        if pool.injection is Injection.NATIVE:
            edits = _native(device.interface)
        else:
            edits = _hooks(device, mover=mover, run_dir=run_dir, timeout=timeout)
        described.append(cdi.Device(name=device.name, edits=edits))
    return cdi.Spec(kind=pool.kind, devices=tuple(described)) if described else None


def build_all(assignment: Assignment, config: Config) -> dict[str, cdi.Spec | None]:
    """Describe every pool, by the name of its file; what is None must not be there."""
    return {
        file_name(pool): build(
            pool,
            assignment.of(pool),
            mover=config.mover_path,
            run_dir=config.run_dir,
            timeout=config.hook_timeout,
        )
        for pool in config.pools
    }


def _native(interface: Interface) -> cdi.ContainerEdits:
    moved = cdi.NetDevice(host_interface_name=interface.name, name=interface.name)
    return cdi.ContainerEdits(net_devices=(moved,))


def _hooks(device: Device, *, mover: Path, run_dir: Path, timeout: int) -> cdi.ContainerEdits:
    elsewhere = () if run_dir == MOVER_RUN_DIR else ("--run-dir", str(run_dir))
    common = ("--device", device.name, *elsewhere)
    calls = (
        ("createRuntime", ("attach", *common, *_identity(device.interface))),
        ("poststop", ("detach", *common)),
    )
    return cdi.ContainerEdits(
        hooks=tuple(
            cdi.Hook(
                hook_name=name,
                path=str(mover),
                args=("netdevice-mover", *args),
                env=_ENV,
                timeout=timeout,
            )
            for name, args in calls
        )
    )


def _identity(interface: Interface) -> tuple[str, ...]:
    """Say how to recognise the link; what it has not is left out."""
    found = {
        "--link": interface.name,
        "--link-ifindex": str(interface.ifindex),
        "--link-mac": interface.identity_mac,
        "--link-pci": interface.pci.address if interface.pci else "",
        "--link-kind": interface.kind,
    }
    return tuple(word for option, value in found.items() if value for word in (option, value))
