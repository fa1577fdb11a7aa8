"""Three hundred pods come and go while everything around them is killed; nothing is left over.

What happens follows from a seed: which pods there are, how they end, who is killed and when.
How the threads of it all interleave does not, and need not: what must hold holds in any order,
and on a machine that is busy with other things. How soon an agent ends is not seen here.
"""

from __future__ import annotations

import collections
import contextlib
import os
import pathlib
import random
import time
from collections.abc import Callable

import pytest

from tests.e2e.agent import Agents
from tests.e2e.containerd import Containerd
from tests.e2e.lender import CDI, KIND, RUN_DIR, Lender
from tests.e2e.node import GoneError, Node
from tests.e2e.sizes import Size, assert_no_more
from tests.e2e.waiting import TIMEOUT
from tests.fakes.kubelet import Kubelet, Pod, one

SEED = int(os.environ.get("NDP_SOAK_SEED", "20261121"))
# Pods of each part: in the first one agents are killed as well, in the second what stays
# becomes warm, and after the third it must be as it was after the second.
PARTS = (150, 50, 100)
AT_ONCE = 4
LINKS = ("veth", "ifb", "macvlan", "ifb", "ifb", "veth")
EVERY = 3  # pods between two blows
# KiB that the third part may add. It was 1,000; in a run of 900 pods the hundreds 4 to 6 added
# 700 in all and 7 to 9 another 460: caches and an allocator that fill up, no leak by the pod.
GROWTH = 3 * 1024


class Storm:
    """Kills, each followed by a start where nobody else starts it."""

    def __init__(
        self, node: Node, containerd: Containerd, kubelet: Kubelet, agents: Agents
    ) -> None:
        self._node = node
        self._containerd = containerd
        self._kubelet = kubelet
        self._agents = agents
        self._random = random.Random(SEED)  # noqa: S311 -- no secret
        self.agent = agents.serve("--reclaim", kind=KIND)
        self.kills: collections.Counter[str] = collections.Counter()
        self.refused = 0
        self.alive: list[Pod] = []

    def rage(self, pods: int, *, agents: bool) -> None:
        """Let so many pods live, and leave none."""
        for number in range(1, pods + 1):
            self.begin(f"{'ab'[agents]}{number}")
            if number % EVERY == 0:
                self.strike(agents=agents)
            if len(self.alive) >= AT_ONCE:
                self.finish()
        for pod in tuple(self.alive):
            self._kubelet.delete_pod(self.running(pod))
        self.alive.clear()

    def strike(self, *, agents: bool) -> None:
        """Kill something."""
        blows: tuple[Callable[[], None], ...] = (
            self.kill_kubelet,
            self.kill_containerd,
            self.kill_runtime,
            self.kill_shim,
            self.kill_container,
        )
        blow = self._random.choice((self.kill_agent, self.end_agent, *blows) if agents else blows)
        blow()
        self.kills[blow.__name__.partition("_")[2]] += 1

    def kill_agent(self) -> None:
        """SIGKILL, and a new one."""
        self.agent.kill()
        self.agent = self._agents.start("--reclaim")

    def end_agent(self) -> None:
        """A rolling update: the new one takes over."""
        self.agent.await_line("Registered with the kubelet")  # else it may be the newer one
        before, self.agent = self.agent, self._agents.start("--reclaim")
        before.await_end(time.monotonic(), TIMEOUT)

    def kill_kubelet(self) -> None:
        """And a new one."""
        self._kubelet.restart()

    def kill_containerd(self) -> None:
        """And a new one."""
        self._containerd.kill()
        self._containerd.start()

    def kill_runtime(self) -> None:
        """containerd, a shim and its container: who of all may bring the link home, does."""
        pod = self._victim()
        with contextlib.suppress(GoneError, ValueError):
            shim = self._containerd.shim(self._containerd.cri.sandbox(pod.spec.uid))
            pid = self._containerd.cri.pid(pod.container())
            self._containerd.kill()
            try:
                self._node.kill(shim)
                self._node.kill(pid)
            finally:
                self._containerd.start()

    def kill_shim(self) -> None:
        """containerd sees it, and the kubelet makes the pod anew."""
        pod = self._victim()
        with contextlib.suppress(GoneError, ValueError):
            self._node.kill(self._containerd.shim(self._containerd.cri.sandbox(pod.spec.uid)))

    def kill_container(self) -> None:
        """The kubelet starts it again."""
        pod = self._victim()
        with contextlib.suppress(GoneError):
            self._node.kill(self._containerd.cri.pid(pod.container()))

    def _victim(self) -> Pod:
        return self.running(self._random.choice(self.alive))

    def running(self, pod: Pod) -> Pod:
        """Return a pod once it runs, or the one that took its place, as a controller has it.

        A kubelet refuses a pod while no plugin is there, and one that has just started while
        it has not forgotten the pods that ended before.
        """
        self._await(pod)
        while not pod.running:
            assert pod.reason == "UnexpectedAdmissionError", str(pod)
            self.refused += 1
            self._kubelet.delete_pod(pod)
            limits = pod.spec.containers[0].limits
            new = self._kubelet.create_pod(one(f"{pod.spec.name}-again", limits))
            self.alive[self.alive.index(pod)] = pod = new
            self._await(new)
        return pod

    def _await(self, pod: Pod) -> None:
        self._kubelet.await_pod(pod, lambda: pod.running or pod.over)

    def begin(self, name: str) -> None:
        """Create a pod, with one link or two."""
        count = self._random.choice((1, 1, 1, 2))
        if count > 1 and len(self.alive) > 1:
            count = 1  # four pods have six links at most: whoever waits gets one
        self.alive.append(self._kubelet.create_pod(one(name, {KIND: count})))

    def finish(self) -> None:
        """Delete a pod, which mostly runs."""
        pod = self._random.choice(self.alive)
        if self._random.random() < 0.9:
            pod = self.running(pod)
        self.alive.remove(pod)
        self._kubelet.cluster.delete(pod)


