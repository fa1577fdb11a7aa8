"""The systemd unit under a real systemd: what it keeps the agent from, and what it lets it do."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.waiting import until
from tests.manifests import ROOT
from tests.packaging import host as hosts
from tests.packaging.host import Host
from tests.packaging.image import HOME, NAME, Builder

UNITS = ROOT / "deploy" / "systemd"
SERVICE = (UNITS / "netdevice-plugin.service").read_text()
RECLAIM = (UNITS / "reclaim.conf").read_text()
PROGRAM = "/opt/netdevice-plugin/bin/netdevice-plugin"
MOVER = "/opt/netdevice-plugin/bin/netdevice-mover"
CDI_FILE = "/run/cdi/networking.k8s.io-netdevice.json"
SAID = "[Service]\nStandardOutput=truncate:/said\nStandardError=inherit\n"
CONFIG = "pools:\n- name: netdevice\n  selectors:\n  - ifNames: ['lan*']\n"
MAC = "02:00:00:00:00:01"
SETTING = "/proc/sys/net/ipv4/conf/lan1/rp_filter"
PROBE = """
for place in / /etc /opt /var /run /run/systemd /run/cdi /run/netdevice-plugin /proc/sys/net; do
    touch $place/probe 2>/dev/null && echo "wrote $place"
done
ls -d /proc/1
while read -r key value; do
    case $key in Cap*|NoNewPrivs:) echo "$key$value" ;; esac
done </proc/self/status
"""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


@pytest.fixture(scope="module")
def host(built: Builder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with the agent's files and configuration."""
    root = tmp_path_factory.mktemp("host") / "root"
    with built.mounted(NAME) as files:
        hosts.prepare(root, files / HOME[1:])
    (root / "etc/netdevice-plugin").mkdir()
    (root / "etc/netdevice-plugin/config.yaml").write_text(CONFIG)
    with hosts.booted(root) as running:
        running.ip("link", "set", "lo", "up")
        yield running
    shutil.rmtree(root)


@pytest.fixture
def link(host: Host) -> Iterator[str]:
    """A link of the host, with a setting of its own."""
    host.ip("link", "add", "lan1", "address", MAC, "type", "veth", "peer", "name", "far1")
    host.run("tee", SETTING, stdin="2")
    yield "lan1"
    host.ip("link", "delete", "far1")


def in_its_place(text: str) -> str:
    """The unit with a script in place of the agent, in all else as it is."""
    instead = "ExecStart=/bin/sh /script\nType=oneshot\nRemainAfterExit=yes\n"
    text = re.sub(r"^ExecStart=/.*\n", instead, text, flags=re.MULTILINE)
    return re.sub(r"^(Type=notify|Restart=always)\n", "", text, flags=re.MULTILINE)


def start(host: Host, script: str, drop_in: str = "") -> list[str]:
    """Start the unit with a script in it; returns what that said, and fails if it fails."""
    units = host.path("/run/units")
    overrides = {"reclaim.conf": in_its_place(drop_in), "said.conf": SAID}
    (units / "netdevice-plugin.service.d").mkdir(exist_ok=True)
    for name, text in overrides.items():
        (units / "netdevice-plugin.service.d" / name).write_text(text)
    (units / "netdevice-plugin.service").write_text(in_its_place(SERVICE))
    host.path("/script").write_text(script)
    host.path("/said").write_text("")
    host.systemctl("daemon-reload")
    result = host.run("systemctl", "restart", "netdevice-plugin", check=False)
    output = host.path("/said").read_text()
    status = host.systemctl("status", "netdevice-plugin", check=False)
    assert result.returncode == 0, f"{status}{output}"
    return [line for line in output.splitlines() if not line.endswith(MOVER)]


@pytest.fixture(autouse=True)
def stopped(host: Host) -> Iterator[None]:
    """No service is left to the next test."""
    yield
    host.systemctl("stop", "netdevice-plugin", check=False)


