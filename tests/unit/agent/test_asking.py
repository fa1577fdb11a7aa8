"""What the kubelet says, how often it is asked, and what is believed against it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from netdevice_plugin.agent.asking import DISBELIEF, GAP, Asking
from netdevice_plugin.errors import KubeletError
from netdevice_plugin.operations.metrics import Metrics
from netdevice_plugin.usage.usage import Answer, Grant, Pod, Usage, join

KIND = "networking.k8s.io/netdevice"
OLD = "networking.k8s.io/old"
OTHERS = "networking.k8s.io/sriov"
NOBODY = KubeletError("nobody answers")


def grant(device: str, kind: str = KIND, *, ours: bool = True, uid: str = "1") -> Grant:
    """An entry of the checkpoint; another plugin's has CDI names that we never give."""
    name = f"{kind}={device}" if ours else f"example.com/nic={device}"
    return Grant(kind=kind, devices=(device,), pod=Pod(uid=uid), cdi_devices=(name,))


def listed(device: str, kind: str = KIND) -> Grant:
    """A line of podresources."""
    return Grant(kind=kind, devices=(device,), pod=Pod(namespace="default", name="web"))


class Kubelet:
    """Answers as a test says, at a time that a test says."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[float] = []
        self.prefixes: list[tuple[str, ...]] = []
        self.usage = join(Answer(), ())
        self.heard: list[Usage] = []
        self.metrics = Metrics(Path("/nonexistent"))

    async def read(self, _directory: Path, *prefixes: str) -> Usage:
        self.asked.append(time.monotonic())
        self.prefixes.append(tuple(sorted(prefixes)))
        return self.usage

    def asking(self, clock: Callable[[], float] | None = None) -> Asking:
        return Asking(
            Path("/nonexistent"),
            self.metrics,
            self.heard.append,
            clock or (lambda: self.now),
            self.read,
        )

    def counted(self, source: str, outcome: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            "netdevice_plugin_kubelet_queries_total", {"source": source, "outcome": outcome}
        )


@pytest.fixture
def kubelet() -> Kubelet:
    return Kubelet()


def used(kubelet: Kubelet, asking: Asking, *kinds: str) -> dict[str, set[str]]:
    """Ask once, about these kinds."""
    asyncio.run(asking.ask(kinds or (KIND,)))
    return {kind: set(names) for kind, names in asking.in_use.devices.items()}


def test_before_the_first_answer_nothing_is_known(kubelet: Kubelet) -> None:
    assert not kubelet.asking().in_use.known


def test_what_pods_have_is_in_use(kubelet: Kubelet) -> None:
    asking = kubelet.asking()
    kubelet.usage = join(Answer(grants=(listed("eth1"), listed("a", OLD))), ())
    assert used(kubelet, asking, KIND, OLD) == {KIND: {"eth1"}, OLD: {"a"}}
    assert asking.in_use.known
    assert asking.in_use.serial == 1
    assert kubelet.heard == [kubelet.usage]
    assert kubelet.counted("podresources", "answered") == 1
    assert kubelet.counted("checkpoint", "answered") == 1


def test_it_is_asked_for_the_prefixes_of_our_kinds(kubelet: Kubelet) -> None:
    used(kubelet, kubelet.asking(), KIND, OLD, "example.com/nic")
    assert kubelet.prefixes == [("example.com", "networking.k8s.io")]


def test_another_plugins_resource_of_the_same_prefix_is_left_out(kubelet: Kubelet) -> None:
    kept = (grant("eth1"), grant("vf0", OTHERS, ours=False))
    kubelet.usage = join(Answer(grants=(listed("eth1"), listed("vf0", OTHERS))), kept)
    assert used(kubelet, kubelet.asking()) == {KIND: {"eth1"}}


def test_a_kind_that_no_pool_has_any_more_is_known_by_its_names(kubelet: Kubelet) -> None:
    kubelet.usage = join(Answer(grants=(listed("a", OLD),)), (grant("a", OLD),))
    assert used(kubelet, kubelet.asking()) == {OLD: {"a"}}


def test_without_podresources_the_checkpoint_counts(kubelet: Kubelet) -> None:
    asking = kubelet.asking()
    kubelet.usage = join(None, (grant("eth1"),), NOBODY)
    for _ in range(3):
        assert used(kubelet, asking) == {KIND: {"eth1"}}
        kubelet.now += DISBELIEF
    assert asking.in_use.known
    assert kubelet.counted("podresources", "failed") == 3
    assert kubelet.counted("checkpoint", "answered") == 3


def test_without_both_nothing_is_known(kubelet: Kubelet) -> None:
    asking = kubelet.asking()
    kubelet.usage = join(None, (), NOBODY, KubeletError("no file"))
    used(kubelet, asking)
    assert not asking.in_use.known
    assert asking.in_use.serial == 1
    assert kubelet.counted("checkpoint", "failed") == 1


def test_a_kubelet_that_lists_no_pod_yet_is_not_believed_for_a_minute(kubelet: Kubelet) -> None:
    asking = kubelet.asking()
    kubelet.usage = join(Answer(), (grant("eth1"),))
    assert used(kubelet, asking) == {KIND: {"eth1"}}
    kubelet.now += DISBELIEF - 1
    assert used(kubelet, asking) == {KIND: {"eth1"}}
    kubelet.now += 1
    assert used(kubelet, asking) == {}


def test_what_it_listed_once_is_over_when_it_lists_it_no_more(kubelet: Kubelet) -> None:
    asking = kubelet.asking()
    kubelet.usage = join(Answer(grants=(listed("eth1"),)), (grant("eth1"),))
    assert used(kubelet, asking) == {KIND: {"eth1"}}
    kubelet.usage = join(Answer(), (grant("eth1"), grant("eth2")))  # eth2: an init container's
    assert used(kubelet, asking) == {KIND: {"eth2"}}


def test_it_is_asked_when_something_depends_on_it_and_never_in_a_storm(kubelet: Kubelet) -> None:
    async def play() -> None:
        asking = kubelet.asking(time.monotonic)
        running = asyncio.ensure_future(asking.run(lambda: [KIND]))
        await asyncio.sleep(0.05)
        assert not kubelet.asked
        asking.at(None)
        asking.at(time.monotonic() + 100)
        asking.soon()
        while len(kubelet.asked) < 2:
            asking.soon()
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(play())
    first, second = kubelet.asked
    assert second - first >= GAP - 0.01


def test_a_problem_is_said_once(kubelet: Kubelet, caplog: pytest.LogCaptureFixture) -> None:
    asking = kubelet.asking()
    for usage in (
        join(None, (), NOBODY),
        join(None, (), NOBODY),
        join(Answer(), ()),
        join(None, (), NOBODY),
    ):
        kubelet.usage = usage
        used(kubelet, asking)
    assert len([one for one in caplog.records if "does not say" in one.message]) == 2


def test_readers_that_fail_by_a_bug_are_not_silenced(kubelet: Kubelet) -> None:
    async def broken(_directory: Path, *_prefixes: str) -> Usage:
        raise ZeroDivisionError

    reader: Callable[..., Awaitable[Usage]] = broken
    asking = Asking(Path("/nonexistent"), kubelet.metrics, kubelet.heard.append, read=reader)
    asking.soon()
    with pytest.raises(ZeroDivisionError):
        asyncio.run(asking.run(lambda: [KIND]))
