"""Pools, links and devices for these tests."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

from netdevice_plugin.config import Config
from netdevice_plugin.model import Device, Interface, Pool, device_name

CONFIG = Config()
POOL = Pool(name="netdevice")
OTHER = Pool(name="fast")
FILE = "networking.k8s.io-netdevice.json"
OTHER_FILE = "networking.k8s.io-fast.json"
TWIN = "networking.k8s.io-netdevice.yaml"


def link(name: str, ifindex: int = 5) -> Interface:
    return Interface(ifindex=ifindex, name=name, kind="veth", mac="02:00:00:00:00:05")


def device(interface: Interface, pool: Pool = POOL) -> Device:
    return Device(name=device_name(interface.name), pool=pool.name, interface=interface)


def devices(*names: str, ifindex: int = 5) -> tuple[Device, ...]:
    return tuple(device(link(name, ifindex)) for name in names)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@contextlib.contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let writing fail halfway, as on a full disk, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
