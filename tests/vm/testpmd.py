"""DPDK's testpmd at its prompt, wherever it runs: started by a command, spoken to by a terminal."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import time
from collections.abc import Iterator, Sequence

from tests.vm.dpdk import TESTPMD

PATIENCE = 60.0  # seconds; its start takes 3 to 10 of them, in a container and emulated
_PROMPT = "testpmd> "
_STATISTICS = re.compile(r"(RX|TX)-packets:\s*(\d+)")

# One core for the prompt and one to forward; little memory, which need not be locked; and links
# whose state is polled, as there is no interrupt for it.
_CORES = ("-l", "0,1", "-n", "1", "--no-telemetry")
_OPTIONS = (
    *("-i", "--nb-cores=1", "--no-mlockall", "--no-lsc-interrupt"),
    *("--total-num-mbufs=4096", "--rxd=256", "--txd=256"),
)


class TestpmdError(AssertionError):
    """It did not start or answer; with all that it has said."""


class Testpmd:
    """A running testpmd, from its first prompt on."""

    __test__ = False

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self.said = ""
        self._read = 0

    def tell(self, command: str) -> str:
        """Type a command, and return what it says to that."""
        os.write(self._terminal, command.encode() + b"\n")
        return self.await_prompt(command)

    def counts(self, port: int) -> dict[str, int]:
        """The packets that a port has received (RX) and sent (TX)."""
        answer = self.tell(f"show port stats {port}")
        found = _STATISTICS.findall(answer)
        assert found, self.said
        return {direction: int(number) for direction, number in found}

    def await_traffic(self, *ports: int) -> None:
        """Return when each of them has received more than it had."""
        before = {port: self.counts(port)["RX"] for port in ports}
        deadline = time.monotonic() + PATIENCE
        while any(self.counts(port)["RX"] == count for port, count in before.items()):
            if time.monotonic() > deadline:
                raise TestpmdError(f"no traffic:\n{self.said}")

    def quit(self) -> None:
        """Have it end, and return when it has nothing more to say."""
        os.write(self._terminal, b"quit\n")
        deadline = time.monotonic() + PATIENCE
        while self._more(deadline):
            pass

    def await_prompt(self, echo: str = "") -> str:
        """Return what it says from the echo of a command until it waits for the next one."""
        deadline = time.monotonic() + PATIENCE
        answer = re.compile(f"{re.escape(echo)}.*?{_PROMPT}", re.DOTALL)
        while not (found := answer.search(self.said, self._read)):
            if not self._more(deadline):
                raise TestpmdError(f"testpmd has no prompt:\n{self.said}")
        self._read = found.end()
        return found[0]

    def _more(self, deadline: float) -> bool:
        """Read on; False when it has ended or time is up."""
        left = max(0.0, deadline - time.monotonic())
        if not select.select([self._terminal], [], [], left)[0]:
            return False
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
            chunk = os.read(self._terminal, 65536)
            self.said += chunk.decode(errors="replace").replace("\r", "")
            return bool(chunk)
        return False


@contextlib.contextmanager
def testpmd(*enter: str, devices: Sequence[str]) -> Iterator[Testpmd]:
    """Start it for a while; raises TestpmdError if it does not start, or does not end well.

    `enter` is the command that starts it somewhere: it gets testpmd's own as its last
    arguments, and our terminal. `devices` are PCI addresses.
    """
    allowed = (word for device in devices for word in ("-a", device))
    command = (*enter, TESTPMD, *_CORES, *allowed, "--", *_OPTIONS)
    terminal, theirs = os.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        running = Testpmd(terminal)
        try:
            running.await_prompt()
            yield running
            running.quit()
            if process.wait(PATIENCE):
                raise TestpmdError(f"exit code {process.returncode}\n{running.said}")
        finally:
            process.kill()
            os.close(terminal)


testpmd.__test__ = False  # type: ignore[attr-defined]  # pytest takes it for a test
