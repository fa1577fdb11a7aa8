"""What the CDI file of each pool says: the mover's hooks, or the runtime's netDevices. Pure.

The result depends on the arguments alone: same inventory, same bytes on disk.
The arguments of the mover are the contract in docs/reference/mover.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import cdi
from cdi import files
from netdevice_plugin.config import Config
from netdevice_plugin.model import Device, Injection, Interface, Made, Pool
from netdevice_plugin.pools import Assignment
from netdevice_plugin.provisioning import CreatedKind, VfSettings

MOVER_RUN_DIR = Path("/run/netdevice-plugin")  # the mover's own default

_PROGRAM = "netdevice-mover"

# Without an environment of its own a hook gets the caller's: all that podman's user
# has exported would reach a program that runs as root. The mover reads none of it.
_ENV = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin",)

_AS_IT_IS = VfSettings()

# Of the nodes that we give out: a container may use them, and make none by itself.
_PERMISSIONS = "rw"
_VARIABLE = "NETDEVICE_"
_NODES = ("/dev/vfio/", "/dev/uio", "/dev/iommu", "/dev/infiniband/")


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
    vf: VfSettings = _AS_IT_IS  # for virtual functions
    rdma: bool = False
    claim_parameters: tuple[str, ...] = ()  # that a claim may set of the port it is attached

    @classmethod
    def of(cls, pool: Pool, config: Config) -> Self:
        """Take together what the pool and the configuration say."""
        return cls(
            injection=pool.injection,
            mover=config.mover_path,
            run_dir=config.run_dir,
            timeout=config.hook_timeout,
            vf=pool.vf,
            rdma=pool.rdma,
            claim_parameters=pool.ports.claim_parameters if pool.ports else (),
        )


def build(
    pool: Pool, devices: Iterable[Device], *, mover: Path, run_dir: Path, timeout: int
) -> cdi.Spec | None:
    """Describe a pool's devices, lent ones too, each with the edits that deliver it.

    `timeout` is in seconds. None stands for no device: CDI demands one at least,
    so that the file of an empty pool has to go.
    """
    config = Config(mover_path=mover, run_dir=run_dir, hook_timeout=timeout)
    delivery = Delivery.of(pool, config)
    by_name = sorted(devices, key=lambda device: device.name)
    described = tuple(describe(device, delivery) for device in by_name)
    return cdi.Spec(kind=pool.kind, devices=described) if described else None


def describe(device: Device, delivery: Delivery) -> cdi.Device:
    """Describe one device. Of it no more counts than `told`."""
    return cdi.Device(name=device.name, edits=edits(device, delivery))


def edits(
    device: Device,
    delivery: Delivery,
    *,
    name: str = "",
    vf: VfSettings | None = None,
    options: tuple[str, ...] = (),
) -> cdi.ContainerEdits:
    """Deliver a device; record, lock and pin have its name, whatever CDI calls it.

    `options` are the mover's, and follow the identity; `vf` is instead of what the pool
    sets. The runtime knows none of them: where it moves the link, `name` is all that
    can be asked for in the pod. What a program in the pod drives is not moved at all.
    """
    if device.userspace:
        return _userspace(device)
    interface = device.interface
    if delivery.injection is Injection.NATIVE:
        return _native(interface, name or interface.name)
    mine = tuple(_pools_options(device, delivery, delivery.vf if vf is None else vf, options))
    nodes = interface.rdma_nodes if delivery.rdma else ()
    hooks = _hooks(device, delivery, (*mine, *options))
    return dataclasses.replace(hooks, device_nodes=_nodes(nodes))


def told(device: Device) -> tuple[object, ...]:
    """What a CDI file tells of a device: where it is equal, so is its description."""
    if device.made:
        made = device.made
        return device.interface.name, made.creation, made.number, *_known_by(made.parent)
    if device.userspace:
        return device.name, device.interface.pci, device.nodes
    link = device.interface
    return *_known_by(link), link.vf is not None, link.rdma, link.rdma_nodes


def _known_by(interface: Interface) -> tuple[object, ...]:
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
    nodes = all(node.path.startswith(_NODES) for node in made.device_nodes)
    if made.hooks:
        hooks = all(hook.args[:1] == (_PROGRAM,) for hook in made.hooks)
        alone = cdi.ContainerEdits(hooks=made.hooks, device_nodes=made.device_nodes)
        return hooks and nodes and made == alone
    if made.env:
        ours = len(made.env) == 1 and made.env[0].startswith(f"{_VARIABLE}PCI_")
        return ours and nodes and made == _without_hooks(made)
    return made == cdi.ContainerEdits(net_devices=made.net_devices)


def _without_hooks(made: cdi.ContainerEdits) -> cdi.ContainerEdits:
    return cdi.ContainerEdits(env=made.env, device_nodes=made.device_nodes)


def _native(interface: Interface, name: str) -> cdi.ContainerEdits:
    moved = cdi.NetDevice(host_interface_name=interface.name, name=name)
    return cdi.ContainerEdits(net_devices=(moved,))


def _userspace(device: Device) -> cdi.ContainerEdits:
    """Give the nodes that are known, and say whose they are: CDI wants some edit in any case."""
    word = device.name.upper().replace("-", "_")
    address = device.interface.pci.address if device.interface.pci else ""
    nodes = _nodes(node.path for node in device.nodes)
    return cdi.ContainerEdits(env=(f"{_VARIABLE}{word}={address}",), device_nodes=nodes)


def _nodes(paths: Iterable[str]) -> tuple[cdi.DeviceNode, ...]:
    return tuple(cdi.DeviceNode(path=path, permissions=_PERMISSIONS) for path in paths)


def _pools_options(
    device: Device, delivery: Delivery, vf: VfSettings, others: tuple[str, ...]
) -> Iterator[str]:
    """Say what is done to every device of the pool that it can be done to."""
    interface = device.interface
    if device.made:
        yield from ("--create", creation(device.made))
        if "--as" not in others:
            yield from ("--as", interface.name)
    if interface.vf and (words := " ".join(_vf_words(vf))):
        yield from ("--vf", words)
    if interface.rdma and delivery.rdma:
        yield from ("--rdma", interface.rdma)


def creation(made: Made) -> str:
    """Say what link is to be made, in the mover's words."""
    kind = made.creation.kind
    if kind is not CreatedKind.VLAN:
        return f"{kind.value} mode {made.creation.mode}"
    protocol = made.creation.protocol
    return f"vlan id {made.number}" + ("" if protocol == "802.1q" else f" protocol {protocol}")


