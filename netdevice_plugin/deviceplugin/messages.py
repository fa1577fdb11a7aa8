"""Between our model and the kubelet's messages: lists, allocations, introductions. Pure."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping, Sequence

from netdevice_plugin import pciinfo
from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2 as api
from netdevice_plugin._pb.pluginregistration.v1 import pluginregistration_pb2 as registration
from netdevice_plugin.deviceplugin.preference import place, prefer
from netdevice_plugin.model import Listed, Pool
from netdevice_plugin.serving.errors import (
    MalformedCallError,
    UnhealthyDeviceError,
    UnknownDeviceError,
)

VERSION = "v1beta1"
PLUGIN_TYPE = "DevicePlugin"

# The kubelet's client drops a stream with a message over 4 MiB (grpc-go's default), and all devices
# with it. This is what 40,000 devices take.
LIST_LIMIT = 7 * 2**19  # bytes

_SHOWN = 63  # characters of an ID that we have never given
_UNKNOWN = "it is gone; delete the pod, and its controller's next one gets a device that there is"
_UNHEALTHY = "see netdevice-plugin status on the node; the next pod gets a healthy device"

_ODD = re.compile("[\x00-\x20,\\\\\x7f\udc80-\udcff]")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """A pool's devices as the kubelet is told of them."""

    pool: Pool
    devices: Mapping[str, Listed]  # by ID
    wire: bytes  # a ListAndWatchResponse; equal means that there is nothing to tell
    healthy: int
    unhealthy: int
    left_out: int = 0  # that do not fit into a message

    def message(self) -> api.ListAndWatchResponse:
        """The list to send."""
        return api.ListAndWatchResponse.FromString(self.wire)


def roster(pool: Pool, listed: Iterable[Listed], limit: int = LIST_LIMIT) -> Roster:
    """Make the list of a pool's devices; the order of `listed` does not matter.

    If they do not fit into `limit` bytes, those at the end of the alphabet are left
    out, as if they did not exist, but of those in pods only if there is nothing else:
    capacity must not fall below what is in use.
    """
    devices = {utf8(one.device.name): one for one in listed}
    order = sorted(devices)
    pieces = {name: _piece(name, not devices[name].fault, _numa(devices[name])) for name in order}
    if sum(map(len, pieces.values())) > limit:
        fitting = _fitting(sorted(order, key=lambda n: not devices[n].device.lent), pieces, limit)
        order = [name for name in order if name in fitting]
    healthy = sum(not devices[name].fault for name in order)
    return Roster(
        pool=pool,
        devices={name: devices[name] for name in order},
        wire=b"".join([pieces[name] for name in order]),
        healthy=healthy,
        unhealthy=len(order) - healthy,
        left_out=len(devices) - len(order),
    )


def _fitting(order: Sequence[str], pieces: Mapping[str, bytes], limit: int) -> set[str]:
    """Name as many as there is room for, in that order."""
    fitting = set()
    for name in order:
        limit -= len(pieces[name])
        if limit < 0:
            break
        fitting.add(name)
    return fitting


def _numa(listed: Listed) -> int | None:
    pci = listed.device.pci
    return pci.numa_node if pci else None


@functools.lru_cache(maxsize=8192)
def _piece(name: str, healthy: bool, numa: int | None) -> bytes:
    """Encode a list of one device: joined, such lists are one of all (protobuf's merging rule).

    An empty TopologyInfo is not the same as none: podresources would leave the device out.
    """
    device = api.Device(ID=name, health="Healthy" if healthy else "Unhealthy")
    if numa is not None:
        device.topology.nodes.add(ID=numa)
    return api.ListAndWatchResponse(devices=[device]).SerializeToString()


def allocate(now: Roster, request: api.AllocateRequest) -> api.AllocateResponse:
    """Answer with just the devices asked for; all of the call is checked before.

    A device that is lent may be allocated again: the next container of the same
    pod gets what its init container had. Raises MalformedCallError,
    UnknownDeviceError, UnhealthyDeviceError.
    """
    if not request.container_requests:
        raise MalformedCallError(f"{utf8(now.pool.kind)}: Allocate names no container")
    chosen = [_checked(now, one.devices_ids) for one in request.container_requests]
    return api.AllocateResponse(container_responses=[_edits(now.pool, one) for one in chosen])


def _checked(now: Roster, names: Sequence[str]) -> list[Listed]:
    kind = utf8(now.pool.kind)
    if not names:
        raise MalformedCallError(f"{kind}: Allocate names no device for a container")
    chosen: dict[str, Listed] = {}
    for name in names:
        if (listed := now.devices.get(name)) is None:
            raise UnknownDeviceError(f"{kind} has no device {name[:_SHOWN]!r}", hint=_UNKNOWN)
        if listed.fault:
            said = f"{kind}: device {name} is unhealthy: {listed.fault}"
            raise UnhealthyDeviceError(said, hint=_UNHEALTHY)
        if name in chosen:
            raise MalformedCallError(f"{kind}: Allocate names device {name} twice")
        chosen[name] = listed
    return list(chosen.values())


def _edits(pool: Pool, chosen: Sequence[Listed]) -> api.ContainerAllocateResponse:
    devices = [one.device for one in chosen]
    envs = dict(pciinfo.variables(pool.variable, devices, rdma=pool.rdma))
    if links := [one.interface.name for one in devices if not one.userspace]:
        envs[f"NETDEVICE_{pool.variable}"] = ",".join(map(_entry, links))
    names = [api.CDIDevice(name=utf8(f"{pool.kind}={one.device.name}")) for one in chosen]
    return api.ContainerAllocateResponse(envs=envs, cdi_devices=names)


def _entry(name: str) -> str:
    r"""Write a link's name so that it is one entry of a list, and UTF-8: what is not, as \xHH."""
    return utf8(_ODD.sub(lambda odd: f"\\x{odd[0].encode('utf-8', 'surrogateescape').hex()}", name))


def preferred(
    now: Roster, request: api.PreferredAllocationRequest
) -> api.PreferredAllocationResponse:
    """Advise on each container; whatever is asked gets an answer, as an error fails the pod."""
    responses = []
    for one in request.container_requests:
        must, free = one.must_include_deviceIDs, one.available_deviceIDs
        known = [now.devices[name].device for name in {*must, *free} & now.devices.keys()]
        places = {device.name: place(device) for device in known}
        chosen = prefer(free, must, one.allocation_size, places)
        responses.append(api.ContainerPreferredAllocationResponse(deviceIDs=chosen))
    return api.PreferredAllocationResponse(container_responses=responses)


def options() -> api.DevicePluginOptions:
    """Say which optional calls we want."""
    return api.DevicePluginOptions(get_preferred_allocation_available=True)


def register_request(pool: Pool, endpoint: str) -> api.RegisterRequest:
    """Introduce a pool's socket, by its file name, to a kubelet that we call."""
    return api.RegisterRequest(
        version=VERSION, endpoint=endpoint, resource_name=utf8(pool.kind), options=options()
    )


def plugin_info(pool: Pool) -> registration.PluginInfo:
    """Introduce a pool's socket to a kubelet that calls us on it."""
    return registration.PluginInfo(
        type=PLUGIN_TYPE, name=utf8(pool.kind), supported_versions=[VERSION]
    )


def utf8(text: str) -> str:
    """Make any name one that a message can carry."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
