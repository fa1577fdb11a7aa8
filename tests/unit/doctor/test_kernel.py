from __future__ import annotations

import pytest

from netdevice_plugin.doctor import kernel
from tests.unit.doctor.roots import Root, checks, lines


@pytest.mark.parametrize(
    ("release", "level", "text"),
    [
        ("6.18.5-amd64", "ok", "has all that the mover asks for"),
        ("5.13.0", "ok", "has all"),
        ("5.10.0-28-amd64", "warn", "lacks a way to give a link that comes home its number"),
        ("5.4.0-150-generic", "warn", "lacks altnames; a NIC's permanent MAC"),
        ("4.18.0-553.el8_10.x86_64", "fail", "lacks nexthop objects"),
        ("", "warn", "its release is not known"),
    ],
)
def test_what_a_release_has(root: Root, release: str, level: str, text: str) -> None:
    root.write("/proc/sys/kernel/osrelease", f"{release}\n")
    root.link("/proc/self/ns/net", "net:[4026531840]")
    root.directory("/proc/sys/net/ipv6")
    (found,) = kernel.check(kernel.read(root.host()))
    assert (found.level.value, found.check) == (level, "kernel/version")
    assert found.text.startswith(text)


def test_what_a_kernel_may_be_without(root: Root) -> None:
    root.write("/proc/sys/kernel/osrelease", "6.1.0\n")
    root.write("/sys/fs/selinux/enforce", "1")
    findings = list(kernel.check(kernel.read(root.host())))
    assert checks(findings) == [
        ("ok", "kernel/version"),
        ("fail", "kernel/namespaces"),
        ("ok", "kernel/ipv6"),
        ("ok", "kernel/selinux"),
    ]
    assert "ausearch" in lines(findings)[-1]