def _vf_words(vf: VfSettings) -> Iterator[str]:
    """Say what a VF is to be like, in the mover's words, which are iproute2's."""
    if vf.mac is not None:
        yield f"mac {vf.mac}"
    if vf.vlan is not None:
        yield f"vlan {vf.vlan}"
        if vf.vlan and vf.qos is not None:
            yield f"qos {vf.qos}"
        if vf.vlan and vf.protocol is not None:
            yield f"protocol {vf.protocol}"
    for word, flag in (("spoofchk", vf.spoof_check), ("trust", vf.trust)):
        if flag is not None:
            yield f"{word} {'on' if flag else 'off'}"
    if vf.link_state is not None:
        yield f"link-state {vf.link_state.value}"
    for word, rate in (("min-tx-rate", vf.min_tx_rate), ("max-tx-rate", vf.max_tx_rate)):
        if rate is not None:
            yield f"{word} {rate}"


def _hooks(device: Device, delivery: Delivery, options: tuple[str, ...]) -> cdi.ContainerEdits:
    """Have the mover called; it knows a link that is to be made by its parent."""
    run_dir = delivery.run_dir
    elsewhere = () if run_dir == MOVER_RUN_DIR else ("--run-dir", str(run_dir))
    common = ("--device", device.name, *elsewhere)
    interface = device.made.parent if device.made else device.interface
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
