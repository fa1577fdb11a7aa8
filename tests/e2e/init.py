"""Process 1 of a throw-away node, which `hack/node.sh` has set up.

It adopts and reaps what is orphaned, and ends when its stdin does: then the kernel
ends all that still runs there, and nothing survives a test run, however that ended.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import signal
import types


def main() -> None:
    """Say that the node is there, and wait."""
    pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")  # else CNI does, in mid test
    os.write(1, b"ready\n")
    _reap_until_eof()


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