def test_the_agent_may_write_two_directories_and_has_no_capability(host: Host) -> None:
    said = start(host, PROBE)
    none = f"{0:016x}"
    assert said == [
        *("wrote /run/cdi", "wrote /run/netdevice-plugin", "/proc/1"),
        *(f"Cap{kind}:{none}" for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")),
        "NoNewPrivs:1",
    ]


def test_the_agent_finds_links_and_writes_cdi_files(host: Host, link: str) -> None:
    config = "/etc/netdevice-plugin/config.yaml"
    start(host, f"{PROGRAM} cdi generate --config {config}")
    (device,) = json.loads(host.path(CDI_FILE).read_text())["devices"]
    assert device["name"] == link


def test_starting_it_puts_the_mover_in_place(host: Host) -> None:
    host.path(HOME + "/bin/netdevice-mover").unlink(missing_ok=True)
    start(host, "true")
    assert "netdevice-mover" in host.run(MOVER, "--version").stdout


def test_records_and_cdi_files_outlive_it(host: Host) -> None:
    kept = ("/run/cdi/kept", "/run/netdevice-plugin/kept")
    start(host, f"touch {' '.join(kept)}")
    host.systemctl("stop", "netdevice-plugin")
    assert all(host.path(path).exists() for path in kept)


def orphan(host: Host, link: str) -> None:
    """Lend the link to a process that is killed, with nobody to call poststop."""
    shell = ("sh", "-c", "echo $$; exec sleep infinity")
    command = [*host.enter(), "unshare", "--net", *shell]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        state = {"ociVersion": "1.0.2", "id": "c0ffee", "status": "created", "pid": pid}
        try:
            identity = ("--link", link, "--link-mac", MAC, "--link-kind", "veth")
            host.run(
                MOVER,
                "attach",
                "--device",
                link,
                *identity,
                stdin=json.dumps(state | {"bundle": "/"}),
            )
        finally:
            host.run("sh", "-c", f"kill -9 {pid}")
    assert host.run("cat", SETTING, check=False).returncode == 1, f"{link} is still there"


def test_reclaim_conf_lets_it_bring_a_link_home(host: Host, link: str) -> None:
    start(host, "true")
    orphan(host, link)
    assert start(host, f"{PROGRAM} reclaim --all", RECLAIM) == [f"{link}: home"]
    assert host.run("cat", SETTING).stdout == "2\n"
    assert not list(host.path("/run/netdevice-plugin/netns").iterdir())


def test_without_reclaim_conf_it_cannot(host: Host, link: str) -> None:
    start(host, "true")
    orphan(host, link)
    said = start(host, f"{PROGRAM} reclaim --all || true")
    assert [line for line in said if line.startswith(f"error: {link}: ")]
    assert host.run(PROGRAM, "reclaim", "--all").stdout == f"{link}: home\n"


@pytest.fixture
def agent(host: Host) -> Callable[[str], None]:
    """Starts the unit as it is shipped, with a drop-in or an empty one."""

    def begin(drop_in: str) -> None:
        units = host.path("/run/units")
        (units / "netdevice-plugin.service").write_text(SERVICE)
        directory = units / "netdevice-plugin.service.d"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        (directory / "reclaim.conf").write_text(drop_in)
        (directory / "said.conf").write_text(SAID)
        host.path("/said").write_text("")
        host.path(CDI_FILE).unlink(missing_ok=True)
        host.systemctl("daemon-reload")
        host.systemctl("restart", "netdevice-plugin")

    return begin


def shown(host: Host, name: str) -> str:
    """A property of the unit as it runs."""
    return host.systemctl("show", f"--property={name}", "--value", "netdevice-plugin").strip()


def devices(host: Host) -> set[str]:
    """What the CDI file has."""
    try:
        spec = json.loads(host.path(CDI_FILE).read_text())
    except FileNotFoundError:
        return set()
    return {device["name"] for device in spec["devices"]}


def test_when_it_is_started_the_cdi_files_are_true(
    host: Host, link: str, agent: Callable[[str], None]
) -> None:
    agent("")
    assert devices(host) == {link}
    host.ip("link", "add", "lan2", "type", "veth", "peer", "name", "far2")
    until(host.path("/run/cdi"), lambda: devices(host) == {link, "lan2"}, "lan2 is described")
    host.ip("link", "delete", "far2")
    until(host.path("/run/cdi"), lambda: devices(host) == {link}, "lan2 is gone")


def test_it_stops_soon_and_well_and_leaves_the_cdi_files(
    host: Host, link: str, agent: Callable[[str], None]
) -> None:
    agent("")
    began = time.monotonic()
    host.systemctl("stop", "netdevice-plugin")
    assert time.monotonic() - began < 3
    assert shown(host, "Result") == "success"
    assert devices(host) == {link}


def test_it_is_started_again_when_it_is_killed(
    host: Host, link: str, agent: Callable[[str], None]
) -> None:
    agent("")
    first = shown(host, "MainPID")
    host.path(CDI_FILE).unlink()
    host.systemctl("kill", "--signal=KILL", "netdevice-plugin")
    until(host.path("/run/cdi"), lambda: devices(host) == {link}, "another has started")
    assert shown(host, "MainPID") not in {first, "0"}


def test_with_reclaim_conf_a_link_comes_home_by_itself(
    host: Host, link: str, agent: Callable[[str], None]
) -> None:
    start(host, "true")
    agent(RECLAIM)
    orphan(host, link)
    until(host.path("/run/netdevice-plugin/attachments"), lambda: home(host), "it is home")
    assert host.run("cat", SETTING).stdout == "2\n"


def home(host: Host) -> bool:
    """Whether nothing is lent."""
    return not list(host.path("/run/netdevice-plugin/attachments").glob("lan*"))
