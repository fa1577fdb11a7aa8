"""A kubelet to test with: its three sockets, its files, its admission, and pods that run.

It plays what a kubelet does by protocols.md, odd as that may be, and is nowhere laxer. It
keeps no secret from tests: they may look at everything under the lock of `Changes`.
"""

from __future__ import annotations

from tests.fakes.kubelet.cluster import Phase, Pod
from tests.fakes.kubelet.devices import Resource
from tests.fakes.kubelet.kubelet import Kubelet
from tests.fakes.kubelet.settings import RefusedError, Settings
from tests.fakes.kubelet.specs import ContainerSpec, PodSpec, Restart, one

__all__ = [
    "ContainerSpec",
    "Kubelet",
    "Phase",
    "Pod",
    "PodSpec",
    "RefusedError",
    "Resource",
    "Restart",
    "Settings",
    "one",
]
