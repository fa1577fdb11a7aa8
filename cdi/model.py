"""What a CDI Spec says, as frozen data; field names follow the JSON keys in snake case.

Nothing is checked here: whatever cannot be written is refused by `cdi.codec`,
with all problems and their places. Empty means absent, except where `None` is
possible as well.
"""

from __future__ import annotations

import dataclasses

from cdi import versions


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNode:
    """A device node to make in the container; what is left out comes from the host's node."""

    path: str
    host_path: str = ""  # where it is on the host; empty is `path`
    type: str = ""  # b, c, u or p
    major: int = 0
    minor: int = 0
    file_mode: int | None = None  # permission bits
    permissions: str = ""  # for the cgroup: letters of "rwm", empty is all of them
    uid: int | None = None
    gid: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NetDevice:
    """A network interface that the runtime itself moves into the container (CDI 1.1.0)."""

    host_interface_name: str
    name: str  # in the container


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A program that the runtime runs at one point of the container's life."""

    hook_name: str  # one of cdi.codec.HOOK_NAMES
    path: str  # absolute
    args: tuple[str, ...] = ()  # argv, argv[0] included
    env: tuple[str, ...] = ()  # "NAME=value"; empty inherits the runtime's
    timeout: int | None = None  # seconds


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A mount to make in the container."""

    host_path: str
    container_path: str
    options: tuple[str, ...] = ()
    type: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IntelRdt:
    """Resource control groups (resctrl) for the container (CDI 0.7.0)."""

    clos_id: str = ""
    l3_cache_schema: str = ""
    mem_bw_schema: str = ""
    schemata: tuple[str, ...] = ()  # CDI 1.1.0
    enable_monitoring: bool = False  # CDI 1.1.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEdits:
    """Changes to the OCI configuration of a container; see `cdi.edits` for what each does."""

    env: tuple[str, ...] = ()  # "NAME=value"
    device_nodes: tuple[DeviceNode, ...] = ()
    net_devices: tuple[NetDevice, ...] = ()
    hooks: tuple[Hook, ...] = ()
    mounts: tuple[Mount, ...] = ()
    intel_rdt: IntelRdt | None = None
    additional_gids: tuple[int, ...] = ()

    def __add__(self, other: ContainerEdits) -> ContainerEdits:
        """Both, one after the other; of two `intel_rdt` the later stays."""
        return ContainerEdits(
            env=self.env + other.env,
            device_nodes=self.device_nodes + other.device_nodes,
            net_devices=self.net_devices + other.net_devices,
            hooks=self.hooks + other.hooks,
            mounts=self.mounts + other.mounts,
            intel_rdt=other.intel_rdt or self.intel_rdt,
            additional_gids=self.additional_gids + other.additional_gids,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A named device of a Spec, and the edits for whoever asks for it."""

    name: str
    edits: ContainerEdits = ContainerEdits()
    annotations: tuple[tuple[str, str], ...] = ()  # sorted by key

    def __post_init__(self) -> None:
        object.__setattr__(self, "annotations", tuple(sorted(self.annotations)))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A CDI Spec: devices of one kind.

    Without a `version` it is the lowest that the content allows, because a
    runtime refuses a file whose version it does not know, whatever is in it.
    `dataclasses.replace` carries the computed version along: give `version=""`
    with it to have it computed again.
    """

    kind: str  # vendor/class
    devices: tuple[Device, ...] = ()
    edits: ContainerEdits = ContainerEdits()  # for whoever asks for any of the devices
    annotations: tuple[tuple[str, str], ...] = ()  # sorted by key
    version: str = ""  # cdiVersion, without a leading "v"

    def __post_init__(self) -> None:
        object.__setattr__(self, "annotations", tuple(sorted(self.annotations)))
        version = self.version.removeprefix("v") or versions.minimum_version(self)
        object.__setattr__(self, "version", version)
