"""A claim in a pod's spec, and a host's link in its container: by the fake kubelet's DRA.

The API server is in memory and the driver does as it is told, with the CDI file of `cdi
generate`; containerd, runc, the mover and the links are real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.containerd import Containerd
from tests.e2e.lender import Lender, assert_inside, look
from tests.e2e.links import Link
from tests.fakes.claims import MemoryApi
from tests.fakes.dradriver import DraDriver, device
from tests.fakes.kubelet import Kubelet, Pod, Restart, one

DRIVER = "networking.k8s.io"
ROOT = "/var/lib/kubelet"


@pytest.fixture
def api() -> MemoryApi:
    """No claim yet."""
    return MemoryApi()


@pytest.fixture
def driver(kubelet: Kubelet) -> Iterator[DraDriver]:
    """An instance that the kubelet is connected to; it names its socket as the node sees it."""
    made = DraDriver(kubelet.place, DRIVER)
    made.info.endpoint = f"{ROOT}/{made.socket.relative_to(kubelet.place.root)}"
    with made:
        kubelet.await_driver(DRIVER)
        yield made


@pytest.fixture
def claim(api: MemoryApi, driver: DraDriver, lender: Lender) -> Callable[..., None]:
    """Makes a claim of a name that has these links."""

    def make(name: str, *links: Link) -> None:
        api.add(name, DRIVER, *(link.name for link in links))
        driver.devices[name] = [device(link.name, lender.device(link)) for link in links]

    return make


def seen(containerd: Containerd, pod: Pod, link: Link) -> str:
    """What a pod's container sees of a link."""
    return containerd.cri.sh(pod.container(), look(link))


def test_a_claims_links_are_in_the_pod_through_crashes_and_restarts(
    kubelet: Kubelet,
    driver: DraDriver,
    claim: Callable[..., None],
    lender: Lender,
    containerd: Containerd,
) -> None:
    node = lender.node
    links = lender.lend("veth"), lender.lend("ifb")
    claim("net", *links)
    pod = kubelet.run_pod(one("pod", claims=("net",)))

    def inside() -> None:
        for link in links:
            assert_inside(link, seen(containerd, pod, link))

    inside()
    node.kill(containerd.cri.pid(pod.container()))
    kubelet.await_restart(pod, 1)
    inside()
    assert driver.prepared == [("net",)]
    kubelet.restart()
    kubelet.await_driver(DRIVER)
    before = pod.container()
    node.kill(containerd.cri.pod_pid(containerd.cri.sandbox(pod.spec.uid)))
    kubelet.await_pod(pod, lambda: pod.running and pod.container() != before)
    inside()
    assert driver.prepared == [("net",)] * 2
    kubelet.delete_pod(pod)
    assert driver.unprepared == [("net",)]
    lender.returned(*links)


def test_a_claims_link_goes_from_pod_to_pod(
    kubelet: Kubelet,
    driver: DraDriver,
    claim: Callable[..., None],
    lender: Lender,
    containerd: Containerd,
) -> None:
    link = lender.lend("macvlan")
    claim("net", link)
    check = ("ip", "link", "show", link.name)
    spec = one("first", claims=("net",), command=check, restart=Restart.NEVER)
    first = kubelet.create_pod(spec)
    kubelet.await_over(first)
    assert first.containers["main"].exit_code == 0
    second = kubelet.run_pod(one("second", claims=("net",)))
    assert_inside(link, seen(containerd, second, link))
    assert driver.unprepared == [("net",)]
    kubelet.delete_pod(second)
    kubelet.delete_pod(first)
    lender.returned(link)
