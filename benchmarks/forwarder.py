"""In the guest: testpmd forwards between two devices, in a container and beside it, by turns.

Each has two virtio NICs of its own, behind vfio-pci, on a hub where nobody else is. What
one of them sends comes in at the other and goes out again, so that a few packets go round
for ever, as fast as testpmd polls.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence

import cdi
from tests.e2e.node import Node
from tests.e2e.podman import LIMITS, Podman
from tests.vm import dpdk
from tests.vm.hardware import SLOTS
from tests.vm.nics import PCI, Nics
from tests.vm.plugs import Plugged, Plugs
from tests.vm.qmp import Qmp
from tests.vm.testpmd import Testpmd, testpmd

WARM = 0.05  # seconds before a turn counts
TURN = 1.0  # seconds that one takes: to ask costs some of the same processors

_KIND = "networking.k8s.io/dpdk"
_PLACES = ("container", "host")
# All of the host, but for a root of its own, and for hugepages that no other testpmd uses.
_ENTER = """
for directory in dev proc sys; do mount --rbind /$directory $0/$directory; done
mount -t tmpfs tmpfs $0/run
mount -t hugetlbfs -o pagesize=2M hugetlbfs $0/dev/hugepages
exec chroot $0 "$@"
"""


def rates(qmp: Qmp, turns: int) -> list[tuple[float, float]]:
    """Packets a second in a container and on the host, taken one after the other.

    Half of the pairs are taken with the NICs swapped, and every other one in reverse.
    """
    plugs = Plugs(qmp)
    pairs = [[plugs.plug(10 + slot // 2, SLOTS[slot]) for slot in two] for two in ((0, 1), (2, 3))]
    try:
        one, other = (_Bound(pair) for pair in pairs)
        return [*_half(one, other, turns), *_half(other, one, turns)]
    finally:
        plugs.close()


class _Bound:
    """Two NICs behind vfio-pci, and the CDI file that gives them to a container."""

    def __init__(self, pair: Sequence[Plugged]) -> None:
        self.addresses = [plugged.nic.pci for plugged in pair]
        for address in self.addresses:
            function = PCI / address
            (function / "driver_override").write_text("vfio-pci")
            (function / "driver/unbind").write_text(address)
            pathlib.Path("/sys/bus/pci/drivers_probe").write_text(address)
        groups = [(PCI / address / "iommu_group").readlink().name for address in self.addresses]
        nodes = [cdi.DeviceNode(path=f"/dev/vfio/{name}") for name in ("vfio", *groups)]
        self.device = "pair" + groups[0]
        edits = cdi.ContainerEdits(device_nodes=tuple(nodes))
        device = cdi.Device(name=self.device, edits=edits)
        cdi.write(cdi.Spec(kind=_KIND, devices=(device,)), "/run/cdi", name=f"{self.device}.json")


def _half(inside: _Bound, beside: _Bound, turns: int) -> Iterator[tuple[float, float]]:
    root = str(dpdk.root().resolve())
    container = _podman(inside.device, root)
    host = ("unshare", "--mount", "sh", "-c", _ENTER, root)
    with contextlib.ExitStack() as stack:
        programs = {
            "container": stack.enter_context(testpmd(*container, devices=inside.addresses)),
            "host": stack.enter_context(testpmd(*host, devices=beside.addresses)),
        }
        for turn in range(turns):
            order = _PLACES[:: -1 if turn % 2 else 1]
            found = {place: _rate(programs[place]) for place in order}
            yield found["container"], found["host"]


def _podman(device: str, root: str) -> tuple[str, ...]:
    podman = Podman(Node(os.getpid(), "ndp"), "runc")
    options = ("--interactive", "--tty", "--rm", "--network=none", "--read-only", "--tmpfs=/run")
    given = ("--cap-add=IPC_LOCK", "--volume=/dev/hugepages:/dev/hugepages")
    wanted = (f"--device={_KIND}={device}", "--rootfs", root)
    return podman.command("run", podman.cgroup, *LIMITS, *options, *given, *wanted)


def _rate(program: Testpmd) -> float:
    """Let it forward for a turn."""
    program.tell("start tx_first")
    time.sleep(WARM)
    first, began = _received(program), time.monotonic()
    time.sleep(TURN)
    last, ended = _received(program), time.monotonic()
    program.tell("stop")
    return (last - first) / (ended - began)


def _received(program: Testpmd) -> int:
    return sum(program.counts(port)["RX"] for port in range(2))


def main() -> None:
    """Say that the guest is up, and then what was measured, to whom it is connected by a port."""
    turns, port = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    with port.open("w", buffering=1) as out:
        out.write("ready\n")
        Nics.found()
        out.write(json.dumps(rates(Qmp(), turns)) + "\n")


if __name__ == "__main__":
    main()
