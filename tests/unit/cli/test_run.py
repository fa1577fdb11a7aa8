"""How `run` ends: the agent itself is shown in tests/kernel/agent and tests/e2e."""

from __future__ import annotations

from tests.unit.cli.running import python

_IN_A_CALLBACK = """
import os, signal, weakref
from netdevice_plugin.cli.run import end_at_once

class Thing: pass

signal.signal(signal.SIGTERM, end_at_once)
thing = Thing()
death = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
del thing
print("goes on", flush=True)
"""
_END = """
import atexit, logging, sys, threading
from netdevice_plugin.cli.run import leave

atexit.register(print, "taken apart")
atexit.register(leave)
going = threading.Event()
threading.Thread(target=lambda: going.wait() and print("thread ended")).start()
logging.basicConfig()
logging.warning("logged")
print("written", end=" ")
going.set()
"""


def test_all_that_was_written_is_seen_and_no_interpreter_is_taken_apart() -> None:
    ended = python(_END)
    assert ended.returncode == 0
    assert ended.stdout == "written thread ended\n"
    assert ended.stderr == "WARNING:root:logged\n"


def test_one_to_whom_nobody_listens_any_more_ends_well() -> None:
    imports = "import atexit, os; from netdevice_plugin.cli.run import leave"
    ended = python(f"{imports}; atexit.register(leave); print('written'); os.close(1)")
    assert ended.returncode == 0


def test_no_signal_is_lost_while_python_lets_no_exception_through() -> None:
    ended = python(_IN_A_CALLBACK)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
