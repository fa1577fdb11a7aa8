"""A node's reboot: what the kernel and /run had is gone, what was on disk stays.

On disk are, besides /var with the kubelet's checkpoint, containerd's own files: it finds its
sandboxes and containers again, none of them alive.
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil

from tests.e2e.containerd import Containerd
from tests.e2e.lender import Lender
from tests.e2e.node import GoneError, Node
from tests.fakes.kubelet import Kubelet

_DISK = ("node", "lib", "cni", "containerd.toml", "containerd.log")  # below /run, in this node
_EMPTY = ("cdi", "lock", "netns")


def reboot(node: Node, containerd: Containerd, kubelet: Kubelet, lender: Lender) -> None:
    """Kill everything at once and boot, up to containerd and the host's links.

    The kubelet does not run afterwards, nor does anything else that a test has started.
    """
    kubelet.kill()
    containerd.kill()
    _kill_all(node)
    _unmount_all(node)
    for path in node.path("/run").iterdir():
        if path.name not in _DISK:
            _remove(path)
    for name in _EMPTY:
        node.path(f"/run/{name}").mkdir()
    lender.boot()
    containerd.start()


def _kill_all(node: Node) -> None:
    """Kill shims before what they look after, so that no hook runs."""
    for pid in node.pids("containerd-shim-runc-v2"):
        with contextlib.suppress(GoneError):  # its child, which is another program by now
            node.kill(pid)
    node.kill_all()


def _unmount_all(node: Node) -> None:
    """Unmount what was mounted below /run, innermost first: pins, pods' namespaces, roots.

    Below the /run that was mounted last, as the machine's own may be under it.
    """
    mounts = pathlib.Path(f"/proc/{node.pid}/mounts").read_text()
    points = [line.split()[1] for line in mounts.splitlines()]
    latest = len(points) - points[::-1].index("/run")
    for point in reversed(points[latest:]):
        if point.startswith("/run/") and not point.startswith("/run/node/"):
            node.run("umount", "--lazy", point)


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
