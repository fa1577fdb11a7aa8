"""What a test asks for: pods as their authors write them, less what no test here needs."""

from __future__ import annotations

import dataclasses
import enum
import uuid
from collections.abc import Mapping

FOREVER = ("sleep", "infinity")


class Restart(enum.Enum):
    """A pod's restartPolicy."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"

    def after(self, exit_code: int) -> bool:
        """Whether a container that ended so is started again."""
        return self is Restart.ALWAYS or (self is Restart.ON_FAILURE and exit_code != 0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """One container; `limits` are its resources.limits by resource name."""

    name: str = "main"
    limits: Mapping[str, int] = dataclasses.field(default_factory=dict)
    claims: tuple[str, ...] = ()  # "claim" or "claim/request", by the pod's names for them
    command: tuple[str, ...] = FOREVER
    memory: int = 0  # limit in bytes; 0 is none
    capabilities: tuple[str, ...] = ()  # that it has besides the usual ones: "IPC_LOCK"
    mounts: Mapping[str, str] = dataclasses.field(default_factory=dict)  # host's path, by its own
    sidecar: bool = False  # of an init container: restartPolicy Always


def _uid() -> str:
    return str(uuid.uuid4())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodSpec:
    """One pod; two with the same uid are the same pod."""

    name: str
    containers: tuple[ContainerSpec, ...]
    init_containers: tuple[ContainerSpec, ...] = ()
    claims: Mapping[str, str] = dataclasses.field(default_factory=dict)  # objects' names, by ours
    namespace: str = "default"
    uid: str = dataclasses.field(default_factory=_uid)
    host_network: bool = False
    restart: Restart = Restart.ALWAYS
    grace: int = 0  # seconds from SIGTERM to SIGKILL when it is deleted

    @property
    def all_containers(self) -> tuple[ContainerSpec, ...]:
        """In the order in which they are admitted and started."""
        return self.init_containers + self.containers

    @property
    def requests(self) -> Mapping[str, int]:
        """What a scheduler counts: init containers run one by one, sidecars stay (KEP-753)."""
        names = {name for container in self.all_containers for name in container.limits}
        return {name: self._request(name) for name in names}

    def _request(self, resource: str) -> int:
        sidecars = peak = 0
        for container in self.init_containers:
            wanted = container.limits.get(resource, 0)
            peak = max(peak, sidecars + wanted)
            sidecars += wanted if container.sidecar else 0
        return max(peak, sidecars + sum(c.limits.get(resource, 0) for c in self.containers))


def one(
    name: str,
    limits: Mapping[str, int] | None = None,
    *,
    command: tuple[str, ...] = FOREVER,
    restart: Restart = Restart.ALWAYS,
    host_network: bool = False,
    claims: tuple[str, ...] = (),
) -> PodSpec:
    """A pod of one container, called main, which uses all of the claims' devices."""
    main = ContainerSpec(limits=limits or {}, command=command, claims=claims)
    return PodSpec(
        name=name,
        containers=(main,),
        claims={claim: claim for claim in claims},
        restart=restart,
        host_network=host_network,
    )
