"""Each message of the kubelet's APIs as bytes, by hand from Kubernetes' field tables; and ours.

A tag is the field's number times 8, plus 0 for a varint and 2 for what has a length.
"""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError, Message

from netdevice_plugin._pb.deviceplugin.v1beta1 import deviceplugin_pb2 as plugin
from netdevice_plugin._pb.dra.v1 import dra_pb2 as dra
from netdevice_plugin._pb.dra.v1beta1 import dra_pb2 as drabeta
from netdevice_plugin._pb.drahealth.v1alpha1 import drahealth_pb2 as health
from netdevice_plugin._pb.pluginregistration.v1 import pluginregistration_pb2 as registration
from netdevice_plugin._pb.podresources.v1 import podresources_pb2 as pods
from netdevice_plugin._pb.portprovider.v1alpha1 import portprovider_pb2 as ports

FILES: tuple[FileDescriptor, ...] = tuple(
    module.DESCRIPTOR for module in (plugin, registration, pods, dra, drabeta, health, ports)
)
ON_NODE_1 = pods.TopologyInfo(nodes=[pods.NUMANode(ID=1)])

GOLDEN: tuple[tuple[Message, bytes], ...] = (
    # v1beta1
    (
        plugin.DevicePluginOptions(
            pre_start_required=True, get_preferred_allocation_available=True
        ),
        b"\x08\x01\x10\x01",
    ),
    (
        plugin.RegisterRequest(
            version="v1beta1",
            endpoint="e.sock",
            resource_name="a.b/c",
            options=plugin.DevicePluginOptions(get_preferred_allocation_available=True),
        ),
        b"\x0a\x07v1beta1\x12\x06e.sock\x1a\x05a.b/c\x22\x02\x10\x01",
    ),
    (plugin.Empty(), b""),
    (
        plugin.ListAndWatchResponse(
            devices=[
                plugin.Device(ID="eth1", health="Healthy"),
                plugin.Device(ID="eth2", health="Unhealthy"),
            ]
        ),
        b"\x0a\x0f\x0a\x04eth1\x12\x07Healthy\x0a\x11\x0a\x04eth2\x12\x09Unhealthy",
    ),
    (plugin.ListAndWatchResponse(), b""),
    (
        plugin.Device(
            ID="eth1",
            health="Healthy",
            topology=plugin.TopologyInfo(nodes=[plugin.NUMANode(ID=1)]),
        ),
        b"\x0a\x04eth1\x12\x07Healthy\x1a\x04\x0a\x02\x08\x01",
    ),
    (plugin.Device(ID="eth1", topology=plugin.TopologyInfo()), b"\x0a\x04eth1\x1a\x00"),
    (plugin.TopologyInfo(nodes=[plugin.NUMANode(), plugin.NUMANode(ID=1)]), b"\x0a\0\x0a\2\x08\1"),
    (plugin.NUMANode(ID=300), b"\x08\xac\x02"),
    (plugin.NUMANode(ID=-1), b"\x08" + b"\xff" * 9 + b"\x01"),
    (
        plugin.PreferredAllocationRequest(
            container_requests=[plugin.ContainerPreferredAllocationRequest(allocation_size=1)]
        ),
        b"\x0a\x02\x18\x01",
    ),
    (
        plugin.ContainerPreferredAllocationRequest(
            available_deviceIDs=["a", "b"], must_include_deviceIDs=["b"], allocation_size=2
        ),
        b"\x0a\x01a\x0a\x01b\x12\x01b\x18\x02",
    ),
    (
        plugin.PreferredAllocationResponse(
            container_responses=[plugin.ContainerPreferredAllocationResponse(deviceIDs=["b"])]
        ),
        b"\x0a\x03\x0a\x01b",
    ),
    (
        plugin.ContainerPreferredAllocationResponse(deviceIDs=["b", "a"]),
        b"\x0a\x01b\x0a\x01a",
    ),
    (
        plugin.AllocateRequest(
            container_requests=[plugin.ContainerAllocateRequest(devices_ids=["eth1"])]
        ),
        b"\x0a\x06\x0a\x04eth1",
    ),
    (plugin.ContainerAllocateRequest(devices_ids=["a", "b"]), b"\x0a\x01a\x0a\x01b"),
    (
        plugin.AllocateResponse(
            container_responses=[
                plugin.ContainerAllocateResponse(cdi_devices=[plugin.CDIDevice(name="a.b/c=d")])
            ]
        ),
        b"\x0a\x0b\x2a\x09\x0a\x07a.b/c=d",
    ),
    (
        plugin.ContainerAllocateResponse(
            envs={"K": "V"},
            mounts=[plugin.Mount(container_path="/c")],
            devices=[plugin.DeviceSpec(host_path="/h")],
            annotations={"k": "v"},
            cdi_devices=[plugin.CDIDevice(name="n")],
        ),
        b"\x0a\x06\x0a\x01K\x12\x01V"
        b"\x12\x04\x0a\x02/c"
        b"\x1a\x04\x12\x02/h"
        b"\x22\x06\x0a\x01k\x12\x01v"
        b"\x2a\x03\x0a\x01n",
    ),
    (
        plugin.Mount(container_path="/c", host_path="/h", read_only=True),
        b"\x0a\x02/c\x12\x02/h\x18\x01",
    ),
    (
        plugin.DeviceSpec(container_path="/c", host_path="/h", permissions="rw"),
        b"\x0a\x02/c\x12\x02/h\x1a\x02rw",
    ),
    (plugin.CDIDevice(name="a.b/c=d"), b"\x0a\x07a.b/c=d"),
    (plugin.PreStartContainerRequest(devices_ids=["a"]), b"\x0a\x01a"),
    (plugin.PreStartContainerResponse(), b""),
    # pluginregistration
    (registration.InfoRequest(), b""),
    (
        registration.PluginInfo(
            type="DevicePlugin", name="a.b/c", endpoint="/e", supported_versions=["v1", "v2"]
        ),
        b"\x0a\x0cDevicePlugin\x12\x05a.b/c\x1a\x02/e\x22\x02v1\x22\x02v2",
    ),
    (
        registration.RegistrationStatus(plugin_registered=True, error="no"),
        b"\x08\x01\x12\x02no",
    ),
    (registration.RegistrationStatusResponse(), b""),
    # podresources v1
    (pods.ListPodResourcesRequest(), b""),
    (
        pods.ListPodResourcesResponse(pod_resources=[pods.PodResources(name="p")]),
        b"\x0a\x03\x0a\x01p",
    ),
    (pods.AllocatableResourcesRequest(), b""),
    (
        pods.AllocatableResourcesResponse(
            devices=[pods.ContainerDevices(resource_name="r")],
            cpu_ids=[1, 2],
            memory=[pods.ContainerMemory(size=1)],
        ),
        b"\x0a\x03\x0a\x01r\x12\x02\x01\x02\x1a\x02\x10\x01",
    ),
    (
        pods.GetPodResourcesRequest(pod_name="p", pod_namespace="n"),
        b"\x0a\x01p\x12\x01n",
    ),
    (
        pods.GetPodResourcesResponse(pod_resources=pods.PodResources(name="p")),
        b"\x0a\x03\x0a\x01p",
    ),
    (
        pods.PodResources(name="p", namespace="n", containers=[pods.ContainerResources(name="c")]),
        b"\x0a\x01p\x12\x01n\x1a\x03\x0a\x01c",
    ),
    (
        pods.ContainerResources(
            name="c",
            devices=[pods.ContainerDevices(resource_name="r")],
            cpu_ids=[7],
            memory=[pods.ContainerMemory(memory_type="m")],
            dynamic_resources=[pods.DynamicResource(claim_name="k")],
        ),
        b"\x0a\x01c\x12\x03\x0a\x01r\x1a\x01\x07\x22\x03\x0a\x01m\x2a\x03\x12\x01k",
    ),
    (
        pods.ContainerMemory(memory_type="memory", size=300, topology=ON_NODE_1),
        b"\x0a\x06memory\x10\xac\x02\x1a\x04\x0a\x02\x08\x01",
    ),
    (
        pods.ContainerDevices(resource_name="a.b/c", device_ids=["eth1"], topology=ON_NODE_1),
        b"\x0a\x05a.b/c\x12\x04eth1\x1a\x04\x0a\x02\x08\x01",
    ),
    (ON_NODE_1, b"\x0a\x02\x08\x01"),
    (pods.NUMANode(ID=1), b"\x08\x01"),
    (
        pods.DynamicResource(
            claim_name="k",
            claim_namespace="n",
            claim_resources=[pods.ClaimResource(driver_name="d")],
        ),
        b"\x12\x01k\x1a\x01n\x22\x03\x12\x01d",
    ),
    (
        pods.ClaimResource(
            cdi_devices=[pods.CDIDevice(name="x")],
            driver_name="d",
            pool_name="p",
            device_name="v",
            share_id="s",
        ),
        b"\x0a\x03\x0a\x01x\x12\x01d\x1a\x01p\x22\x01v\x2a\x01s",
    ),
    (pods.CDIDevice(name="a.b/c=d"), b"\x0a\x07a.b/c=d"),
    # dra v1
    (
        dra.NodePrepareResourcesRequest(claims=[dra.Claim(namespace="n", uid="u", name="c")]),
        b"\x0a\x09\x0a\x01n\x12\x01u\x1a\x01c",
    ),
    (dra.Claim(namespace="n", uid="u", name="c"), b"\x0a\x01n\x12\x01u\x1a\x01c"),
    (
        dra.NodePrepareResourcesResponse(claims={"u": dra.NodePrepareResourceResponse(error="no")}),
        b"\x0a\x09\x0a\x01u\x12\x04\x12\x02no",
    ),
    (
        dra.NodePrepareResourceResponse(devices=[dra.Device(device_name="d")], error="no"),
        b"\x0a\x03\x1a\x01d\x12\x02no",
    ),
    (
        dra.Device(
            request_names=["r"],
            pool_name="p",
            device_name="d",
            cdi_device_ids=["a.b/c=d"],
            share_id="s",
        ),
        b"\x0a\x01r\x12\x01p\x1a\x01d\x22\x07a.b/c=d\x2a\x01s",
    ),
    (dra.Device(share_id=""), b"\x2a\x00"),
    (
        dra.NodeUnprepareResourcesRequest(claims=[dra.Claim(uid="u")]),
        b"\x0a\x03\x12\x01u",
    ),
    (
        dra.NodeUnprepareResourcesResponse(
            claims={"u": dra.NodeUnprepareResourceResponse(error="no")}
        ),
        b"\x0a\x09\x0a\x01u\x12\x04\x0a\x02no",
    ),
    (dra.NodeUnprepareResourceResponse(error="no"), b"\x0a\x02no"),
    # dra v1beta1
    (
        drabeta.NodePrepareResourcesRequest(
            claims=[drabeta.Claim(namespace="n", uid="u", name="c")]
        ),
        b"\x0a\x09\x0a\x01n\x12\x01u\x1a\x01c",
    ),
    (drabeta.Claim(namespace="n", uid="u", name="c"), b"\x0a\x01n\x12\x01u\x1a\x01c"),
    (
        drabeta.NodePrepareResourcesResponse(
            claims={"u": drabeta.NodePrepareResourceResponse(error="no")}
        ),
        b"\x0a\x09\x0a\x01u\x12\x04\x12\x02no",
    ),
    (
        drabeta.NodePrepareResourceResponse(devices=[drabeta.Device(device_name="d")], error="no"),
        b"\x0a\x03\x1a\x01d\x12\x02no",
    ),
    (
        drabeta.Device(
            request_names=["r"],
            pool_name="p",
            device_name="d",
            cdi_device_ids=["a.b/c=d"],
        ),
        b"\x0a\x01r\x12\x01p\x1a\x01d\x22\x07a.b/c=d",
    ),
    (
        drabeta.NodeUnprepareResourcesRequest(claims=[drabeta.Claim(uid="u")]),
        b"\x0a\x03\x12\x01u",
    ),
    (
        drabeta.NodeUnprepareResourcesResponse(
            claims={"u": drabeta.NodeUnprepareResourceResponse(error="no")}
        ),
        b"\x0a\x09\x0a\x01u\x12\x04\x0a\x02no",
    ),
    (drabeta.NodeUnprepareResourceResponse(error="no"), b"\x0a\x02no"),
    # dra-health v1alpha1
    (health.NodeWatchResourcesRequest(), b""),
    (
        health.NodeWatchResourcesResponse(
            devices=[health.DeviceHealth(message="m"), health.DeviceHealth(message="n")]
        ),
        b"\x0a\x03\x2a\x01m\x0a\x03\x2a\x01n",
    ),
    (
        health.DeviceHealth(
            device=health.DeviceIdentifier(pool_name="p", device_name="d"),
            health=health.UNHEALTHY,
            last_updated_time=300,
            health_check_timeout_seconds=30,
            message="m",
        ),
        b"\x0a\x06\x0a\x01p\x12\x01d\x10\x02\x18\xac\x02\x20\x1e\x2a\x01m",
    ),
    (health.DeviceHealth(health=health.HEALTHY), b"\x10\x01"),
    (health.DeviceHealth(health=health.UNKNOWN), b""),
    (health.DeviceIdentifier(pool_name="p", device_name="d"), b"\x0a\x01p\x12\x01d"),
    # portprovider v1alpha1, which is ours
    (ports.Owner(node="n", pool="a.b/c"), b"\x0a\x01n\x12\x05a.b/c"),
    (
        ports.Port(id="i", mac="m", leftover=True, request="r"),
        b"\x0a\x01i\x12\x01m\x18\x01\x22\x01r",
    ),
    (
        ports.AttachRequest(owner=ports.Owner(node="n"), parameters={"k": "v"}, request="r"),
        b"\x0a\x03\x0a\x01n\x12\x06\x0a\x01k\x12\x01v\x1a\x01r",
    ),
    (ports.AttachResponse(port=ports.Port(id="i")), b"\x0a\x03\x0a\x01i"),
    (
        ports.DetachRequest(owner=ports.Owner(node="n"), id="i"),
        b"\x0a\x03\x0a\x01n\x12\x01i",
    ),
    (ports.DetachResponse(), b""),
    (ports.ListRequest(owner=ports.Owner(node="n")), b"\x0a\x03\x0a\x01n"),
    (
        ports.ListResponse(ports=[ports.Port(id="i"), ports.Port(id="j")]),
        b"\x0a\x03\x0a\x01i\x0a\x03\x0a\x01j",
    ),
)
CASES = pytest.mark.parametrize(
    ("message", "wire"),
    GOLDEN,
    ids=[f"{n}-{one.DESCRIPTOR.name}" for n, (one, _) in enumerate(GOLDEN)],
)


