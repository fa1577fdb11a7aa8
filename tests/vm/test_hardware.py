"""NICs as they are on servers: a PF, a VF and a virtio NIC, each lent and returned."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.kernel.mover.dump import assert_same, eventually, settled
from tests.kernel.mover.harness import DEVICE, Container, Containers
from tests.vm.nics import HOST, PCI, Nic, Nics, dress, wait_for_carrier
from tests.vm.node import Node


@pytest.fixture(params=["pf0", "vf0", "virtio"])
def nic(request: pytest.FixtureRequest, all_nics: Nics) -> Iterator[Nic]:
    """A NIC that is called `ndp0` and has a bit of everything."""
    found: Nic = getattr(all_nics, request.param)
    HOST.batch([f"link set {found.link} name {DEVICE}"])
    dress()
    yield found
    assert eventually(HOST, lambda: bool(found.link)), f"{found.name} did not come home"
    found.reset()


def spoil(container: Container, name: str) -> None:
    """What a pod can do to a link that it has."""
    container.netns.batch(
        [
            f"link set {name} down",
            f"link set {name} address 02:00:00:00:be:ef",
            f"link set {name} name other0 mtu 1300 txqueuelen 5 alias mine",
            "link property add dev other0 altname spoilt",
            "link set other0 up",
            "addr add 172.16.0.1/24 dev other0",
            "route add 172.17.0.0/16 via 172.16.0.9",
        ]
    )


def test_a_nic_has_its_addresses_in_the_pod_and_comes_back_as_it_was(
    nic: Nic, node: Node, containers: Containers
) -> None:
    before = settled(HOST)
    container = containers.alone()
    node.offer().attach(container, "--as", "net1").ok()
    assert DEVICE not in HOST.links()
    link = container.netns.links()["net1"]
    assert link["address"] == nic.mac
    addresses = container.netns.ip("-brief", "address", "show", "dev", "net1")
    assert "10.1.0.5/24" in addresses
    assert "2001:db8:1::5/64" in addresses
    node.mover.detach(container).ok()
    assert_same(HOST, before)
    assert node.mover.leftovers() == []


@pytest.mark.parametrize("nic", ["pf0", "vf0", "virtio"], indirect=True)
def test_what_a_pod_did_to_a_nic_is_undone(nic: Nic, node: Node, containers: Containers) -> None:
    before = settled(HOST)
    container = containers.alone()
    node.offer().attach(container).ok()
    spoil(container, DEVICE)
    container.end()
    node.mover.detach(container).ok()
    assert_same(HOST, before)


@pytest.mark.parametrize("nic", ["vf0", "virtio"], indirect=True)
def test_the_mover_gives_a_nic_another_mac_and_takes_it_back(
    nic: Nic, node: Node, containers: Containers
) -> None:
    before = settled(HOST)
    container = containers.alone()
    node.offer().attach(container, "--mac", "02:00:00:00:00:77", "--mtu", "1300").ok()
    assert container.netns.links()[DEVICE]["address"] == "02:00:00:00:00:77"
    node.mover.detach(container).ok()
    assert_same(HOST, before)


@pytest.mark.parametrize(
    ("nic", "heal", "name"),
    [
        ("pf0", "reclaim", "taken"),
        ("vf0", "detach", "free"),
        ("vf0", "detach", "taken"),
        ("vf0", "reclaim", "free"),
        ("vf0", "attach", "taken"),
        ("virtio", "reclaim", "free"),
        ("virtio", "detach", "taken"),
    ],
    indirect=["nic"],
)
def test_a_nic_that_fell_back_to_the_host_when_its_pod_died_is_restored(
    nic: Nic, heal: str, name: str, node: Node, containers: Containers
) -> None:
    if name == "taken":
        HOST.ip("link", "add", "net1", "type", "dummy")
    before = settled(HOST)
    offer = node.offer()
    container = containers.alone()
    offer.attach(container, "--as", "net1").ok()
    fall_back(nic, node, container)
    number = HOST.links()[nic.link]["ifindex"]
    assert nic.link == (f"dev{number}" if name == "taken" else "net1")
    match heal:
        case "detach":
            node.mover.detach(container).ok()
        case "reclaim":
            node.mover.reclaim().ok()
        case _:
            successor = containers.alone()
            offer.attach(successor).ok()
            node.mover.detach(successor).ok()
    assert_same(HOST, before)
    assert node.mover.leftovers() == []


def fall_back(nic: Nic, node: Node, container: Container) -> None:
    """Let the pod's namespace die with the NIC in it, as it would without the pin."""
    subprocess.run(["umount", node.mover.pin()], check=True)
    container.end()
    assert eventually(HOST, lambda: bool(nic.link)), "the kernel did not give it back"


