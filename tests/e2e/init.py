"""Process 1 of a throw-away node; runs by itself, inside the node's new namespaces.

Covers what a runtime writes to with memory, says so on stdout, then adopts and
reaps what is orphaned. It ends when its stdin does, and the kernel ends all that
still runs in its PID namespace: nothing survives a test run, however that ended.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import signal
import subprocess
import types

STATE = pathlib.Path("/run/node")


def main() -> None:
    """Set up, then wait."""
    _mounts()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")  # else CNI does, in mid test
    # Duplicate address detection makes a new address tentative for a second: no neighbour here.
    for scope in ("all", "default"):
        pathlib.Path(f"/proc/sys/net/ipv6/conf/{scope}/accept_dad").write_text("0")
    os.write(1, b"ready\n")
    _reap_until_eof()


def _mounts() -> None:
    """Make /run, /etc, /var and /tmp the node's own; /proc and /sys those of its namespaces."""
    _mount("-t", "proc", "proc", "/proc")
    _mount("-t", "tmpfs", "tmpfs", "/run")
    for name in ("lock", "netns", "cdi", "node/cgroup"):
        pathlib.Path("/run", name).mkdir(parents=True)
    _mount("--rbind", "/sys/fs/cgroup", str(STATE / "cgroup"))
    _mount("-t", "sysfs", "sysfs", "/sys")  # /sys/class/net is that of the mounter's namespace
    _mount("--move", str(STATE / "cgroup"), "/sys/fs/cgroup")
    unified = pathlib.Path("/sys/fs/cgroup/unified")
    if unified.exists():  # crun refuses a hierarchy that is mixed
        subprocess.run(["umount", str(unified)], check=False)
    for directory in ("/etc", "/var"):
        upper, work = STATE / f"upper{directory}", STATE / f"work{directory}"
        upper.mkdir(parents=True)
        work.mkdir(parents=True)
        layers = f"lowerdir={directory},upperdir={upper},workdir={work}"
        _mount("-t", "overlay", "-o", layers, "overlay", directory)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _reap_until_eof() -> None:
    """Sleep until a child ends or stdin is closed."""
    wake, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, _ignore)
    while 0 not in select.select([0, wake], [], [])[0]:
        os.read(wake, 4096)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _ignore(_number: int, _frame: types.FrameType | None) -> None:
    """A handler must exist for the wake-up pipe to be written."""


if __name__ == "__main__":
    main()
