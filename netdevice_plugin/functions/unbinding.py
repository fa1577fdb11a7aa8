"""Questions to the kernel that may take as long as a program pleases, and no thread of ours.

While a program has a vfio device open, whoever takes it away (unbinds it, or pulls it out)
is made to wait with the device locked; and so is who asks for what is behind that lock.
Nothing interrupts that, not even the end of this process.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from netdevice_plugin.errors import FunctionError

_T = TypeVar("_T")


class Questions:
    """At most one that is not answered for each function, each in a thread of its own."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._open: dict[str, tuple[concurrent.futures.Future[None], float]] = {}

    def ask(self, address: str, driver: str, question: Callable[[], _T]) -> _T:
        """Return the kernel's answer; raises OSError with it, FunctionError if none comes.

        One that was asked of that function before is waited for first. `driver` is who is
        said to keep it.
        """
        self._settle(address, driver)
        answer: list[_T] = []
        end = self._open[address] = concurrent.futures.Future(), time.monotonic()
        # Not one of a pool's: those are waited for when the program ends.
        job = (end[0], lambda: answer.append(question()))
        threading.Thread(target=_run, args=job, daemon=True, name="unbind").start()
        self._settle(address, driver)
        end[0].result()
        return answer[0]

    def _settle(self, address: str, driver: str) -> None:
        if address not in self._open:
            return
        end, since = self._open[address]
        if not concurrent.futures.wait([end], self._patience).done:
            raise FunctionError(
                f"{address}: {driver} has not let go of it for {time.monotonic() - since:.0f} s",
                hint="a program holds it, or the driver is stuck; the kernel's log has more",
            )
        del self._open[address]


def _run(end: concurrent.futures.Future[None], job: Callable[[], None]) -> None:
    try:
        job()
    except OSError as error:
        end.set_exception(error)
    else:
        end.set_result(None)