@pytest.mark.parametrize("nic", ["vf0", "virtio"], indirect=True)
def test_a_nic_that_fell_back_with_what_its_pod_made_of_it_is_restored(
    nic: Nic, node: Node, containers: Containers
) -> None:
    before = settled(HOST)
    container = containers.alone()
    node.offer().attach(container).ok()
    spoil(container, DEVICE)
    fall_back(nic, node, container)
    assert HOST.links()[nic.link]["address"] == "02:00:00:00:be:ef"
    node.mover.reclaim().ok()
    assert_same(HOST, before)


@pytest.mark.parametrize("nic", ["vf0", "virtio"], indirect=True)
def test_a_nic_that_was_renamed_after_it_was_offered_is_found_by_pci_address(
    nic: Nic, node: Node, containers: Containers
) -> None:
    offer = node.offer()
    HOST.batch([f"link set {DEVICE} down", f"link set {DEVICE} name renamed0"])
    HOST.ip("link", "add", DEVICE, "type", "dummy")
    HOST.ip("link", "set", "renamed0", "up")
    wait_for_carrier("renamed0")
    before = settled(HOST)
    container = containers.alone()
    offer.attach(container).ok()
    assert not nic.link
    assert DEVICE in HOST.links()
    node.mover.detach(container).ok()
    assert_same(HOST, before)


def macs(nic: Nic) -> set[str]:
    """What it has, and what its driver calls the permanent one."""
    link = HOST.links()[nic.link]
    return {link["address"], link.get("permaddr", "")}


@pytest.mark.parametrize("nic", ["vf0"], indirect=True)
def test_a_vf_whose_mac_is_another_since_it_was_offered_is_known_by_pci_address_and_ifindex(
    nic: Nic, node: Node, containers: Containers
) -> None:
    """When igbvf resets the VF it calls the MAC that it has then the permanent one."""
    offer = node.offer()
    HOST.batch(
        [
            f"link set {DEVICE} address 02:00:00:00:00:77",
            f"link set {DEVICE} down",
            f"link set {DEVICE} name renamed0",
            "link set renamed0 up",
        ]
    )
    wait_for_carrier("renamed0")
    assert not macs(nic) & set(offer.arguments)  # or it would be known by that
    before = settled(HOST)
    container = containers.alone()
    offer.attach(container).ok()
    assert container.netns.links()[DEVICE]["address"] == "02:00:00:00:00:77"
    node.mover.detach(container).ok()
    assert_same(HOST, before)
    assert node.mover.leftovers() == []


def test_a_vf_with_another_mac_and_another_ifindex_is_not_taken_for_the_one_that_was_offered(
    all_nics: Nics, node: Node, containers: Containers
) -> None:
    vf = all_nics.vf0
    offer = node.offer(vf.name)
    set_mac(all_nics.pf1, 0, "02:00:00:00:00:42")
    vf.rename()
    try:
        before = settled(HOST)
        result = offer.attach(containers.alone())
        assert result.code == 1
        assert "no link has the MAC, PCI address and kind of vf0" in result.stderr
        assert_same(HOST, before)
    finally:
        set_mac(all_nics.pf1, 0, "00:00:00:00:00:00")
        vf.reset()


@pytest.fixture
def twins(all_nics: Nics) -> Iterator[tuple[Nic, Nic]]:
    """Both VFs, with one MAC."""
    vfs = (all_nics.vf0, all_nics.vf1)
    for number, vf in enumerate(vfs):
        set_mac(all_nics.pf1, number, "02:00:00:00:00:42")
        vf.rename()
    yield vfs
    for number in range(len(vfs)):
        set_mac(all_nics.pf1, number, "00:00:00:00:00:00")  # none: the VF may choose
    for vf in vfs:
        vf.reset()


def set_mac(pf: Nic, number: int, mac: str) -> None:
    """Set a VF's MAC by its PF; igbvf reads it when it is bound."""
    HOST.ip("link", "set", pf.link, "vf", str(number), "mac", mac)
    function = (PCI / pf.pci / f"virtfn{number}").resolve()
    driver = (function / "driver").resolve()
    for action in ("unbind", "bind"):
        (driver / action).write_text(function.name)


def test_vfs_with_the_same_mac_are_told_apart_by_pci_address(
    twins: tuple[Nic, Nic], node: Node, containers: Containers
) -> None:
    offers = {vf.name: node.offer(vf.name) for vf in twins}
    HOST.batch(["link set vf0 name swapped", "link set vf1 name vf0", "link set swapped name vf1"])
    before = settled(HOST)
    for vf in twins:
        container = containers.alone()
        offers[vf.name].attach(container).ok()
        assert [twin for twin in twins if not twin.link] == [vf]
        node.mover.detach(container, vf.name).ok()
        assert_same(HOST, before)
