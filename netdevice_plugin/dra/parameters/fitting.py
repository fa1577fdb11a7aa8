"""Parameters held against the link that the claim was given, and against each other's.

What only the kernel can tell (the largest MTU, which features there are) is left
to the mover, which undoes everything when the kernel refuses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence

from netdevice_plugin.dra.claim import Result
from netdevice_plugin.dra.parameters.merging import InvalidParametersError
from netdevice_plugin.dra.parameters.model import Parameters
from netdevice_plugin.dra.parameters.together import IPV6_MTU, route_problems
from netdevice_plugin.dra.parameters.words import family_of
from netdevice_plugin.model import Device, Injection, Interface
from netdevice_plugin.provisioning import VfSettings

_NAME_MAX = 15  # IFNAMSIZ, without its NUL
_MAC_SIZE = len("02:00:00:00:00:01")
_NATIVE = (
    "cannot be had from a pool with injection: native, where the runtime moves the link; "
    "interfaceName can"
)
_NO_LINK = "cannot be had of a userspace device, which has no link in the pod; vf can"
_AS_IT_IS = VfSettings()


def pod_name(parameters: Parameters, interface: Interface) -> str:
    """Name the link in the pod, or the VLAN that the pod gets on top of it."""
    return names_in_pod(parameters, interface)[-1]


def names_in_pod(parameters: Parameters, interface: Interface) -> tuple[str, ...]:
    """Name what the pod gets: the link, and the VLAN on top of it where there is one.

    The link below a VLAN keeps the name that it has on the host.
    """
    given = parameters.interface_name
    if parameters.vlan is None:
        return (given or interface.name,)
    return (interface.name, given or f"{interface.name}.{parameters.vlan.id}")


def check(
    parameters: Parameters,
    device: Device,
    where: str,
    injection: Injection = Injection.HOOK,
    vf: VfSettings = _AS_IT_IS,
) -> None:
    """Check what is asked against the device, which `where` names in messages.

    `vf` is what its pool has virtual functions be. Raises ParameterError with every problem.
    """
    interface = device.interface
    if device.userspace:
        problems = list(_check_only({"vf", "port"}, parameters, _NO_LINK))
    elif injection is Injection.NATIVE:
        problems = list(_check_only({"interface_name", "port"}, parameters, _NATIVE))
    else:
        problems = [*_check_link(parameters, interface), *_check_vlan(parameters, interface)]
    if parameters.vf != _AS_IT_IS and injection is Injection.HOOK:
        problems += _check_vf(parameters.vf.over(vf), interface)
    if parameters.port and not device.on_demand:
        problems.append("port: the NIC is there already, and is not attached for the claim")
    if problems:
        raise InvalidParametersError([f"{where}: {problem}" for problem in problems])


def check_all(given: Sequence[tuple[Result, Parameters, Interface]]) -> None:
    """Check what all devices of one claim are to be in one pod: no two the same.

    Raises ParameterError with every problem.
    """
    first: dict[tuple[str, str], str] = {}
    tables: dict[str, int] = {}
    problems = []
    for result, parameters, interface in given:
        where = f"request {result.request}, device {result.device}"
        for field, value in _unique(parameters, interface):
            other = first.setdefault((field, value), where)
            if other != where:
                problems.append(f"{where}: {field}: {value} is that of {other} too")
        vrf = parameters.vrf
        if vrf and tables.setdefault(vrf.name, vrf.table) != vrf.table:
            table = tables[vrf.name]
            problems.append(f"{where}: vrf: {vrf.name!r} has table {table} for another device")
    if problems:
        raise InvalidParametersError(problems)


def _unique(parameters: Parameters, interface: Interface) -> Iterator[tuple[str, str]]:
    """What no two links of a pod can have."""
    for name in names_in_pod(parameters, interface):
        yield "interfaceName", name
    for address in parameters.addresses:
        yield "addresses", address.partition("/")[0]
    if mac := parameters.mac or parameters.vf.mac:
        yield "mac", mac
    if parameters.gateway:
        for family in sorted({route.family for route in parameters.routes if route.is_default}):
            yield "gateway", f"the default route of IPv{family}"


def _check_only(allowed: Collection[str], parameters: Parameters, why: str) -> Iterator[str]:
    """Check that nothing else is asked."""
    nothing = Parameters()
    for field in dataclasses.fields(Parameters):
        if field.name in allowed:
            continue
        if getattr(parameters, field.name) != getattr(nothing, field.name):
            key = "".join(map(str.title, field.name.split("_")))
            yield f"{key[0].lower()}{key[1:]}: {why}"


def _check_vf(whole: VfSettings, interface: Interface) -> Iterator[str]:
    if interface.vf is None:
        yield "vf: the device is no virtual function"
    elif whole.max_tx_rate and (least := whole.min_tx_rate or 0) > whole.max_tx_rate:
        most = whole.max_tx_rate
        yield f"vf: minTxRate, {least}, is more than maxTxRate, {most}: one of them is the pool's"


def _check_link(parameters: Parameters, interface: Interface) -> Iterator[str]:
    if parameters.mac and interface.link_type != "ether":
        yield f"mac: the link is of type {interface.link_type}, and only Ethernet's can be changed"
    if parameters.mac and interface.kind == "ipvlan":
        yield "mac: an ipvlan has that of its parent"
    size = _MAC_SIZE if interface.link_type == "ether" else len(interface.mac)
    for index, neighbour in enumerate(parameters.neighbours):
        if neighbour.mac and len(neighbour.mac) != size:
            yield f"neighbours[{index}].mac: is not as long as the link's ({interface.mac or None})"
    if parameters.vrf and parameters.vrf.name in names_in_pod(parameters, interface):
        yield f"vrf: {parameters.vrf.name!r} is the link's own name"
    yield from _check_addresses(parameters, interface)


def _check_addresses(parameters: Parameters, interface: Interface) -> Iterator[str]:
    """Check what depends on the host's addresses, where the link keeps them."""
    kept = () if parameters.addresses or parameters.without_addresses else interface.addresses
    families = {family_of(text) for text in parameters.addresses} | {a.family for a in kept}
    mtu = parameters.mtu or interface.mtu
    if 6 in families and 0 < mtu < IPV6_MTU:
        yield f"mtu: IPv6 addresses need {IPV6_MTU} at least, and this is {mtu}"
    if not (parameters.addresses or parameters.without_addresses):
        own = {address.address for address in kept}
        near = [f"{address.peer or address.address}/{address.prefix}" for address in kept]
        for index, key, text in route_problems(parameters.routes, own, near):
            yield f"routes[{index}].{key}: {text}"


def _check_vlan(parameters: Parameters, interface: Interface) -> Iterator[str]:
    if parameters.vlan is None:
        return
    if interface.link_type != "ether":
        yield f"vlan: the link is of type {interface.link_type}, and only Ethernet has VLANs"
    if interface.kind == "ipvlan":
        yield "vlan: an ipvlan bears none"
    lower, name = names_in_pod(parameters, interface)
    if name == lower:
        yield f"interfaceName: {name} is the name of the link below the VLAN, which keeps it"
    if len(name.encode(errors="surrogateescape")) > _NAME_MAX:
        yield f"vlan: {name!r} has more than {_NAME_MAX} bytes; give an interfaceName"
