"""The kubelet as the client of one instance of a DRA driver.

k8s.io/kubernetes pkg/kubelet/cm/dra/plugin/dra_plugin.go. v1beta1's messages are v1's, less
share_id: the bytes are the same, the path is not.
"""

from __future__ import annotations

import dataclasses
import pathlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import grpc

from tests.fakes.kubelet.changes import Changes
from tests.fakes.kubelet.plugin import PluginError
from tests.fakes.kubelet.wire import channel, health_grpc, said
from tests.fakes.kubelet.wire import dra as api
from tests.fakes.kubelet.wire import health as health_api

_LOOK = 0.05  # seconds between looks whether the connection is still wanted


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClaimName:
    """How a driver is told which claim is meant."""

    namespace: str
    name: str
    uid: str


class Driver:
    """One instance: its connection is always wanted, and made anew when it ends."""

    def __init__(
        self, name: str, endpoint: pathlib.Path, service: str, timeout: float, changes: Changes
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.service = service
        self.connected = False
        self.closed = False
        self._timeout = timeout
        self._changes = changes
        self._channel = channel(endpoint, "localhost")
        self._health = health_grpc.DRAResourceHealthStub(self._channel)

    def watch_connection(self, tell: Callable[[], None]) -> None:
        """Keep `connected` right from a thread of its own, and tell of each change."""
        name = f"{self.name} connection"
        threading.Thread(target=self._follow, args=(tell,), name=name, daemon=True).start()

    def close(self) -> None:
        """End the connection and every call."""
        with self._changes.lock:
            self.closed, self.connected = True, False
        self._channel.close()

    def prepare(
        self, claims: Iterable[ClaimName], cancelled: Callable[[], bool]
    ) -> Mapping[str, api.NodePrepareResourceResponse]:
        """Ask for all of a pod's claims at once; raises PluginError."""
        request = api.NodePrepareResourcesRequest(claims=_messages(claims))
        data = self._call("NodePrepareResources", request.SerializeToString(), cancelled)
        return api.NodePrepareResourcesResponse.FromString(data).claims

    def unprepare(
        self, claims: Iterable[ClaimName], cancelled: Callable[[], bool]
    ) -> Mapping[str, api.NodeUnprepareResourceResponse]:
        """Tell that nobody uses these claims; raises PluginError."""
        request = api.NodeUnprepareResourcesRequest(claims=_messages(claims))
        data = self._call("NodeUnprepareResources", request.SerializeToString(), cancelled)
        return api.NodeUnprepareResourcesResponse.FromString(data).claims

    def health(self) -> Iterator[health_api.NodeWatchResourcesResponse]:
        """Each list that it sends, until its stream ends in whatever way."""
        try:
            yield from self._health.NodeWatchResources(health_api.NodeWatchResourcesRequest())
        except (grpc.RpcError, ValueError):
            return

    def _call(self, method: str, request: bytes, cancelled: Callable[[], bool]) -> bytes:
        """Call, until the time is over or nobody wants the answer."""
        version = self.service.partition(".")[0]
        path = f"/k8s.io.kubelet.pkg.apis.dra.{version}.DRAPlugin/{method}"
        try:
            ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(path)
            call = ask.future(request, timeout=self._timeout)
            call.add_done_callback(lambda _call: self._changes.tell())
            with self._changes.lock:
                while not call.done() and not cancelled():
                    self._changes.pause(None)
            call.cancel()  # one that is done is not touched
            return call.result()
        except (grpc.RpcError, grpc.FutureCancelledError, ValueError) as error:
            raise PluginError(said(error)) from error

    def _follow(self, tell: Callable[[], None]) -> None:
        """What `Channel.subscribe` does, which cannot be ended before the channel is closed."""
        inner = self._channel._channel  # type: ignore[attr-defined]
        ready = grpc.ChannelConnectivity.READY.value[0]
        try:
            while not self.closed:
                state = inner.check_connectivity_state(True)
                with self._changes.lock:
                    changed = not self.closed and self.connected != (state == ready)
                    if changed:
                        self.connected = state == ready
                        tell()
                inner.watch_connectivity_state(state, time.time() + _LOOK)
        except ValueError:  # the channel was closed
            return


def _messages(claims: Iterable[ClaimName]) -> list[api.Claim]:
    return [api.Claim(namespace=c.namespace, name=c.name, uid=c.uid) for c in claims]
