"""The real mover lends a link; the inventory must go on as if it were here."""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from netdevice_plugin import attachments
from netdevice_plugin.inventory import lent
from netdevice_plugin.model import Interface, Snapshot
from tests.kernel.inventory import scene
from tests.kernel.mover.harness import Container, Containers, Mover, unmount
from tests.kernel.scratch import Netns

ROOT = pathlib.Path(__file__).parents[3]
IFF_UP = 1
IFA_F_SECONDARY = 1
LINKS = {
    "veth": "link add ndp0 type veth peer name peer0",
    "macvlan": "link add ndp0 link up0 type macvlan mode bridge",
    "ifb": "link add ndp0 type ifb",
    "tun": "tuntap add ndp0 mode tap",
    "vxlan": "link add ndp0 type vxlan id 42 dev up0 dstport 4789",
}


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    out = tmp_path_factory.mktemp("mover") / "netdevice-mover"
    command = (sys.executable, "-m", "hack.build_mover", "--steps", str(out))
    subprocess.run(command, cwd=ROOT, check=True)
    return out


@pytest.fixture
def mover(binary: pathlib.Path, host: Netns, tmp_path: pathlib.Path) -> Iterator[Mover]:
    host.batch(["link add up0 type veth peer name up1", "link set up1 up", "link set up0 up"])
    yield Mover(binary, host, tmp_path)
    unmount(tmp_path)


@pytest.fixture
def containers() -> Iterator[Containers]:
    started = Containers()
    yield started
    started.end()


def dress(host: Netns, kind: str) -> None:
    """Give the link all that a record holds."""
    host.batch(
        [
            LINKS[kind],
            "link set ndp0 mtu 1400 alias word addrgenmode none",
            "link property add dev ndp0 altname other",
            "link set ndp0 up",
            "addr add 192.0.2.1/24 broadcast 192.0.2.255 label ndp0:x metric 50 dev ndp0",
            "addr add 192.0.2.9/24 dev ndp0 valid_lft 3600 preferred_lft 1800",
            "addr add 2001:db8::1/64 dev ndp0 nodad",
            "route add 198.51.100.0/24 via 192.0.2.7 metric 7",
        ]
    )


def lend(mover: Mover, container: Container, *args: str) -> None:
    """Lend the link as a CDI file that was made of its interface would."""
    link = scene.link(scene.look(mover.host), "ndp0")
    identity = ("--link-ifindex", str(link.ifindex), "--link-mac", link.mac)
    mover.attach(container, "--link", link.name, *identity, "--link-kind", link.kind, *args).ok()


def merged(mover: Mover) -> Snapshot:
    records, problems = attachments.load(mover.run_dir)
    assert problems == ()
    return lent.merge(scene.look(mover.host), records)


def at_rest(interface: Interface) -> Interface:
    """Without what depends on links around it, on the carrier, and on the order of addresses."""
    return dataclasses.replace(
        interface,
        lent=False,
        lower=None,
        operstate="",
        carrier=False,
        flags=interface.flags & IFF_UP,
        addresses=tuple(
            dataclasses.replace(one, flags=one.flags & ~IFA_F_SECONDARY)
            for one in interface.addresses
        ),
    )


@pytest.mark.parametrize("kind", LINKS)
def test_a_lent_link_is_as_it_was_and_then_home_again(
    mover: Mover, containers: Containers, pod: Netns, kind: str
) -> None:
    dress(mover.host, kind)
    before = scene.link(scene.look(mover.host), "ndp0")
    container = containers.of(pod)
    mac = () if kind == "ifb" else ("--mac", "02:00:00:00:00:99")  # an ifb's cannot be set
    lend(mover, container, "--as", "net1", *mac)
    assert scene.look(mover.host).named("ndp0") is None

    away = scene.link(merged(mover), "ndp0")
    assert away.lent
    assert at_rest(away) == at_rest(before)

    container.end()
    mover.detach(container).ok()
    home = merged(mover)
    assert [i.lent for i in home.interfaces if i.name == "ndp0"] == [False]
    assert home == scene.look(mover.host)


def test_the_lifetimes_of_a_lent_links_addresses_run_on(
    mover: Mover, containers: Containers, pod: Netns
) -> None:
    dress(mover.host, "ifb")
    lend(mover, containers.of(pod))
    (record,), _ = attachments.load(mover.run_dir)
    assert record.recorded is not None
    later = lent.merge(Snapshot(), [record], now=record.recorded + 1000)
    (address,) = (a for a in later.interfaces[0].addresses if a.address == "192.0.2.9")
    assert address.valid in range(2590, 2601)
    assert address.preferred in range(790, 801)


def test_a_namesake_of_a_lent_link_is_protected(
    mover: Mover, containers: Containers, pod: Netns
) -> None:
    dress(mover.host, "veth")
    lend(mover, containers.of(pod))
    mover.host.ip("link", "add", "ndp0", "type", "ifb")
    found = [
        (i.kind, i.lent, bool(p and p.hard))
        for snapshot in [merged(mover)]
        for i in snapshot.interfaces
        if i.name == "ndp0"
        for p in [snapshot.protection_of(i)]
    ]
    assert sorted(found) == [("ifb", False, True), ("veth", True, False)]
