"""What the kubelet's two sources say together. Pure.

podresources knows the pods that are active, by name, but not their UIDs, and leaves
ordinary init containers out. The checkpoint knows every container's UID and CDI names,
but keeps pods that are gone until it is next written (protocols: podresources v1, the
device manager's checkpoint).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from netdevice_plugin.errors import KubeletError

Key = tuple[str, str]  # a pool's kind, a device's name


@dataclasses.dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Pod:
    """A pod's container that has a device; empty is what the source does not know."""

    namespace: str = ""
    name: str = ""
    uid: str = ""
    container: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.name else self.uid


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Devices of one kind that the kubelet has given to one container.

    `cdi_devices` are the names that it hands to the runtime at every start of the
    container, without asking again; only the checkpoint knows them.
    """

    kind: str
    devices: tuple[str, ...]
    pod: Pod
    cdi_devices: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What podresources told: every active pod, by namespace and name, and what they have."""

    active: frozenset[tuple[str, str]] = frozenset()
    grants: tuple[Grant, ...] = ()
    claims: frozenset[tuple[str, str]] = frozenset()  # that a container of theirs has, likewise
    claimed: frozenset[str] = frozenset()  # what CDI calls the devices of these claims


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Who has which device of ours.

    `complete` says that the kubelet itself answered: what is not in `holders` no
    active pod has, but maybe an init container. Otherwise they are the checkpoint's,
    nothing follows from what is missing, and pods may be there that have ended.
    `active` are the pods that there are, by namespace and name; `kept` is the
    checkpoint as it is. `problems` does not count when two are compared.
    """

    holders: Mapping[Key, tuple[Pod, ...]] = dataclasses.field(default_factory=dict)
    complete: bool = False
    active: frozenset[tuple[str, str]] = frozenset()
    kept: tuple[Grant, ...] = ()
    problems: tuple[KubeletError, ...] = dataclasses.field(default=(), compare=False)

    @property
    def devices(self) -> frozenset[str]:
        """The devices that a pod has, of whatever kind: one changes its pool when told to."""
        return frozenset(device for _, device in self.holders)

    def keeps(self, device: str, seen: Iterable[Pod]) -> bool:
        """Whether an init container of one of these pods, that are seen to hold it, was given it.

        Such a device is in the checkpoint alone, which is believed of a pod that is active.
        """
        return any(
            device in grant.devices and grant.pod.uid == pod.uid
            for pod in seen
            if (pod.namespace, pod.name) in self.active
            for grant in self.kept
        )


def join(answer: Answer | None, kept: Iterable[Grant], *problems: KubeletError) -> Usage:
    """Put podresources' answer, None without one, and the checkpoint together."""
    kept = tuple(kept)
    uids = _uids(kept)
    holders: dict[Key, set[Pod]] = {}
    for grant in kept if answer is None else answer.grants:
        for device in grant.devices:
            found = uids.get((grant.kind, device, grant.pod.container), set())
            # Two: one of them has ended, and which is not known here.
            uid = next(iter(found)) if len(found) == 1 else grant.pod.uid
            pod = dataclasses.replace(grant.pod, uid=uid)
            holders.setdefault((grant.kind, device), set()).add(pod)
    return Usage(
        holders={key: tuple(sorted(holders[key])) for key in sorted(holders)},
        complete=answer is not None,
        active=answer.active if answer else frozenset(),
        kept=kept,
        problems=problems,
    )


def _uids(kept: Iterable[Grant]) -> dict[tuple[str, str, str], set[str]]:
    """Index the checkpoint's pods by what podresources tells of them as well."""
    found: dict[tuple[str, str, str], set[str]] = {}
    for grant in kept:
        for device in grant.devices:
            found.setdefault((grant.kind, device, grant.pod.container), set()).add(grant.pod.uid)
    return found


def is_ours(kind: str, prefixes: Iterable[str]) -> bool:
    """Whether a resource's name is that of a pool under one of the prefixes."""
    return kind.partition("/")[0] in prefixes and "/" in kind
