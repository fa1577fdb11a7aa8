"""One kubelet told from the next by its socket: what it lists is believed after a minute."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from netdevice_plugin.agent.asking import DISBELIEF, Asking
from netdevice_plugin.operations.metrics import Metrics
from netdevice_plugin.usage.usage import Answer, Grant, Pod, Usage, join

KIND = "networking.k8s.io/netdevice"
KEPT = Grant(
    kind=KIND,
    devices=("eth1",),
    pod=Pod(uid="1"),
    cdi_devices=("networking.k8s.io/netdevice=eth1",),
)


def listen(path: Path) -> None:
    """Leave a socket there, as a kubelet does that was killed."""
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def test_each_kubelet_has_a_minute_until_what_it_does_not_list_is_over(short_path: Path) -> None:
    now = [1000.0]
    answers = [join(Answer(), (KEPT,))]

    async def read(_directory: Path, *_prefixes: str) -> Usage:
        return answers[-1]

    path = short_path / "pod-resources" / "kubelet.sock"
    metrics = Metrics(Path("/nonexistent"))
    asking = Asking(short_path, metrics, lambda _: None, lambda: now[0], read)

    def used() -> bool:
        asyncio.run(asking.ask([KIND]))
        return bool(asking.in_use.devices)

    listen(path)
    assert used()
    now[0] += DISBELIEF
    assert not used()
    listen(path)
    assert used()
    now[0] += DISBELIEF - 1
    assert used()
    now[0] += 1
    assert not used()
    listen(path)
    listed = Grant(kind=KIND, devices=("eth1",), pod=Pod(namespace="default", name="web"))
    answers.append(join(Answer(grants=(listed,)), (KEPT,)))
    assert used()
    answers.append(join(Answer(), (KEPT,)))
    assert not used()  # this one had listed it