@CASES
def test_a_message_is_written_as_these_bytes(message: Message, wire: bytes) -> None:
    assert message.SerializeToString(deterministic=True) == wire


@CASES
def test_these_bytes_are_read_as_the_message(message: Message, wire: bytes) -> None:
    assert type(message).FromString(wire) == message


def test_every_message_and_every_field_of_it_has_its_bytes() -> None:
    shown: dict[str, set[str]] = {}
    for message, _ in GOLDEN:
        names = {field.name for field, _ in message.ListFields()}
        shown.setdefault(message.DESCRIPTOR.full_name, set()).update(names)
    assert shown == {
        message.full_name: {field.name for field in message.fields}
        for file in FILES
        for message in file.message_types_by_name.values()
    }


def test_the_methods_have_the_paths_that_the_kubelet_calls_and_serves() -> None:
    paths = {
        f"/{service.full_name}/{method.name}"
        for file in FILES
        for service in file.services_by_name.values()
        for method in service.methods
    }
    assert paths == {
        "/v1beta1.Registration/Register",
        "/v1beta1.DevicePlugin/GetDevicePluginOptions",
        "/v1beta1.DevicePlugin/ListAndWatch",
        "/v1beta1.DevicePlugin/GetPreferredAllocation",
        "/v1beta1.DevicePlugin/Allocate",
        "/v1beta1.DevicePlugin/PreStartContainer",
        "/pluginregistration.Registration/GetInfo",
        "/pluginregistration.Registration/NotifyRegistrationStatus",
        "/v1.PodResourcesLister/List",
        "/v1.PodResourcesLister/GetAllocatableResources",
        "/v1.PodResourcesLister/Get",
        "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodePrepareResources",
        "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodeUnprepareResources",
        "/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/NodePrepareResources",
        "/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/NodeUnprepareResources",
        "/v1alpha1.DRAResourceHealth/NodeWatchResources",
        "/netdevice_plugin.portprovider.v1alpha1.PortProvider/Attach",
        "/netdevice_plugin.portprovider.v1alpha1.PortProvider/Detach",
        "/netdevice_plugin.portprovider.v1alpha1.PortProvider/List",
    }
    streaming = [
        method.name
        for file in FILES
        for service in file.services_by_name.values()
        for method in service.methods
        if method.server_streaming or method.client_streaming
    ]
    assert streaming == ["ListAndWatch", "NodeWatchResources"]


def test_fields_of_a_newer_kubelet_are_passed_over() -> None:
    newer = b"\x0a\x06\x0a\x04eth1\xfa\x3f\x03new"
    request = plugin.AllocateRequest.FromString(newer)
    assert [list(one.devices_ids) for one in request.container_requests] == [["eth1"]]


@pytest.mark.parametrize(
    "wire",
    [b"\x0a\x06\x0a\x04et", b"\x0a\xff", b"\x0a\x04\x0a\x02\xff\xfe", b"\xff" * 20],
    ids=["cut in half", "length cut", "text that is not UTF-8", "no tag"],
)
def test_what_is_no_message_is_refused(wire: bytes) -> None:
    with pytest.raises(DecodeError):
        plugin.AllocateRequest.FromString(wire)
