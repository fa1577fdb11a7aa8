"""The guest's first file system: busybox, kernel modules, and an init that mounts this machine's.

The format is newc, see Documentation/driver-api/early-userspace/buffer-format.rst in the
kernel's sources.
"""

from __future__ import annotations

import itertools
import pathlib
import shlex
from collections.abc import Iterator, Mapping, Sequence

_DIRECTORY = 0o040755
_PROGRAM = 0o100755
_FILE = 0o100644
_CONSOLE = (0o020600, 5, 1)  # /dev/console: without it init has no output

# The overlay makes all of it writable, in the guest's memory alone.
_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /lower /upper /root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module" || echo "cannot load $module"; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,ro,cache=loose root /lower
mount -t tmpfs tmpfs /upper
mkdir /upper/changed /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/changed,workdir=/upper/work root /root
for directory in proc sys dev; do mount --move /$directory /root/$directory; done
mount -t tmpfs tmpfs /root/run
mkdir -p /root/dev/pts /root/dev/shm /root/dev/hugepages /root/run/cdi /root/run/netns
mount -t devpts devpts /root/dev/pts
mount -t tmpfs tmpfs /root/dev/shm
mount -t hugetlbfs -o pagesize=2M hugetlbfs /root/dev/hugepages
mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
ip link set lo up
stty -F /root/dev/ttyS1 raw
cd /root
mount --move . /
chroot . /usr/bin/env -i {environment} /bin/sh -c {command}
poweroff -f
"""


def build(
    busybox: pathlib.Path,
    modules: Sequence[pathlib.Path],
    command: Sequence[str],
    *,
    cwd: pathlib.Path,
    environment: Mapping[str, str],
) -> bytes:
    """An archive whose init runs that command on this machine's files, then switches off."""
    script = _INIT.format(
        environment=shlex.join(f"{key}={value}" for key, value in environment.items()),
        command=shlex.quote(f"cd {shlex.quote(str(cwd))} && exec {shlex.join(command)}"),
    )
    numbers = itertools.count(1)
    entries: list[bytes] = []

    def add(name: str, mode: int, content: bytes = b"", major: int = 0, minor: int = 0) -> None:
        fields = (next(numbers), mode, 0, 0, 1, 0, len(content), 0, 0, major, minor)
        entries.append(b"".join(_entry(name, fields, content)))

    for directory in ("bin", "dev", "modules"):
        add(directory, _DIRECTORY)
    add("dev/console", _CONSOLE[0], major=_CONSOLE[1], minor=_CONSOLE[2])
    add("bin/busybox", _PROGRAM, busybox.read_bytes())
    for module in modules:
        add(f"modules/{module.name}", _FILE, module.read_bytes())
    add("init", _PROGRAM, script.encode())
    add("TRAILER!!!", 0)
    return b"".join(entries)


def _entry(name: str, fields: Sequence[int], content: bytes) -> Iterator[bytes]:
    path = name.encode() + b"\0"
    header = b"070701" + b"".join(b"%08x" % field for field in (*fields, len(path), 0))
    for part in (header + path, content):
        yield part
        yield b"\0" * (-len(part) % 4)
