"""The kernel: what the mover asks of it, and what it does without on an old one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from netdevice_plugin.doctor import versions
from netdevice_plugin.doctor.finding import Finding, fail, ok, warn
from netdevice_plugin.doctor.host import Host
from netdevice_plugin.doctor.versions import Version

_OLDEST = Version(5, 3)  # nexthop objects (RTM_GETNEXTHOP), pidfd_open
_LACKS = (  # before that release
    (Version(5, 5), "altnames"),
    (Version(5, 6), "a NIC's permanent MAC (IFLA_PERM_ADDRESS), so that it is known by its MAC"),
    (Version(5, 13), "a way to give a link that comes home its number again (IFLA_NEW_IFINDEX)"),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """What the host's kernel says of itself."""

    release: str = ""
    namespaces: bool = True  # it has network namespaces
    ipv6: bool = True
    enforcing: bool = False  # SELinux


def read(host: Host) -> Kernel:
    """Look at /proc and /sys."""
    return Kernel(
        release=host.word("/proc/sys/kernel/osrelease"),
        namespaces=bool(host.namespace("self", "net")),
        ipv6=host.is_dir("/proc/sys/net/ipv6"),
        enforcing=host.word("/sys/fs/selinux/enforce") == "1",
    )


def check(facts: Kernel) -> Iterator[Finding]:
    """Judge the kernel."""
    version = versions.parse(facts.release)
    title = f"Linux {facts.release}"
    if version is None:
        text = "its release is not known: /proc/sys/kernel/osrelease cannot be read"
        yield warn("kernel/version", "Linux", text, "mount the host's /proc below the root")
    elif version < _OLDEST:
        text = f"lacks nexthop objects, which the mover asks for; {_OLDEST} has them"
        yield fail("kernel/version", title, text, "a kernel of 5.13 or later")
    elif missing := [what for since, what in _LACKS if version < since]:
        yield warn("kernel/version", title, f"lacks {'; '.join(missing)}", "5.13 or later")
    else:
        yield ok("kernel/version", title, "has all that the mover asks for")
    if not facts.namespaces:
        text = "network namespaces cannot be seen: no /proc, or a kernel without them"
        yield fail("kernel/namespaces", "/proc/self/ns/net", text, "mount /proc; CONFIG_NET_NS=y")
    if not facts.ipv6:
        yield ok("kernel/ipv6", title, "has no IPv6: links are lent and come home without")
    if facts.enforcing:
        text = "is enforcing; it may confine hooks, which then end with Permission denied"
        remedy = "look for ausearch -m avc -c netdevice-mover after an attach that failed"
        yield ok("kernel/selinux", "SELinux", f"{text}: {remedy}")
