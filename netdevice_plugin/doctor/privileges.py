"""What the agent in charge may do, where a pool asks more of it than to read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from netdevice_plugin.config import Config
from netdevice_plugin.doctor import mounts
from netdevice_plugin.doctor.finding import Finding, fail, ok, warn
from netdevice_plugin.doctor.host import Host
from netdevice_plugin.provisioning import VfSettings

OVERLAY = "deploy/components/functions or, without Kubernetes, deploy/systemd/functions.conf"

_NET_ADMIN = 12  # its bit, capability.h
_EFFECTIVE = re.compile(r"^CapEff:\s*([0-9a-f]{1,16})$", re.MULTILINE)
_UNSEEN = "be root, with the host's /proc"
_WRITTEN = "/sys/bus/pci/drivers"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Privileges:
    """What was seen of a process. None is what cannot be."""

    agent: int
    writes_sysfs: bool | None = None
    net_admin: bool | None = None


def read(host: Host, agent: int) -> Privileges:
    """Look at a process's mounts and capabilities."""
    return Privileges(
        agent=agent, writes_sysfs=_writes(host, agent), net_admin=_net_admin(host, agent)
    )


def _writes(host: Host, agent: int) -> bool | None:
    """Whether the mount that has /sys, as the process sees it, can be written.

    AppArmor or SELinux may forbid it all the same; that shows in the agent's log alone.
    """
    try:
        table = mounts.parse(host.text(f"/proc/{agent}/mountinfo", 8 << 20))
    except OSError:
        return None
    found = mounts.mount_of(table, _WRITTEN)
    return found is not None and "ro" not in found.options


def _net_admin(host: Host, agent: int) -> bool | None:
    try:
        found = _EFFECTIVE.search(host.text(f"/proc/{agent}/status"))
    except OSError:
        return None
    return bool(int(found[1], 16) >> _NET_ADMIN & 1) if found else None


def writes(config: Config) -> bool:
    """Whether the configuration has the agent write to /sys."""
    return bool(config.sriov) or any(pool.userspace for pool in config.pools)


def check(facts: Privileges, config: Config) -> Iterator[Finding]:
    """Judge it for a configuration that has the agent write to /sys."""
    title = f"agent (pid {facts.agent})"
    if facts.writes_sysfs is None:
        yield warn("agent/sysfs", title, "its mounts cannot be seen", _UNSEEN)
    elif facts.writes_sysfs:
        yield ok("agent/sysfs", title, "has /sys mounted so that it can be written")
    else:
        text = "has /sys mounted read-only: it binds no driver and makes no virtual function"
        yield fail("agent/sysfs", title, text, f"install it with {OVERLAY}")
    yield from _links(facts, config, title)


def _links(facts: Privileges, config: Config, title: str) -> Iterator[Finding]:
    userspace = [pool for pool in config.pools if pool.userspace]
    if not userspace:
        return
    remedy = f"grant NET_ADMIN: {OVERLAY}"
    settings = [pool.name for pool in userspace if pool.vf != VfSettings()]
    if facts.net_admin is None:
        yield warn("agent/net-admin", title, "its capabilities cannot be seen", _UNSEEN)
    elif facts.net_admin:
        text = "may set up virtual functions, and name a link that returns as before"
        yield ok("agent/net-admin", title, text)
    elif settings:
        text = f"lacks NET_ADMIN: settings of virtual functions fail ({' '.join(settings)})"
        yield fail("agent/net-admin", title, text, remedy)
    else:
        text = "lacks NET_ADMIN: claims' settings of virtual functions fail, names do not return"
        yield warn("agent/net-admin", title, text, remedy)
