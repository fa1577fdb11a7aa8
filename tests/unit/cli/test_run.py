"""How `run` ends: the agent itself is shown in tests/kernel/agent and tests/e2e."""

from __future__ import annotations

from tests.unit.cli.running import python

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
