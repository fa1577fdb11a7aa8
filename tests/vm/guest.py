"""One guest that runs this directory's tests, and tells how each of them ended.

QEMU emulates the processor, as Debian's kernels do not run under every KVM. The guest
sees this machine's files, read-only, under a file system in its own memory; it has no
network but NICs that lead nowhere.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from tests.vm import hardware, initramfs
from tests.vm.fetch import Kit

PORT = "/dev/ttyS1"  # where the guest writes its lines
BOOT = 90.0  # seconds until the first line; 10 are usual, on a machine that has time
SILENCE = 120.0  # seconds between two lines
# Of QEMU, whose processors are threads: there are races in its look-up of devices' memory, and
# one after which a timer never goes off. The kernel complains of that after 21 s.
CRASHES = 3
LISTEN = 10.0  # seconds between two looks at what it says, in silence
BOOTS = 2  # an emulated boot hangs about once in a hundred

_LOST = "kthread timer wakeup didn't happen"


class GuestError(Exception):
    """The guest did not start, fell silent or ended early; with the end of what it said."""


class EmulatorError(GuestError):
    """QEMU gave up by an assertion of its own, or lost a timer: no test is to blame."""


class Guest:
    """A running guest; its lines are read as they come."""

    def __init__(self, kit: Kit, initrd: pathlib.Path, console: pathlib.Path) -> None:
        self._console = console
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        with self._complaints.open("w") as complaints:
            self._process = subprocess.Popen(
                [*kit.qemu, *_arguments(kit, initrd, console)],
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env={**os.environ, **kit.environment},
            )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def _complaints(self) -> pathlib.Path:
        """QEMU's own."""
        return self._console.with_suffix(".qemu")

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(None)

    def line(self, patience: float) -> str:
        """The next line; raises GuestError when none comes."""
        end = time.monotonic() + patience
        while True:
            left = end - time.monotonic()
            with contextlib.suppress(queue.Empty):
                found = self._lines.get(timeout=max(0.0, min(left, LISTEN)))
                break
            if self._console.exists() and _LOST in self._console.read_text(errors="replace"):
                raise EmulatorError(f"the emulator lost a timer{self._last()}")
            if left <= LISTEN:
                raise GuestError(f"the guest said nothing for {patience:.0f} s{self._last()}")
        if found is None:
            broken = self._process.wait() == -signal.SIGABRT
            kind, what = (EmulatorError, "emulator") if broken else (GuestError, "guest")
            raise kind(f"the {what} ended early{self._last()}")
        return found

    def _last(self) -> str:
        """How the console and QEMU's own output end."""
        files = (path for path in (self._complaints, self._console) if path.exists())
        texts = (path.read_text(errors="replace") for path in files)
        return "".join(f"\n{text[-4000:]}" for text in texts if text)

    def stop(self) -> None:
        """End it, if it did not do so by itself."""
        self._process.kill()
        self._process.wait()
        self._reader.join()


def _arguments(kit: Kit, initrd: pathlib.Path, console: pathlib.Path) -> Iterator[str]:
    yield from ("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot")
    yield from hardware.arguments(console.parent)
    yield from ("-serial", f"file:{console}", "-serial", "stdio", "-monitor", "none")
    root = "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"
    yield from ("-fsdev", root, "-device", "virtio-9p-pci,bus=pcie.0,fsdev=root,mount_tag=root")
    yield from ("-kernel", str(kit.kernel), "-initrd", str(initrd))
    # On a busy host the TSC is calibrated wrongly, and time goes by several times too fast.
    clock = "tsc=unstable clocksource=hpet no_timer_check"
    yield from ("-append", f"console=ttyS0 panic=-1 quiet {clock} {hardware.command_line()}")


@contextlib.contextmanager
def booted(
    kit: Kit, work: pathlib.Path, command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[tuple[Guest, int]]:
    """A guest whose first line has come, and how many boots that took."""
    initrd = work / "initrd"
    initrd.write_bytes(
        initramfs.build(
            kit.busybox, kit.modules, command, cwd=pathlib.Path.cwd(), environment=environment
        )
    )
    for attempt in range(1, BOOTS + 1):
        guest = Guest(kit, initrd, work / f"console-{attempt}")
        try:
            guest.line(BOOT)
        except GuestError:
            guest.stop()
            if attempt == BOOTS:
                raise
            continue
        try:
            yield guest, attempt
        finally:
            guest.stop()
        return


def pytest_command(tests: Sequence[str]) -> tuple[str, ...]:
    """Run these tests, and nothing that this machine's pytest has for others."""
    plugins = ("-p", "pytest_timeout", "-p", "no:cacheprovider")
    return (sys.executable, "-m", "pytest", *plugins, "--basetemp=/run/pytest", *tests)
