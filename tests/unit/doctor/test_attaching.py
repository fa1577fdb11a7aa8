from __future__ import annotations

import errno
from pathlib import Path

import pytest

from netdevice_plugin.doctor import attaching
from netdevice_plugin.doctor.finding import Finding
from netdevice_plugin.provisioning import OpenStack, PortProvider
from tests.unit.doctor.roots import Root, checks, lines

AGENT = 77
INSIDE = f"/proc/{AGENT}/root"
PROGRAM, SOCKET = "/opt/attach", "/run/ports.sock"
COMMAND = PortProvider(command=(PROGRAM, "--fast"))
GRPC = PortProvider(grpc=Path(SOCKET))
CLOUD = PortProvider(openstack=OpenStack(network="storage"))


def judge(
    root: Root,
    provider: PortProvider,
    agent: int | None = AGENT,
    *,
    installed: bool = True,
    refuses: dict[str, int] | None = None,
) -> list[Finding]:
    def find(name: str) -> object:
        return (installed and name == "openstack") or None

    host = root.host(refuses=refuses)
    return list(attaching.check(attaching.read(host, "a.b/c", provider, agent, find)))


def test_a_command_is_looked_for_where_the_agent_is(root: Root) -> None:
    root.program(PROGRAM)
    assert checks(judge(root, COMMAND)) == [("ok", "ports/provider")]
    root.directory(INSIDE)
    assert checks(judge(root, COMMAND)) == [("fail", "ports/provider")]
    root.write(f"{INSIDE}{PROGRAM}", mode=0o644)
    assert checks(judge(root, COMMAND)) == [("fail", "ports/provider")]
    root.program(f"{INSIDE}{PROGRAM}")
    assert lines(judge(root, COMMAND)) == [
        "ports/provider a.b/c: its port provider is there: attach"
    ]


def test_without_an_agent_the_host_is_looked_at(root: Root) -> None:
    assert checks(judge(root, COMMAND, None)) == [("warn", "ports/provider")]


@pytest.mark.parametrize(
    ("number", "level"), [(0, "ok"), (errno.ECONNREFUSED, "fail"), (errno.ENOENT, "fail")]
)
def test_a_socket_is_listened_on_or_not(root: Root, number: int, level: str) -> None:
    root.socket(f"{INSIDE}{SOCKET}")
    found = judge(root, GRPC, refuses={f"{INSIDE}{SOCKET}": number})
    assert checks(found) == [(level, "ports/provider")]


def test_openstack_needs_a_package_and_to_be_told_of_a_cloud(root: Root) -> None:
    root.directory(INSIDE)
    root.write(f"/proc/{AGENT}/environ", "PATH=/bin\0")
    assert checks(judge(root, CLOUD, installed=False)) == [
        ("warn", "ports/provider"),
        ("warn", "ports/cloud"),
    ]
    root.write(f"/proc/{AGENT}/environ", "PATH=/bin\0OS_AUTH_URL=https://keystone\0")
    assert checks(judge(root, CLOUD)) == [("ok", "ports/provider")]
    root.write(f"/proc/{AGENT}/environ", "")
    root.write(f"{INSIDE}/etc/openstack/clouds.yaml")
    assert checks(judge(root, CLOUD)) == [("ok", "ports/provider")]
