"""The kubelet asked what its pods have: podresources v1, List. gRPC's edge."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from netdevice_plugin._pb.podresources.v1 import podresources_pb2 as pb
from netdevice_plugin.errors import KubeletError
from netdevice_plugin.model import VIA_DRA
from netdevice_plugin.usage.usage import Answer, Grant, Pod

NAME = Path("pod-resources", "kubelet.sock")
DEADLINE = 5.0  # seconds
MAX_SIZE = 16 * 2**20  # bytes of an answer, as other clients of this API have it

_LIST = "/v1.PodResourcesLister/List"
_MAX_PATH = 107  # bytes, of a socket's (unix(7))

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_SIZE),
    ("grpc.default_authority", "localhost"),
    # Nothing is shared with an earlier channel: its back-off would outlast a kubelet's restart.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)
_HINT = "is the kubelet running, and is this its --root-dir (kubeletDir in the configuration)?"


async def ask(kubelet_dir: Path, deadline: float = DEADLINE) -> Answer:
    """Ask for all active pods and all their devices, of whatever kind.

    Each call connects anew, so that it does not matter what became of the kubelet
    since the last. Raises KubeletError.
    """
    path = kubelet_dir / NAME
    try:
        path.stat()
    except OSError as error:
        raise KubeletError(f"{path}: {error.strerror}", hint=_HINT) from error
    if len(os.fsencode(path)) > _MAX_PATH:
        hint = "reach the kubelet's directory by a shorter path"
        raise KubeletError(f"{path} is longer than the path of a socket may be", hint=hint)
    data = await _list(path, deadline)
    try:
        response = pb.ListPodResourcesResponse.FromString(data)
    except DecodeError:
        what = "the answer is not a ListPodResourcesResponse"
        raise KubeletError(f"{path}: {what}", hint=_HINT) from None
    pods = response.pod_resources
    claims = [
        claim
        for pod in pods
        for container in pod.containers
        for claim in container.dynamic_resources
    ]
    return Answer(
        active=frozenset((pod.namespace, pod.name) for pod in pods),
        grants=tuple(grant for pod in pods for grant in _grants(pod)),
        claims=frozenset((claim.claim_namespace, claim.claim_name) for claim in claims),
        claimed=frozenset(
            device.name
            for claim in claims
            for given in claim.claim_resources
            for device in given.cdi_devices
        ),
    )


def _grants(pod: pb.PodResources) -> Iterator[Grant]:
    for container in pod.containers:
        who = Pod(namespace=pod.namespace, name=pod.name, container=container.name)
        for given in container.devices:
            yield Grant(kind=given.resource_name, devices=tuple(given.device_ids), pod=who)
        for claim in container.dynamic_resources:
            for one in claim.claim_resources:
                yield Grant(kind=_key(one), devices=(one.device_name,), pod=who)


def _key(given: pb.ClaimResource) -> str:
    """Name what the device is listed under: in a slice the pool's name is the node's and ours."""
    return f"{given.driver_name}/{given.pool_name.rpartition('/')[2]}{VIA_DRA}"


async def _list(path: Path, deadline: float) -> bytes:
    """Call List and return the answer as it came: gRPC would make none of a malformed one."""
    request = pb.ListPodResourcesRequest().SerializeToString()
    try:
        async with grpc.aio.insecure_channel(f"unix:{path}", options=_OPTIONS) as channel:
            call = channel.unary_unary(_LIST, request_serializer=bytes, response_deserializer=bytes)
            return await call(request, timeout=deadline)
    except grpc.aio.AioRpcError as error:
        raise _failed(path, error, deadline) from error


def _failed(path: Path, error: grpc.aio.AioRpcError, deadline: float) -> KubeletError:
    code = error.code()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return KubeletError(f"{path}: no answer within {deadline:g} s", hint=_HINT)
    said = (error.details() or "")[:200]
    details = "".join(letter if letter.isprintable() else " " for letter in said)
    return KubeletError(f"{path}: {code.name}: {details}", hint=_HINT)
