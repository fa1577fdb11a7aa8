"""What the CDI file of each pool says: the mover's hooks, or the runtime's netDevices. Pure.

The result depends on the arguments alone: same inventory, same bytes on disk.
The arguments of the mover are the contract in docs/reference/mover.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import cdi
from cdi import files
from netdevice_plugin.config import Config
from netdevice_plugin.model import Device, Injection, Interface, Pool
from netdevice_plugin.pools import Assignment

MOVER_RUN_DIR = Path("/run/netdevice-plugin")  # the mover's own default

_PROGRAM = "netdevice-mover"

# Without an environment of its own a hook gets the caller's: all that podman's user
# has exported would reach a program that runs as root. The mover reads none of it.
_ENV = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin",)


def file_name(pool: Pool) -> str:
    """Name the pool's file in the CDI directory: networking.k8s.io-netdevice.json."""
    return cdi.file_name(pool.kind)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a pool's devices get into containers: what all of its file has in common."""

    injection: Injection
    mover: Path
    run_dir: Path
    timeout: int  # seconds, of each hook

    @classmethod
    def of(cls, pool: Pool, config: Config) -> Self:
        """Take together what the pool and the configuration say."""
        return cls(
            injection=pool.injection,
            mover=config.mover_path,
            run_dir=config.run_dir,
            timeout=config.hook_timeout,
        )


def build(
    pool: Pool, devices: Iterable[Device], *, mover: Path, run_dir: Path, timeout: int
) -> cdi.Spec | None:
    """Describe a pool's devices, lent ones too, each with the edits that deliver it.

    `timeout` is in seconds. None stands for no device: CDI demands one at least,
    so that the file of an empty pool has to go.
    """
    delivery = Delivery(injection=pool.injection, mover=mover, run_dir=run_dir, timeout=timeout)
    by_name = sorted(devices, key=lambda device: device.name)
    described = tuple(describe(device, delivery) for device in by_name)
    return cdi.Spec(kind=pool.kind, devices=described) if described else None


def describe(device: Device, delivery: Delivery) -> cdi.Device:
    """Describe one device. Of its link no more counts than `told`."""
    return cdi.Device(name=device.name, edits=edits(device.name, device.interface, delivery))


def edits(
    device: str,
    interface: Interface,
    delivery: Delivery,
    *,
    name: str = "",
    options: tuple[str, ...] = (),
) -> cdi.ContainerEdits:
    """Deliver a link; record, lock and pin have the device's name, whatever CDI calls it.

    `options` are the mover's, and follow the identity. The runtime knows none of
    them: where it moves the link, `name` is all that can be asked for in the pod.
    """
    if delivery.injection is Injection.NATIVE:
        return _native(interface, name or interface.name)
    return _hooks(device, interface, delivery, options)


def told(interface: Interface) -> tuple[object, ...]:
    """What a CDI file tells of a link: where it is equal, so is the device's description."""
    pci = interface.pci.address if interface.pci else ""
    mac = interface.permanent_mac or interface.mac  # identity_mac, without the call
    return interface.name, interface.ifindex, mac, pci, interface.kind


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


def is_ours(path: Path, spec: cdi.Spec, prefix: str) -> bool:
    """Whether we wrote a file: by its name, its kind, and every edit in it.

    A claim's file is not meant: it comes and goes with the claim (`dra.claimfiles`),
    and its name, which ends in the claim's uid, tells it from a pool's.
    """
    form = files.format_of(path.name)
    return (
        form is not None
        and spec.kind.startswith(f"{prefix}/")
        and path.name == cdi.file_name(spec.kind, format=form)
        and spec.edits == cdi.ContainerEdits()
        and all(_is_our_edit(device.edits) for device in spec.devices)
    )


def _is_our_edit(made: cdi.ContainerEdits) -> bool:
    if made == cdi.ContainerEdits(hooks=made.hooks):
        return bool(made.hooks) and all(hook.args[:1] == (_PROGRAM,) for hook in made.hooks)
    return made == cdi.ContainerEdits(net_devices=made.net_devices)


def _native(interface: Interface, name: str) -> cdi.ContainerEdits:
    moved = cdi.NetDevice(host_interface_name=interface.name, name=name)
    return cdi.ContainerEdits(net_devices=(moved,))


def _hooks(
    device: str, interface: Interface, delivery: Delivery, options: tuple[str, ...]
) -> cdi.ContainerEdits:
    run_dir = delivery.run_dir
    elsewhere = () if run_dir == MOVER_RUN_DIR else ("--run-dir", str(run_dir))
    common = ("--device", device, *elsewhere)
    calls = (
        ("createRuntime", ("attach", *common, *_identity(interface), *options)),
        ("poststop", ("detach", *common)),
    )
    return cdi.ContainerEdits(
        hooks=tuple(
            cdi.Hook(
                hook_name=name,
                path=str(delivery.mover),
                args=(_PROGRAM, *args),
                env=_ENV,
                timeout=delivery.timeout,
            )
            for name, args in calls
        )
    )


def _identity(interface: Interface) -> tuple[str, ...]:
    """Say how to recognise the link; what it has not is left out.

    A link that only the kubelet's checkpoint knows has no ifindex in any namespace.
    """
    found = {
        "--link": interface.name,
        "--link-ifindex": str(interface.ifindex) if interface.ifindex else "",
        "--link-mac": interface.identity_mac,
        "--link-pci": interface.pci.address if interface.pci else "",
        "--link-kind": interface.kind,
    }
    return tuple(word for option, value in found.items() if value for word in (option, value))
