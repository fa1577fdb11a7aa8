"""Runs the agent with threads whose names the kernel knows, as Python has it from 3.14 on.

Then /proc tells whose threads an agent has. All else is as it is shipped.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
import runpy
import threading
from typing import Any

_start = threading.Thread.start


def _kind(thread: threading.Thread) -> str:
    """Its name without a number; that of its class or function where it was given none."""
    target = re.fullmatch(r"Thread-\d+(?: \((.*)\))?", thread.name)
    if target:
        return target[1] or type(thread).__name__
    return re.sub(r"_\d+$", "", thread.name)


def _start_named(thread: threading.Thread) -> None:
    _start(thread)
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended already
        comm = pathlib.Path(f"/proc/self/task/{thread.native_id}/comm")
        comm.write_text(_kind(thread)[:15])


if __name__ == "__main__":
    threads: Any = threading.Thread
    threads.start = _start_named
    runpy.run_module("netdevice_plugin", run_name="__main__", alter_sys=True)
