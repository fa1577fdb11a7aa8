"""A gRPC service on a unix socket as a provider: protos/portprovider. gRPC's edge."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from netdevice_plugin._pb.portprovider.v1alpha1 import portprovider_pb2 as pb
from netdevice_plugin.errors import PortError
from netdevice_plugin.ports import contract
from netdevice_plugin.ports.errors import RefusedError, UnansweredError, plain
from netdevice_plugin.ports.provider import LIMITS, Call, Owner, Port

SERVICE = pb.DESCRIPTOR.services_by_name["PortProvider"].full_name

_MAX_PATH = 107  # bytes, of a socket's (unix(7))
_OPTIONS = (
    ("grpc.max_receive_message_length", contract.MAX_SIZE),
    ("grpc.default_authority", "localhost"),
    # Nothing is shared with an earlier channel: its back-off would outlast a provider's restart.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)
_CODE = grpc.StatusCode
_KINDS = {
    _CODE.RESOURCE_EXHAUSTED: "quota",
    _CODE.ABORTED: "busy",
    _CODE.INVALID_ARGUMENT: "refused",
    _CODE.FAILED_PRECONDITION: "refused",
    _CODE.NOT_FOUND: "refused",
    _CODE.PERMISSION_DENIED: "refused",
    _CODE.UNAUTHENTICATED: "refused",
    _CODE.UNIMPLEMENTED: "refused",
}
# Codes with which a call ends that may have been carried out.
_UNKNOWN = {_CODE.UNAVAILABLE, _CODE.CANCELLED, _CODE.UNKNOWN, _CODE.DATA_LOSS}
_NOBODY = "failed to connect"  # how gRPC's library begins when there was no call at all
_HINT = "is the provider running, and is this its socket?"

_Answer = TypeVar("_Answer", bound=Message)


class Remote:
    """Calls the service at a socket, each time anew: it may have been restarted since."""

    def __init__(
        self, socket: Path, owner: Owner, *, limits: Mapping[Call, float] = LIMITS
    ) -> None:
        self._socket = socket
        self._owner = pb.Owner(node=owner.node, pool=owner.pool)
        self._limits = limits

    async def attach(self, parameters: Mapping[str, str], request: str = "") -> Port:
        """See `Provider`."""
        asked = pb.AttachRequest(owner=self._owner, parameters=parameters, request=request)
        answer = await self._ask(Call.ATTACH, asked, pb.AttachResponse)
        return self._checked(answer.port)[0]

    async def detach(self, port: str) -> None:
        """See `Provider`."""
        request = pb.DetachRequest(owner=self._owner, id=port)
        await self._ask(Call.DETACH, request, pb.DetachResponse)

    async def list(self) -> tuple[Port, ...]:
        """See `Provider`."""
        answer = await self._ask(Call.LIST, pb.ListRequest(owner=self._owner), pb.ListResponse)
        return self._checked(*answer.ports)

    def _checked(self, *found: pb.Port) -> tuple[Port, ...]:
        plain = [
            {"id": one.id, "mac": one.mac, "leftover": one.leftover, "request": one.request}
            for one in found
        ]
        try:
            return contract.ports(plain)
        except ValueError as error:
            what = f"{self._socket}: its answer makes no sense: {error}"
            raise UnansweredError(what, hint=_HINT) from None

    async def _ask(self, call: Call, request: Message, kind: type[_Answer]) -> _Answer:
        data = await self._call(call, request.SerializeToString())
        try:
            return kind.FromString(data)
        except DecodeError:
            what = f"{self._socket}: the answer is not of type {kind.DESCRIPTOR.name}"
            raise UnansweredError(what, hint=_HINT) from None

    async def _call(self, call: Call, data: bytes) -> bytes:
        """Call, and return the answer as it came: gRPC would make none of a malformed one."""
        if len(os.fsencode(self._socket)) > _MAX_PATH:
            hint = "reach it by a shorter path"
            raise RefusedError(f"{self._socket} is too long for a socket's path", hint=hint)
        method = f"/{SERVICE}/{call.value.capitalize()}"
        try:
            async with grpc.aio.insecure_channel(
                f"unix:{self._socket}", options=_OPTIONS
            ) as channel:
                ask = channel.unary_unary(
                    method, request_serializer=bytes, response_deserializer=bytes
                )
                return await ask(data, timeout=self._limits[call])
        except grpc.aio.AioRpcError as error:
            raise self._failed(call, error) from error

    def _failed(self, call: Call, error: grpc.aio.AioRpcError) -> PortError:
        code, source = error.code(), str(self._socket)
        if code is _CODE.DEADLINE_EXCEEDED:
            what = f"{source}: no answer to {call.value} within {self._limits[call]:g} s"
            return UnansweredError(what, hint=_HINT)
        said = f"{code.name}: {error.details() or 'no reason given'}"
        if code is _CODE.UNAVAILABLE and (error.details() or "").startswith(_NOBODY):
            return contract.made("busy", "nobody answers there", source, _HINT)
        if code in _UNKNOWN:
            return UnansweredError(f"{source}: {plain(said)}", hint=_HINT)
        return contract.made(_KINDS.get(code, "failed"), said, source)
