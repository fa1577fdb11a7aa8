"""What the guest's machine is made of, and where more can be plugged in while it runs.

All NICs lead nowhere: each is on a hub that QEMU itself plays, and sees only who is on the same.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

QMP = "qmp"  # the virtio-serial port that is QEMU's monitor
HUGEPAGES = 320  # of 2 MiB, half of them on each NUMA node
SLOTS = ("slot0", "slot1", "slot2", "slot3")  # free root ports

# An igb without VFs, one with them on a NUMA node of its own, and a virtio NIC. The IOMMU is
# there for who asks for it: the kernel's own drivers do without translation (iommu=pt).
_MACHINE = """
-M q35 -smp 2 -m 2G -accel tcg,thread=multi -cpu max
-object memory-backend-ram,id=m0,size=1G -object memory-backend-ram,id=m1,size=1G
-numa node,nodeid=0,cpus=0,memdev=m0 -numa node,nodeid=1,cpus=1,memdev=m1
-device intel-iommu,intremap=on,caching-mode=on,aw-bits=48
-device pcie-root-port,id=rp1,bus=pcie.0,chassis=1,slot=1
-device pcie-root-port,id=rp2,bus=pcie.0,chassis=2,slot=2
-device pxb-pcie,id=px,bus=pcie.0,bus_nr=128,numa_node=1
-device pcie-root-port,id=rp3,bus=px,chassis=3,slot=3
-netdev hubport,id=h1,hubid=0 -device igb,bus=rp1,netdev=h1,mac=52:54:00:00:01:01
-netdev hubport,id=h2,hubid=0 -device virtio-net-pci,bus=rp2,netdev=h2,mac=52:54:00:00:02:01
-netdev hubport,id=h3,hubid=0 -device igb,bus=rp3,netdev=h3,mac=52:54:00:00:03:01
"""


def arguments(work: pathlib.Path) -> Iterator[str]:
    """QEMU's arguments for all of it; a socket of its monitor is made in that directory."""
    yield from _MACHINE.split()
    for number, slot in enumerate(SLOTS, start=4):
        yield from (
            "-device",
            f"pcie-root-port,id={slot},bus=pcie.0,chassis={number},slot={number}",
        )
    # A character device has one user: the port is a client of the monitor's socket.
    socket = f"path={work / 'qmp'}"
    yield from ("-chardev", f"socket,id=monitor,{socket},server=on,wait=off")
    yield from ("-mon", "chardev=monitor,mode=control")
    yield from ("-chardev", f"socket,id=port,{socket}", "-device", "virtio-serial-pci,bus=pcie.0")
    yield from ("-device", f"virtserialport,chardev=port,name={QMP}")


def command_line() -> str:
    """What the guest's kernel is told of it."""
    return f"intel_iommu=on iommu=pt hugepages={HUGEPAGES}"
