"""Pods with claims come and go while everything around them is killed; nothing is left over.

The storm is that of the device plugin, and the API server is in it as well.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import pathlib
import random
import time
from collections.abc import Callable

import pytest

from netdevice_plugin.dra.cluster.bounds import Limits
from tests.e2e.containerd import Containerd
from tests.e2e.dra import DRIVER, Claims, NodeApi
from tests.e2e.lender import CDI, RUN_DIR, Lender
from tests.e2e.node import GoneError, Node
from tests.e2e.sizes import CEILINGS, Size, assert_no_more, to_port
from tests.e2e.test_agent_soak import LINKS, SEED, Storm
from tests.e2e.waiting import TIMEOUT
from tests.fakes.kubelet import Pod, one

CLAIMS = int(os.environ.get("NDP_SOAK_CLAIMS", "75"))  # CI has not the time for more
# As there: agents die in the first part alone, and the second makes warm.
PARTS = (CLAIMS * 3 // 5, CLAIMS // 5, CLAIMS // 5)
GROWTH = 3 * 1024  # KiB
# To the API server at a time: one for the watch, the others for calls, of which some are kept
# for the next call. How many there are depends on how much was asked at once in the last moments.
CONNECTIONS = Limits().connections


@pytest.fixture
def api(cluster_api: NodeApi) -> NodeApi:
    """The kubelet's API server is the one that the agent has."""
    return cluster_api


class ClaimStorm(Storm):
    """The same with claims: a pod waits for its driver and is never refused."""

    def __init__(self, node: Node, containerd: Containerd, claims: Claims) -> None:
        self._node = node
        self._containerd = containerd
        self._claims = claims
        self._kubelet = claims.kubelet
        self._random = random.Random(SEED)  # noqa: S311 -- no secret
        self._names = (f"p{number}" for number in itertools.count(1))
        self.agent = claims.serve("--reclaim")
        self.kills = collections.Counter()
        self.alive = []
        self._leaving: list[Pod] = []

    def strike(self, *, agents: bool) -> None:
        """Kill something, or let the API server be odd."""
        server = self._claims.server
        odd: tuple[Callable[[], None], ...] = (
            server.cut_watches,
            server.compact,
            self.leave_api,
            self.wipe_slices,
        )
        if self._random.random() < 0.7:
            super().strike(agents=agents)
        else:
            blow = self._random.choice(odd)
            blow()
            self.kills[blow.__name__.partition("_")[2] or blow.__name__] += 1

    def leave_api(self) -> None:
        """It is away while a container dies, for which nobody needs it."""
        pod = self._victim()
        count = pod.containers["main"].restarts
        self._claims.server.go_away()
        with contextlib.suppress(GoneError):
            self._node.kill(self._containerd.cri.pid(pod.container()))
            self._kubelet.await_restart(pod, count + 1)
        self._claims.server.come_back()

    def wipe_slices(self) -> None:
        """Somebody deletes them all."""
        self._claims.cluster.delete_all("resourceslices")

    def kill_agent(self) -> None:
        """SIGKILL, and a new one."""
        self.agent.kill()
        self.agent = self._claims.start("--reclaim")

    def end_agent(self) -> None:
        """A rolling update: the new one takes over."""
        self._kubelet.await_driver(DRIVER)
        self.agent.await_line("Registered with the kubelet")  # else it may be the newer one
        before, self.agent = self.agent, self._claims.start("--reclaim")
        before.await_end(time.monotonic(), TIMEOUT)

    def running(self, pod: Pod) -> Pod:
        """Return a pod once it runs."""
        self._kubelet.await_running(pod)
        return pod

    def begin(self, name: str) -> None:
        """Create a claim of one link or two, and a pod with it."""
        count = (
            self._random.choice((1, 1, 1, 2)) if len(self.alive) < 2 else 1
        )  # six links for four
        name = f"{name}-{next(self._names)}"
        parameters = {"interfaceName": "net1"} if count == 1 else None
        self._claims.claim(name, count=count, parameters=parameters)
        self.alive.append(self._kubelet.create_pod(one(name, claims=(name,))))

    def finish(self) -> None:
        """Delete a pod, which mostly runs, and its claim, which goes with it."""
        pod = self._random.choice(self.alive)
        if self._random.random() < 0.9:
            self.running(pod)
        self.alive.remove(pod)
        self._leaving.append(pod)
        self._kubelet.cluster.delete(pod)
        self._claims.cluster.delete("resourceclaims", pod.spec.name, "default")

    def rage(self, pods: int, *, agents: bool) -> None:
        """Let so many pods live, and leave neither them nor their claims."""
        super().rage(pods, agents=agents)
        for pod in self._leaving:
            self._kubelet.await_gone(pod)
        self._leaving.clear()
        for claim in self._claims.cluster.objects("resourceclaims"):
            if "deletionTimestamp" not in claim["metadata"]:
                self._claims.cluster.delete("resourceclaims", claim["metadata"]["name"], "default")
        self._claims.cluster.wait(
            lambda: not self._claims.cluster.objects("resourceclaims"),
            lambda: f"no claim is left: {self._claims.cluster.objects('resourceclaims')}",
        )


@pytest.mark.timeout(max(300, 3 * CLAIMS))
def test_seventy_five_claims_and_nothing_is_left_over(
    claims: Claims,
    containerd: Containerd,
    node: Node,
    lender: Lender,
    capsys: pytest.CaptureFixture[str],
) -> None:
    links = [lender.make(kind) for kind in LINKS]
    storm = ClaimStorm(node, containerd, claims)
    sizes = []
    began = time.monotonic()
    for part, pods in enumerate(PARTS):
        storm.rage(pods, agents=part == 0)
        lender.returned(*links)
        claims.await_slices(*(link.name for link in links))
        claims.kubelet.await_driver(DRIVER)
        sizes.append(Size.at_rest(storm.agent))
    took = time.monotonic() - began
    with capsys.disabled():
        kills = ", ".join(f"{name} {count}" for name, count in sorted(storm.kills.items()))
        print(f"\n{sum(PARTS)} claims in {took:.0f} s; killed: {kills}")
        print("\n".join(map(str, sizes)))
    _, warm, last = sizes
    assert last.rss - warm.rss < GROWTH
    connections = {to_port(claims.server.port): CONNECTIONS}
    assert_no_more(storm.agent, warm, {**CEILINGS, **connections})
    storm.agent.terminate(TIMEOUT)
    assert_nothing_left(node, claims)


def assert_nothing_left(node: Node, claims: Claims) -> None:
    """Fail if there is a file, a mount or a process of ours; links and records were looked at."""
    place = claims.kubelet.place
    assert not list(place.registry.iterdir())
    left = {path.name for path in (place.drivers / DRIVER).rglob("*")}
    assert left <= {"serialize.lock", "claims"}, left
    assert not list(node.path(CDI).iterdir())
    assert f" {RUN_DIR}/" not in pathlib.Path(f"/proc/{node.pid}/mounts").read_text()
    assert not node.pids("netdevice-mover")