@pytest.mark.timeout(600)
def test_three_hundred_pods_and_nothing_is_left_over(  # noqa: PLR0917 -- all of it
    agents: Agents,
    kubelet: Kubelet,
    containerd: Containerd,
    node: Node,
    lender: Lender,
    capsys: pytest.CaptureFixture[str],
) -> None:
    links = [lender.make(kind) for kind in LINKS]
    storm = Storm(node, containerd, kubelet, agents)
    sizes = []
    began = time.monotonic()
    for part, pods in enumerate(PARTS):
        storm.rage(pods, agents=part == 0)
        lender.returned(*links)
        kubelet.await_devices(KIND, {link.name: "Healthy" for link in links})
        kubelet.await_resource(KIND, len(links), len(links))
        sizes.append(Size.at_rest(storm.agent))
    took = time.monotonic() - began
    with capsys.disabled():
        kills = ", ".join(f"{name} {count}" for name, count in sorted(storm.kills.items()))
        print(f"\n{sum(PARTS)} pods in {took:.0f} s; killed: {kills}; refused: {storm.refused}")
        print("\n".join(map(str, sizes)))
    assert storm.refused < sum(PARTS) / 4
    _, warm, last = sizes
    assert last.rss - warm.rss < GROWTH
    assert_no_more(storm.agent, warm)
    storm.agent.terminate(TIMEOUT)
    assert_nothing_left(node, kubelet.place.plugins)


def assert_nothing_left(node: Node, plugins: pathlib.Path) -> None:
    """Fail if there is a file, a mount or a process of ours; links and records were looked at."""
    assert not list(plugins.glob("*networking*"))
    assert [path.name for path in node.path(CDI).iterdir()] == [f"{KIND.replace('/', '-')}.json"]
    assert f" {RUN_DIR}/" not in pathlib.Path(f"/proc/{node.pid}/mounts").read_text()
    assert not node.pids("netdevice-mover")
