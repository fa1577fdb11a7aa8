"""Kernel modules: in the kernel, on the disk, or neither. Nothing is loaded."""

from __future__ import annotations

import enum
import functools
import posixpath

from netdevice_plugin.doctor.host import Host

_INDEX_LIMIT = 16 << 20  # bytes; a distribution's modules.dep has 700,000


class State(enum.Enum):
    """How far a module is from being of use."""

    LOADED = "loaded"
    LOADABLE = "not loaded"  # modprobe finds it
    MISSING = "missing"
    UNKNOWN = "unknown"  # no directory of modules can be seen


class Modules:
    """The modules of a host's kernel."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def state(self, name: str) -> State:
        """Look for a module, or for what stands for one that was built into the kernel.

        The names of files have dashes where those of modules have underscores, or not.
        """
        plain = name.replace("-", "_")
        if self._host.is_dir(f"/sys/module/{plain}"):
            return State.LOADED
        if plain in self._named("modules.builtin"):
            return State.LOADED
        loadable = self._named("modules.dep")
        if plain in loadable:
            return State.LOADABLE
        return State.MISSING if loadable else State.UNKNOWN

    @functools.cache  # noqa: B019 - lives as long as one examination
    def _named(self, index: str) -> frozenset[str]:
        """Read one of depmod's lists: a path in each line, of modules.dep up to a colon."""
        release = self._host.word("/proc/sys/kernel/osrelease")
        if not release or "/" in release:
            return frozenset()
        try:
            text = self._host.text(f"/lib/modules/{release}/{index}", _INDEX_LIMIT)
        except OSError:
            return frozenset()
        paths = (line.partition(":")[0].strip() for line in text.splitlines())
        return frozenset(_module(path) for path in paths if path)


def _module(path: str) -> str:
    """Name a module after its file: kernel/drivers/vfio/pci/vfio-pci.ko.xz."""
    return posixpath.basename(path).partition(".")[0].replace("-", "_")
