"""A virtio NIC that is plugged when a claim asks, lent, and pulled when the claim is over."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from netdevice_plugin._pb.portprovider.v1alpha1 import portprovider_pb2 as pb
from netdevice_plugin._pb.portprovider.v1alpha1 import portprovider_pb2_grpc as services
from tests.fakes.kubelet import Kubelet
from tests.fakes.runtime import MemoryRuntime
from tests.kernel.agent.demand import Claiming, Server
from tests.kernel.agent.process import Node
from tests.kernel.mover.harness import Containers, Mover
from tests.vm.hardware import SLOTS
from tests.vm.nics import HOST
from tests.vm.plugs import MACS, Plugs, link
from tests.vm.relay import MOVER

HUB = 7  # nobody else is there

Context = grpc.ServicerContext


class Hypervisor(services.PortProviderServicer):
    """Plugs NICs into slots, and keeps what for."""

    def __init__(self, plugs: Plugs) -> None:
        self._plugs = plugs
        self.ports: dict[str, pb.Port] = {}  # by slot
        self.asked: list[pb.AttachRequest] = []

    def Attach(self, request: pb.AttachRequest, _: Context) -> pb.AttachResponse:  # noqa: N802 - gRPC calls it so
        """Plug, and do not wait for the guest."""
        self.asked.append(request)
        slot = next(one for one in SLOTS if one not in self.ports)
        self._plugs.begin(HUB, slot)
        self.ports[slot] = pb.Port(id=slot, mac=MACS[slot], request=request.request)
        return pb.AttachResponse(port=self.ports[slot])

    def Detach(self, request: pb.DetachRequest, _: Context) -> pb.DetachResponse:  # noqa: N802 - gRPC calls it so
        """Pull, which ends when the guest has let go."""
        if request.id in self.ports:
            self._plugs.pull(request.id)
            del self.ports[request.id]
        return pb.DetachResponse()

    def List(self, _request: pb.ListRequest, _: Context) -> pb.ListResponse:  # noqa: N802 - gRPC calls it so
        """List what is plugged."""
        return pb.ListResponse(ports=self.ports.values())


@contextlib.contextmanager
def served(hypervisor: Hypervisor, path: pathlib.Path) -> Iterator[None]:
    server = grpc.server(ThreadPoolExecutor(1))
    services.add_PortProviderServicer_to_server(hypervisor, server)
    server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait()


def is_gone(mac: str) -> bool:
    return not link(mac)


@pytest.fixture
def claiming() -> Iterator[Claiming]:
    """An agent's node in the guest's first namespace; paths are short."""
    with (
        tempfile.TemporaryDirectory(prefix="ndp-") as name,
        Server(HOST) as server,
        contextlib.ExitStack() as cleanup,
    ):
        root = pathlib.Path(name)
        kubelet = Kubelet(root / "k", MemoryRuntime().connect)
        kubelet.place.root.mkdir()
        yield Claiming(Node(HOST, root, Mover(MOVER, HOST, root / "run"), kubelet, cleanup), server)


def test_a_nic_is_plugged_for_a_claim_lent_and_pulled_again(
    claiming: Claiming, plugs: Plugs, containers: Containers
) -> None:
    hypervisor, socket = Hypervisor(plugs), claiming.node.root / "ports.sock"
    claiming.configure(
        {"grpc": str(socket)}, drivers=["virtio_net"], macAddresses=list(MACS.values())
    )
    with served(hypervisor, socket):
        agent = claiming.start()
        claims = [claiming.allocate(f"claim{n}", f"fast-{n}", f"net{n}") for n in range(2)]
        started = []
        for claim in claims:
            assert claiming.prepare(claim) == ""
            words = claiming.hook(claim, "createRuntime")
            assert "--link-pci" in words
            home = claiming.hook(claim, "poststop")
            container = containers.alone()
            claiming.node.mover.run(*words, stdin=container.state()).ok()
            started.append((container, home))
        macs = [container.netns.links()["net1"]["address"] for container, _ in started]
        assert macs == [MACS[slot] for slot in SLOTS[:2]]
        assert [dict(one.parameters) for one in hypervisor.asked] == [
            {"network": "net0"},
            {"network": "net1"},
        ]
        for (container, home), claim, mac in zip(started, claims, macs, strict=True):
            container.end()
            claiming.node.mover.run(*home, stdin=container.stopped()).ok()
            assert link(mac)
            claiming.unprepare(claim)
            claiming.until(functools.partial(is_gone, mac), "it is pulled")
        claiming.until(lambda: not hypervisor.ports, "the provider is done")
        agent.stop()
