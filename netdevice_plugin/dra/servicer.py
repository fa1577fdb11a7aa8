"""The kubelet's calls: every claim of a call gets an answer, and one's error harms no other.

v1 and v1beta1 are the same messages under two names, but for the share of a device.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import grpc

from netdevice_plugin._pb.dra.v1 import dra_pb2 as v1
from netdevice_plugin._pb.dra.v1 import dra_pb2_grpc as v1_grpc
from netdevice_plugin._pb.dra.v1beta1 import dra_pb2 as v1beta1
from netdevice_plugin._pb.dra.v1beta1 import dra_pb2_grpc as v1beta1_grpc
from netdevice_plugin._pb.pluginregistration.v1 import pluginregistration_pb2 as registration
from netdevice_plugin._pb.pluginregistration.v1.pluginregistration_pb2_grpc import (
    RegistrationServicer,
)
from netdevice_plugin.dra.allocation import is_uid
from netdevice_plugin.dra.claim import ClaimRef
from netdevice_plugin.dra.claims import Claims, Prepared
from netdevice_plugin.errors import NetdevError
from netdevice_plugin.serving.errors import MalformedCallError
from netdevice_plugin.yamlnode import shorten

PLUGIN_TYPE = "DRAPlugin"

# The kubelet takes the first one that it knows.
VERSIONS = ("v1.DRAPlugin", "v1beta1.DRAPlugin", "v1alpha1.DRAResourceHealth")

MAX_CLAIMS = 256  # of one call; a pod cannot use as many
MAX_ERROR = 2000  # characters; an event of a pod's has 1,024

_NAMES = (("namespace", 63), ("name", 253))

_T = TypeVar("_T")
_Context = Any  # what gRPC gives differs by message; none of it is used
_Message = Any  # of either version
_Answers = Sequence[tuple[ClaimRef, _T | Exception]]

_log = logging.getLogger(__name__)


class Service:
    """Claims as one version of the API has them: `api` is its module of messages."""

    def __init__(self, claims: Claims, api: ModuleType) -> None:
        self._claims = claims
        self._api = api

    async def NodePrepareResources(self, request: _Message, context: _Context) -> _Message:
        """Prepare all claims at once; the kubelet waits 45 s, and tries again."""
        answers = await _each(request, self._claims.prepare)
        for about in _complaints(answers):
            _log.warning("Claim cannot be prepared", extra=about)
        return self._api.NodePrepareResourcesResponse(
            claims={ref.uid: self._prepared(answer) for ref, answer in answers}
        )

    async def NodeUnprepareResources(self, request: _Message, context: _Context) -> _Message:
        """Unprepare all claims at once; what never was prepared is done already."""
        answers = await _each(request, self._claims.unprepare)
        for about in _complaints(answers):
            _log.warning("Claim cannot be unprepared", extra=about)
        make = self._api.NodeUnprepareResourceResponse
        return self._api.NodeUnprepareResourcesResponse(
            claims={ref.uid: make(error=_said(answer)) for ref, answer in answers}
        )

    def _prepared(self, answer: tuple[Prepared, ...] | Exception) -> _Message:
        make = self._api.NodePrepareResourceResponse
        if isinstance(answer, Exception):
            return make(error=_said(answer))
        return make(devices=map(self._device, answer))

    def _device(self, one: Prepared) -> _Message:
        made = self._api.Device(
            request_names=[one.result.main_request],
            pool_name=one.result.pool,
            device_name=one.result.device,
            cdi_device_ids=[one.cdi_device],
        )
        if one.result.share_id and "share_id" in made.DESCRIPTOR.fields_by_name:
            made.share_id = one.result.share_id
        return made


class Introduction(RegistrationServicer):
    """What the kubelet's plugin watcher asks of the registration socket, and then says of it."""

    def __init__(self, driver: str, endpoint: Path, heard: Callable[[], object]) -> None:
        self._driver = driver
        self._endpoint = endpoint
        self._heard = heard
        self.accepted = False
        self.refusal = ""

    async def GetInfo(
        self, request: registration.InfoRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> registration.PluginInfo:
        """Say who we are; there is one second for that."""
        return registration.PluginInfo(
            type=PLUGIN_TYPE,
            name=self._driver,
            endpoint=str(self._endpoint),
            supported_versions=VERSIONS,
        )

    async def NotifyRegistrationStatus(
        self,
        request: registration.RegistrationStatus,
        context: grpc.aio.ServicerContext[object, object],
    ) -> registration.RegistrationStatusResponse:
        """Hear what became of it."""
        self.accepted = request.plugin_registered
        self.refusal = "" if self.accepted else request.error or "no reason given"
        self._heard()
        return registration.RegistrationStatusResponse()


def add(claims: Claims, server: grpc.aio.Server) -> None:
    """Have a server answer both versions."""
    v1_grpc.add_DRAPluginServicer_to_server(Service(claims, v1), server)
    v1beta1_grpc.add_DRAPluginServicer_to_server(Service(claims, v1beta1), server)


def references(request: _Message) -> list[ClaimRef]:
    """Read which claims a call is for, each once. Raises MalformedCallError."""
    if len(request.claims) > MAX_CLAIMS:
        raise MalformedCallError(f"{len(request.claims)} claims in one call: {MAX_CLAIMS} at most")
    found: dict[str, ClaimRef] = {}
    for index, claim in enumerate(request.claims):
        place = f"claims[{index}]"
        if not is_uid(claim.uid):
            raise MalformedCallError(f"{place}.uid: {shorten(claim.uid)} is no uid")
        for key, limit in _NAMES:
            value = getattr(claim, key)
            if not 0 < len(value) <= limit or not value.isprintable() or "/" in value:
                raise MalformedCallError(f"{place}.{key}: {shorten(value)} is no name")
        ref = ClaimRef(namespace=claim.namespace, name=claim.name, uid=claim.uid)
        if found.setdefault(ref.uid, ref) != ref:
            raise MalformedCallError(f"{place}: {found[ref.uid]} has the same uid as {ref}")
    return list(found.values())


async def _each(request: _Message, work: Callable[[ClaimRef], Awaitable[_T]]) -> _Answers[_T]:
    """Do it for all claims of a call, and return what came of each."""
    refs = references(request)
    answers = await asyncio.gather(*(_one(work, ref) for ref in refs))
    return list(zip(refs, answers, strict=True))


async def _one(work: Callable[[ClaimRef], Awaitable[_T]], ref: ClaimRef) -> _T | Exception:
    try:
        return await work(ref)
    except NetdevError as error:
        return error
    except Exception as error:
        _log.exception("Call failed", extra=_about(ref))
        return error


def _complaints(answers: _Answers[_T]) -> Iterator[dict[str, object]]:
    for ref, answer in answers:
        if isinstance(answer, NetdevError):
            yield {**_about(ref), "reason": _said(answer)}


def _about(ref: ClaimRef) -> dict[str, object]:
    return {"claim": f"{ref.namespace}/{ref.name}"}


def _said(answer: object) -> str:
    """Say in the pod's events what went wrong, and what helps; empty is nothing."""
    if isinstance(answer, NetdevError):
        text = f"{answer}; {answer.hint}" if answer.hint else str(answer)
        return text[:MAX_ERROR].encode("utf-8", "backslashreplace").decode()
    return "netdevice-plugin has a bug: see its log" if isinstance(answer, Exception) else ""
