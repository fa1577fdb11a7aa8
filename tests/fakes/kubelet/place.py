"""Where a kubelet has its files."""

from __future__ import annotations

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """The kubelet's root directory, as seen from here.

    `seen_from` is where the root directory of those who talk to it is: / unless they run in
    a mount namespace of their own.
    """

    root: pathlib.Path
    seen_from: pathlib.Path = pathlib.Path("/")

    @property
    def plugins(self) -> pathlib.Path:
        """Device plugins' sockets, kubelet.sock and the checkpoint."""
        return self.root / "device-plugins"

    @property
    def registry(self) -> pathlib.Path:
        """Sockets of plugins that the kubelet is to find."""
        return self.root / "plugins_registry"

    @property
    def pod_resources(self) -> pathlib.Path:
        """The directory of the podresources socket."""
        return self.root / "pod-resources"

    @property
    def drivers(self) -> pathlib.Path:
        """Below it each DRA driver has a directory of its name."""
        return self.root / "plugins"

    @property
    def socket(self) -> pathlib.Path:
        """Where plugins register."""
        return self.plugins / "kubelet.sock"
